//! A coded body, decoded as it comes. Sans-IO: chunks in, out what can be read by then.

use std::fmt;
use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use bytes::Bytes;
use flate2::write::{MultiGzDecoder, ZlibDecoder};

use super::coding::{Coding, Undecoded, ZSTD_WINDOW};

/// So many bytes are decoded before their outcome is looked at.
const STEP: usize = 4 << 10;

/// Decodes one body. Beyond its output it takes the coding's own window.
pub struct Unpacker(Way);

enum Way {
    Gzip(MultiGzDecoder<Sink>),
    Deflate(ZlibDecoder<Sink>),
    Brotli(Box<DecompressorWriter<Sink>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Sink>>),
}

impl Unpacker {
    /// For the beginning of a body. `most` is the longest text that 4 KiB may become;
    /// what becomes longer is taken for an attack.
    ///
    /// # Errors
    /// When there is nothing to decode, or no way to.
    pub fn new(coding: Coding, most: usize) -> Result<Self, Undecoded> {
        let sink = Sink {
            out: Vec::new(),
            most,
            over: false,
        };
        Ok(Self(match coding {
            Coding::Gzip => Way::Gzip(MultiGzDecoder::new(sink)),
            Coding::Deflate => Way::Deflate(ZlibDecoder::new(sink)),
            Coding::Brotli => Way::Brotli(Box::new(DecompressorWriter::new(sink, STEP))),
            Coding::Zstd => {
                let decoder = zstd::stream::write::Decoder::new(sink);
                let mut decoder = decoder.map_err(|_| Undecoded::Broken)?;
                let limited = decoder.window_log_max(ZSTD_WINDOW);
                limited.map_err(|_| Undecoded::Broken)?;
                Way::Zstd(Box::new(decoder))
            }
            Coding::Identity | Coding::Unknown => return Err(Undecoded::Broken),
        }))
    }

    /// Takes a chunk; returns what can be read now.
    ///
    /// # Errors
    /// When it cannot be decoded, or becomes too long. Nothing more can be read then.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Bytes, Undecoded> {
        let mut text = Vec::new();
        for step in chunk.chunks(STEP) {
            let writer = self.0.writer();
            let written = writer.write_all(step).and_then(|()| writer.flush());
            let sink = self.0.sink();
            match written {
                Ok(()) => text.append(&mut sink.out),
                Err(_) if sink.over => return Err(Undecoded::TooLong),
                Err(_) => return Err(Undecoded::Broken),
            }
        }
        Ok(text.into())
    }
}

impl Way {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(decoder) => decoder,
            Self::Deflate(decoder) => decoder,
            Self::Brotli(decoder) => decoder,
            Self::Zstd(decoder) => decoder,
        }
    }

    fn sink(&mut self) -> &mut Sink {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpacker")
    }
}

/// Where decoders write to.
struct Sink {
    out: Vec<u8>,
    most: usize,
    /// Whether it came to more than that.
    over: bool,
}

impl Write for Sink {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if text.len() > self.most.saturating_sub(self.out.len()) {
            self.over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.out.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::coding::testing::{CODINGS, encode};
    use super::*;

    fn unpack<'a>(
        coding: Coding,
        chunks: impl IntoIterator<Item = &'a [u8]>,
        most: usize,
    ) -> Result<Vec<u8>, Undecoded> {
        let mut unpacker = Unpacker::new(coding, most)?;
        let mut text = Vec::new();
        for chunk in chunks {
            text.extend_from_slice(&unpacker.push(chunk)?);
        }
        Ok(text)
    }

    /// Each text in the coding, flushed so that it can be read before the next comes.
    fn flushed(coding: Coding, texts: &[&[u8]]) -> Vec<Vec<u8>> {
        fn chunks(mut writer: impl Write, texts: &[&[u8]], out: &Shared) -> Vec<Vec<u8>> {
            let each = |text: &&[u8]| {
                writer.write_all(text).unwrap();
                writer.flush().unwrap();
                std::mem::take(&mut *out.0.lock().unwrap())
            };
            texts.iter().map(each).collect()
        }
        let (out, level) = (Shared::default(), flate2::Compression::default());
        let to = out.clone();
        match coding {
            Coding::Gzip => chunks(flate2::write::GzEncoder::new(to, level), texts, &out),
            Coding::Deflate => chunks(flate2::write::ZlibEncoder::new(to, level), texts, &out),
            Coding::Brotli => chunks(brotli::CompressorWriter::new(to, 4096, 5, 22), texts, &out),
            _ => chunks(zstd::Encoder::new(to, 3).unwrap(), texts, &out),
        }
    }

    #[derive(Clone, Default)]
    struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_flushed_is_read_at_once() {
        let texts = [
            &b"data: {\"a\":1}\n\n"[..],
            b": ping\n\n",
            b"data: {\"a\":2}\n\n",
        ];
        for coding in CODINGS {
            let mut unpacker = Unpacker::new(coding, 1 << 10).unwrap();
            for (chunk, text) in flushed(coding, &texts).iter().zip(texts) {
                assert_eq!(unpacker.push(chunk).as_deref(), Ok(text), "{coding:?}");
            }
        }
    }

    #[test]
    fn nothing_passes_that_is_not_in_the_coding() {
        for coding in CODINGS {
            let after = [&encode(coding, b"text")[..], b"{\"flag\":true} and more"].concat();
            assert!(unpack(coding, [&after[..]], 1 << 10).is_err(), "{coding:?}");
            let plain = [&b"data: {\"flag\":true}\n\n"[..]; 3];
            assert!(unpack(coding, plain, 1 << 10).is_err(), "{coding:?}");
        }
        for coding in [Coding::Identity, Coding::Unknown] {
            assert!(Unpacker::new(coding, 1).is_err());
        }
    }

    #[test]
    fn a_bomb_is_put_down_at_the_cap() {
        let bomb = vec![b'['; 64 << 20];
        for coding in CODINGS {
            let small = encode(coding, &bomb);
            let outcome = unpack(coding, small.chunks(1 << 10), 256 << 10);
            assert_eq!(outcome, Err(Undecoded::TooLong), "{coding:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_says_the_same(
            text in prop::collection::vec(prop::sample::select(b"ab\n{}".to_vec()), 0..9000),
            coding in prop::sample::select(CODINGS.to_vec()),
            size in 1_usize..6000,
        ) {
            let encoded = encode(coding, &text);
            prop_assert_eq!(unpack(coding, encoded.chunks(size), 1 << 20), Ok(text));
        }

        #[test]
        fn garbage_never_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..256),
            coding in prop::sample::select(CODINGS.to_vec()),
            cut in 0_usize..256,
        ) {
            let encoded = encode(coding, &bytes);
            let torn = [&encoded[..cut.min(encoded.len())], &bytes[..]].concat();
            for body in [&bytes, &torn] {
                let _ = unpack(coding, body.chunks(7), 512);
            }
        }
    }
}
