//! A verification key, pinned to its algorithm.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

/// A verification key and the one algorithm it is for.
#[derive(Clone)]
pub struct PinnedKey {
    /// Its name; a token that names another key is not verified with it.
    pub kid: Option<Box<str>>,
    /// The only algorithm it verifies.
    pub algorithm: Algorithm,
    /// The key.
    pub key: DecodingKey,
}

impl PinnedKey {
    /// A shared secret, for HS256, HS384 or HS512; at least as long as the hash's output
    /// (RFC 7518, section 3.2).
    pub fn from_secret(
        kid: Option<&str>,
        algorithm: Algorithm,
        secret: &[u8],
    ) -> Result<Self, String> {
        let least = match algorithm {
            Algorithm::HS256 => 32,
            Algorithm::HS384 => 48,
            Algorithm::HS512 => 64,
            other => return Err(format!("{other:?} needs a public key, not a secret")),
        };
        if secret.len() < least {
            let found = secret.len();
            return Err(format!(
                "{algorithm:?} needs a secret of at least {least} bytes, this one has {found}"
            ));
        }
        Ok(Self {
            kid: kid.map(Into::into),
            algorithm,
            key: DecodingKey::from_secret(secret),
        })
    }

    /// A public key in PEM; RS*, PS*, ES*, EdDSA. Garbage, private keys and keys of another
    /// family are refused with a message that says which.
    pub fn from_pem(kid: Option<&str>, algorithm: Algorithm, pem: &[u8]) -> Result<Self, String> {
        if algorithm.family() == AlgorithmFamily::Hmac {
            return Err(format!("{algorithm:?} needs a secret, not a public key"));
        }
        one_public_key(pem)?;
        let key = match algorithm.family() {
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
            _ => DecodingKey::from_ed_pem(pem),
        };
        let key = key.map_err(|_| format!("this is not a public key for {algorithm:?}"))?;
        Self::new(kid, algorithm, key)
    }

    /// A public key of the right kind and strength: RSA of 2048 to 4096 bits, a
    /// point on the curve of the algorithm.
    pub(crate) fn new(
        kid: Option<&str>,
        algorithm: Algorithm,
        key: DecodingKey,
    ) -> Result<Self, String> {
        let fits = match Jwk::from_decoding_key(&key, None).map(|jwk| jwk.algorithm) {
            Ok(AlgorithmParameters::RSA(rsa)) => {
                rsa_strength(&rsa.n, &rsa.e)?;
                algorithm.family() == AlgorithmFamily::Rsa
            }
            Ok(AlgorithmParameters::EllipticCurve(point)) => matches!(
                (point.curve, algorithm),
                (EllipticCurve::P256, Algorithm::ES256) | (EllipticCurve::P384, Algorithm::ES384)
            ),
            Ok(AlgorithmParameters::OctetKeyPair(_)) => algorithm == Algorithm::EdDSA,
            _ => false,
        };
        // An error here is a key that cannot be loaded; the empty signature just does not verify.
        if !fits || jsonwebtoken::crypto::verify("", b"", &key, algorithm).is_err() {
            return Err(format!("this is not a public key for {algorithm:?}"));
        }
        Ok(Self {
            kid: kid.map(Into::into),
            algorithm,
            key,
        })
    }

    /// Whether a token that names `kid` may be verified with this key: it has that
    /// name or none, or the token names none.
    pub fn answers_to(&self, kid: Option<&str>) -> bool {
        match (&self.kid, kid) {
            (Some(own), Some(asked)) => **own == *asked,
            _ => true,
        }
    }

    /// Whether `signature` (base64url) is this key's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.key, self.algorithm).unwrap_or(false)
    }
}

impl fmt::Debug for PinnedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedKey({:?}, {:?})", self.kid, self.algorithm)
    }
}

/// Refuses everything that is not exactly one public key, and says what it is.
fn one_public_key(pem: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(pem);
    let begin = |line: &str| {
        let label = line.trim().strip_prefix("-----BEGIN ")?;
        Some(label.strip_suffix("-----")?.to_string())
    };
    let labels: Vec<_> = text.lines().filter_map(begin).collect();
    let labels: Vec<_> = labels.iter().map(String::as_str).collect();
    match &*labels {
        ["PUBLIC KEY" | "RSA PUBLIC KEY"] => Ok(()),
        [] => Err("there is no PEM section in it".into()),
        several if several.iter().any(|label| label.ends_with("PRIVATE KEY")) => {
            Err("this is a private key; give the public key alone".into())
        }
        ["CERTIFICATE", ..] => {
            Err("this is a certificate; give its public key (openssl x509 -pubkey -noout)".into())
        }
        [other] => Err(format!("this is a PEM {other:?}, not a public key")),
        _ => Err("there is more than one PEM section in it; give one public key".into()),
    }
}

/// RSA as RFC 7518 (section 3.3) asks for it, and no longer than a verification may take.
fn rsa_strength(modulus: &str, exponent: &str) -> Result<(), String> {
    let number = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes[zeros..].to_vec()
    };
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    let modulus = number(modulus);
    let exponent = number(exponent);
    let top = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = modulus.len() * 8 - usize::try_from(top).unwrap_or(0);
    if !(2048..=4096).contains(&bits) {
        return Err(format!(
            "an RSA key must have 2048 to 4096 bits, this one has {bits}"
        ));
    }
    let usable = is_odd(&modulus) && is_odd(&exponent) && exponent != [1] && exponent.len() <= 4;
    match usable {
        true => Ok(()),
        false => Err("this RSA key's numbers are not those of an RSA key".into()),
    }
}
