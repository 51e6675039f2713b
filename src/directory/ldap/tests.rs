use proptest::prelude::*;

use super::*;

fn server() -> Server {
    Server {
        host: "127.0.0.1".into(),
        port: 9,
        tls: None,
        service: None,
        base: "dc=example,dc=com".into(),
        pool: 1,
        connect_timeout: Duration::from_secs(3),
        timeout: Duration::from_secs(3),
    }
}

#[test]
fn what_means_something_in_a_filter_is_escaped() {
    for (text, escaped) in [
        ("alice", "alice"),
        ("*", "\\2a"),
        (")(uid=*", "\\29\\28uid\\3d\\2a"),
        ("a\\b\0", "a\\5cb\\00"),
        ("é", "\\c3\\a9"),
    ] {
        assert_eq!(escape(text), escaped);
    }
}

#[test]
fn a_filter_is_in_parentheses() {
    assert!(is_filter("(&(objectClass=person)(uid=x))"));
    for text in ["", "uid=x", "(uid=x", "(uid=x))", "(&(uid=x)", "()"] {
        assert!(!is_filter(text), "{text}");
    }
}

proptest! {
    /// Whatever a customer writes, the filter is the one that was configured.
    #[test]
    fn a_value_stays_a_value(text in any::<String>()) {
        let plain = format!("{:?}", ldap3::parse_filter("(&(a=b)(uid=x))").unwrap());
        let filter = format!("(&(a=b)(uid=x{}))", escape(&text));
        let read = format!("{:?}", ldap3::parse_filter(&filter).unwrap());
        let value = [b"x", text.as_bytes()].concat();
        prop_assert_eq!(read, plain.replace("[120]", &format!("{value:?}")));
    }
}

#[test]
fn an_address_of_six_needs_the_name_of_its_certificate() {
    let tls = Tls {
        starttls: false,
        server_name: "::1".into(),
        ca: None,
        extra_roots: None,
    };
    let refused = Ldap::new(Server {
        tls: Some(tls),
        ..server()
    });
    assert!(refused.unwrap_err().contains("server_name"));
}

#[tokio::test]
async fn no_password_is_never_one() {
    let outbound = Outbound::start(None).unwrap();
    let ldap = Ldap::new(server()).unwrap();
    // Nobody listens there: whoever asks gets a fault.
    let bind = async |name, password: &str| ldap.bind(&outbound, name, Secret::new(password)).await;
    assert_eq!(bind("uid=alice", "").await, Ok(false));
    assert_eq!(bind("", "secret").await, Ok(false));
    assert_eq!(bind("uid=alice", "secret\0").await, Ok(false));
    let long = "x".repeat(MAX_PASSWORD);
    assert_eq!(bind("uid=alice", &format!("{long}x")).await, Ok(false));
    assert!(bind("uid=alice", &long).await.is_err());
    let asked = bind("uid=alice", "secret").await;
    assert!(matches!(asked, Err(Fault::Unavailable(_))), "{asked:?}");
}
