//! The private listener: carries out what [`crate::admin`] reads, to the very end of the
//! process.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::Response;
use pingora::apps::http_app::{HttpServer, ServeHttp};
use pingora::protocols::http::ServerSession;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services;
use pingora::services::listening::Service;
use tokio::sync::watch;

use super::State;
use super::endpoints;
use crate::admin;
use crate::interaction::Key;

/// The private listener.
pub(super) struct Admin(Arc<State>);

impl Admin {
    /// It, at this address.
    pub(super) fn service(
        state: &Arc<State>,
        address: SocketAddr,
    ) -> impl services::Service + use<> {
        let app = HttpServer::new_app(Self(state.clone()));
        let mut service = Service::new("admin".into(), app);
        service.add_tcp(&address.to_string());
        UntilTheEnd {
            service,
            never: watch::Sender::new(false),
        }
    }

    /// Takes the identity away. Whether there was such an interaction.
    async fn revoke(&self, key: &Key) -> bool {
        let config = self.0.config.load_full();
        let Some(channel) = config.channel(key.channel()) else {
            return false;
        };
        let revoked = endpoints::revoke(&self.0, channel, std::slice::from_ref(key)).await;
        let revoked = revoked.is_ok_and(|revoked| revoked > 0);
        tracing::info!(channel = %channel.name, revoked, "revocation");
        revoked
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let Self(state) = self;
        let head = session.req_header();
        let ready = !*state.draining.borrow();
        state.metrics.gauges(state.store.len(), state.store.bytes());
        let asked = admin::Asked::read(&head.method, head.uri.path());
        let revoked = match &asked {
            admin::Asked::Revoke(key) => self.revoke(key).await,
            _ => false,
        };
        admin::respond(&asked, ready, revoked, &state.metrics)
    }
}

/// A service that pingora does not stop when the drain begins: as long as requests
/// are under way somebody has to answer `/readyz` and `/metrics`.
struct UntilTheEnd {
    service: Service<HttpServer<Admin>>,
    never: watch::Sender<bool>,
}

#[async_trait]
impl services::Service for UntilTheEnd {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        _shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        let shutdown = self.never.subscribe();
        services::Service::start_service(&mut self.service, fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        services::Service::name(&self.service)
    }
}
