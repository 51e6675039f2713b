//! After the login: outcomes, the browser's way back, replay, notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::setup::{self, CANARY, OWNER, channel, continue_url, login_url, statement};
use crate::support::login::KEY;
use crate::support::{Gateway, Origin, Process, Reply, Request, Site, eventually};

#[test]
fn the_original_request_is_answered_after_the_login() {
    let (gateway, origin) = setup::usual();
    let mut browser = gateway.browser();
    let ask = Request::post("/chat/c1/statement?lang=de", &json!({}))
        .body(r#"{"text": "my statement", "n": 1.50}"#);
    let challenge = browser.send(ask);
    let (login, waiting) = (login_url(&challenge), continue_url(&challenge));
    assert_eq!(gateway.site.log_in(&login, "alice").status, 200);

    let answer = browser.get(&waiting);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.contains(CANARY));
    assert!(
        !answer.contains("authentication_required"),
        "the flag is taken off"
    );
    let replayed = origin.last();
    assert_eq!(
        (&*replayed.method, &*replayed.target),
        ("POST", "/chat/c1/statement?lang=de")
    );
    assert_eq!(replayed.header("x-customer-id"), Some("alice"));
    assert_eq!(replayed.json()["metadata"]["customer"], "alice");
    assert!(replayed.contains("1.50"), "the body is the customer's own");

    // Only for the owner, and only until something newer comes.
    assert_eq!(gateway.browser().get(&waiting).status, 404);
    assert_eq!(browser.get(&waiting).status, 200);
}

#[test]
fn a_replay_goes_the_way_that_requests_go() {
    // Another protocol, and roots and a name that only this upstream has.
    let backends = [
        Origin::start_tls(setup::answer),
        Origin::start_h2(setup::answer),
        Origin::start_h2_tls(setup::answer),
    ];
    for origin in backends {
        let gateway = Gateway::start(&channel(&origin, "resume = \"replay\"", OWNER));
        let mut browser = gateway.browser();
        let challenge = statement(&mut browser, "c1");
        let (login, waiting) = (login_url(&challenge), continue_url(&challenge));
        let asked = origin.last();
        assert_eq!(gateway.site.log_in(&login, "alice").status, 200);
        let answer = browser.get(&waiting);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.contains(CANARY));
        let replayed = origin.last();
        assert_eq!(replayed.header("x-customer-id"), Some("alice"));
        for same in ["host", ":authority", "content-type", "content-length"] {
            assert_eq!(replayed.header(same), asked.header(same), "{same}");
        }
    }
}

#[test]
fn the_withheld_answer_itself_is_released() {
    let origin = Origin::start(|seen| {
        setup::answer(seen)
            .status(201)
            .header("X-Own", "yes")
            .header("Connection", "close")
    });
    let gateway = Gateway::start(&channel(&origin, "resume = \"release\"", OWNER));
    let mut browser = gateway.browser();
    let challenge = statement(&mut browser, "c1");
    let (login, waiting) = (login_url(&challenge), continue_url(&challenge));
    let asked = origin.count();
    assert_eq!(gateway.browser().get(&waiting).status, 404, "a stranger");
    assert_eq!(gateway.site.log_in(&login, "alice").status, 200);

    let answer = browser.get(&waiting);
    assert_eq!((answer.status, answer.header("x-own")), (201, Some("yes")));
    assert!(answer.contains(CANARY));
    assert!(
        !answer.contains("authentication_required"),
        "the flag is taken off"
    );
    assert_eq!(origin.count(), asked, "the backend is not asked again");
    assert_eq!(gateway.browser().get(&waiting).status, 404, "a stranger");
}

#[test]
fn a_withheld_answer_that_nobody_gets_is_gone() {
    let origin = setup::bot();
    let settings = "resume = \"release\"";
    let gateway = Gateway::start(&channel(&origin, settings, OWNER));
    for (outcome, code) in [("failure", "login-failed"), ("cancel", "login-cancelled")] {
        let mut browser = gateway.browser();
        let challenge = statement(&mut browser, outcome);
        let login = login_url(&challenge);
        gateway.site.end(&login, outcome);
        let waiting = browser.get(&continue_url(&challenge));
        assert_eq!((waiting.status, &*waiting.code()), (410, code));
    }
    // Longer than one interaction may withhold: there is no `continue` URL.
    let tables = format!("{OWNER}[channel.web.release]\nmax_bytes = \"10B\"\n");
    let gateway = Gateway::start(&channel(&origin, settings, &tables));
    let challenge = statement(&mut gateway.browser(), "c1");
    assert_eq!(continue_url(&challenge), "");
}

#[test]
fn failure_and_cancel_reach_the_one_who_waits() {
    let (gateway, _origin) = setup::usual();
    for (outcome, code) in [("failure", "login-failed"), ("cancel", "login-cancelled")] {
        let mut browser = gateway.browser();
        let challenge = statement(&mut browser, outcome);
        let login = login_url(&challenge);
        let told = gateway.site.end(&login, outcome);
        assert_eq!(told.json()["result"], code);
        let waiting = browser.get(&continue_url(&challenge));
        assert_eq!((waiting.status, &*waiting.code()), (410, code));
        // Single use in any case; the customer may ask again.
        assert_eq!(gateway.site.log_in(&login, "alice").status, 401);
        assert!(setup::is_challenge(&statement(&mut browser, outcome)));
    }
}

#[test]
fn a_browsers_return_leaves_the_address_bar() {
    let (gateway, _origin) = setup::usual();
    let mut browser = gateway.browser();
    let login = login_url(&statement(&mut browser, "c1"));
    let returned = gateway.site.jwt(&gateway.site.claims(&login, "alice"));
    let path = format!("/.chatgate/return/web?return={returned}");

    let answer = browser.get(&path);
    assert_eq!(answer.status, 303);
    let place = answer.header("location").unwrap().to_owned();
    assert_eq!(place, "/.chatgate/done/login-succeeded");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let page = browser.get(&place);
    assert!(page.status == 200 && page.contains("You are logged in"));
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    assert!(statement(&mut browser, "c1").contains(CANARY));

    let again = browser.get(&path);
    assert_eq!(again.header("location"), Some("/.chatgate/done/token-used"));
    assert_eq!(browser.get("/.chatgate/done/<script>").status, 400);
    assert_eq!(browser.get("/.chatgate/done/anything").status, 404);
}

#[test]
fn the_place_to_return_to_is_configured() {
    let origin = setup::bot();
    let settings = "return_to = \"https://www.example.com/chat\"";
    let gateway = Gateway::start(&channel(&origin, settings, OWNER));
    let mut browser = gateway.browser();
    let login = login_url(&statement(&mut browser, "c1"));
    let returned = gateway.site.jwt(&gateway.site.claims(&login, "alice"));
    let answer = browser.get(&format!("/.chatgate/return/web?return={returned}"));
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("https://www.example.com/chat"))
    );
}

#[test]
fn the_backend_is_told_and_told_again_when_it_stumbles() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let origin = Origin::start(move |seen| match &*seen.target {
        "/authenticated" if counted.fetch_add(1, Ordering::SeqCst) == 0 => Reply::new(503, ""),
        "/authenticated" => Reply::new(204, ""),
        _ => setup::answer(seen),
    });
    let upstream = origin.upstream("bot");
    let url = upstream.split('"').nth(1).unwrap();
    let tables = format!(
        r#"{OWNER}
[channel.web.notify]
method = "POST"
url = "{url}/authenticated"
json = '{{"sender": "{{{{ interaction }}}}", "customer": "{{{{ subject }}}}", "outcome": "{{{{ outcome }}}}"}}'
sign = {{ kind = "webhook", key = "{KEY}" }}
"#
    );
    let gateway = Gateway::start(&channel(&origin, "resume = \"notify\"", &tables));
    let mut browser = gateway.browser();
    let login = login_url(&statement(&mut browser, "c1"));
    assert_eq!(gateway.site.log_in(&login, "alice").status, 200);
    eventually("the backend is told", || {
        (tries.load(Ordering::SeqCst) == 2).then_some(())
    });
    let told = origin.seen_at("/authenticated");
    assert_eq!(
        told[1].json(),
        json!({"sender": "c1", "customer": "alice", "outcome": "success"})
    );
    assert_eq!(
        told[0].header("webhook-id"),
        told[1].header("webhook-id"),
        "one id for all attempts"
    );
    assert!(
        told[1]
            .header("webhook-signature")
            .unwrap()
            .starts_with("v1,")
    );
}

#[test]
fn a_process_that_ends_tells_the_backend_first() {
    for (stumbles, tries) in [(1, 2), (usize::MAX, 3)] {
        let tried = AtomicUsize::new(0);
        let origin = Origin::start(move |seen| match &*seen.target {
            "/authenticated" => match tried.fetch_add(1, Ordering::SeqCst) < stumbles {
                true => Reply::new(503, "later"),
                false => Reply::new(200, "ok"),
            },
            _ => setup::answer(seen),
        });
        let url = origin.upstream("bot");
        let url = url.split('"').nth(1).unwrap();
        let tables = format!(
            "{OWNER}[channel.web.notify]\nmethod = \"POST\"\nurl = \"{url}/authenticated\"\n\
             json = '{{\"sender\": \"{{{{ interaction }}}}\"}}'\n"
        );
        let mut process = Process::start(&channel(&origin, "resume = \"notify\"", &tables));
        let site = Site::new(process.at.plain, chatgate::time::Clock::system());
        let login = login_url(&statement(&mut process.at.browser(), "c1"));
        assert_eq!(site.log_in(&login, "alice").status, 200);
        eventually("the first try", || {
            (!origin.seen_at("/authenticated").is_empty()).then_some(())
        });
        process.signal("TERM");
        let status = eventually("the process ends", || process.ended());
        assert!(status.success(), "{status}");
        let log = process.end();
        assert_eq!(origin.seen_at("/authenticated").len(), tries, "{log}");
        assert_eq!(log.contains("not told of a login"), tries == 3, "{log}");
        // All of it is found by the request that brought the login.
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let lines: Vec<Value> = lines.collect();
        let returned = lines.iter().find(|line| line["route"] == "return");
        let of = |what: &str| {
            let said = |line: &&Value| line["message"].as_str().is_some_and(|m| m.contains(what));
            lines.iter().filter(said).collect::<Vec<_>>()
        };
        let told = [of("notice was refused"), of("not told of a login")].concat();
        assert_eq!(
            told.len(),
            stumbles.min(tries) + usize::from(tries == 3),
            "{log}"
        );
        for line in told {
            assert_eq!(line["request_id"], returned.unwrap()["request_id"], "{log}");
        }
    }
}

#[test]
fn a_process_that_ends_asks_again_first() {
    let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (asks, answers) = (asked.clone(), answered.clone());
    let origin = Origin::start(move |seen| {
        // The first is the one that is withheld.
        if asks.fetch_add(1, Ordering::SeqCst) > 0 {
            std::thread::sleep(Duration::from_millis(500));
            answers.fetch_add(1, Ordering::SeqCst);
        }
        setup::answer(seen)
    });
    let mut process = Process::start(&channel(&origin, "resume = \"replay\"", OWNER));
    let site = Site::new(process.at.plain, chatgate::time::Clock::system());
    let login = login_url(&statement(&mut process.at.browser(), "c1"));
    assert_eq!(site.log_in(&login, "alice").status, 200);
    eventually("it is sent again", || {
        (asked.load(Ordering::SeqCst) == 2).then_some(())
    });
    process.signal("TERM");
    let status = eventually("the process ends", || process.ended());
    assert!(status.success(), "{status}");
    assert_eq!(answered.load(Ordering::SeqCst), 1, "{}", process.end());
}

#[test]
fn replays_do_not_wait_for_one_another() {
    const MANY: usize = 70;
    let (open, begun) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (opened, counted) = (open.clone(), begun.clone());
    let origin = Origin::start(move |seen| {
        if seen.header("x-customer-id").is_some() {
            counted.fetch_add(1, Ordering::SeqCst);
            eventually("the backend wakes up", || {
                opened.load(Ordering::SeqCst).then_some(())
            });
        }
        setup::answer(seen)
    });
    let gateway = Gateway::start(&channel(&origin, "resume = \"replay\"", OWNER));
    for number in 0..MANY {
        let url = login_url(&statement(&mut gateway.browser(), &format!("c{number}")));
        assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    }
    let last = Instant::now();
    eventually("all are under way", || {
        (begun.load(Ordering::SeqCst) == MANY).then_some(())
    });
    // The backend wakes up by itself at some time.
    assert!(last.elapsed() < Duration::from_secs(10));
    open.store(true, Ordering::SeqCst);
}

#[test]
fn a_replay_that_fails_says_so() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    // Flagged the first time; broken the second.
    let origin = Origin::start(move |seen| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => setup::answer(seen),
        _ => Reply::raw(b"not HTTP at all\r\n\r\n".to_vec()),
    });
    let gateway = Gateway::start(&channel(&origin, "resume = \"replay\"", OWNER));
    let mut browser = gateway.browser();
    let challenge = statement(&mut browser, "c1");
    assert_eq!(
        gateway.site.log_in(&login_url(&challenge), "alice").status,
        200
    );
    let waiting = browser.get(&continue_url(&challenge));
    assert_eq!(
        (waiting.status, &*waiting.code()),
        (410, "upstream-unavailable")
    );
}

#[test]
fn a_login_url_lives_as_long_as_configured() {
    let (gateway, _origin) = setup::usual();
    let mut browser = gateway.browser();
    let challenge = statement(&mut browser, "c1");
    gateway.clock.advance(Duration::from_secs(10 * 60));
    let late = gateway.site.log_in(&login_url(&challenge), "alice");
    assert_eq!((late.status, &*late.code()), (401, "token-expired"));
    assert!(!statement(&mut browser, "c1").contains(CANARY));

    // A newer login URL revokes the older.
    let older = login_url(&statement(&mut browser, "c1"));
    let newer = login_url(&statement(&mut browser, "c1"));
    let revoked = gateway.site.log_in(&older, "alice");
    assert_eq!((revoked.status, &*revoked.code()), (401, "token-revoked"));
    assert_eq!(gateway.site.log_in(&newer, "alice").status, 200);
}

#[test]
fn an_operator_can_revoke() {
    let (gateway, _origin) = setup::usual();
    let mut browser = setup::logged_in(&gateway, "c1");
    let revoke = |id: &str| {
        let asks = Request::new("DELETE", &format!("/interactions/web/{id}"));
        crate::support::Wire::connect(gateway.at.admin)
            .exchange(&asks)
            .status
    };
    assert_eq!(revoke("nobody"), 404);
    assert_eq!(revoke("c1"), 200);
    let revoked = gateway.metrics().sum("chatgate_revocations", &[]);
    assert_eq!(revoked, 1.0);
    let asked_again = statement(&mut browser, "c1");
    assert!(setup::is_challenge(&asked_again) && !asked_again.contains(CANARY));
    // The chat stays whose it was.
    let stolen = gateway.site.log_in(&login_url(&asked_again), "bob");
    assert_eq!((stolen.status, &*stolen.code()), (403, "subject-changed"));
}
