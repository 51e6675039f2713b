//! Returns that hold anything, or were changed on the way.

use proptest::prelude::*;

use super::*;

/// JSON in which the members of a return turn up often, right ones and wrong ones.
fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec!["web", "success", "failure", "cancel"]).prop_map(Value::from),
        Just(token().into()),
        Just(NOW.secs().into()),
    ];
    let names = prop::sample::select(vec![
        "token", "channel", "outcome", "subject", "sub", "claims", "level", "iat", "exp", "x",
    ]);
    leaf.prop_recursive(3, 24, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..9).prop_map(|members| {
                Value::Object(
                    members
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

proptest! {
    /// Whatever the login page signs, what comes out has what a return must have.
    #[test]
    fn what_is_signed_may_be_anything(document in documents()) {
        for got in [post(&document), browse(&document)].into_iter().flatten() {
            prop_assert_eq!(got.token.expose(), token());
            prop_assert!(got.outcome != Outcome::Success || got.subject.is_some());
        }
    }

    #[test]
    fn garbage_is_refused(
        query in "[&=a-z.]{0,12}|(token|return)=.*",
        values in prop::array::uniform3("[ -~]{0,40}"),
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let names = [webhook::ID, webhook::TIMESTAMP, webhook::SIGNATURE];
        let headers = names.into_iter().zip(values.iter().map(|v| HeaderValue::from_str(v).unwrap())).collect();
        prop_assert!(from_post(&keys(), "web", &query, &headers, &body, NOW, TOLERANCE).is_err());
        prop_assert!(from_browser(&keys(), &[], "web", &query, NOW, TOLERANCE).is_err());
    }

    /// One character of the body, of a header or of the URL is another one.
    #[test]
    fn a_changed_post_is_refused(which in 0..5usize, at: prop::sample::Index, byte in 0x21..0x7fu8) {
        let mut headers: HeaderMap = webhook::sign(&keys(), "msg_1", NOW, posted().to_string().as_bytes())
            .into_iter()
            .collect();
        let mut body = posted().to_string().into_bytes();
        let mut query = format!("token={}", token());
        let change = |text: &[u8]| {
            let mut text = text.to_vec();
            let at = at.index(text.len());
            let changed = text[at] != byte;
            text[at] = byte;
            changed.then_some(text)
        };
        let changed = match which {
            0 => change(&body).map(|text| body = text),
            1 => change(query.as_bytes()).map(|text| query = String::from_utf8(text).unwrap()),
            n => {
                let name = [webhook::ID, webhook::TIMESTAMP, webhook::SIGNATURE][n - 2].clone();
                change(headers[&name].as_bytes())
                    .map(|text| drop(headers.insert(name, HeaderValue::from_bytes(&text).unwrap())))
            }
        };
        prop_assume!(changed.is_some());
        prop_assert!(from_post(&keys(), "web", &query, &headers, &body, NOW, TOLERANCE).is_err());
    }

    /// One character of the query is another one, is gone, or is one too many.
    #[test]
    fn a_changed_browsers_return_is_refused(how in 0..3usize, at: prop::sample::Index, byte in 0x21..0x7fu8) {
        let right = format!("token={}&return={}", token(), jwt(&carried()));
        let mut query = right.clone().into_bytes();
        let at = at.index(query.len());
        match how {
            0 => query[at] = byte,
            1 => drop(query.remove(at)),
            _ => query.insert(at, byte),
        }
        let query = String::from_utf8(query).unwrap();
        prop_assume!(query != right);
        prop_assert!(from_browser(&keys(), &[], "web", &query, NOW, TOLERANCE).is_err());
    }

    /// Two keys of a rotation do not make a third signature right.
    #[test]
    fn a_guessed_signature_is_refused(mac in prop::array::uniform32(any::<u8>())) {
        let keys = SecurityKeys::parse([OTHER, KEY]).unwrap();
        let body = posted().to_string();
        let mut headers: HeaderMap = webhook::sign(&keys, "msg_1", NOW, body.as_bytes()).into_iter().collect();
        let value = format!("v1,{}", STANDARD.encode(mac));
        headers.insert(webhook::SIGNATURE, HeaderValue::try_from(value).unwrap());
        let got = from_post(&keys, "web", "", &headers, body.as_bytes(), NOW, TOLERANCE);
        prop_assert_eq!(got.unwrap_err(), Reason::ReturnSignature.into());
    }
}
