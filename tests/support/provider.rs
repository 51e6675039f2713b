//! An OpenID provider that does what a test tells it to: correct unless it is made to lie.
//! Asked without `openid` and nonce, it is an OAuth server, which gives no ID token and
//! names itself nowhere.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::browser::parameter;
use super::login::jwt;
use super::{Origin, Reply, Seen};

/// What the gateway is known by at every provider, and how it proves it.
pub const CLIENT: &str = "chatgate";
/// With characters that a form has to encode.
pub const SECRET: &str = "oidc-secret-canary+/%: é";

/// When tests begin: the gateway's clock stands there, too.
const NOW: u64 = 1_800_000_000;

/// A running provider.
#[derive(Clone)]
pub struct Provider {
    /// Its server, and what it was asked.
    pub origin: Origin,
    plan: Arc<Mutex<Plan>>,
}

/// What it does.
pub struct Plan {
    issuer: String,
    codes: HashMap<String, Authorization>,
    next: usize,
    /// Seconds since the Unix epoch.
    pub now: u64,
    /// The customer who logs in.
    pub subject: String,
    /// Members put over those of the ID token; `null` takes one away.
    pub claims: Value,
    /// The key that signs: `p256-a`, `p256-b`, `rsa-a`.
    pub key: &'static str,
    /// The keys that are published.
    pub published: Vec<&'static str>,
    /// Turns a right ID token into the one that is sent.
    pub forge: Option<fn(&Value) -> String>,
    /// Members put over those of the discovery document.
    pub document: Value,
    /// What userinfo says.
    pub userinfo: Value,
    /// Answers in place of the right one, by path.
    pub instead: HashMap<&'static str, Reply>,
}

#[derive(Clone)]
struct Authorization {
    redirect_uri: String,
    challenge: String,
    /// None asks for no ID token.
    nonce: Option<String>,
    subject: String,
}

impl Provider {
    /// Starts one.
    pub fn start() -> Self {
        let plan = Arc::new(Mutex::new(Plan {
            issuer: String::new(),
            codes: HashMap::new(),
            next: 0,
            now: NOW,
            subject: "alice".into(),
            claims: json!({}),
            key: "p256-a",
            published: vec!["p256-a"],
            forge: None,
            document: json!({}),
            userinfo: json!({"sub": "alice"}),
            instead: HashMap::new(),
        }));
        let script = plan.clone();
        let origin = Origin::start(move |seen| script.lock().unwrap().answer(seen));
        plan.lock().unwrap().issuer = format!("http://{}", origin.address);
        Self { origin, plan }
    }

    /// What it does from now on.
    pub fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }

    /// Its issuer identifier.
    pub fn issuer(&self) -> String {
        self.plan().issuer.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.origin.address
    }

    /// The table of a channel that logs in here, `more` in it.
    pub fn table(&self, channel: &str, more: &str) -> String {
        let issuer = self.issuer();
        format!(
            "[channel.{channel}.oidc]\nissuer = \"{issuer}\"\nclient_id = \"{CLIENT}\"\n{more}\n{}",
            match more.contains("private_key") {
                true => String::new(),
                false => format!("client_secret = \"{SECRET}\"\n"),
            }
        )
    }

    /// The table of a channel that takes this for an OAuth server, `more` in it.
    pub fn oauth(&self, channel: &str, more: &str) -> String {
        let at = self.issuer();
        format!(
            "[channel.{channel}.oauth]\nauthorization_url = \"{at}/auth\"\n\
             token_url = \"{at}/token\"\nuserinfo_url = \"{at}/userinfo\"\n\
             client_id = \"{CLIENT}\"\nclient_secret = \"{SECRET}\"\n{more}\n"
        )
    }

    /// The customer logs in at an authorization URL; where the browser goes then.
    ///
    /// # Panics
    /// When the URL is not one of a client that does all it should.
    pub fn log_in(&self, url: &str) -> String {
        let code = self.code(url);
        if parameter(url, "nonce").is_none() {
            return self.back(url, &[("code", code.as_str())]);
        }
        let issuer = self.issuer();
        self.back(url, &[("code", code.as_str()), ("iss", issuer.as_str())])
    }

    /// A code for an authorization URL.
    pub fn code(&self, url: &str) -> String {
        let mut plan = self.plan();
        let value = |name: &str| parameter(url, name).unwrap_or_else(|| panic!("no {name}: {url}"));
        assert!(url.starts_with(&format!("{}/auth?", plan.issuer)), "{url}");
        assert_eq!(value("response_type"), "code");
        assert_eq!(value("client_id"), CLIENT);
        assert_eq!(value("code_challenge_method"), "S256");
        let nonce = parameter(url, "nonce");
        let scopes = parameter(url, "scope").unwrap_or_default();
        let openid = scopes.split(' ').any(|scope| scope == "openid");
        assert_eq!(openid, nonce.is_some());
        assert!(nonce.as_ref().is_none_or(|nonce| nonce.len() >= 43));
        assert!(value("state").len() >= 43);
        plan.next += 1;
        let code = format!("code-canary-{}", plan.next);
        let authorization = Authorization {
            redirect_uri: value("redirect_uri"),
            challenge: value("code_challenge"),
            nonce,
            subject: plan.subject.clone(),
        };
        plan.codes.insert(code.clone(), authorization);
        code
    }

    /// The way back for an authorization URL, with other parameters than the right ones.
    pub fn back(&self, url: &str, parameters: &[(&str, &str)]) -> String {
        let mut back = parameter(url, "redirect_uri").unwrap();
        let state = parameter(url, "state").unwrap();
        back += &format!("?state={state}");
        for (name, value) in parameters {
            back += &format!("&{name}={}", encode(value));
        }
        back
    }

    /// A logout token with these members over the right ones; `null` takes one away.
    pub fn logout_token(&self, over: &Value) -> String {
        let plan = self.plan();
        let claims = plan.logout(over);
        plan.sign(&claims)
    }

    /// The claims of a logout token.
    pub fn logout_claims(&self, over: &Value) -> Value {
        self.plan().logout(over)
    }
}

impl Plan {
    fn answer(&mut self, seen: &Seen) -> Reply {
        let path = seen.target.split('?').next().unwrap_or_default();
        if let Some(reply) = self.instead.get(path) {
            return reply.clone();
        }
        match path {
            "/.well-known/openid-configuration" => Reply::json(&self.document()),
            "/jwks" => {
                let keys: Vec<Value> = self.published.iter().map(|name| jwk(name)).collect();
                Reply::json(&json!({ "keys": keys }))
            }
            "/token" => self.token(seen),
            "/userinfo" => match seen.header("authorization") {
                Some("Bearer access-canary") => Reply::json(&self.userinfo),
                _ => Reply::new(401, ""),
            },
            _ => Reply::new(404, ""),
        }
    }

    fn document(&self) -> Value {
        let at = |path: &str| format!("{}/{path}", self.issuer);
        over(
            json!({
                "issuer": self.issuer,
                "authorization_endpoint": at("auth"),
                "token_endpoint": at("token"),
                "jwks_uri": at("jwks"),
                "userinfo_endpoint": at("userinfo"),
                "id_token_signing_alg_values_supported": ["ES256", "RS256"],
                "authorization_response_iss_parameter_supported": true,
            }),
            &self.document,
        )
    }

    fn token(&mut self, seen: &Seen) -> Reply {
        let form = format!("?{}", String::from_utf8_lossy(&seen.body));
        let value = |name: &str| parameter(&form, name).unwrap_or_default();
        let refuse = |error: &str| {
            let status = if error == "invalid_client" { 401 } else { 400 };
            Reply::json(&json!({"error": error, "error_description": "x"})).status(status)
        };
        if !self.knows(seen, &form) {
            return refuse("invalid_client");
        }
        // A code is good once.
        let Some(granted) = self.codes.remove(&value("code")) else {
            return refuse("invalid_grant");
        };
        let verifier = URL_SAFE_NO_PAD.encode(Sha256::digest(value("code_verifier")));
        if verifier != granted.challenge || value("redirect_uri") != granted.redirect_uri {
            return refuse("invalid_grant");
        }
        let bearer = json!({"access_token": "access-canary", "token_type": "Bearer"});
        let Some(nonce) = granted.nonce else {
            return Reply::json(&bearer);
        };
        let claims = over(
            json!({
                "iss": self.issuer, "aud": CLIENT, "sub": granted.subject,
                "iat": self.now, "exp": self.now + 60, "auth_time": self.now,
                "nonce": nonce, "sid": format!("session of {}", granted.subject),
                "email": "alice@example.com", "amr": ["pwd"],
            }),
            &self.claims,
        );
        let token = match self.forge {
            Some(forge) => forge(&claims),
            None => self.sign(&claims),
        };
        Reply::json(&over(bearer, &json!({ "id_token": token })))
    }

    fn knows(&self, seen: &Seen, form: &str) -> bool {
        let value = |name: &str| parameter(form, name);
        if let Some(header) = seen.header("authorization") {
            let pair = STANDARD
                .decode(header.trim_start_matches("Basic "))
                .unwrap();
            let pair = String::from_utf8(pair).unwrap();
            let secret = parameter(&format!("?x={}", pair.split_once(':').unwrap().1), "x");
            return secret.as_deref() == Some(SECRET) && value("client_secret").is_none();
        }
        if let Some(assertion) = value("client_assertion") {
            let mut wanted = jsonwebtoken::Validation::new(Algorithm::ES256);
            wanted.set_audience(&[&self.issuer]);
            wanted.validate_exp = false;
            let key = DecodingKey::from_ec_pem(&pem("p256-b.pub.pem")).unwrap();
            let read = jsonwebtoken::decode::<Value>(&assertion, &key, &wanted);
            return read.is_ok_and(|read| {
                let claims = read.claims;
                claims["iss"] == CLIENT && claims["sub"] == CLIENT && claims["jti"].is_string()
            });
        }
        value("client_id").as_deref() == Some(CLIENT)
            && value("client_secret").as_deref() == Some(SECRET)
    }

    fn sign(&self, claims: &Value) -> String {
        let (algorithm, key) = signing(self.key);
        let mut header = Header::new(algorithm);
        header.kid = Some(self.key.into());
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }

    fn logout(&self, more: &Value) -> Value {
        over(
            json!({
                "iss": self.issuer, "aud": CLIENT, "sub": "alice",
                "iat": self.now, "exp": self.now + 120, "jti": "j1",
                "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            }),
            more,
        )
    }
}

/// A token signed with a key that no provider publishes under this name.
pub fn with_key_of_another(claims: &Value) -> String {
    let (algorithm, key) = signing("p256-b");
    let mut header = Header::new(algorithm);
    header.kid = Some("p256-a".into());
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

/// A token without a signature.
pub fn unsigned(claims: &Value) -> String {
    jwt(&json!({"alg": "none"}), claims, |_| Vec::new())
}

/// A token whose MAC is made with the public key.
pub fn mac_with_public_key(claims: &Value) -> String {
    use hmac::{Hmac, Mac};
    jwt(
        &json!({"alg": "HS256", "kid": "p256-a"}),
        claims,
        |message| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&pem("p256-a.pub.pem")).unwrap();
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        },
    )
}

fn signing(name: &str) -> (Algorithm, EncodingKey) {
    let private = pem(&format!("{name}.pem"));
    match name.starts_with("rsa") {
        true => (
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(&private).unwrap(),
        ),
        false => (
            Algorithm::ES256,
            EncodingKey::from_ec_pem(&private).unwrap(),
        ),
    }
}

/// A public key of `tests/keys`.
pub(super) fn jwk(name: &str) -> Value {
    let public = pem(&format!("{name}.pub.pem"));
    let (algorithm, key) = match name.starts_with("rsa") {
        true => ("RS256", DecodingKey::from_rsa_pem(&public).unwrap()),
        false => ("ES256", DecodingKey::from_ec_pem(&public).unwrap()),
    };
    let mut jwk = serde_json::to_value(Jwk::from_decoding_key(&key, None).unwrap()).unwrap();
    jwk["kid"] = name.into();
    jwk["alg"] = algorithm.into();
    jwk
}

fn pem(name: &str) -> Vec<u8> {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys");
    std::fs::read(keys.join(name)).unwrap()
}

fn over(base: Value, over: &Value) -> Value {
    let mut members: Map<String, Value> = base.as_object().unwrap().clone();
    for (name, value) in over.as_object().unwrap() {
        match value {
            Value::Null => drop(members.remove(name)),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
    members.into()
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
