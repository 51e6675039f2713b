//! pingora's errors, in words that hold nothing of what a peer sent.
//!
//! Where bytes cannot be read, pingora's own words quote them: a withheld answer with its
//! cookies among them.

use std::error::Error as Cause;
use std::fmt::Write;
use std::io;

use pingora::ErrorType::{
    BindError, ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout, ConnectionClosed,
    InvalidCert, InvalidHTTPHeader, ReadTimedout, SocketError, TLSHandshakeFailure,
    TLSHandshakeTimedout, WriteTimedout,
};
use pingora::upstreams::peer::HttpPeer;
use pingora::{BError, Error};

/// Before an upstream in the context of an error.
const PEER: &str = "Peer: ";

/// The error, and the upstream that it is of.
pub(super) fn at(error: BError, peer: &HttpPeer) -> BError {
    error.more_context(format!("{PEER}{peer}"))
}

/// What failed, on which side, with whom, and why. The rest is left out.
pub(super) fn told(error: &Error) -> String {
    let mut text = format!("{} {}", error.source_str(), error.reason_str());
    let mut outer = error;
    loop {
        if let Some(context) = outer.context.as_ref().filter(|context| {
            // What is not put together at run time holds nothing that came.
            !context.is_owned() || context.as_str().starts_with(PEER) || is_of_connection(outer)
        }) {
            let _ = write!(text, "; {context}");
        }
        let Some(cause) = outer.cause.as_deref() else {
            break;
        };
        let Some(inner) = cause.downcast_ref::<BError>() else {
            if let Some(said) = without_bytes(outer, cause) {
                let _ = write!(text, "; {said}");
            }
            break;
        };
        if inner.etype != outer.etype {
            let _ = write!(text, "; {}", inner.reason_str());
        }
        outer = inner;
    }
    text.trim_start().to_owned()
}

/// Whether it is about a connection, not about what came on it: addresses, times, numbers.
fn is_of_connection(error: &Error) -> bool {
    matches!(
        error.etype,
        BindError
            | ConnectError
            | ConnectNoRoute
            | ConnectRefused
            | ConnectTimedout
            | ConnectionClosed
            | InvalidCert
            | ReadTimedout
            | SocketError
            | TLSHandshakeFailure
            | TLSHandshakeTimedout
            | WriteTimedout
    )
}

/// A cause, where its words are known to be the same whatever came. Those of HTTP/2 quote
/// what a peer says when it goes away.
fn without_bytes(error: &Error, cause: &(dyn Cause + Send + Sync + 'static)) -> Option<String> {
    // The parser of heads says which rule was broken.
    if error.etype == InvalidHTTPHeader || is_of_connection(error) {
        return Some(cause.to_string());
    }
    let error = cause.downcast_ref::<io::Error>()?;
    Some(match error.get_ref() {
        None => error.to_string(),
        Some(_) => error.kind().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora::ErrorType::{H2Error, ReadError};

    #[test]
    fn what_a_peer_sent_is_left_out() {
        let quoted = || "buf: HTTP/1.1 200 OK\\r\\nSet-Cookie: canary".to_owned();
        let mut error = Error::because(InvalidHTTPHeader, quoted(), "invalid header name");
        error.as_up();
        let peer = HttpPeer::new("127.0.0.1:80", false, String::new());
        let said = told(&at(error, &peer));
        for word in [
            "Upstream InvalidHTTPHeader",
            "127.0.0.1:80",
            "invalid header name",
        ] {
            assert!(said.contains(word), "{said}");
        }
        assert!(!said.contains("canary"), "{said}");

        for error in [
            Error::explain(InvalidHTTPHeader, quoted()),
            Error::explain(ReadError, quoted()),
            Error::because(H2Error, "while reading h2 header", quoted()),
            Error::because(ReadError, "reading", io::Error::other(quoted())),
        ] {
            assert!(!told(&error).contains("canary"), "{error}");
            assert!(!told(&error.more_context("more")).contains("canary"));
        }
    }

    #[test]
    fn what_an_operator_needs_is_said() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let text = "Fail to connect to 127.0.0.1:1".to_owned();
        let error = Error::because(ConnectRefused, text, refused);
        let said = told(&error);
        assert_eq!(
            said,
            "ConnectRefused; Fail to connect to 127.0.0.1:1; connection refused"
        );
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let error = Error::because(ReadError, "while reading", reset);
        let said = told(&error.more_context("again"));
        assert_eq!(said, "ReadError; again; while reading; connection reset");
    }
}
