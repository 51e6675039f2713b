//! A WebSocket (RFC 6455) on which a site answers text messages, one by one.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::server::{self, MAX_BODY, Page, Parts, Site};
use crate::message::websocket::{Close, Decoder, Event, Side};

/// What is appended to the client's key (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Accepts the handshake; the talk goes on beside.
pub fn open(site: Arc<impl Site>, request: Request<Incoming>) -> Page {
    let accepted = request.headers().get(SEC_WEBSOCKET_KEY).and_then(accepted);
    let Some(accepted) = accepted else {
        return server::text(StatusCode::UPGRADE_REQUIRED, "WebSockets only.");
    };
    let path = request.uri().path().to_owned();
    tokio::spawn(async move {
        if let Ok(stream) = hyper::upgrade::on(request).await {
            talk(&*site, &path, TokioIo::new(stream)).await;
        }
    });
    let mut page = Page::new(Parts::default());
    *page.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = page.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    page
}

fn accepted(key: &HeaderValue) -> Option<HeaderValue> {
    let hash = Sha1::new()
        .chain_update(key.as_bytes())
        .chain_update(GUID)
        .finalize();
    HeaderValue::from_str(&STANDARD.encode(hash)).ok()
}

async fn talk(site: &impl Site, path: &str, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut decoder = Decoder::new(Side::Client, MAX_BODY);
    let mut input = BytesMut::new();
    while let Ok(1..) = stream.read_buf(&mut input).await {
        decoder.feed(&input);
        input.clear();
        let mut said = BytesMut::new();
        let goes_on = loop {
            let answer = match decoder.next() {
                Ok(None) => break true,
                Ok(Some(Event::Text(message))) => site
                    .hear(path, &message)
                    .map(|text| Event::Text(Bytes::from(text))),
                Ok(Some(Event::Ping(payload))) => Some(Event::Pong(payload)),
                Ok(Some(Event::Close(_))) => Some(Event::Close(None)),
                Ok(Some(Event::Piece(_))) => Some(Event::Close(Some(Close::new(1009, "")))),
                Ok(Some(Event::Binary(_) | Event::Pong(_))) => None,
                Err(violation) => Some(Event::Close(Some(Close::new(violation.code, "")))),
            };
            if let Some(answer) = answer {
                answer.encode(None, &mut said);
                if matches!(answer, Event::Close(_)) {
                    break false;
                }
            }
        };
        if stream.write_all(&said).await.is_err() || !goes_on {
            break;
        }
    }
    // Nobody is left to be told that it did not work.
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_key_of_the_rfc() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accepted(&key).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
