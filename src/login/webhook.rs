//! The Standard Webhooks signature: `webhook-id`, `webhook-timestamp`,
//! `webhook-signature: v1,<base64 HMAC-SHA256 of id.timestamp.body>`.
//!
//! Source: the Standard Webhooks specification, symmetric signatures.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::SecurityKeys;
use super::returned::{Refused, malformed};
use crate::reason::Reason;
use crate::time::Time;

/// Names the message; its sender keeps it when it sends the message again.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// Seconds since the Unix epoch at which it was signed.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// Signatures, separated by blanks.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A sender whose key is being rotated sends two signatures; each one costs us a
/// hash of the body for every key, so there is an end.
const MAX_SIGNATURES: usize = 8;

/// The three headers for a body. An `id` that [`verify`] would not take is
/// nobody's fault but ours: it is replaced by its permitted characters.
#[expect(clippy::expect_used, reason = "no input reaches it")]
pub fn sign(
    keys: &SecurityKeys,
    id: &str,
    now: Time,
    body: &[u8],
) -> [(HeaderName, HeaderValue); 3] {
    let id: String = id.chars().filter(is_id).take(128).collect();
    let timestamp = now.secs().to_string();
    let mac = keys.sign(&message(&id, &timestamp, body));
    let signature = format!("v1,{}", STANDARD.encode(mac));
    [(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature)].map(|(name, text)| {
        let value = HeaderValue::try_from(text).expect("visible ASCII by construction");
        (name, value)
    })
}

/// Checks the three headers of a body: each exactly once, the id
/// `[A-Za-z0-9_-]{1,128}`, the time within `tolerance` of `now`, one of the
/// space-separated `v1` signatures right. Errors: `ReturnMalformed`,
/// `ReturnDuplicate`, `ReturnStale`, `ReturnSignature`.
///
/// The time is looked at after the signature: "stale" always means a right key
/// and a wrong clock, or a replay.
pub fn verify(
    keys: &SecurityKeys,
    headers: &HeaderMap,
    body: &[u8],
    now: Time,
    tolerance: Duration,
) -> Result<(), Refused> {
    let id = single(headers, &ID)?;
    let timestamp = single(headers, &TIMESTAMP)?;
    let signatures = single(headers, &SIGNATURE)?;

    if !(1..=128).contains(&id.len()) || !id.chars().all(|c| is_id(&c)) {
        return Err(malformed("not a usable id", ID.as_str()));
    }
    let unreadable = |what, name: &HeaderName| malformed(what, name.as_str());
    let signed_at =
        seconds(timestamp).ok_or_else(|| unreadable("not whole seconds", &TIMESTAMP))?;
    let signatures = read(signatures).ok_or_else(|| unreadable("not signatures", &SIGNATURE))?;

    let message = message(id, timestamp, body);
    let right = signatures
        .iter()
        .fold(false, |found, mac| found | keys.verify(&message, mac));
    if !right {
        return Err(Reason::ReturnSignature.into());
    }
    if now.since(signed_at) > tolerance || signed_at.since(now) > tolerance {
        return Err(Reason::ReturnStale.into());
    }
    Ok(())
}

/// The id of a message: what makes it the same one. Worth something once [`verify`] holds.
///
/// # Errors
/// When the header is missing, came twice or is not text.
pub fn id(headers: &HeaderMap) -> Result<&str, Refused> {
    single(headers, &ID)
}

/// What is signed. Unambiguous: neither id nor time contains a dot.
fn message(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(id.len() + timestamp.len() + 2 + body.len());
    message.extend_from_slice(id.as_bytes());
    message.push(b'.');
    message.extend_from_slice(timestamp.as_bytes());
    message.push(b'.');
    message.extend_from_slice(body);
    message
}

fn is_id(c: &char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, Refused> {
    let mut values = headers.get_all(name).iter();
    let value = values
        .next()
        .ok_or_else(|| malformed("missing header", name.as_str()))?;
    if values.next().is_some() {
        return Err(Reason::ReturnDuplicate.into());
    }
    let text = value.to_str();
    text.map_err(|_| malformed("not a usable text", name.as_str()))
}

/// Digits only: no sign, no blank, and no more than a time can have.
fn seconds(text: &str) -> Option<Time> {
    let plain = (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok().map(Time::from_secs))?
}

/// The `v1` signatures; those of other versions are skipped.
fn read(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut signatures = Vec::new();
    for (place, part) in text.split(' ').enumerate() {
        let (version, encoded) = part.split_once(',')?;
        if place >= MAX_SIGNATURES {
            return None;
        }
        if version == "v1" {
            signatures.push(STANDARD.decode(encoded).ok()?);
        }
    }
    Some(signatures)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const NOW: Time = Time::from_secs(1_614_265_330);
    const TOLERANCE: Duration = Duration::from_secs(300);

    fn keys() -> SecurityKeys {
        SecurityKeys::parse([KEY]).unwrap()
    }

    fn signed() -> HeaderMap {
        let headers = sign(&keys(), "msg_p5jXN8AQM9LWM0D4loKWxJek", NOW, BODY);
        headers.into_iter().collect()
    }

    fn check(headers: &HeaderMap, now: Time) -> Result<(), Reason> {
        verify(&keys(), headers, BODY, now, TOLERANCE).map_err(|refused| refused.reason)
    }

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = signed();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn the_vector_of_the_specification() {
        let headers = signed();
        assert_eq!(
            headers[SIGNATURE],
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(headers[TIMESTAMP], "1614265330");
        assert_eq!(check(&headers, NOW), Ok(()));
    }

    #[test]
    fn each_header_exactly_once() {
        for name in [ID, TIMESTAMP, SIGNATURE] {
            let mut headers = signed();
            let value = headers[&name].clone();
            headers.append(&name, value);
            assert_eq!(check(&headers, NOW), Err(Reason::ReturnDuplicate));
            headers.remove(&name);
            assert_eq!(check(&headers, NOW), Err(Reason::ReturnMalformed));
            let refused = verify(&keys(), &headers, BODY, NOW, TOLERANCE).unwrap_err();
            let problem = refused.problem.unwrap();
            assert_eq!(
                (problem.what, &*problem.name),
                ("missing header", name.as_str())
            );
        }
    }

    #[test]
    fn the_time_is_bounded_on_both_sides() {
        let headers = signed();
        let at = |secs| check(&headers, Time::from_secs(secs));
        assert_eq!(at(1_614_265_330 + 300), Ok(()));
        assert_eq!(at(1_614_265_330 + 301), Err(Reason::ReturnStale));
        assert_eq!(at(1_614_265_330 - 300), Ok(()));
        assert_eq!(at(1_614_265_330 - 301), Err(Reason::ReturnStale));
    }

    #[test]
    fn headers_that_say_something_else_are_malformed() {
        let long = "m".repeat(129);
        for id in ["", "a.b", "a b", "a:b", long.as_str()] {
            assert_eq!(check(&with(ID, id), NOW), Err(Reason::ReturnMalformed));
        }
        for time in [
            "",
            "+1614265330",
            "-1",
            "1614265330.0",
            "1e9",
            "9999999999999",
        ] {
            assert_eq!(
                check(&with(TIMESTAMP, time), NOW),
                Err(Reason::ReturnMalformed)
            );
        }
        for signature in ["", "v1", "v1,%", "v1,g0hM9SsE+OTPJTGt", "v1,AA== "] {
            let refused = check(&with(SIGNATURE, signature), NOW);
            assert!(refused.is_err(), "{signature}");
        }
        let many = ["v1,AA=="; MAX_SIGNATURES + 1].join(" ");
        assert_eq!(
            check(&with(SIGNATURE, &many), NOW),
            Err(Reason::ReturnMalformed)
        );
    }

    #[test]
    fn one_right_signature_among_several_suffices() {
        let right = signed()[SIGNATURE].to_str().unwrap().to_owned();
        let wrong = STANDARD.encode([0; 32]);
        for (signatures, verdict) in [
            (format!("v1,{wrong} v1a,xyz {right}"), Ok(())),
            (format!("{right} v1,{wrong}"), Ok(())),
            (format!("v1,{wrong}"), Err(Reason::ReturnSignature)),
            // The right bytes under another version say nothing.
            (right.replace("v1,", "v2,"), Err(Reason::ReturnSignature)),
        ] {
            assert_eq!(check(&with(SIGNATURE, &signatures), NOW), verdict);
        }
    }

    #[test]
    fn an_id_we_could_not_verify_ourselves_is_never_sent() {
        let headers = sign(&keys(), "a.b\r\nc é", NOW, BODY);
        assert_eq!(headers[0].1, "abc");
    }

    proptest! {
        #[test]
        fn a_changed_message_is_refused(which in 0..4usize, at: prop::sample::Index, byte in 0x21..0x7fu8) {
            let mut headers = signed();
            let mut body = BODY.to_vec();
            let name = [ID, TIMESTAMP, SIGNATURE].into_iter().nth(which);
            let mut text = name.as_ref().map_or(body.clone(), |n| headers[n].as_bytes().to_vec());
            let at = at.index(text.len());
            prop_assume!(text[at] != byte);
            text[at] = byte;
            match name {
                Some(name) => drop(headers.insert(name, HeaderValue::from_bytes(&text).unwrap())),
                None => body = text,
            }
            prop_assert!(verify(&keys(), &headers, &body, NOW, TOLERANCE).is_err());
        }

        #[test]
        fn two_messages_never_share_what_is_signed(
            one in ("[a-c_-]{1,3}", "[0-9]{1,3}", "[.0-9a-c]{0,4}"),
            two in ("[a-c_-]{1,3}", "[0-9]{1,3}", "[.0-9a-c]{0,4}"),
        ) {
            let of = |(id, time, body): &(String, String, String)| message(id, time, body.as_bytes());
            prop_assert_eq!(one == two, of(&one) == of(&two));
        }
    }
}
