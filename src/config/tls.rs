//! Certificates and keys in PEM files, checked before anybody serves with them.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::reader::Node;

impl Node<'_> {
    /// `{ certificate = "chain.pem", key = "key.pem" }`: both readable, and a pair.
    pub(super) fn certificate(self) -> Option<(PathBuf, PathBuf)> {
        let table = self.table()?;
        let (certificate, key) = (table.need("certificate"), table.need("key"));
        let (certificate, key) = (certificate?, key?);
        let chain = certificate.file().and_then(|pem| certificate.chain(&pem));
        let private = key.file().and_then(|pem| key.private(&pem));
        let (chain, private) = (chain?, private?);
        if let Err(error) = CertifiedKey::from_der(chain, private, &default_provider()) {
            match error {
                rustls::Error::InconsistentKeys(_) => {
                    key.error("this key does not belong to the certificate")
                }
                error => key.error(format!("certificate and key cannot be used: {error}")),
            }
            return None;
        }
        Some((certificate.path()?, key.path()?))
    }

    /// A file with PEM certificates to trust.
    pub(super) fn roots(self) -> Option<Vec<u8>> {
        let pem = self.file()?;
        let mut store = RootCertStore::empty();
        for certificate in self.chain(&pem)? {
            if let Err(error) = store.add(certificate) {
                self.error(format!(
                    "a certificate in this file cannot be used: {error}"
                ));
                return None;
            }
        }
        Some(pem)
    }

    fn chain(self, pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match chain {
            Ok(chain) if !chain.is_empty() => return Some(chain),
            Ok(_) => self.error("there is no PEM certificate in this file"),
            Err(_) => self.error("the PEM in this file is broken"),
        }
        None
    }

    fn private(self, pem: &[u8]) -> Option<PrivateKeyDer<'static>> {
        let key = PrivateKeyDer::from_pem_slice(pem);
        if key.is_err() {
            self.error("there is no PEM private key in this file");
        }
        key.ok()
    }
}
