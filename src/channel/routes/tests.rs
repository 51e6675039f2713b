use proptest::prelude::*;

use std::time::Duration;

use super::*;
use crate::channel::{Enforcement, Upstream};

/// A route of any kind; its name tells it.
fn route(methods: &str, host: &str, path: &str) -> Arc<Route> {
    let upstream = Upstream {
        name: "bot".into(),
        host: "127.0.0.1".into(),
        port: 5005,
        tls: None,
        http2: false,
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(1),
    };
    Arc::new(Route {
        name: format!("{methods} {host}{path}").into(),
        kind: Kind::Pass,
        channel: Arc::new(Channel::new("web")),
        upstream: Arc::new(upstream),
        methods: methods
            .split_whitespace()
            .map(|m| m.parse().unwrap())
            .collect(),
        host: (!host.is_empty()).then(|| host.into()),
        path: path.into(),
        interaction: None,
        enforcement: Enforcement::Off,
        level: Default::default(),
        signatures: Default::default(),
        max_body: 0,
        read_timeout: None,
    })
}

fn routes(list: &[(&str, &str, &str)]) -> Result<Routes, Vec<RouteError>> {
    Routes::new(list.iter().map(|(m, h, p)| route(m, h, p)).collect())
}

fn paths(list: &[&str]) -> Result<Routes, Vec<RouteError>> {
    Routes::new(list.iter().map(|path| route("", "", path)).collect())
}

/// The pattern that a path matches.
fn at(routes: &Routes, path: &str) -> Option<String> {
    let found = routes.find(&Method::GET, "example.com", path)?;
    Some(found.route.path.to_string())
}

fn tie(first: usize, second: usize) -> RouteError {
    RouteError::Tie { first, second }
}

#[test]
fn text_before_a_parameter_before_a_catch_all() {
    let routes = paths(&[
        "/{*rest}",
        "/{bot}/create",
        "/{bot}/{chat}",
        "/web/create",
        "/web/{*rest}",
    ]);
    let routes = routes.unwrap();
    for (path, pattern) in [
        ("/web/create", Some("/web/create")),
        ("/web/delete", Some("/web/{*rest}")),
        ("/web", Some("/{*rest}")),
        ("/sms/create", Some("/{bot}/create")),
        ("/sms/7", Some("/{bot}/{chat}")),
        ("/sms/7/8", Some("/{*rest}")),
        ("/", None),
        ("", None),
        ("*", None),
        ("web/create", None),
    ] {
        assert_eq!(at(&routes, path).as_deref(), pattern, "{path}");
    }
}

#[test]
fn more_text_around_a_parameter_first() {
    let routes = paths(&[
        "/{a}",
        "/v{a}",
        "/v{a}.png",
        "/{a}.png",
        "/vx{a}",
        "/{a}-x.png",
    ])
    .unwrap();
    for (path, pattern) in [
        ("/b", "/{a}"),
        ("/v", "/{a}"),
        ("/v1", "/v{a}"),
        ("/v.png", "/v{a}"),
        ("/v1.png", "/v{a}.png"),
        ("/vx1.png", "/vx{a}"),
        ("/b.png", "/{a}.png"),
        ("/.png", "/{a}"),
        ("/b-x.png", "/{a}-x.png"),
    ] {
        assert_eq!(at(&routes, path).as_deref(), Some(pattern), "{path}");
    }
}

#[test]
fn the_path_is_matched_whole_and_raw() {
    let routes = paths(&["/chats/{id}", "/files/"]).unwrap();
    for path in [
        "/chats",
        "/chats/",
        "/chats/1/",
        "/chats/1/2",
        "/x/chats/1",
        "/Chats/1",
        "/files",
    ] {
        assert_eq!(at(&routes, path), None, "{path}");
    }
    assert!(at(&routes, "/files/").is_some());
    let found = routes.find(&Method::GET, "", "/chats/a%20b%C3%A9").unwrap();
    assert_eq!(found.params(), [("id".into(), "a%20b%C3%A9".into())]);
}

#[test]
fn captures_by_the_names_of_its_own_pattern() {
    let routes = routes(&[
        ("GET", "", "/a/{x}/b-{y}.json"),
        ("POST", "", "/a/{y}/b-{x}.json"),
        ("", "", "/a/{x}/{*rest}"),
        ("", "", "/a"),
    ])
    .unwrap();
    let params = |method, path| {
        let found = routes.find(&method, "", path).unwrap();
        let params = found.params().into_iter();
        let params = params.map(|(name, value)| format!("{name}={value}"));
        params.collect::<Vec<_>>()
    };
    assert_eq!(params(Method::GET, "/a/1/b-2.json"), ["x=1", "y=2"]);
    assert_eq!(params(Method::POST, "/a/1/b-2.json"), ["y=1", "x=2"]);
    assert_eq!(
        params(Method::PUT, "/a/1/b-2.json"),
        ["x=1", "rest=b-2.json"]
    );
    assert_eq!(params(Method::GET, "/a/1/2/3/"), ["x=1", "rest=2/3/"]);
    assert_eq!(params(Method::GET, "/a").capacity(), 0);
}

#[test]
fn a_less_specific_route_may_have_the_method() {
    let routes = routes(&[
        ("POST", "", "/chats/new"),
        ("PUT POST", "", "/chats/{id}"),
        ("", "", "/chats/{id}"),
        ("GET", "", "/{*rest}"),
    ])
    .unwrap();
    let name = |method, path| {
        routes
            .find(&method, "", path)
            .map(|found| &*found.route.name)
    };
    assert_eq!(name(Method::POST, "/chats/new"), Some("POST /chats/new"));
    assert_eq!(
        name(Method::PUT, "/chats/new"),
        Some("PUT POST /chats/{id}")
    );
    assert_eq!(name(Method::GET, "/chats/new"), Some(" /chats/{id}"));
    assert_eq!(name(Method::GET, "/else"), Some("GET /{*rest}"));
    assert_eq!(name(Method::HEAD, "/else"), None, "GET does not imply HEAD");
}

#[test]
fn the_host_counts_before_the_path() {
    let routes = routes(&[
        ("", "chat.example.com", "/{*rest}"),
        ("", "*.example.com", "/a/{x}"),
        ("", "*.eu.example.com", "/{*rest}"),
        ("", "", "/a/b"),
    ])
    .unwrap();
    let name = |host, path| {
        routes
            .find(&Method::GET, host, path)
            .map(|found| &*found.route.name)
    };
    for host in [
        "chat.example.com",
        "CHAT.Example.com",
        "chat.example.com:8443",
    ] {
        assert_eq!(
            name(host, "/a/b"),
            Some(" chat.example.com/{*rest}"),
            "{host}"
        );
    }
    assert_eq!(name("x.example.com", "/a/b"), Some(" *.example.com/a/{x}"));
    assert_eq!(
        name("X.Y.EXAMPLE.COM:1", "/a/b"),
        Some(" *.example.com/a/{x}")
    );
    assert_eq!(
        name("x.eu.example.com", "/a/b"),
        Some(" *.eu.example.com/{*rest}")
    );
    for host in [
        "example.com",
        ".example.com",
        "badexample.com",
        "example.com.evil.org",
        "",
    ] {
        assert_eq!(name(host, "/a/b"), Some(" /a/b"), "{host}");
    }
    assert_eq!(name("x.example.com", "/c"), None);
}

#[test]
fn a_trailing_dot_matches_nothing() {
    let routes = routes(&[("", "chat.example.com", "/"), ("", "", "/")]).unwrap();
    for host in ["chat.example.com.", "chat.example.com.:80", "."] {
        assert!(routes.find(&Method::GET, host, "/").is_none(), "{host}");
    }
}

#[test]
fn an_address_is_a_host() {
    let routes = routes(&[("", "[::1]", "/"), ("", "127.0.0.1", "/")]).unwrap();
    for host in ["[::1]", "[::1]:80", "127.0.0.1:8080"] {
        assert!(routes.find(&Method::GET, host, "/").is_some(), "{host}");
    }
    assert!(routes.find(&Method::GET, "[::2]", "/").is_none());
}

#[test]
fn all_ties_and_all_bad_patterns_are_told() {
    let error = routes(&[
        ("GET", "", "/a/{x}"),
        ("", "", "/a/{x}"),
        ("POST GET", "", "/a/{y}"),
        ("", "*.example.com:80", "/{x"),
        ("", "", "/a/{z}"),
        ("", "A.example.com", "/{*x}"),
        ("", "a.example.com", "/{*y}"),
        ("GET", "b.example.com", "/a/{x}"),
    ])
    .unwrap_err();
    let ties: Vec<_> = error
        .iter()
        .filter(|e| matches!(e, RouteError::Tie { .. }))
        .collect();
    assert_eq!(ties, [&tie(0, 2), &tie(1, 4), &tie(5, 6)]);
    let bad = error
        .iter()
        .filter(|e| matches!(e, RouteError::Pattern { route: 3, .. }));
    assert_eq!((bad.count(), error.len()), (2, 5));
}

#[test]
fn a_route_ties_with_another_once_and_never_with_itself() {
    assert!(routes(&[("GET GET", "", "/")]).is_ok());
    let twice = routes(&[("GET POST", "", "/"), ("POST GET", "", "/")]);
    assert_eq!(twice.unwrap_err(), [tie(0, 1)]);
}

#[test]
fn refuses_patterns_that_cannot_match_or_be_read() {
    for path in [
        "",
        "a",
        "{x}",
        "//",
        "/a//b",
        "/../a",
        "/a?b",
        "/a#b",
        "/a b",
        "/%61",
        "/a;b",
        "/{",
        "/}",
        "/{}",
        "/{*}",
        "/{x}{y}",
        "/{x",
        "/x}",
        "/{{x}}",
        "/{a*}",
        "/{*x}/a",
        "/a{*x}",
        "/{*x}a",
        "/{x}/{x}",
        "/{x}/{*x}",
        "/{x/y}",
    ] {
        let error = paths(&["/", path]).unwrap_err();
        assert!(
            matches!(&error[..], [RouteError::Pattern { route: 1, .. }]),
            "{path}"
        );
    }
    for host in [
        "*", "*.", "a.*.b", "a..b", ".a", "a.", "a:80", "a/b", "a b", "http://a",
    ] {
        let error = routes(&[("", host, "/")]).unwrap_err();
        assert!(
            matches!(&error[..], [RouteError::Pattern { route: 0, .. }]),
            "{host}"
        );
    }
}

/// A pattern of text and whole parameters, with distinct names.
fn plain() -> impl Strategy<Value = String> {
    pattern(prop_oneof!["[ab]{1,2}", Just("{p}".to_owned())])
}

/// A pattern in which parameters may have text around them.
fn any() -> impl Strategy<Value = String> {
    pattern(prop_oneof![
        "[ab]{1,2}",
        Just("{p}".to_owned()),
        "[ab]\\{p\\}",
        "\\{p\\}[ab]{1,2}",
    ])
}

fn pattern(segment: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let end = prop_oneof![3 => Just(""), 1 => Just("/"), 1 => Just("/{*rest}")];
    (prop::collection::vec(segment, 0..4), end).prop_map(|(segments, end)| {
        let segments = segments.iter().enumerate();
        let named = segments.map(|(n, s)| format!("/{}", s.replace("{p}", &format!("{{p{n}}}"))));
        let path = named.collect::<String>() + end;
        if path.is_empty() { "/".into() } else { path }
    })
}

proptest! {
    /// Where `matchit` takes the patterns too, it finds the same and captures the
    /// same. With text around parameters that holds for one pattern alone: of
    /// several it tries one, and does not come back when the rest does not match.
    #[test]
    fn agrees_with_matchit(
        patterns in prop_oneof![
            prop::collection::vec(plain(), 1..8),
            prop::collection::vec(any(), 1),
        ],
        requests in prop::collection::vec("(/[ab]{1,3}){0,4}/?", 1..20),
    ) {
        let mut theirs = matchit::Router::new();
        let mut taken: Vec<&str> = Vec::new();
        for pattern in &patterns {
            // It leaves traces of a refused pattern behind: try on a copy.
            let mut copy = theirs.clone();
            if copy.insert(pattern.as_str(), pattern.as_str()).is_ok() {
                theirs = copy;
                taken.push(pattern);
            }
        }
        let ours = paths(&taken).unwrap();
        for request in &requests {
            let expected = theirs.at(request).ok();
            let found = ours.find(&Method::GET, "", request);
            prop_assert_eq!(
                found.as_ref().map(|found| &*found.route.path),
                expected.as_ref().map(|expected| *expected.value),
                "{} in {:?}", request, taken
            );
            let captured = found.map(|found| found.params());
            let captured: Option<Vec<_>> = captured.as_ref().map(|params| {
                params.iter().map(|(name, value)| (&**name, &**value)).collect()
            });
            let expected: Option<Vec<_>> = expected.map(|expected| expected.params.iter().collect());
            prop_assert_eq!(captured, expected);
        }
    }

    /// Whatever comes in, and in whatever order the routes were written.
    #[test]
    fn order_does_not_matter(
        patterns in prop::collection::hash_set(any(), 1..8),
        request in "(/[ab%.]{0,3}){0,4}/?",
    ) {
        let mut patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
        let found = at(&paths(&patterns).unwrap(), &request);
        patterns.reverse();
        prop_assert_eq!(found, at(&paths(&patterns).unwrap(), &request));
    }
}

#[test]
fn a_strict_route_in_disguise_is_seen() {
    let strict = |path: &str| {
        let mut route = Arc::into_inner(route("POST", "", path)).unwrap();
        route.kind = Kind::Message;
        Arc::new(route)
    };
    let mut reads = Arc::into_inner(route("GET", "", "/chats/{id}/messages")).unwrap();
    reads.kind = Kind::Message;
    let reads = Arc::new(reads);
    let routes = Routes::new(vec![
        route("", "", "/{*rest}"),
        route("", "", "/Static/{file}"),
        strict("/webhooks/rest/Webhook"),
        strict("/chats/{id}:detect"),
        reads,
    ])
    .unwrap();
    let disguised = |method: Method, path: &str| {
        let found = routes.find(&method, "x", path).unwrap();
        routes.is_disguised(&method, "x", path, found.route)
    };
    for path in [
        "/webhooks/rest/webhook/",
        "/Webhooks/rest/webhook",
        "/WEBHOOKS/REST/WEBHOOK",
        "/webhooks/rest/Webhook/",
        "/chats/1%3Adetect",
        "/chats/1:DETECT",
    ] {
        assert!(disguised(Method::POST, path), "{path}");
    }
    for path in [
        "/webhooks/rest/Webhook",
        "/Static/App.js",
        "/Else/where/",
        "/chats/1:detect",
    ] {
        assert!(!disguised(Method::POST, path), "{path}");
    }
    assert!(
        !disguised(Method::GET, "/Webhooks/rest/webhook"),
        "another method is another route"
    );
    // A backend answers HEAD with the headers of its GET.
    for method in [Method::GET, Method::HEAD] {
        assert!(disguised(method.clone(), "/Chats/7/messages"), "{method}");
        assert!(disguised(method.clone(), "/chats/7/messages/"), "{method}");
    }
    assert!(!disguised(Method::POST, "/Chats/7/messages"));
}
