//! What a login page does for chatgate, in Rust.
//!
//! Crates: `base64` 0.22, `getrandom` 0.3, `hex` 0.4, `hmac` 0.12, `http` 1,
//! `percent-encoding` 2, `serde_json` 1, `sha2` 0.10.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha2::Sha256;

/// One or two keys, without `whsec_` and decoded; the first one signs, all verify.
pub struct LoginPage {
    keys: Vec<Vec<u8>>,
}

/// The parameters of a login URL that chatgate made.
pub type Login = HashMap<String, String>;

impl LoginPage {
    /// Reads the keys as `chatgate keygen` writes them; `None` when one is none.
    pub fn new(keys: &[&str]) -> Option<Self> {
        let raw = |key: &&str| STANDARD.decode(key.strip_prefix("whsec_")?).ok();
        let keys: Vec<_> = keys.iter().map(raw).collect::<Option<_>>()?;
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// The parameters of a login URL; `None` unless chatgate made it. Before anything else.
    pub fn check_login_url(&self, raw_query: &str) -> Option<Login> {
        let (signed, signature) = raw_query.rsplit_once("&signature=")?;
        let expected = hex::decode(signature).ok()?;
        let message = format!("login-url:{signed}");
        self.keys
            .iter()
            .any(|key| mac(key, &message).verify_slice(&expected).is_ok())
            .then_some(())?;
        let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
        signed
            .split('&')
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((decoded(name)?, decoded(value)?))
            })
            .collect()
    }

    /// The request that tells chatgate how the login ended; any client can send it.
    /// `result` holds `outcome`, and as needed `subject`, `claims`, `level`.
    pub fn post_return(&self, login: &Login, result: Value) -> http::Result<http::Request<String>> {
        let body = members(login, result).to_string();
        let mut random = [0; 12];
        getrandom::fill(&mut random).expect("randomness");
        let id = format!("msg_{}", hex::encode(random));
        let now = seconds();
        let signature = STANDARD.encode(self.sign(&format!("{id}.{now}.{body}")));
        http::Request::post(&login["callback"])
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", format!("v1,{signature}"))
            .body(body)
    }

    /// The URL to redirect the customer's browser to. `result` holds `outcome`,
    /// and as needed `sub`, `claims`, `level`.
    pub fn browser_return(&self, login: &Login, result: Value) -> String {
        let now = seconds();
        let mut payload = members(login, result);
        payload["iat"] = now.into();
        payload["exp"] = (now + 120).into();
        let header = json!({"alg": "HS256", "typ": "JWT"});
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(payload));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(&message));
        format!("{}&return={message}.{signature}", login["callback"])
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        mac(&self.keys[0], message).finalize().into_bytes().to_vec()
    }
}

fn members(login: &Login, mut result: Value) -> Value {
    result["token"] = login["token"].as_str().into();
    result["channel"] = login["channel"].as_str().into();
    result
}

fn mac(key: &[u8], message: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(message.as_bytes());
    mac
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
