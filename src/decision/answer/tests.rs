use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use super::*;
use crate::channel::flag::{FlagLevel, JsonCondition};
use crate::channel::{Items, MediaTypes};
use crate::decision::{Candidate, candidate, findings};
use crate::message::stream::Format;
use crate::message::{Body, JsonPath, MemberPath};

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
        flags: vec![flag],
        ..Channel::new("web")
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
fn elements_are_judged_in_every_message_of_a_stream_that_is_judged_whole() {
    let mut channel = channel();
    let condition = channel.flags[0].json.as_mut().unwrap();
    condition.path = JsonPath::parse("$.protected").unwrap();
    channel.items = Some(Items {
        at: MemberPath::parse("$.list").unwrap(),
        id: None,
    });
    let withheld = ForAnswer::Block(Reason::ChallengeImpossible);
    let flagged = r#"{"list":[{"text":"T"},{"protected":true}]}"#;
    let other = r#"{"list":[{"protected":false}]}"#;
    for (kind, before, after) in [
        ("application/json", "", ""),
        ("application/x-ndjson", "", "\n"),
        ("application/json-seq", "\u{1e}", "\n"),
        ("text/event-stream", "data: ", "\n\n"),
    ] {
        let one = |text: &str| format!("{before}{text}{after}");
        let several = match after {
            "" => one(flagged),
            _ => one(other) + &one(flagged) + &one(other),
        };
        assert_eq!(judge_on(&channel, kind, &several).1, withheld, "{kind}");
        let released = judge_on(&channel, kind, &one(other)).1;
        assert!(matches!(released, ForAnswer::Release { .. }), "{kind}");

        let kind = HeaderValue::from_str(kind).unwrap();
        let headers = [(CONTENT_TYPE, kind)].into_iter().collect();
        let body = Body::new(several.into());
        let view = AnswerView {
            status: StatusCode::OK,
            headers: &headers,
            body: Some(&body),
        };
        assert_eq!(findings(&channel, &view), [Finding::Matches(Level(1))]);
    }
}

#[test]
fn a_type_that_is_a_list_is_none_that_passes() {
    let withheld = ForAnswer::Block(Reason::ChallengeImpossible);
    let malformed = ForAnswer::Block(Reason::AnswerMalformed);
    for kind in [
        "image/png, application/json",
        "image/png;a=b, application/json",
        "image/png;a=\"b\", application/json",
        "image/png;a=\", application/json",
        "image/png;a=\"\\\", application/json;b=\"",
        "text/plain, text/css",
    ] {
        let flagged = judge(kind, r#"{"protected":true}"#);
        assert_eq!(flagged, (Candidate::Yes, withheld.clone()), "{kind}");
        assert_eq!(judge(kind, "protected").1, malformed, "{kind}");
    }
    let film = judge("video/mp4; codecs=\"avc1.42E01E, mp4a.40.2\"", "protected");
    assert_eq!(film.0, Candidate::No);
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
    channel.inspection.pass_types = MediaTypes(
        ["text/x-log", "model/*", "video/x+json"]
            .map(Box::from)
            .into(),
    );
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
        // What calls itself JSON is not one of a family, but may be named.
        ("model/json", flagged, &withheld),
        ("Model/x+JSON", flagged, &withheld),
        ("video/x+json", flagged, &released),
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
