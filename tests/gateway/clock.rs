//! The system clock is set while the gateway runs.

use std::time::Duration;

use chatgate::time::Time;

use crate::setup::{self, CANARY};
use crate::support::{Gateway, eventually};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Sets the system clock and waits until the gateway has noticed.
pub fn set(gateway: &Gateway, time: Time) {
    gateway.clock.set_system(time);
    let noticed = || (gateway.clock.now() == time).then_some(());
    eventually("the gateway follows the system clock", noticed);
}

#[test]
fn no_login_lasts_longer_because_the_clock_was_set() {
    let (forward, _) = setup::usual();
    let mut browser = setup::logged_in(&forward, "ann");
    set(&forward, forward.clock.now() + HOUR);
    let answer = setup::statement(&mut browser, "ann");
    assert!(setup::is_challenge(&answer), "{}", answer.text());
    // What is signed now is signed at the new time.
    let url = setup::login_url(&answer);
    assert_eq!(forward.site.log_in(&url, "alice").status, 200);
    assert!(setup::statement(&mut browser, "ann").contains(CANARY));

    let (back, _) = setup::usual();
    let mut browser = setup::logged_in(&back, "ann");
    let (_, late) = setup::challenged(&back, "eve");
    set(&back, back.clock.now() - HOUR);
    // A login lasts 30 minutes, a login URL 10.
    back.clock.advance(Duration::from_secs(29 * 60));
    assert!(setup::statement(&mut browser, "ann").contains(CANARY));
    back.clock.advance(Duration::from_secs(60));
    let answer = setup::statement(&mut browser, "ann");
    assert!(setup::is_challenge(&answer), "{}", answer.text());
    assert_ne!(back.site.log_in(&late, "eve").status, 200);
}
