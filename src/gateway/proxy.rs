//! pingora's hooks: when which of the phases in this folder has its turn.

use std::os::fd::RawFd;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::prelude::HttpPeer;
use pingora::protocols::{ALPN, Digest};
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::State;
use super::cork;
use super::exchange::Exchange;
use super::failure;
use super::head::{self, Fate};
use super::outgoing;
use super::patience;
use super::request::{self, Step};
use super::respond;
use super::socket::{self, Sockets};
use super::stream::{self, Stream, Watch};
use super::verdict;
use crate::reason::Reason;

/// The error by which a hook withdraws an answer whose verdict is already known.
const WITHHELD: ErrorType = ErrorType::Custom("withheld");

/// The gateway as pingora sees it.
pub(super) struct Proxy {
    pub(super) state: Arc<State>,
    pub(super) sockets: Sockets,
}

#[async_trait]
impl ProxyHttp for Proxy {
    /// Boxed: pingora moves it from future to future.
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(Exchange::new(&self.state))
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {
        // No compression: an answer goes on as the backend made it.
    }

    async fn early_request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        patience::begin(session, &exchange.config.timeouts);
        Ok(())
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Self::CTX,
    ) -> Result<bool> {
        match request::arrive(&self.state, session, exchange).await? {
            Step::Forward => Ok(false),
            Step::Socket => {
                let served = socket::serve(&self.state, &self.sockets, session, exchange);
                // Boxed: keeps the common future small.
                Box::pin(served).await?;
                Ok(true)
            }
            Step::Reply(reply) => {
                exchange.send(session, reply).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        exchange: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        let streams = exchange.judged() && stream::is_awaited(&session.req_header().headers);
        match exchange.route() {
            Some(route) => self.state.peers.of(route, streams).await,
            None => Error::e_explain(ErrorType::InternalError, "no route"),
        }
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        _reused: bool,
        peer: &HttpPeer,
        connection: RawFd,
        _digest: Option<&Digest>,
        _exchange: &mut Self::CTX,
    ) -> Result<()> {
        // On HTTP/2 others write to it, too.
        if peer.options.alpn == ALPN::H1 && !session.is_body_empty() {
            cork::cork(connection);
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        head: &mut RequestHeader,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        exchange.rewind();
        let now = self.state.clock.now();
        let prepared = outgoing::prepare(head, session, exchange, now)?;
        prepared.map_err(|reason| withheld(exchange, reason))
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        if let Some(whole) = exchange.whole() {
            if body.is_some() {
                *body = Some(whole.clone());
            }
            return Ok(());
        }
        let length = body.as_ref().map_or(0, Bytes::len);
        if length > 0
            && session.response_written().is_none()
            && !exchange.pace.took(length, exchange.config.timeouts.body)
        {
            return Err(withheld(exchange, Reason::BodyTimeout));
        }
        let config = exchange.config.clone();
        let headers = &session.req_header().headers;
        let edited = exchange.edit.chunk(&config, headers, body, end);
        edited.map_err(|reason| withheld(exchange, reason))
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        if head.status == StatusCode::SWITCHING_PROTOCOLS && exchange.judged() {
            // Nobody asked for that: what follows is no answer that could be judged.
            return Err(withheld(exchange, Reason::UpstreamUnavailable));
        }
        if head.status.is_informational() {
            // Early hints of a withheld answer would tell of it.
            session.set_ignore_info_resp(exchange.judged());
            return Ok(());
        }
        if exchange.judged() {
            let method = &session.req_header().method;
            match head::judge(&self.state, method, head, exchange).await? {
                Fate::Pass => {}
                Fate::Hold(cap) => return exchange.hold.begin(session, head, cap),
                Fate::Withhold => {
                    exchange.hold.begin(session, head, 0)?;
                    exchange.hold.cut();
                    return Err(Error::explain(WITHHELD, "the head decides"));
                }
                Fate::Stream(format) => Stream::begin(session, head, exchange, format)?,
                Fate::Watch => Watch::begin(session, head, exchange)?,
            }
        }
        exchange.add_cookie(head)?;
        let old = session.req_header().version == Version::HTTP_10;
        match old && !head.headers.contains_key(CONTENT_LENGTH) {
            true => respond::without_chunks(session, head).await,
            false => Ok(()),
        }
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Self::CTX,
    ) -> Result<Option<std::time::Duration>> {
        if exchange.stream.is_some() {
            Stream::chunk(&self.state, session, exchange, body, end)?;
            return Ok(None);
        }
        Watch::chunk(&self.state, exchange)?;
        let Some(last) = exchange.hold.take(body) else {
            return Ok(None);
        };
        // Over the cap: what is decided is decided now, with no more of the body.
        if let Some(released) = verdict::release_oversize(&self.state, session, exchange, &last)? {
            *body = Some(released);
            return Ok(None);
        }
        Err(Error::explain(
            WITHHELD,
            "the answer is longer than the inspection cap",
        ))
    }

    async fn response_trailer_filter(
        &self,
        session: &mut Session,
        _trailers: &mut HeaderMap,
        exchange: &mut Self::CTX,
    ) -> Result<Option<Bytes>> {
        // Of a judged answer, trailers do not pass.
        if exchange.stream.is_some() {
            let mut rest = None;
            // An error here would only be logged, and the trailers pass. It ends anyway.
            let _ = Stream::chunk(&self.state, session, exchange, &mut rest, true);
            return Ok(Some(rest.unwrap_or_default()));
        }
        let ended = Watch::chunk(&self.state, exchange).is_err();
        Ok((ended || exchange.hold.is_held()).then(Bytes::new))
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        exchange: &mut Self::CTX,
        client_reused: bool,
    ) -> Box<Error> {
        let mut error = failure::at(error, peer);
        let decided = [WITHHELD, stream::ENDED].contains(error.etype()) || exchange.broken;
        if decided
            || !session.req_header().method.is_idempotent()
            || session.as_ref().retry_buffer_truncated()
        {
            error.set_retry(false);
        } else {
            error.retry.decide_reuse(client_reused);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Self::CTX,
    ) -> FailToProxy {
        let dead = *error.esource() == ErrorSource::Downstream
            && matches!(
                error.etype(),
                ErrorType::WriteError
                    | ErrorType::WriteTimedout
                    | ErrorType::ReadError
                    | ErrorType::ConnectionClosed
            );
        let begun = session
            .response_written()
            .is_some_and(|head| !head.status.is_informational());
        if begun
            && *error.etype() == stream::ENDED
            && let Err(error) = Stream::close(session, exchange).await
        {
            gone(exchange, &error);
        }
        // What is written from here on is not of it.
        Stream::settle(session, exchange).await;
        if dead || begun || exchange.broken {
            return FailToProxy {
                error_code: 0,
                can_reuse_downstream: false,
            };
        }
        session.set_keepalive(None);
        let held = exchange.hold.end();
        let written = match held {
            Some(held) if *error.etype() == WITHHELD => {
                verdict::carry_out(&self.state, session, exchange, *held).await
            }
            _ => {
                let reason = exchange.withheld.unwrap_or_else(|| reason(error));
                let route = exchange.route().map(|route| &**route);
                if reason.status().is_server_error() {
                    self.state.metrics.failed(route, reason);
                }
                exchange.refuse(session, reason).await
            }
        };
        if let Err(error) = written {
            gone(exchange, &error);
        }
        FailToProxy {
            error_code: exchange.own_status.unwrap_or(0),
            can_reuse_downstream: false,
        }
    }

    fn suppress_error_log(
        &self,
        _session: &Session,
        _exchange: &Self::CTX,
        _error: &Error,
    ) -> bool {
        // The exchange's own line says it, in our words.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        exchange: &Self::CTX,
        error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        let error = failure::told(error);
        tracing::warn!(request_id = %exchange.id(), error, "the upstream is asked once more");
        true
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&Error>,
        exchange: &mut Self::CTX,
    ) {
        if error.is_none()
            && let Some(held) = exchange.hold.end()
            && let Err(error) = verdict::carry_out(&self.state, session, exchange, *held).await
        {
            gone(exchange, &error);
            session.set_keepalive(None);
            if session.is_http2() {
                // Otherwise pingora ends the stream as if that were the whole answer.
                session.as_downstream_mut().shutdown().await;
            }
        }
        Stream::settle(session, exchange).await;
        let status = exchange
            .own_status
            .or_else(|| session.response_written().map(|head| head.status.as_u16()));
        let line = exchange.line(status, error.map(failure::told));
        crate::telemetry::exchanged(&self.state.metrics, &line);
    }
}

/// Says that an answer could not be written.
fn gone(exchange: &Exchange, error: &Error) {
    let error = failure::told(error);
    tracing::debug!(request_id = %exchange.id(), error, "the customer was gone");
}

/// Notes why a hook gives an exchange up.
fn withheld(exchange: &mut Exchange, reason: Reason) -> Box<Error> {
    exchange.withheld = Some(reason);
    Error::explain(WITHHELD, reason.code())
}

/// What an outsider is told of an error of pingora's.
fn reason(error: &Error) -> Reason {
    let timeout = matches!(
        error.etype(),
        ErrorType::ConnectTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
            | ErrorType::TLSHandshakeTimedout
    );
    match error.esource() {
        ErrorSource::Upstream if timeout => Reason::UpstreamTimeout,
        ErrorSource::Upstream => Reason::UpstreamUnavailable,
        ErrorSource::Downstream if timeout => Reason::BodyTimeout,
        ErrorSource::Downstream => Reason::BadBody,
        ErrorSource::Internal | ErrorSource::Unset => Reason::Internal,
    }
}
