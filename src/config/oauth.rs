//! `[channel.NAME.oauth]`: an OAuth server without OpenID as the login of a channel.

use std::sync::Arc;
use std::time::Duration;

use super::oidc::{issuer, secret, words};
use super::reader::{Node, Wrong};
use super::server::Levels;
use super::url::Url;
use crate::login::oidc::{Metadata, Provider, Reached};
use crate::message::target::pairs;

const MINUTE: Duration = Duration::from_secs(60);

/// Parameters of an authorisation request that chatgate itself sends.
const OURS: &[&str] = &[
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];

/// The server.
pub(super) fn server(node: Node<'_>, levels: &Levels) -> Option<Provider> {
    let table = node.table()?;
    let authorization = table.need("authorization_url").and_then(authorization);
    let token = table.need("token_url").and_then(endpoint);
    let userinfo = table.need("userinfo_url").and_then(endpoint);
    let issuer = table.get("issuer").map(issuer);
    let client_id = table.need("client_id").and_then(Node::word);
    let method = table.get("client_authentication");
    let authentication = table
        .need("client_secret")
        .and_then(|source| secret(source, method));
    let scopes = table.get("scopes").map(words);
    let subject = table.get("subject_claim").map(Node::claim);
    let claims = table.get("claims").map(|node| node.list(Node::claim));
    let level = table.get("level").map(|node| {
        let level = levels.level(node)?;
        if level < levels.highest() {
            node.warn(Wrong::new(
                format!("no login reaches a level above `{}`", levels.name(level)),
                "a flag that demands more asks for a login that cannot succeed",
            ));
        }
        Some(level)
    });
    let timeout = table
        .get("timeout")
        .and_then(|node| node.duration_up_to(MINUTE));

    let authorization = authorization?;
    let issuer = match issuer {
        Some(issuer) => Some(issuer?),
        None => None,
    };
    Some(Provider {
        issuer: issuer.clone().unwrap_or_else(|| authorization.clone()),
        oauth: Some(Arc::new(Metadata {
            // One that names itself does so always.
            names_itself: issuer.is_some(),
            issuer,
            authorization_endpoint: authorization,
            token_endpoint: token?,
            jwks_uri: None,
            userinfo_endpoint: Some(userinfo?),
            algorithms: None,
        })),
        client_id: client_id?,
        authentication: authentication?,
        scopes: scopes.unwrap_or(Some(Vec::new()))?.join(" ").into(),
        subject: subject.unwrap_or(Some("sub".into()))?,
        claims: match claims {
            Some(claims) => Some(claims?),
            None => None,
        },
        userinfo: true,
        levels: Reached {
            otherwise: match level {
                Some(level) => Some(level?),
                None => None,
            },
            ..Reached::default()
        },
        max_age: None,
        prompt: None,
        leeway: Duration::ZERO,
        algorithms: Vec::new(),
        timeout: timeout.unwrap_or(MINUTE / 6),
    })
}

/// A URL of the server's. Nothing that it says is signed: only the connection shows
/// that it was the server who said it.
fn endpoint(node: Node<'_>) -> Option<Box<str>> {
    Some(private(node)?.text)
}

fn private(node: Node<'_>) -> Option<Url> {
    let url = node.url()?;
    if url.exposed() {
        node.error(Wrong::new(
            "over plain http anybody on the way could say who logged in",
            "use https",
        ));
        return None;
    }
    Some(url)
}

/// Where browsers are sent; it may have a query, without our parameters.
fn authorization(node: Node<'_>) -> Option<Box<str>> {
    let url = private(node)?;
    let query = pairs(url.query.as_deref().unwrap_or_default());
    if let Some((name, _)) = query.iter().find(|(name, _)| OURS.contains(&&**name)) {
        node.error(format!("`{name}` is added by chatgate"));
        return None;
    }
    Some(url.text)
}
