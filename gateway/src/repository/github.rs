//! Commits through GitHub's `createCommitOnBranch`: one call, signed by GitHub, made only if the
//! branch is at the expected commit.
//!
//! The call goes through octocrab's raw door, because its GraphQL helper drops the `type` of an error
//! and misses the address of GitHub Enterprise. Nothing is sent twice: octocrab is built without its
//! retry layer, and after a lost answer the caller looks for the trailer. Reading is Git's work.

mod branch;
mod pull_request;

use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, DATE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use octocrab::Octocrab;
use serde_json::{Value, json};

use super::FileChange;
use super::config::{Access, GitHubConfig, Remote, read_secret};
use super::remote_error::{CommitError, RATE_LIMIT_WAIT, RepositoryError};
use crate::model::manifest::CommitSha;

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The longest wait that a header can make us take, so that a wrong clock does not stop us for days.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The longest piece of an answer that goes into an error, in characters.
const REASON_CHARS_MAX: usize = 300;

const MUTATION: &str = "mutation($input: CreateCommitOnBranchInput!) {\
 createCommitOnBranch(input: $input) { commit { oid } } }";

/// GitHub as this repository is reached there.
#[derive(Debug)]
pub(super) struct GitHub {
    client: Octocrab,
    rest_url: String,
    graphql_url: String,
    repository: String,
    branch: String,
    token_file: PathBuf,
    call: Duration,
    node_id: branch::NodeId,
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// No answer.
enum Lost {
    /// Nothing was sent.
    Unsent(RepositoryError),
    /// Sent, then the line broke or the time was up.
    Sent(String),
}

impl GitHub {
    /// Must run inside the tokio runtime.
    pub(super) fn new(config: GitHubConfig, remote: &Remote) -> Result<Self, RepositoryError> {
        let Access::Token { file, .. } = &remote.access else {
            return Err(RepositoryError::Config { reason: "GitHub's API needs auth.tokenFile".to_owned() });
        };
        let unusable = |error: &dyn std::error::Error| RepositoryError::Config {
            reason: format!("no client for {}: {error}", config.api_url),
        };
        // octocrab puts the path of its base before every path that lacks it, which is wrong for
        // GraphQL on GitHub Enterprise: so its base is the bare origin.
        let url = url::Url::parse(&config.api_url).map_err(|error| unusable(&error))?;
        let call = remote.limits.fetch();
        let client = Octocrab::builder()
            .base_uri(url.origin().ascii_serialization())
            .map_err(|error| unusable(&error))?
            .set_connect_timeout(Some(call))
            .build()
            .map_err(|error| unusable(&error))?;
        let graphql_url = match config.api_url.strip_suffix("/v3") {
            Some(enterprise) => format!("{enterprise}/graphql"),
            None => format!("{}/graphql", config.api_url),
        };
        Ok(Self {
            client,
            graphql_url,
            rest_url: config.api_url,
            repository: config.repository,
            branch: remote.branch.clone(),
            token_file: file.clone(),
            call,
            node_id: branch::NodeId::new(),
        })
    }

    pub(super) async fn commit(
        &self,
        base: &CommitSha,
        files: &[FileChange],
        message: &str,
    ) -> Result<CommitSha, CommitError> {
        self.commit_on(&self.branch, base, files, message).await
    }

    /// The same on any branch.
    async fn commit_on(
        &self,
        branch: &str,
        base: &CommitSha,
        files: &[FileChange],
        message: &str,
    ) -> Result<CommitSha, CommitError> {
        let (headline, body) = message.split_once('\n').unwrap_or((message, ""));
        let request = json!({
            "query": MUTATION,
            "variables": { "input": {
                "branch": { "repositoryNameWithOwner": self.repository, "branchName": branch },
                "expectedHeadOid": base.as_str(),
                "message": { "headline": headline, "body": body.trim_matches('\n') },
                "fileChanges": file_changes(files),
            } },
        });
        let made = self.mutate(&request, branch).await?;
        let oid = made["createCommitOnBranch"]["commit"]["oid"].as_str();
        oid.and_then(|oid| CommitSha::parse(oid).ok()).ok_or_else(|| CommitError::Unknown {
            reason: "GitHub names neither a commit nor an error".to_owned(),
        })
    }

    /// The data that a mutation answers with; `branch` is what it writes.
    async fn mutate(&self, request: &Value, branch: &str) -> Result<Value, CommitError> {
        let answer = self.write(Method::POST, &self.graphql_url, request).await?;
        if let Some(error) = self.refusal(&answer) {
            return Err(error.into());
        }
        let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else {
            return Err(CommitError::Unknown { reason: "GitHub's answer is not JSON".to_owned() });
        };
        match body["errors"].as_array().and_then(|errors| errors.first()) {
            Some(error) => Err(self.graphql_error(error, &answer.headers, branch)),
            None => Ok(body["data"].take()),
        }
    }

    /// Asks for something to be done, once. A server's error does not tell whether it was.
    async fn write(&self, method: Method, url: &str, body: &Value) -> Result<Answer, CommitError> {
        match self.call(method, url, Some(body)).await {
            Ok(answer) if answer.status.is_server_error() => {
                Err(CommitError::Unknown { reason: format!("GitHub answered {}", answer.status) })
            }
            Ok(answer) => Ok(answer),
            Err(Lost::Unsent(error)) => Err(error.into()),
            Err(Lost::Sent(reason)) => Err(CommitError::Unknown { reason }),
        }
    }

    /// Asks for something to be told.
    async fn read(&self, url: &str) -> Result<Answer, RepositoryError> {
        self.call(Method::GET, url, None).await.map_err(|lost| match lost {
            Lost::Unsent(error) => error,
            Lost::Sent(reason) => RepositoryError::Unreachable { remote: self.rest_url.clone(), reason },
        })
    }

    /// The address of something of the repository; empty for the repository.
    fn address(&self, path: &str) -> String {
        format!("{}/repos/{}{path}", self.rest_url, self.repository)
    }

    /// Whether the token may read and push.
    pub(super) async fn check(&self) -> Result<(), RepositoryError> {
        let answer = self.read(&self.address("")).await?;
        if let Some(error) = self.refusal(&answer) {
            return Err(error);
        }
        let repository: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let forbidden = |reason: &str| {
            Err(RepositoryError::Forbidden { remote: self.repository.clone(), reason: reason.to_owned() })
        };
        if repository["archived"] == true {
            return forbidden("the repository is archived");
        }
        // Fine-grained tokens and apps may not be told their permissions; only a clear no counts.
        if repository["permissions"]["push"] == false {
            return forbidden("the token may not push: it needs the permission Contents: write");
        }
        Ok(())
    }

    /// Sends once and reads the whole answer.
    async fn call(&self, method: Method, url: &str, body: Option<&Value>) -> Result<Answer, Lost> {
        let token = read_secret(&self.token_file).map_err(Lost::Unsent)?;
        let bad_token = |_| {
            let reason = format!("{} holds characters that no token has", self.token_file.display());
            Lost::Unsent(RepositoryError::Unauthorized { remote: self.rest_url.clone(), reason })
        };
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(bad_token)?;
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

    /// The errors that come with status 200. Only those of a known kind say that nothing was written.
    fn graphql_error(&self, error: &Value, headers: &HeaderMap, branch: &str) -> CommitError {
        let kind = error["type"].as_str().unwrap_or_default();
        let reason = shorten(error["message"].as_str().unwrap_or_default());
        let lower = reason.to_ascii_lowercase();
        let (remote, branch) = (self.repository.clone(), branch.to_owned());
        let raced = lower.contains("expected branch to point to") || lower.contains(" but expected ");
        match kind {
            "STALE_DATA" => CommitError::HeadMoved { branch },
            _ if raced => CommitError::HeadMoved { branch },
            "BRANCH_PROTECTION_RULE_VIOLATION" => CommitError::Protected { branch, reason },
            _ if lower.contains("rule violations") => CommitError::Protected { branch, reason },
            "RATE_LIMITED" => {
                RepositoryError::RateLimited { remote, retry_after: retry_after(headers) }.into()
            }
            _ if lower.contains("secondary rate limit") => {
                RepositoryError::RateLimited { remote, retry_after: retry_after(headers) }.into()
            }
            "FORBIDDEN" | "INSUFFICIENT_SCOPES" => RepositoryError::Forbidden { remote, reason }.into(),
            "NOT_FOUND" => RepositoryError::NotFound { what: format!("{remote} ({reason})") }.into(),
            "UNPROCESSABLE" => RepositoryError::Unexpected { remote, reason }.into(),
            _ => CommitError::Unknown { reason },
        }
    }

    /// What a status other than success means; `None` for success.
    fn refusal(&self, answer: &Answer) -> Option<RepositoryError> {
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
            status if status.is_server_error() => RepositoryError::Unreachable { remote, reason },
            _ => RepositoryError::Unexpected { remote, reason },
        })
    }
}

/// Files as `FileChanges`. A list without entries is left out: GitHub answers a null there with an
/// opaque error.
fn file_changes(files: &[FileChange]) -> Value {
    let mut changes = serde_json::Map::new();
    for file in files {
        let (list, entry) = match &file.content {
            Some(content) => {
                ("additions", json!({ "path": file.path, "contents": STANDARD.encode(content) }))
            }
            None => ("deletions", json!({ "path": file.path })),
        };
        if let Some(list) = changes.entry(list).or_insert_with(|| json!([])).as_array_mut() {
            list.push(entry);
        }
    }
    changes.into()
}

/// How long GitHub wants us to wait. Its own `date` is the clock that `x-ratelimit-reset` is read by.
fn retry_after(headers: &HeaderMap) -> Duration {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let date =
        headers.get(DATE).and_then(|date| chrono::DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
    let until_reset = || Some(number("x-ratelimit-reset")? - date?.timestamp());
    let seconds = number(RETRY_AFTER.as_str()).or_else(until_reset);
    seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(RATE_LIMIT_WAIT, Duration::from_secs)
        .clamp(Duration::from_secs(1), RETRY_AFTER_MAX)
}

/// What a failed validation is about stands in a list beside the message.
fn with_details(message: &str, body: &Value) -> String {
    let details = body["errors"].as_array().into_iter().flatten();
    let details: Vec<&str> = details.filter_map(|detail| detail["message"].as_str()).collect();
    if details.is_empty() { message.to_owned() } else { format!("{message}: {}", details.join("; ")) }
}

fn shorten(text: &str) -> String {
    text.chars().take(REASON_CHARS_MAX).collect()
}
