//! Proposing a change by a pull request instead of committing it, where the repository is on GitHub.
//!
//! A plugin has one branch of its own for each object, so that the same object is proposed in the same
//! pull request. Nothing here writes outside of `riposte/`, and a branch that a person has pushed to is
//! left to the person.

use sha2::{Digest, Sha256};

use super::github::GitHub;
use super::{CommitError, FileChange, Repository, RepositoryError, push};
use crate::model::manifest::{CommitSha, ObjectRef};

/// The longest part of a branch's name that is a plugin's name, and that is an object's, in characters.
const PLUGIN_CHARS_MAX: usize = 40;
const OBJECT_CHARS_MAX: usize = 80;

/// How much of the digest is in a branch's name, in bytes.
const DIGEST_BYTES: usize = 6;

/// A branch of our own. Only such a branch is ever forced or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalBranch(String);

impl ProposalBranch {
    /// The branch for a plugin and the objects that it wants changed, whatever their order:
    /// `riposte/<plugin>/<object>-<digest>`. The words are for people; the digest tells apart what reads
    /// the same.
    #[must_use]
    pub fn new(plugin: &str, targets: &[&ObjectRef]) -> Self {
        let mut objects: Vec<[&str; 4]> = targets.iter().map(|target| parts(target)).collect();
        objects.sort_unstable();
        objects.dedup();
        let mut hasher = Sha256::new();
        for text in std::iter::once(plugin).chain(objects.iter().flatten().copied()) {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
        let digest = hasher.finalize();
        let digest: String = digest[..DIGEST_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        let object = objects.first().map_or_else(String::new, |[_, kind, namespace, name]| {
            slug(&format!("{kind}-{namespace}-{name}"), OBJECT_CHARS_MAX)
        });
        let more = match objects.len() {
            0 | 1 => String::new(),
            objects => format!("-and-{}-more", objects - 1),
        };
        Self(format!("riposte/{}/{object}{more}-{digest}", slug(plugin, PLUGIN_CHARS_MAX)))
    }

    /// The name, without `refs/heads/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the next commit is made before the branch is moved to it: a branch that stood at its base
    /// even for a moment would have its pull request closed by GitHub.
    pub(super) fn staging(&self) -> String {
        format!("{}.next", self.0)
    }
}

/// What an object is, whichever version of its kind is asked for.
fn parts(target: &ObjectRef) -> [&str; 4] {
    let group = target.api_version.split_once('/').map_or("", |(group, _)| group);
    [group, &target.kind, target.namespace.as_deref().unwrap_or_default(), &target.name]
}

/// Lower-case letters, digits and single dashes: safe in a ref and in an address.
fn slug(text: &str, chars_max: usize) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == chars_max {
            break;
        }
    }
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "unnamed".to_owned() } else { slug.to_owned() }
}

/// A pull request as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestDraft {
    /// The branch that it wants merged.
    pub branch: ProposalBranch,
    /// One line.
    pub title: String,
    /// Markdown that begins with `marker`.
    pub body: String,
    /// What the body of no other reaction's pull request begins with.
    pub marker: String,
    /// Labels; those that the repository lacks are made by GitHub.
    pub labels: Vec<String>,
}

/// A pull request as GitHub has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number in the repository.
    pub number: i64,
    /// Its page.
    pub url: String,
}

/// A pull request that was found by its marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPullRequest {
    /// The pull request.
    pub pull_request: PullRequest,
    /// Whether it is open.
    pub is_open: bool,
    /// The commit that its branch is at, as long as there is the branch.
    pub commit: Option<ProposedCommit>,
}

/// A change that is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// The pull request, which is open.
    pub pull_request: PullRequest,
    /// The commit on its branch.
    pub commit: ProposedCommit,
}

/// The one commit on the branch of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedCommit {
    /// Its id.
    pub sha: CommitSha,
    /// The commit it was made on.
    pub base: CommitSha,
    /// Its whole message.
    pub message: String,
}

/// What became of a pull request that should be open no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closing {
    /// It is closed now, and its branch is gone.
    Closed,
    /// It was merged or closed before.
    WasClosed,
    /// It is open still: people have made it their own, by commits or by another base.
    Left,
}

impl Repository {
    /// Whether changes can be proposed by pull requests.
    #[must_use]
    pub fn takes_pull_requests(&self) -> bool {
        self.github.is_some()
    }

    /// Sees to it that the draft's pull request is open, with one commit of these files on `base`. What
    /// is there already is not made again: after a failure the same call goes on.
    ///
    /// `message` ends with trailers; `known` is the commit that the branch was left at, if one is known.
    ///
    /// # Errors
    /// [`CommitError::Taken`] when the branch is not as we left it; [`CommitError::HeadMoved`] when
    /// something moved meanwhile; [`CommitError::Unknown`] when an answer was lost.
    pub async fn propose(
        &self,
        base: &CommitSha,
        files: &[FileChange],
        message: &str,
        draft: &PullRequestDraft,
        known: Option<&CommitSha>,
    ) -> Result<Proposed, CommitError> {
        let github = self.pull_requests()?;
        let (on, changes) = (base.clone(), files.to_vec());
        let checked = self.blocking(move |clone, _| push::check(clone, &on, &changes)).await?;
        github.propose(base, files, message, &checked, draft, known).await
    }

    /// The pull request of the branch, open or not, whose body begins with the marker.
    ///
    /// # Errors
    /// When GitHub does not tell.
    pub async fn find_pull_request(
        &self,
        branch: &ProposalBranch,
        marker: &str,
    ) -> Result<Option<FoundPullRequest>, RepositoryError> {
        self.pull_requests()?.find(branch, marker).await
    }

    /// Closes the branch's pull request with this comment, and deletes the branch.
    ///
    /// # Errors
    /// When GitHub did not do all of it; the same call goes on.
    pub async fn close_pull_request(
        &self,
        branch: &ProposalBranch,
        comment: &str,
        known: Option<&CommitSha>,
    ) -> Result<Closing, CommitError> {
        self.pull_requests()?.close(branch, comment, known).await
    }

    fn pull_requests(&self) -> Result<&GitHub, RepositoryError> {
        let reason = "pull requests need a repository on GitHub; plain Git has none";
        self.github.as_deref().ok_or_else(|| RepositoryError::Config { reason: reason.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(kind: &str, namespace: Option<&str>, name: &str) -> ObjectRef {
        ObjectRef {
            api_version: "apps/v1".to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    fn branch(plugin: &str, targets: &[&ObjectRef]) -> String {
        ProposalBranch::new(plugin, targets).as_str().to_owned()
    }

    #[test]
    fn a_branch_is_named_after_plugin_and_object() {
        let web = object("Deployment", Some("shop"), "web");
        let named = branch("scale-to-zero", &[&web]);
        assert!(named.starts_with("riposte/scale-to-zero/deployment-shop-web-"), "{named}");
        assert_eq!(named.len(), "riposte/scale-to-zero/deployment-shop-web-".len() + 2 * DIGEST_BYTES);
        let newer = ObjectRef { api_version: "apps/v2".to_owned(), ..web.clone() };
        assert_eq!(branch("scale-to-zero", &[&newer]), named, "a version is no other object");
        let db = object("Deployment", Some("shop"), "db");
        assert_eq!(branch("p", &[&web, &db, &web]), branch("p", &[&db, &web]), "the order is no matter");
        assert!(branch("p", &[&web, &db]).contains("/deployment-shop-db-and-1-more-"));
    }

    #[test]
    fn what_reads_the_same_is_told_apart() {
        let long = "n".repeat(300);
        let (a, b) = (format!("{long}a"), format!("{long}b"));
        let names = [
            branch("p", &[&object("Deployment", Some("a"), "b-c")]),
            branch("p", &[&object("Deployment", Some("a-b"), "c")]),
            branch("p", &[&object("Deployment", None, "a-b-c")]),
            branch("P", &[&object("Deployment", Some("a"), "b-c")]),
            branch("p", &[&object("Deployment", Some("a"), "b.c")]),
            branch("p", &[&object("Deployment", Some("a"), &a)]),
            branch("p", &[&object("Deployment", Some("a"), &b)]),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_a_safe_ref(plugin in "(?s).{0,60}", kind in "(?s).{0,60}", name in "(?s).{0,300}") {
            let named = ProposalBranch::new(&plugin, &[&object(&kind, Some(&name), &name)]);
            for name in [named.as_str(), &named.staging()] {
                let full = format!("refs/heads/{name}");
                prop_assert!(git2::Reference::is_valid_name(&full), "{}", full);
                prop_assert!(name.starts_with("riposte/") && name.len() <= 160, "{}", name);
                prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "-/.".contains(c)), "{}", name);
            }
        }
    }
}
