//! `[[channel.NAME.identity]]`: how customers prove who they are.

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use jsonwebtoken::Algorithm;

use super::reader::{Node, Table, Wrong, clean};
use super::selector::Scope;
use super::server::Levels;
use crate::identity::hmac::{Digest, Encoding, IdentifierHash};
use crate::identity::jwks::{JwksUrl, KeySet};
use crate::identity::jwt::{Jwt, Keys, PinnedKey};
use crate::identity::session::Session;
use crate::identity::{Kind, Verifier};
use crate::message::Selector;
use crate::message::select::Source;

pub(super) const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

const MINUTE: Duration = Duration::from_secs(60);

/// Whether signing and verifying take the same key.
pub(super) fn symmetric(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512
    )
}

/// All verifiers of a channel, in the order written.
pub(super) fn verifiers(node: Option<Node<'_>>, levels: &Levels) -> Vec<Verifier> {
    let mut verifiers: Vec<Verifier> = Vec::new();
    for table in node.map(Node::tables).unwrap_or_default() {
        let name = table.need("name");
        let verifier = verifier(&table, name, levels);
        if let (Some(node), Some(verifier)) = (name, &verifier)
            && verifiers.iter().any(|known| known.name == verifier.name)
        {
            node.error(format!(
                "two verifiers are called `{}`",
                clean(&verifier.name)
            ));
        }
        verifiers.extend(verifier);
    }
    verifiers
}

fn verifier(table: &Table<'_>, name: Option<Node<'_>>, levels: &Levels) -> Option<Verifier> {
    type Read = fn(&Table<'_>) -> Option<Kind>;
    let kinds: [(&str, Read); 3] = [("jwt", jwt), ("hmac", hmac), ("session", session)];
    let level = table.get("level").map(|node| levels.level(node));
    let name = name.and_then(Node::word);
    let Some(read) = table.need("kind").and_then(|node| node.choice(&kinds)) else {
        // Which keys belong here cannot be known.
        table.entries();
        return None;
    };
    let kind = read(table);
    Some(Verifier {
        name: name?,
        level: level.unwrap_or(Some(levels.lowest()))?,
        kind: kind?,
    })
}

fn jwt(table: &Table<'_>) -> Option<Kind> {
    let from_node = table.need("from");
    let from = from_node.and_then(|node| node.selector(Scope::Request));
    if let (Some(node), Some(from)) = (from_node, &from) {
        bare(node, from);
    }
    let keys = table.need("keys").map(keys);
    let issuers = table.get("issuer").map(|node| words(node, Node::word));
    let audiences = table.get("audience").map(|node| words(node, Node::word));
    let leeway = table
        .get("leeway")
        .and_then(|node| node.duration_up_to(10 * MINUTE));
    let required = table
        .get("required_claims")
        .map(|node| words(node, Node::claim));
    let subject = subject(table);
    let single_use = table.get("single_use").and_then(Node::boolean);
    Some(Kind::Jwt(Jwt {
        from: from?,
        keys: keys?,
        issuers: issuers.unwrap_or_default(),
        audiences: audiences.unwrap_or_default(),
        leeway: leeway.unwrap_or(MINUTE / 2),
        required: required.unwrap_or_default(),
        subject: subject?,
        single_use: single_use.unwrap_or(false),
    }))
}

/// RFC 9110, section 11.6.2: in `Authorization` a scheme stands before the token.
fn bare(node: Node<'_>, from: &Selector) {
    let bare = |source: &Source| matches!(source, Source::Header { name, scheme: None } if *name == AUTHORIZATION);
    if from.0.iter().any(bare) {
        node.warn(Wrong::new(
            "`Authorization` carries a scheme before the token, and with it this is none",
            "write it like { header = \"Authorization\", scheme = \"Bearer\" }",
        ));
    }
}

fn hmac(table: &Table<'_>) -> Option<Kind> {
    let identifier = table
        .need("identifier")
        .and_then(|node| node.selector(Scope::Request));
    let hash = table
        .need("hash")
        .and_then(|node| node.selector(Scope::Request));
    let digests = [("sha256", Digest::Sha256), ("sha512", Digest::Sha512)];
    let digest = table.get("digest").and_then(|node| node.choice(&digests));
    let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    let encoding = table
        .get("encoding")
        .and_then(|node| node.choice(&encodings));
    let node = table.need("secret")?;
    let nodes = node.one_or_more();
    if nodes.len() > 2 {
        node.error("more than two secrets: a current one, and one on its way out");
    }
    let mut secrets = Vec::new();
    for node in nodes {
        let Some(secret) = node.secret() else {
            continue;
        };
        if secret.len() < 16 {
            node.error("the secret is shorter than 16 bytes and may be guessed");
        }
        secrets.push(secret);
    }
    Some(Kind::Hmac(IdentifierHash {
        identifier: identifier?,
        hash: hash?,
        secrets,
        digest: digest.unwrap_or(Digest::Sha256),
        encoding: encoding.unwrap_or(Encoding::Hex),
    }))
}

fn session(table: &Table<'_>) -> Option<Kind> {
    let cookie = table.need("cookie").and_then(Node::token);
    let url = table
        .need("url")
        .and_then(|node| node.private_url("a session"));
    let subject = subject(table);
    let cache = table
        .get("cache")
        .and_then(|node| node.duration_up_to(60 * MINUTE));
    let timeout = table
        .get("timeout")
        .and_then(|node| node.duration_up_to(MINUTE));
    Some(Kind::Session(Session {
        cookie: cookie?,
        url: url?.text,
        subject: subject?,
        cache: cache.unwrap_or(MINUTE / 2),
        timeout: timeout.unwrap_or(MINUTE / 20),
    }))
}

fn subject(table: &Table<'_>) -> Option<Box<str>> {
    table
        .get("subject_claim")
        .map_or(Some("sub".into()), Node::claim)
}

/// One value or a list of them.
fn words<'t>(node: Node<'t>, read: impl Fn(Node<'t>) -> Option<Box<str>>) -> Vec<Box<str>> {
    node.one_or_more().into_iter().filter_map(read).collect()
}

fn keys(node: Node<'_>) -> Vec<Keys> {
    let mut keys = Vec::new();
    for key in node.one_or_more().into_iter().filter_map(key) {
        // Keys of their own form one set as long as nothing stands between them.
        match (keys.last_mut(), key) {
            (Some(Keys::Fixed(set)), Keys::Fixed(more)) => set.extend(more),
            (_, key) => keys.push(key),
        }
    }
    keys
}

fn key(node: Node<'_>) -> Option<Keys> {
    let table = node.table()?;
    let source = table.one_of(&["secret", "pem", "jwks_file", "jwks_url"]);
    let Some(source) = source else {
        table.entries();
        return None;
    };
    match source.name {
        "secret" | "pem" => pinned(&table, source).map(|key| Keys::Fixed(vec![key])),
        "jwks_file" => {
            let algorithms = algorithms(&table);
            let json = source.file();
            match KeySet::parse(&json?, &algorithms?) {
                Ok(set) => Some(Keys::Set(Arc::new(set))),
                Err(message) => {
                    source.error(message);
                    None
                }
            }
        }
        _ => {
            let algorithms = algorithms(&table);
            let refresh = table.get("refresh").and_then(Node::duration);
            let cooldown = table.get("cooldown").and_then(Node::duration);
            let url = source.private_url("a key set")?;
            let algorithms = algorithms?;
            if algorithms.iter().any(|algorithm| symmetric(*algorithm)) {
                source.error("a key set behind a URL is public: no HS algorithms");
                return None;
            }
            Some(Keys::Url(JwksUrl {
                url: url.text,
                algorithms,
                refresh: refresh.unwrap_or(10 * MINUTE),
                cooldown: cooldown.unwrap_or(MINUTE / 2),
            }))
        }
    }
}

/// `{ algorithm, kid, pem }` of a list that takes public keys only.
pub(super) fn public_key(node: Node<'_>) -> Option<PinnedKey> {
    let table = node.table()?;
    let pem = table.need("pem");
    let key = pem.and_then(|pem| pinned(&table, pem));
    if pem.is_none() {
        table.get("algorithm");
        table.get("kid");
    }
    key
}

fn pinned(table: &Table<'_>, source: Node<'_>) -> Option<PinnedKey> {
    let algorithm = table.need("algorithm");
    let kid = table.get("kid").map(Node::word);
    let algorithm = algorithm.and_then(|node| node.choice(ALGORITHMS));
    let secret = source.name == "secret";
    let material = if secret {
        source.secret()
    } else {
        source.public()
    };
    let (algorithm, material) = (algorithm?, material?);
    if symmetric(algorithm) != secret {
        let needed = if secret { "`pem`" } else { "`secret`" };
        source.error_key(format!("{algorithm:?} needs {needed}"));
        return None;
    }
    let kid = match kid {
        Some(kid) => Some(kid?),
        None => None,
    };
    let key = if secret {
        PinnedKey::from_secret(kid.as_deref(), algorithm, material.expose())
    } else {
        PinnedKey::from_pem(kid.as_deref(), algorithm, material.expose())
    };
    match key {
        Ok(key) => Some(key),
        Err(message) => {
            source.error(message);
            None
        }
    }
}

fn algorithms(table: &Table<'_>) -> Option<Vec<Algorithm>> {
    let node = table.need("algorithms")?;
    let nodes = node.one_or_more();
    let wanted = nodes.len();
    let known: Vec<_> = nodes
        .into_iter()
        .filter_map(|node| node.choice(ALGORITHMS))
        .collect();
    if known.iter().any(|a| symmetric(*a)) && known.iter().any(|a| !symmetric(*a)) {
        node.error(Wrong::new(
            "HS algorithms and others do not go together",
            "write two keys",
        ));
    }
    (known.len() == wanted && wanted > 0).then_some(known)
}
