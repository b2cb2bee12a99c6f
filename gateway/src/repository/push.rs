//! Makes a commit on a base and puts it onto the remote's branch by plain Git, if and only if the
//! branch is still at that base.
//!
//! A push that is a fast-forward is not enough: had somebody taken a commit back, ours would bring it
//! in again. So the remote's own commit is compared before anything is sent, and the server compares
//! once more under its lock. A local repository is given the objects directly, because libgit2's local
//! push does not compare at all. The clone has every commit of ours before the remote has it: nothing has
//! to be fetched to go on from there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;

use git2::build::TreeUpdateBuilder;
use git2::{Direction, ErrorCode, FileMode, Oid, PushOptions, Signature};

use super::FileChange;
use super::config::path_is_plain;
use super::files::is_file;
use super::git::{GitClone, oid_of, sha_of};
use super::remote_error::{CommitError, RepositoryError};
use super::signing;
use crate::model::manifest::CommitSha;

/// What is pushed, for as long as it is pushed.
const NEXT_REF: &str = "refs/riposte/next";

/// How much of a hook's words is kept, in bytes.
const WORDS_BYTES_MAX: usize = 2048;

/// How servers say that somebody was faster.
const LOST_RACE: [&str; 6] =
    ["fetch first", "non-fast-forward", "failed to update ref", "lock", "stale", "old value"];

/// How servers, and the hooks of GitLab and Gitea, say that they could not look at a push.
const IN_TROUBLE: [&str; 4] = ["unpacker error", "internal api", "internal server error", "internal error"];

/// What the server said during a push.
#[derive(Default)]
struct Report {
    /// The branch's commit, when it was not the base.
    found: Cell<Option<Oid>>,
    /// Whether anything was sent that could have made the commit.
    sent: Cell<bool>,
    /// Why the branch was not updated.
    refusal: RefCell<Option<String>>,
    /// What hooks printed.
    words: RefCell<Vec<u8>>,
}

/// What a commit of files would be.
#[derive(Debug)]
pub(super) struct Checked {
    /// The tree that it is made on.
    pub(super) base_tree: Oid,
    /// The tree that it makes.
    pub(super) tree: Oid,
    /// The paths of the files that are executable, and stay so.
    pub(super) executables: Vec<String>,
}

/// The tree of `base` with these files, checked against limits and against changing nothing.
pub(super) fn check(
    clone: &GitClone,
    base: &CommitSha,
    files: &[FileChange],
) -> Result<Checked, CommitError> {
    let max = clone.remote.limits.commit_bytes_max;
    let bytes = files.iter().filter_map(|file| file.content.as_ref()).map(String::len).sum::<usize>();
    if bytes > max {
        return Err(CommitError::TooLarge { bytes, max });
    }
    let repository = clone.open()?;
    let found = repository.find_commit(oid_of(base)).map_err(of_clone)?;
    let checked = tree_with(&repository, &found, files)?;
    if checked.tree == checked.base_tree { Err(CommitError::Unchanged) } else { Ok(checked) }
}

/// Commits these files, whose tree was checked, and pushes.
pub(super) fn push(
    clone: &GitClone,
    base: &CommitSha,
    files: &[FileChange],
    message: &str,
    checked: &Checked,
) -> Result<CommitSha, CommitError> {
    let local = clone.local_path()?;
    let repository = clone.open()?;
    let commit = make_commit(clone, &repository, base, checked.tree, message)?;
    if let Some(path) = local {
        let failed = |source| RepositoryError::of_remote("open the repository", &clone.name(), source);
        let target = git2::Repository::open(path).map_err(failed)?;
        return write_local(clone, &repository, &target, oid_of(base), commit, files);
    }
    repository.reference(NEXT_REF, commit, true, "to be pushed").map_err(of_clone)?;
    send(clone, &repository, oid_of(base), commit)
}

/// Whether the key can sign and these credentials may push, as far as asking tells.
pub(super) fn check_access(clone: &GitClone) -> Result<(), RepositoryError> {
    if let Some(signing) = &clone.remote.signing {
        signing::sign(signing, b"")?;
    }
    let url = clone.remote.url.as_str();
    let failed = |source| RepositoryError::of_remote("ask whether pushing is allowed", url, source);
    if let Some(path) = clone.local_path()? {
        return check_bare(clone, &git2::Repository::open(path).map_err(failed)?);
    }
    let repository = clone.open()?;
    let mut remote = repository.remote_anonymous(url).map_err(failed)?;
    remote.connect_auth(Direction::Push, Some(clone.callbacks()?), None).map(drop).map_err(failed)
}

fn check_bare(clone: &GitClone, target: &git2::Repository) -> Result<(), RepositoryError> {
    if target.is_bare() {
        return Ok(());
    }
    let reason = "it is not bare, and a checked-out branch must not be pushed to".to_owned();
    Err(RepositoryError::Forbidden { remote: clone.name(), reason })
}

fn write_local(
    clone: &GitClone,
    repository: &git2::Repository,
    target: &git2::Repository,
    base: Oid,
    commit: Oid,
    files: &[FileChange],
) -> Result<CommitSha, CommitError> {
    check_bare(clone, target)?;
    let branch = clone.branch_ref();
    let failed = |source| RepositoryError::of_remote("write to the repository", &clone.name(), source);
    let head = target.refname_to_id(&branch).map_err(|source| match source.code() {
        ErrorCode::NotFound => clone.no_branch(),
        _ => failed(source),
    })?;
    if head != base {
        return Err(head_moved(clone));
    }
    let to = target.odb().map_err(failed)?;
    let from = repository.odb().map_err(of_clone)?;
    for id in new_objects(repository, commit, files).map_err(of_clone)? {
        let object = from.read(id).map_err(of_clone)?;
        to.write(object.kind(), object.data()).map_err(failed)?;
    }
    match target.reference_matching(&branch, commit, true, head, "riposte") {
        Ok(_) => Ok(sha_of(commit)),
        Err(error) if matches!(error.code(), ErrorCode::Modified | ErrorCode::NotFound) => {
            Err(head_moved(clone))
        }
        Err(error) if error.code() == ErrorCode::Locked => {
            let reason = error.message().to_owned();
            Err(RepositoryError::Unreachable { remote: clone.name(), reason }.into())
        }
        Err(error) => Err(failed(error).into()),
    }
}

fn send(
    clone: &GitClone,
    repository: &git2::Repository,
    base: Oid,
    commit: Oid,
) -> Result<CommitSha, CommitError> {
    let report = Report::default();
    let mut callbacks = clone.callbacks()?;
    callbacks.push_negotiation(|updates| {
        if let Some(update) = updates.iter().find(|update| update.src() != base) {
            report.found.set(Some(update.src()));
            return Err(git2::Error::from_str("the branch is not at the base"));
        }
        report.sent.set(true);
        Ok(())
    });
    callbacks.push_update_reference(|_, refusal| {
        *report.refusal.borrow_mut() = refusal.map(str::to_owned);
        Ok(())
    });
    callbacks.sideband_progress(|words| {
        let mut kept = report.words.borrow_mut();
        let room = WORDS_BYTES_MAX.saturating_sub(kept.len()).min(words.len());
        kept.extend_from_slice(&words[..room]);
        true
    });
    let url = clone.remote.url.as_str();
    let failed = |source| RepositoryError::of_remote("push to the repository", url, source);
    let mut remote = repository.remote_anonymous(url).map_err(failed)?;
    let mut options = PushOptions::new();
    options.remote_callbacks(callbacks);
    let pushed = remote.push(&[format!("{NEXT_REF}:{}", clone.branch_ref())], Some(&mut options));
    drop(options);
    report.result(clone, pushed).map(|()| sha_of(commit))
}

impl Report {
    fn result(&self, clone: &GitClone, pushed: Result<(), git2::Error>) -> Result<(), CommitError> {
        if let Some(found) = self.found.get() {
            return Err(if found.is_zero() { clone.no_branch().into() } else { head_moved(clone) });
        }
        if let Some(refusal) = self.refusal.borrow().as_deref() {
            return Err(self.refused(clone, refusal));
        }
        let Err(error) = pushed else { return Ok(()) };
        if error.code() == ErrorCode::NotFastForward {
            return Err(head_moved(clone));
        }
        match RepositoryError::of_remote("push to the repository", clone.remote.url.as_str(), error) {
            // The server said no before it looked at the commit.
            error @ (RepositoryError::Unauthorized { .. }
            | RepositoryError::Forbidden { .. }
            | RepositoryError::Untrusted { .. }
            | RepositoryError::NotFound { .. }
            | RepositoryError::RateLimited { .. }) => Err(error.into()),
            error if self.sent.get() => Err(CommitError::Unknown { reason: error.to_string() }),
            error => Err(error.into()),
        }
    }

    /// The server took the commit but did not update the branch. Its words are all there is: a lost race
    /// and a server in trouble are told from a rule of the branch by them.
    fn refused(&self, clone: &GitClone, refusal: &str) -> CommitError {
        let said = |words: &[&str], text: &str| words.iter().any(|words| text.contains(words));
        if !refusal.contains("hook") && said(&LOST_RACE, refusal) {
            return head_moved(clone);
        }
        let words = self.words.borrow();
        let words = String::from_utf8_lossy(&words);
        // Some forges put empty lines around what they say, and a prefix before each.
        let lines = words.lines().map(str::trim).filter(|line| !["", "error:"].contains(line));
        let words = lines.collect::<Vec<_>>().join(" ");
        let reason = if words.is_empty() { refusal.to_owned() } else { format!("{refusal}: {words}") };
        if said(&IN_TROUBLE, &reason.to_ascii_lowercase()) {
            return RepositoryError::Unreachable { remote: clone.name(), reason }.into();
        }
        CommitError::Protected { branch: clone.remote.branch.clone(), reason }
    }
}

fn make_commit(
    clone: &GitClone,
    repository: &git2::Repository,
    base: &CommitSha,
    tree: Oid,
    message: &str,
) -> Result<Oid, CommitError> {
    let parent = repository.find_commit(oid_of(base)).map_err(of_clone)?;
    let tree = repository.find_tree(tree).map_err(of_clone)?;
    let committer = &clone.remote.committer;
    let author = Signature::now(&committer.name, &committer.email).map_err(of_clone)?;
    let Some(signing) = &clone.remote.signing else {
        let made = repository.commit(None, &author, &author, message, &tree, &[&parent]);
        return Ok(made.map_err(of_clone)?);
    };
    let text = repository.commit_create_buffer(&author, &author, message, &tree, &[&parent]);
    let text = text.map_err(of_clone)?;
    let text = text.as_str().map_err(of_clone)?;
    let signature = signing::sign(signing, text.as_bytes())?;
    // A last line end would become an empty line of the header, which git does not write.
    Ok(repository.commit_signed(text, signature.trim_end(), None).map_err(of_clone)?)
}

/// The commit, and of its tree the files and the folders that they lie in.
fn new_objects(
    repository: &git2::Repository,
    commit: Oid,
    files: &[FileChange],
) -> Result<BTreeSet<Oid>, git2::Error> {
    let tree = repository.find_commit(commit)?.tree()?;
    let mut new = BTreeSet::from([commit, tree.id()]);
    let paths = files.iter().flat_map(|file| Path::new(&file.path).ancestors());
    for path in paths.filter(|path| !path.as_os_str().is_empty()) {
        match tree.get_path(path) {
            Ok(entry) => {
                new.insert(entry.id());
            }
            // It was deleted.
            Err(error) if error.code() == ErrorCode::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(new)
}

fn tree_with(
    repository: &git2::Repository,
    base: &git2::Commit<'_>,
    files: &[FileChange],
) -> Result<Checked, CommitError> {
    let tree = base.tree().map_err(of_clone)?;
    let (mut update, mut executables) = (TreeUpdateBuilder::new(), Vec::new());
    for file in files {
        let bad = |reason| CommitError::BadPath { path: file.path.clone(), reason };
        if !path_is_plain(&file.path) {
            return Err(bad("it must stay inside the repository"));
        }
        let mode = match tree.get_path(file.path.as_ref()) {
            Ok(entry) if !is_file(entry.filemode()) => {
                return Err(bad("it is a link, a folder or a submodule"));
            }
            Ok(entry) if entry.filemode() == i32::from(FileMode::BlobExecutable) => FileMode::BlobExecutable,
            Ok(_) => FileMode::Blob,
            Err(error) if error.code() != ErrorCode::NotFound => return Err(of_clone(error).into()),
            Err(_) if file.content.is_none() => return Err(bad("there is no such file")),
            Err(_) => FileMode::Blob,
        };
        match &file.content {
            Some(content) => {
                if mode == FileMode::BlobExecutable {
                    executables.push(file.path.clone());
                }
                let blob = repository.blob(content.as_bytes()).map_err(of_clone)?;
                update.upsert(file.path.as_str(), blob, mode);
            }
            None => {
                update.remove(file.path.as_str());
            }
        }
    }
    let made = update.create_updated(repository, &tree).map_err(of_clone)?;
    Ok(Checked { base_tree: tree.id(), tree: made, executables })
}

fn head_moved(clone: &GitClone) -> CommitError {
    CommitError::HeadMoved { branch: clone.remote.branch.clone() }
}

fn of_clone(source: git2::Error) -> RepositoryError {
    RepositoryError::of_clone("make the commit", source)
}
