//! One request to GitHub's API and its whole answer, and what a status other than success means.
//!
//! Nothing is sent twice here: octocrab is built without its retry layer. What an answer means for a
//! commit is decided above.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, DATE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use octocrab::Octocrab;
use serde_json::Value;

use super::super::config::GitHubConfig;
use super::super::remote_error::{RATE_LIMIT_WAIT, RepositoryError};

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The longest wait that a header can make us take, so that a wrong clock does not stop us for days.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The longest piece of an answer that goes into an error, in characters.
const REASON_CHARS_MAX: usize = 300;

/// The way to a GitHub, for one repository there.
#[derive(Debug)]
pub(super) struct Wire {
    client: Octocrab,
    pub(super) rest_url: String,
    pub(super) repository: String,
    call: Duration,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// No answer.
pub(super) enum Lost {
    /// Nothing was sent.
    Unsent(RepositoryError),
    /// Sent, then the line broke or the time was up.
    Sent(String),
}

impl Lost {
    /// What it means when nothing depends on whether the request was carried out.
    pub(super) fn unreachable(self, remote: &str) -> RepositoryError {
        match self {
            Self::Unsent(error) => error,
            Self::Sent(reason) => RepositoryError::Unreachable { remote: remote.to_owned(), reason },
        }
    }
}

impl Wire {
    /// Must run inside the tokio runtime. `call` is the longest time for one request and its answer.
    pub(super) fn new(config: GitHubConfig, call: Duration) -> Result<Self, RepositoryError> {
        let unusable = |error: &dyn std::error::Error| RepositoryError::Config {
            reason: format!("no client for {}: {error}", config.api_url),
        };
        // octocrab puts the path of its base before every path that lacks it, which is wrong for
        // GraphQL on GitHub Enterprise: so its base is the bare origin.
        let url = url::Url::parse(&config.api_url).map_err(|error| unusable(&error))?;
        let client = Octocrab::builder()
            .base_uri(url.origin().ascii_serialization())
            .map_err(|error| unusable(&error))?
            .set_connect_timeout(Some(call))
            .build()
            .map_err(|error| unusable(&error))?;
        Ok(Self { client, rest_url: config.api_url, repository: config.repository, call })
    }

    /// The address of something of the repository; empty for the repository.
    pub(super) fn address(&self, path: &str) -> String {
        format!("{}/repos/{}{path}", self.rest_url, self.repository)
    }

    /// Sends once and reads the whole answer. `bearer` is the token or the JWT.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &str,
        bearer: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Lost> {
        let bad_token = |_| {
            let reason = "the token holds characters that no token has".to_owned();
            Lost::Unsent(RepositoryError::Unauthorized { remote: self.rest_url.clone(), reason })
        };
        let mut bearer = HeaderValue::try_from(format!("Bearer {bearer}")).map_err(bad_token)?;
        bearer.set_sensitive(true);
        let builder = http::Request::builder().method(method).uri(url).header(AUTHORIZATION, bearer);
        let request = self.client.build_request(builder, body).map_err(|error| self.lost(&error))?;
        let exchange = async {
            let answer = self.client.execute(request).await.map_err(|error| self.lost(&error))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| Lost::Sent(format!("the answer broke off: {error}")))?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        match tokio::time::timeout(self.call, exchange).await {
            Ok(answered) => answered,
            Err(_) => Err(Lost::Sent(format!("no answer in {} ms", self.call.as_millis()))),
        }
    }

    /// A connection that never came about has sent nothing.
    fn lost(&self, error: &octocrab::Error) -> Lost {
        let mut cause = error.source();
        let mut reason = "the connection broke".to_owned();
        while let Some(error) = cause {
            reason = error.to_string();
            let client = error.downcast_ref::<hyper_util::client::legacy::Error>();
            if client.is_some_and(hyper_util::client::legacy::Error::is_connect) {
                let reason = error.source().map_or(reason, ToString::to_string);
                return Lost::Unsent(RepositoryError::Unreachable { remote: self.rest_url.clone(), reason });
            }
            cause = error.source();
        }
        Lost::Sent(reason)
    }

    /// What a status other than success means; `None` for success.
    pub(super) fn refusal(&self, answer: &Answer) -> Option<RepositoryError> {
        let remote = self.rest_url.clone();
        let header = |name| answer.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let reason = match body["message"].as_str() {
            Some(message) => shorten(&with_details(message, &body)),
            None => format!("status {}", answer.status),
        };
        let limited = header(RETRY_AFTER).is_some()
            || answer.headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0")
            || reason.to_ascii_lowercase().contains("rate limit");
        Some(match answer.status {
            status if status.is_success() => return None,
            StatusCode::UNAUTHORIZED => RepositoryError::Unauthorized { remote, reason },
            StatusCode::TOO_MANY_REQUESTS => {
                RepositoryError::RateLimited { remote, retry_after: retry_after(&answer.headers) }
            }
            StatusCode::FORBIDDEN if limited => {
                RepositoryError::RateLimited { remote, retry_after: retry_after(&answer.headers) }
            }
            StatusCode::FORBIDDEN => RepositoryError::Forbidden { remote, reason },
            StatusCode::NOT_FOUND => RepositoryError::NotFound { what: self.repository.clone() },
            status if status.is_redirection() => RepositoryError::Moved {
                remote: self.repository.clone(),
                location: header(LOCATION).unwrap_or("another place").to_owned(),
            },
            // Something else is being done there: later it may be possible.
            status if status.is_server_error() || status == StatusCode::CONFLICT => {
                RepositoryError::Unreachable { remote, reason }
            }
            _ => RepositoryError::Unexpected { remote, reason },
        })
    }

    /// What a read has answered.
    pub(super) fn told(&self, answer: &Answer) -> Result<Value, RepositoryError> {
        if let Some(error) = self.refusal(answer) {
            return Err(error);
        }
        serde_json::from_slice(&answer.body).map_err(|_| RepositoryError::Unreachable {
            remote: self.rest_url.clone(),
            reason: "its answer is not JSON".to_owned(),
        })
    }
}

/// How long GitHub wants us to wait. Its own `date` is the clock that `x-ratelimit-reset` is read by.
pub(super) fn retry_after(headers: &HeaderMap) -> Duration {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let until_reset = || Some(number("x-ratelimit-reset")? - date(headers)?);
    let seconds = number(RETRY_AFTER.as_str()).or_else(until_reset);
    seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(RATE_LIMIT_WAIT, Duration::from_secs)
        .clamp(Duration::from_secs(1), RETRY_AFTER_MAX)
}

/// What GitHub's clock says, in seconds since 1970.
pub(super) fn date(headers: &HeaderMap) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    chrono::DateTime::parse_from_rfc2822(date).ok().map(|date| date.timestamp())
}

/// What a failed validation is about stands in a list beside the message.
fn with_details(message: &str, body: &Value) -> String {
    let details = body["errors"].as_array().into_iter().flatten();
    let details: Vec<&str> = details.filter_map(|detail| detail["message"].as_str()).collect();
    if details.is_empty() { message.to_owned() } else { format!("{message}: {}", details.join("; ")) }
}

pub(super) fn shorten(text: &str) -> String {
    text.chars().take(REASON_CHARS_MAX).collect()
}
