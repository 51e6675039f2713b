use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::message::json::arbitrary;

/// A request to take apart.
#[derive(Default)]
struct Request {
    query: Option<&'static str>,
    headers: HeaderMap,
    params: Vec<(Box<str>, Box<str>)>,
    body: Option<Body>,
}

impl Request {
    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers
            .append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    fn body(mut self, body: &str) -> Self {
        self.body = Some(Body::new(Bytes::copy_from_slice(body.as_bytes())));
        self
    }

    fn select(&self, sources: impl Into<Vec<Source>>) -> Result<Option<String>, Reason> {
        Selector(sources.into()).request(&RequestView {
            method: &Method::POST,
            path: "/",
            query: self.query,
            headers: &self.headers,
            params: &self.params,
            body: self.body.as_ref(),
        })
    }
}

fn json(path: &str) -> Source {
    Source::Json(JsonPath::parse(path).unwrap())
}

fn bearer() -> Source {
    Source::Header {
        name: HeaderName::from_static("authorization"),
        scheme: Some("Bearer".into()),
    }
}

fn found(value: &str) -> Result<Option<String>, Reason> {
    Ok(Some(value.into()))
}

const AMBIGUOUS: Result<Option<String>, Reason> = Err(Reason::AmbiguousValue);

#[test]
fn path_parameters_are_decoded() {
    let request = Request {
        params: vec![("id".into(), "a%3Ab".into()), ("x".into(), "".into())],
        ..Request::default()
    };
    assert_eq!(request.select([Source::Path("id".into())]), found("a:b"));
    assert_eq!(request.select([Source::Path("x".into())]), Ok(None));
    assert_eq!(request.select([Source::Path("y".into())]), Ok(None));
}

#[test]
fn query_parameters_are_decoded_and_single() {
    let request = Request {
        query: Some("a=1%202&b=x&b=x&c=&d=%ff&%65=5"),
        ..Request::default()
    };
    let query = |name: &str| request.select([Source::Query(name.into())]);
    assert_eq!(query("a"), found("1 2"));
    assert_eq!(query("b"), AMBIGUOUS);
    assert_eq!(query("c"), Ok(None));
    assert_eq!(query("d"), AMBIGUOUS);
    assert_eq!(query("e"), found("5"));
}

#[test]
fn a_scheme_is_taken_off_in_any_case() {
    let select = |value: &str| {
        Request::default()
            .header("authorization", value)
            .select([bearer()])
    };
    assert_eq!(select("bEARER   abc"), found("abc"));
    assert_eq!(select("Basic abc"), Ok(None));
    assert_eq!(select("Bearer"), Ok(None));
    assert_eq!(select("Bearerabc"), Ok(None));
}

#[test]
fn duplicate_headers_are_ambiguous_even_when_equal() {
    let request = Request::default()
        .header("authorization", "Bearer a")
        .header("authorization", "Bearer a");
    assert_eq!(request.select([bearer()]), AMBIGUOUS);
}

#[test]
fn duplicate_cookies_are_ambiguous_wherever_they_stand() {
    let cookie = || [Source::Cookie("sid".into())];
    let one = Request::default().header("cookie", "a=b; sid=x");
    assert_eq!(one.select(cookie()), found("x"));
    assert_eq!(one.header("cookie", "sid=x").select(cookie()), AMBIGUOUS);
    let broken = Request::default().header("cookie", "a=b");
    assert_eq!(broken.select(cookie()), Ok(None));
    // One value in the spellings that readers take for it, or none.
    for value in ["victim", "\"victim\"", "%76ictim", "\"vict%69m\""] {
        let request = Request::default().header("cookie", &format!("sid={value}"));
        assert_eq!(request.select(cookie()), found("victim"), "{value}");
    }
    for value in ["\"vict\\151m\"", "\"victim", "vic\"tim", "%ff"] {
        let request = Request::default().header("cookie", &format!("sid={value}"));
        assert_eq!(request.select(cookie()), AMBIGUOUS, "{value}");
    }
}

#[test]
fn members_are_text() {
    let request = Request::default()
        .body(r#"{"s":"x","i":12345678901234567890,"h":1.5,"b":false,"n":null,"e":"","o":{},"f":1.0,"g":1e999}"#);
    let member = |name: &str| request.select([json(&format!("$.{name}"))]);
    assert_eq!(member("s"), found("x"));
    assert_eq!(member("i"), found("12345678901234567890"));
    assert_eq!(member("h"), found("1.5"));
    assert_eq!(member("b"), found("false"));
    assert_eq!(member("n"), Ok(None));
    assert_eq!(member("e"), Ok(None));
    assert_eq!(member("missing"), Ok(None));
    for name in ["o", "f", "g"] {
        assert_eq!(member(name), AMBIGUOUS, "{name}");
    }
}

#[test]
fn readings_and_nodes_have_to_agree() {
    for (body, expected) in [
        (r#"{"id":"a","id":"a"}"#, found("a")),
        (r#"{"id":"a","id":"b"}"#, AMBIGUOUS),
        (r#"{"id":"a","i\u0064":"b"}"#, AMBIGUOUS),
        (r#"{"id":"a","id":null}"#, AMBIGUOUS),
        (r#"{"x":{"id":"a"},"x":{}}"#, AMBIGUOUS),
        (r#"[{"id":"a"},{"id":"a"}]"#, found("a")),
        (r#"[{"id":"a"},{"id":"b"}]"#, AMBIGUOUS),
        (r#"[{"id":""},{"id":"b"}]"#, AMBIGUOUS),
    ] {
        let request = Request::default().body(body);
        assert_eq!(request.select([json("$..id")]), expected, "{body}");
    }
}

#[test]
fn a_name_in_another_case_beside_it_is_ambiguous() {
    for (path, body) in [
        ("$.sender", r#"{"sender":"mine","Sender":"victim"}"#),
        ("$.sender", r#"{"SENDER":"victim","sender":"mine"}"#),
        ("$.sender", r#"{"sender":"mine","\u017Fender":"victim"}"#),
        ("$.sender", r#"{"sender":"mine","ſender":"victim"}"#),
        ("$.sender", r#"{"Sender":"victim"}"#),
        ("$.key", r#"{"key":"mine","Key":"victim"}"#),
        ("$['sender']", r#"{"sender":"mine","Sender":"victim"}"#),
        ("$.a.id", r#"{"a":{"id":"mine"},"A":{"id":"victim"}}"#),
        ("$.a.id", r#"{"a":{"id":"mine","ID":"victim"}}"#),
        ("$.a[0].id", r#"{"a":[{"id":"mine","ID":"victim"}]}"#),
        ("$..id", r#"{"a":{"id":"mine","ID":"victim"}}"#),
    ] {
        let select = |body: &str| Request::default().body(body).select([json(path)]);
        assert_eq!(select(body), AMBIGUOUS, "{path} {body}");
        let answer = Body::new(Bytes::copy_from_slice(body.as_bytes()));
        let headers = HeaderMap::new();
        let own = AnswerView::message(&headers, Some(&answer));
        let path = Selector(vec![Source::AnswerJson(JsonPath::parse(path).unwrap())]);
        assert!(path.answer(&own).is_ok(), "{body}");
    }
    let other = r#"{"sender":"mine","Senders":"x","a":{"Sender":"y"}}"#;
    let other = Request::default().body(other);
    assert_eq!(other.select([json("$.sender")]), found("mine"));
}

#[test]
fn a_header_that_folds_into_it_is_ambiguous() {
    let session = || {
        let name = HeaderName::from_static("x-session");
        [Source::Header { name, scheme: None }]
    };
    let one = || Request::default().header("x-session", "mine");
    for alias in ["x_session", "x.session", "x~session"] {
        let two = one().header(alias, "victim");
        assert_eq!(two.select(session()), AMBIGUOUS, "{alias}");
        let alone = Request::default().header(alias, "victim");
        assert_eq!(alone.select(session()), AMBIGUOUS, "{alias}");
    }
    let others = one().header("x-sessions", "a").header("xsession", "b");
    assert_eq!(others.select(session()), found("mine"));
}

#[test]
fn a_parameter_in_another_spelling_is_ambiguous() {
    let form = "application/x-www-form-urlencoded";
    for query in [
        "id=mine&ID=victim",
        "ID=victim",
        "id=mine;id=victim",
        "x=1;id=victim&id=mine",
        "x=1;Id=victim&id=mine",
        "id=mine;x=1",
        "id=mine;",
        "x;id&id=mine",
        "id=mine&id[]=victim",
        "id=mine&id%5B%5D=victim",
        "id=mine&id[0]=victim",
        "id=mine&id[x]=victim",
        "id=mine&%20id=victim",
        "id=mine&id+=victim",
        "id=mine&id%00=victim",
        "id=mine&id%00x=victim",
        "id=mine&%C4%B0d=victim",
    ] {
        let mut request = Request {
            query: Some(query),
            ..Request::default()
        };
        let selected = request.select([Source::Query("id".into())]);
        assert_eq!(selected, AMBIGUOUS, "{query}");
        request = request.header("content-type", form).body(query);
        let selected = request.select([Source::Form("id".into())]);
        assert_eq!(selected, AMBIGUOUS, "{query}");
    }
    for query in [
        "id=mine&idd=x&i=y&x[id]=z&xid=1&id_x=2",
        "id=mine&x=id;y&z=1;2",
        "id=mi%6ee&x=;",
    ] {
        let request = Request {
            query: Some(query),
            ..Request::default()
        };
        let selected = request.select([Source::Query("id".into())]);
        assert!(selected == found("mine"), "{query}: {selected:?}");
    }
    // One that says a way into an object is mangled by some readers, and split by others.
    for (query, name) in [
        ("user.id=mine&user_id=victim", "user.id"),
        ("user.id=mine&user[id]=victim", "user.id"),
        ("user[id]=mine&user.id=victim", "user[id]"),
        ("id=mine&[id]=victim", "id"),
    ] {
        let request = Request {
            query: Some(query),
            ..Request::default()
        };
        let selected = request.select([Source::Query(name.into())]);
        assert_eq!(selected, AMBIGUOUS, "{query}");
    }
}

#[test]
fn a_part_in_another_spelling_is_ambiguous() {
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let select = |other: &str| {
        let body = format!("{}{}--b--\r\n", part("id", "mine"), part(other, "victim"));
        let kind = "multipart/form-data; boundary=b";
        let request = Request::default().header("content-type", kind).body(&body);
        request.select([Source::Form("id".into())])
    };
    for other in ["ID", "id[]", " id", "id%20", "İd"] {
        assert_eq!(select(other), AMBIGUOUS, "{other}");
    }
    assert_eq!(select("idd"), found("mine"));
}

#[test]
fn a_body_that_is_not_json_is_bad() {
    for body in ["{", "id=a", "\u{0}"] {
        let request = Request::default().body(body);
        assert_eq!(
            request.select([json("$.id")]),
            Err(Reason::BadBody),
            "{body}"
        );
    }
    assert_eq!(Request::default().body("").select([json("$.id")]), Ok(None));
    assert_eq!(Request::default().select([json("$.id")]), Ok(None));
}

#[test]
fn form_fields_are_read_and_json_is_json_whatever_it_is_called() {
    let kind = "Application/x-www-form-urlencoded; charset=utf-8";
    let sources = || [json("$.id"), Source::Form("id".into())];
    let form = Request::default().header("content-type", kind);
    assert_eq!(form.body("id=a&x=1").select(sources()), found("a"));
    let twice = Request::default().header("content-type", kind);
    assert_eq!(twice.body("id=a&id=a").select(sources()), AMBIGUOUS);
    let multipart = "multipart/form-data; boundary=b";
    let part = "--b\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\na\r\n";
    let parts = |body: String| {
        let request = Request::default().header("content-type", multipart);
        request.body(&body).select(sources())
    };
    assert_eq!(parts(format!("{part}--b--\r\n")), found("a"));
    assert_eq!(parts(format!("{part}{part}--b--\r\n")), AMBIGUOUS);
    assert_eq!(parts(part.into()), Err(Reason::BadBody));
    let json = Request::default().header("content-type", kind);
    assert_eq!(json.body(r#"{"id":"a"}"#).select(sources()), found("a"));
}

#[test]
fn the_first_source_that_has_a_value_wins() {
    let request = Request {
        query: Some("a=&b=2&c=3"),
        ..Request::default()
    };
    let sources = ["x", "a", "b", "c"].map(|name| Source::Query(name.into()));
    assert_eq!(request.select(sources), found("2"));
    assert_eq!(request.select([]), Ok(None));
}

#[test]
fn answers_are_read_by_answer_sources_alone() {
    let name = HeaderName::from_static("x-id");
    let headers = [(name.clone(), HeaderValue::from_static("h"))];
    let headers = headers.into_iter().collect();
    let body = Body::new(Bytes::from_static(br#"{"id":"b"}"#));
    let answer = AnswerView {
        status: StatusCode::OK,
        headers: &headers,
        body: Some(&body),
    };
    let path = JsonPath::parse("$.id").unwrap();
    let from_body = Selector(vec![json("$.id"), Source::AnswerJson(path)]);
    assert_eq!(from_body.answer(&answer), found("b"));
    let from_header = Selector(vec![Source::AnswerHeader(name)]);
    assert_eq!(from_header.answer(&answer), found("h"));
    assert!(from_body.needs_body() && from_body.needs_answer_body());
    assert!(from_header.needs_answer() && !from_header.needs_answer_body());
    assert_eq!(Selector(vec![json("$.id")]).answer(&answer), Ok(None));
}

proptest! {
    #[test]
    fn the_short_way_finds_what_the_long_one_does(
        text in arbitrary::document(),
        name in prop::sample::select(vec!["a", "b", "flag"]),
    ) {
        let path = JsonPath::parse(&format!("$.{name}")).unwrap();
        prop_assert_eq!(path.top_member(), Some(name));
        if let Some(value) = plain(text.as_bytes(), name, Names::AnyCase) {
            let json = Json::parse(text.as_bytes());
            // Only a document with too many readings is refused nevertheless.
            if let Ok(json) = json {
                for view in json.views() {
                    prop_assert!(!path.forks(view));
                    prop_assert_eq!(path.select_in(view), [&Value::String(value.clone())]);
                }
            }
        }
    }
}

#[test]
fn the_short_way_is_taken() {
    let plain = |text: &str| plain(text.as_bytes(), "id", Names::AnyCase);
    assert_eq!(
        plain(r#" {"x": [1, {"id": 2}], "\u0069d": "\u0061"} "#),
        Some("a".into())
    );
    for other in [
        "",
        "[]",
        r#"{"id":1}"#,
        r#"{"id":""}"#,
        r#"{"id":"a","id":"a"}"#,
        r#"{"id":"a"}x"#,
        r#"{"Id":"b","id":"a"}"#,
    ] {
        assert_eq!(plain(other), None, "{other}");
    }
    for other in ["$..id", "$.a.id", "$.*", "$['id']", "$.é", "$.id[0]"] {
        assert_eq!(
            JsonPath::parse(other).unwrap().top_member(),
            None,
            "{other}"
        );
    }
}

/// Frameworks put query and body into one table.
#[test]
fn a_query_says_nothing_else_than_the_body() {
    let form = || Request::default().header("content-type", "application/x-www-form-urlencoded");
    for (request, source) in [
        (
            form().body("sender=mine&chat%5Bid%5D=mine"),
            Source::Form("sender".into()),
        ),
        (
            Request::default().body(r#"{"sender":"mine"}"#),
            json("$.sender"),
        ),
    ] {
        for (query, said) in [
            (None, found("mine")),
            (Some("x=1"), found("mine")),
            (Some("sender=mine"), found("mine")),
            (Some("sender=victim"), AMBIGUOUS),
            (Some("Sender=victim"), AMBIGUOUS),
            (Some("sender%5B%5D=victim"), AMBIGUOUS),
            (Some("x=1;sender=victim"), AMBIGUOUS),
        ] {
            let request = Request {
                query,
                headers: request.headers.clone(),
                body: request
                    .body
                    .as_ref()
                    .map(|body| Body::new(body.bytes().clone())),
                ..Request::default()
            };
            assert_eq!(request.select([source.clone()]), said, "{query:?}");
        }
    }
    let nested = |query| Request {
        query: Some(query),
        ..Request::default().body(r#"{"chat":{"id":"mine"}}"#)
    };
    assert_eq!(nested("chat=1").select([json("$.chat.id")]), found("mine"));
    let rival = nested("chat[id]=victim").select([json("$.chat.id")]);
    assert_eq!(rival, AMBIGUOUS);
    // Nothing in the body: the next source may be the query.
    let both = [json("$.none"), Source::Query("none".into())];
    assert_eq!(nested("none=x").select(both), found("x"));
}
