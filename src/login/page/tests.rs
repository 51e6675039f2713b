use proptest::prelude::*;

use super::*;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn keys() -> SecurityKeys {
    SecurityKeys::parse([KEY]).unwrap()
}

fn page(url: &str) -> LoginPage {
    LoginPage::new(url, Parameters::default(), Label::Id).unwrap()
}

fn query(page: &LoginPage, values: &LoginUrl<'_>) -> String {
    let url = page.url(&keys(), values);
    url.split_once('?').unwrap().1.to_owned()
}

fn holds(query: &str) -> bool {
    verify_query(&keys(), "signature", query)
}

fn token() -> LoginToken {
    LoginToken::parse(&"A".repeat(43)).unwrap()
}

fn values(token: &LoginToken) -> LoginUrl<'_> {
    LoginUrl {
        token,
        callback: "https://chat.example.com/.chatgate/return/web",
        channel: "web",
        interaction: "C 1&signature=x",
        level: "verified",
        now: Time::from_secs(1_614_265_330),
    }
}

#[test]
fn values_arrive_as_they_were() {
    let token = token();
    let query = query(&page("https://login.example.com/in"), &values(&token));
    let got = pairs(&query);
    let named: Vec<_> = got
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .take(6)
        .collect();
    let callback = format!(
        "https://chat.example.com/.chatgate/return/web?token={}",
        token.expose()
    );
    assert_eq!(
        named,
        [
            ("token", token.expose()),
            ("callback", callback.as_str()),
            ("channel", "web"),
            ("interaction", "C 1&signature=x"),
            ("time", "1614265330"),
            ("level", "verified"),
        ]
    );
    assert_eq!(got.len(), 7);
    assert_eq!(got[6].0, "signature");
    assert!(holds(&query));
}

/// Computed elsewhere; a signature over the bare query is one for something else.
#[test]
fn the_signature_is_the_documented_one() {
    let query = format!("lang=en&token={}&level=verified", token().expose());
    let signature = "bed55192484778ecc85b966e4e9b1c4618453571cfce236022f60b15f9644b30";
    assert!(holds(&format!("{query}&signature={signature}")));
    let bare = hex::encode(keys().sign(query.as_bytes()));
    assert!(!holds(&format!("{query}&signature={bare}")));
}

#[test]
fn an_own_query_is_kept_and_signed() {
    let token = token();
    for (url, start) in [
        ("https://l.example/in", "https://l.example/in?token="),
        ("https://l.example/in?", "https://l.example/in?token="),
        ("https://l.example", "https://l.example?token="),
        (
            "https://l.example/in?a=1&b",
            "https://l.example/in?a=1&b&token=",
        ),
        (
            "https://l.example/in?a=1&",
            "https://l.example/in?a=1&token=",
        ),
        (
            "https://l.example/in?a=x?y",
            "https://l.example/in?a=x?y&token=",
        ),
    ] {
        let made = page(url).url(&keys(), &values(&token));
        assert!(made.starts_with(start), "{made}");
        let query = made.split_once('?').unwrap().1;
        assert!(holds(query), "{made}");
        let changed = query.replacen("a=", "a=2", 1);
        assert_eq!(holds(&changed), changed == query, "{changed}");
    }
}

#[test]
fn names_are_the_operators() {
    let token = token();
    let parameters = Parameters {
        token: None,
        callback: Some("cb".into()),
        channel: None,
        interaction: None,
        time: None,
        level: None,
        signature: "sig".into(),
    };
    let page = LoginPage::new("https://l.example/", parameters, Label::Hash).unwrap();
    let query = query(&page, &values(&token));
    let names: Vec<_> = pairs(&query).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["cb", "sig"]);
    assert!(verify_query(&keys(), "sig", &query));
    assert!(!holds(&query));
}

#[test]
fn a_hashed_label_tells_chats_apart_and_reveals_nothing() {
    let page = LoginPage {
        label: Label::Hash,
        ..page("https://l.example/")
    };
    let label = |channel, id| page.label(&keys(), channel, id);
    assert_eq!(label("web", "C1"), label("web", "C1"));
    assert_ne!(label("web", "C1"), label("web", "C2"));
    assert_ne!(label("web", "C1"), label("app", "C1"));
    assert_eq!(label("web", "C1").len(), 16);
}

#[test]
fn an_own_query_that_would_not_stay_as_it_is_is_refused() {
    for url in [
        "https://l.example/#top",
        "https://l.example/?a=b c",
        "https://l.example/?a='b'",
        "https://l.example/?a=\"b\"",
        "https://l.example/?a=<b>",
        "https://l.example/?a=é",
        "https://l.example/\r\nX: y",
        "https://l.example/?token=1",
        "https://l.example/?a&%74oken=1",
        "https://l.example/?signature",
    ] {
        let page = LoginPage::new(url, Parameters::default(), Label::Hash);
        assert!(page.is_err(), "{url}");
    }
    let parameters = Parameters {
        token: None,
        ..Parameters::default()
    };
    assert!(LoginPage::new("https://l.example/?token=1", parameters, Label::Hash).is_ok());
}

#[test]
fn a_signature_has_one_spelling_and_one_place() {
    let token = token();
    let query = query(&page("https://l.example/"), &values(&token));
    let (signed, signature) = query.rsplit_once("&signature=").unwrap();
    for other in [
        format!("{signed}&signature={}", signature.to_uppercase()),
        format!("{query}&signature={signature}"),
        format!("{query}&x=1"),
        format!("{query}&"),
        format!("{query}#x"),
        format!("{query}%00"),
        format!("signature={signature}&{signed}"),
        format!("signature={signature}"),
        format!("{signed}&signature="),
        format!("{signed}&signature={}", &signature[..62]),
        signed.to_owned(),
        String::new(),
    ] {
        assert!(!holds(&other), "{other}");
    }
}

/// Values in which names, separators and escapes of ours turn up often.
fn tricky() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec![
            "a",
            "b",
            "&",
            "=",
            "?",
            "/",
            "%26",
            "%",
            "+",
            " ",
            "#",
            "&level=",
            "&time=1",
            "token=",
            "signature=",
            "é",
            "\0",
            "\n",
        ]),
        0..5,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn two_sets_of_values_never_share_what_is_signed(
        one in (tricky(), tricky(), tricky(), tricky(), 0..3u64),
        two in (tricky(), tricky(), tricky(), tricky(), 0..3u64),
    ) {
        let token = token();
        let page = page("https://l.example/?lang=en");
        let signed = |(callback, channel, interaction, level, secs): &(String, String, String, String, u64)| {
            let values = LoginUrl {
                token: &token, callback, channel, interaction, level, now: Time::from_secs(*secs),
            };
            query(&page, &values).rsplit_once("&signature=").unwrap().0.to_owned()
        };
        prop_assert_eq!(one == two, signed(&one) == signed(&two));
    }

    #[test]
    fn any_values_hold(callback in tricky(), channel in tricky(), interaction in any::<String>(), level in any::<String>()) {
        let token = LoginToken::generate();
        let values = LoginUrl {
            token: &token, callback: &callback, channel: &channel, interaction: &interaction,
            level: &level, now: Time::from_secs(1),
        };
        let query = query(&page("https://l.example/?lang=en"), &values);
        prop_assert!(query.bytes().all(|b| b.is_ascii_graphic() && b != b'#'));
        prop_assert!(holds(&query));
        prop_assert_eq!(&pairs(&query)[4].1, &interaction);
    }

    #[test]
    fn a_changed_character_breaks_it(at: prop::sample::Index, byte in 0x21..0x7fu8) {
        let token = token();
        let mut query = query(&page("https://l.example/?lang=en"), &values(&token)).into_bytes();
        let at = at.index(query.len());
        prop_assume!(query[at] != byte);
        query[at] = byte;
        prop_assert!(!holds(&String::from_utf8(query).unwrap()));
    }

    #[test]
    fn a_dropped_doubled_moved_or_added_parameter_breaks_it(
        from: prop::sample::Index, to: prop::sample::Index, how in 0..4usize, extra in tricky(),
    ) {
        let token = token();
        let query = query(&page("https://l.example/?lang=en"), &values(&token));
        let mut parts: Vec<&str> = query.split('&').collect();
        let (from, to) = (from.index(parts.len()), to.index(parts.len()));
        match how {
            0 => drop(parts.remove(from)),
            1 => parts.insert(to, parts[from]),
            2 => { let part = parts.remove(from); parts.insert(to, part) }
            _ => parts.insert(to, &extra),
        }
        let changed = parts.join("&");
        prop_assume!(changed != query);
        prop_assert!(!holds(&changed));
    }

    #[test]
    fn garbage_never_holds(query in any::<String>(), name in any::<String>()) {
        prop_assert!(!verify_query(&keys(), &name, &query));
    }
}
