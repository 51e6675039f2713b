//! Any split of a socket's bytes gives the same messages, and what came out can be
//! sent on without a change of meaning.
#![no_main]

use bytes::BytesMut;
use chatgate::message::websocket::{Decoder, Event, Side, Violation};
use libfuzzer_sys::fuzz_target;

const CAP: usize = 64;

type Said = (Vec<Event>, Option<Violation>);

/// What is said, pieces of one message joined, those of an unfinished one left out.
fn said<'b>(from: Side, portions: impl IntoIterator<Item = &'b [u8]>) -> Said {
    let mut decoder = Decoder::new(from, CAP);
    let (mut events, mut streaming) = (Vec::new(), Vec::new());
    for portion in portions {
        decoder.feed(portion);
        loop {
            match decoder.next() {
                Ok(None) => break,
                Err(violation) => return (events, Some(violation)),
                Ok(Some(Event::Piece(mut piece))) => {
                    streaming.extend_from_slice(&piece.bytes);
                    if piece.last {
                        piece.first = true;
                        piece.bytes = std::mem::take(&mut streaming).into();
                        events.push(Event::Piece(piece));
                    }
                }
                Ok(Some(event)) => events.push(event),
            }
        }
    }
    (events, None)
}

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (step, client, bytes) = input;
    let from = if client { Side::Client } else { Side::Server };
    let at_once = said(from, [bytes]);
    let split = said(from, bytes.chunks(usize::from(step) + 1));
    assert_eq!(at_once, split);

    let mut out = BytesMut::new();
    for event in &at_once.0 {
        event.encode(None, &mut out);
    }
    assert_eq!(said(Side::Server, [&out[..]]), (at_once.0, None));
});
