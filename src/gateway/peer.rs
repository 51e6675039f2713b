//! How to reach a backend: addresses, TLS, time limits.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use pingora::prelude::HttpPeer;
use pingora::protocols::ALPN;
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{WrappedX509, parse_x509};
use pingora::{Error, ErrorType, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::channel::{Route, Upstream};

/// How long a looked-up address counts.
const ADDRESS_COUNTS: Duration = Duration::from_secs(10);

/// Addresses of backends that are configured by name.
#[derive(Default)]
pub(super) struct Peers {
    looked_up: DashMap<(Box<str>, u16), (SocketAddr, Instant)>,
    authorities: DashMap<Box<str>, (Vec<u8>, Arc<CaType>)>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peers")
    }
}

impl Peers {
    /// The peer of a route. A client that `streams` waits for messages, which may be
    /// long in coming; how long the backend may keep silent is known before its answer
    /// is.
    pub(super) async fn of(&self, route: &Route, streams: bool) -> Result<Box<HttpPeer>> {
        let upstream = &*route.upstream;
        let address = self.address(upstream).await?;
        let (tls, name) = match &upstream.tls {
            Some(tls) => (true, tls.server_name.to_string()),
            None => (false, String::new()),
        };
        let mut peer = HttpPeer::new(address, tls, name);
        let usual = match streams {
            true => route
                .channel
                .streaming
                .idle_timeout
                .max(upstream.read_timeout),
            false => upstream.read_timeout,
        };
        let read_timeout = route.read_timeout.unwrap_or(usual);
        let options = &mut peer.options;
        options.connection_timeout = Some(upstream.connect_timeout);
        options.total_connection_timeout = Some(upstream.connect_timeout * 2);
        options.read_timeout = Some(read_timeout);
        options.write_timeout = Some(route.read_timeout.unwrap_or(upstream.read_timeout));
        options.idle_timeout = Some(Duration::from_secs(60));
        options.alpn = match (upstream.http2, tls) {
            (true, true) => ALPN::H2H1,
            (true, false) => ALPN::H2,
            (false, _) => ALPN::H1,
        };
        if let Some(tls) = &upstream.tls {
            options.verify_cert = tls.verify;
            options.verify_hostname = tls.verify;
            options.ca = tls
                .ca
                .as_deref()
                .map(|pem| self.authorities(&upstream.name, pem))
                .transpose()?;
        }
        Ok(Box::new(peer))
    }

    async fn address(&self, upstream: &Upstream) -> Result<SocketAddr> {
        if let Ok(address) = upstream.host.parse::<IpAddr>() {
            return Ok((address, upstream.port).into());
        }
        let key = (upstream.host.clone(), upstream.port);
        if let Some(known) = self.looked_up.get(&key).map(|entry| *entry)
            && known.1.elapsed() < ADDRESS_COUNTS
        {
            return Ok(known.0);
        }
        let found = tokio::net::lookup_host((&*upstream.host, upstream.port)).await;
        match found.ok().and_then(|mut addresses| addresses.next()) {
            Some(address) => {
                self.looked_up.insert(key, (address, Instant::now()));
                Ok(address)
            }
            // A name server that is down takes no backend down that was reached before.
            None => match self.looked_up.get(&key) {
                Some(known) => Ok(known.0),
                None => Err(Error::explain(
                    ErrorType::ConnectError,
                    "no address is known for the upstream",
                )
                .into_up()),
            },
        }
    }

    /// The roots of an upstream, parsed once for each file content.
    fn authorities(&self, upstream: &str, pem: &[u8]) -> Result<Arc<CaType>> {
        if let Some(known) = self.authorities.get(upstream)
            && known.0 == pem
        {
            return Ok(known.1.clone());
        }
        let mut roots = Vec::new();
        for root in CertificateDer::pem_slice_iter(pem) {
            let root = root.map_err(|error| {
                Error::explain(
                    ErrorType::InvalidCert,
                    format!("upstream {upstream}: {error:?}"),
                )
                .into_up()
            })?;
            roots.push(WrappedX509::new(root.to_vec(), parse_x509));
        }
        let roots: Arc<CaType> = roots.into();
        self.authorities
            .insert(upstream.into(), (pem.to_owned(), roots.clone()));
        Ok(roots)
    }
}
