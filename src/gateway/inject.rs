//! What the backend gets to see: managed headers and members off, those of the
//! verified customer on.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, COOKIE, IF_RANGE, RANGE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use serde_json::Value;

use super::endpoints::cookie_name;
use super::exchange::Exchange;
use crate::channel::inject::Facts;
use crate::channel::{Channel, Kind, Owner};
use crate::config::Config;
use crate::decision;
use crate::interaction::Identity;
use crate::message::MemberPath;
use crate::message::header::{HOP_BY_HOP, has_prefix, is_alias};
use crate::reason::Reason;
use crate::time::Time;

/// Headers by which a client could speak for a proxy in front of us, folded.
const FORWARDING: &[&str] = &[
    "forwarded",
    "x-forwarded",
    "x-real-ip",
    "client-ip",
    "x-client-ip",
    "true-client-ip",
    "x-cluster-client-ip",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// What others of them begin with, folded.
const FORWARDING_FAMILIES: &[&str] = &["x-forwarded-", "x-original-"];

/// Removes from a request to the backend whatever only chatgate may say. Runs on
/// every route, before anything is injected.
pub(super) fn strip(head: &mut RequestHeader, config: &Config, keep_upgrade: bool) {
    let nominated: Vec<HeaderName> = nominated(&head.headers, keep_upgrade);
    let doomed: Vec<HeaderName> = head
        .headers
        .keys()
        .filter(|name| {
            let text = name.as_str();
            config.managed_headers.covers(text)
                || is_forwarding(text)
                || nominated.contains(name)
                || (HOP_BY_HOP.contains(&text) && !kept(name, keep_upgrade))
        })
        .cloned()
        .collect();
    for name in &doomed {
        head.remove_header(name);
    }
    if !keep_upgrade {
        head.remove_header(&UPGRADE);
    }
    without_own_cookie(head);
}

/// Whether this is a header of a proxy's, or an alias of one.
fn is_forwarding(name: &str) -> bool {
    FORWARDING.iter().any(|known| is_alias(name, known))
        || FORWARDING_FAMILIES
            .iter()
            .any(|family| has_prefix(name, family))
}

/// Removes from a request to the client what belongs to one connection, and what is
/// between a customer and us. All else goes on as the backend wrote it.
pub(super) fn strip_connection(head: &mut RequestHeader) {
    let nominated = nominated(&head.headers, false);
    let names = head.headers.keys();
    let doomed = names.filter(|name| {
        nominated.contains(name)
            || (HOP_BY_HOP.contains(&name.as_str()) && !kept(name, false))
            || **name == UPGRADE
    });
    let doomed: Vec<HeaderName> = doomed.cloned().collect();
    for name in &doomed {
        head.remove_header(name);
    }
    without_own_cookie(head);
}

/// The owner's cookie is between the customer and us: a backend that saw it could
/// speak for the customer.
fn without_own_cookie(head: &mut RequestHeader) {
    let ours = [
        Owner::cookie_name(true),
        Owner::cookie_name(false),
        cookie_name(true),
        cookie_name(false),
    ];
    let length = head
        .headers
        .get_all(COOKIE)
        .iter()
        .map(|line| line.len() + 2);
    let mut left = Vec::with_capacity(length.sum());
    let mut found = false;
    for line in head.headers.get_all(COOKIE) {
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            if ours.iter().any(|ours| ours.as_bytes() == name.trim_ascii()) {
                found = true;
                continue;
            }
            if !left.is_empty() {
                left.extend_from_slice(b"; ");
            }
            left.extend_from_slice(pair.trim_ascii());
        }
    }
    if !found {
        return;
    }
    let inserted = match HeaderValue::from_maybe_shared(Bytes::from(left)) {
        Ok(left) if !left.is_empty() => head.insert_header("Cookie", left),
        _ => {
            head.remove_header(&COOKIE);
            Ok(())
        }
    };
    if let Err(error) = inserted {
        tracing::warn!(%error, "the cookies could not be handed on");
        head.remove_header(&COOKIE);
    }
}

/// Hop-by-hop headers that pingora itself still needs to frame the request, or
/// that make an upgrade.
fn kept(name: &HeaderName, keep_upgrade: bool) -> bool {
    name == TRANSFER_ENCODING || (keep_upgrade && name == CONNECTION)
}

/// The headers that `Connection` declares to be of this connection only (RFC 9110, section 7.6.1).
fn nominated(headers: &HeaderMap, keep_upgrade: bool) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name: &HeaderName| {
            let framing = [CONTENT_LENGTH, http::header::HOST].contains(name);
            let upgrade = keep_upgrade && name == UPGRADE;
            !(kept(name, keep_upgrade) || upgrade || framing)
        })
        .collect()
}

/// Tells the backend who the client in front of us is: the address that the
/// connection came from, nothing that the client says of itself.
pub(super) fn forwarded(head: &mut RequestHeader, session: &Session) -> pingora::Result<()> {
    if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
        head.insert_header("X-Forwarded-For", address(client.ip()))?;
    }
    let tls = session
        .digest()
        .is_some_and(|digest| digest.ssl_digest.is_some());
    let scheme = HeaderValue::from_static(if tls { "https" } else { "http" });
    head.insert_header("X-Forwarded-Proto", scheme)
}

/// An address as text: what `to_string` says, for a tenth of what it costs.
fn address(ip: IpAddr) -> String {
    let IpAddr::V4(ip) = ip else {
        return ip.to_string();
    };
    let mut text = String::with_capacity("255.255.255.255".len());
    for octet in ip.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        for (least, unit) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= least {
                text.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
    text
}

/// On judged routes: an answer that can be read, whole, and in a type that is judged.
pub(super) fn ask_for_readable(head: &mut RequestHeader, channel: &Channel) -> pingora::Result<()> {
    head.remove_header(&RANGE);
    head.remove_header(&IF_RANGE);
    if let Some(accept) = decision::accept(channel, &head.headers) {
        head.insert_header(ACCEPT, accept)?;
    }
    head.insert_header("Accept-Encoding", HeaderValue::from_static("identity"))
}

/// What is known of the customer when something is injected.
pub(super) struct Injected<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The channel.
    pub channel: &'a Channel,
    /// The interaction id, empty where it is not known yet.
    pub interaction: &'a str,
    /// Who it is.
    pub identity: &'a Identity,
    /// When the login was.
    pub login_time: Time,
    /// Now.
    pub now: Time,
}

impl Injected<'_> {
    /// The headers, assertion included.
    pub(super) fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Reason> {
        let facts = self.facts();
        let mut headers = Vec::new();
        for (name, fact) in &self.channel.inject.headers {
            if let Some(value) = fact.header(&facts)? {
                headers.push((name.clone(), value));
            }
        }
        if let Some(assertion) = &self.channel.inject.assertion {
            let level = self.config.level_name(self.identity.level);
            let token = assertion
                .sign(self.identity, level, &self.channel.name, self.interaction, self.now)
                .map_err(|error| {
                    tracing::error!(channel = %self.channel.name, %error, "the assertion could not be signed");
                    Reason::Internal
                })?;
            let value = HeaderValue::from_str(&token).map_err(|_| Reason::Internal)?;
            headers.push((assertion.header.clone(), value));
        }
        Ok(headers)
    }

    /// The members, as [`super::body::edit_body`] takes them.
    pub(super) fn members(&self) -> Vec<(&MemberPath, Value)> {
        let facts = self.facts();
        let members = &self.channel.inject.members;
        members
            .iter()
            .filter_map(|(path, fact)| Some((path, fact.value(&facts)?)))
            .collect()
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            identity: self.identity,
            level: self.config.level_name(self.identity.level),
            interaction: self.interaction,
            channel: &self.channel.name,
            login_time: Some(self.login_time),
        }
    }
}

impl Exchange {
    /// What is to be injected into this request, if anything is.
    pub(super) fn injected(&self, now: Time) -> Option<Injected<'_>> {
        let identity = self.forward.as_ref()?.identity.as_ref()?;
        let route = self.route()?;
        Some(Injected {
            config: &self.config,
            channel: &route.channel,
            interaction: self.key.as_ref().map_or("", |key| key.interaction()),
            identity,
            login_time: self.login_time.or(self.standing.login_time).unwrap_or(now),
            now,
        })
    }

    /// Whether the request goes from the backend to the client.
    pub(super) fn to_client(&self) -> bool {
        self.route()
            .is_some_and(|route| route.kind == Kind::Webhook)
    }

    /// Whether an upgrade may pass: only where no answer would be judged.
    pub(super) fn may_upgrade(&self) -> bool {
        self.route().is_some_and(|route| route.kind == Kind::Pass)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_reads_as_the_standard_library_writes_it(ip: IpAddr) {
            prop_assert_eq!(address(ip), ip.to_string());
        }
    }
}
