//! Which key verifies what: algorithm, kind of key, name.

use super::*;

/// Every algorithm of the header against every pinned algorithm of every key: of
/// all tokens signed by the right private key only the pinned algorithm verifies.
#[test]
fn the_algorithm_is_pinned_per_key() {
    for signer in pairs() {
        for algorithm in signer.algorithms {
            let token = sign(*algorithm, None, &signer.signs, &claims());
            for verifier in pairs() {
                for pinned in verifier.algorithms {
                    let verdict = verify(&jwt(vec![verifier.verifies(None, *pinned)]), &token);
                    let case = format!(
                        "{} {algorithm:?} for {} {pinned:?}",
                        signer.name, verifier.name
                    );
                    match algorithm == pinned {
                        true => assert!(verdict.is_ok(), "{case}: {verdict:?}"),
                        false => assert_eq!(verdict, Err(Reason::ProofAlgorithm), "{case}"),
                    }
                }
            }
        }
    }
}

/// An attacker knows the public key, and signs with it as if it were a secret.
#[test]
fn a_public_key_is_no_secret() {
    use Algorithm::*;
    for pair in pairs().into_iter().filter(|pair| !pair.public.is_empty()) {
        let pem = pair.public.to_vec();
        let der = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
        let der: rustls::pki_types::SubjectPublicKeyInfoDer<'_> = der;
        let text = String::from_utf8(pem.clone()).unwrap();
        let secrets = [&*pem, &*der, text.trim().as_bytes()];
        for secret in secrets {
            for algorithm in [HS256, HS384, HS512] {
                let key = EncodingKey::from_secret(secret);
                let token = sign(algorithm, None, &key, &claims());
                for pinned in pair.algorithms {
                    let keys = vec![pair.verifies(None, *pinned)];
                    let verdict = verify(&jwt(keys), &token);
                    assert_eq!(verdict, Err(Reason::ProofAlgorithm), "{}", pair.name);
                }
            }
        }
    }
}

#[test]
fn none_is_refused_in_every_spelling() {
    let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
    for alg in [
        "none", "None", "NONE", "nOnE", "", "HS1", "ES512", "RSA1_5", "hs256", "HS256 ",
    ] {
        let header = json!({ "alg": alg, "typ": "JWT" }).to_string();
        let signed = format!("{}.{}", encode(&header), encode(&claims().to_string()));
        for token in [format!("{signed}."), raw(&header, &claims().to_string())] {
            for pair in pairs() {
                let keys = vec![pair.verifies(None, pair.algorithms[0])];
                let verdict = verify(&jwt(keys), &token);
                assert_eq!(verdict, Err(Reason::ProofAlgorithm), "{alg:?}");
            }
        }
    }
    for header in [
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":0}"#,
        r#"{"alg":["HS256"]}"#,
    ] {
        let verdict = verify(&jwt(vec![hs256(None)]), &raw(header, &claims().to_string()));
        assert_eq!(verdict, Err(Reason::ProofMalformed), "{header}");
    }
}

#[test]
fn a_cut_signature_is_refused() {
    for pair in pairs() {
        let algorithm = pair.algorithms[0];
        let verifier = jwt(vec![pair.verifies(None, algorithm)]);
        let token = sign(algorithm, None, &pair.signs, &claims());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let whole = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for len in [0, 1, whole.len() - 1] {
            let cut = URL_SAFE_NO_PAD.encode(&whole[..len]);
            let verdict = verify(&verifier, &format!("{signed}.{cut}"));
            assert_eq!(verdict, Err(Reason::ProofSignature), "{}", pair.name);
        }
    }
}

#[test]
fn another_key_of_the_same_kind_is_refused() {
    let keys = [
        (Algorithm::HS256, EncodingKey::from_secret(OTHER)),
        (
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(pem!("rsa-b")).unwrap(),
        ),
        (
            Algorithm::PS256,
            EncodingKey::from_rsa_pem(pem!("rsa-b")).unwrap(),
        ),
        (
            Algorithm::ES256,
            EncodingKey::from_ec_pem(pem!("p256-b")).unwrap(),
        ),
        (
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(pem!("ed25519-b")).unwrap(),
        ),
    ];
    for (algorithm, key) in keys {
        let token = sign(algorithm, None, &key, &claims());
        let pairs = pairs();
        let ours = pairs
            .iter()
            .find(|pair| pair.algorithms.contains(&algorithm))
            .unwrap();
        let verdict = verify(&jwt(vec![ours.verifies(None, algorithm)]), &token);
        assert_eq!(verdict, Err(Reason::ProofSignature), "{algorithm:?}");
    }
}

#[test]
fn a_kid_is_verified_by_keys_of_that_kid_or_none() {
    let ours = EncodingKey::from_secret(SECRET);
    let token = |kid| sign(Algorithm::HS256, kid, &ours, &claims());
    let other = |kid| PinnedKey::from_secret(kid, Algorithm::HS256, OTHER).unwrap();
    let cases = [
        (Some("a"), vec![hs256(Some("a"))], Ok(())),
        (Some("a"), vec![hs256(None)], Ok(())),
        (None, vec![hs256(Some("a"))], Ok(())),
        (None, vec![other(Some("b")), hs256(Some("a"))], Ok(())),
        (Some("a"), vec![other(Some("a")), hs256(Some("a"))], Ok(())),
        (
            Some("b"),
            vec![hs256(Some("a"))],
            Err(Reason::ProofUnknownKey),
        ),
        (
            Some("A"),
            vec![hs256(Some("a"))],
            Err(Reason::ProofUnknownKey),
        ),
        (
            Some(""),
            vec![hs256(Some("a"))],
            Err(Reason::ProofUnknownKey),
        ),
        (
            Some("b"),
            vec![hs256(Some("a")), other(Some("b"))],
            Err(Reason::ProofSignature),
        ),
        (Some("a"), vec![], Err(Reason::ProofUnknownKey)),
        (None, vec![], Err(Reason::ProofUnknownKey)),
    ];
    for (kid, keys, expected) in cases {
        let verdict = verify(&jwt(keys), &token(kid)).map(drop);
        assert_eq!(verdict, expected, "{kid:?}");
    }
    for kid in ["null", "1", "{}"] {
        let header = format!(r#"{{"alg":"HS256","kid":{kid}}}"#);
        let verdict = verify(
            &jwt(vec![hs256(None)]),
            &raw(&header, &claims().to_string()),
        );
        assert_eq!(verdict, Err(Reason::ProofMalformed), "{kid}");
    }
}

#[test]
fn what_the_header_offers_as_a_key_is_not_looked_at() {
    let stranger = EncodingKey::from_ec_pem(pem!("p256-b")).unwrap();
    let mut header = Header::new(Algorithm::ES256);
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&stranger, Algorithm::ES256).unwrap();
    header.jwk = Some(jwk);
    header.jku = Some("http://127.0.0.1:1/jwks.json".into());
    let token = jsonwebtoken::encode(&header, &claims(), &stranger).unwrap();
    let ours = PinnedKey::from_pem(None, Algorithm::ES256, pem!("p256-a.pub")).unwrap();
    assert_eq!(
        verify(&jwt(vec![ours]), &token),
        Err(Reason::ProofSignature)
    );
}

#[test]
fn keys_of_the_wrong_kind_or_strength_are_refused() {
    use Algorithm::*;
    let message = |algorithm, pem: &[u8]| PinnedKey::from_pem(None, algorithm, pem).unwrap_err();
    for (algorithm, pem, says) in [
        (RS256, &pem!("p256-a.pub")[..], "not a public key for RS256"),
        (PS256, pem!("ed25519-a.pub"), "not a public key for PS256"),
        (ES256, pem!("rsa-a.pub"), "not a public key for ES256"),
        (ES256, pem!("p384-a.pub"), "not a public key for ES256"),
        (ES384, pem!("p256-a.pub"), "not a public key for ES384"),
        (EdDSA, pem!("p256-a.pub"), "not a public key for EdDSA"),
        (HS256, pem!("rsa-a.pub"), "needs a secret"),
        (RS256, pem!("rsa-a"), "private key"),
        (ES256, pem!("p256-a"), "private key"),
        (ES256, pem!("p256-a.sec1"), "private key"),
        (EdDSA, pem!("ed25519-a"), "private key"),
        (ES256, pem!("p256-a.cert"), "certificate"),
        (RS256, pem!("rsa-weak.pub"), "1024"),
        (RS256, b"", "no PEM"),
        (RS256, b"garbage", "no PEM"),
        (
            RS256,
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "not a public key for RS256",
        ),
    ] {
        let message = message(algorithm, pem);
        assert!(message.contains(says), "{says}: {message}");
    }
    let two = [&pem!("p256-a.pub")[..], pem!("p256-b.pub")].concat();
    assert!(message(ES256, &two).contains("more than one"));
    let mixed = [&pem!("p256-a.pub")[..], pem!("p256-a")].concat();
    assert!(message(ES256, &mixed).contains("private key"));
    for (algorithm, least) in [(HS256, 32), (HS384, 48), (HS512, 64)] {
        let read = |len| PinnedKey::from_secret(None, algorithm, &SECRET[..len]);
        assert!(read(least).is_ok());
        assert!(read(least - 1).unwrap_err().contains(&least.to_string()));
    }
    assert!(PinnedKey::from_secret(None, RS256, SECRET).is_err());
}
