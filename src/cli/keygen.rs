//! `chatgate keygen`: makes keys.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey, KeypairBytes};
use zeroize::{Zeroize, Zeroizing};

use super::say;
use crate::login::SecurityKeys;
use crate::secret;

/// Make a security key for a channel's login, or another kind of key.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// A private key for signed assertions instead, in PEM (PKCS #8)
    #[arg(
        long,
        value_name = "ALGORITHM",
        num_args = 0..=1,
        default_missing_value = "es256",
        conflicts_with = "secret"
    )]
    pub assertion: Option<Algorithm>,
    /// A secret for HMAC proofs and HS256 to HS512 tokens instead
    #[arg(long)]
    pub secret: bool,
    /// Write the key to a new file that its owner alone can read, in a directory
    /// that is made if need be; of a private key, the public one is then printed
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What an assertion is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Algorithm {
    /// ECDSA on P-256
    Es256,
    /// Ed25519
    Eddsa,
}

/// Makes the key and prints or writes it.
pub fn run(args: &Args) -> Result<(), String> {
    let made = Made::new(args)?;
    let Some(path) = &args.out else {
        say(&made.key);
        return Ok(());
    };
    write(path, made.key.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
    say(&made.public.unwrap_or_default());
    Ok(())
}

/// A key in its written form, with a line end, and the public one that belongs to it.
struct Made {
    key: Zeroizing<String>,
    public: Option<String>,
}

impl Made {
    fn new(args: &Args) -> Result<Self, String> {
        match args.assertion {
            Some(Algorithm::Es256) => p256(),
            Some(Algorithm::Eddsa) => ed25519(),
            None if args.secret => Ok(Self::shared(secret())),
            None => Ok(Self::shared(SecurityKeys::generate())),
        }
    }

    fn shared(mut key: String) -> Self {
        key.push('\n');
        Self {
            key: Zeroizing::new(key),
            public: None,
        }
    }

    fn pair(key: Zeroizing<String>, public: String) -> Self {
        Self {
            key,
            public: Some(public),
        }
    }
}

/// 64 bytes: as much as the longest hash's output.
fn secret() -> String {
    let bytes = Zeroizing::new(secret::random::<64>());
    URL_SAFE_NO_PAD.encode(bytes.as_slice())
}

fn p256() -> Result<Made, String> {
    // One in four billion numbers is no scalar of the curve.
    let key = loop {
        let bytes = Zeroizing::new(secret::random::<32>());
        if let Ok(key) = p256::SecretKey::from_slice(bytes.as_slice()) {
            break key;
        }
    };
    let private = key
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|e| e.to_string())?;
    let public = key.public_key().to_public_key_pem(LineEnding::LF);
    Ok(Made::pair(private, public.map_err(|e| e.to_string())?))
}

fn ed25519() -> Result<Made, String> {
    let seed = Zeroizing::new(secret::random::<32>());
    let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
    // Without the public key inside: that newer form is not read everywhere,
    // not by OpenSSL 3.0 for one.
    let mut bytes = KeypairBytes {
        secret_key: *seed,
        public_key: None,
    };
    let private = bytes.to_pkcs8_pem(LineEnding::LF);
    bytes.secret_key.zeroize();
    let public = public.to_public_key_pem(LineEnding::LF);
    Ok(Made::pair(
        private.map_err(|e| e.to_string())?,
        public.map_err(|e| e.to_string())?,
    ))
}

/// Never over a file that is there: a key that is lost locks everybody out.
fn write(path: &Path, key: &[u8]) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        let mut make = DirBuilder::new();
        make.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
        make.create(directory)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(key)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, EncodingKey, crypto};

    use super::*;
    use crate::identity::assertion::Assertion;

    fn made(args: &Args) -> Made {
        Made::new(args).unwrap()
    }

    fn assertion(algorithm: Algorithm) -> Args {
        Args {
            assertion: Some(algorithm),
            ..Args::default()
        }
    }

    #[test]
    fn a_security_key_is_the_default() {
        let made = made(&Args::default());
        assert!(SecurityKeys::parse([made.key.as_str()]).is_ok());
        assert!(made.public.is_none());
    }

    #[test]
    fn a_secret_suffices_for_the_longest_hash() {
        let args = Args {
            secret: true,
            ..Args::default()
        };
        let key = made(&args).key;
        assert!(key.trim().len() >= 64 && key.trim().bytes().all(|b| b.is_ascii_graphic()));
    }

    #[test]
    fn a_pair_for_assertions_signs_and_verifies() {
        use jsonwebtoken::Algorithm::{ES256, EdDSA};
        for algorithm in [Algorithm::Es256, Algorithm::Eddsa] {
            let made = made(&assertion(algorithm));
            let (private, public) = (made.key.as_bytes(), made.public.unwrap());
            let public = public.as_bytes();
            let (known, private, public) = match algorithm {
                Algorithm::Es256 => (
                    ES256,
                    EncodingKey::from_ec_pem(private),
                    DecodingKey::from_ec_pem(public),
                ),
                Algorithm::Eddsa => (
                    EdDSA,
                    EncodingKey::from_ed_pem(private),
                    DecodingKey::from_ed_pem(public),
                ),
            };
            let signature = crypto::sign(b"m", &private.unwrap(), known).unwrap();
            assert!(crypto::verify(&signature, b"m", &public.unwrap(), known).unwrap());
        }
    }

    #[test]
    fn a_private_key_is_one_that_assertions_are_signed_with() {
        for algorithm in [Algorithm::Es256, Algorithm::Eddsa] {
            let made = made(&assertion(algorithm));
            let header = http::HeaderName::from_static("x-assertion");
            let ttl = std::time::Duration::from_secs(60);
            let read = Assertion::from_pem(made.key.as_bytes(), header, "issuer", "bot", ttl);
            assert!(read.is_ok(), "{read:?}");
        }
    }

    #[test]
    fn a_file_is_private_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys/web.key");
        let args = Args {
            out: Some(path.clone()),
            ..Args::default()
        };
        run(&args).unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(SecurityKeys::parse([written.as_str()]).is_ok());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let around = std::fs::metadata(path.parent().unwrap()).unwrap();
            assert_eq!(around.permissions().mode() & 0o777, 0o700);
        }
        assert!(run(&args).unwrap_err().contains("web.key"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    }
}
