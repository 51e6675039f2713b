//! Bodies made to be misread: bombs, encodings, spellings of a flag.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::setup::{CANARY, OWNER, bot, channel, fresh, is_challenge, login_url, usual};
use crate::support::{Gateway, Origin, Reply, Request, eventually};

/// Types that a backend may give its JSON; careless ones among them.
const KINDS: &[&str] = &[
    "application/json",
    "application/json;charset=utf-8",
    "application/problem+json",
    "text/json",
    "text/plain",
    "text/html",
    "text/javascript",
    "application/octet-stream",
    "garbage",
    "",
];

/// Index of the spelling and of the type in a target.
fn parts(target: &str) -> (usize, usize) {
    let mut parts = target.rsplit('/').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

#[test]
fn a_flag_is_a_member_in_every_spelling() {
    let spellings = [
        r#"{"authentication_required":true}"#,
        r#"{ "authentication_required" : true }"#,
        "{\"authentication_required\"\r\n\t:\n true}",
        r#"{"authentication_\u0072equired":true}"#,
        r#"{"\u0061\u0075thentication_required":true}"#,
        r#"{"authentication_required":false,"authentication_required":true}"#,
        r#"{"authentication_required":true,"authentication_required":false}"#,
        r#"{"authentication_required":true,"authentication\u005frequired":false}"#,
        r#"[[[{"a":[{"authentication_required":true}]}]]]"#,
        r#"[{"text":"a"},{"text":"b","authentication_required":true}]"#,
        "\u{feff}{\"authentication_required\":true}",
    ];
    let origin = Origin::start(move |seen| {
        let (index, kind) = parts(&seen.target);
        let body = format!(
            "{{\"x\":\"{CANARY}\",\"y\":{}}}",
            spellings[index].trim_start_matches('\u{feff}')
        );
        let body = match spellings[index].starts_with('\u{feff}') {
            true => format!("\u{feff}{body}"),
            false => body,
        };
        let reply = Reply::new(200, body);
        match KINDS[kind] {
            "" => reply,
            kind => reply.header("Content-Type", kind),
        }
    });
    let gateway = Gateway::start(&channel(&origin, "", OWNER));
    let mut wire = gateway.wire();
    for (index, spelling) in spellings.iter().enumerate() {
        for (number, kind) in KINDS.iter().enumerate() {
            let target = format!("/chat/c{index}-{number}/{number}/{index}");
            let answer = wire.exchange(&Request::get(&target));
            let shown = format!("{spelling} as {kind}");
            assert!(!answer.contains(CANARY), "{shown}");
            assert!(
                is_challenge(&answer) || answer.status == 502,
                "{shown}: {}",
                answer.text()
            );
        }
    }
}

#[test]
fn what_cannot_be_judged_is_blocked() {
    let origin = Origin::start(|seen| {
        let flagged = json!({"authentication_required": true, "text": CANARY}).to_string();
        let json = |body: Vec<u8>| Reply::new(200, body).header("Content-Type", "application/json");
        let wide: Vec<u8> = flagged.encode_utf16().flat_map(u16::to_le_bytes).collect();
        match seen.target.rsplit('/').next().unwrap() {
            "gzip" => json(flagged.into()).header("Content-Encoding", "gzip"),
            "both" => json(coded("gzip", &coded("br", flagged.as_bytes())))
                .header("Content-Encoding", "br, gzip"),
            "part" => json([coded("gzip", flagged.as_bytes()), vec![0]].concat())
                .header("Content-Encoding", "gzip"),
            "utf7" => Reply::new(200, flagged).header("Content-Type", "text/html; charset=utf-7"),
            "sjis" => {
                Reply::new(200, flagged).header("Content-Type", "text/html; charset=shift_jis")
            }
            "twice" => json(flagged.into())
                .header("Content-Encoding", "identity")
                .header("Content-Encoding", "br"),
            "list" => json(flagged.into()).header("Content-Encoding", "identity, gzip"),
            "unknown" => json(flagged.into()).header("Content-Encoding", "x-none"),
            "broken" => json(flagged[..flagged.len() - 1].into()),
            "after" => json(format!("{flagged}{flagged}").into()),
            "utf16" => json(wide),
            "latin1" => json([flagged.as_bytes(), b"\xff"].concat()),
            "deep" => json(
                [
                    flagged.replace('}', ",\"d\":").as_bytes(),
                    &b"[".repeat(100_000),
                    &b"]".repeat(100_000),
                    b"}",
                ]
                .concat(),
            ),
            "open" => json([b"[\"authentication_required\"", &b"[".repeat(900_000)[..]].concat()),
            "names" => json(format!("{{{}{}", "\"a\":1,".repeat(100_000), &flagged[1..]).into()),
            _ => Reply::json(&json!({"text": "hello"})),
        }
    });
    let gateway = Gateway::start(&channel(&origin, "", OWNER));
    let mut wire = gateway.wire();
    for (what, code) in [
        ("gzip", "answer-undecodable"),
        ("both", "answer-undecodable"),
        ("part", "answer-undecodable"),
        ("utf7", "answer-undecodable"),
        ("sjis", "answer-undecodable"),
        ("twice", "answer-undecodable"),
        ("list", "answer-undecodable"),
        ("unknown", "answer-undecodable"),
        ("broken", "answer-malformed"),
        ("after", "answer-malformed"),
        ("utf16", "answer-malformed"),
        ("latin1", "answer-malformed"),
        ("deep", "answer-malformed"),
        ("open", "answer-malformed"),
    ] {
        let target = format!("/chat/{}/{what}", fresh());
        let answer = wire.exchange(&Request::get(&target));
        assert!(!answer.contains(CANARY), "{what}");
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (502, code),
            "{what}"
        );
    }
    let answer = wire.exchange(&Request::get("/chat/names/names"));
    assert!(!answer.contains(CANARY) && (is_challenge(&answer) || answer.status == 502));
    assert_eq!(
        wire.exchange(&Request::get("/chat/x/x")).json(),
        json!({"text": "hello"})
    );
}

/// A body in a content coding, as a backend writes it that does not care what it is asked.
fn coded(coding: &str, text: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
            encoder.write_all(text).unwrap();
            encoder.into_inner()
        }
        "zstd" => zstd::encode_all(text, 3).unwrap(),
        other => panic!("{other}"),
    }
}

const CODINGS: &[&str] = &["gzip", "deflate", "br", "zstd"];

#[test]
fn an_answer_that_is_encoded_unasked_is_decoded_and_judged() {
    let plain = r#"{"text":"Gr\u00fc\u00dfe","n":1.50}"#;
    let origin = Origin::start(move |seen| {
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        let mut parts = seen.target.rsplit('/');
        let (what, coding) = (parts.next().unwrap(), parts.next().unwrap());
        let text = match what {
            "plain" => plain.to_owned(),
            "flagged" => json!({"authentication_required": true, "text": CANARY}).to_string(),
            "bomb" => format!("{{\"text\":\"{CANARY}{}\"}}", " ".repeat(8 << 20)),
            other => panic!("{other}"),
        };
        Reply::new(200, coded(coding, text.as_bytes()))
            .header("Content-Type", "application/json")
            .header("Content-Encoding", coding)
            .header("ETag", "\"e\"")
    });
    let gateway = Gateway::start(&channel(&origin, "", OWNER));
    let mut wire = gateway.wire();
    for coding in CODINGS {
        let mut ask =
            |what| wire.exchange(&Request::get(&format!("/chat/{}/{coding}/{what}", fresh())));
        // As it came, to the byte.
        let released = ask("plain");
        assert_eq!(released.body, coded(coding, plain.as_bytes()), "{coding}");
        assert_eq!(released.header("content-encoding"), Some(*coding));
        assert_eq!(released.header("etag"), Some("\"e\""));
        let withheld = ask("flagged");
        assert!(
            is_challenge(&withheld) && !withheld.contains(CANARY),
            "{coding}"
        );
        assert_eq!(withheld.header("content-encoding"), None);
        let bomb = ask("bomb");
        assert_eq!(
            (bomb.status, &*bomb.code()),
            (502, "answer-too-large"),
            "{coding}"
        );

        // The flag is taken off what the customer may see: it is plain then.
        let chat = fresh();
        let mut browser = gateway.browser();
        let target = format!("/chat/{chat}/{coding}/flagged");
        let login = login_url(&browser.get(&target));
        assert_eq!(gateway.site.log_in(&login, "alice").status, 200);
        let stripped = browser.get(&target);
        assert_eq!(stripped.json(), json!({"text": CANARY}), "{coding}");
        assert_eq!(stripped.header("content-encoding"), None);
        assert_eq!(stripped.header("etag"), None);
    }
}

#[test]
fn ascii_is_read_in_every_charset_of_one_byte() {
    let origin = Origin::start(|seen| {
        let flag = seen.target.ends_with("/flagged");
        let text = format!("{{\"text\":\"Gr@@e {CANARY}\",\"authentication_required\":{flag}}}");
        let mut text = text.into_bytes();
        for byte in text.iter_mut().filter(|byte| **byte == b'@') {
            *byte = 0xfc;
        }
        let kind = match seen.target.contains("latin1") {
            true => "application/json; charset=ISO-8859-1",
            false => "text/html; charset=\"windows-1252\"",
        };
        Reply::new(200, text).header("Content-Type", kind)
    });
    let gateway = Gateway::start(&channel(&origin, "", OWNER));
    for charset in ["latin1", "windows"] {
        let mut browser = gateway.browser();
        let (plain, flagged) = (
            format!("/chat/{}/{charset}/plain", fresh()),
            format!("/chat/{}/{charset}/flagged", fresh()),
        );
        let released = browser.get(&plain);
        assert_eq!(released.status, 200);
        assert!(released.contains(CANARY) && released.body.contains(&0xfc));
        let withheld = browser.get(&flagged);
        assert!(
            is_challenge(&withheld) && !withheld.contains(CANARY),
            "{charset}"
        );
        assert_eq!(
            gateway.site.log_in(&login_url(&withheld), "alice").status,
            200
        );
        let stripped = browser.get(&flagged);
        let text = format!("{{\"text\":\"Gr@@e {CANARY}\"}}").replace('@', "\u{fc}");
        let narrow: Vec<u8> = text.chars().map(|c| u8::try_from(c).unwrap()).collect();
        assert_eq!(stripped.body, narrow, "{charset}");
    }
}

#[test]
fn a_request_that_is_a_bomb_is_refused_without_a_crash() {
    let (gateway, origin) = usual();
    let mut wire = gateway.wire();
    let post = |body: Vec<u8>| {
        Request::new("POST", "/chat/c1/ask")
            .header("Content-Type", "application/json")
            .body(body)
    };
    let deep = |open: &[u8], close: &[u8]| {
        let (open, close) = (open.repeat(5_000), close.repeat(5_000));
        [
            b"{\"metadata\":{\"customer\":",
            &*open,
            b"1",
            &*close,
            b"}}",
        ]
        .concat()
    };
    for body in [
        deep(b"[", b"]"),
        deep(b"{\"a\":", b"}"),
        deep(b"[", b""),
        b"{\"metadata\":{\"customer\":\"x\"}".to_vec(),
    ] {
        let answer = wire.exchange(&post(body.clone()));
        assert!(
            matches!(answer.status, 400 | 413),
            "{:.40} {} {}",
            String::from_utf8_lossy(&body),
            answer.status,
            answer.text()
        );
    }
    // Nobody looks into it, also where nothing else has to be known of the body.
    let long = Request::new("POST", "/plain/x").header("Content-Type", "text/plain");
    for request in [post(b"{}".to_vec()), long.body("x".repeat(20_000))] {
        let encoded = request.header("Content-Encoding", "gzip");
        assert_eq!(gateway.wire().exchange(&encoded).status, 400);
    }
    assert_eq!(origin.count(), 0);
    assert_eq!(gateway.wire().exchange(&post(b"{}".to_vec())).status, 200);
}

#[test]
fn the_clients_copy_of_a_managed_member_is_gone() {
    let origin = bot();
    let gateway = Gateway::start(&channel(&origin, "", OWNER));
    for body in [
        r#"{"metadata":{"customer":"spoofed"}}"#,
        r#"{"metadata":{"customer":"a","customer":"spoofed"}}"#,
        r#"{"metadata":{"cust\u006fmer":"spoofed"}}"#,
        r#"{"metadat\u0061":{"customer":"spoofed"}}"#,
        r#"{"metadata":{"customer":"spoofed"},"metadata":{"customer":"spoofed"}}"#,
        r#"{"metadata":{},"metadata":{"customer":{"a":"spoofed"}}}"#,
        r#"{"metadata":[{"customer":"spoofed"}]}"#,
        r#"[{"metadata":{"customer":"spoofed"}}]"#,
        r#"[1, [{"Metadata":{"cust\u006fmer":"spoofed"}}]]"#,
    ] {
        for kind in [
            "application/json",
            "application/json; charset=utf-8",
            "application/vnd.x+json",
            "text/plain",
            "",
        ] {
            for target in ["/chat/c1/ask", "/plain/x", "/end/c2"] {
                origin.clear();
                let request = Request::new("POST", target)
                    .header("Content-Type", kind)
                    .body(body);
                let answer = gateway.wire().exchange(&request);
                let array = body.contains(":[");
                for seen in origin.seen() {
                    // What has the member elsewhere is not the managed member.
                    assert!(array || !seen.contains("spoofed"), "{body} {kind} {target}");
                }
                assert!(matches!(answer.status, 200 | 400), "{body} {kind} {target}");
            }
        }
    }
}

/// Json.NET, Gson, JSON5 and others pass over what JSON does not allow.
#[test]
fn what_only_lenient_backends_take_for_json_forges_no_member() {
    let (gateway, origin) = usual();
    let forged = r#"{"metadata":{"customer":"spoofed"}}"#;
    let long = format!("/*{}*/{forged}", "x".repeat(20_000));
    let bodies = ["/**/", "//x\n", "\u{a0}", "\u{b}", ")]}',\n"].map(|b| format!("{b}{forged}"));
    for body in bodies.iter().chain([&long, &format!("\"x\"\n{forged}\n")]) {
        for kind in ["application/json", "application/x-ndjson", ""] {
            for target in ["/chat/c1/ask", "/plain/x", "/end/c2"] {
                let request = Request::new("POST", target).body(body.as_bytes());
                let request = match kind {
                    "" => request,
                    kind => request.header("Content-Type", kind),
                };
                let answer = gateway.wire().exchange(&request);
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (400, "bad-body"),
                    "{body} {kind} {target}"
                );
            }
        }
    }
    assert!(!origin.seen().iter().any(|seen| seen.contains("spoofed")));
}

#[test]
fn who_hangs_up_in_the_middle_of_a_body_is_no_failure_of_ours() {
    let (gateway, origin) = usual();
    let head = "POST /chat/c1/ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n");
    let mut wire = gateway.wire();
    wire.send(&chunked);
    let answer = wire.answer("POST");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "bad-body"),
        "{}",
        answer.text()
    );

    let counted = |reason: &str| {
        let labels = [("channel", "web"), ("reason", reason)];
        gateway.metrics().sum("chatgate_exchanges_total", &labels)
    };
    for (number, framed) in [
        format!("{head}Content-Length: 50\r\n\r\nabc"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nab"),
    ]
    .iter()
    .enumerate()
    {
        let mut wire = gateway.wire();
        wire.send(framed);
        wire.finish();
        assert!(wire.rest().is_empty(), "{framed}");
        eventually("it is counted as the client's fault", || {
            (counted("bad-body") >= number as f64 + 2.0).then_some(())
        });
    }
    assert_eq!(counted("internal"), 0.0);
    let failures = gateway
        .metrics()
        .sum("chatgate_upstream_failures_total", &[]);
    assert_eq!(failures, 0.0);
    assert_eq!(origin.count(), 0);
}

/// A stream may have no end: its head decides, at once.
#[test]
fn a_stream_that_cannot_be_judged_is_not_waited_for() {
    let endless = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = endless.local_addr().unwrap();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in endless.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: compress\r\nTransfer-Encoding: chunked\r\n\r\n";
            let event = format!("data: {CANARY}\n\n");
            write!(stream, "{head}{:x}\r\n{event}\r\n", event.len()).unwrap();
            open.push(stream);
        }
    });
    let origin = bot();
    let tables = channel(&origin, "", OWNER);
    let upstream = origin.upstream("bot");
    let url = upstream.split('"').nth(1).unwrap();
    let tables = tables.replace(url, &format!("http://{address}"));
    for (undecodable, status, passes) in [("block", "502", false), ("release", "200", true)] {
        let inspect = format!("[channel.web.inspect]\nundecodable = \"{undecodable}\"\n");
        let gateway = Gateway::start(&format!("{tables}{inspect}"));
        let mut client = TcpStream::connect(gateway.at.plain).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        write!(client, "GET /chat/c1/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut came = String::new();
        let wanted = if passes { CANARY } else { "answer-undecodable" };
        while !came.contains(wanted) {
            let mut bytes = [0; 4096];
            let n = client.read(&mut bytes).expect("an answer in time");
            assert!(n > 0, "{undecodable}: {came}");
            came += &String::from_utf8_lossy(&bytes[..n]);
        }
        assert!(came.starts_with(&format!("HTTP/1.1 {status}")), "{came}");
        assert_eq!(came.contains(CANARY), passes, "{came}");
    }
}

#[test]
fn answers_without_length_of_old_backends_are_judged_and_go_on_as_they_came() {
    let plain =
        r#"{"n":1e999,"m":-123456789012345678901234567890.50,"authentication_required":false}"#;
    let origin = Origin::start(move |seen| {
        let text = match seen.target.ends_with("/plain") {
            true => plain.to_owned(),
            false => plain.replace("false", &format!("true,\"text\":\"{CANARY}\"")),
        };
        let head = match seen.target.rsplit('/').nth(1).unwrap() {
            "old" => "HTTP/1.0 200 OK\r\nContent-Type: application/problem+json",
            "untyped" => "HTTP/1.0 200 OK",
            _ => "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json",
        };
        Reply::raw(format!("{head}\r\n\r\n{text}"))
    });
    let gateway = Gateway::start(&channel(&origin, "", OWNER));
    for head in ["old", "untyped", "close"] {
        let mut wire = gateway.wire();
        let mut ask =
            |what| wire.exchange(&Request::get(&format!("/chat/{}/{head}/{what}", fresh())));
        let released = ask("plain");
        assert_eq!((released.status, &*released.text()), (200, plain), "{head}");
        assert_eq!(
            released.header("content-length"),
            Some(&*plain.len().to_string())
        );
        let withheld = ask("flagged");
        assert!(
            is_challenge(&withheld) && !withheld.contains(CANARY),
            "{head}"
        );
    }
}

#[test]
fn types_pass_or_are_json_as_configured() {
    let flagged = json!({"authentication_required": true, "text": CANARY}).to_string();
    let origin = Origin::start(move |seen| {
        let body = match seen.target.ends_with("/broken") {
            true => "authentication_required".to_owned(),
            false => flagged.clone(),
        };
        let kind = seen.target.split('/').nth(3).unwrap().replace('-', "/");
        Reply::new(200, body).header("Content-Type", &format!("{kind}; x=y"))
    });
    let types = "[channel.web.inspect]\npass_types = [\"text/css\", \"model/*\"]\njson_types = \"text/plain\"\n";
    let gateway = Gateway::start(&channel(&origin, "", &format!("{OWNER}{types}")));
    let mut wire = gateway.wire();
    for (target, code) in [
        ("text-css/flagged", "passes"),
        ("model-obj/flagged", "passes"),
        ("image-png/flagged", "withheld"),
        ("text-plain/flagged", "withheld"),
        ("text-plain/broken", "answer-malformed"),
        ("text-html/broken", "passes"),
        ("application-json/broken", "answer-malformed"),
    ] {
        let answer = wire.exchange(&Request::get(&format!("/chat/{}/{target}", fresh())));
        let verdict = match (is_challenge(&answer), answer.status) {
            (true, _) => "withheld".to_owned(),
            (false, 200) => "passes".to_owned(),
            _ => answer.code(),
        };
        assert_eq!(verdict, code, "{target}");
    }
}
