//! A client with a cookie jar, for the plot of a test.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use super::message::{Answer, Request};
use super::wire::Wire;

/// Opens a connection per request; follows no redirect.
pub struct Browser {
    address: SocketAddr,
    tls: bool,
    /// Cookies by name; their attributes are not looked at, except for their end.
    pub cookies: BTreeMap<String, String>,
    /// Headers sent with every request.
    pub headers: Vec<(String, String)>,
}

impl Browser {
    /// Over cleartext.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            tls: false,
            cookies: BTreeMap::new(),
            headers: Vec::new(),
        }
    }

    /// Over TLS.
    pub fn new_tls(address: SocketAddr) -> Self {
        Self {
            tls: true,
            ..Self::new(address)
        }
    }

    /// A `GET`. A complete URL loses its scheme and authority: there is only one server.
    pub fn get(&mut self, target: &str) -> Answer {
        self.send(Request::get(path_of(target)))
    }

    /// A `POST` of JSON.
    pub fn post(&mut self, target: &str, json: &Value) -> Answer {
        self.send(Request::post(path_of(target), json))
    }

    /// Any request, with the cookies along.
    pub fn send(&mut self, mut request: Request) -> Answer {
        request.headers.extend(self.headers.iter().cloned());
        if !self.cookies.is_empty() {
            let pairs = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            request = request.header("Cookie", &pairs.collect::<Vec<_>>().join("; "));
        }
        let mut wire = if self.tls {
            Wire::connect_tls(self.address)
        } else {
            Wire::connect(self.address)
        };
        let answer = wire.exchange(&request.header("Connection", "close"));
        assert!(answer.status != 0, "the connection ended without an answer");
        for cookie in answer.all("set-cookie") {
            self.keep(cookie);
        }
        answer
    }

    fn keep(&mut self, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        if parts.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0")) {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Path and query of a URL or a target.
pub fn path_of(url: &str) -> &str {
    let Some((_, rest)) = url.split_once("://") else {
        return url;
    };
    rest.find('/').map_or("/", |at| &rest[at..])
}

/// A parameter of a URL's query, decoded.
pub fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let query = query.split('#').next()?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| decode(value))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = after;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}
