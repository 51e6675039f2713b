//! The life of the process: reload, drain, health.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use crate::setup::{self, CANARY, OWNER, channel};
use crate::support::{Origin, Process, Reply, Request, Wire, eventually, ports};

#[test]
fn a_reload_takes_effect_and_loses_nobody() {
    let origin = setup::bot();
    let tables = channel(&origin, "", OWNER);
    let process = Process::start(&tables);
    let mut browser = process.at.browser();
    let before = setup::statement(&mut browser, "c1");
    assert!(setup::is_challenge(&before));

    // The deny route becomes a pass route; the chat goes on.
    process.rewrite(&tables.replace("kind = \"deny\"", "kind = \"pass\""));
    process.signal("HUP");
    eventually("the new route counts", || {
        (browser.get("/deny").status == 200).then_some(())
    });
    let metrics = process.at.metrics();
    assert!(metrics.sum("chatgate_reloads_total", &[("result", "done")]) >= 1.0);
    assert!(
        metrics.sum("chatgate_interactions", &[]) >= 1.0,
        "the interaction is still there"
    );
}

#[test]
fn a_broken_configuration_changes_nothing() {
    let origin = setup::bot();
    let tables = channel(&origin, "", OWNER);
    let process = Process::start(&tables);
    process.rewrite(&tables.replace("kind = \"deny\"", "kind = \"dney\""));
    process.signal("HUP");
    eventually("the reload is refused", || {
        let refused = process
            .at
            .metrics()
            .sum("chatgate_reloads_total", &[("result", "refused")]);
        (refused >= 1.0).then_some(())
    });
    eventually("the mistake is in the log", || {
        process.log().contains("dney").then_some(())
    });
    assert_eq!(process.at.browser().get("/deny").status, 403);
    assert!(!setup::statement(&mut process.at.browser(), "c1").contains(CANARY));
}

/// A level is kept as its place in the list: with one less in front of it, `claimed`
/// would become `verified`.
#[test]
fn other_levels_need_a_restart() {
    let origin = setup::bot();
    let tables = channel(&origin, "", OWNER);
    let process = Process::start(&tables);
    process.rewrite(&format!(
        "[identity]\nlevels = [\"guest\", \"claimed\", \"verified\"]\n{tables}"
    ));
    process.signal("HUP");
    eventually("the reload is refused", || {
        process.log().contains("[identity] levels").then_some(())
    });
    let metrics = process.at.metrics();
    assert!(metrics.sum("chatgate_reloads_total", &[("result", "refused")]) >= 1.0);
}

#[test]
fn what_only_a_restart_changes_is_said() {
    let origin = setup::bot();
    let tables = channel(&origin, "", OWNER);
    let process = Process::start(&tables);
    process.rewrite(&format!("[store]\nmax_interactions = 7\n{tables}"));
    process.signal("HUP");
    eventually("the log says so", || {
        process.log().contains("needs a restart").then_some(())
    });
}

#[test]
fn a_request_under_way_ends_before_the_process_does() {
    let origin = Origin::start(|seen| match &*seen.target {
        "/plain/slow" => Reply::new(200, "at last").pause(Duration::from_secs(2)),
        _ => Reply::new(200, "ok"),
    });
    let mut process = Process::start(&channel(&origin, "", OWNER));
    let admin = process.at.admin;
    let ready = || {
        Wire::connect(admin)
            .exchange(&Request::get("/readyz"))
            .status
    };
    assert_eq!(ready(), 200);
    let mut wire = process.at.wire();
    wire.send(Request::get("/plain/slow").bytes("1.1", "localhost"));
    eventually("the backend works", || (origin.count() == 1).then_some(()));
    process.signal("TERM");
    eventually("it is not ready any more", || {
        (ready() == 503).then_some(())
    });
    let answer = wire.answer("GET");
    assert_eq!((answer.status, answer.text()), (200, "at last".into()));
    let status = eventually("the process ends", || process.ended());
    assert!(status.success(), "{status}");
}

#[test]
fn the_private_listener_is_private() {
    let origin = setup::bot();
    let process = Process::start(&channel(&origin, "", OWNER));
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(
            Wire::connect(process.at.admin)
                .exchange(&Request::get(path))
                .status,
            200,
            "{path}"
        );
        assert_eq!(
            process.at.browser().get(path).status,
            404,
            "{path} on the public listener"
        );
    }
}

#[test]
fn a_place_that_is_taken_is_said_and_nothing_stays_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, free) = (listener.local_addr().unwrap(), ports::free());
    let origin = setup::bot();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("chatgate.toml");
    let channel = channel(&origin, "", OWNER);
    for (public, admin) in [(taken, free), (free, taken)] {
        let text = format!(
            "[server]\npublic_url = \"http://{public}\"\n[[listener]]\naddress = \"{public}\"\n\
             [admin]\naddress = \"{admin}\"\n{channel}"
        );
        std::fs::write(&file, text).unwrap();
        let ended = Command::new(env!("CARGO_BIN_EXE_chatgate"))
            .arg("run")
            .arg(&file)
            .output()
            .unwrap();
        assert!(!ended.status.success());
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(
            said.contains(&format!("cannot listen on {taken}")),
            "{said}"
        );
    }
}

#[test]
fn who_reads_no_further_breaks_no_command() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = Command::new(env!("CARGO_BIN_EXE_chatgate"))
        .arg("keygen")
        .stdout(writer)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.is_empty(), "{said}");
}
