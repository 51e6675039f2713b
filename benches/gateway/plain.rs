//! What chatgate is compared with: pingora, and nothing else. Server settings and
//! time limits are those of `src/gateway/server.rs` and `src/gateway/peer.rs`; what a
//! connection buffers is pingora's own choice.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use pingora::Result;
use pingora::modules::http::HttpModules;
use pingora::prelude::HttpPeer;
use pingora::proxy::{ProxyHttp, ProxyServiceBuilder, Session};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};

struct Plain(HttpPeer);

#[async_trait]
impl ProxyHttp for Plain {
    type CTX = ();

    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

/// Serves until the process is killed.
pub fn serve(address: SocketAddr, backend: SocketAddr) {
    let conf = ServerConf {
        threads: 1,
        work_stealing: false,
        upstream_keepalive_pool_size: 512,
        ..ServerConf::default()
    };
    let mut peer = HttpPeer::new(backend, false, String::new());
    let options = &mut peer.options;
    options.connection_timeout = Some(Duration::from_secs(5));
    options.total_connection_timeout = Some(Duration::from_secs(10));
    options.read_timeout = Some(Duration::from_secs(60));
    options.write_timeout = Some(Duration::from_secs(60));
    options.idle_timeout = Some(Duration::from_secs(60));

    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = ProxyServiceBuilder::new(&server.configuration, Plain(peer)).build();
    service.add_tcp(&address.to_string());
    server.add_service(service);
    server.run(RunArgs::default());
}
