//! A GitHub App: JWTs that are checked for real, its one installation, and tokens that end.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use riposte::clock;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::harness::fixture;

pub(crate) const APP: u64 = 4711;
pub(crate) const INSTALLATION: u64 = 42;

/// The App as its owner and the repository's have set it up.
#[derive(Debug)]
pub(crate) struct App {
    /// Public keys, as RFC 8017 has them.
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) is_installed: bool,
    pub(crate) is_suspended: bool,
    /// Its permission for the repository's contents.
    pub(crate) contents: &'static str,
    /// How long a token lives.
    pub(crate) lifetime_s: i64,
    /// By how much GitHub's clock is ahead of this machine's.
    pub(crate) ahead_s: i64,
    /// Every token that was given, with its end.
    pub(crate) tokens: Vec<(String, i64)>,
}

type Answer = (u16, Value);

/// The App, shared by the requests.
pub(super) struct Apps(pub(super) Mutex<App>);

impl Default for Apps {
    fn default() -> Self {
        Self(Mutex::new(App {
            keys: vec![public_key("keys/app-one.pem")],
            is_installed: true,
            is_suspended: false,
            contents: "write",
            lifetime_s: 3600,
            ahead_s: 0,
            tokens: Vec::new(),
        }))
    }
}

/// The public half of a fixture.
pub(crate) fn public_key(name: &str) -> Vec<u8> {
    let key = match PrivateKeyDer::from_pem_slice(&fixture(name)).unwrap() {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).unwrap(),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap(),
        other => panic!("{other:?}"),
    };
    key.public().as_ref().to_vec()
}

impl App {
    /// GitHub's time, in seconds since 1970.
    pub(crate) fn now_s(&self) -> i64 {
        clock::now_us() / 1_000_000 + self.ahead_s
    }

    /// Whether a token is one of the App's that has not ended.
    pub(super) fn accepts(&self, token: &str) -> bool {
        self.tokens.iter().any(|(known, ends_s)| known == token && *ends_s > self.now_s())
    }

    /// The answer to a request that only the App itself may make; `None` for any other.
    fn answer(&mut self, method: &str, path: &str, bearer: &str, body: &Value) -> Option<Answer> {
        let installation = format!("/app/installations/{INSTALLATION}/access_tokens");
        match (method, path) {
            ("GET", "/repos/acme/desired/installation") => {}
            ("POST", path) if path.starts_with("/app/installations/") => {}
            _ => return None,
        }
        let refused = |status: u16, message: &str| {
            Some((status, json!({ "message": message, "status": status.to_string() })))
        };
        if let Err(message) = self.check(bearer) {
            return refused(401, message);
        }
        if !self.is_installed || !(method == "GET" || path == installation) {
            return refused(404, "Not Found");
        }
        let permissions = json!({ "contents": self.contents, "metadata": "read", "pull_requests": "write" });
        if method == "GET" {
            let suspended = self.is_suspended.then_some("2026-11-24T12:00:00Z");
            let answer = json!({
                "id": INSTALLATION, "app_id": APP, "suspended_at": suspended, "permissions": permissions,
            });
            return Some((200, answer));
        }
        if self.is_suspended {
            return refused(403, "This installation has been suspended");
        }
        if body["repositories"] != json!(["desired"]) {
            return refused(422, "There is at least one repository that does not exist or is not accessible");
        }
        let (token, ends_s) = (format!("ghs_token{}", self.tokens.len()), self.now_s() + self.lifetime_s);
        self.tokens.push((token.clone(), ends_s));
        let ends = clock::rfc3339(ends_s * 1_000_000);
        Some((201, json!({ "token": token, "expires_at": ends, "permissions": permissions })))
    }

    /// The JWT: who signed it, for whom it speaks, and when.
    fn check(&self, jwt: &str) -> Result<(), &'static str> {
        const UNREADABLE: &str = "A JSON web token could not be decoded";
        let (signed, signature) = jwt.rsplit_once('.').ok_or(UNREADABLE)?;
        let (header, claims) = signed.split_once('.').ok_or(UNREADABLE)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| UNREADABLE);
        let json = |part: &str| serde_json::from_slice::<Value>(&decode(part)?).map_err(|_| UNREADABLE);
        let (header, claims, signature) = (json(header)?, json(claims)?, decode(signature)?);
        let is_signed = self.keys.iter().any(|key| {
            let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
            key.verify(signed.as_bytes(), &signature).is_ok()
        });
        if header["alg"] != "RS256" || !is_signed || claims["iss"] != APP {
            return Err(UNREADABLE);
        }
        let (now_s, time) = (self.now_s(), |name: &str| claims[name].as_i64().ok_or(UNREADABLE));
        if time("iat")? > now_s {
            return Err("'Issued at' claim ('iat') must be in the past");
        }
        if time("exp")? > now_s + 600 {
            return Err("'Expiration time' claim ('exp') is too far in the future");
        }
        if time("exp")? <= now_s {
            return Err("'Expiration time' claim ('exp') must be in the future");
        }
        Ok(())
    }
}

impl Apps {
    pub(super) fn answer(&self, method: &str, path: &str, bearer: &str, body: &Value) -> Option<Answer> {
        self.0.lock().unwrap().answer(method, path, bearer, body)
    }
}
