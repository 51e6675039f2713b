//! `[channel.NAME.signature.NAME]`: how the requests of a leg are signed.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::call::security_keys;
use super::names::identifier;
use super::reader::{Node, Table, Wrong};
use crate::channel::signature::{Digest, HashScheme, Scheme, TokenScheme};
use crate::channel::{Signature, Signatures};
use crate::identity::hmac::Encoding;
use crate::secret::Secret;

const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
];

const MINUTE: Duration = Duration::from_secs(60);
/// How long a signature counts, unless written.
const USUAL: Duration = Duration::from_secs(5 * 60);
/// Shortest secret, in bytes.
const SHORTEST: usize = 16;

/// The signatures of a channel; `None` is one that could not be read.
pub(super) struct Signed<'t> {
    all: Vec<(Node<'t>, Option<Arc<Signature>>)>,
}

/// Reads the signatures of a channel.
pub(super) fn signatures(node: Option<Node<'_>>) -> Signed<'_> {
    let table = node.and_then(Node::table);
    let entries = table.as_ref().map(Table::entries).unwrap_or_default();
    let read = |node: Node<'_>| {
        if let Err(wrong) = identifier(node.name) {
            node.error_key(wrong);
        }
        node.table().and_then(|table| signature(node.name, &table))
    };
    let all = entries
        .into_iter()
        .map(|node| (node, read(node).map(Arc::new)))
        .collect();
    Signed { all }
}

impl Signed<'_> {
    /// `verify` and `sign` of a route; `None` when one of them could not be read.
    pub(super) fn of(
        &self,
        verify: Option<Node<'_>>,
        sign: Option<Node<'_>>,
    ) -> Option<Signatures> {
        let nodes = verify.map(Node::one_or_more).unwrap_or_default();
        let verify: Vec<_> = nodes.into_iter().map(|node| self.find(node)).collect();
        let sign = sign.map(|node| self.find(node));
        let verify = verify.into_iter().collect::<Option<_>>()?;
        Some(Signatures::new(
            verify,
            sign.map_or(Some(None), |found| found.map(Some))?,
        ))
    }

    /// Warns of those that no route names.
    pub(super) fn unused<'r>(&self, routes: impl Iterator<Item = &'r Signatures> + Clone) {
        for (node, signature) in &self.all {
            let named = |route: &Signatures| {
                let mut all = route.verify.iter().chain(&route.sign);
                all.any(|used| signature.as_ref().is_some_and(|one| Arc::ptr_eq(used, one)))
            };
            if signature.is_some() && !routes.clone().any(named) {
                let help = "name it in `verify` or `sign` of a route, or leave it out";
                node.warn(Wrong::new("no route uses this signature", help));
            }
        }
    }

    fn find(&self, node: Node<'_>) -> Option<Arc<Signature>> {
        let text = node.text()?;
        if let Some((_, found)) = self.all.iter().find(|(known, _)| known.name == text) {
            return found.clone();
        }
        let names: Vec<_> = self.all.iter().map(|(node, _)| node.name).collect();
        if names.is_empty() {
            node.error(Wrong::new(
                "this channel has no signatures",
                format!(
                    "add a table [channel.….signature.{}]",
                    super::reader::clean(text)
                ),
            ));
        } else {
            node.unknown_name(text, &names);
        }
        None
    }
}

fn signature(name: &str, table: &Table<'_>) -> Option<Signature> {
    type Read = fn(&Table<'_>) -> Option<Scheme>;
    let kinds: [(&str, Read); 3] = [
        ("jwt", token),
        ("hmac", hash),
        ("standard-webhooks", standard),
    ];
    let single_use = table.get("single_use").and_then(Node::boolean);
    let Some(read) = table.need("kind").and_then(|node| node.choice(&kinds)) else {
        // Which keys belong here cannot be known.
        table.entries();
        return None;
    };
    Some(Signature {
        name: name.into(),
        scheme: read(table)?,
        single_use: single_use.unwrap_or(false),
    })
}

fn token(table: &Table<'_>) -> Option<Scheme> {
    let header = table.get("header").map(Node::header);
    let scheme = table.get("scheme").map(scheme);
    let algorithm = table
        .get("algorithm")
        .map(|node| node.choice(ALGORITHMS))
        .unwrap_or(Some(Algorithm::HS256));
    let claims = table.get("claims").map(claims);
    let max_age = max_age(table);
    let least = match algorithm {
        Some(Algorithm::HS384) => 48,
        Some(Algorithm::HS512) => 64,
        _ => 32,
    };
    let secrets = table.need("secret").and_then(|node| secrets(node, least));
    if table.get("claims").is_none() {
        table.warn(Wrong::new(
            "any token of this secret is accepted, whoever issued it",
            "add `claims`, like { iss = \"…\" }",
        ));
    }
    let bearer = match (&header, &scheme) {
        // A header of its own has the token alone.
        (Some(_), None) => Some("".into()),
        (_, scheme) => scheme.clone().unwrap_or(Some("Bearer".into())),
    };
    Some(Scheme::Jwt(TokenScheme {
        header: header.unwrap_or(Some(http::header::AUTHORIZATION))?,
        scheme: bearer?,
        algorithm: algorithm?,
        secrets: secrets?,
        claims: claims.unwrap_or_default(),
        max_age,
    }))
}

fn hash(table: &Table<'_>) -> Option<Scheme> {
    let digests = [
        ("sha1", Digest::Sha1),
        ("sha256", Digest::Sha256),
        ("sha512", Digest::Sha512),
    ];
    let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    let header = table.need("header").and_then(Node::header);
    let prefix = table.get("prefix").map(|node| node.parse(prefix));
    let digest = table.get("digest").map(|node| node.choice(&digests));
    let encoding = table.get("encoding").map(|node| node.choice(&encodings));
    let secrets = table
        .need("secret")
        .and_then(|node| secrets(node, SHORTEST));
    Some(Scheme::Hmac(HashScheme {
        header: header?,
        prefix: prefix.unwrap_or(Some("".into()))?,
        encoding: encoding.unwrap_or(Some(Encoding::Hex))?,
        digest: digest.unwrap_or(Some(Digest::Sha256))?,
        secrets: secrets?,
    }))
}

fn standard(table: &Table<'_>) -> Option<Scheme> {
    let max_age = max_age(table);
    Some(Scheme::StandardWebhooks {
        keys: security_keys(table.need("key")?)?,
        max_age,
    })
}

fn max_age(table: &Table<'_>) -> Duration {
    let node = table.get("max_age");
    node.and_then(|node| node.duration_up_to(60 * MINUTE))
        .unwrap_or(USUAL)
}

/// One secret, or a list of two while one replaces the other. One that is shorter
/// than `least` is warned of: the platform may give no other.
fn secrets(node: Node<'_>, least: usize) -> Option<Vec<Secret>> {
    let nodes = node.one_or_more();
    if nodes.len() > 2 {
        node.error("more than two secrets: a current one, and one on its way out");
    }
    let mut secrets: Vec<Secret> = Vec::new();
    for node in &nodes {
        let Some(secret) = node.secret() else {
            continue;
        };
        if secret.len() < SHORTEST {
            node.error("the secret is shorter than 16 bytes and may be guessed");
        } else if secret.len() < least {
            let message = format!("the secret is shorter than {least} bytes and may be guessed");
            node.warn(Wrong::new(
                message,
                "use a longer one if the other side takes it",
            ));
        }
        if secrets.iter().any(|known| known.matches(secret.expose())) {
            node.error("the two secrets are the same");
        }
        secrets.push(secret);
    }
    (!secrets.is_empty() && secrets.len() == nodes.len()).then_some(secrets)
}

fn scheme(node: Node<'_>) -> Option<Box<str>> {
    node.parse(|text| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~+".contains(&b);
        match text.bytes().all(legal) {
            true => Ok(text.into()),
            false => Err("a scheme is one word, like Bearer"),
        }
    })
}

fn prefix(text: &str) -> Result<Box<str>, &'static str> {
    match text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(text.into()),
        false => Err("a prefix has no blanks and visible ASCII only"),
    }
}

fn claims(node: Node<'_>) -> Map<String, Value> {
    let table = node.table();
    let mut claims = Map::new();
    for node in table.as_ref().map(Table::entries).unwrap_or_default() {
        if ["iat", "exp", "nbf", "jti"].contains(&node.name) {
            node.error_key("this claim is another in every token");
        }
        claims.extend(node.json().map(|value| (node.name.to_owned(), value)));
    }
    claims
}
