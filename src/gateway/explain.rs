//! Says what the gateway would do with a request and an answer, and why, by the
//! same functions and in the same order as the gateway itself.

mod judged;
mod supposed;

use std::fmt;

use http::{HeaderMap, HeaderValue, StatusCode};
use pingora::http::RequestHeader;

pub use supposed::Supposed;

use super::admit;
use super::body::{self, BodyEdit};
use super::endpoints::{self, Endpoint};
use super::find::{self, Preflight};
use super::inject::Injected;
use super::read::Reading;
use super::{facts, socket};
use crate::channel::{Channel, Kind, Route};
use crate::config::Config;
use crate::decision::{self, Asker, ForAnswer, ForRequest, Forward, Known};
use crate::identity::{Caches, Proof};
use crate::interaction::Level;
use crate::message::{Body, RequestView, Selector};
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

/// What would be done, step by step.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// What was looked at, and what came out.
    pub steps: Vec<(&'static str, String)>,
    /// The reason code of the verdict on the request.
    pub request: Option<Reason>,
    /// Whether the request goes to the backend.
    pub forwarded: bool,
    /// The status of an answer of chatgate's own that is no refusal: to a preflight.
    pub answered: Option<StatusCode>,
    /// The level of the challenge that the customer gets because the route demands it.
    pub challenged: Option<Level>,
    /// The verdict on the answer, where there is one to judge.
    pub answer: Option<ForAnswer>,
}

impl Explanation {
    fn step(&mut self, name: &'static str, text: impl Into<String>) {
        self.steps.push((name, text.into()));
    }

    fn interaction(&mut self, id: Option<&str>) {
        let id = id.map_or("none named".into(), crate::telemetry::clean);
        self.step("interaction", id);
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
    let case = Case {
        config,
        caches,
        request,
        answer,
        supposed,
        now,
    };
    let mut said = Explanation::default();
    match case.arrive(&mut said).await {
        Ok(()) => Ok(said),
        Err(Stop::Refused(reason)) => Ok(said.refuse(reason)),
        Err(Stop::Mistaken(mistake)) => Err(mistake),
    }
}

/// Why an explanation goes no further.
enum Stop {
    /// The gateway would refuse the request.
    Refused(Reason),
    /// What is to be explained cannot be read.
    Mistaken(String),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl From<String> for Stop {
    fn from(mistake: String) -> Self {
        Self::Mistaken(mistake)
    }
}

/// What is to be explained.
struct Case<'a> {
    config: &'a Config,
    caches: &'a Caches,
    request: &'a Request,
    answer: Option<&'a Answer>,
    supposed: &'a Supposed,
    now: Time,
}

/// A request that found its route.
struct Arrived<'a> {
    route: &'a Route,
    head: &'a RequestHeader,
    reading: Reading,
    /// Whether it opens a socket.
    opens: bool,
}

impl Case<'_> {
    /// Target and route.
    async fn arrive(&self, said: &mut Explanation) -> Result<(), Stop> {
        let Self {
            config, request, ..
        } = *self;
        let head = request.head()?;
        let shown = crate::telemetry::clean(&request.target);
        said.step("request", format!("{} {shown}", request.method));
        let target = admit::admit(&head, Some(request.target.as_bytes()))?;
        match endpoints::find(config, &target.path) {
            Some(Endpoint::Unknown) => return Err(Reason::NoRoute.into()),
            Some(_) => {
                said.step(
                    "verdict",
                    "one of chatgate's own addresses, not of a channel",
                );
                return Ok(());
            }
            None => {}
        }
        let routes = &config.routes;
        let found = find::find(routes, &head.method, &target, &head.headers)?;
        let route = &**found.at.route;
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
        let unproven = match found.preflight {
            Preflight::No => false,
            Preflight::Theirs => true,
            Preflight::Ours(answer) => {
                let status = answer?.status;
                said.answered = Some(status);
                let text =
                    format!("a preflight (CORS), which chatgate answers itself with {status}");
                said.step("verdict", text);
                return Ok(());
            }
        };

        let opens = socket::asked(&head, route);
        if let Some(socket) = opens {
            socket::check_head(&head.headers, request.body.is_empty(), socket)?;
            said.step("socket", "a WebSocket: each message is judged by itself");
        }
        let (reading, body) = self.read(said, route, &head.headers)?;
        let params = found.at.params();
        let view = RequestView {
            method: &head.method,
            path: &target.path,
            query: target.query.as_deref(),
            headers: &head.headers,
            params: &params,
            body: body.as_ref(),
        };
        let arrived = Arrived {
            route,
            head: &head,
            reading,
            opens: opens.is_some(),
        };
        if unproven {
            said.step(
                "preflight",
                "the backend's to answer (CORS): nobody's request",
            );
            let forward = Forward::anonymous(route.kind);
            return self.go_on(said, &arrived, &forward, None, Asker::ANONYMOUS);
        }
        match route.kind {
            Kind::Webhook => self.to_client(said, route, &view),
            _ => self.decide(said, &arrived, &view).await,
        }
    }

    /// Body, signature.
    fn read(
        &self,
        said: &mut Explanation,
        route: &Route,
        headers: &HeaderMap,
    ) -> Result<(Reading, Option<Body>), Reason> {
        let body = &self.request.body;
        let length = body.len();
        let reading = Reading::of(self.config, route, headers, body.is_empty(), Some(length))?;
        let body = match reading {
            Reading::Whole(most) if length > most => return Err(Reason::BodyTooLarge),
            Reading::Whole(_) => Some(route.body(headers, body.clone().into())),
            Reading::Passes | Reading::Streams => None,
        };
        let bytes = body.as_ref().map_or(&[][..], |body| &body.bytes()[..]);
        if let Some((signature, _)) = route.signatures.check(headers, bytes, self.now)? {
            said.step("signature", format!("{} holds", signature.name));
        }
        Ok((reading, body))
    }

    /// Interaction, proof, verdict.
    async fn decide(
        &self,
        said: &mut Explanation,
        arrived: &Arrived<'_>,
        view: &RequestView<'_>,
    ) -> Result<(), Stop> {
        let Self { config, now, .. } = *self;
        let route = arrived.route;
        let channel = &route.channel;
        let proven = facts::prove(self.caches, route, view, now).await;
        let facts = facts::gather(route, view, &proven.proof)?;
        let interaction = facts.interaction.as_deref();
        said.interaction(interaction);
        let shown = proof(config, &proven.proof, proven.verifier.as_deref());
        said.step("proof", shown);
        if let Proof::Valid(_) = &proven.proof {
            for rule in &channel.matches {
                let directory = &rule.directory.name;
                let text = format!(
                    "{} would be asked of {directory} first; taken for a match",
                    rule.name
                );
                said.step("records", text);
            }
        }
        let standing = self.standing(said, channel)?;

        let forward = match decision::request(Known {
            route,
            proof: &proven.proof,
            standing: &standing,
            named: interaction.is_some(),
            challengeable: !arrived.opens,
        }) {
            ForRequest::Refuse(reason) => return Err(reason.into()),
            ForRequest::Challenge { level, .. } => {
                said.request = Some(Reason::LevelDemanded);
                said.challenged = Some(level);
                let level = config.level_name(level);
                said.step(
                    "verdict",
                    format!("challenged, not forwarded: the route demands {level}"),
                );
                return Ok(());
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
        self.go_on(said, arrived, &forward, injected, asker)
    }

    /// What goes to the backend, and what becomes of the answer.
    fn go_on(
        &self,
        said: &mut Explanation,
        arrived: &Arrived<'_>,
        forward: &Forward,
        injected: Option<Injected<'_>>,
        asker: Asker,
    ) -> Result<(), Stop> {
        let route = arrived.route;
        self.edit(arrived, injected.as_ref())?;
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
        let signature = route.signatures.sign.as_ref();
        let judged = match forward.judge {
            true => "the answer is judged",
            false => "the answer is not judged",
        };
        let doing = [
            Some(format!("forwarded, as {whose}")),
            injected.map(|_| format!("injected: {}", injects(&route.channel))),
            signature.map(|signature| format!("signed by {}", signature.name)),
            forward.end.then(|| "the interaction ends".into()),
            forward.log_out.then(|| "the login is taken away".into()),
            Some(judged.into()),
        ];
        let doing: Vec<String> = doing.into_iter().flatten().collect();
        said.step("verdict", doing.join("\n"));

        // A message on a socket has a body only.
        let message = self.answer.filter(|_| arrived.opens).map(|answer| Answer {
            status: 200,
            headers: Vec::new(),
            body: answer.body.clone(),
        });
        match message.as_ref().or(self.answer).filter(|_| forward.judge) {
            Some(answer) => self.judge(said, route, answer, asker),
            None => Ok(()),
        }
    }

    /// Whether the managed members can be taken out of the body, however it goes on.
    fn edit(&self, arrived: &Arrived<'_>, injected: Option<&Injected<'_>>) -> Result<(), Reason> {
        let (headers, body) = (&arrived.head.headers, &self.request.body);
        match arrived.reading {
            Reading::Passes => Ok(()),
            Reading::Whole(_) => {
                let members = injected.map(Injected::members).unwrap_or_default();
                body::edit_body(self.config, headers, body, &members).map(drop)
            }
            Reading::Streams => {
                let mut edit = BodyEdit::default();
                edit.arm();
                edit.chunk(self.config, headers, &mut Some(body.clone().into()), true)
            }
        }
    }
}

impl Request {
    fn head(&self) -> Result<RequestHeader, String> {
        let (method, target) = (self.method.as_bytes(), self.target.as_bytes());
        let mut head = RequestHeader::build(method, target, Some(self.headers.len()))
            .map_err(|error| format!("the request line cannot be read: {error}"))?;
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value)
                .map_err(|_| format!("the header {name} has a value that cannot be sent"))?;
            head.append_header(name.clone(), value)
                .map_err(|error| format!("the header {name}: {error}"))?;
        }
        Ok(head)
    }
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

fn injects(channel: &Channel) -> String {
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
