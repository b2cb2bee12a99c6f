//! Commits through GitHub's `createCommitOnBranch`: one call, signed by GitHub, made only if the
//! branch is at the expected commit. What that call cannot do is made of its parts, in `parts`.
//!
//! The call goes through octocrab's raw door, because its GraphQL helper drops the `type` of an error
//! and misses the address of GitHub Enterprise. Nothing is sent twice: octocrab is built without its
//! retry layer, and after a lost answer the caller looks for the trailer. Reading is Git's work.

mod app;
mod branch;
mod parts;
mod pull_request;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::FileChange;
use super::config::{Access, GitHubConfig, Remote, read_secret, without_token};
use super::push::Checked;
use super::remote_error::{CommitError, RepositoryError};
use crate::model::manifest::CommitSha;
pub(super) use app::App;
use wire::{Answer, Lost, Wire, retry_after, shorten};

/// The most that the mutation is given, in bytes: GitHub takes 45 MB of it, in base64.
const MUTATION_BYTES_MAX: usize = 30 * 1024 * 1024;

const MUTATION: &str = "mutation($input: CreateCommitOnBranchInput!) {\
 createCommitOnBranch(input: $input) { commit { oid } } }";

/// GitHub as this repository is reached there.
#[derive(Debug)]
pub(super) struct GitHub {
    wire: Arc<Wire>,
    graphql_url: String,
    repository: String,
    branch: String,
    tokens: Tokens,
    node_id: branch::NodeId,
    /// An old GitHub Enterprise server said that it has no `createCommitOnBranch`.
    lacks_mutation: AtomicBool,
}

/// Where the token of a call comes from.
#[derive(Debug)]
enum Tokens {
    File(PathBuf),
    App(Arc<App>),
}

impl GitHub {
    /// Must run inside the tokio runtime.
    pub(super) fn new(config: GitHubConfig, remote: &Remote) -> Result<Self, RepositoryError> {
        let graphql_url = match config.api_url.strip_suffix("/v3") {
            Some(enterprise) => format!("{enterprise}/graphql"),
            None => format!("{}/graphql", config.api_url),
        };
        let repository = config.repository.clone();
        let wire = Arc::new(Wire::new(config, remote.limits.fetch())?);
        let tokens = match &remote.access {
            Access::Token { file, .. } => Tokens::File(file.clone()),
            Access::App(app) => Tokens::App(Arc::new(App::new(app.clone(), Arc::clone(&wire)))),
            Access::Open | Access::SshKey { .. } => return Err(without_token()),
        };
        let (branch, node_id) = (remote.branch.clone(), branch::NodeId::new());
        let lacks_mutation = AtomicBool::new(false);
        Ok(Self { wire, graphql_url, repository, branch, tokens, node_id, lacks_mutation })
    }

    /// The App that Git fetches as, too.
    pub(super) fn app(&self) -> Option<Arc<App>> {
        match &self.tokens {
            Tokens::App(app) => Some(Arc::clone(app)),
            Tokens::File(_) => None,
        }
    }

    pub(super) async fn commit(
        &self,
        base: &CommitSha,
        files: &[FileChange],
        message: &str,
        checked: &Checked,
    ) -> Result<CommitSha, CommitError> {
        self.commit_on(&self.branch, base, files, message, checked).await
    }

    /// How many calls a commit takes that make something.
    pub(super) fn commit_calls(&self, files: &[FileChange], checked: &Checked) -> u32 {
        if self.is_by_parts(files, checked) { parts::calls(files) } else { 1 }
    }

    /// Whether one call cannot make a commit.
    fn is_by_parts(&self, files: &[FileChange], checked: &Checked) -> bool {
        let bytes = files.iter().filter_map(|file| file.content.as_ref()).map(String::len).sum::<usize>();
        let cannot = !checked.executables.is_empty() || bytes > MUTATION_BYTES_MAX;
        cannot || self.lacks_mutation.load(Ordering::Relaxed)
    }

    /// The same on any branch.
    async fn commit_on(
        &self,
        branch: &str,
        base: &CommitSha,
        files: &[FileChange],
        message: &str,
        checked: &Checked,
    ) -> Result<CommitSha, CommitError> {
        if self.is_by_parts(files, checked) {
            return self.commit_by_parts(branch, base, files, message, checked).await;
        }
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
        let made = self.mutate(&request, branch).await;
        if let Err(CommitError::NoMutation { reason, .. }) = &made {
            tracing::info!(reason, "GitHub has no createCommitOnBranch; commits are made of their parts");
            self.lacks_mutation.store(true, Ordering::Relaxed);
        }
        let made = made?;
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
        self.call(Method::GET, url, None).await.map_err(|lost| lost.unreachable(&self.wire.rest_url))
    }

    /// Sends once, with another token once more if the App's one has ended or was taken back: what is
    /// answered with 401 was not done.
    async fn call(&self, method: Method, url: &str, body: Option<&Value>) -> Result<Answer, Lost> {
        let token = match &self.tokens {
            Tokens::File(file) => read_secret(file).map_err(Lost::Unsent)?,
            Tokens::App(app) => app.token().await.map_err(Lost::Unsent)?,
        };
        let answer = self.wire.send(method.clone(), url, &token, body).await?;
        match &self.tokens {
            Tokens::App(app) if answer.status == StatusCode::UNAUTHORIZED => {
                let token = app.renewed(&token).await.map_err(Lost::Unsent)?;
                self.wire.send(method, url, &token, body).await
            }
            _ => Ok(answer),
        }
    }

    /// The address of something of the repository; empty for the repository.
    fn address(&self, path: &str) -> String {
        self.wire.address(path)
    }

    fn refusal(&self, answer: &Answer) -> Option<RepositoryError> {
        self.wire.refusal(answer)
    }

    /// Whether the token may read and push.
    pub(super) async fn check(&self) -> Result<(), RepositoryError> {
        if let Tokens::App(app) = &self.tokens {
            app.check().await?;
        }
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
        // Fine-grained tokens may not be told their permissions; only a clear no counts. An App is told
        // no whatever it may do: its own permissions came with its token.
        if repository["permissions"]["push"] == false && matches!(self.tokens, Tokens::File(_)) {
            return forbidden("the token may not push: it needs the permission Contents: write");
        }
        Ok(())
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
            // "Repository was archived so is read-only": a person can end that.
            _ if lower.contains("archived") => RepositoryError::Forbidden { remote, reason }.into(),
            "FORBIDDEN" | "INSUFFICIENT_SCOPES" => RepositoryError::Forbidden { remote, reason }.into(),
            "NOT_FOUND" => RepositoryError::NotFound { what: format!("{remote} ({reason})") }.into(),
            // Refused before anything was done.
            _ if lacks_mutation(&reason) => CommitError::NoMutation { remote, reason },
            "UNPROCESSABLE" => RepositoryError::Unexpected { remote, reason }.into(),
            _ => CommitError::Unknown { reason },
        }
    }
}

/// Whether these are the words for a mutation, or for its input, that this GitHub does not know.
fn lacks_mutation(reason: &str) -> bool {
    reason.contains("doesn't exist on type 'Mutation'") || reason.contains("isn't a defined input type")
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
