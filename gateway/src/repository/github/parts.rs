//! A commit by GitHub's Git Data API, for what `createCommitOnBranch` cannot do: keep a file executable,
//! take a very large commit, or be there at all, on an old GitHub Enterprise server.
//!
//! Blobs, a tree and a commit are made beside the branch, and nobody sees them. Only the last call counts:
//! it moves the branch forward, and GitHub makes it only if the commit is a descendant of the branch's.
//! Before that the branch is compared with the base, because had somebody taken a commit back, a move
//! forward would bring it in again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::super::FileChange;
use super::super::push::Checked;
use super::super::remote_error::{CommitError, RepositoryError};
use super::GitHub;
use crate::model::manifest::CommitSha;

/// What a branch's name may have and the path of an address may not.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// How many calls make the commit: one for each file with content, the tree, the commit, and the branch.
pub(super) fn calls(files: &[FileChange]) -> u32 {
    let blobs = files.iter().filter(|file| file.content.is_some()).count();
    u32::try_from(blobs).unwrap_or(u32::MAX).saturating_add(3)
}

impl GitHub {
    pub(super) async fn commit_by_parts(
        &self,
        branch: &str,
        base: &CommitSha,
        files: &[FileChange],
        message: &str,
        checked: &Checked,
    ) -> Result<CommitSha, CommitError> {
        let mut entries = Vec::with_capacity(files.len());
        for file in files {
            let mode = if checked.executables.contains(&file.path) { "100755" } else { "100644" };
            let blob = match &file.content {
                Some(content) => Some(self.make_blob(content).await?),
                None => None,
            };
            entries.push(json!({ "path": file.path, "mode": mode, "type": "blob", "sha": blob }));
        }
        let request = json!({ "base_tree": checked.base_tree.to_string(), "tree": entries });
        let tree = self.make("trees", &request).await?;
        if tree["sha"] != checked.tree.to_string() {
            let reason = format!("it made another tree of these files than Git's {}", checked.tree);
            return Err(self.not_understood(&reason).into());
        }
        let request =
            json!({ "message": message.trim_end(), "tree": tree["sha"], "parents": [base.as_str()] });
        let commit = self.sha(&self.make("commits", &request).await?["sha"])?;
        self.fast_forward(branch, base, &commit).await?;
        Ok(commit)
    }

    async fn make_blob(&self, content: &str) -> Result<Value, CommitError> {
        let request = json!({ "content": STANDARD.encode(content), "encoding": "base64" });
        Ok(self.make("blobs", &request).await?["sha"].take())
    }

    /// Makes an object, which is in no branch yet.
    async fn make(&self, kind: &str, request: &Value) -> Result<Value, CommitError> {
        let answer = self.write(Method::POST, &self.address(&format!("/git/{kind}")), request).await?;
        self.done(&answer)
    }

    /// Moves the branch from the base to a commit made on it.
    async fn fast_forward(
        &self,
        branch: &str,
        base: &CommitSha,
        commit: &CommitSha,
    ) -> Result<(), CommitError> {
        let moved = || CommitError::HeadMoved { branch: branch.to_owned() };
        let missing =
            || RepositoryError::NotFound { what: format!("branch {branch} of {}", self.repository) };
        let escaped = utf8_percent_encode(branch, ESCAPED);
        let at = self.read(&self.address(&format!("/git/ref/heads/{escaped}"))).await?;
        if at.status == StatusCode::NOT_FOUND {
            return Err(missing().into());
        }
        if self.sha(&self.told(&at)?["object"]["sha"])? != *base {
            return Err(moved());
        }
        let url = self.address(&format!("/git/refs/heads/{escaped}"));
        let request = json!({ "sha": commit.as_str(), "force": false });
        let answer = self.write(Method::PATCH, &url, &request).await?;
        match self.refusal(&answer) {
            None => Ok(()),
            Some(RepositoryError::Unexpected { reason, .. })
                if answer.status == StatusCode::UNPROCESSABLE_ENTITY =>
            {
                let lower = reason.to_ascii_lowercase();
                Err(if lower.contains("fast forward") {
                    moved()
                } else if lower.contains("does not exist") {
                    missing().into()
                } else {
                    // What is left are the rules of the branch, each with words of its own.
                    CommitError::Protected { branch: branch.to_owned(), reason }
                })
            }
            Some(error) => Err(error.into()),
        }
    }
}
