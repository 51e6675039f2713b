//! What is known of one request and its answer, from the first byte to the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::State;
use super::admit::Target;
use super::body::BodyEdit;
use super::busy::Busy;
use super::hold::Hold;
use super::patience::{self, Pace};
use super::respond::Reply;
use super::stream::{Stream, Watch};
use crate::channel::{Kind, Owner, Route};
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
    busy: Busy,
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
    pub(super) fn new(state: &Arc<State>) -> Self {
        Self {
            config: state.config.load_full(),
            busy: Busy::begin(state),
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
        Id(self.busy.state().started.millis(), self.number)
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

    /// Forgets what an attempt at the backend left: another one begins anew.
    pub(super) fn rewind(&mut self) {
        self.hold = Hold::default();
        self.stream = None;
        self.watch = None;
        self.edit.rewind();
    }

    /// Refuses the request, or its answer, for this reason.
    pub(super) fn refuse<'s>(
        &mut self,
        session: &'s mut Session,
        reason: Reason,
    ) -> impl Future<Output = pingora::Result<()>> + Send + use<'s> {
        let reply = self.refusal(&session.req_header().headers, reason);
        self.send(session, reply)
    }

    /// The refusal for a reason, which is that of the exchange then. `headers` are those
    /// that came.
    pub(super) fn refusal(&mut self, headers: &HeaderMap, reason: Reason) -> Reply {
        self.reason = reason;
        self.dress(Reply::refusal(reason, self.id()), headers)
    }

    /// The reply as the customer's browser needs it, once the route is known: the
    /// channel's websites may read it, and it brings the owner's cookie.
    pub(super) fn dress(&self, reply: Reply, headers: &HeaderMap) -> Reply {
        let cors = self.route().and_then(|route| route.channel.cors.as_ref());
        let reply = reply.with_cors(cors, headers);
        // The interaction may be tied to the new cookie already.
        match self.cookie_header() {
            Some(value) => reply.with(SET_COOKIE, value),
            None => reply,
        }
    }

    /// Sends a reply of our own.
    pub(super) fn send<'s>(
        &mut self,
        session: &'s mut Session,
        reply: Reply,
    ) -> impl Future<Output = pingora::Result<()>> + Send + use<'s> {
        self.own_status = Some(reply.status.as_u16());
        reply.send(session)
    }

    /// Puts the owner's cookie on a backend's answer, where one has to be set. A
    /// cache that kept it would make strangers the owners of one chat.
    pub(super) fn add_cookie(&self, head: &mut ResponseHeader) -> pingora::Result<()> {
        if let Some(value) = self.cookie_header() {
            head.append_header(SET_COOKIE, value)?;
            head.insert_header(CACHE_CONTROL, "private, no-store")?;
        }
        Ok(())
    }

    /// `Set-Cookie` for the owner's cookie: one for the browser, not one per chat.
    pub(super) fn cookie_header(&self) -> Option<HeaderValue> {
        let value = self.new_cookie.as_ref()?;
        let Owner::Cookie { secure } = self.route()?.channel.owner.as_ref()? else {
            return None;
        };
        let name = Owner::cookie_name(*secure);
        let secure = if *secure { "; Secure" } else { "" };
        HeaderValue::from_str(&format!(
            "{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}"
        ))
        .ok()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        patience::end();
    }
}
