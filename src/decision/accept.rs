//! Which types of answers a client may ask for where answers are judged. A backend that
//! negotiates content would otherwise say the same in one that nobody looks into.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};

use super::readable::names_json;
use crate::channel::flag::FlagLevel;
use crate::channel::{Channel, Flag};

/// What the backend is told to be accepted in place of what the client says: of that,
/// the types that are judged, those that need not be, and `*/*` unless it outranks a
/// judged one. `None` where the client's own words may go on, or there are none.
/// Several lines count as one (RFC 9110, section 5.3).
pub fn accept(channel: &Channel, headers: &HeaderMap) -> Option<HeaderValue> {
    if !headers.contains_key(ACCEPT) || !channel.flags.iter().any(reads_body) {
        return None;
    }
    let ranges = || {
        let lines = headers.get_all(ACCEPT).iter();
        let parts = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let parts = parts
            .map(<[u8]>::trim_ascii)
            .filter(|part| !part.is_empty());
        parts.map(|part| Range::of(channel, part))
    };
    // How far down judged types are ranked at least, and how far up any other.
    let (mut judged, mut any) = (1.0_f32, 0.0_f32);
    let mut all = true;
    for range in ranges() {
        match range {
            Range::Judged(_, rank) => judged = judged.min(rank.low),
            Range::Any(_, rank) => any = any.max(rank.high),
            Range::Passing(_) => {}
            Range::Other => all = false,
        }
    }
    let outranked = any > judged;
    if all && !outranked {
        return None;
    }
    let kept = ranges().filter_map(|range| match range {
        Range::Any(text, _) => (!outranked).then_some(text),
        Range::Judged(text, _) | Range::Passing(text) => Some(text),
        Range::Other => None,
    });
    let kept = kept.collect::<Vec<_>>().join(", ");
    let kept = HeaderValue::try_from(kept).ok();
    kept.filter(|kept| !kept.is_empty())
        .or(Some(HeaderValue::from_static("application/json")))
}

/// Whether the body has a say in what the flag demands.
fn reads_body(flag: &Flag) -> bool {
    let named = match &flag.level {
        FlagLevel::Named { selector, .. } => selector.needs_answer_body(),
        FlagLevel::Fixed(_) => false,
    };
    flag.json.is_some() || named
}

/// An element of `Accept` (RFC 9110, section 12.5.1).
enum Range<'a> {
    /// `*/*`.
    Any(&'a str, Rank),
    /// Of a type that is judged.
    Judged(&'a str, Rank),
    /// Of a type that the operator does not want judged.
    Passing(&'a str),
    /// Anything else, and what not every reader understands alike.
    Other,
}

impl<'a> Range<'a> {
    fn of(channel: &Channel, part: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(part) else {
            return Self::Other;
        };
        let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
        let kind = kind.trim_ascii();
        if !is_media_range(kind) || !is_plain(parameters) {
            return Self::Other;
        }
        let types = &channel.inspection;
        if kind == "*/*" {
            Self::Any(text, Rank::of(parameters))
        } else if types.json_types.has(kind) || names_json(kind) && !kind.contains('*') {
            Self::Judged(text, Rank::of(parameters))
        } else if types.pass_types.has(kind) {
            Self::Passing(text)
        } else {
            Self::Other
        }
    }
}

/// The weight of a range, as the one reader or the other may have it.
#[derive(Clone, Copy)]
struct Rank {
    low: f32,
    high: f32,
}

impl Rank {
    fn of(parameters: &str) -> Self {
        let all = parameters.split(';').filter_map(|one| one.split_once('='));
        let mut weights = all.filter(|(name, _)| name.trim_ascii().eq_ignore_ascii_case("q"));
        let Some((_, weight)) = weights.next() else {
            return Self {
                low: 1.0,
                high: 1.0,
            };
        };
        let weight = weight.trim_ascii();
        let number = weight
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        match weight.parse() {
            Ok(weight @ 0.0..=1.0) if number && weights.next().is_none() => Self {
                low: weight,
                high: weight,
            },
            _ => Self {
                low: 0.0,
                high: 1.0,
            },
        }
    }
}

/// Whether this is a media range by its grammar.
fn is_media_range(kind: &str) -> bool {
    let token = |part: &str| !part.is_empty() && part.bytes().all(is_token);
    kind.split_once('/')
        .is_some_and(|(kind, sub)| token(kind) && token(sub))
}

/// Whether parameters say the same to readers that know of quotes and to others: these
/// are closed, hide neither commas nor further quotes, and nothing else is unusual.
fn is_plain(parameters: &str) -> bool {
    let closed = parameters.bytes().filter(|byte| *byte == b'"').count() % 2 == 0;
    let mut outside = parameters.split('"').step_by(2).flat_map(str::bytes);
    let usual = |byte: u8| is_token(byte) || b"=; \t".contains(&byte);
    closed && !parameters.contains('\\') && outside.all(usual)
}

/// RFC 9110, section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;
    use crate::channel::MediaTypes;
    use crate::channel::flag::JsonCondition;
    use crate::interaction::Level;
    use crate::message::select::Source;
    use crate::message::{JsonPath, Selector};

    fn channel() -> Channel {
        let path = JsonPath::parse("$..protected").unwrap();
        let flag = Flag {
            name: "f".into(),
            status: Vec::new(),
            header: None,
            json: Some(JsonCondition { path, equals: None }),
            level: FlagLevel::Fixed(Level(1)),
            observe: false,
            strip: false,
        };
        Channel {
            flags: vec![flag],
            ..Channel::new("web")
        }
    }

    fn on(channel: &Channel, lines: &[&str]) -> Option<String> {
        let lines = lines.iter();
        let lines = lines.map(|line| (ACCEPT, HeaderValue::from_str(line).unwrap()));
        let accept = accept(channel, &lines.collect())?;
        Some(accept.to_str().unwrap().to_owned())
    }

    fn rewritten(line: &str) -> Option<String> {
        on(&channel(), &[line])
    }

    #[test]
    fn what_can_be_judged_or_need_not_be_goes_on_as_it_is() {
        assert_eq!(on(&channel(), &[]), None);
        for line in [
            "",
            "*/*",
            "application/json",
            "Application/JSON; charset=utf-8;q=0.5",
            "application/problem+json, application/ld+json",
            "application/vnd.api+json; ext=\"https://x.example/a\", */*",
            "text/event-stream, application/x-ndjson",
            "application/json, text/javascript, */*; q=0.01",
            "image/avif,image/webp,image/*,*/*;q=0.8",
            "application/pdf",
            "application/json;q=0.9, */*;q=0.9",
        ] {
            assert_eq!(rewritten(line), None, "{line}");
        }
    }

    #[test]
    fn what_nobody_could_look_into_is_not_asked_for() {
        for line in [
            "application/xml",
            "text/html;q=1",
            "application/yaml",
            "application/msgpack, text/csv",
            "text/*",
            "application/*",
            "*",
            "*/json",
            "*/*json",
            "application/xml x+json",
            "multipart/mixed",
            "application/json;a=text/html",
            "application/json;a=\"\\\", application/xml\"",
            "\u{a0}application/json",
        ] {
            assert_eq!(
                rewritten(line).as_deref(),
                Some("application/json"),
                "{line}"
            );
        }
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8";
        assert_eq!(rewritten(browser).unwrap(), "image/webp, */*;q=0.8");
        let lines = [
            "application/xml",
            "x/problem+json ;q=0.5,, text/csv",
            "text/html",
        ];
        assert_eq!(on(&channel(), &lines).unwrap(), "x/problem+json ;q=0.5");
        // Quotes that one reader opens and another does not.
        let quoted = "application/json;a=\"x, application/xml, image/png;b=\"y";
        assert_eq!(rewritten(quoted).as_deref(), Some("application/json"));
    }

    #[test]
    fn anything_goes_on_where_it_is_not_preferred_to_what_is_judged() {
        for line in [
            "application/json;q=0, */*",
            "application/json;q=0.1, */*;q=0.2",
            "application/json ; Q = .1, */*",
            "application/json;q=x, */*",
            "application/json;q=1;q=0, */*",
            "application/json;q=1e-3, */*",
            "application/json;q=0.5, */*;q=2",
        ] {
            let (judged, _) = line.rsplit_once(',').unwrap();
            assert_eq!(rewritten(line).as_deref(), Some(judged), "{line}");
        }
    }

    #[test]
    fn the_operator_says_which_types_are_judged_and_which_are_not() {
        let mut channel = channel();
        channel.inspection.json_types = MediaTypes(vec!["text/plain".into()]);
        channel.inspection.pass_types = MediaTypes(vec!["text/csv".into(), "model/*".into()]);
        let line = "text/plain, Text/CSV;q=0.5, model/obj, image/png, text/html";
        let kept = "text/plain, Text/CSV;q=0.5, model/obj";
        assert_eq!(on(&channel, &[line]).as_deref(), Some(kept));
    }

    #[test]
    fn only_where_a_flag_looks_into_the_body() {
        let mut channel = channel();
        channel.flags[0].json = None;
        channel.flags[0].status = vec![StatusCode::UNAUTHORIZED];
        assert_eq!(on(&channel, &["text/html"]), None);
        let path = JsonPath::parse("$.level").unwrap();
        channel.flags[0].level = FlagLevel::Named {
            selector: Selector(vec![Source::AnswerJson(path)]),
            names: vec!["verified".into()],
            fallback: Level(1),
        };
        assert!(on(&channel, &["text/html"]).is_some());
    }

    proptest! {
        #[test]
        fn what_goes_on_goes_on_again(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "application/json", "*/*", "text/html", "image/*", "x/y+json", ";q=0.5", ";q=0",
                    ";a=\"", "\"", ",", ", ", "\\", "application/xml", "*", ";",
                ]),
                0..12,
            ),
        ) {
            let line = parts.concat();
            if let Some(kept) = rewritten(&line) {
                prop_assert_eq!(rewritten(&kept), None, "{}", line);
                let outside: String = kept.split('"').step_by(2).collect();
                prop_assert!(!outside.contains("html") && !outside.contains("xml"), "{}", kept);
            }
        }
    }
}
