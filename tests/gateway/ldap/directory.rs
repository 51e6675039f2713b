//! The client alone, against a real slapd.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use chatgate::directory::ldap::{Ldap, Server, Tls, escape};
use chatgate::directory::{Fault, Record};
use chatgate::outbound::Outbound;
use chatgate::secret::Secret;

use crate::support::slapd::{PASSWORD, PEOPLE, SERVICE, SERVICE_PASSWORD};
use crate::support::{PATIENCE, Slapd, tls};

fn server(at: SocketAddr) -> Server {
    Server {
        host: at.ip().to_string().into(),
        port: at.port(),
        tls: None,
        service: Some((SERVICE.into(), Secret::new(SERVICE_PASSWORD))),
        base: PEOPLE.into(),
        pool: 2,
        connect_timeout: PATIENCE,
        timeout: PATIENCE,
    }
}

/// TLS to a server that has the certificate of all tests.
fn trusting(name: &str, starttls: bool) -> Option<Tls> {
    Some(Tls {
        starttls,
        server_name: name.into(),
        ca: Some(std::fs::read(&tls::certificate().chain).unwrap()),
        extra_roots: None,
    })
}

/// A client on a thread of its own runtime, as the gateway's threads have theirs.
struct Client {
    ldap: Ldap,
    outbound: Outbound,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    fn new(server: Server) -> Self {
        Self {
            ldap: Ldap::new(server).unwrap(),
            outbound: Outbound::start(None).unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    fn find(&self, filter: &str, attributes: &[&str]) -> Result<Option<Record>, Fault> {
        let attributes = attributes.iter().map(|name| Box::from(*name)).collect();
        let found = self
            .ldap
            .find(&self.outbound, PEOPLE, filter.to_owned(), attributes);
        self.runtime.block_on(found)
    }

    fn uid(&self, name: &str) -> Result<Option<Record>, Fault> {
        self.find(&format!("(uid={})", escape(name)), &["uid"])
    }

    fn bind(&self, name: &str, password: &str) -> Result<bool, Fault> {
        let name = format!("uid={name},{PEOPLE}");
        let bind = self.ldap.bind(&self.outbound, &name, Secret::new(password));
        self.runtime.block_on(bind)
    }
}

fn unavailable<T: std::fmt::Debug>(outcome: Result<T, Fault>) {
    assert!(matches!(outcome, Err(Fault::Unavailable(_))), "{outcome:?}");
}

#[test]
fn one_entry_is_found_and_its_password_tried() {
    let Some(slapd) = Slapd::start() else { return };
    for (at, tls) in [
        (slapd.plain, None),
        (slapd.plain, trusting("localhost", true)),
        (slapd.tls, trusting("localhost", false)),
        (slapd.tls, trusting("127.0.0.1", false)),
    ] {
        let client = Client::new(Server { tls, ..server(at) });
        let found = client.find("(uid=ALICE)", &["MAIL", "mobile", "title"]);
        let found = found.unwrap().unwrap();
        assert_eq!(*found.name, *format!("uid=alice,{PEOPLE}"));
        // Under the names that were asked for, and nothing else.
        let mut fields = found.fields.clone();
        fields["mobile"]
            .as_array_mut()
            .unwrap()
            .sort_by_key(|v| v.to_string());
        assert_eq!(
            serde_json::Value::from(fields),
            serde_json::json!({"MAIL": "alice@example.com", "mobile": ["1", "2"]})
        );
        assert_eq!(client.bind("alice", PASSWORD), Ok(true));
        assert_eq!(client.bind("alice", "wrong"), Ok(false));
        assert_eq!(client.bind("nobody", PASSWORD), Ok(false));
        // An anonymous bind under a name, which slapd here would take.
        assert_eq!(client.bind("alice", ""), Ok(false));
        assert!(client.find("(uid=nobody)", &[]).unwrap().is_none());
    }
}

#[test]
fn two_entries_are_none() {
    let Some(slapd) = Slapd::start() else { return };
    let client = Client::new(server(slapd.plain));
    for filter in [
        "(mail=shared@example.com)",
        "(uid=*)",
        "(objectClass=inetOrgPerson)",
    ] {
        assert_eq!(
            client.find(filter, &["uid"]),
            Err(Fault::Ambiguous),
            "{filter}"
        );
    }
}

#[test]
fn a_name_is_never_a_filter() {
    let Some(slapd) = Slapd::start() else { return };
    let client = Client::new(server(slapd.plain));
    for name in [
        "*",
        "a*",
        ")(uid=*",
        "alice)(objectClass=*",
        "\\2a",
        "alice\0",
        "\0",
        "(",
        "\u{fffd}",
    ] {
        assert_eq!(client.uid(name), Ok(None), "{name}");
    }
    assert!(client.uid("alice").unwrap().is_some());
    assert!(client.uid("zoë").unwrap().is_some());
    assert_eq!(client.bind("zoë", "zoe-password"), Ok(true));
}

#[test]
fn only_the_right_server_is_believed() {
    let Some(slapd) = Slapd::start() else { return };
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let wrong = |starttls| Tls {
        ca: Some(stranger.cert.pem().into_bytes()),
        ..trusting("localhost", starttls).unwrap()
    };
    let system = |starttls| Tls {
        ca: None,
        ..trusting("localhost", starttls).unwrap()
    };
    for (at, tls) in [
        (slapd.tls, wrong(false)),
        (slapd.plain, wrong(true)),
        (slapd.tls, system(false)),
        (slapd.plain, system(true)),
        (slapd.tls, trusting("ldap.example.com", false).unwrap()),
        (slapd.plain, trusting("ldap.example.com", true).unwrap()),
        // In the clear where TLS is spoken, and the other way round.
        (slapd.plain, trusting("localhost", false).unwrap()),
        (slapd.tls, trusting("localhost", true).unwrap()),
    ] {
        let shown = format!("{at} {}", tls.server_name);
        let client = Client::new(Server {
            tls: Some(tls),
            connect_timeout: Duration::from_secs(2),
            ..server(at)
        });
        let (found, bound) = (client.uid("alice"), client.bind("alice", PASSWORD));
        assert!(
            matches!(found, Err(Fault::Unavailable(_))),
            "{shown}: {found:?}"
        );
        assert!(
            matches!(bound, Err(Fault::Unavailable(_))),
            "{shown}: {bound:?}"
        );
    }
}

#[test]
fn a_wrong_service_password_is_said_to_be_ours() {
    let Some(slapd) = Slapd::start() else { return };
    let client = Client::new(Server {
        service: Some((SERVICE.into(), Secret::new("another"))),
        ..server(slapd.plain)
    });
    let Err(Fault::Refused(why)) = client.uid("alice") else {
        panic!("not refused");
    };
    assert!(why.contains("bind_dn") && !why.contains("another"), "{why}");
    // Nor without a name: this server wants one.
    let client = Client::new(Server {
        service: None,
        ..server(slapd.plain)
    });
    assert!(matches!(
        client.uid("alice"),
        Ok(None) | Err(Fault::Refused(_))
    ));
}

#[test]
fn a_server_that_dies_and_comes_back_is_asked_again() {
    let Some(slapd) = Slapd::start() else { return };
    let client = Client::new(Server {
        tls: trusting("localhost", false),
        ..server(slapd.tls)
    });
    for _ in 0..2 {
        assert!(client.uid("alice").unwrap().is_some());
        slapd.die();
        unavailable(client.uid("alice"));
        unavailable(client.bind("alice", PASSWORD));
        slapd.come_back();
    }
    // The connection that it had is broken, and replaced without a word.
    assert!(client.uid("alice").unwrap().is_some());
    slapd.die();
    slapd.come_back();
    assert!(client.uid("alice").unwrap().is_some());
    assert_eq!(client.bind("alice", PASSWORD), Ok(true));
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let short = Duration::from_millis(200);
    for tls in [
        None,
        trusting("localhost", false),
        trusting("localhost", true),
    ] {
        let client = Client::new(Server {
            tls,
            connect_timeout: short,
            timeout: short,
            ..server(at)
        });
        unavailable(client.uid("alice"));
        unavailable(client.bind("alice", PASSWORD));
    }
}

#[test]
fn more_searches_than_connections_take_turns() {
    let Some(slapd) = Slapd::start() else { return };
    let client = Client::new(server(slapd.plain));
    let (ldap, outbound) = (&client.ldap, &client.outbound);
    let search = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let found = ldap.find(outbound, PEOPLE, "(uid=alice)".into(), Vec::new());
        runtime.block_on(found).unwrap().is_some()
    };
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..20).map(|_| scope.spawn(search)).collect();
        assert!(asked.into_iter().all(|asked| asked.join().unwrap()));
    });
}
