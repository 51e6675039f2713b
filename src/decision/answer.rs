//! What to do with an answer.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

use super::{items, stream};
use crate::channel::flag::{FlagLevel, Head};
use crate::channel::{Channel, Flag, Inspection, Unreadable};
use crate::interaction::Level;
use crate::message::coding::{Charset, Coding, Undecoded};
use crate::message::stream::Format;
use crate::message::{self, AnswerView};
use crate::reason::Reason;

/// The verdict on an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForAnswer {
    /// It goes to the customer.
    Release {
        /// Why.
        reason: Reason,
        /// The flags to take off, by their index in the channel.
        strip: Vec<usize>,
    },
    /// It is withheld, and the customer is asked to log in.
    Challenge {
        /// The flag that demands the most, by its index in the channel.
        flag: usize,
        /// The level that has to be reached.
        level: Level,
    },
    /// It is withheld, and the customer gets an error.
    Block(Reason),
}

/// Who an answer is for, at the moment it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The level that counts.
    pub level: Level,
    /// Whether the interaction is named: without that nobody can be asked to log in.
    pub named: bool,
    /// Whether the interaction is somebody else's.
    pub foreign: bool,
}

impl Asker {
    /// Nobody in particular.
    pub const ANONYMOUS: Asker = Asker {
        level: Level::ANONYMOUS,
        named: false,
        foreign: false,
    };
}

/// What the head of an answer says of how it has to be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// Nothing in it can be flagged against this customer: it streams.
    No,
    /// It is held back until the verdict.
    Yes,
    /// It goes on message by message, each judged when it passes: a login may run out
    /// while the stream lasts.
    Stream(Format),
    /// Its body cannot be read or need not be, and may have no end: [`answer`] decides
    /// by the head.
    Unreadable,
    /// A stream that cannot be read and need not be. It goes on for as long as its
    /// customer's login counts.
    Opaque,
}

/// Whether an answer has to be held for [`answer`], by its head alone.
pub fn candidate(channel: &Channel, head: &AnswerView<'_>, level: Level) -> Candidate {
    let concerns = |flag: &Flag| match flag.head(head) {
        Head::No => false,
        Head::Yes => flag.observe || flag.strip || !flag.reached(level),
        Head::Body => {
            !passes_by(channel, head.headers)
                && (flag.observe || flag.strip || !flag.reached(level))
        }
    };
    if head.status.is_informational() {
        return Candidate::No;
    }
    if let Some(format) = stream(head.headers).filter(|_| !bodiless(head.status)) {
        return match is_unreadable(head.headers) {
            true if concerns_stream(channel, head) => Candidate::Unreadable,
            true => Candidate::No,
            false => streamed(channel, head, level, format),
        };
    }
    if !channel.flags.iter().any(concerns) {
        let readable = !passes_by(channel, head.headers) && !is_unreadable(head.headers);
        return match channel.link.is_some() && readable && !bodiless(head.status) {
            true => Candidate::Yes,
            false => Candidate::No,
        };
    }
    if is_unreadable(head.headers) && !bodiless(head.status) {
        return Candidate::Unreadable;
    }
    Candidate::Yes
}

/// Whether an answer that is not held may be one that a login was needed for: nobody
/// looked into its body, as whoever asks may read it in any case.
pub fn needed_login(channel: &Channel, head: &AnswerView<'_>, level: Level) -> bool {
    let flagged = |flag: &Flag| match flag.head(head) {
        Head::No => false,
        Head::Yes => true,
        Head::Body => !passes_by(channel, head.headers) && !bodiless(head.status),
    };
    level > Level::ANONYMOUS
        && channel
            .flags
            .iter()
            .any(|flag| !flag.observe && flagged(flag))
}

/// A stream in which nothing is flagged, or need be looked for, on a route where it ends
/// with a login.
pub fn watched(head: &AnswerView<'_>) -> Candidate {
    match stream(head.headers).filter(|_| !bodiless(head.status)) {
        None => Candidate::No,
        Some(_) if is_unreadable(head.headers) => Candidate::Opaque,
        Some(format) => Candidate::Stream(format),
    }
}

/// Who gets a stream now may not be whom its next message is for.
fn streamed(channel: &Channel, head: &AnswerView<'_>, level: Level, format: Format) -> Candidate {
    let demands =
        |flag: &&Flag| !flag.observe && flag.head(head) == Head::Yes && flag.level(head) > level;
    if channel.flags.iter().any(|flag| demands(&flag)) {
        return Candidate::Unreadable;
    }
    match concerns_stream(channel, head) || channel.link.is_some() {
        true => Candidate::Stream(format),
        false => Candidate::No,
    }
}

/// Whether a message of the stream may be flagged.
fn concerns_stream(channel: &Channel, head: &AnswerView<'_>) -> bool {
    let flags = &mut channel.flags.iter();
    flags.any(|flag| flag.head(head) != Head::No)
}

/// Whether a stream cannot be judged, and is not to go on for that: its head says who
/// reads it now, not who will when the rest comes.
fn is_blind(channel: &Channel, head: &AnswerView<'_>) -> bool {
    let concerns = |flag: &Flag| !flag.observe && flag.head(head) != Head::No;
    is_unreadable(head.headers)
        && channel.inspection.undecodable == Unreadable::Block
        && channel.flags.iter().any(concerns)
}

/// Whether a stream goes on message by message, until its coding turns out not to be
/// what the head says: nothing can be read from there on, whoever the reader is.
fn breaks_off(channel: &Channel, head: &AnswerView<'_>) -> bool {
    let broken = |body: &message::Body| body.plain() == Err(Undecoded::Broken);
    !is_unreadable(head.headers)
        && head.body.is_some_and(broken)
        && (concerns_stream(channel, head) || channel.link.is_some())
}

/// Decides on a whole answer. `answer.body` is `None` when it is longer than the
/// channel's cap.
pub fn answer(channel: &Channel, answer: &AnswerView<'_>, asker: Asker) -> ForAnswer {
    let said = stream(answer.headers);
    let readable = said.filter(|_| !is_unreadable(answer.headers));
    let verdict = match (answer.body, readable) {
        (Some(body), Some(_)) if body.plain().is_ok() => stream::whole(channel, answer, asker),
        (Some(_), None) if channel.items.is_some() => items::whole(channel, answer, asker),
        _ => one(channel, answer, asker),
    };
    match verdict {
        ForAnswer::Release { .. }
            if said.is_some()
                && !bodiless(answer.status)
                && (is_blind(channel, answer) || breaks_off(channel, answer)) =>
        {
            ForAnswer::Block(Reason::AnswerUndecodable)
        }
        verdict => verdict,
    }
}

/// Decides on an answer that is one message.
pub(super) fn one(channel: &Channel, answer: &AnswerView<'_>, asker: Asker) -> ForAnswer {
    let level = asker.level;
    let mut demanded: Option<(usize, Level)> = None;
    let mut strip = Vec::new();
    let mut observed = false;
    let mut undecided: Option<(Reason, Unreadable)> = None;
    for (index, flag) in channel.flags.iter().enumerate() {
        let wants = match flag.find(channel, answer) {
            Finding::No => continue,
            Finding::Unreadable(reason) => {
                // A rule that only observes never stops an answer.
                let then = channel.inspection.then(reason);
                let blocked = matches!(undecided, Some((_, Unreadable::Block)));
                if !flag.observe && !flag.reached(level) && !blocked {
                    undecided = Some((reason, then));
                }
                continue;
            }
            Finding::Matches(_) if flag.observe => {
                observed = true;
                continue;
            }
            Finding::Matches(wants) => wants,
        };
        if demanded.is_none_or(|(_, most)| wants > most) {
            demanded = Some((index, wants));
        }
        if flag.strip {
            strip.push(index);
        }
    }

    if let Some((flag, wants)) = demanded.filter(|(_, wants)| *wants > level) {
        return match channel.login {
            Some(_) if asker.foreign => ForAnswer::Block(Reason::NotOwner),
            Some(_) if asker.named => ForAnswer::Challenge { flag, level: wants },
            _ => ForAnswer::Block(Reason::ChallengeImpossible),
        };
    }
    if let Some((reason, Unreadable::Block)) = undecided {
        return ForAnswer::Block(reason);
    }
    let reason = match (demanded, undecided, observed) {
        (Some(_), ..) => Reason::Authenticated,
        (None, Some((reason, _)), _) => reason,
        (None, None, true) => Reason::FlagObserved,
        (None, None, false) => Reason::Unflagged,
    };
    ForAnswer::Release { reason, strip }
}

/// What a flag finds in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Its conditions do not hold.
    No,
    /// The body decides, and cannot be read; why.
    Unreadable(Reason),
    /// Its conditions hold, and it demands this level.
    Matches(Level),
}

impl Finding {
    /// What is found in two messages together.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Matches(one), Self::Matches(other)) => Self::Matches(one.max(other)),
            (Self::Matches(level), _) | (_, Self::Matches(level)) => Self::Matches(level),
            (Self::Unreadable(reason), _) | (_, Self::Unreadable(reason)) => {
                Self::Unreadable(reason)
            }
            (Self::No, Self::No) => Self::No,
        }
    }
}

/// What each of the channel's flags finds in an answer that is not judged message by
/// message: what [`answer`] decides by.
pub fn findings(channel: &Channel, answer: &AnswerView<'_>) -> Vec<Finding> {
    match (answer.body, format(answer.headers)) {
        (Some(body), Some(_)) if body.plain().is_ok() => stream::findings(channel, answer),
        (Some(_), None) if channel.items.is_some() => items::findings(channel, answer),
        _ => in_one(channel, answer),
    }
}

/// The same in an answer that is one message.
pub(super) fn in_one(channel: &Channel, answer: &AnswerView<'_>) -> Vec<Finding> {
    let flags = channel.flags.iter();
    flags.map(|flag| flag.find(channel, answer)).collect()
}

/// Statuses that have no body (RFC 9110, sections 15.3.5, 15.4.5).
fn bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Whether the head says that the body cannot be read, decoded or not.
fn is_unreadable(headers: &HeaderMap) -> bool {
    let charset = match Charset::of(headers) {
        Charset::Utf8 => false,
        Charset::SingleByte => stream(headers).is_some(),
        Charset::MultiByte | Charset::Odd => true,
    };
    charset || Coding::of(headers) == Coding::Unknown
}

/// How messages follow one another in a body that says that it is a stream. One that
/// cannot be read is none.
pub fn format(headers: &HeaderMap) -> Option<Format> {
    stream(headers).filter(|_| !is_unreadable(headers))
}

fn stream(headers: &HeaderMap) -> Option<Format> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let kind = value.as_bytes().split(|byte| *byte == b';').next()?;
    Format::of(kind.trim_ascii())
}

/// Whether the body says that it is JSON, or several of it (`application/json-seq`,
/// a script around it, a multipart with it), or does not say what it is.
fn is_json(channel: &Channel, headers: &HeaderMap) -> bool {
    media_type(headers).is_none_or(|kind| {
        let kind = kind.to_ascii_lowercase();
        ["json", "javascript", "event-stream"]
            .iter()
            .any(|word| kind.contains(word))
            || kind.starts_with("multipart/")
            || channel.inspection.json_types.has(&kind)
    })
}

/// Whether the body begins like JSON, whatever it is called: lenient readers find
/// something in what is none.
fn opens_json(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Whether the body is of a type that is not judged.
fn passes_by(channel: &Channel, headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|kind| channel.inspection.pass_types.has(kind))
}

/// The media type; `None` unless there is exactly one readable
/// `Content-Type`.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let kind = value.to_str().ok()?.split(';').map(str::trim).next();
    kind.filter(|kind| !kind.is_empty())
}

impl Flag {
    /// What it finds in an answer that is one message.
    fn find(&self, channel: &Channel, answer: &AnswerView<'_>) -> Finding {
        match self.head(answer) {
            Head::No => Finding::No,
            Head::Yes => Finding::Matches(self.level(answer)),
            Head::Body if passes_by(channel, answer.headers) => Finding::No,
            Head::Body => match self.body(channel, answer) {
                Ok(true) => Finding::Matches(self.level(answer)),
                Ok(false) => Finding::No,
                Err(reason) => Finding::Unreadable(reason),
            },
        }
    }

    /// Whether the condition on the body holds, or why that cannot be decided.
    fn body(&self, channel: &Channel, answer: &AnswerView<'_>) -> Result<bool, Reason> {
        let Some(condition) = self.json.as_ref().filter(|_| !bodiless(answer.status)) else {
            return Ok(false);
        };
        if is_unreadable(answer.headers) {
            return Err(Reason::AnswerUndecodable);
        }
        let body = answer.body.ok_or(Reason::AnswerTooLarge)?;
        let bytes = body.plain().map_err(|error| match error {
            Undecoded::TooLong => Reason::AnswerTooLarge,
            Undecoded::Broken => Reason::AnswerUndecodable,
        })?;
        if body.is_widened() && !condition.is_ascii() {
            return Err(Reason::AnswerUndecodable);
        }
        // True of every encoding with NUL bytes (UTF-16, UTF-32), which some readers
        // understand.
        if bytes.is_empty() || !condition.path.may_match(bytes) {
            return Ok(false);
        }
        match body.json() {
            Ok(json) => Ok(condition.holds(json)),
            Err(_)
                if is_json(channel, answer.headers) || opens_json(bytes) || bytes.contains(&0) =>
            {
                Err(Reason::AnswerMalformed)
            }
            Err(_) => Ok(false),
        }
    }

    /// Whether this level satisfies the flag, whatever level the answer names.
    pub(super) fn reached(&self, level: Level) -> bool {
        match &self.level {
            FlagLevel::Fixed(wants) => level >= *wants,
            FlagLevel::Named {
                names, fallback, ..
            } => level >= *fallback && usize::from(level.0) >= names.len(),
        }
    }
}

impl Inspection {
    /// What becomes of an answer that cannot be judged for this reason.
    fn then(&self, reason: Reason) -> Unreadable {
        match reason {
            Reason::AnswerTooLarge => self.oversize,
            Reason::AnswerUndecodable => self.undecodable,
            _ => self.malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;
    use http::header::CONTENT_ENCODING;

    use super::*;
    use crate::channel::MediaTypes;
    use crate::channel::flag::JsonCondition;
    use crate::message::{Body, JsonPath};

    fn channel() -> Channel {
        let json = JsonCondition {
            path: JsonPath::parse("$..protected").unwrap(),
            equals: None,
        };
        let flag = Flag {
            name: "f".into(),
            status: Vec::new(),
            header: None,
            json: Some(json),
            level: FlagLevel::Fixed(Level(1)),
            observe: false,
            strip: false,
        };
        Channel {
            name: "web".into(),
            clocks: Default::default(),
            verifiers: Vec::new(),
            matches: Vec::new(),
            owner: None,
            inject: Default::default(),
            flags: vec![flag],
            inspection: Inspection::default(),
            items: None,
            streaming: Default::default(),
            link: None,
            login: None,
            logout_key: None,
            side_call: None,
            cors: None,
            socket: None,
        }
    }

    fn judge(kind: &str, body: &str) -> (Candidate, ForAnswer) {
        judge_on(&channel(), kind, body)
    }

    fn judge_on(channel: &Channel, kind: &str, body: &str) -> (Candidate, ForAnswer) {
        let kind = HeaderValue::from_str(kind).unwrap();
        let headers = [(CONTENT_TYPE, kind)].into_iter().collect();
        let body = Body::new(Bytes::copy_from_slice(body.as_bytes()));
        let view = AnswerView {
            status: StatusCode::OK,
            headers: &headers,
            body: Some(&body),
        };
        let head = AnswerView { body: None, ..view };
        let anonymous = Level::ANONYMOUS;
        (
            candidate(channel, &head, anonymous),
            answer(channel, &view, Asker::ANONYMOUS),
        )
    }

    #[test]
    fn json_is_json_whatever_it_is_called() {
        // Withheld; no login is configured that could be asked for.
        let withheld = ForAnswer::Block(Reason::ChallengeImpossible);
        for kind in [
            "text/html",
            "text/html; charset=utf-8",
            "text/plain",
            "text/javascript",
            "x/y",
        ] {
            let flagged = judge(kind, r#"[{"protected":true,"text":"T"}]"#);
            assert_eq!(flagged, (Candidate::Yes, withheld.clone()), "{kind}");
        }
    }

    #[test]
    fn a_stream_is_judged_message_by_message() {
        let withheld = ForAnswer::Block(Reason::ChallengeImpossible);
        let released = ForAnswer::Release {
            reason: Reason::Unflagged,
            strip: Vec::new(),
        };
        for (kind, format, flagged, plain) in [
            (
                "text/event-stream",
                Format::Events,
                "data: 1\n\ndata: {\"protected\":\ndata:true}\n\n",
                "data: {\"protected\":false}\n\ndata: [DONE]\n\ndata: protected\n\n",
            ),
            (
                "Application/X-NDJSON; charset=utf-8",
                Format::Lines,
                "1\n{\"protected\":true}",
                "{}\n{\"protected\":false}\n",
            ),
            (
                "application/json-seq",
                Format::Records,
                "\u{1e}1\n\u{1e}{\"protected\":\ntrue}",
                "\u{1e}{}\n\u{1e}{\"protected\":false}\n",
            ),
        ] {
            let stream = Candidate::Stream(format);
            assert_eq!(judge(kind, flagged), (stream, withheld.clone()), "{kind}");
            assert_eq!(judge(kind, plain), (stream, released.clone()), "{kind}");
        }
    }

    #[test]
    fn a_stream_that_is_not_in_its_coding_is_withheld_from_everybody() {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (CONTENT_ENCODING, HeaderValue::from_static("br")),
        ];
        let headers = headers.into_iter().collect();
        let body = Bytes::from_static(b"data: {}\n\n");
        let body = Body::of(&headers, body, 1 << 10);
        let view = AnswerView {
            status: StatusCode::OK,
            headers: &headers,
            body: Some(&body),
        };
        let customer = Asker {
            level: Level(u8::MAX),
            ..Asker::ANONYMOUS
        };
        for asker in [Asker::ANONYMOUS, customer] {
            let verdict = answer(&channel(), &view, asker);
            assert_eq!(verdict, ForAnswer::Block(Reason::AnswerUndecodable));
        }
    }

    #[test]
    fn types_are_judged_as_configured() {
        let mut channel = channel();
        channel.inspection.pass_types = MediaTypes(vec!["text/x-log".into(), "model/*".into()]);
        channel.inspection.json_types = MediaTypes(vec!["text/plain".into()]);
        let withheld = ForAnswer::Block(Reason::ChallengeImpossible);
        let malformed = ForAnswer::Block(Reason::AnswerMalformed);
        let released = ForAnswer::Release {
            reason: Reason::Unflagged,
            strip: Vec::new(),
        };
        let flagged = r#"{"protected":true}"#;
        for (kind, body, verdict) in [
            ("text/x-log; charset=utf-8", flagged, &released),
            ("Model/obj", flagged, &released),
            ("text/x-logs", flagged, &withheld),
            ("image/png", flagged, &withheld),
            ("text/plain", "protected", &malformed),
            ("text/html", "protected", &released),
            ("application/problem+json", flagged, &withheld),
            ("application/problem+json", "protected", &malformed),
        ] {
            assert_eq!(&judge_on(&channel, kind, body).1, verdict, "{kind}: {body}");
        }
    }

    #[test]
    fn what_blocks_for_one_flag_is_not_released_for_another() {
        let mut channel = channel();
        channel.inspection.undecodable = Unreadable::Release;
        let own = channel.flags[0].clone();
        let mut other = own.clone();
        other.json = Some(JsonCondition {
            path: JsonPath::parse("$..geschützt").unwrap(),
            equals: None,
        });
        // Whichever comes first, and where its status is another.
        for (place, status) in [
            (0, Vec::new()),
            (1, Vec::new()),
            (0, vec![StatusCode::GONE]),
        ] {
            other.status = status;
            channel.flags = vec![own.clone()];
            channel.flags.insert(place, other.clone());
            let kind = HeaderValue::from_static("application/json; charset=iso-8859-1");
            let headers = [(CONTENT_TYPE, kind)].into_iter().collect();
            let bytes = Bytes::from_static(b"{\"protected\":true,\xfc");
            let body = Body::of(&headers, bytes, 1 << 10);
            let view = AnswerView {
                status: StatusCode::OK,
                headers: &headers,
                body: Some(&body),
            };
            let verdict = answer(&channel, &view, Asker::ANONYMOUS);
            assert_eq!(
                verdict,
                ForAnswer::Block(Reason::AnswerMalformed),
                "{place}"
            );
        }
    }

    #[test]
    fn what_only_a_lenient_reader_understands_is_blocked() {
        let blocked = ForAnswer::Block(Reason::AnswerMalformed);
        for (kind, body) in [
            (
                "application/jsonl",
                "{\"text\":\"T\"}\n{\"protected\":true,}\n",
            ),
            ("text/event-stream, x/y", "data: {\"protected\":true}\n\n"),
            ("text/event-stream", "{\"protected\":true,}"),
            ("application/json-seq", "\u{1e}{\"protected\":true,}\n"),
            ("text/plain", "{\"text\":\"T\"}\n{\"protected\":true}\n"),
            ("text/plain", "\u{feff}{\"protected\":true,}"),
            ("text/html", "[{\"protected\":true,}]"),
            ("application/javascript", "show({\"protected\":true})"),
            (
                "multipart/mixed; boundary=b",
                "--b\r\n\r\n{\"protected\":true}\r\n--b--",
            ),
        ] {
            assert_eq!(judge(kind, body).1, blocked, "{kind}: {body}");
        }
        for (kind, body) in [
            ("text/html", "<p>protected</p>"),
            ("text/plain", "protected"),
            ("multipart/mixed; boundary=b", "--b\r\n\r\nT\r\n--b--"),
        ] {
            let released = ForAnswer::Release {
                reason: Reason::Unflagged,
                strip: Vec::new(),
            };
            assert_eq!(judge(kind, body).1, released, "{kind}: {body}");
        }
    }
}
