//! pingora's hooks, each a line or two of the phases in this folder.

use std::os::fd::RawFd;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::prelude::HttpPeer;
use pingora::protocols::{ALPN, Digest};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::State;
use super::cork;
use super::exchange::Exchange;
use super::inject;
use super::items;
use super::patience;
use super::request::{self, Step};
use super::respond::{self, Reply};
use super::socket::{self, Sockets};
use super::stream::{self, Stream, Watch};
use super::{signed, verdict, webhook};
use crate::decision::{self, Candidate, ForAnswer};
use crate::message::AnswerView;
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
    /// In a box: pingora moves it from future to future.
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(Exchange::new(self.state.clone()))
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
                let (state, sockets) = (&self.state, &self.sockets);
                // In a box of its own: this future is made, and moved, for every request.
                Box::pin(socket::serve(state, sockets, session, exchange)).await?;
                Ok(true)
            }
            Step::Reply(reply) => {
                exchange.own_status = Some(reply.status.as_u16());
                reply.send(session).await?;
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
        // A retry begins anew.
        exchange.hold = Default::default();
        exchange.stream = None;
        exchange.watch = None;
        exchange.edit.rewind();
        if exchange.to_client() {
            inject::strip_connection(head);
        } else {
            inject::strip(head, &exchange.config, exchange.may_upgrade());
            inject::forwarded(head, session)?;
        }
        if let Some(outgoing) = &exchange.outgoing {
            webhook::readdress(head, outgoing)?;
        }
        if exchange.judged() {
            inject::ask_for_readable(head)?;
        }
        if exchange.body.is_some() {
            // The client was told to go on, and the whole body is here.
            head.remove_header(&EXPECT);
        }
        let now = self.state.clock.now();
        let injected = exchange.injected(now);
        let headers = injected.map(|injected| injected.headers()).transpose();
        for (name, value) in headers
            .map_err(|reason| withheld(exchange, reason))?
            .unwrap_or_default()
        {
            head.insert_header(name, value)?;
        }
        if let Some(edited) = &exchange.edited {
            head.remove_header(&TRANSFER_ENCODING);
            head.insert_header(CONTENT_LENGTH, edited.len())?;
        } else if exchange.edit.is_armed() {
            head.remove_header(&CONTENT_LENGTH);
            if head.version != Version::HTTP_2
                && !session
                    .req_header()
                    .headers
                    .contains_key("transfer-encoding")
            {
                head.insert_header("transfer-encoding", "chunked")?;
            }
        }
        signed::sign(head, session, exchange, now).map_err(|reason| withheld(exchange, reason))
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
        if head.status.is_informational() {
            // Early hints of a withheld answer would tell of it.
            session.set_ignore_info_resp(exchange.judged());
            return Ok(());
        }
        if exchange.judged()
            && let Some(route) = exchange.route().cloned()
        {
            let view = AnswerView {
                status: head.status,
                headers: &head.headers,
                body: None,
            };
            let asker = verdict::asker(&self.state, exchange).await;
            exchange.asker = asker;
            let cap = route.channel.inspection.max_body;
            let private = decision::needed_login(&route.channel, &view, asker.level);
            let candidate = match exchange.binds_from_answer() {
                true => Candidate::Yes,
                false => decision::candidate(&route.channel, &view, asker.level),
            };
            let candidate = match candidate {
                Candidate::No if stream::is_watched(&route) => decision::watched(&view),
                candidate => candidate,
            };
            let candidate = match candidate {
                Candidate::No
                    if items::waits(&self.state, exchange, &head.headers, asker).await =>
                {
                    Candidate::Yes
                }
                candidate => candidate,
            };
            match candidate {
                Candidate::No => {}
                Candidate::Yes => {
                    if session.req_header().method == Method::HEAD
                        || head.status == StatusCode::NOT_MODIFIED
                    {
                        // The body that would decide is not there; what tells of it goes.
                        verdict::forget_body(head);
                    }
                    return exchange.hold.begin(session, head, cap);
                }
                Candidate::Stream(_) if session.req_header().method == Method::HEAD => {
                    verdict::forget_body(head);
                }
                Candidate::Stream(format) => Stream::begin(session, head, exchange, format)?,
                Candidate::Opaque => Watch::begin(session, head, exchange)?,
                Candidate::Unreadable => match decision::answer(&route.channel, &view, asker) {
                    ForAnswer::Release { reason, strip } => {
                        exchange.reason = reason;
                        let watched = stream::is_watched(&route)
                            && decision::watched(&view) == Candidate::Opaque;
                        verdict::release_head(&route.channel, head, &strip, private)?;
                        if watched {
                            Watch::begin(session, head, exchange)?;
                        }
                    }
                    ForAnswer::Challenge { .. } | ForAnswer::Block(_) => {
                        let sized = head.headers.contains_key(CONTENT_LENGTH);
                        exchange.hold.begin(session, head, cap)?;
                        // What has no length may have no end to wait for.
                        return match sized {
                            true => Ok(()),
                            false => Err(Error::explain(WITHHELD, "the head decides")),
                        };
                    }
                },
            }
            if private && exchange.stream.is_none() {
                head.insert_header(CACHE_CONTROL, "private, no-store")?;
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
            Stream::chunk(&self.state, session, exchange, &mut rest, true)?;
            return Ok(Some(rest.unwrap_or_default()));
        }
        Watch::chunk(&self.state, exchange)?;
        Ok(exchange.hold.is_held().then(Bytes::new))
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        exchange: &mut Self::CTX,
        client_reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("Peer: {peer}"));
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
            tracing::debug!(request_id = %exchange.id(), %error, "the customer was gone");
        }
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
                exchange.reason = reason;
                self.state
                    .metrics
                    .failed(exchange.route().map(|route| &**route), reason);
                let cors = exchange
                    .route()
                    .and_then(|route| route.channel.cors.as_ref());
                let reply = Reply::refusal(reason, exchange.id())
                    .with_cors(cors, &session.req_header().headers);
                let reply = exchange.reply_with_cookie(reply);
                exchange.own_status = Some(reply.status.as_u16());
                reply.send(session).await
            }
        };
        if let Err(error) = written {
            tracing::debug!(request_id = %exchange.id(), %error, "the customer was gone");
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
            tracing::debug!(request_id = %exchange.id(), %error, "the customer was gone");
            session.set_keepalive(None);
        }
        let status = exchange
            .own_status
            .or_else(|| session.response_written().map(|head| head.status.as_u16()));
        let line = exchange.line(status, error.map(ToString::to_string));
        crate::telemetry::exchanged(&self.state.metrics, &line);
    }
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
        // A body that we read ourselves: pingora's clock may be over before ours.
        ErrorSource::Unset if *error.etype() == ErrorType::ReadTimedout => Reason::BodyTimeout,
        ErrorSource::Internal | ErrorSource::Unset => Reason::Internal,
    }
}
