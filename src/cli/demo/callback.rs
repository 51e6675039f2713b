//! Where the bot sends the answers that do not go by the HTTP answer: to chatgate's
//! webhook route, signed.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpStream;

use crate::secret::Secret;

/// The path of the webhook route.
const PATH: &str = "/client/messages";
/// How long the bot thinks.
const PAUSE: Duration = Duration::from_millis(150);

/// The address that the bot was given as the client's, and the key that it shares with it.
pub struct Callback {
    address: SocketAddr,
    key: Secret,
}

impl Callback {
    /// The webhook route of the gateway at this address.
    pub fn new(address: SocketAddr, key: Secret) -> Self {
        Self { address, key }
    }

    /// Sends a message on the channel whose paths begin like this, a moment later.
    pub fn send(&self, prefix: &'static str, message: &Value) {
        let (address, body) = (self.address, message.to_string());
        let signature = self.signature(body.as_bytes());
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE).await;
            match post(address, prefix, body.into(), &signature).await {
                Ok(status) if status.is_success() => {}
                Ok(status) => tracing::warn!(%status, "the bot's webhook was refused"),
                Err(error) => tracing::warn!(error, "the bot's webhook did not arrive"),
            }
        });
    }

    fn signature(&self, body: &[u8]) -> String {
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.key.expose());
        let hash = mac.map(|mac| mac.chain_update(body).finalize().into_bytes());
        format!("sha256={}", hash.map(hex::encode).unwrap_or_default())
    }
}

async fn post(
    address: SocketAddr,
    prefix: &str,
    body: Bytes,
    signature: &str,
) -> Result<StatusCode, Box<dyn Error + Send + Sync>> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut client, connection) = hyper::client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    let request = Request::post(format!("{prefix}{PATH}"))
        .header(HOST, address.to_string())
        .header(CONTENT_TYPE, "application/json")
        .header("X-Bot-Signature", signature)
        .body(Full::new(body))?;
    Ok(client.send_request(request).await?.status())
}
