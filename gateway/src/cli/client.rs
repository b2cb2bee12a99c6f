//! The REST client that the commands share which ask a gateway.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::CommandError;
use crate::config::read_secret;

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Which gateway to ask.
#[derive(Debug, Clone, Args)]
pub(super) struct Connection {
    /// The gateway's address.
    #[arg(long, env = "RIPOSTE_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A file with the API token.
    #[arg(long, env = "RIPOSTE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

/// The gateway's answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    /// Where the result is to be had, for 202.
    pub(super) location: Option<String>,
    /// The body as JSON, `null` when it is empty.
    pub(super) body: Value,
}

impl Connection {
    /// Sends a request and reads a JSON answer. A problem document becomes the error's text.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, CommandError> {
        let address = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut request = Request::builder().method(method).uri(&address);
        if let Some(file) = &self.token_file {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", read_secret(file)?));
        }
        let content = body.map(Value::to_string).unwrap_or_default();
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(content)))?;
        let response = self.send(request, &address).await?;
        let status = response.status();
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.map(str::to_owned);
        let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(CommandError::Failed)?
            .to_bytes();
        if status.is_success() {
            let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
            return Ok(Answer { location, body });
        }
        Err(CommandError::Negative(refusal(&address, status, &bytes)))
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        address: &str,
    ) -> Result<http::Response<hyper::body::Incoming>, CommandError> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_http1()
            .build();
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
        client.request(request).await.map_err(|error| {
            let cause = crate::pipeline::chain(&error);
            CommandError::Negative(format!(
                "no answer from {address}: {cause}; is the gateway up, and is --url right?"
            ))
        })
    }
}

fn refusal(address: &str, status: StatusCode, body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = problem.get("detail").and_then(Value::as_str).unwrap_or("no reason was given");
    let hint =
        if status == StatusCode::UNAUTHORIZED { " (give the API token with --token-file)" } else { "" };
    format!("{address} answered {status}: {detail}{hint}")
}
