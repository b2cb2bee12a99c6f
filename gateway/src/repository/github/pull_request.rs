//! Pull requests over REST: opened once for a branch, brought up to date, found again, closed.
//!
//! Through octocrab's raw door like everything here: its typed calls drop the headers that say how long
//! to wait. A fork may have a branch of the same name, so what is listed is looked at before it is
//! believed.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::FileChange;
use super::super::proposal::{
    Closing, FoundPullRequest, ProposalBranch, Proposed, PullRequest, PullRequestDraft,
};
use super::super::push::Checked;
use super::super::remote_error::{CommitError, RepositoryError};
use super::{Answer, GitHub};
use crate::model::manifest::CommitSha;

/// How many pull requests of a branch are looked at: one is open, and all of a list's bodies must fit
/// into the largest answer.
const LISTED_MAX: usize = 5;

/// A pull request as it is listed.
struct Listed {
    pull_request: PullRequest,
    is_open: bool,
    head: CommitSha,
    base: String,
    title: String,
    body: String,
    labels: Vec<String>,
}

impl GitHub {
    /// See [`super::super::Repository::propose`].
    pub(in super::super) async fn propose(
        &self,
        base: &CommitSha,
        files: &[FileChange],
        message: &str,
        checked: &Checked,
        draft: &PullRequestDraft,
        known: Option<&CommitSha>,
    ) -> Result<Proposed, CommitError> {
        if draft.branch.as_str() == self.branch {
            let reason = format!("repository.branch is {}, a branch of pull requests", self.branch);
            return Err(RepositoryError::Config { reason }.into());
        }
        let commit = self.put(&draft.branch, base, files, message, checked, known).await?;
        let open = self.list(&draft.branch, "open").await?;
        let open = open.into_iter().find(|listed| listed.base == self.branch);
        let (pull_request, labels) = match open {
            Some(listed) => {
                if listed.title != draft.title || listed.body != draft.body {
                    self.edit(&listed, &json!({ "title": draft.title, "body": draft.body })).await?;
                }
                (listed.pull_request, listed.labels)
            }
            None => (self.open(draft).await?, Vec::new()),
        };
        if draft.labels.iter().any(|label| !labels.contains(label)) {
            self.label(&pull_request, &draft.labels).await;
        }
        Ok(Proposed { pull_request, commit })
    }

    /// See [`super::super::Repository::find_pull_request`].
    pub(in super::super) async fn find(
        &self,
        branch: &ProposalBranch,
        marker: &str,
    ) -> Result<Option<FoundPullRequest>, RepositoryError> {
        let listed = self.list(branch, "all").await?;
        let Some(found) = listed.into_iter().find(|listed| listed.body.starts_with(marker)) else {
            return Ok(None);
        };
        let commit = self.standing(branch).await?.map(|standing| standing.commit);
        Ok(Some(FoundPullRequest {
            is_open: found.is_open,
            commit: commit.filter(|commit| commit.sha == found.head),
            pull_request: found.pull_request,
        }))
    }

    /// See [`super::super::Repository::close_pull_request`].
    pub(in super::super) async fn close(
        &self,
        branch: &ProposalBranch,
        comment: &str,
        known: Option<&CommitSha>,
    ) -> Result<Closing, CommitError> {
        let open = self.list(branch, "open").await?;
        let standing = self.standing(branch).await?;
        let is_ours = standing.as_ref().is_none_or(|standing| standing.is_ours(known));
        if open.iter().any(|listed| listed.base != self.branch) || !(open.is_empty() || is_ours) {
            return Ok(Closing::Left);
        }
        for listed in &open {
            let number = listed.pull_request.number;
            let url = self.address(&format!("/issues/{number}/comments"));
            self.done(&self.write(Method::POST, &url, &json!({ "body": comment })).await?)?;
            self.edit(listed, &json!({ "state": "closed" })).await?;
        }
        if let Some(standing) = standing.filter(|_| is_ours) {
            self.delete(branch, &standing.commit.sha).await?;
        }
        Ok(if open.is_empty() { Closing::WasClosed } else { Closing::Closed })
    }

    async fn open(&self, draft: &PullRequestDraft) -> Result<PullRequest, CommitError> {
        let request = json!({
            "title": draft.title,
            "body": draft.body,
            "head": draft.branch.as_str(),
            "base": self.branch,
        });
        let answer = self.write(Method::POST, &self.address("/pulls"), &request).await?;
        match self.done(&answer) {
            Ok(opened) => self.listed(&opened).map(|listed| listed.pull_request).ok_or_else(|| {
                CommitError::Unknown { reason: "GitHub's answer names no pull request".to_owned() }
            }),
            Err(CommitError::Repository(RepositoryError::Unexpected { reason, remote })) => {
                let lower = reason.to_ascii_lowercase();
                Err(if lower.contains("already exists") {
                    // Not listed yet: it will be by the next attempt.
                    CommitError::Unknown { reason }
                } else if lower.contains("no commits between") {
                    CommitError::HeadMoved { branch: self.branch.clone() }
                } else {
                    RepositoryError::Unexpected { remote, reason }.into()
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn edit(&self, listed: &Listed, request: &Value) -> Result<(), CommitError> {
        let url = self.address(&format!("/pulls/{}", listed.pull_request.number));
        self.done(&self.write(Method::PATCH, &url, request).await?).map(drop)
    }

    /// Labels are for people's filters: a proposal without them is one all the same.
    async fn label(&self, pull_request: &PullRequest, labels: &[String]) {
        let number = pull_request.number;
        let url = self.address(&format!("/issues/{number}/labels"));
        let labelled = match self.write(Method::POST, &url, &json!({ "labels": labels })).await {
            Ok(answer) => self.done(&answer).map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = labelled {
            tracing::warn!(pull_request.number = number, error = %error, "a pull request could not be labelled");
        }
    }

    /// The pull requests that want this branch of this repository merged, newest first.
    async fn list(&self, branch: &ProposalBranch, state: &str) -> Result<Vec<Listed>, RepositoryError> {
        let owner = self.repository.split('/').next().unwrap_or_default();
        // Nothing in these needs an escape: see the branch's name.
        let path = format!("/pulls?state={state}&per_page={LISTED_MAX}&head={owner}:{}", branch.as_str());
        let answer = self.read(&self.address(&path)).await?;
        let listed = self.told(&answer)?;
        let listed = listed.as_array().ok_or_else(|| self.not_understood("the pull requests are no list"))?;
        let ours = listed.iter().filter(|pull_request| {
            let of = pull_request["head"]["repo"]["full_name"].as_str().unwrap_or_default();
            of.eq_ignore_ascii_case(&self.repository) && pull_request["head"]["ref"] == branch.as_str()
        });
        Ok(ours.filter_map(|pull_request| self.listed(pull_request)).collect())
    }

    fn listed(&self, value: &Value) -> Option<Listed> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = value["labels"].as_array().map(Vec::as_slice).unwrap_or_default();
        Some(Listed {
            pull_request: PullRequest {
                number: value["number"].as_i64()?,
                url: value["html_url"].as_str()?.to_owned(),
            },
            is_open: value["state"] == "open",
            head: CommitSha::parse(value["head"]["sha"].as_str()?).ok()?,
            base: text(&value["base"]["ref"]),
            title: text(&value["title"]),
            body: text(&value["body"]),
            labels: labels.iter().map(|label| text(&label["name"])).collect(),
        })
    }

    /// What a write has answered.
    pub(super) fn done(&self, answer: &Answer) -> Result<Value, CommitError> {
        match self.refusal(answer) {
            Some(RepositoryError::Unexpected { reason, .. })
                if answer.status == StatusCode::UNPROCESSABLE_ENTITY
                    && reason.to_ascii_lowercase().contains("rule violations") =>
            {
                Err(CommitError::Protected { branch: "riposte/**".to_owned(), reason })
            }
            Some(error) => Err(error.into()),
            None => serde_json::from_slice(&answer.body)
                .map_err(|_| CommitError::Unknown { reason: "GitHub's answer is not JSON".to_owned() }),
        }
    }

    pub(super) fn told(&self, answer: &Answer) -> Result<Value, RepositoryError> {
        self.wire.told(answer)
    }

    pub(super) fn not_understood(&self, reason: &str) -> RepositoryError {
        RepositoryError::Unexpected { remote: self.wire.rest_url.clone(), reason: reason.to_owned() }
    }
}
