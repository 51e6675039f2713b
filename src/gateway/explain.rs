//! Says what the gateway would do with a request and an answer, and why, by the
//! same functions and in the same order as the gateway itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora::http::RequestHeader;
use serde_json::Map;

use super::admit;
use super::body;
use super::inject::Injected;
use super::{read, request, socket, stream, webhook};
use crate::channel::{Channel, Kind, Link, Route};
use crate::config::Config;
use crate::decision::{self, Asked, Asker, Candidate, ForAnswer, ForRequest};
use crate::identity::{Caches, Proof};
use crate::interaction::{Identity, Level, Standing};
use crate::message::{AnswerView, Body, RequestView, Selector};
use crate::reason::Reason;
use crate::time::Time;

/// A request as it would come over the wire.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Request target: path and query.
    pub target: String,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Body.
    pub body: Vec<u8>,
}

/// An answer as the backend would send it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Body.
    pub body: Vec<u8>,
}

/// How the interaction is supposed to stand.
#[derive(Clone, Debug, Default)]
pub struct Supposed {
    /// The subject that is logged in.
    pub subject: Option<String>,
    /// The name of the level of that login; the highest one if absent.
    pub level: Option<String>,
    /// How long ago that login was.
    pub since: Duration,
    /// Whether the interaction belongs to another client.
    pub foreign: bool,
}

/// What would be done, step by step.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// What was looked at, and what came out.
    pub steps: Vec<(&'static str, String)>,
    /// The reason code of the verdict on the request.
    pub request: Option<Reason>,
    /// Whether the request goes to the backend.
    pub forwarded: bool,
    /// The level of the challenge that the customer gets because the route demands it.
    pub challenged: Option<Level>,
    /// The verdict on the answer, where there is one to judge.
    pub answer: Option<ForAnswer>,
}

impl Explanation {
    fn step(&mut self, name: &'static str, text: impl Into<String>) {
        self.steps.push((name, text.into()));
    }

    fn refuse(mut self, reason: Reason) -> Self {
        self.request = Some(reason);
        self.step(
            "verdict",
            format!(
                "refused with {}: {} — {}",
                reason.status(),
                reason,
                reason.meaning()
            ),
        );
        self
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, text) in &self.steps {
            writeln!(f, "{name:<12} {}", text.replace('\n', "\n             "))?;
        }
        Ok(())
    }
}

/// Explains. Verifiers that look something up do so.
///
/// # Errors
/// When request or answer cannot be read at all.
pub async fn explain(
    config: &Config,
    caches: &Caches,
    request: &Request,
    answer: Option<&Answer>,
    supposed: &Supposed,
    now: Time,
) -> Result<Explanation, String> {
    let mut said = Explanation::default();
    let mut head = RequestHeader::build(
        request.method.as_bytes(),
        request.target.as_bytes(),
        Some(request.headers.len()),
    )
    .map_err(|error| format!("the request line cannot be read: {error}"))?;
    for (name, value) in &request.headers {
        let value = HeaderValue::from_bytes(value)
            .map_err(|_| format!("the header {name} has a value that cannot be sent"))?;
        head.append_header(name.clone(), value)
            .map_err(|error| format!("the header {name}: {error}"))?;
    }
    said.step(
        "request",
        format!(
            "{} {}",
            request.method,
            crate::telemetry::clean(&request.target)
        ),
    );

    let target = match admit::admit(&head, Some(request.target.as_bytes())) {
        Ok(target) => target,
        Err(reason) => return Ok(said.refuse(reason)),
    };
    let Some(found) = config.routes.find(&head.method, &target.host, &target.path) else {
        return Ok(said.refuse(Reason::NoRoute));
    };
    let route = found.route;
    if config
        .routes
        .is_disguised(&head.method, &target.host, &target.path, route)
    {
        return Ok(said.refuse(Reason::AmbiguousPath));
    }
    let channel = &route.channel;
    said.step(
        "route",
        format!(
            "{} ({}), channel {}, upstream {}",
            route.name,
            route.kind.name(),
            channel.name,
            route.upstream.name
        ),
    );

    let opens = socket::asked(&head, route);
    if let Some(socket) = opens {
        if !socket.admits(&head.headers) {
            return Ok(said.refuse(Reason::ForeignOrigin));
        }
        said.step("socket", "a WebSocket: each message is judged by itself");
    }
    let bytes = Bytes::from(request.body.clone());
    let body = match route.kind {
        Kind::Webhook => Body::of(&head.headers, bytes, channel.inspection.max_body),
        _ => Body::new(bytes),
    };
    let unread =
        route.kind == Kind::Webhook && read::passes_unread(route, Some(request.body.len()));
    if route.reads_body() && !unread && request.body.len() > route.longest_body() {
        return Ok(said.refuse(Reason::BodyTooLarge));
    }
    match route.signatures.check(&head.headers, &request.body, now) {
        Ok(None) => {}
        Ok(Some((signature, _))) => said.step("signature", format!("{} holds", signature.name)),
        Err(reason) => return Ok(said.refuse(reason)),
    }
    let params = found.params();
    let view = RequestView {
        method: &head.method,
        path: &target.path,
        query: target.query.as_deref(),
        headers: &head.headers,
        params: &params,
        body: (route.reads_body() && !unread).then_some(&body),
    };
    if route.kind == Kind::Webhook {
        return to_client(said, config, route, &view, supposed, now);
    }
    let proven = request::prove(caches, route, &view, now).await;
    let facts = match request::gather(route, &view, proven) {
        Ok(facts) => facts,
        Err(reason) => return Ok(said.refuse(reason)),
    };
    let interaction = facts.interaction.as_deref();
    said.step(
        "interaction",
        interaction.map_or("none named".into(), |id| {
            crate::telemetry::clean(id).into_owned()
        }),
    );
    said.step(
        "proof",
        proof(config, &facts.proof, facts.verifier.as_deref()),
    );
    if let Proof::Valid(_) = &facts.proof {
        for rule in &channel.matches {
            let directory = &rule.directory.name;
            let text = format!(
                "{} would be asked of {directory} first; taken for a match",
                rule.name
            );
            said.step("records", text);
        }
    }
    let standing = standing(&mut said, config, channel, supposed, now)?;

    let forward = match decision::request(Asked {
        route,
        proof: &facts.proof,
        standing: &standing,
        named: interaction.is_some(),
        challengeable: opens.is_none(),
    }) {
        ForRequest::Refuse(reason) => return Ok(said.refuse(reason)),
        ForRequest::Challenge { level, .. } => {
            said.request = Some(Reason::LevelDemanded);
            said.challenged = Some(level);
            let level = config.level_name(level);
            said.step(
                "verdict",
                format!("challenged, not forwarded: the route demands {level}"),
            );
            return Ok(said);
        }
        ForRequest::Forward(forward) => forward,
    };
    let injected = forward.identity.as_ref().map(|identity| Injected {
        config,
        channel,
        interaction: interaction.unwrap_or_default(),
        identity,
        login_time: standing.login_time.unwrap_or(now),
        now,
    });
    let members = injected.as_ref().map(Injected::members).unwrap_or_default();
    if let Err(reason) = body::edit_body(config, &head.headers, &request.body, &members) {
        return Ok(said.refuse(reason));
    }
    said.request = Some(forward.reason);
    said.forwarded = true;
    if let Some(observed) = forward.observed {
        said.step(
            "observed",
            format!(
                "would have been refused: {observed} — {}",
                observed.meaning()
            ),
        );
    }
    if forward.announce {
        said.step("side call", "completes first");
    }
    let whose = forward.identity.as_ref();
    let whose = whose.map_or("anonymous".into(), |identity| {
        crate::telemetry::clean(identity.subject())
    });
    let mut doing = vec![format!("forwarded, as {whose}")];
    doing.extend(injected.map(|_| format!("injected: {}", injects(channel))));
    let signature = route.signatures.sign.as_ref();
    doing.extend(signature.map(|signature| format!("signed by {}", signature.name)));
    doing.extend(forward.end.then(|| "the interaction ends".to_owned()));
    doing.extend(
        forward
            .log_out
            .then(|| "the login is taken away".to_owned()),
    );
    doing.push(
        if forward.judge {
            "the answer is judged"
        } else {
            "the answer is not judged"
        }
        .to_owned(),
    );
    said.step("verdict", doing.join("\n"));

    // A message on a socket has a body only.
    let message = answer.filter(|_| opens.is_some()).map(|answer| Answer {
        status: 200,
        headers: Vec::new(),
        body: answer.body.clone(),
    });
    if let (Some(answer), true) = (message.as_ref().or(answer), forward.judge) {
        let level = match (&forward.identity, forward.log_in) {
            (Some(identity), true) => identity.level,
            _ => standing.level(),
        };
        // A pre-chat's interaction may be named by its answer.
        let selector = route.interaction.as_ref();
        let asker = Asker {
            level,
            named: interaction.is_some() || selector.is_some_and(Selector::needs_answer),
            foreign: standing.foreign,
        };
        judge(&mut said, config, route, answer, asker)?;
    }
    Ok(said)
}

/// A request of the backend's to the client: what would be judged is the request.
fn to_client(
    mut said: Explanation,
    config: &Config,
    route: &Route,
    request: &RequestView<'_>,
    supposed: &Supposed,
    now: Time,
) -> Result<Explanation, String> {
    let channel = &route.channel;
    let view = webhook::view(request.headers, request.body);
    let mut asker = Asker::ANONYMOUS;
    let first = decision::answer(channel, &view, asker);
    let body = request.body;
    let there = |link: &Link| body.is_some_and(|body| link.is_in(request.headers, body));
    let link = channel.link.as_ref().is_some_and(there);
    if link || !matches!(first, ForAnswer::Release { .. }) {
        let interaction = match webhook::interaction(route, request, &first) {
            Ok(interaction) => interaction,
            Err(reason) => return Ok(said.refuse(reason)),
        };
        let named = interaction.as_deref().map(crate::telemetry::clean);
        said.step(
            "interaction",
            named.map_or("none named".into(), |id| id.into_owned()),
        );
        if interaction.is_some() {
            let standing = standing(&mut said, config, channel, supposed, now)?;
            asker = Asker {
                level: standing.level(),
                named: true,
                foreign: false,
            };
        }
    }
    let verdict = verdict(&mut said, config, channel, &view, asker);
    if let ForAnswer::Release { .. } = verdict {
        linked(&mut said, channel, &view, asker);
    }
    said.request = Some(match &verdict {
        ForAnswer::Release { reason, .. } | ForAnswer::Block(reason) => *reason,
        ForAnswer::Challenge { .. } => Reason::Flagged,
    });
    said.forwarded = !matches!(verdict, ForAnswer::Block(_));
    if let Some(signature) = route.signatures.sign.as_ref().filter(|_| said.forwarded) {
        said.step("signed", format!("by {}", signature.name));
    }
    said.answer = Some(verdict);
    Ok(said)
}

fn judge(
    said: &mut Explanation,
    config: &Config,
    route: &Route,
    answer: &Answer,
    asker: Asker,
) -> Result<(), String> {
    let channel = &route.channel;
    let status = StatusCode::from_u16(answer.status)
        .map_err(|_| format!("{} is no status", answer.status))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("{name} is no header name"))?;
        let value = HeaderValue::from_bytes(value)
            .map_err(|_| format!("the header {name} has a value that cannot be sent"))?;
        headers.append(name, value);
    }
    said.step("answer", format!("{status}, {} bytes", answer.body.len()));
    let most = channel.inspection.max_body;
    let body = Body::of(&headers, Bytes::from(answer.body.clone()), most);
    let fits = answer.body.len() <= most;
    let view = AnswerView {
        status,
        headers: &headers,
        body: fits.then_some(&body),
    };
    let verdict = verdict(said, config, channel, &view, asker);
    if let ForAnswer::Release { .. } = verdict {
        linked(said, channel, &view, asker);
        if stream::is_watched(route) && decision::watched(&view) != Candidate::No {
            said.step("stream", "ends with the login of its customer");
        }
    }
    said.answer = Some(verdict);
    Ok(())
}

fn verdict(
    said: &mut Explanation,
    config: &Config,
    channel: &Channel,
    view: &AnswerView<'_>,
    asker: Asker,
) -> ForAnswer {
    let messages = decision::messages(channel, view, asker);
    for (index, verdict) in messages.iter().enumerate() {
        let text = told(config, channel, verdict);
        said.step("message", format!("{}: {text}", index + 1));
    }
    for flag in channel.flags.iter().filter(|_| messages.is_empty()) {
        let matches = if flag.matches(view) {
            format!("matches, demands {}", config.level_name(flag.level(view)))
        } else {
            "does not match".to_owned()
        };
        let observed = if flag.observe { " (observed only)" } else { "" };
        said.step("flag", format!("{}: {matches}{observed}", flag.name));
    }
    let verdict = decision::answer(channel, view, asker);
    let text = told(config, channel, &verdict);
    said.step(
        "verdict",
        match messages.is_empty() {
            true => text,
            false => format!("judged message by message; altogether {text}"),
        },
    );
    verdict
}

fn told(config: &Config, channel: &Channel, verdict: &ForAnswer) -> String {
    match verdict {
        ForAnswer::Release { reason, strip } => {
            let strip = if strip.is_empty() {
                ""
            } else {
                ", the flag taken off"
            };
            format!("released{strip}: {reason} — {}", reason.meaning())
        }
        ForAnswer::Challenge { flag, level } => {
            let name = channel.flags.get(*flag).map_or("", |flag| &*flag.name);
            format!(
                "withheld, challenged: flag {name} demands {}",
                config.level_name(*level)
            )
        }
        ForAnswer::Block(reason) => format!(
            "withheld, answered with {}: {reason} — {}",
            reason.status(),
            reason.meaning()
        ),
    }
}

/// Where a login link of the backend's own would become ours.
fn linked(said: &mut Explanation, channel: &Channel, view: &AnswerView<'_>, asker: Asker) {
    let there = |link: &Link| view.body.is_some_and(|body| link.is_in(view.headers, body));
    if !channel.link.as_ref().is_some_and(there) {
        return;
    }
    let possible = channel.login.is_some() && asker.named && !asker.foreign;
    said.step(
        "link",
        match possible {
            true => "the backend's login link is replaced by ours",
            false => "the backend's login link stays: nobody could log in by ours",
        },
    );
}

fn proof(config: &Config, proof: &Proof, verifier: Option<&str>) -> String {
    let by = verifier.map_or(String::new(), |name| format!(" by {name}"));
    match proof {
        Proof::Absent => "none".into(),
        Proof::Valid(identity) => {
            let subject = crate::telemetry::clean(identity.subject());
            format!(
                "{subject}, level {}, verified{by}",
                config.level_name(identity.level)
            )
        }
        Proof::Invalid(reason) => format!("refused{by}: {reason} — {}", reason.meaning()),
    }
}

fn standing(
    said: &mut Explanation,
    config: &Config,
    channel: &Channel,
    supposed: &Supposed,
    now: Time,
) -> Result<Standing, String> {
    let reached = match &supposed.level {
        Some(name) => config.level(name).ok_or_else(|| {
            format!(
                "there is no level {name}; there are {}",
                config.levels.join(", ")
            )
        })?,
        None => Level(u8::try_from(config.levels.len()).unwrap_or(u8::MAX)),
    };
    let ago = u64::try_from(supposed.since.as_millis()).unwrap_or(u64::MAX);
    let login = Time::from_millis(now.millis().saturating_sub(ago));
    let level = channel.clocks.counts(reached, login, now);
    let subject = supposed.subject.as_ref().filter(|_| !supposed.foreign);
    let identity = subject
        .filter(|_| level > Level::ANONYMOUS)
        .map(|subject| Arc::new(Identity::new(subject, level, &Map::new())));
    let standing = Standing {
        login_time: identity.as_ref().map(|_| login),
        unannounced: false,
        foreign: supposed.foreign,
        identity,
    };
    let mut text = describe(config, &standing);
    if subject.is_some() && level < reached {
        let reached = config.level_name(reached);
        text.push_str(&format!(
            "; the login reached {reached}, whose time is over"
        ));
    }
    said.step("standing", text);
    Ok(standing)
}

fn describe(config: &Config, standing: &Standing) -> String {
    match (&standing.identity, standing.foreign) {
        (_, true) => "another client's: served as anonymous".into(),
        (Some(identity), _) => {
            let subject = crate::telemetry::clean(identity.subject());
            format!(
                "authenticated as {subject}, level {}",
                config.level_name(identity.level)
            )
        }
        (None, _) => "anonymous".into(),
    }
}

fn injects(channel: &crate::channel::Channel) -> String {
    let headers = channel
        .inject
        .headers
        .iter()
        .map(|(name, _)| format!("header {name}"));
    let members = channel
        .inject
        .members
        .iter()
        .map(|(path, _)| format!("member {}", path.0.join(".")));
    let assertion = channel
        .inject
        .assertion
        .iter()
        .map(|assertion| format!("assertion {}", assertion.header));
    let all: Vec<_> = headers.chain(members).chain(assertion).collect();
    if all.is_empty() {
        "nothing is configured".into()
    } else {
        all.join(", ")
    }
}
