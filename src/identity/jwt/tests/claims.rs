//! The registered claims.

use super::*;

#[test]
fn expiry_is_a_whole_number_of_seconds_and_has_to_be_there() {
    let verifier = jwt(vec![hs256(None)]);
    let now = NOW.secs();
    // Signed right, so only the claim decides. The text is put into the payload as it is.
    let exp = |text: &str| {
        let payload = format!(r#"{{"sub":"alice","exp":{text}}}"#);
        verify(&verifier, &raw(r#"{"alg":"HS256"}"#, &payload)).map(drop)
    };
    assert_eq!(exp(&(now + 1).to_string()), Ok(()));
    assert_eq!(exp("253402300799"), Ok(()));
    assert_eq!(exp("0"), Err(Reason::ProofExpired));
    let refused = [
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
        &*format!("\"{}\"", now + 60),
        "\"never\"",
        &*format!("{}.0", now + 60),
        &*format!("{}.5", now + 60),
        "1.8e9",
        "18e8",
        "-1",
        "-0.0",
        "253402300800",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999999999",
        "1e18",
        "1e308",
    ];
    for text in refused {
        assert_eq!(exp(text), Err(Reason::ProofClaim), "{text}");
    }
    assert!(exp("1e999").is_err() && exp("NaN").is_err() && exp("Infinity").is_err());
    assert_eq!(judge(&verifier, &without("exp")), Err(Reason::ProofClaim));
}

#[test]
fn clocks_have_the_leeway_and_no_more() {
    let verifier = jwt(vec![hs256(None)]);
    let now = NOW.secs();
    let verdict = |name: &str, secs: u64| judge(&verifier, &with(name, json!(secs))).map(drop);
    assert_eq!(verdict("exp", now - 29), Ok(()));
    assert_eq!(verdict("exp", now - 30), Err(Reason::ProofExpired));
    assert_eq!(verdict("nbf", now + 30), Ok(()));
    assert_eq!(verdict("nbf", now + 31), Err(Reason::ProofNotYetValid));
    assert_eq!(verdict("iat", now + 330), Ok(()));
    assert_eq!(verdict("iat", now + 331), Err(Reason::ProofNotYetValid));
    for name in ["nbf", "iat"] {
        for value in [json!("0"), json!(0.5), json!(-1), json!(1e18), json!(null)] {
            let verdict = judge(&verifier, &with(name, value));
            assert_eq!(verdict, Err(Reason::ProofClaim), "{name}");
        }
    }
}

#[test]
fn issuers() {
    let verifier = Jwt {
        issuers: vec!["https://a".into(), "https://b".into()],
        ..jwt(vec![hs256(None)])
    };
    let verdict = |value| judge(&verifier, &with("iss", value)).map(drop);
    assert_eq!(verdict(json!("https://a")), Ok(()));
    assert_eq!(verdict(json!("https://b")), Ok(()));
    for wrong in [
        json!("https://c"),
        json!("https://a/"),
        json!(""),
        json!(null),
        json!(["https://a"]),
        json!({}),
    ] {
        assert_eq!(verdict(wrong), Err(Reason::ProofIssuer));
    }
    assert_eq!(judge(&verifier, &claims()), Err(Reason::ProofIssuer));
    assert!(judge(&jwt(vec![hs256(None)]), &claims()).is_ok());
}

#[test]
fn audiences() {
    let verifier = Jwt {
        audiences: vec!["chat".into(), "web".into()],
        ..jwt(vec![hs256(None)])
    };
    let verdict = |value| judge(&verifier, &with("aud", value)).map(drop);
    for right in [json!("chat"), json!(["web"]), json!(["x", "chat"])] {
        assert_eq!(verdict(right), Ok(()));
    }
    for wrong in [
        json!("other"),
        json!("chat "),
        json!(""),
        json!([]),
        json!(["x"]),
        json!(["chat", 1]),
        json!([["chat"]]),
        json!({ "chat": true }),
        json!(null),
        json!(1),
    ] {
        assert_eq!(
            verdict(wrong.clone()),
            Err(Reason::ProofAudience),
            "{wrong}"
        );
    }
    assert_eq!(judge(&verifier, &claims()), Err(Reason::ProofAudience));
}

#[test]
fn a_token_meant_for_somebody_is_refused_where_nobody_is_configured() {
    let verifier = jwt(vec![hs256(None)]);
    for aud in [
        json!("chat"),
        json!(["chat"]),
        json!([]),
        json!(""),
        json!(null),
    ] {
        let verdict = judge(&verifier, &with("aud", aud));
        assert_eq!(verdict, Err(Reason::ProofAudience));
    }
}

#[test]
fn required_claims_are_there() {
    let verifier = Jwt {
        required: vec!["email".into(), "tenant".into()],
        ..jwt(vec![hs256(None)])
    };
    assert!(judge(&verifier, &with("tenant", json!("t"))).is_ok());
    assert_eq!(judge(&verifier, &claims()), Err(Reason::ProofClaim));
    let null = judge(&verifier, &with("tenant", json!(null)));
    assert_eq!(null, Err(Reason::ProofClaim));
}

#[test]
fn subjects_are_texts_or_whole_numbers() {
    let verifier = jwt(vec![hs256(None)]);
    let subject = |value| judge(&verifier, &with("sub", value)).map(|id| id.subject().to_owned());
    assert_eq!(subject(json!("alice")), Ok("alice".into()));
    assert_eq!(subject(json!(42)), Ok("42".into()));
    assert_eq!(subject(json!(-1)), Ok("-1".into()));
    assert_eq!(subject(json!(u64::MAX)), Ok(u64::MAX.to_string()));
    for wrong in [
        json!(""),
        json!("  "),
        json!(null),
        json!(true),
        json!(1.5),
        json!(1e30),
        json!(["alice"]),
        json!({}),
    ] {
        assert_eq!(subject(wrong), Err(Reason::ProofClaim));
    }
    assert_eq!(judge(&verifier, &without("sub")), Err(Reason::ProofClaim));

    let by_user_id = Jwt {
        subject: "user_id".into(),
        ..jwt(vec![hs256(None)])
    };
    let identity = judge(&by_user_id, &with("user_id", json!(7))).unwrap();
    assert_eq!(identity.subject(), "7");
    assert_eq!(judge(&by_user_id, &claims()), Err(Reason::ProofClaim));
}
