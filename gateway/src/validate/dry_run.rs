//! Asks an API server what it would make of a change: a server-side apply of each object that stores nothing.
//!
//! Optional, and the only place that talks to a cluster. What the server refuses is refused with its
//! words; while it cannot be asked, nothing is committed.

mod kubeconfig;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Refusal, Refusals};
use crate::model::manifest::ObjectRef;
use crate::model::text::cut;
use crate::repository::Retry;
use kubeconfig::Access;

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// The longest of a server's words, in bytes.
const WORDS_BYTES_MAX: usize = 1_024;
/// The least wait for a server that cannot be asked, in seconds.
const AWAY_S: u64 = 5;
/// The least wait for what a person must mend, in seconds.
const MEND_S: u64 = 60;

/// Which API server is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DryRunConfig {
    /// A kubeconfig, whose current context is taken. Read at each use.
    pub kubeconfig: PathBuf,
    /// The longest time for one object, in milliseconds.
    #[serde(default = "DryRunConfig::timeout_ms")]
    pub timeout_ms: u32,
}

impl DryRunConfig {
    fn timeout_ms() -> u32 {
        10_000
    }
}

/// The API server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// The kubeconfig cannot be used.
    #[error("validation.dryRun.kubeconfig {}: {reason}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what is right.
        reason: String,
    },
    /// No answer.
    #[error("the API server {server} of validation.dryRun cannot be reached: {reason}")]
    Unreachable {
        /// Its address.
        server: String,
        /// Why not.
        reason: String,
    },
    /// No answer in time.
    #[error("the API server {server} did not answer within validation.dryRun.timeoutMs = {timeout_ms}")]
    Late {
        /// Its address.
        server: String,
        /// The limit.
        timeout_ms: u32,
    },
    /// An answer that says nothing of the object.
    #[error("the API server {server} answered {status}: {words}")]
    Answer {
        /// Its address.
        server: String,
        /// Its status.
        status: StatusCode,
        /// Its words.
        words: String,
    },
}

impl DryRunError {
    /// The kind in kebab-case.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        "dry-run"
    }

    /// When to ask again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        let mend = match self {
            Self::Kubeconfig { .. } => true,
            Self::Answer { status, .. } => *status == StatusCode::UNAUTHORIZED,
            Self::Unreachable { .. } | Self::Late { .. } => false,
        };
        Retry::After(Duration::from_secs(if mend { MEND_S } else { AWAY_S }))
    }
}

/// What an answer means.
enum Answered {
    /// The object is taken, or the look-up has this.
    Fine(Value),
    /// The object is refused, in these words.
    No(String),
}

/// Asks an API server.
#[derive(Debug, Clone)]
pub struct DryRun {
    config: DryRunConfig,
}

impl DryRun {
    /// Checks that the kubeconfig can be used.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(config: DryRunConfig) -> Result<Self, DryRunError> {
        let dry_run = Self { config };
        dry_run.connect()?;
        Ok(dry_run)
    }

    /// The server's address, for people.
    ///
    /// # Errors
    /// What is wrong with the kubeconfig.
    pub fn server(&self) -> Result<String, DryRunError> {
        Ok(self.connect()?.access.server.to_string())
    }

    /// Whether the server would take all of these objects as they are to be.
    ///
    /// # Errors
    /// When it could not be asked.
    pub async fn check(&self, objects: &[(ObjectRef, Value)]) -> Result<Result<(), Refusals>, DryRunError> {
        let connection = self.connect()?;
        let mut reasons = Vec::new();
        for (target, manifest) in objects {
            if let Some(reason) = connection.refused(target, manifest).await? {
                reasons.push(Refusal::DryRun { target: target.clone(), reason });
            }
        }
        Ok(Refusals::new(reasons).map_or(Ok(()), Err))
    }

    /// The kubeconfig as it is now: a credential that was changed is taken up.
    fn connect(&self) -> Result<Connection, DryRunError> {
        let path = &self.config.kubeconfig;
        let wrong = |reason: String| DryRunError::Kubeconfig { path: path.clone(), reason };
        let access = Access::read(path).map_err(wrong)?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(access.tls.clone());
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Connection { client, access, timeout_ms: self.config.timeout_ms })
    }
}

struct Connection {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    access: Access,
    timeout_ms: u32,
}

impl Connection {
    /// The server's words against an object, if it has any.
    async fn refused(&self, target: &ObjectRef, manifest: &Value) -> Result<Option<String>, DryRunError> {
        // The core group has an address of its own.
        let api = match target.api_version.split_once('/') {
            Some((group, version)) => format!("/apis/{}/{}", step(group), step(version)),
            None => format!("/api/{}", step(&target.api_version)),
        };
        let (plural, namespaced) = match self.ask(Method::GET, &api, None).await? {
            Answered::No(words) => return Ok(Some(words)),
            Answered::Fine(resources) => match resource(&resources, &target.kind) {
                Some(found) => found,
                None => {
                    return Ok(Some(format!(
                        "the API server has no {} in {}",
                        target.kind, target.api_version
                    )));
                }
            },
        };
        let namespace = target.namespace.as_deref().filter(|_| namespaced);
        let place = namespace.map(|namespace| format!("/namespaces/{}", step(namespace))).unwrap_or_default();
        let name = step(&target.name);
        let path = format!("{api}{place}/{plural}/{name}?dryRun=All&fieldManager=riposte&force=true");
        let mut manifest = manifest.clone();
        if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
            match namespace {
                Some(namespace) => metadata.insert("namespace".to_owned(), json!(namespace)),
                None => metadata.remove("namespace"),
            };
        }
        match self.ask(Method::PATCH, &path, Some(manifest.to_string())).await? {
            Answered::No(words) => Ok(Some(words)),
            Answered::Fine(_) => Ok(None),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<String>) -> Result<Answered, DryRunError> {
        let asked = tokio::time::timeout(
            Duration::from_millis(self.timeout_ms.into()),
            self.exchange(method, path, body.unwrap_or_default()),
        );
        let late = |_| DryRunError::Late { server: self.server(), timeout_ms: self.timeout_ms };
        let (status, body) = asked.await.map_err(late)??;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let words = || {
            let message = body["message"].as_str().unwrap_or("it says no more than that");
            cut(format!("the API server says: {message}"), WORDS_BYTES_MAX)
        };
        match status {
            status if status.is_success() => Ok(Answered::Fine(body)),
            // These say something of who asks, or of now, and nothing of the object.
            StatusCode::UNAUTHORIZED
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::CONFLICT
            | StatusCode::TOO_MANY_REQUESTS => Err(self.answer(status, words())),
            status if status.is_client_error() => Ok(Answered::No(words())),
            status => Err(self.answer(status, words())),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(StatusCode, Bytes), DryRunError> {
        let unreachable = |reason: String| DryRunError::Unreachable { server: self.server(), reason };
        let uri: Uri = format!("{}{path}", self.access.server.trim_end_matches('/'))
            .parse()
            .map_err(|error: http::uri::InvalidUri| unreachable(error.to_string()))?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("riposte/", env!("CARGO_PKG_VERSION")));
        // A request without a body that has a type is refused.
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/apply-patch+yaml");
        }
        if let Some(authorization) = &self.access.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let request = request.body(Full::from(body)).map_err(|error| unreachable(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| unreachable(whole(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|error| unreachable(error.to_string()))?.to_bytes()))
    }

    fn server(&self) -> String {
        self.access.server.clone()
    }

    fn answer(&self, status: StatusCode, words: String) -> DryRunError {
        DryRunError::Answer { server: self.server(), status, words }
    }
}

/// An error with its causes: the outer one says no more than that there was one.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A step of a path, whatever is in it.
fn step(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// What a kind is called in addresses, and whether it has namespaces.
fn resource(list: &Value, kind: &str) -> Option<(String, bool)> {
    let resources = list["resources"].as_array().into_iter().flatten();
    let mut own = resources
        .filter(|one| one["kind"] == kind && one["name"].as_str().is_some_and(|name| !name.contains('/')));
    let found = own.next()?;
    Some((step(found["name"].as_str()?), found["namespaced"] == true))
}
