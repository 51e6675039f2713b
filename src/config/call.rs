//! `side_call` and `notify`: requests that chatgate makes to a backend.

use std::time::Duration;

use http::{HeaderValue, Method};
use jsonwebtoken::EncodingKey;
use zeroize::Zeroizing;

use super::identity::{ALGORITHMS, symmetric};
use super::reader::{Node, Table, Wrong};
use super::template::{body, content_type};
use crate::channel::Call;
use crate::channel::call::Signer;
use crate::login::SecurityKeys;

const LONGEST: Duration = Duration::from_secs(60);

/// A call whose templates may use `names`.
pub(super) fn call(node: Node<'_>, names: &[&str]) -> Option<Call> {
    call_in(node, &node.table()?, names)
}

/// The call in a table that has other keys, too.
pub(super) fn call_in(node: Node<'_>, table: &Table<'_>, names: &[&str]) -> Option<Call> {
    let method = table.get("method");
    let url = table.need("url").and_then(|node| node.url_template(names));
    let headers = table
        .get("headers")
        .and_then(|node| node.header_templates(names));
    let timeout = table
        .get("timeout")
        .and_then(|node| node.duration_up_to(LONGEST));
    let sign = table.get("sign").and_then(|node| signer(node, names));
    let bodied = ["json", "text", "html"].iter().any(|name| table.has(name));
    let body = if bodied {
        body(table, names)
    } else {
        known(table)
    };
    let method = method.map_or(Some(Method::POST), Node::method);
    if let (Some(_), Some(&Method::GET | &Method::HEAD)) = (&body, method.as_ref()) {
        node.error_key("a GET or HEAD request has no body");
    }
    let mut headers = headers.unwrap_or_default();
    headers.extend(
        body.as_ref()
            .and_then(|body| content_type(&body.content_type)),
    );
    Some(Call {
        method: method?,
        url: url?,
        headers,
        body: body.map(|body| body.template),
        sign,
        timeout: timeout.unwrap_or(Duration::from_secs(5)),
    })
}

/// Makes the keys of a body known to the table without demanding one.
fn known<T>(table: &Table<'_>) -> Option<T> {
    for name in ["json", "text", "html"] {
        table.get(name);
    }
    let content_type = table.get("content_type")?;
    content_type.error_key("`content_type` without a body");
    None
}

/// How a call is signed.
pub(super) fn signer(node: Node<'_>, names: &[&str]) -> Option<Signer> {
    #[derive(Clone, PartialEq)]
    enum Kind {
        Webhook,
        Bearer,
        Jwt,
    }
    let table = node.table()?;
    let kind = table.need("kind");
    let kinds = [
        ("jwt", Kind::Jwt),
        ("webhook", Kind::Webhook),
        ("bearer", Kind::Bearer),
    ];
    let kind = kind.and_then(|node| node.choice(&kinds));
    match kind {
        Some(Kind::Webhook) => Some(Signer::Webhook(security_keys(table.need("key")?)?)),
        Some(Kind::Bearer) => bearer(table.need("token")?),
        Some(Kind::Jwt) => jwt(&table, names),
        None => {
            // Which keys belong here cannot be known.
            table.entries();
            None
        }
    }
}

fn bearer(node: Node<'_>) -> Option<Signer> {
    let (_, token) = node.secret_text()?;
    // RFC 6750, section 2.1.
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    let token = Zeroizing::new(token);
    let value = Zeroizing::new(format!("Bearer {}", &*token));
    match HeaderValue::from_str(&value)
        .ok()
        .filter(|_| token.bytes().all(legal))
    {
        Some(mut value) if !token.is_empty() => {
            value.set_sensitive(true);
            Some(Signer::Bearer(value))
        }
        _ => {
            node.error("this is not a token as `Authorization: Bearer` carries it");
            None
        }
    }
}

fn jwt(table: &Table<'_>, names: &[&str]) -> Option<Signer> {
    let algorithm = table
        .need("algorithm")
        .and_then(|node| node.choice(ALGORITHMS));
    let claims = table
        .need("claims")
        .and_then(|node| node.json_template(names));
    let key = table.one_of(&["secret", "pem"])?;
    let material = key.secret();
    let (algorithm, material) = (algorithm?, material?);
    if symmetric(algorithm) != (key.name == "secret") {
        let needed = if symmetric(algorithm) {
            "`secret`"
        } else {
            "`pem`"
        };
        key.error_key(format!("{algorithm:?} needs {needed}"));
        return None;
    }
    use jsonwebtoken::Algorithm::*;
    let bytes = material.expose();
    let encoding = match algorithm {
        HS256 | HS384 | HS512 => Ok(EncodingKey::from_secret(bytes)),
        ES256 | ES384 => EncodingKey::from_ec_pem(bytes),
        EdDSA => EncodingKey::from_ed_pem(bytes),
        _ => EncodingKey::from_rsa_pem(bytes),
    };
    if encoding.is_err() {
        key.error(format!(
            "this is not a private key in PEM for {algorithm:?}"
        ));
    }
    let least = match algorithm {
        HS256 => 32,
        HS384 => 48,
        HS512 => 64,
        _ => 0,
    };
    if bytes.len() < least {
        let message = format!("the secret is shorter than {least} bytes and may be guessed");
        key.warn(Wrong::new(
            message,
            "use a longer one if the backend takes it",
        ));
    }
    Some(Signer::Jwt {
        algorithm,
        key: encoding.ok()?,
        claims: claims?,
    })
}

/// One security key, or a list of two while one replaces the other.
pub(super) fn security_keys(node: Node<'_>) -> Option<SecurityKeys> {
    let nodes = node.one_or_more();
    if nodes.len() > 2 {
        node.error("more than two keys: one to sign with, one that is on its way out");
    }
    let wanted = nodes.len();
    let mut texts = Vec::new();
    for key in nodes {
        let Some((_, text)) = key.secret_text() else {
            continue;
        };
        // Each alone, so that the mistake has its place.
        if let Err(message) = SecurityKeys::parse([text.as_str()]) {
            key.error(Wrong::new(message, "make one with `chatgate keygen`"));
            continue;
        }
        texts.push(zeroize::Zeroizing::new(text));
    }
    if texts.len() != wanted || wanted == 0 {
        return None;
    }
    if let [first, second] = &texts[..]
        && first == second
    {
        node.error("the two keys are the same");
    }
    SecurityKeys::parse(texts.iter().map(|text| text.as_str())).ok()
}
