use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, Method};
use serde_json::json;

use super::*;
use crate::identity::testing::{outbound, run};
use crate::outbound::tests::{Server, answer};

const NOW: Time = Time::from_secs(1_700_000_000);
const LEVEL: Level = Level(1);
const CANARY: &str = "canary-cookie";

fn session(url: String) -> Session {
    Session {
        cookie: "sid".into(),
        url: url.into(),
        subject: "sub".into(),
        cache: Duration::from_secs(30),
        timeout: Duration::from_secs(10),
    }
}

fn look_up(cache: &SessionCache, session: &Session, cookie: &str, now: Time) -> Answer {
    let cookie = Secret::new(cookie);
    run(cache.look_up(session, cookie, "web", LEVEL, &outbound(), now))
}

/// What one answer of the website means.
fn verdict(status: u16, body: &str) -> Answer {
    let body = body.to_owned();
    let server = Server::start(move |_| {
        let body = body.clone();
        async move { answer(status, body) }
    });
    let session = session(server.url("/session"));
    look_up(&SessionCache::default(), &session, CANARY, NOW)
}

fn find(cookies: &[&str]) -> Result<Option<String>, Reason> {
    let mut headers = HeaderMap::new();
    for cookie in cookies {
        headers.append("cookie", cookie.parse().unwrap());
    }
    let view = RequestView {
        method: &Method::GET,
        path: "/",
        query: None,
        headers: &headers,
        params: &[],
        body: None,
    };
    let found = session("http://127.0.0.1/".into()).find(&view)?;
    Ok(found.map(|cookie| String::from_utf8(cookie.expose().to_vec()).unwrap()))
}

#[test]
fn the_cookie_is_found_once_or_refused() {
    assert_eq!(find(&[]), Ok(None));
    assert_eq!(find(&["other=1; sidx=2"]), Ok(None));
    assert_eq!(find(&["sid="]), Ok(None));
    assert_eq!(find(&["a=1; sid=x; b=2"]), Ok(Some("x".into())));
    assert_eq!(find(&["sid=x", "sid=x"]), Ok(Some("x".into())));
    assert_eq!(find(&["sid=x; sid=y"]), Err(Reason::AmbiguousValue));
    assert_eq!(find(&["sid=x", "sid=y"]), Err(Reason::AmbiguousValue));
}

#[test]
fn the_website_gets_the_session_cookie_and_nothing_else() {
    let server = Server::answering(200, r#"{"sub":"alice","email":"a@example.com"}"#);
    let session = session(server.url("/session?x=1"));
    let identity = look_up(&SessionCache::default(), &session, "abc", NOW).unwrap();
    assert_eq!(identity.subject(), "alice");
    assert_eq!(identity.level, LEVEL);
    assert_eq!(identity.claims()["email"], "a@example.com");
    let head = server.head(0);
    assert_eq!(
        (head.method, head.uri.to_string()),
        (Method::GET, "/session?x=1".into())
    );
    let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "cookie", "host"]);
    assert_eq!(head.headers["cookie"], "sid=abc");
}

#[test]
fn answers_and_what_they_mean() {
    let unknown = Err(Reason::SessionUnknown);
    let unavailable = Err(Reason::VerifierUnavailable);
    for status in [401, 403, 404, 301, 302, 303, 307, 308] {
        assert_eq!(verdict(status, r#"{"sub":"alice"}"#), unknown, "{status}");
    }
    for status in [400, 402, 405, 410, 429, 500, 502, 503] {
        assert_eq!(
            verdict(status, r#"{"sub":"alice"}"#),
            unavailable,
            "{status}"
        );
    }
    let long = format!(r#"{{"sub":"alice","x":"{}"}}"#, "x".repeat(64 * 1024));
    for body in [
        "",
        "null",
        "[]",
        r#""alice""#,
        "<html>",
        r#"{"sub":"alice""#,
        r#"{"sub":"alice","sub":"bob"}"#,
        &*long,
    ] {
        assert_eq!(verdict(200, body), unavailable, "{body:.40}");
    }
    for body in [
        "{}",
        r#"{"sub":null}"#,
        r#"{"sub":""}"#,
        r#"{"sub":false}"#,
        r#"{"sub":["alice"]}"#,
        r#"{"user":{"sub":"alice"}}"#,
    ] {
        assert_eq!(verdict(200, body), Err(Reason::ProofClaim), "{body}");
    }
    assert_eq!(verdict(201, r#"{"sub":7}"#).unwrap().subject(), "7");
}

#[test]
fn nobody_there_is_unavailable_and_asked_again() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let session = session(format!("http://{address}/"));
    let verdict = look_up(&SessionCache::default(), &session, CANARY, NOW);
    assert_eq!(verdict, Err(Reason::VerifierUnavailable));

    let server = Server::start(|count| async move {
        match count {
            1 => answer(500, ""),
            _ => answer(200, r#"{"sub":"alice"}"#),
        }
    });
    let session = self::session(server.url("/"));
    let cache = SessionCache::default();
    let verdict = look_up(&cache, &session, CANARY, NOW);
    assert_eq!(verdict, Err(Reason::VerifierUnavailable));
    assert!(look_up(&cache, &session, CANARY, NOW).is_ok());
}

#[test]
fn a_slow_website_is_unavailable() {
    let server = Server::start(|_| std::future::pending());
    let session = Session {
        timeout: Duration::from_millis(50),
        ..session(server.url("/"))
    };
    let verdict = look_up(&SessionCache::default(), &session, CANARY, NOW);
    assert_eq!(verdict, Err(Reason::VerifierUnavailable));
}

#[test]
fn an_answer_counts_for_its_time() {
    let server = Server::answering(200, r#"{"sub":"alice"}"#);
    let session = session(server.url("/"));
    let cache = SessionCache::default();
    for (secs, asked) in [(0, 1), (29, 1), (30, 2), (59, 2), (60, 3)] {
        let now = NOW + Duration::from_secs(secs);
        assert!(look_up(&cache, &session, CANARY, now).is_ok());
        assert_eq!(server.count(), asked, "after {secs} s");
    }
}

#[test]
fn a_refusal_counts_for_five_seconds_at_most() {
    for (status, body) in [(401, ""), (302, ""), (200, "{}")] {
        let server = Server::answering(status, body);
        let session = session(server.url("/"));
        let cache = SessionCache::default();
        for (secs, asked) in [(0, 1), (4, 1), (5, 2)] {
            let now = NOW + Duration::from_secs(secs);
            assert!(look_up(&cache, &session, CANARY, now).is_err());
            assert_eq!(server.count(), asked, "after {secs} s");
        }
    }
    let server = Server::answering(401, "");
    let session = Session {
        cache: Duration::ZERO,
        ..session(server.url("/"))
    };
    let cache = SessionCache::default();
    for asked in 1..4 {
        assert!(look_up(&cache, &session, CANARY, NOW).is_err());
        assert_eq!(server.count(), asked);
    }
}

/// Whatever an answer depends on is part of its key: no look-up gets another's.
#[test]
fn answers_are_not_shared() {
    let server = Server::start(|count| async move {
        answer(200, json!({ "sub": count, "id": count }).to_string())
    });
    let base = session(server.url("/"));
    let cache = SessionCache::default();
    let ask = |session: &Session, cookie: &str, channel: &str, level| {
        let cookie = Secret::new(cookie);
        let outbound = outbound();
        let answer = cache.look_up(session, cookie, channel, level, &outbound, NOW);
        run(answer).unwrap().subject().to_owned()
    };
    let other_url = Session {
        url: server.url("/other").into(),
        ..base.clone()
    };
    let other_cookie = Session {
        cookie: "sid2".into(),
        ..base.clone()
    };
    let other_subject = Session {
        subject: "id".into(),
        ..base.clone()
    };
    let askers = [
        (&base, "a", "web", LEVEL),
        (&base, "b", "web", LEVEL),
        (&base, "a", "app", LEVEL),
        (&base, "a", "web", Level(2)),
        (&other_url, "a", "web", LEVEL),
        (&other_cookie, "a", "web", LEVEL),
        (&other_subject, "a", "web", LEVEL),
    ];
    for _ in 0..2 {
        for (number, (session, cookie, channel, level)) in askers.into_iter().enumerate() {
            assert_eq!(
                ask(session, cookie, channel, level),
                (number + 1).to_string()
            );
        }
    }
    assert_eq!(server.count(), askers.len());
}

#[test]
fn concurrent_look_ups_of_one_session_are_one() {
    for (status, cached) in [
        (200, Duration::from_secs(30)),
        (200, Duration::ZERO),
        (500, Duration::ZERO),
    ] {
        const ASKERS: usize = 16;
        let waiting = Arc::new(AtomicUsize::new(0));
        let all = waiting.clone();
        // The website answers when all have asked.
        let server = Server::start(move |_| {
            let all = all.clone();
            async move {
                while all.load(Ordering::SeqCst) < ASKERS {
                    tokio::task::yield_now().await;
                }
                answer(status, r#"{"sub":"alice"}"#)
            }
        });
        let session = Session {
            cache: cached,
            ..session(server.url("/"))
        };
        let cache = SessionCache::default();
        let start = Barrier::new(ASKERS);
        std::thread::scope(|scope| {
            for _ in 0..ASKERS {
                scope.spawn(|| {
                    start.wait();
                    run(async {
                        let outbound = outbound();
                        let answer = cache.look_up(
                            &session,
                            Secret::new("one"),
                            "web",
                            LEVEL,
                            &outbound,
                            NOW,
                        );
                        let mut answer = std::pin::pin!(answer);
                        // The first poll joins the look-up, or begins it.
                        let first = std::future::poll_fn(|context| {
                            let poll = answer.as_mut().poll(context);
                            waiting.fetch_add(1, Ordering::SeqCst);
                            std::task::Poll::Ready(poll)
                        })
                        .await;
                        let answer = match first {
                            std::task::Poll::Ready(answer) => answer,
                            std::task::Poll::Pending => answer.await,
                        };
                        assert_eq!(answer.is_ok(), status == 200);
                    });
                });
            }
        });
        assert_eq!(server.count(), 1, "{status}");
        assert!(cache.0.is_idle());
    }
}

/// A website that answers once the number is set.
fn slow() -> (Server, Arc<AtomicUsize>) {
    let go = Arc::new(AtomicUsize::new(0));
    let wait = go.clone();
    let server = Server::start(move |_| {
        let wait = wait.clone();
        async move {
            while wait.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            answer(200, r#"{"sub":"alice"}"#)
        }
    });
    (server, go)
}

/// Who asked first may go away: the others get the answer all the same.
#[test]
fn an_asker_who_leaves_takes_nothing_along() {
    let (server, go) = slow();
    let session = session(server.url("/"));
    let cache = SessionCache::default();
    run(async {
        let outbound = outbound();
        let ask = || cache.look_up(&session, Secret::new("one"), "web", LEVEL, &outbound, NOW);
        let left = tokio::time::timeout(Duration::from_millis(1), ask()).await;
        assert!(left.is_err());
        go.store(1, Ordering::SeqCst);
        assert!(ask().await.is_ok());
    });
    assert_eq!(server.count(), 1);
}

/// An answer that was asked for before the clock was set back would count longer by that.
#[test]
fn what_was_asked_before_the_clock_was_set_back_is_not_kept() {
    let (server, go) = slow();
    let session = session(server.url("/"));
    let cache = SessionCache::default();
    run(async {
        let outbound = outbound();
        let ask = || cache.look_up(&session, Secret::new("one"), "web", LEVEL, &outbound, NOW);
        let left = tokio::time::timeout(Duration::from_millis(1), ask()).await;
        assert!(left.is_err());
        cache.0.forget();
        go.store(1, Ordering::SeqCst);
        assert!(ask().await.is_ok());
    });
    assert_eq!(server.count(), 1);
    let back = NOW - Duration::from_secs(3600);
    assert!(look_up(&cache, &session, "one", back).is_ok());
    assert_eq!(server.count(), 2);
}

#[test]
fn no_output_has_the_cookie() {
    let session = session("http://127.0.0.1/".into());
    let request = session.request(&Secret::new(CANARY)).unwrap();
    assert!(!format!("{request:?}").contains(CANARY));
    let broken = session.request(&Secret::new(format!("{CANARY}\n")));
    assert!(!format!("{broken:?}").contains(CANARY));
    assert!(!format!("{:?}", SessionCache::default()).contains(CANARY));
}
