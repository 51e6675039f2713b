//! What is known of one request and its answer, from the first byte to the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;

use http::{HeaderMap, Method};

use super::State;
use super::admit::Target;
use super::body::BodyEdit;
use super::hold::Hold;
use super::patience::{self, Pace};
use super::stream::{Stream, Watch};
use crate::channel::{Kind, Route};
use crate::config::Config;
use crate::decision::{Asker, Forward};
use crate::interaction::store::Key;
use crate::interaction::{Evidence, Standing};
use crate::message::{Body, RequestView};
use crate::reason::Reason;
use crate::telemetry::{Exchanged, Id};
use crate::time::Time;

/// One exchange.
pub(super) struct Exchange {
    state: Arc<State>,
    /// The configuration it began with, kept to its end.
    pub config: Arc<Config>,
    number: u64,
    /// When it began, for its duration alone.
    pub began: Instant,
    /// Method, target and route, once admitted and routed.
    pub asked: Option<Asked>,
    /// The own endpoint that answers it, and the channel it concerns.
    pub endpoint: Option<(&'static str, String)>,
    /// Where the browser says whose chat a login is for, once that has to be said.
    pub bind_url: Option<String>,
    /// The request body, where the route has it read.
    pub body: Option<Body>,
    /// The body with managed members edited, where that changed it.
    pub edited: Option<Bytes>,
    /// The headers that go on in place of those that came, where those tell too much.
    pub outgoing: Option<HeaderMap>,
    /// The interaction, once its id is known.
    pub key: Option<Key>,
    /// What ties the request to the interaction's owner.
    pub evidence: Evidence,
    /// A cookie value to set on the answer: the owner's evidence from now on.
    pub new_cookie: Option<String>,
    /// How the interaction stood when the request was decided on.
    pub standing: Standing,
    /// When the login was that counts, if one does.
    pub login_time: Option<Time>,
    /// How the request is forwarded.
    pub forward: Option<Forward>,
    /// Edits of a request body that was not read in advance.
    pub edit: BodyEdit,
    /// How such a body comes.
    pub pace: Pace,
    /// Who the answer was for when it began.
    pub asker: Asker,
    /// The answer, where it is held back.
    pub hold: Hold,
    /// The answer, where it is judged message by message.
    pub stream: Option<Box<Stream>>,
    /// The same where it cannot be read.
    pub watch: Option<Watch>,
    /// Why a hook gave the exchange up.
    pub withheld: Option<Reason>,
    /// Whether an answer of unknown state is on the wire: nothing may follow it.
    pub broken: bool,
    /// Whether it became an open socket.
    pub socket: bool,
    /// The verdict that counts, for log and metrics.
    pub reason: Reason,
    /// The status that the customer got from chatgate itself.
    pub own_status: Option<u16>,
}

/// Numbers the requests of this process.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// An admitted and routed request.
pub(super) struct Asked {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub target: Target,
    /// Its route.
    pub route: Arc<Route>,
    /// What the route's pattern captured.
    pub params: Vec<(Box<str>, Box<str>)>,
}

impl Exchange {
    pub(super) fn new(state: Arc<State>) -> Self {
        state.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            config: state.config.load_full(),
            state,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            began: Instant::now(),
            asked: None,
            endpoint: None,
            bind_url: None,
            body: None,
            edited: None,
            outgoing: None,
            key: None,
            evidence: Evidence::Unasked,
            new_cookie: None,
            standing: Standing::default(),
            login_time: None,
            forward: None,
            edit: BodyEdit::default(),
            pace: Pace::default(),
            asker: Asker::ANONYMOUS,
            hold: Hold::default(),
            stream: None,
            watch: None,
            withheld: None,
            broken: false,
            socket: false,
            reason: Reason::Passed,
            own_status: None,
        }
    }

    /// The request as the core sees it; `headers` are those that came.
    pub(super) fn view<'a>(&'a self, headers: &'a HeaderMap) -> Option<RequestView<'a>> {
        let asked = self.asked.as_ref()?;
        Some(RequestView {
            method: &asked.method,
            path: &asked.target.path,
            query: asked.target.query.as_deref(),
            headers,
            params: &asked.params,
            body: self.body.as_ref(),
        })
    }

    /// Names the exchange in logs and answers: unique across restarts.
    pub(super) fn id(&self) -> Id {
        Id(self.state.started.millis(), self.number)
    }

    /// Whether the answer is judged.
    pub(super) fn judged(&self) -> bool {
        self.forward.as_ref().is_some_and(|forward| forward.judge)
    }

    /// Whether only the answer names the interaction.
    pub(super) fn binds_from_answer(&self) -> bool {
        self.key.is_none()
            && self.route().is_some_and(|route| {
                let selector = route.interaction.as_ref();
                route.kind == Kind::PreChat
                    && selector.is_some_and(|selector| selector.needs_answer())
            })
    }

    /// What the log says of it.
    pub(super) fn line(&self, status: Option<u16>, error: Option<String>) -> Exchanged<'_> {
        let asked = self.asked.as_ref();
        let endpoint = self.endpoint.as_ref();
        let (channel, route, kind) = match (asked, endpoint) {
            (Some(asked), _) => {
                let route = &*asked.route;
                let kind = if self.socket {
                    "socket"
                } else {
                    route.kind.name()
                };
                (&*route.channel.name, &*route.name, kind)
            }
            (None, Some((endpoint, channel))) => (&**channel, *endpoint, "endpoint"),
            (None, None) => ("", "", "none"),
        };
        Exchanged {
            id: self.id(),
            channel,
            route,
            kind,
            method: asked.map_or("", |asked| asked.method.as_str()),
            path: asked.map_or("", |asked| &asked.target.path),
            reason: self.reason,
            status,
            took: self.began.elapsed(),
            error,
        }
    }

    /// The route, once known.
    pub(super) fn route(&self) -> Option<&Arc<Route>> {
        self.asked.as_ref().map(|asked| &asked.route)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
        patience::end();
    }
}
