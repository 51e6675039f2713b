//! What passes, whole, and how a socket ends.

use std::time::Duration;

use super::{challenged, flagged, open, usual};
use crate::setup::{CANARY, OWNER, channel_to};
use crate::support::{Frame, Process, SocketOrigin, WebSocket, eventually};

#[test]
fn messages_pass_both_ways_whole() {
    let (gateway, origin) = usual("");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    customer.say("hello");
    assert_eq!(backend.hear(), "hello");
    backend.say("hello to you");
    assert_eq!(customer.hear(), "hello to you");

    // In fragments, a character cut in two, a ping in between: that is passed at once.
    customer.send(&Frame::new(1, "gr\u{fc}n".as_bytes()[..3].to_vec()).open());
    customer.send(&Frame::new(9, "there?"));
    assert_eq!(backend.next(), Frame::new(9, "there?"));
    backend.send(&Frame::new(10, "there?"));
    assert_eq!(customer.next(), Frame::new(10, "there?"));
    customer.send(&Frame::new(0, "gr\u{fc}n".as_bytes()[3..].to_vec()));
    assert_eq!(backend.hear(), "gr\u{fc}n");

    // Glued together, and byte by byte.
    let glued: Vec<u8> = ["a", "b", "c"]
        .iter()
        .flat_map(|text| Frame::text(text).bytes(false))
        .collect();
    backend.send_raw(&glued);
    assert_eq!(
        [customer.hear(), customer.hear(), customer.hear()],
        ["a", "b", "c"]
    );
    for byte in Frame::text("slowly").bytes(true) {
        customer.send_raw(&[byte]);
    }
    assert_eq!(backend.hear(), "slowly");

    // Binary, and large.
    let image: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    backend.send(&Frame::new(2, image.clone()));
    assert_eq!(customer.next(), Frame::new(2, image.clone()));
    customer.send(&Frame::new(2, image.clone()));
    assert_eq!(backend.next(), Frame::new(2, image));
    let long = "x".repeat(900_000);
    customer.say(&long);
    assert_eq!(backend.hear(), long);
}

#[test]
fn close_codes_pass_both_ways() {
    let (gateway, origin) = usual("");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    customer.send(&Frame::close(4000, "enough"));
    assert_eq!(backend.next(), Frame::close(4000, "enough"));
    backend.say("one more thing");
    backend.send(&Frame::close(4000, ""));
    assert_eq!(customer.hear(), "one more thing");
    assert_eq!(customer.next(), Frame::close(4000, ""));
    assert_eq!((customer.frame(), backend.frame()), (None, None));

    let (mut customer, mut backend) = open(&gateway, &origin, "c2");
    backend.send(&Frame::new(8, ""));
    assert_eq!(customer.next(), Frame::new(8, ""));
    customer.send(&Frame::new(8, ""));
    assert_eq!(backend.next(), Frame::new(8, ""));
    assert_eq!((customer.frame(), backend.frame()), (None, None));

    // A connection that breaks is no close.
    let (customer, mut backend) = open(&gateway, &origin, "c3");
    drop(customer);
    assert_eq!(backend.frame(), None);
    let (mut customer, backend) = open(&gateway, &origin, "c4");
    drop(backend);
    assert_eq!(customer.frame(), None);
}

#[test]
fn what_the_protocol_forbids_ends_the_socket() {
    let (gateway, origin) = usual("max_message = \"1KiB\"");
    let cases: &[(&[u8], u16)] = &[
        (b"\xc1\x80mask", 1002),
        (b"\x83\x80mask", 1002),
        (b"\x81\x01a", 1002),
        (b"\x80\x80mask", 1002),
        (b"\x81\x81\x00\x00\x00\x00\xff", 1007),
        (b"\x81\xfe\x04\x01\x00\x00\x00\x00{", 1009),
        (b"\x82\xfe\x04\x01\x00\x00\x00\x00{", 1009),
        (b"\x81\xfe\x04\x01\x00\x00\x00\x00x\x01", 1009),
    ];
    for (bytes, code) in cases {
        let (mut customer, mut backend) = open(&gateway, &origin, "c1");
        customer.send_raw(bytes);
        assert_eq!(customer.next().code(), Some(*code), "{bytes:x?}");
        assert_eq!(backend.next().code(), Some(1001), "{bytes:x?}");
    }
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    backend.send_raw(b"\x81\x81maska");
    assert_eq!(customer.next().code(), Some(1002));

    // Too long to be judged, and to be released; JSON in binary no less than in text.
    let long = CANARY.repeat(200);
    for opcode in [1, 2] {
        for blanks in ["", "\n"] {
            let (mut customer, mut backend) = open(&gateway, &origin, "c1");
            let said = format!("{blanks}{{\"authentication_required\":true,\"a\":\"{long}\"}}");
            backend.send(&Frame::new(opcode, said));
            assert_eq!(customer.next().code(), Some(1009), "{opcode} {blanks:?}");
        }
    }
    // What is no JSON has nothing to judge, at any length.
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    backend.send(&Frame::new(2, vec![7; 5000]));
    let mut image = Vec::new();
    loop {
        let frame = customer.next();
        image.extend(frame.payload);
        if frame.fin {
            break;
        }
    }
    assert_eq!(image, vec![7; 5000]);
}

#[test]
fn idle_sockets_are_kept_alive_and_dead_ones_found() {
    let (gateway, origin) = usual("ping = \"20s\"");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    for _ in 0..4 {
        gateway.clock.advance(Duration::from_secs(20));
        for end in [&mut customer, &mut backend] {
            let ping = end.frame().unwrap();
            assert_eq!((ping.opcode, ping.payload.len()), (9, 8));
            end.send(&Frame::new(10, ping.payload));
        }
    }
    customer.say("still there");
    assert_eq!(
        backend.hear(),
        "still there",
        "pongs to the gateway are its own"
    );
    // Nobody answers any more.
    for _ in 0..2 {
        gateway.clock.advance(Duration::from_secs(20));
        assert_eq!(customer.frame().unwrap().opcode, 9);
    }
    gateway.clock.advance(Duration::from_secs(20));
    assert_eq!(customer.frame(), None);
}

#[test]
fn open_sockets_and_messages_are_counted() {
    let (gateway, origin) = usual("");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    backend.say_json(&flagged("statement"));
    challenged(&mut customer);
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("chatgate_sockets", &[("channel", "web")]), 1.0);
    let flagged = [("channel", "web"), ("reason", "flagged")];
    assert_eq!(metrics.sum("chatgate_socket_messages_total", &flagged), 1.0);
    drop(customer);
    assert_eq!(backend.frame(), None);
    eventually("the socket is counted off", || {
        let open = gateway
            .metrics()
            .sum("chatgate_sockets", &[("channel", "web")]);
        (open == 0.0).then_some(())
    });
}

#[test]
fn a_reload_leaves_sockets_open_and_the_end_closes_them() {
    let origin = SocketOrigin::start();
    let tables = channel_to(
        &origin.upstream(),
        "",
        &format!("{OWNER}[channel.web.websocket]\n"),
    );
    let mut process = Process::start(&tables);
    let customer = WebSocket::ask(process.at.plain, "/chat/c1/ws", &[]);
    let mut customer = customer.unwrap_or_else(|answer| panic!("{}", answer.text()));
    let mut backend = origin.accept();

    process.rewrite(&channel_to(&origin.upstream(), "", OWNER));
    process.signal("HUP");
    eventually("the configuration is reloaded", || {
        process.log().contains("was reloaded").then_some(())
    });
    // It keeps the configuration it began with, in which flags are judged.
    backend.say_json(&flagged("statement"));
    challenged(&mut customer);
    let refused = WebSocket::ask(process.at.plain, "/chat/c2/ws", &[]);
    assert_eq!(
        refused.err().map(|answer| answer.status),
        Some(502),
        "no upgrade any more"
    );

    process.signal("TERM");
    customer.say("still there");
    assert_eq!(backend.hear(), "still there");
    assert_eq!(customer.next().code(), Some(1001));
    customer.send(&Frame::close(1001, ""));
    assert_eq!(
        (customer.frame(), backend.next().code()),
        (None, Some(1001))
    );
    let ended = eventually("the process ends", || process.ended());
    assert!(ended.success());
}

#[test]
fn who_does_not_read_holds_nothing_up() {
    let (gateway, origin) = usual("max_message = \"16MiB\"");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    // More than the buffers on the way take, both ways at once, and nobody reads yet.
    let long = "x".repeat(8 << 20);
    let frames = [
        Frame::text(&long).bytes(true),
        Frame::text(&long).bytes(false),
    ];
    std::thread::scope(|scope| {
        let mut ways = [customer.copy(), backend.copy()].into_iter().zip(&frames);
        for _ in 0..2 {
            let (mut end, bytes) = ways.next().unwrap();
            scope.spawn(move || end.send_raw(bytes));
        }
        assert_eq!(customer.hear().len(), long.len());
        assert_eq!(backend.hear().len(), long.len());
    });
}
