//! `[upstream.NAME]`: backends.

use std::sync::Arc;
use std::time::Duration;

use super::names::identifier;
use super::reader::{Node, Table, Wrong};
use crate::channel::Upstream;
use crate::channel::upstream::Tls;

/// All backends, broken ones left out; they are reported.
pub(super) struct Upstreams {
    known: Vec<Arc<Upstream>>,
    /// Names of the broken ones too: a route that names one makes no second mistake.
    names: Vec<String>,
}

impl Upstreams {
    pub(super) fn read(root: &Table<'_>) -> Self {
        let table = root.need("upstream").and_then(Node::table);
        let nodes = table.as_ref().map(Table::entries).unwrap_or_default();
        Self {
            names: nodes.iter().map(|node| node.name.to_owned()).collect(),
            known: nodes
                .into_iter()
                .filter_map(upstream)
                .map(Arc::new)
                .collect(),
        }
    }

    /// The backend that a string names.
    pub(super) fn find(&self, node: Node<'_>) -> Option<Arc<Upstream>> {
        let text = node.text()?;
        let found = self.known.iter().find(|upstream| *upstream.name == *text);
        if found.is_none() && !self.names.iter().any(|name| name == text) {
            let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
            node.unknown_name(text, &names);
        }
        found.cloned()
    }

    pub(super) fn all(self) -> Vec<Arc<Upstream>> {
        self.known
    }
}

fn upstream(node: Node<'_>) -> Option<Upstream> {
    if let Err(wrong) = identifier(node.name) {
        node.error_key(wrong);
    }
    let table = node.table()?;
    let url = table.need("url");
    let http2 = table.get("http2").and_then(Node::boolean);
    let connect_timeout = table.get("connect_timeout").and_then(Node::duration);
    let read_timeout = table.get("read_timeout").and_then(Node::duration);
    let (ca, server_name, verify) = (
        table.get("ca"),
        table.get("server_name"),
        table.get("verify"),
    );
    let url = url.and_then(|node| Some((node.url()?, node)));
    if let Some((url, node)) = &url
        && (url.path.len() > 1 || url.query.is_some())
    {
        let help = "paths are forwarded as they come: name scheme, host and port only";
        node.error(Wrong::new("the URL of an upstream has no path", help));
    }
    let https = url.as_ref().is_none_or(|(url, _)| url.https);
    if !https {
        for node in [ca, server_name, verify].into_iter().flatten() {
            node.error_key(format!("`{}` has a meaning with https only", node.name));
        }
    }
    let checked = verify.and_then(Node::boolean).unwrap_or(true);
    if let Some(verify) = verify.filter(|_| !checked) {
        verify.warn(Wrong::new(
            "anybody on the way can pretend to be this backend",
            "name its own `ca` instead",
        ));
        if let Some(ca) = ca {
            ca.clash(
                verify,
                "`ca` does nothing where certificates are not checked",
            );
        }
    }
    let ca = ca.and_then(Node::roots);
    let server_name = server_name.and_then(|node| {
        node.parse(|text| super::url::host(text).ok_or("this is not a host name or address"))
    });
    let (url, _) = url?;
    let tls = url.https.then(|| Tls {
        server_name: server_name.unwrap_or_else(|| url.host.clone()),
        ca,
        verify: checked,
    });
    Some(Upstream {
        name: node.name.into(),
        host: url.host,
        port: url.port.unwrap_or(if tls.is_some() { 443 } else { 80 }),
        tls,
        http2: http2.unwrap_or(false),
        connect_timeout: connect_timeout.unwrap_or(Duration::from_secs(5)),
        read_timeout: read_timeout.unwrap_or(Duration::from_secs(60)),
    })
}
