//! The pure core, piece by piece: what a request costs before a socket is touched.
//!
//! `cargo bench --bench core`; it also tells what a million authenticated
//! interactions take, with the allocator that the gateway runs with.

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use chatgate::channel::flag::{FlagLevel, JsonCondition};
use chatgate::channel::{Channel, Enforcement, Flag, Kind, Route, Routes, Upstream};
use chatgate::decision::{self, Asker, ForAnswer};
use chatgate::identity::hmac::{Digest, Encoding, IdentifierHash};
use chatgate::identity::jwt::{Jwt, Keys, PinnedKey};
use chatgate::identity::{Caches, Proof, Verifier};
use chatgate::interaction::{
    Clocks, Evidence, Identity, Interaction, Key, Level, Limits, OwnerHash, Store,
};
use chatgate::message::select::Source;
use chatgate::message::{AnswerView, Body, JsonPath, RequestView, Selector};
use chatgate::outbound::Outbound;
use chatgate::secret::Secret;
use chatgate::time::Time;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: Time = Time::from_secs(1_750_000_000);

fn route(c: &mut Criterion) {
    let routes = routes();
    let mut group = c.benchmark_group("route");
    let mut find = |name: &str, method: Method, path: &str| {
        assert!(
            routes
                .find(&method, "chat.example.com:8443", path)
                .is_some()
        );
        group.bench_function(name, |b| {
            b.iter(|| routes.find(&method, black_box("chat.example.com:8443"), black_box(path)))
        });
    };
    find("text", Method::POST, "/c42/webhooks/rest/webhook");
    find(
        "parameters",
        Method::POST,
        "/c42/conversations/8f2b/activities/17",
    );
    find("catch-all", Method::GET, "/assets/app/main.js");
}

fn select(c: &mut Criterion) {
    let mut headers = HeaderMap::new();
    headers.insert(
        "authorization",
        HeaderValue::from_static("Bearer abcdefghijklmnopqrstuvwxyz"),
    );
    headers.insert(
        "cookie",
        HeaderValue::from_static("a=1; theme=dark; chat=8f2b; b=2"),
    );
    let message = json!({ "sender": "8f2b", "message": "hello", "metadata": { "lang": "en" } });
    let message = Bytes::from(message.to_string());
    let mut group = c.benchmark_group("select");
    let mut pick = |name: &str, source: Source| {
        let selector = Selector(vec![source]);
        group.bench_function(name, |b| {
            b.iter(|| {
                let body = Body::new(message.clone());
                let request = RequestView {
                    body: Some(&body),
                    ..request(&headers)
                };
                selector.request(black_box(&request)).unwrap().unwrap()
            })
        });
    };
    pick("header", bearer());
    pick("cookie", Source::Cookie("chat".into()));
    pick("json", Source::Json(JsonPath::parse("$.sender").unwrap()));
}

fn flag(c: &mut Criterion) {
    let flag = Flag {
        name: "protected".into(),
        status: Vec::new(),
        header: None,
        json: Some(JsonCondition {
            path: JsonPath::parse("$..authentication_required").unwrap(),
            equals: Some(json!(true)),
        }),
        level: FlagLevel::Fixed(Level(1)),
        observe: false,
        strip: false,
    };
    let channel = Channel {
        flags: vec![flag],
        ..Channel::new("web")
    };
    let text = |n| json!({ "recipient_id": "8f2b", "text": format!("Line {n}, and \u{201c}some\u{201d} more.") });
    let mut messages: Vec<_> = (0..50).map(text).collect();
    let unflagged = Bytes::from(json!(messages).to_string());
    messages.push(json!({ "custom": { "authentication_required": true } }));
    let flagged = Bytes::from(json!(messages).to_string());
    let mut group = c.benchmark_group("flag, 4 KiB");
    for (name, bytes, expected) in [("unflagged", unflagged, false), ("flagged", flagged, true)] {
        let headers = HeaderMap::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                let body = Body::new(bytes.clone());
                let answer = AnswerView {
                    status: StatusCode::OK,
                    headers: &headers,
                    body: Some(&body),
                };
                let verdict = decision::answer(&channel, black_box(&answer), Asker::ANONYMOUS);
                assert_eq!(!matches!(verdict, ForAnswer::Release { .. }), expected);
            })
        });
    }
}

fn verify(c: &mut Criterion) {
    let caches = Caches::new(Arc::new(Outbound::start(None).unwrap()));
    let secret = [7; 32];
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = pair.serialize_pem();
    let public = pair.public_key_pem();
    let hs = PinnedKey::from_secret(None, Algorithm::HS256, &secret).unwrap();
    let es = PinnedKey::from_pem(None, Algorithm::ES256, public.as_bytes()).unwrap();
    let sign = |algorithm, key: &EncodingKey| {
        let claims = json!({ "sub": "C-1234567890", "name": "Alice", "exp": NOW.secs() + 300 });
        jsonwebtoken::encode(&Header::new(algorithm), &claims, key).unwrap()
    };
    let mut group = c.benchmark_group("verify");
    let mut check = |name: &str, kind, headers: HeaderMap| {
        let verifiers = [Verifier {
            name: name.into(),
            level: Level(1),
            kind,
        }];
        group.bench_function(name, |b| {
            b.iter(|| {
                let request = request(&headers);
                let verdict = chatgate::identity::verify(&verifiers, "web", &request, &caches, NOW);
                let (proof, _) = ready(verdict);
                assert!(matches!(proof, Proof::Valid(_)), "{proof:?}");
            })
        });
    };
    for (name, key, token) in [
        (
            "JWT HS256",
            hs,
            sign(Algorithm::HS256, &EncodingKey::from_secret(&secret)),
        ),
        (
            "JWT ES256",
            es,
            sign(
                Algorithm::ES256,
                &EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
            ),
        ),
    ] {
        let jwt = Jwt {
            from: Selector(vec![bearer()]),
            keys: vec![Keys::Fixed(vec![key])],
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Duration::from_secs(30),
            required: Vec::new(),
            subject: "sub".into(),
            single_use: false,
        };
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        check(name, chatgate::identity::Kind::Jwt(jwt), headers);
    }

    let header = |name: &'static str| {
        let name = http::HeaderName::from_static(name);
        Selector(vec![Source::Header { name, scheme: None }])
    };
    let hash = IdentifierHash {
        identifier: header("x-user"),
        hash: header("x-hash"),
        secrets: vec![Secret::new(*b"Jefe")],
        digest: Digest::Sha256,
        encoding: Encoding::Hex,
    };
    // RFC 4231, test case 2.
    let mut headers = HeaderMap::new();
    headers.insert(
        "x-user",
        HeaderValue::from_static("what do ya want for nothing?"),
    );
    headers.insert(
        "x-hash",
        HeaderValue::from_static(
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
    );
    check("HMAC-SHA256", chatgate::identity::Kind::Hmac(hash), headers);
}

fn store(c: &mut Criterion) {
    const MILLION: usize = 1_000_000;
    let clocks = Clocks {
        token_ttl: Some(Duration::from_secs(600)),
        authentication_timeout: Some(Duration::from_secs(1800)),
        level_timeouts: Vec::new(),
        interaction_timeout: Some(Duration::from_secs(7200)),
        absolute_timeout: None,
    };
    let owner = Evidence::Shown(OwnerHash([7; 32]));
    let before = resident();
    let store = Store::memory(Limits {
        interactions: MILLION,
        bytes: 512 << 20,
    });
    let log_in = |key: &Key, n: usize| {
        let claims = json!({
            "name": format!("Customer {n:08}"),
            "email": format!("customer.{n:08}@example.com"),
            "account": format!("NL02ABNA{n:010}"),
        });
        let claims = claims.as_object().unwrap();
        let identity = Arc::new(Identity::new(&format!("C-{n:010}"), Level(2), claims));
        let change = |slot: &mut Option<Interaction>| {
            slot.get_or_insert_with(|| Interaction::new(NOW)).log_in(
                identity.clone(),
                &clocks,
                owner,
                NOW,
            )
        };
        ready(store.update(key, &clocks, NOW, change))
    };
    for n in 0..MILLION {
        log_in(&conversation(n), n).unwrap().unwrap();
    }
    assert_eq!(store.len(), MILLION);
    let mib = |bytes: usize| bytes / (1 << 20);
    let resident = mib(resident() - before);
    println!(
        "a million authenticated interactions: {resident} MiB resident, {} MiB by weight",
        mib(store.bytes())
    );
    assert!(resident < 400);

    // Far apart, so that the processor's caches do not hold them all.
    let keys: Vec<_> = (0..MILLION).step_by(61).map(conversation).collect();
    let mut next = keys.iter().cycle();
    let mut group = c.benchmark_group("store, 1 M interactions");
    group.bench_function("look up", |b| {
        let look = |i: Option<&Interaction>| i.unwrap().standing(&clocks, owner, NOW);
        b.iter(|| ready(store.read(next.next().unwrap(), &clocks, NOW, look)).unwrap())
    });
    group.bench_function("note a request", |b| {
        let touch =
            |slot: &mut Option<Interaction>| slot.as_mut().unwrap().touch(&clocks, owner, NOW);
        b.iter(|| ready(store.update(next.next().unwrap(), &clocks, NOW, touch)).unwrap())
    });
    let mut fresh = MILLION;
    group.bench_function("begin one, evict another", |b| {
        b.iter(|| {
            fresh += 1;
            log_in(&conversation(fresh), fresh)
        })
    });
    assert_eq!(store.len(), MILLION);
}

/// A key of 40 bytes.
fn conversation(n: usize) -> Key {
    Key::new(
        "web",
        &format!(
            "{:036x}",
            (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c)
        ),
    )
}

/// Resident memory in bytes, as Linux tells it; elsewhere none.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.unwrap_or_default() * 1024
}

/// A hundred channels of three routes each, and the rest.
fn routes() -> Routes {
    let channel = Arc::new(Channel::new("web"));
    let upstream = Arc::new(Upstream {
        name: "bot".into(),
        host: "127.0.0.1".into(),
        port: 5005,
        tls: None,
        http2: false,
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(60),
    });
    let route = |methods: &[Method], path: String| {
        Arc::new(Route {
            name: path.as_str().into(),
            kind: Kind::Message,
            channel: Arc::clone(&channel),
            upstream: Arc::clone(&upstream),
            methods: methods.to_vec(),
            host: None,
            path: path.into(),
            interaction: None,
            enforcement: Enforcement::Off,
            level: Default::default(),
            signatures: Default::default(),
            max_body: 65_536,
            read_timeout: None,
        })
    };
    let mut list = vec![route(&[], "/{*rest}".into())];
    for n in 0..100 {
        let chat = format!("/c{n}/conversations/{{id}}/activities");
        list.push(route(
            &[Method::POST],
            format!("/c{n}/webhooks/rest/webhook"),
        ));
        list.push(route(&[Method::GET], chat.clone()));
        list.push(route(&[Method::POST], chat + "/{activity}"));
    }
    Routes::new(list).unwrap()
}

fn request(headers: &HeaderMap) -> RequestView<'_> {
    RequestView {
        method: &Method::POST,
        path: "/webhooks/rest/webhook",
        query: None,
        headers,
        params: &[],
        body: None,
    }
}

fn bearer() -> Source {
    Source::Header {
        name: http::header::AUTHORIZATION,
        scheme: Some("Bearer".into()),
    }
}

/// The value of a future that has no need to wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("had to wait"),
    }
}

criterion_group! {
    name = core;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = route, select, flag, verify, store
}
criterion_main!(core);
