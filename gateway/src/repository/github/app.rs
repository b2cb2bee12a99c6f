//! A GitHub App's way in: a short-lived JWT, signed with the App's key, buys a token of the App's
//! installation, which ends after an hour and is renewed before that.
//!
//! A token is for this one repository, lives in memory only, and is never shown. The key is read at each
//! renewal, so that a rotated one needs no restart. ring signs, because it is here for TLS already and
//! the JWT crates would each bring an RSA of their own.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::super::config::{AppConfig, read_secret};
use super::super::remote_error::RepositoryError;
use super::wire::{Wire, date};
use crate::clock;

/// GitHub takes a JWT that ends within 10 minutes by its clock, and begins no later than now. Each side
/// of ours leaves a minute for clocks that differ.
const JWT_BEGUN_S: i64 = 60;
const JWT_ENDS_S: i64 = 540;

/// How long before its end a token is renewed, in microseconds: longer than any request takes.
const RENEWAL_US: i64 = 5 * 60 * 1_000_000;

/// An App as it is installed on the repository.
#[derive(Debug)]
pub(in super::super) struct App {
    config: AppConfig,
    wire: Arc<Wire>,
    newest: Mutex<Option<Token>>,
}

/// A token of the installation.
#[derive(Clone)]
struct Token {
    secret: String,
    /// By our clock.
    ends_us: i64,
    /// What it may do: names and `read` or `write`.
    permissions: Value,
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Token").field("ends_us", &self.ends_us).finish_non_exhaustive()
    }
}

impl App {
    pub(super) fn new(config: AppConfig, wire: Arc<Wire>) -> Self {
        Self { config, wire, newest: Mutex::default() }
    }

    /// A token that does not end soon.
    pub(in super::super) async fn token(&self) -> Result<String, RepositoryError> {
        self.newest().await.map(|token| token.secret)
    }

    /// Another token than this one, which was not accepted.
    pub(in super::super) async fn renewed(&self, refused: &str) -> Result<String, RepositoryError> {
        let mut newest = self.newest.lock().await;
        match newest.as_ref() {
            Some(token) if token.secret != refused => Ok(token.secret.clone()),
            _ => {
                *newest = None;
                Ok(newest.insert(self.buy().await?).secret.clone())
            }
        }
    }

    /// Whether the App may write.
    pub(super) async fn check(&self) -> Result<(), RepositoryError> {
        let token = self.newest().await?;
        let contents = token.permissions["contents"].as_str().unwrap_or("none");
        if contents == "write" {
            return Ok(());
        }
        let reason = format!("it has the permission Contents: {contents}, and needs Contents: write");
        Err(RepositoryError::Forbidden { remote: self.name(), reason })
    }

    async fn newest(&self) -> Result<Token, RepositoryError> {
        let mut newest = self.newest.lock().await;
        let left_us = newest.as_ref().map_or(0, |token| token.ends_us - clock::now_us());
        match newest.as_ref() {
            Some(token) if left_us > RENEWAL_US => Ok(token.clone()),
            before => match (self.buy().await, before) {
                (Ok(token), _) => Ok(newest.insert(token).clone()),
                (Err(error), Some(token)) if left_us > 0 => {
                    tracing::warn!(error = %error, "the GitHub App's token could not be renewed yet");
                    Ok(token.clone())
                }
                (Err(error), _) => Err(error),
            },
        }
    }

    async fn buy(&self) -> Result<Token, RepositoryError> {
        let jwt = self.jwt()?;
        let installation = match self.config.installation_id {
            Some(id) => id,
            None => self.look_up(&jwt).await?,
        };
        let url = format!("{}/app/installations/{installation}/access_tokens", self.wire.rest_url);
        let name = self.wire.repository.split('/').next_back().unwrap_or_default();
        let what = format!("installation {installation} of {}", self.name());
        let request = json!({ "repositories": [name] });
        let (answer, ours_s) = self.ask(Method::POST, &url, &jwt, Some(&request), &what).await?;
        let ends = answer["expires_at"].as_str().and_then(clock::parse_rfc3339);
        match (answer["token"].as_str(), ends) {
            (Some(secret), Some(ends_us)) => Ok(Token {
                secret: secret.to_owned(),
                ends_us: ends_us + ours_s * 1_000_000,
                permissions: answer["permissions"].clone(),
            }),
            _ => Err(self.refused("its answer has no token".to_owned())),
        }
    }

    /// The installation that has the repository.
    async fn look_up(&self, jwt: &str) -> Result<u64, RepositoryError> {
        let url = self.wire.address("/installation");
        let what = format!("an installation of {} on {}", self.name(), self.wire.repository);
        let (answer, _) = self.ask(Method::GET, &url, jwt, None, &what).await?;
        answer["id"].as_u64().ok_or_else(|| self.refused("its answer names no installation".to_owned()))
    }

    /// Asks as the App, and tells by how many seconds our clock is ahead of GitHub's.
    async fn ask(
        &self,
        method: Method,
        url: &str,
        jwt: &str,
        body: Option<&Value>,
        what: &str,
    ) -> Result<(Value, i64), RepositoryError> {
        let answer = self.wire.send(method, url, jwt, body).await;
        let answer = answer.map_err(|lost| lost.unreachable(&self.wire.rest_url))?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(RepositoryError::NotFound { what: what.to_owned() });
        }
        let told = self.wire.told(&answer).map_err(|error| match error {
            RepositoryError::Unauthorized { reason, .. } => {
                let reason = format!("{reason}; check auth.app.id, its key and this machine's clock");
                RepositoryError::Unauthorized { remote: self.name(), reason }
            }
            RepositoryError::Forbidden { reason, .. } | RepositoryError::Unexpected { reason, .. } => {
                self.refused(reason)
            }
            error => error,
        })?;
        let ours_s = clock::now_us() / 1_000_000;
        Ok((told, date(&answer.headers).map_or(0, |theirs_s| ours_s - theirs_s)))
    }

    /// RFC 7519, by RS256.
    fn jwt(&self) -> Result<String, RepositoryError> {
        let path = &self.config.key_file;
        let unusable = |reason: String| RepositoryError::Secret {
            path: path.clone(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, reason),
        };
        let pem = read_secret(path)?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes());
        let key = key.map_err(|_| unusable("it holds no private key in PEM".to_owned()))?;
        let key = match &key {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(unusable("a GitHub App has an RSA key, and this is none".to_owned())),
        };
        let key = key.map_err(|error| unusable(format!("it holds no RSA key that can be used: {error}")))?;
        let now_s = clock::now_us() / 1_000_000;
        let header = json!({ "alg": "RS256", "typ": "JWT" });
        let claims = json!({ "iat": now_s - JWT_BEGUN_S, "exp": now_s + JWT_ENDS_S, "iss": self.config.id });
        let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| unusable("it cannot sign".to_owned()))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn name(&self) -> String {
        format!("the GitHub App {}", self.config.id)
    }

    fn refused(&self, reason: String) -> RepositoryError {
        RepositoryError::Forbidden { remote: self.name(), reason }
    }
}
