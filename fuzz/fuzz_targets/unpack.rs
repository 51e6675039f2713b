//! A coded stream, decoded piece by piece, says what it says as a whole.
#![no_main]

use chatgate::message::coding::Coding;
use chatgate::message::unpack::Unpacker;
use libfuzzer_sys::fuzz_target;

const MOST: usize = 64 << 10;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (coding, size, bytes) = input;
    let coding =
        [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd][usize::from(coding % 4)];
    let mut unpacker = Unpacker::new(coding, MOST).expect("a coding");
    let mut text = Vec::new();
    for chunk in bytes.chunks(usize::from(size) + 1) {
        match unpacker.push(chunk) {
            Ok(more) => text.extend_from_slice(&more),
            Err(_) => {
                assert!(coding.decode(bytes, MOST).is_err());
                return;
            }
        }
    }
    // A stream that was cut is none as a whole.
    if let Ok(whole) = coding.decode(bytes, MOST) {
        assert!(text == whole);
    }
});
