//! A listener's certificate, read again on reload while the listener stays open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora::tls::sign::CertifiedKey;
use pingora::tls::{
    ClientHello, CryptoProvider, ResolvesServerCert, install_default_crypto_provider,
    load_certs_and_key_files,
};

/// A certificate chain and its key.
#[derive(Debug)]
pub(super) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads both files. The error names them and says what is wrong.
    pub(super) fn load(chain: &Path, key: &Path) -> Result<Self, String> {
        Ok(Self {
            chain: chain.to_owned(),
            key: key.to_owned(),
            current: ArcSwap::from_pointee(read(chain, key)?),
        })
    }

    /// Reads both files again, without using them yet.
    pub(super) fn read_again(&self) -> Result<CertifiedKey, String> {
        read(&self.chain, &self.key)
    }

    /// Uses this one from the next handshake on.
    pub(super) fn set(&self, fresh: CertifiedKey) {
        self.current.store(Arc::new(fresh));
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(chain: &Path, key: &Path) -> Result<CertifiedKey, String> {
    install_default_crypto_provider();
    let provider = CryptoProvider::get_default().ok_or("no cryptography is installed")?;
    let place = || format!("{} with {}", chain.display(), key.display());
    let loaded = load_certs_and_key_files(&chain.to_string_lossy(), &key.to_string_lossy())
        .map_err(|error| format!("{}: {error}", place()))?;
    // pingora takes a file of garbage for one without certificates.
    let (certificates, key) =
        loaded.ok_or_else(|| format!("{}: no certificate or no private key in there", place()))?;
    CertifiedKey::from_der(certificates, key, provider)
        .map_err(|error| format!("{}: {error}", place()))
}
