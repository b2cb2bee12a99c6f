//! The branches of pull requests: told apart from those that people have pushed to, made beside, and
//! moved in one step by compare-and-swap.
//!
//! A commit of ours names its own tree in a trailer. Whoever amends it, rebases it or adds to it makes a
//! commit whose tree is another one.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::super::FileChange;
use super::super::proposal::{ProposalBranch, ProposedCommit};
use super::super::push::Checked;
use super::super::remote_error::{CommitError, RepositoryError};
use super::GitHub;
use crate::crash_point::CrashPoint;
use crate::model::manifest::CommitSha;

/// By which a commit of ours is known from one that was amended.
const TREE_TRAILER: &str = "Riposte-Tree";

/// No commit: what a ref is at that shall not be there.
const NOTHING: &str = "0000000000000000000000000000000000000000";

const UPDATE_REFS: &str =
    "mutation($input: UpdateRefsInput!) { updateRefs(input: $input) { clientMutationId } }";

/// GitHub's own name of the repository, once it has been asked for.
pub(super) type NodeId = OnceCell<String>;

/// The commit that a branch is at.
pub(super) struct Standing {
    pub(super) commit: ProposedCommit,
    tree: String,
    has_one_parent: bool,
}

impl Standing {
    /// Whether it is as we made it.
    pub(super) fn is_ours(&self, known: Option<&CommitSha>) -> bool {
        let trailers = git2::message_trailers_strs(&self.commit.message);
        let names_its_tree = trailers.is_ok_and(|trailers| {
            trailers.iter().any(|(key, value)| key == TREE_TRAILER && value == self.tree)
        });
        known == Some(&self.commit.sha) || (self.has_one_parent && names_its_tree)
    }

    fn is(&self, base: &CommitSha, tree: &str) -> bool {
        self.commit.base == *base && self.tree == tree
    }
}

impl GitHub {
    /// Sees to it that the branch has one commit, of these files on `base`.
    pub(super) async fn put(
        &self,
        branch: &ProposalBranch,
        base: &CommitSha,
        files: &[FileChange],
        message: &str,
        checked: &Checked,
        known: Option<&CommitSha>,
    ) -> Result<ProposedCommit, CommitError> {
        let tree = &checked.tree.to_string();
        let before = match self.standing(branch).await? {
            Some(standing) if !standing.is_ours(known) => {
                return Err(CommitError::Taken {
                    branch: branch.as_str().to_owned(),
                    head: standing.commit.sha,
                });
            }
            // A push would throw away the reviews.
            Some(standing) if standing.is(base, tree) => return Ok(standing.commit),
            standing => standing.map(|standing| standing.commit.sha),
        };
        let (staging, message) =
            (branch.staging(), format!("{}\n{TREE_TRAILER}: {tree}\n", message.trim_end()));
        self.stage(&staging, base).await?;
        let sha = self.commit_on(&staging, base, files, &message, checked).await?;
        CrashPoint::Staged.reach();
        let before = before.as_ref().map_or(NOTHING, CommitSha::as_str);
        let moves = [update(branch.as_str(), before, sha.as_str()), update(&staging, sha.as_str(), NOTHING)];
        self.update_refs(branch, &moves).await?;
        CrashPoint::BranchMoved.reach();
        Ok(ProposedCommit { sha, base: base.clone(), message })
    }

    /// Deletes the branch, if it is still at that commit.
    pub(super) async fn delete(&self, branch: &ProposalBranch, at: &CommitSha) -> Result<(), CommitError> {
        self.update_refs(branch, &[update(branch.as_str(), at.as_str(), NOTHING)]).await
    }

    /// The commit that the branch is at, if there is such a branch.
    pub(super) async fn standing(
        &self,
        branch: &ProposalBranch,
    ) -> Result<Option<Standing>, RepositoryError> {
        let url = self.address(&format!("/git/ref/heads/{}", branch.as_str()));
        let answer = self.read(&url).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let head = self.told(&answer)?;
        let url = self.address(&format!("/git/commits/{}", self.sha(&head["object"]["sha"])?));
        let commit = self.told(&self.read(&url).await?)?;
        let parents = commit["parents"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Some(Standing {
            commit: ProposedCommit {
                sha: self.sha(&commit["sha"])?,
                base: self.sha(&commit["parents"][0]["sha"])?,
                message: text(&commit["message"]),
            },
            tree: text(&commit["tree"]["sha"]),
            has_one_parent: parents.len() == 1,
        }))
    }

    /// Makes the staging branch anew; an earlier attempt may have left it.
    async fn stage(&self, staging: &str, base: &CommitSha) -> Result<(), CommitError> {
        let (url, name) = (self.address("/git/refs"), format!("refs/heads/{staging}"));
        let made = self.write(Method::POST, &url, &json!({ "ref": name, "sha": base.as_str() })).await?;
        let exists = made.status == StatusCode::UNPROCESSABLE_ENTITY
            && self.refusal(&made).is_some_and(|error| error.to_string().contains("already exists"));
        if !exists {
            return self.done(&made).map(drop);
        }
        let url = self.address(&format!("/git/refs/heads/{staging}"));
        let moved = self.write(Method::PATCH, &url, &json!({ "sha": base.as_str(), "force": true })).await?;
        self.done(&moved).map(drop)
    }

    /// All of these or none, and only from where they are told to be.
    async fn update_refs(&self, branch: &ProposalBranch, updates: &[Value]) -> Result<(), CommitError> {
        let repository = self.node_id.get_or_try_init(|| self.ask_node_id()).await?;
        let request = json!({
            "query": UPDATE_REFS,
            "variables": { "input": { "repositoryId": repository, "refUpdates": updates } },
        });
        match self.mutate(&request, branch.as_str()).await {
            Ok(data) if data["updateRefs"].is_object() => Ok(()),
            Ok(_) => {
                Err(CommitError::Unknown { reason: "GitHub does not say that refs were moved".to_owned() })
            }
            // Its words for a ref that is elsewhere are not documented: the next look at the branch tells.
            Err(CommitError::Repository(RepositoryError::Unexpected { reason, .. })) => {
                Err(CommitError::Unknown { reason })
            }
            Err(error) => Err(error),
        }
    }

    async fn ask_node_id(&self) -> Result<String, RepositoryError> {
        let repository = self.told(&self.read(&self.address("")).await?)?;
        let id = repository["node_id"].as_str().map(str::to_owned);
        id.ok_or_else(|| self.not_understood("the repository has no node_id"))
    }

    pub(super) fn sha(&self, value: &Value) -> Result<CommitSha, RepositoryError> {
        let sha = value.as_str().and_then(|text| CommitSha::parse(text).ok());
        sha.ok_or_else(|| self.not_understood("a commit has no id"))
    }
}

fn update(branch: &str, before: &str, after: &str) -> Value {
    json!({ "name": format!("refs/heads/{branch}"), "beforeOid": before, "afterOid": after, "force": true })
}
