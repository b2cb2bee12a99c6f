//! Tells Flux that there is a new commit, so that it does not wait for its interval.
//!
//! A courtesy: a webhook that fails is the caller's to log and count, and never fails a reaction. The
//! path of a Receiver's URL is as good as a password, so it is never printed.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::Sha256;

use crate::model::manifest::CommitSha;

/// How long a Receiver may take, in milliseconds.
const WEBHOOK_MS_MAX: u64 = 10_000;

/// A Flux Receiver.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookConfig {
    /// The Receiver's address: its host and `status.webhookPath`.
    pub url: String,
    /// The Receiver's `spec.type`.
    #[serde(rename = "type")]
    pub kind: WebhookKind,
    /// The Receiver's token, with which `generic-hmac` signs.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// The types of Receiver that take a plain POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookKind {
    /// The path is the secret.
    Generic,
    /// The body is signed in `X-Signature`.
    GenericHmac,
}

/// A webhook was not delivered, or cannot be.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The configuration cannot work.
    #[error("the webhook's configuration is wrong: {reason}")]
    Config {
        /// What is wrong, and what is right.
        reason: String,
    },
    /// The token's file could not be read.
    #[error("cannot read the token of the webhook on {host} in {}", path.display())]
    Token {
        /// The webhook's host.
        host: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// No answer.
    #[error("the webhook on {host} cannot be reached")]
    Unreachable {
        /// The webhook's host.
        host: String,
        /// Why not.
        source: hyper_util::client::legacy::Error,
    },
    /// No answer in time.
    #[error("the webhook on {host} did not answer in {WEBHOOK_MS_MAX} ms")]
    Late {
        /// The webhook's host.
        host: String,
    },
    /// An answer that is no success.
    #[error("the webhook on {host} answered {status}")]
    Refused {
        /// The webhook's host.
        host: String,
        /// Its status.
        status: StatusCode,
    },
}

/// The configured webhooks.
#[derive(Debug, Clone)]
pub struct Notifier {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    webhooks: Vec<Webhook>,
}

#[derive(Debug, Clone)]
struct Webhook {
    uri: Uri,
    /// With the port, without the path.
    host: String,
    hmac_token_file: Option<PathBuf>,
}

impl Notifier {
    /// Checks the configuration.
    ///
    /// # Errors
    /// When a URL is none, a signed webhook has no token, or the machine's certificates cannot be read.
    pub fn new(webhooks: &[WebhookConfig]) -> Result<Self, NotifyError> {
        let webhooks = webhooks.iter().map(Webhook::new).collect::<Result<_, _>>()?;
        let connector = HttpsConnectorBuilder::new().with_native_roots().map_err(|error| {
            NotifyError::Config { reason: format!("the machine's certificates cannot be read: {error}") }
        })?;
        let connector = connector.https_or_http().enable_http1().build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), webhooks })
    }

    /// The hosts that are called, without the secret paths.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.webhooks.iter().map(|webhook| webhook.host.as_str())
    }

    /// Calls every webhook, one after the other; what came of each, in the order of the configuration.
    pub async fn notify(&self, branch: &str, commit: &CommitSha) -> Vec<Result<(), NotifyError>> {
        let body = serde_json::json!({ "revision": format!("{branch}@sha1:{commit}") }).to_string();
        let mut results = Vec::with_capacity(self.webhooks.len());
        for webhook in &self.webhooks {
            results.push(self.deliver(webhook, &body).await);
        }
        results
    }

    async fn deliver(&self, webhook: &Webhook, body: &str) -> Result<(), NotifyError> {
        let host = || webhook.host.clone();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(webhook.uri.clone())
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::USER_AGENT, concat!("riposte/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &webhook.hmac_token_file {
            let token = tokio::fs::read_to_string(path).await.map_err(|source| NotifyError::Token {
                host: host(),
                path: path.clone(),
                source,
            })?;
            request = request.header("x-signature", format!("sha256={}", signature(token.trim(), body)));
        }
        let request = request
            .body(Full::from(body.to_owned()))
            .map_err(|error| NotifyError::Config { reason: error.to_string() })?;
        let call = tokio::time::timeout(Duration::from_millis(WEBHOOK_MS_MAX), self.client.request(request));
        let response = call
            .await
            .map_err(|_| NotifyError::Late { host: host() })?
            .map_err(|source| NotifyError::Unreachable { host: host(), source })?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(NotifyError::Refused { host: host(), status }),
        }
    }
}

impl Webhook {
    fn new(config: &WebhookConfig) -> Result<Self, NotifyError> {
        let wrong = |reason: &str| NotifyError::Config { reason: reason.to_owned() };
        let uri: Uri = config.url.parse().map_err(|_| wrong("url is not a URL"))?;
        let host = uri.authority().map(|authority| match authority.port() {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().to_owned(),
        });
        let host = host.filter(|_| matches!(uri.scheme_str(), Some("http" | "https")));
        let host = host.ok_or_else(|| wrong("url must be an http or https URL with a host"))?;
        let hmac_token_file = match (config.kind, config.token_file.clone()) {
            (WebhookKind::Generic, None) => None,
            (WebhookKind::GenericHmac, Some(path)) => Some(path),
            (WebhookKind::Generic, Some(_)) => return Err(wrong("type generic takes no tokenFile")),
            (WebhookKind::GenericHmac, None) => return Err(wrong("type generic-hmac needs a tokenFile")),
        };
        Ok(Self { uri, host, hmac_token_file })
    }
}

fn signature(token: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_signature_is_that_of_rfc_4231() {
        assert_eq!(
            super::signature("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
