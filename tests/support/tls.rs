//! One self-signed certificate for `localhost` and `127.0.0.1`, and what trusts it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The certificate, on disk and in memory.
pub struct Certificate {
    /// PEM file with the certificate; also what a client has to trust.
    pub chain: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
    chain_pem: String,
    key_pem: String,
    _directory: TempDir,
}

/// Made once per process.
pub fn certificate() -> &'static Certificate {
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    CERTIFICATE.get_or_init(|| {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (chain, key) = (
            directory.path().join("chain.pem"),
            directory.path().join("key.pem"),
        );
        let (chain_pem, key_pem) = (made.cert.pem(), made.signing_key.serialize_pem());
        std::fs::write(&chain, &chain_pem).unwrap();
        std::fs::write(&key, &key_pem).unwrap();
        Certificate {
            chain,
            key,
            chain_pem,
            key_pem,
            _directory: directory,
        }
    })
}

/// A server's side of TLS, offering `alpn`.
pub fn server(alpn: &[&str]) -> Arc<ServerConfig> {
    let certificate = certificate();
    let chain = vec![CertificateDer::from_pem_slice(certificate.chain_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.into()
}

/// A client's side of TLS that trusts the certificate, offering `alpn`.
pub fn client(alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(certificate().chain_pem.as_bytes()).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.into()
}
