//! WebSockets on `message` routes: a relay of our own.
//!
//! pingora's filters run when bytes come by; on a socket that both ends leave idle
//! nothing could be pushed, and none be closed when its login ends. So the handshake
//! is answered here, once the request has gone the way of every request, and both
//! directions are relayed message by message.
//!
//! | file | what it is |
//! |---|---|
//! | `handshake` | is it one, may it come from there; what goes to the backend and back |
//! | `ends` | reading and writing both ends within one task |
//! | `relay` | the loop: who said what, who hears it, pings, the end |
//! | `customer` | a message of the customer's: whose it is, managed members off and on |
//! | `backend` | a message of the backend's: judged, challenged, withheld |
//! | `login` | what happens when a login begins to count, or ends |

mod backend;
mod customer;
mod ends;
mod handshake;
mod login;
mod relay;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use pingora::connectors::http::v1::Connector;
use pingora::http::ResponseHeader;
use pingora::protocols::ALPN;
use pingora::protocols::http::v1::client;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};

use super::State;
use super::exchange::Exchange;
use super::failure;
use super::peer::Peers;
use crate::channel::Route;
use crate::reason::Reason;
use ends::{Backend, Customer};
use relay::Relay;

pub(super) use handshake::{asked, check, check_head};

/// Opens connections for sockets. None is used twice.
#[derive(Default)]
pub(super) struct Sockets(OnceLock<Connector>);

/// Opens the socket of an admitted request and relays until it ends.
pub(super) async fn serve(
    state: &Arc<State>,
    sockets: &Sockets,
    session: &mut Session,
    exchange: &mut Exchange,
) -> pingora::Result<()> {
    let (backend, answer) = match open(state, sockets, session, exchange).await {
        Ok(opened) => opened,
        Err(refusal) => return refuse(state, session, exchange, refusal).await,
    };
    let Some(relay) = Relay::new(state, exchange) else {
        return refuse(state, session, exchange, Reason::Internal.into()).await;
    };
    let cap = relay.cap();
    session
        .as_downstream_mut()
        .write_response_header(Box::new(answer))
        .await?;
    let backend = Backend::new(backend, cap);
    let _open = state.metrics.socket(&relay.channel.name);
    match relay.run(Customer::new(session, cap), backend).await {
        true => Ok(()),
        // pingora would wait until a customer who does not read has read all.
        false => Error::e_explain(ErrorType::ConnectionClosed, "the socket was cut")
            .map_err(|error: Box<Error>| error.into_down()),
    }
}

/// Why no socket was opened, and the status that says it.
struct Refusal {
    reason: Reason,
    status: StatusCode,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        let status = reason.status();
        Self { reason, status }
    }
}

async fn refuse(
    state: &State,
    session: &mut Session,
    exchange: &mut Exchange,
    refusal: Refusal,
) -> pingora::Result<()> {
    let Refusal { reason, status } = refusal;
    let route = exchange.route().map(|route| &**route);
    state.metrics.failed(route, reason);
    let mut reply = exchange.refusal(&session.req_header().headers, reason);
    reply.status = status;
    exchange.send(session, reply).await
}

/// Connects to the backend and shakes hands with it.
async fn open(
    state: &State,
    sockets: &Sockets,
    session: &Session,
    exchange: &Exchange,
) -> Result<(client::HttpSession, ResponseHeader), Refusal> {
    let route = exchange.route().ok_or(Reason::Internal)?;
    let head = handshake::request(session, exchange, state.clock.now())?;
    let limit = route.read_timeout.unwrap_or(route.upstream.read_timeout);
    let shaken = tokio::time::timeout(limit, async {
        let mut backend = sockets.connect(&state.peers, route).await?;
        backend.write_request_header(Box::new(head)).await?;
        for _ in 0..=handshake::MOST_INTERIM {
            backend.read_response().await?;
            let status = backend.get_status();
            if status.is_some_and(|status| status.as_u16() == 101 || !status.is_informational()) {
                break;
            }
        }
        Ok::<_, Box<Error>>(backend)
    });
    let backend = match shaken.await {
        Ok(Ok(backend)) => backend,
        Ok(Err(error)) => {
            tracing::warn!(request_id = %exchange.id(), error = failure::told(&error), "no socket to the upstream");
            return Err(Reason::UpstreamUnavailable.into());
        }
        Err(_) => return Err(Reason::UpstreamTimeout.into()),
    };
    let theirs = backend.resp_header().ok_or(Reason::UpgradeRefused)?;
    match handshake::answer(exchange, theirs) {
        Ok(answer) => Ok((backend, answer)),
        // Its status tells a client what to do; nothing else of it could be judged.
        Err(reason) => Err(Refusal {
            reason,
            status: match theirs.status {
                status if status.is_client_error() || status.is_server_error() => status,
                _ => reason.status(),
            },
        }),
    }
}

impl Sockets {
    async fn connect(&self, peers: &Peers, route: &Route) -> pingora::Result<client::HttpSession> {
        let mut peer = peers.of(route, false).await?;
        // There is no upgrade in HTTP/2.
        peer.options.alpn = ALPN::H1;
        peer.options.idle_timeout = Some(Duration::ZERO);
        let connector = self.0.get_or_init(|| Connector::new(None));
        let (session, _) = connector.get_http_session(&*peer).await?;
        Ok(session)
    }
}
