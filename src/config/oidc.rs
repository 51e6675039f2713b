//! `[channel.NAME.oidc]`: an OpenID provider as the login of a channel.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey};

use super::identity::{ALGORITHMS, symmetric};
use super::reader::{Node, Table, Wrong};
use super::server::Levels;
use super::url::Url;
use crate::interaction::Level;
use crate::login::oidc::{ClientAuthentication, Provider, Reached};

const MINUTE: Duration = Duration::from_secs(60);
const PROMPTS: &[(&str, &str)] = &[
    ("none", "none"),
    ("login", "login"),
    ("consent", "consent"),
    ("select_account", "select_account"),
];

/// The provider.
pub(super) fn provider(node: Node<'_>, levels: &Levels) -> Option<Provider> {
    let table = node.table()?;
    let issuer = table.need("issuer").and_then(issuer);
    let client_id = table.need("client_id").and_then(Node::word);
    let authentication = authentication(&table);
    let scopes = table.get("scopes").map(scopes);
    let subject = table.get("subject_claim").map(Node::claim);
    let claims = table.get("claims").map(|node| node.list(Node::claim));
    let userinfo = table.get("userinfo").and_then(Node::boolean);
    let reached = reached(&table, levels);
    let max_age = table.get("max_age").and_then(Node::duration);
    let prompt = table.get("prompt").map(prompt);
    let leeway = table
        .get("leeway")
        .and_then(|node| node.duration_up_to(10 * MINUTE));
    let algorithms = table.get("algorithms").map(algorithms);
    let timeout = table
        .get("timeout")
        .and_then(|node| node.duration_up_to(MINUTE));
    Some(Provider {
        issuer: issuer?,
        oauth: None,
        client_id: client_id?,
        authentication: authentication?,
        scopes: scopes.unwrap_or(Some("openid".into()))?,
        subject: subject.unwrap_or(Some("sub".into()))?,
        claims: match claims {
            Some(claims) => Some(claims?),
            None => None,
        },
        userinfo: userinfo.unwrap_or(false),
        levels: reached?,
        max_age,
        prompt: match prompt {
            Some(prompt) => Some(prompt?),
            None => None,
        },
        leeway: leeway.unwrap_or(MINUTE / 2),
        algorithms: algorithms.unwrap_or_else(|| {
            let known = ALGORITHMS.iter().map(|(_, algorithm)| *algorithm);
            Some(known.filter(|algorithm| !symmetric(*algorithm)).collect())
        })?,
        timeout: timeout.unwrap_or(MINUTE / 6),
    })
}

/// An issuer identifier, byte for byte as the provider writes it.
pub(super) fn issuer(node: Node<'_>) -> Option<Box<str>> {
    let url: Url = node.private_url("an OpenID provider")?;
    if url.query.is_some() {
        node.error("an issuer has no query");
        return None;
    }
    if url.path.ends_with("/.well-known/openid-configuration") {
        node.error(Wrong::new(
            "this is the issuer's discovery document",
            "leave /.well-known/openid-configuration out",
        ));
        return None;
    }
    Some(url.text)
}

fn authentication(table: &Table<'_>) -> Option<ClientAuthentication> {
    let post = table.get("client_authentication");
    let source = table.one_of(&["client_secret", "private_key"])?;
    if source.name == "private_key" {
        if let Some(node) = post {
            node.clash(source, "`client_authentication` goes with `client_secret`");
        }
        return private_key(source);
    }
    secret(source, post)
}

/// `client_secret`, and how it is sent.
pub(super) fn secret(source: Node<'_>, post: Option<Node<'_>>) -> Option<ClientAuthentication> {
    let methods = [("basic", false), ("post", true)];
    let post = post.map(|node| node.choice(&methods));
    let (secret, _) = source.secret_text()?;
    Some(match post.unwrap_or(Some(false))? {
        true => ClientAuthentication::Post(secret),
        false => ClientAuthentication::Basic(secret),
    })
}

fn private_key(node: Node<'_>) -> Option<ClientAuthentication> {
    let table = node.table()?;
    let named: Vec<_> = ALGORITHMS
        .iter()
        .filter(|(_, algorithm)| {
            matches!(
                algorithm,
                Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA
            )
        })
        .copied()
        .collect();
    let algorithm = table.need("algorithm").and_then(|node| node.choice(&named));
    let kid = table.get("kid").map(Node::word);
    let audiences = [("issuer", false), ("token_endpoint", true)];
    let to_endpoint = table.get("audience").map(|node| node.choice(&audiences));
    let pem = table.need("pem")?;
    let material = pem.secret();
    let (algorithm, material) = (algorithm?, material?);
    let key = match algorithm {
        Algorithm::EdDSA => EncodingKey::from_ed_pem(material.expose()),
        _ => EncodingKey::from_ec_pem(material.expose()),
    };
    // The key is of the right kind only if it signs.
    let signs = |key: &EncodingKey| jsonwebtoken::crypto::sign(b"", key, algorithm).is_ok();
    let Some(key) = key.ok().filter(signs) else {
        pem.error(format!(
            "this is not a private key in PEM for {algorithm:?}"
        ));
        return None;
    };
    Some(ClientAuthentication::PrivateKey {
        algorithm,
        kid: match kid {
            Some(kid) => Some(kid?),
            None => None,
        },
        key: Box::new(key),
        to_endpoint: to_endpoint.unwrap_or(Some(false))?,
    })
}

/// `openid` is always among them.
fn scopes(node: Node<'_>) -> Option<Box<str>> {
    let named = words(node)?;
    let mut scopes = vec!["openid".to_owned()];
    for scope in named {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Some(scopes.join(" ").into())
}

/// Scopes, one by one.
pub(super) fn words(node: Node<'_>) -> Option<Vec<String>> {
    node.list(|node| {
        node.parse(|text| {
            // RFC 6749, section 3.3.
            let legal = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
            match text.is_empty() || !text.bytes().all(legal) {
                true => Err("this is not a scope: one word, without blanks"),
                false => Ok(String::from(text)),
            }
        })
    })
}

fn prompt(node: Node<'_>) -> Option<Box<str>> {
    let nodes = node.one_or_more();
    let wanted = nodes.len();
    let words: Vec<_> = nodes
        .into_iter()
        .filter_map(|node| node.choice(PROMPTS))
        .collect();
    if words.len() > 1 && words.contains(&"none") {
        node.error("`none` stands alone: nobody can be asked and not be asked");
        return None;
    }
    (words.len() == wanted && wanted > 0).then(|| words.join(" ").into())
}

fn algorithms(node: Node<'_>) -> Option<Vec<Algorithm>> {
    let known: Vec<_> = ALGORITHMS
        .iter()
        .filter(|(_, algorithm)| !symmetric(*algorithm))
        .copied()
        .collect();
    let nodes = node.one_or_more();
    let wanted = nodes.len();
    let read: Vec<_> = nodes
        .into_iter()
        .filter_map(|node| node.choice(&known))
        .collect();
    (read.len() == wanted && wanted > 0).then_some(read)
}

/// `acr_values`, `amr_values`, `level`.
fn reached(table: &Table<'_>, levels: &Levels) -> Option<Reached> {
    let acr_node = table.get("acr_values");
    let amr_node = table.get("amr_values");
    let acr = acr_node.map_or(Some(Vec::new()), |node| by_level(node, levels));
    let amr = amr_node.map_or(Some(Vec::new()), |node| by_level(node, levels));
    let level = table.get("level").map(|node| levels.level(node));
    let mapped = acr_node.or(amr_node);
    let reached = Reached {
        acr: acr?,
        amr: amr?,
        otherwise: match level {
            Some(level) => Some(level?),
            // Where logins are told apart, one that says nothing reaches little.
            None => mapped.map(|_| levels.lowest()),
        },
    };
    if let (Some(node), Some(highest)) = (
        mapped.or(table.get("level")),
        reached.highest().filter(|level| *level < levels.highest()),
    ) {
        let name = levels.name(highest);
        node.warn(Wrong::new(
            format!("no login reaches a level above `{name}`"),
            "a flag that demands more asks for a login that cannot succeed",
        ));
    }
    Some(reached)
}

/// `{ verified = ["urn:…"] }`.
fn by_level(node: Node<'_>, levels: &Levels) -> Option<Vec<(Level, Vec<Box<str>>)>> {
    let table = node.table()?;
    let mut mapped = Vec::new();
    let mut whole = true;
    for node in table.entries() {
        let level = levels.named(node);
        let nodes = node.one_or_more();
        let wanted = nodes.len();
        let value = |node: Node<'_>| {
            node.parse(|text| {
                match text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
                    true => Err("this is one word, without blanks"),
                    false => Ok(Box::from(text)),
                }
            })
        };
        let values: Vec<_> = nodes.into_iter().filter_map(value).collect();
        whole &= level.is_some() && values.len() == wanted && wanted > 0;
        mapped.extend(level.map(|level| (level, values)));
    }
    mapped.sort_by_key(|(level, _)| *level);
    whole.then_some(mapped)
}
