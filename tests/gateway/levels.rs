//! Levels: how long a login counts at which, and what a route demands.

use std::time::Duration;

use crate::setup::{CANARY, OWNER, bot, channel, continue_url, login_url, statement};
use crate::support::{Gateway, Origin};

const MINUTE: Duration = Duration::from_secs(60);

fn gateway(tables: &str) -> (Gateway, Origin) {
    let origin = bot();
    let tables = format!("{OWNER}[channel.web.level_timeouts]\nverified = \"5m\"\n{tables}");
    let gateway = Gateway::start(&channel(&origin, "resume = \"replay\"", &tables));
    (gateway, origin)
}

#[test]
fn a_login_counts_for_less_and_less() {
    let (gateway, origin) = gateway("");
    let mut ann = gateway.browser();
    let challenge = statement(&mut ann, "c1");
    let url = login_url(&challenge);
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    let fetched = |ann: &mut crate::support::Browser| ann.get(&continue_url(&challenge));
    assert!(fetched(&mut ann).contains(CANARY));
    let said = |ann: &mut crate::support::Browser| {
        ann.get("/chat/c1/hello");
        let seen = origin.last();
        let header = |name: &str| seen.header(name).map(str::to_owned);
        (header("x-customer-id"), header("x-customer-level"))
    };
    let alice = |level: &str| (Some("alice".to_owned()), Some(level.to_owned()));
    assert_eq!(said(&mut ann), alice("verified"));
    assert!(statement(&mut ann, "c1").contains(CANARY));

    gateway.clock.advance(5 * MINUTE);
    assert_eq!(said(&mut ann), alice("claimed"));
    // What only a verified customer may read is asked for anew, and what was fetched
    // with that level is nobody's any more.
    assert_eq!(fetched(&mut ann).status, 404);
    let url = login_url(&statement(&mut ann, "c1"));
    gateway.clock.advance(25 * MINUTE);
    assert_eq!(said(&mut ann), (None, None));
    // That login URL's own time is over, too.
    assert_eq!(&*gateway.site.log_in(&url, "alice").code(), "token-expired");
    let url = login_url(&statement(&mut ann, "c1"));
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert_eq!(said(&mut ann), alice("verified"));
}
