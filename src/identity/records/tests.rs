use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::directory::{Http, Kind, pattern::Escape};
use crate::interaction::Level;

fn rule(equal: &[(&str, &str, Normal)], fetch: &[(&str, &str)]) -> Match {
    let http = Http {
        url: "http://127.0.0.1:9".into(),
        headers: http::HeaderMap::new(),
        sign: None,
        timeout: Duration::from_secs(1),
    };
    let query = crate::directory::Pattern::parse("/{{ claims.email }}/{{ subject }}", Escape::Url);
    Match {
        name: "crm".into(),
        directory: Arc::new(Directory {
            name: "crm".into(),
            kind: Kind::Http(Box::new(http)),
        }),
        query: Query::Path(query.unwrap()),
        variables: vec![
            Variable::parse("claims.email").unwrap(),
            Variable::parse("subject").unwrap(),
        ],
        equal: equal
            .iter()
            .map(|(claim, field, normal)| Equal {
                claim: MemberPath::parse(claim).unwrap(),
                field: (*field).into(),
                normal: normal.clone(),
            })
            .collect(),
        fetch: fetch
            .iter()
            .map(|(claim, field)| Fetch {
                claim: (*claim).into(),
                field: (*field).into(),
            })
            .collect(),
        cache: Duration::from_secs(300),
        unreachable: Unreachable::Deny,
        id: [0; 16],
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn alice(claims: Value) -> Arc<Identity> {
    Arc::new(Identity::new("alice", Level(2), &object(claims)))
}

fn found(fields: Value) -> Result<Option<Arc<Record>>, Fault> {
    Ok(Some(Arc::new(Record {
        name: "".into(),
        fields: object(fields),
    })))
}

fn outcome(verdict: Verdict) -> Result<Map<String, Value>, Reason> {
    match verdict {
        Verdict::Matched(identity) => Ok(identity.claims()),
        Verdict::Passed => Err(Reason::Passed),
        Verdict::Refused(reason, _) => Err(reason),
    }
}

#[test]
fn everything_has_to_be_the_same() {
    let rule = rule(
        &[
            ("email", "mail", Normal::Text),
            ("address.city", "city", Normal::Exact),
        ],
        &[],
    );
    let claims = json!({"email": "Alice@example.com", "address": {"city": "Ede"}});
    let judge =
        |claims: &Value, fields: Value| outcome(rule.judge(&alice(claims.clone()), &found(fields)));
    let same = json!({"mail": "alice@EXAMPLE.com", "city": "Ede"});
    assert_eq!(judge(&claims, same.clone()), Ok(object(claims.clone())));
    for fields in [
        json!({"mail": "alice@example.com", "city": "ede"}),
        json!({"mail": "mallory@example.com", "city": "Ede"}),
        json!({"mail": "alice@example.com"}),
        json!({"mail": null, "city": "Ede"}),
        json!({}),
    ] {
        assert_eq!(judge(&claims, fields), Err(Reason::RecordMismatch));
    }
    for claims in [
        json!({}),
        json!({"email": "", "address": {"city": "Ede"}}),
        json!({"email": null, "address": null}),
        json!({"email": "alice@example.com", "address.city": "Ede"}),
    ] {
        assert_eq!(judge(&claims, same.clone()), Err(Reason::RecordMismatch));
    }
}

/// What is in neither of the two is not in both of them.
#[test]
fn a_missing_claim_is_not_a_missing_field() {
    for (claims, fields) in [
        (json!({}), json!({})),
        (json!({"phone": null}), json!({"phone": null})),
        (json!({"phone": ""}), json!({"phone": ""})),
        (json!({"phone": " "}), json!({"phone": " "})),
        (json!({"phone": []}), json!({"phone": []})),
    ] {
        for normal in [Normal::Exact, Normal::Text, Normal::Digits] {
            let rule = rule(&[("phone", "phone", normal)], &[]);
            let judged = rule.judge(&alice(claims.clone()), &found(fields.clone()));
            assert_eq!(outcome(judged), Err(Reason::RecordMismatch));
        }
    }
}

#[test]
fn one_record_decides_and_nothing_else() {
    let rule = rule(&[], &[]);
    let judge = |found| outcome(rule.judge(&alice(json!({})), &found));
    assert!(judge(found(json!({}))).is_ok());
    assert_eq!(judge(Ok(None)), Err(Reason::RecordMissing));
    let two = Err(Fault::Ambiguous);
    assert_eq!(judge(two), Err(Reason::RecordAmbiguous));
    for fault in [
        Fault::Unavailable("down".into()),
        Fault::Refused("garbage".into()),
    ] {
        assert_eq!(judge(Err(fault)), Err(Reason::RecordUnavailable));
    }
}

#[test]
fn only_what_cannot_be_reached_passes() {
    let mut rule = rule(&[("email", "mail", Normal::Exact)], &[]);
    rule.unreachable = Unreachable::Pass;
    let judge = |found| outcome(rule.judge(&alice(json!({"email": "a"})), &found));
    let down = Err(Fault::Unavailable("down".into()));
    assert_eq!(judge(down), Err(Reason::Passed));
    let garbage = Err(Fault::Refused("garbage".into()));
    assert_eq!(judge(garbage), Err(Reason::RecordUnavailable));
    assert_eq!(judge(Ok(None)), Err(Reason::RecordMissing));
    assert_eq!(judge(Err(Fault::Ambiguous)), Err(Reason::RecordAmbiguous));
    assert_eq!(
        judge(found(json!({"mail": "b"}))),
        Err(Reason::RecordMismatch)
    );
}

#[test]
fn what_was_fetched_replaces_nothing() {
    let rule = rule(&[], &[("segment", "class"), ("since", "since")]);
    let judge = |claims: Value, fields: Value| outcome(rule.judge(&alice(claims), &found(fields)));
    assert_eq!(
        judge(json!({"a": 1}), json!({"class": "gold", "since": null})),
        Ok(object(json!({"a": 1, "segment": "gold"})))
    );
    assert!(judge(json!({"segment": "gold"}), json!({"class": "gold"})).is_ok());
    for claimed in [json!("basic"), json!(null), json!("")] {
        assert_eq!(
            judge(json!({"segment": claimed}), json!({"class": "gold"})),
            Err(Reason::RecordMismatch)
        );
    }
    // A record that says nothing of it is no leave to say so oneself.
    for fields in [json!({}), json!({"class": null})] {
        let claimed = judge(json!({"segment": "gold"}), fields);
        assert_eq!(claimed, Err(Reason::RecordMismatch));
    }
    // Subject and level stay what was proven.
    let Verdict::Matched(identity) =
        rule.judge(&alice(json!({})), &found(json!({"class": "gold"})))
    else {
        panic!("refused")
    };
    assert_eq!((identity.subject(), identity.level), ("alice", Level(2)));
}

#[test]
fn nobody_is_asked_for_what_is_too_long() {
    let mail = Variable::parse("claims.mail").unwrap();
    let value = |length: usize| mail.value(&alice(json!({"mail": "a".repeat(length)})));
    assert!(value(MAX_VALUE).is_some());
    assert_eq!(value(MAX_VALUE + 1), None);
}

#[test]
fn variables_are_told_apart() {
    assert_eq!(Variable::parse("subject"), Ok(Variable::Subject));
    for (text, meant) in [
        ("email", "`claims.email`"),
        ("claim.email", "`claims.email`"),
        ("subjct", "`subject`"),
        ("claims", "`claims.claims`"),
    ] {
        let error = Variable::parse(text).unwrap_err();
        assert!(error.contains(meant), "{error}");
    }
    let identity = alice(json!({"email": " ", "no": 7, "x": 1.5, "list": ["a"]}));
    let value = |text: &str| Variable::parse(text).unwrap().value(&identity);
    assert_eq!(value("subject").as_deref(), Some("alice"));
    assert_eq!(value("claims.no").as_deref(), Some("7"));
    for text in ["claims.email", "claims.x", "claims.list", "claims.none"] {
        assert_eq!(value(text), None, "{text}");
    }
}

#[test]
fn nobody_is_looked_for_by_nothing() {
    let rule = rule(&[], &[]);
    let found = rule.values(&alice(json!({"email": "a"})));
    assert_eq!(found, Some(vec!["a".into(), "alice".into()]));
    assert_eq!(rule.values(&alice(json!({}))), None);
    assert_eq!(rule.values(&alice(json!({"email": ""}))), None);
}

proptest! {
    /// However claims and records look: whoever is let through has every claim in the
    /// record, under the same name and not empty.
    #[test]
    fn whoever_counts_is_in_the_records(claim in "[a ]{0,3}", field in "[a ]{0,3}", there in any::<bool>()) {
        let rule = rule(&[("x", "x", Normal::Exact)], &[]);
        let fields = if there { json!({"x": field}) } else { json!({}) };
        let judged = outcome(rule.judge(&alice(json!({"x": claim})), &found(fields)));
        prop_assert_eq!(judged.is_ok(), there && claim == field && !claim.trim().is_empty());
    }
}
