//! What comes back is forged, replayed, or somebody else's.

use std::time::Duration;

use serde_json::{Value, json};

use super::{code, depart, departed, gateway, outcome, tables};
use crate::setup::{CANARY, OWNER, bot, channel, is_challenge, login_url, statement};
use crate::support::browser::{parameter, path_of};
use crate::support::provider::{mac_with_public_key, unsigned, with_key_of_another};
use crate::support::{Browser, Gateway, Provider, Reply, Request, login};

#[test]
fn an_id_token_that_is_not_for_us_is_refused() {
    let (gateway, provider) = gateway("");
    let (mut browser, url, _) = departed(&gateway, "c1");
    let now = gateway.clock.now().secs();
    let attempt = |browser: &mut Browser, claims: Value| {
        provider.plan().claims = claims;
        let back = provider.log_in(&depart(browser, &url));
        outcome(browser, &back)
    };
    for (claims, wanted) in [
        (json!({"iss": "https://evil.example"}), "proof-issuer"),
        (
            json!({"iss": format!("{}/", provider.issuer())}),
            "proof-issuer",
        ),
        (json!({"iss": null}), "proof-issuer"),
        (json!({"aud": "another"}), "proof-audience"),
        (json!({"aud": null}), "proof-audience"),
        (json!({"aud": []}), "proof-audience"),
        (json!({"aud": ["chatgate", "another"]}), "proof-audience"),
        (
            json!({"aud": ["chatgate", "another"], "azp": "another"}),
            "proof-audience",
        ),
        (json!({"azp": "another"}), "proof-audience"),
        (json!({"azp": 7}), "proof-audience"),
        (json!({"nonce": null}), "login-nonce"),
        (json!({"nonce": ""}), "login-nonce"),
        (json!({"nonce": "another"}), "login-nonce"),
        (json!({"nonce": ["another"]}), "login-nonce"),
        (json!({"exp": now - 31}), "proof-expired"),
        (json!({"exp": null}), "proof-claim"),
        (json!({"exp": "9999999999"}), "proof-claim"),
        (json!({"iat": null}), "proof-claim"),
        (
            json!({"iat": now + 4000, "exp": now + 9000}),
            "proof-not-yet-valid",
        ),
        (json!({"nbf": now + 4000}), "proof-not-yet-valid"),
        (json!({"sub": null}), "proof-claim"),
        (json!({"sub": ""}), "proof-claim"),
        (json!({"sub": ["alice"]}), "proof-claim"),
        (json!({"sub": "a\r\nb"}), "proof-claim"),
        (json!({"sub": "a".repeat(1025)}), "proof-claim"),
        (
            json!({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
            "proof-signature",
        ),
        (json!({"at_hash": 7}), "proof-signature"),
    ] {
        assert_eq!(attempt(&mut browser, claims.clone()), wanted, "{claims}");
    }
    // With several audiences, and ours the one that it was made for.
    let several = json!({"aud": ["another", "chatgate"], "azp": "chatgate"});
    assert_eq!(attempt(&mut browser, several), "login-succeeded");
}

#[test]
fn an_id_token_that_nobody_signed_is_refused() {
    let (gateway, provider) = gateway("");
    let (mut browser, url, _) = departed(&gateway, "c1");
    type Forge = fn(&Value) -> String;
    let forgeries: [(Forge, &str); 5] = [
        (unsigned, "proof-algorithm"),
        (mac_with_public_key, "proof-algorithm"),
        (with_key_of_another, "proof-signature"),
        (|claims| claims.to_string(), "proof-malformed"),
        (|_| "a.b.c".into(), "proof-malformed"),
    ];
    for (forge, wanted) in forgeries {
        provider.plan().forge = Some(forge);
        let back = provider.log_in(&depart(&mut browser, &url));
        assert_eq!(outcome(&mut browser, &back), wanted);
    }
    provider.plan().forge = None;
    // An algorithm that the provider does not announce; one that we do not accept.
    provider.plan().document = json!({"id_token_signing_alg_values_supported": ["RS256"]});
    gateway.clock.advance(Duration::from_secs(3601));
    let (mut late, url, _) = departed(&gateway, "c2");
    // The document that is on its way arrives before the next login.
    crate::support::eventually("the new document", || {
        let back = provider.log_in(&depart(&mut late, &url));
        (outcome(&mut late, &back) == "proof-algorithm").then_some(())
    });
    assert!(is_challenge(&statement(&mut late, "c2")));
}

#[test]
fn a_state_counts_once_in_its_own_browser_chat_and_channel() {
    let provider = Provider::start();
    let origin = bot();
    let web = tables(&origin, &provider, "", "");
    let app = channel(&origin, "", OWNER)
        .replace(login::LOGIN, "")
        .replace("channel.web", "channel.app")
        .replace("path = \"/", "path = \"/app/")
        .replace(&origin.upstream("bot"), "");
    let gateway = Gateway::start(&format!("{web}\n{app}\n{}", provider.table("app", "")));
    let (mut browser, url, there) = departed(&gateway, "c1");
    let back = provider.log_in(&there);

    // Another browser: one without a cookie, one with its own, one with two.
    assert_eq!(outcome(&mut gateway.browser(), &back), "login-browser");
    let (mut other, _, elsewhere) = departed(&gateway, "c2");
    assert_eq!(outcome(&mut other, &back), "login-browser");
    let mine = browser.cookies["chatgate-login"].clone();
    let twice = format!("chatgate-login={mine}; chatgate-login={mine}");
    let request = Request::get(path_of(&back)).header("Cookie", &twice);
    assert_eq!(code(&gateway.wire().exchange(&request)), "login-browser");

    // Another channel; a code of somebody else's login; a code with no state, or with another's.
    let crossed = back.replace("/callback/web", "/callback/app");
    assert_eq!(outcome(&mut browser, &crossed), "return-channel");
    let nowhere = back.replace("/callback/web", "/callback/none");
    assert_eq!(outcome(&mut browser, &nowhere), "return-channel");
    let stolen = provider.code(&elsewhere);
    let issuer = provider.issuer();
    let swapped = provider.back(
        &there,
        &[("code", stolen.as_str()), ("iss", issuer.as_str())],
    );
    assert_eq!(outcome(&mut browser, &swapped), "login-code");
    // That attempt is over now, the login URL is not.
    assert_eq!(outcome(&mut browser, &back), "login-state");
    let state = parameter(&elsewhere, "state").unwrap();
    let there = depart(&mut browser, &url);
    let own = parameter(&there, "state").unwrap();
    let other_state = provider.log_in(&there).replace(&own, &state);
    assert_eq!(outcome(&mut browser, &other_state), "login-browser");
    let made_up = provider.log_in(&there).replace(&own[43..], &"A".repeat(43));
    assert_eq!(outcome(&mut browser, &made_up), "login-state");
    let of_nobody = provider.log_in(&there).replace(&own, &"A".repeat(86));
    assert_eq!(outcome(&mut browser, &of_nobody), "token-unknown");
    for chat in ["c1", "c2"] {
        let answer = gateway.browser().get(&format!("/chat/{chat}/statement"));
        assert!(!answer.contains(CANARY));
    }
    let back = provider.log_in(&there);
    assert_eq!(outcome(&mut browser, &back), "login-succeeded");
    assert!(statement(&mut browser, "c1").contains(CANARY));
    assert!(is_challenge(&statement(&mut other, "c2")));
}

#[test]
fn a_callback_names_its_provider() {
    let (gateway, provider) = gateway("");
    let (mut browser, url, _) = departed(&gateway, "c1");
    let mut attempt = |issuer: &[(&str, &str)]| {
        let there = depart(&mut browser, &url);
        let code = provider.code(&there);
        let mut parameters = vec![("code", code.as_str())];
        parameters.extend(issuer);
        outcome(&mut browser, &provider.back(&there, &parameters))
    };
    let right = provider.issuer();
    let slash = format!("{right}/");
    assert_eq!(attempt(&[]), "login-issuer");
    assert_eq!(attempt(&[("iss", "https://evil.example")]), "login-issuer");
    assert_eq!(attempt(&[("iss", &slash)]), "login-issuer");
    assert_eq!(
        attempt(&[("iss", &right), ("iss", &right)]),
        "return-duplicate"
    );
    assert_eq!(attempt(&[("error", "access_denied")]), "return-malformed");
    assert_eq!(attempt(&[("iss", &right)]), "login-succeeded");
    // Not even a denial is believed from another provider.
    let (mut browser, url, there) = departed(&gateway, "c2");
    let back = provider.back(
        &there,
        &[("error", "access_denied"), ("iss", "https://evil.example")],
    );
    assert_eq!(outcome(&mut browser, &back), "login-issuer");
    let back = provider.log_in(&depart(&mut browser, &url));
    assert_eq!(outcome(&mut browser, &back), "login-succeeded");
}

#[test]
fn a_discovery_document_of_somebody_else_leads_nowhere() {
    let (gateway, provider) = gateway("");
    let mut browser = gateway.browser();
    let url = login_url(&statement(&mut browser, "c1"));
    for document in [
        json!({"issuer": "https://evil.example"}),
        json!({"issuer": format!("{}/", provider.issuer())}),
        json!({"authorization_endpoint": "javascript:alert(1)"}),
        json!({"token_endpoint": null}),
    ] {
        provider.plan().document = document.clone();
        assert_eq!(
            code(&browser.get(&url)),
            "503 provider-unavailable",
            "{document}"
        );
        gateway.clock.advance(Duration::from_secs(3));
    }
    provider.plan().document = json!({});
    let path = "/.well-known/openid-configuration";
    provider
        .plan()
        .instead
        .insert(path, Reply::new(200, vec![b' '; 300_000]));
    assert_eq!(code(&browser.get(&url)), "503 provider-unavailable");
}

#[test]
fn a_link_that_ran_out_leads_nowhere() {
    let (gateway, provider) = gateway("");
    let (mut browser, url, there) = departed(&gateway, "c1");
    let back = provider.log_in(&there);
    gateway.clock.advance(Duration::from_secs(10 * 60 + 1));
    assert_eq!(outcome(&mut browser, &back), "token-expired");
    assert_eq!(code(&browser.get(&url)), "token-expired");
    // A newer one revokes the older, attempts and all.
    provider.plan().now = gateway.clock.now().secs();
    let (mut browser, older, there) = departed(&gateway, "c2");
    let newer = login_url(&statement(&mut browser, "c2"));
    assert_eq!(
        outcome(&mut browser, &provider.log_in(&there)),
        "token-revoked"
    );
    assert_eq!(code(&browser.get(&older)), "token-revoked");
    assert_eq!(code(&browser.get("/.chatgate/login/x")), "token-unknown");
    let unknown = format!("/.chatgate/login/{}", "A".repeat(43));
    assert_eq!(code(&browser.get(&unknown)), "token-unknown");
    let back = provider.log_in(&depart(&mut browser, &newer));
    assert_eq!(outcome(&mut browser, &back), "login-succeeded");
}

#[test]
fn a_chat_that_is_alices_does_not_become_bobs() {
    let (gateway, provider) = gateway("");
    let (mut browser, _, there) = departed(&gateway, "c1");
    assert_eq!(
        outcome(&mut browser, &provider.log_in(&there)),
        "login-succeeded"
    );
    gateway.clock.advance(Duration::from_secs(31 * 60));
    {
        let mut plan = provider.plan();
        plan.now += 31 * 60;
        plan.subject = "bob".into();
    }
    let url = login_url(&statement(&mut browser, "c1"));
    let there = depart(&mut browser, &url);
    assert_eq!(
        outcome(&mut browser, &provider.log_in(&there)),
        "subject-changed"
    );
    assert!(is_challenge(&statement(&mut browser, "c1")));
}

#[test]
fn own_addresses_take_their_own_methods_only() {
    let (gateway, _) = gateway("");
    let mut browser = gateway.browser();
    for (method, target, status) in [
        ("PUT", "/.chatgate/login/x", 405),
        // What is not ours is a login URL that leads nowhere.
        ("POST", "/.chatgate/login/x", 303),
        ("POST", "/.chatgate/callback/web", 405),
        ("HEAD", "/.chatgate/callback/web", 405),
        ("GET", "/.chatgate/backchannel-logout/web", 405),
        ("GET", "/.chatgate/login", 404),
        ("GET", "/.chatgate/callback/web/x", 303),
    ] {
        let answer = browser.send(Request::new(method, target));
        assert_eq!(answer.status, status, "{method} {target}");
    }
    // The signed return of a page means nothing here.
    let signed = gateway.site.signed("/.chatgate/return/web", b"{}");
    assert_eq!(gateway.site.send(signed).code(), "return-channel");
}
