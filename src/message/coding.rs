//! How a body is written: its content coding and its charset, undone so that it can
//! be judged. Whatever cannot be undone says so.

use std::io::{self, Read};

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, TRANSFER_ENCODING};

/// Largest window of a Zstandard body, as a power of two (RFC 9659).
pub(super) const ZSTD_WINDOW: u32 = 23;

/// A content coding (RFC 9110, section 8.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// None.
    #[default]
    Identity,
    /// `gzip` (RFC 1952), of one member or of several.
    Gzip,
    /// `deflate`: the zlib format (RFC 1950), as it should be.
    Deflate,
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstd,
    /// Another one, several one after the other, or one of the transfer.
    Unknown,
}

/// Why a body could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecoded {
    /// Decoded it is longer than allowed.
    TooLong,
    /// It is not, or not only, in the coding that it names; or none that is known.
    Broken,
}

impl Coding {
    /// The coding that a head announces.
    pub fn of(headers: &HeaderMap) -> Self {
        let transfer = headers.get_all(TRANSFER_ENCODING).iter();
        let mut transfer = transfer.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        if !transfer.all(|name| name.trim_ascii().eq_ignore_ascii_case(b"chunked")) {
            return Self::Unknown;
        }
        let lines = headers.get_all(CONTENT_ENCODING).iter();
        let mut named = lines.map(|line| line.as_bytes().trim_ascii());
        match (named.next(), named.next()) {
            (None, _) => Self::Identity,
            (Some(name), None) => Self::named(name),
            (Some(one), Some(two)) => {
                let plain = |name: &[u8]| Self::named(name) == Self::Identity;
                match plain(one) && plain(two) && named.all(plain) {
                    true => Self::Identity,
                    false => Self::Unknown,
                }
            }
        }
    }

    fn named(name: &[u8]) -> Self {
        match name.to_ascii_lowercase().as_slice() {
            b"" | b"identity" => Self::Identity,
            b"gzip" | b"x-gzip" => Self::Gzip,
            b"deflate" => Self::Deflate,
            b"br" => Self::Brotli,
            b"zstd" => Self::Zstd,
            _ => Self::Unknown,
        }
    }

    /// Decodes a whole body of at most `most` bytes. Beyond those it takes the
    /// coding's own window: 8 MiB of Zstandard, 16 MiB of Brotli.
    ///
    /// Every byte has to belong to it: what a decoder leaves over, another one may read.
    ///
    /// # Errors
    /// When it is longer, or cannot be decoded.
    pub fn decode(self, body: &[u8], most: usize) -> Result<Vec<u8>, Undecoded> {
        if body.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Self::Identity => whole(body, most),
            Self::Gzip => whole(MultiGzDecoder::new(body), most),
            Self::Deflate => {
                let mut decoder = ZlibDecoder::new(body);
                let decoded = whole(&mut decoder, most)?;
                let consumed = usize::try_from(decoder.total_in()).ok();
                match consumed == Some(body.len()) {
                    true => Ok(decoded),
                    false => Err(Undecoded::Broken),
                }
            }
            // Its buffer takes the whole body, so that it sees what is left over.
            Self::Brotli => whole(
                brotli_decompressor::Decompressor::new(body, body.len()),
                most,
            ),
            Self::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(body);
                let mut decoder = decoder.map_err(|_| Undecoded::Broken)?;
                let limited = decoder.window_log_max(ZSTD_WINDOW);
                limited.map_err(|_| Undecoded::Broken)?;
                whole(decoder, most)
            }
            Self::Unknown => Err(Undecoded::Broken),
        }
    }
}

/// Reads to the end and once more: some readers complain only then.
fn whole(mut reader: impl Read, most: usize) -> Result<Vec<u8>, Undecoded> {
    let mut decoded = Vec::new();
    let mut piece = [0; 16 << 10];
    let mut ended = false;
    loop {
        match reader.read(&mut piece) {
            Ok(0) if ended => return Ok(decoded),
            Ok(0) => ended = true,
            Ok(_) if ended => return Err(Undecoded::Broken),
            Ok(n) if n > most.saturating_sub(decoded.len()) => return Err(Undecoded::TooLong),
            Ok(n) => decoded.extend_from_slice(piece.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(Undecoded::Broken),
        }
    }
}

/// What `charset` says of how ASCII is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Charset {
    /// UTF-8, ASCII, or nothing is said.
    #[default]
    Utf8,
    /// One byte a character, and ASCII is ASCII: no ASCII hides in it.
    SingleByte,
    /// Several bytes a character, of which the first is not ASCII.
    MultiByte,
    /// ASCII may be written otherwise, or the name is not known.
    Odd,
}

impl Charset {
    /// The oddest of all that `Content-Type` names, in whatever spelling.
    pub fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(CONTENT_TYPE).iter();
        let charsets = lines.map(|line| Self::named_in(line.as_bytes()));
        charsets.max().unwrap_or_default()
    }

    /// The oddest that a header names.
    pub fn named_in(value: &[u8]) -> Self {
        let word = b"charset";
        let named = |part: &[u8]| part.eq_ignore_ascii_case(word);
        // A parameter has a value (RFC 9110, section 5.6.6), and most types no parameter.
        if !value.contains(&b'=') || !value.windows(word.len()).any(named) {
            return Self::Utf8;
        }
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        let charset = |after: &str| {
            let Some(name) = after.trim_start().strip_prefix('=') else {
                return Self::Odd;
            };
            let name = name.trim_start().trim_start_matches('"');
            let end = name
                .find(['"', ';', ' ', '\t', ',', '\r'])
                .unwrap_or(name.len());
            Self::named(name.get(..end).unwrap_or_default())
        };
        value
            .split("charset")
            .skip(1)
            .map(charset)
            .max()
            .unwrap_or_default()
    }

    fn named(name: &str) -> Self {
        let is_of = |families: &[&str]| families.iter().any(|family| name.starts_with(family));
        if name.contains(['\\', '\'']) {
            Self::Odd
        } else if ["utf-8", "utf8", "us-ascii", "ascii"].contains(&name) {
            Self::Utf8
        } else if is_of(&["iso-8859-", "latin", "windows-125", "windows-874", "koi8-"]) {
            Self::SingleByte
        } else if is_of(&["windows-", "shift_jis", "euc-", "gb", "big5"]) {
            Self::MultiByte
        } else {
            Self::Odd
        }
    }
}

/// Text of one byte a character as UTF-8, each byte as the character of its number:
/// right for ASCII, and [`narrow`] undoes it.
pub(super) fn widen(text: &[u8]) -> Vec<u8> {
    let wide: String = text.iter().copied().map(char::from).collect();
    wide.into_bytes()
}

/// Undoes [`widen`]; `None` for what no byte stands for.
pub(super) fn narrow(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    text.chars()
        .map(|character| u8::try_from(character).ok())
        .collect()
}

#[cfg(test)]
pub(super) mod testing {
    use std::io::Write;

    use super::Coding;

    pub(crate) const CODINGS: [Coding; 4] =
        [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

    pub(crate) fn encode(coding: Coding, text: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        match coding {
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Brotli => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
                encoder.write_all(text).unwrap();
                encoder.into_inner()
            }
            Coding::Zstd => zstd::encode_all(text, 3).unwrap(),
            Coding::Identity | Coding::Unknown => text.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::testing::{CODINGS, encode};
    use super::*;

    fn head(name: HeaderName, values: &[&str]) -> HeaderMap {
        let value = |text: &&str| (name.clone(), HeaderValue::from_str(text).unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in values.iter().map(value) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn one_coding_is_known_by_its_name() {
        for (values, coding) in [
            (&[][..], Coding::Identity),
            (&["identity"], Coding::Identity),
            (&["identity", ""], Coding::Identity),
            (&["GZip "], Coding::Gzip),
            (&["x-gzip"], Coding::Gzip),
            (&["br"], Coding::Brotli),
            (&["zstd"], Coding::Zstd),
            (&["deflate"], Coding::Deflate),
            (&["gzip, br"], Coding::Unknown),
            (&["identity", "br"], Coding::Unknown),
            (&["gzip", "gzip"], Coding::Unknown),
            (&["identity, gzip"], Coding::Unknown),
            (&["compress"], Coding::Unknown),
        ] {
            assert_eq!(
                Coding::of(&head(CONTENT_ENCODING, values)),
                coding,
                "{values:?}"
            );
        }
        let transfer = |value| Coding::of(&head(TRANSFER_ENCODING, &[value]));
        assert_eq!(transfer("chunked"), Coding::Identity);
        assert_eq!(transfer("gzip, chunked"), Coding::Unknown);
    }

    #[test]
    fn no_byte_is_left_over() {
        let text = br#"{"flag":true}"#;
        for coding in CODINGS {
            let whole = encode(coding, text);
            assert_eq!(
                coding.decode(&whole, 1 << 10).as_deref(),
                Ok(&text[..]),
                "{coding:?}"
            );
            let after = [&whole[..], b"{}"].concat();
            assert_eq!(
                coding.decode(&after, 1 << 10),
                Err(Undecoded::Broken),
                "{coding:?}"
            );
            let cut = &whole[..whole.len() - 1];
            assert_eq!(
                coding.decode(cut, 1 << 10),
                Err(Undecoded::Broken),
                "{coding:?}"
            );
            assert_eq!(
                coding.decode(text, 1 << 10),
                Err(Undecoded::Broken),
                "{coding:?}"
            );
            assert_eq!(coding.decode(b"", 1 << 10), Ok(Vec::new()));
        }
        // Clients read all members and frames, so they are all judged.
        for coding in [Coding::Gzip, Coding::Zstd] {
            let twice = [encode(coding, b"[1,"), encode(coding, b"2]")].concat();
            assert_eq!(coding.decode(&twice, 1 << 10).as_deref(), Ok(&b"[1,2]"[..]));
        }
    }

    #[test]
    fn a_bomb_is_put_down_at_the_cap() {
        let bomb = vec![b'['; 64 << 20];
        for coding in CODINGS {
            let small = encode(coding, &bomb);
            assert!(small.len() < 1 << 20);
            assert_eq!(
                coding.decode(&small, 1 << 20),
                Err(Undecoded::TooLong),
                "{coding:?}"
            );
        }
        // A window beyond what every receiver has to have.
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"{}").unwrap();
        let wide = encoder.finish().unwrap();
        assert_eq!(Coding::Zstd.decode(&wide, 1 << 20), Err(Undecoded::Broken));
    }

    #[test]
    fn charsets_that_hide_ascii_are_odd() {
        let charset = |value| Charset::of(&head(CONTENT_TYPE, &[value]));
        for value in [
            "application/json",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"; x=y",
            "text/plain; charset = us-ascii",
        ] {
            assert_eq!(charset(value), Charset::Utf8, "{value}");
        }
        for value in [
            "application/x-www-form-urlencoded; charset=ISO-8859-1",
            "text/plain; charset=windows-1252",
            "text/html; charset=utf-8; charset=latin1",
            "text/plain; charset=koi8-r",
        ] {
            assert_eq!(charset(value), Charset::SingleByte, "{value}");
        }
        // The second byte of a character may look like a quote or a brace.
        assert_eq!(charset("text/plain; charset=shift_jis"), Charset::MultiByte);
        assert_eq!(charset("text/plain; charset=GBK"), Charset::MultiByte);
        for value in [
            "application/json; charset=utf-7",
            "application/json; charset=utf-16le",
            "application/json; CHARSET = \"UTF-7\"",
            "application/json; charset=utf-8; charset=utf-7",
            "text/plain; charset=cp037",
            "text/plain; charset=hz-gb-2312",
            "application/json; charset*=utf-8''utf-7",
            "application/json; charset*0=utf; charset*1=-7",
            "application/json; charset=\"utf\\-7\"",
            "application/json; charset=",
        ] {
            assert_eq!(charset(value), Charset::Odd, "{value}");
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(
            text in prop::collection::vec(any::<u8>(), 0..4096),
            coding in prop::sample::select(CODINGS.to_vec()),
        ) {
            let encoded = encode(coding, &text);
            prop_assert_eq!(coding.decode(&encoded, 4096), Ok(text.clone()));
            if !text.is_empty() {
                prop_assert_eq!(coding.decode(&encoded, text.len() - 1), Err(Undecoded::TooLong));
            }
        }

        #[test]
        fn garbage_never_panics_nor_grows(
            bytes in prop::collection::vec(any::<u8>(), 0..256),
            coding in prop::sample::select(CODINGS.to_vec()),
        ) {
            if let Ok(text) = coding.decode(&bytes, 512) {
                prop_assert!(text.len() <= 512);
            }
        }

        #[test]
        fn narrow_undoes_widen(text in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(narrow(&widen(&text)), Some(text));
        }
    }
}
