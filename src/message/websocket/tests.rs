use proptest::prelude::*;

use super::*;

/// Everything that comes out of `bytes`, fed in portions.
fn decode<'b>(
    from: Side,
    cap: usize,
    portions: impl IntoIterator<Item = &'b [u8]>,
) -> (Vec<Event>, Option<Violation>) {
    let mut decoder = Decoder::new(from, cap);
    let mut events = Vec::new();
    for portion in portions {
        decoder.feed(portion);
        loop {
            match decoder.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(violation) => return (events, Some(violation)),
            }
        }
    }
    (events, None)
}

/// The same without regard to where a message that streams was cut: its pieces
/// become one. Those of a message that did not end are left out.
fn whole((events, violation): (Vec<Event>, Option<Violation>)) -> (Vec<Event>, Option<Violation>) {
    let mut out = Vec::new();
    let mut streaming: Option<(bool, Vec<u8>)> = None;
    for event in events {
        let Event::Piece(piece) = event else {
            out.push(event);
            continue;
        };
        assert_eq!(piece.first, streaming.is_none());
        let (text, bytes) = streaming.get_or_insert((piece.text, Vec::new()));
        assert_eq!(*text, piece.text);
        bytes.extend_from_slice(&piece.bytes);
        if piece.last
            && let Some((text, bytes)) = streaming.take()
        {
            out.push(Event::Piece(Piece {
                text,
                bytes: bytes.into(),
                first: true,
                last: true,
            }));
        }
    }
    (out, violation)
}

fn text(text: &str) -> Event {
    Event::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn unmasked(bytes: &[u8]) -> (Vec<Event>, Option<Violation>) {
    decode(Side::Server, 1 << 16, [bytes])
}

#[test]
fn reads_the_examples_of_the_rfc() {
    assert_eq!(unmasked(b"\x81\x05Hello").0, [text("Hello")]);
    assert_eq!(unmasked(b"\x01\x03Hel\x80\x02lo").0, [text("Hello")]);
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(decode(Side::Client, 9, [&masked[..]]).0, [text("Hello")]);
    assert_eq!(
        unmasked(b"\x89\x05Hello").0,
        [Event::Ping(Bytes::from_static(b"Hello"))]
    );
    let mut long = b"\x82\x7e\x01\x00".to_vec();
    long.resize(4 + 256, 7);
    let (events, _) = unmasked(&long);
    assert!(matches!(&events[..], [Event::Binary(bytes)] if bytes.len() == 256));
}

#[test]
fn writes_the_examples_of_the_rfc() {
    let mut out = BytesMut::new();
    text("Hello").encode(Some([0x37, 0xfa, 0x21, 0x3d]), &mut out);
    assert_eq!(&out[..], b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    out.clear();
    Event::Close(Some(Close::new(1000, "bye"))).encode(None, &mut out);
    assert_eq!(&out[..], b"\x88\x05\x03\xe8bye");
}

#[test]
fn control_frames_come_out_between_the_parts_of_a_message() {
    let (events, violation) =
        unmasked(b"\x01\x03Hel\x89\x01p\x00\x01l\x8a\x00\x80\x01o\x88\x02\x03\xe8");
    let expected = [
        Event::Ping(Bytes::from_static(b"p")),
        Event::Pong(Bytes::new()),
        text("Hello"),
        Event::Close(Some(Close::new(1000, ""))),
    ];
    assert_eq!((&events[..], violation), (&expected[..], None));
}

#[test]
fn what_the_protocol_forbids_is_refused() {
    for (frame, code) in [
        (&b"\xc1\x00"[..], 1002),    // RSV1
        (b"\xa1\x00", 1002),         // RSV2
        (b"\x91\x00", 1002),         // RSV3
        (b"\x83\x00", 1002),         // data opcodes not defined
        (b"\x8b\x00", 1002),         // control opcodes not defined
        (b"\x81\x80mask", 1002),     // a server that masks
        (b"\x80\x00", 1002),         // continues nothing
        (b"\x01\x00\x81\x00", 1002), // begins before the end
        (b"\x01\x00\x82\x00", 1002),
        (b"\x09\x00", 1002),         // a ping in parts
        (b"\x89\x7e\x00\x7e", 1002), // a long ping
        (b"\x81\x7e\x00\x7d", 1002), // lengths longer than they need to be
        (b"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff", 1002),
        (b"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 1002),
        (b"\x88\x01\x03", 1002),     // half a close code
        (b"\x88\x02\x03\xed", 1002), // 1005 is never sent
        (b"\x88\x02\x00\x00", 1002),
        (b"\x88\x03\x03\xe8\xff", 1007), // a reason that is no text
        (b"\x81\x01\xff", 1007),
        (b"\x81\x02\xc3\x28", 1007),
        (b"\x81\x01\xc3", 1007),             // ends within a character
        (b"\x81\x03\xed\xa0\x80", 1007),     // a surrogate
        (b"\x01\x01\xc3\x80\x01\x28", 1007), // across frames
    ] {
        let (events, violation) = unmasked(frame);
        assert!(events.is_empty(), "{frame:x?}");
        assert_eq!(violation.unwrap().code, code, "{frame:x?}");
    }
    let (_, violation) = decode(Side::Client, 9, [&b"\x81\x01a"[..]]);
    assert_eq!(violation.unwrap().code, 1002, "a client that does not mask");
}

#[test]
fn nothing_comes_after_the_end() {
    let (events, violation) = unmasked(b"\x88\x00\x81\x01a\xff\xff");
    assert_eq!((events, violation), (vec![Event::Close(None)], None));
    let mut decoder = Decoder::new(Side::Server, 9);
    decoder.feed(b"\xff\xff\x81\x01a");
    assert!(decoder.next().is_err());
    decoder.feed(b"\x81\x01a");
    assert_eq!(decoder.next(), Ok(None));
}

#[test]
fn a_character_may_be_cut_by_frames() {
    assert_eq!(unmasked(b"\x01\x01\xc3\x80\x01\xa9").0, [text("é")]);
    assert_eq!(
        unmasked(b"\x01\x02\xf0\x9f\x00\x01\x98\x80\x01\x80").0,
        [text("😀")]
    );
}

#[test]
fn what_is_over_the_cap_streams_and_is_never_kept() {
    let mut decoder = Decoder::new(Side::Server, 4);
    decoder.feed(b"\x01\x04abcd");
    assert_eq!(decoder.next(), Ok(None));
    decoder.feed(b"\x80\x01e");
    let piece = Piece {
        text: true,
        bytes: Bytes::from_static(b"abcde"),
        first: true,
        last: true,
    };
    assert_eq!(decoder.next(), Ok(Some(Event::Piece(piece))));

    // A head that announces more than the cap is enough.
    decoder.feed(b"\x81\x7f\x00\x00\x00\x7f\xff\xff\xff\xffab");
    let piece = Piece {
        text: true,
        bytes: Bytes::from_static(b"ab"),
        first: true,
        last: false,
    };
    assert_eq!(decoder.next(), Ok(Some(Event::Piece(piece))));
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.input.capacity(), 0);
}

#[test]
fn reasons_are_cut_between_characters() {
    let close = Close::new(4401, &"é".repeat(200));
    assert_eq!(close.reason.len(), 122);
    let mut out = BytesMut::new();
    Event::Close(Some(close.clone())).encode(None, &mut out);
    assert_eq!(unmasked(&out).0, [Event::Close(Some(close))]);
}

/// A message as it may be sent: its fragments, and control frames before each.
#[derive(Clone, Debug)]
struct Sent {
    text: bool,
    parts: Vec<(Vec<Event>, Vec<u8>)>,
}

fn control() -> impl Strategy<Value = Event> {
    let payload = prop::collection::vec(any::<u8>(), 0..=125);
    (any::<bool>(), payload).prop_map(|(ping, payload)| match ping {
        true => Event::Ping(payload.into()),
        false => Event::Pong(payload.into()),
    })
}

fn sent() -> impl Strategy<Value = Sent> {
    let controls = || prop::collection::vec(control(), 0..2);
    let cuts = || prop::collection::vec((any::<prop::sample::Index>(), controls()), 0..3);
    let text = ("\\PC{0,60}", cuts()).prop_map(|(text, cuts)| (true, text.into_bytes(), cuts));
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    let binary = (bytes, cuts()).prop_map(|(bytes, cuts)| (false, bytes, cuts));
    prop_oneof![text, binary].prop_map(|(text, bytes, cuts)| {
        let mut places: Vec<_> = cuts
            .into_iter()
            .map(|(at, controls)| (at.index(bytes.len() + 1), controls))
            .collect();
        places.sort_by_key(|(at, _)| *at);
        let mut from = 0;
        let mut parts = Vec::new();
        for (at, controls) in places {
            parts.push((controls, bytes[from..at].to_vec()));
            from = at;
        }
        parts.push((Vec::new(), bytes[from..].to_vec()));
        Sent { text, parts }
    })
}

/// The bytes of messages as `from` sends them, and what has to come out.
fn wire(from: Side, cap: usize, messages: &[Sent], keys: u32) -> (BytesMut, Vec<Event>) {
    let mut out = BytesMut::new();
    let mut expected = Vec::new();
    let mut key = keys;
    let mut mask = || {
        key = key.wrapping_mul(2_654_435_761).wrapping_add(1);
        (from == Side::Client).then(|| key.to_be_bytes())
    };
    for message in messages {
        let last = message.parts.len() - 1;
        let mut all = Vec::new();
        for (index, (controls, part)) in message.parts.iter().enumerate() {
            for control in controls {
                control.encode(mask(), &mut out);
                expected.push(control.clone());
            }
            let piece = Piece {
                text: message.text,
                bytes: part.clone().into(),
                first: index == 0,
                last: index == last,
            };
            Event::Piece(piece).encode(mask(), &mut out);
            all.extend_from_slice(part);
        }
        expected.push(match (message.text, all.len() <= cap) {
            (true, true) => Event::Text(all.into()),
            (false, true) => Event::Binary(all.into()),
            _ => Event::Piece(Piece {
                text: message.text,
                bytes: all.into(),
                first: true,
                last: true,
            }),
        });
    }
    (out, expected)
}

/// `bytes` cut at these places.
fn portions<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    let mut from = 0;
    let mut out = Vec::new();
    for at in places.into_iter().chain([bytes.len()]) {
        out.push(&bytes[from..at]);
        from = at;
    }
    out
}

proptest! {
    /// However the bytes are split, the same messages come out: those that went in.
    #[test]
    fn any_split_gives_the_messages_that_were_sent(
        messages in prop::collection::vec(sent(), 0..4),
        client in any::<bool>(),
        cap in prop_oneof![Just(usize::MAX), 0..80_usize],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        keys in any::<u32>(),
    ) {
        let from = if client { Side::Client } else { Side::Server };
        let (bytes, expected) = wire(from, cap, &messages, keys);
        let got = whole(decode(from, cap, portions(&bytes, &cuts)));
        prop_assert_eq!(got, (expected.clone(), None));
        let single = whole(decode(from, cap, bytes.chunks(1)));
        prop_assert_eq!(single, (expected, None));
    }

    /// Of what is no WebSocket any split says the same, too.
    #[test]
    fn any_split_of_anything_is_judged_alike(
        bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), prop::sample::select(vec![0x00, 0x01, 0x80, 0x81, 0x82, 0x88, 0x89, 0x02, 0x03])
        ], 0..80),
        client in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let from = if client { Side::Client } else { Side::Server };
        let at_once = whole(decode(from, 16, [&bytes[..]]));
        let split = whole(decode(from, 16, portions(&bytes, &cuts)));
        prop_assert_eq!(at_once, split);
    }

    /// What comes out can be sent on, and means the same.
    #[test]
    fn what_comes_out_goes_in_again(
        messages in prop::collection::vec(sent(), 0..3),
        key in any::<[u8; 4]>(),
    ) {
        let (bytes, _) = wire(Side::Server, 40, &messages, 0);
        let (events, _) = decode(Side::Server, 40, bytes.chunks(7));
        let mut out = BytesMut::new();
        for event in &events {
            event.encode(Some(key), &mut out);
        }
        let again = whole(decode(Side::Client, 40, [&out[..]]));
        prop_assert_eq!(again, whole((events, None)));
    }
}
