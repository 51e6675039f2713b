//! However a stream is split, the same messages come out, and their bytes are the stream.
#![no_main]

use chatgate::message::stream::{Format, Piece};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, u8, &[u8])| {
    let (format, cap, size, bytes) = input;
    let format = match format % 3 {
        0 => Format::Events,
        1 => Format::Lines,
        _ => Format::Records,
    };
    let whole = decode(format, cap.into(), bytes.len().max(1), bytes);
    assert_eq!(
        decode(format, cap.into(), usize::from(size).max(1), bytes),
        whole
    );
    let raw: Vec<u8> = whole
        .iter()
        .flat_map(|piece| piece.raw().to_vec())
        .collect();
    assert_eq!(raw, bytes);
    for piece in &whole {
        if let Piece::Event(event) = piece {
            let replaced = format.replace(event, b"{\"ours\":\n1}");
            let read = decode(format, 1 << 20, 7, &replaced);
            let said = |piece: &Piece| matches!(piece, Piece::Event(event) if event.data.starts_with(b"{\"ours\":"));
            assert_eq!(read.iter().filter(|piece| said(piece)).count(), 1);
        }
    }
});

/// All pieces; parts of a message over the cap are joined.
fn decode(format: Format, cap: usize, size: usize, bytes: &[u8]) -> Vec<Piece> {
    let mut decoder = format.decoder(cap);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut add = |piece: Piece| match (pieces.last_mut(), &piece) {
        (
            Some(Piece::Over { raw, .. }),
            Piece::Over {
                first: false,
                raw: more,
            },
        ) => {
            *raw = [&raw[..], &more[..]].concat().into();
        }
        _ => pieces.push(piece),
    };
    for chunk in bytes.chunks(size) {
        decoder.feed(chunk);
        while let Some(piece) = decoder.next_piece() {
            add(piece);
        }
    }
    decoder.finish().into_iter().for_each(&mut add);
    pieces
}
