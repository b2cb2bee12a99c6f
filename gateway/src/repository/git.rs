//! The bare clone under the data directory: fetched, read object by object, never checked out.
//!
//! Everything here blocks, and one call runs at a time: the parent sees to both. The clone is a
//! cache, so whatever is wrong with it is mended by making it anew. Writing is `push`'s work.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Once};

use git2::{
    CertificateCheckStatus, Cred, Direction, ErrorClass, ErrorCode, FetchOptions, Oid, RemoteCallbacks,
};

use tokio::runtime::Handle;

use super::FoundCommit;
use super::config::{Access, Remote, TOKEN_USERNAME, read_secret};
use super::github::App;
use super::known_hosts;
use super::remote_error::RepositoryError;
use crate::clock;
use crate::model::manifest::CommitSha;

/// Our own name for the branch's commit, outside of everything that a fetch could overwrite.
const HEAD_REF: &str = "refs/riposte/head";

/// A fetch leaves a pack behind; a clone of more packs than this is made anew.
const PACKS_MAX: usize = 500;
/// A commit leaves some files behind; so is one of more files than about this. One folder of 256 is counted,
/// as Git itself does.
const LOOSE_OBJECTS_MAX: usize = 50_000;

/// The clone and the remote it is of.
#[derive(Debug)]
pub(super) struct GitClone {
    pub(super) remote: Remote,
    /// The App that is meant by [`Access::App`].
    app: Option<Arc<App>>,
    directory: PathBuf,
}

impl GitClone {
    pub(super) fn new(remote: Remote, app: Option<Arc<App>>, data_dir: &Path) -> Self {
        set_server_timeouts(remote.limits.fetch_ms);
        Self { remote, app, directory: data_dir.join("repository.git") }
    }

    /// The remote, as errors name it.
    pub(super) fn name(&self) -> String {
        self.remote.url.to_string()
    }

    /// Fetches, and makes the clone anew if it turns out to be damaged.
    pub(super) fn head(&self) -> Result<CommitSha, RepositoryError> {
        match self.fetch() {
            Err(RepositoryError::Corrupt { operation, source }) => {
                tracing::warn!(git.operation = operation, error = %source, "made the damaged clone anew");
                self.make_anew()?;
                self.fetch()
            }
            other => other,
        }
    }

    /// The clone, made if there is none.
    pub(super) fn open(&self) -> Result<git2::Repository, RepositoryError> {
        if !self.directory.exists() {
            return self.make_anew();
        }
        git2::Repository::open_bare(&self.directory)
            .map_err(|source| RepositoryError::Corrupt { operation: "open the clone", source })
    }

    /// Throws the clone away and begins an empty one.
    pub(super) fn make_anew(&self) -> Result<git2::Repository, RepositoryError> {
        let failed =
            |operation| move |source| RepositoryError::Io { operation, path: self.directory.clone(), source };
        if self.directory.exists() {
            std::fs::remove_dir_all(&self.directory).map_err(failed("remove the damaged clone in"))?;
        }
        std::fs::create_dir_all(&self.directory).map_err(failed("create the clone in"))?;
        git2::Repository::init_bare(&self.directory)
            .map_err(|source| RepositoryError::Git { operation: "create the clone", source })
    }

    fn fetch(&self) -> Result<CommitSha, RepositoryError> {
        let mut clone = self.open()?;
        if self.is_untidy() {
            clone = self.make_anew()?;
        }
        let head = match self.local_head()? {
            Some(head) if has(&clone, head) => head,
            _ => self.download(&clone)?,
        };
        if clone.refname_to_id(HEAD_REF).ok() != Some(head) {
            let noted = clone.reference(HEAD_REF, head, true, "seen on the remote");
            noted.map_err(|source| RepositoryError::of_clone("note the head", source))?;
        }
        // A pack can be listed and yet be torn: only reading the commit tells.
        let damaged = |source| RepositoryError::Corrupt { operation: "read the head", source };
        clone.find_commit(head).and_then(|commit| commit.tree().map(drop)).map_err(damaged)?;
        Ok(sha_of(head))
    }

    /// The branch of a repository on this machine, which is its to read: what a server would list costs more
    /// than all the rest. `None` for one on a server, and where there is no such branch.
    fn local_head(&self) -> Result<Option<Oid>, RepositoryError> {
        let Some(path) = self.local_path()? else { return Ok(None) };
        let head = git2::Repository::open(path).and_then(|remote| remote.refname_to_id(&self.branch_ref()));
        match head {
            Ok(head) => Ok(Some(head)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(self.not_fetched(error)),
        }
    }

    /// Gets what the branch has and the clone has not; the commit that the branch is at.
    fn download(&self, clone: &git2::Repository) -> Result<Oid, RepositoryError> {
        let failed = |source| self.not_fetched(source);
        let mut remote = clone.remote_anonymous(self.remote.url.as_str()).map_err(failed)?;
        let mut connection =
            remote.connect_auth(Direction::Fetch, Some(self.callbacks()?), None).map_err(failed)?;
        let listed = listed_head(&connection, &self.branch_ref()).map_err(failed)?;
        let listed = listed.ok_or_else(|| self.no_branch())?;
        if has(clone, listed) {
            return Ok(listed);
        }
        let mut options = FetchOptions::new();
        let over = Rc::new(Cell::new(None));
        let callbacks = self.within_limits(self.callbacks()?, Rc::clone(&over));
        options.remote_callbacks(callbacks).download_tags(git2::AutotagOption::None);
        // Without a reference of ours to write: a lock on it would look like a fault of the server.
        let downloaded = connection.remote().download(&[self.branch_ref()], Some(&mut options));
        downloaded.map(|()| listed).map_err(|source| {
            let what = || format!("a fetch from {}", self.name());
            over.take().map_or_else(
                || failed(source),
                |(limit, max)| RepositoryError::TooLarge { what: what(), limit, max },
            )
        })
    }

    fn not_fetched(&self, source: git2::Error) -> RepositoryError {
        RepositoryError::of_remote("fetch from the repository", self.remote.url.as_str(), source)
    }

    /// Looks for a commit with this trailer (`Key: value`) from the head down to `base`.
    pub(super) fn find(
        &self,
        trailer: &str,
        base: &CommitSha,
    ) -> Result<Option<FoundCommit>, RepositoryError> {
        let wanted = [(trailer.to_owned(), base.clone())];
        Ok(self.find_each(&wanted)?.pop().flatten())
    }

    /// The newest commit of the branch with each trailer, as far back as its base. Several trailers can be
    /// of one commit.
    pub(super) fn find_each(
        &self,
        wanted: &[(String, CommitSha)],
    ) -> Result<Vec<Option<FoundCommit>>, RepositoryError> {
        let head = self.head()?;
        let mut all: Vec<Option<FoundCommit>> = Vec::with_capacity(wanted.len());
        for (trailer, base) in wanted {
            let known = all.iter().flatten().find(|found| has_trailer(&found.message, trailer)).cloned();
            all.push(match known {
                Some(found) => Some(found),
                None => self.find_from(&head, trailer, base)?,
            });
        }
        Ok(all)
    }

    fn find_from(
        &self,
        head: &CommitSha,
        trailer: &str,
        base: &CommitSha,
    ) -> Result<Option<FoundCommit>, RepositoryError> {
        let failed = |source| RepositoryError::of_clone("search the branch for our commit", source);
        let clone = self.open()?;
        let mut walk = clone.revwalk().map_err(failed)?;
        walk.push(oid_of(head)).map_err(failed)?;
        let base_known = clone.find_commit(oid_of(base)).is_ok();
        if base_known {
            walk.hide(oid_of(base)).map_err(failed)?;
        }
        let max = self.remote.limits.walk_commits_max;
        for (walked, id) in walk.enumerate() {
            if walked >= max && base_known {
                let what = format!("the way from {head} back to {base}");
                return Err(RepositoryError::TooLarge { what, limit: "walkCommitsMax", max });
            } else if walked >= max {
                break;
            }
            let id = id.map_err(failed)?;
            let commit = clone.find_commit(id).map_err(failed)?;
            if has_trailer(&String::from_utf8_lossy(commit.message_bytes()), trailer) {
                return found(&clone, &commit).map(Some).map_err(failed);
            }
        }
        Ok(None)
    }

    /// The callbacks of every exchange with the remote: credentials, and whom to trust.
    pub(super) fn callbacks(&self) -> Result<RemoteCallbacks<'static>, RepositoryError> {
        let mut callbacks = RemoteCallbacks::new();
        match &self.remote.access {
            Access::Open => {
                callbacks.credentials(|_, _, _| {
                    Err(refused("the server asks for credentials and none are configured"))
                });
            }
            Access::Token { username, file } => {
                let (username, token) = (username.clone(), read_secret(file)?);
                let asked = Cell::new(false);
                callbacks.credentials(move |_, _, _| {
                    if asked.replace(true) {
                        return Err(refused("the user name and token were not accepted"));
                    }
                    Cred::userpass_plaintext(&username, &token)
                });
            }
            Access::App(_) => {
                if let Some(app) = &self.app {
                    offer_token(&mut callbacks, app)?;
                }
            }
            Access::SshKey { key_file, known_hosts_file } => {
                let (key, hosts) = (read_secret(key_file)? + "\n", read_secret(known_hosts_file)?);
                let user =
                    if self.remote.url.username().is_empty() { "git" } else { self.remote.url.username() };
                let (user, asked) = (user.to_owned(), Cell::new(false));
                callbacks.credentials(move |_, _, kinds| {
                    if kinds.is_username() {
                        return Cred::username(&user);
                    }
                    if asked.replace(true) {
                        return Err(refused("the SSH key was not accepted"));
                    }
                    Cred::ssh_key_from_memory(&user, None, &key, None)
                });
                let port = self.remote.url.port().unwrap_or(22);
                callbacks.certificate_check(move |certificate, host| {
                    let key = certificate.as_hostkey().and_then(|key| key.hostkey());
                    if key.is_some_and(|key| known_hosts::trusts(&hosts, host, port, key)) {
                        return Ok(CertificateCheckStatus::CertificateOk);
                    }
                    let reason = format!("the key of {host}:{port} is not in auth.knownHostsFile");
                    Err(git2::Error::new(ErrorCode::Certificate, ErrorClass::Ssh, reason))
                });
            }
        }
        Ok(callbacks)
    }

    /// Ends a fetch that would fill the disk or never end, and says which limit did.
    fn within_limits(
        &self,
        mut callbacks: RemoteCallbacks<'static>,
        over: Rc<Cell<Option<(&'static str, usize)>>>,
    ) -> RemoteCallbacks<'static> {
        let (bytes_max, total_ms) = (self.remote.limits.fetch_bytes_max, self.remote.limits.fetch_total_ms);
        let begun_us = clock::now_us();
        callbacks.transfer_progress(move |progress| {
            let ms = usize::try_from((clock::now_us() - begun_us) / 1_000).unwrap_or_default();
            let exceeded = [
                ("fetchBytesMax", progress.received_bytes(), bytes_max),
                ("fetchTotalMs", ms, usize::try_from(total_ms).unwrap_or(usize::MAX)),
            ];
            let exceeded = exceeded.into_iter().find(|(_, is, max)| is > max);
            over.set(exceeded.map(|(limit, _, max)| (limit, max)));
            exceeded.is_none()
        });
        callbacks
    }

    /// Where a `file://` remote lies; `None` for one on a server.
    pub(super) fn local_path(&self) -> Result<Option<PathBuf>, RepositoryError> {
        if self.remote.url.scheme() != "file" {
            return Ok(None);
        }
        let path = self.remote.url.to_file_path().ok().filter(|path| path.exists());
        path.map(Some).ok_or_else(|| RepositoryError::NotFound { what: self.name() })
    }

    pub(super) fn branch_ref(&self) -> String {
        format!("refs/heads/{}", self.remote.branch)
    }

    pub(super) fn no_branch(&self) -> RepositoryError {
        RepositoryError::NotFound { what: format!("branch {} of {}", self.remote.branch, self.remote.url) }
    }

    /// Whether the clone has gathered so much that it is better made anew.
    fn is_untidy(&self) -> bool {
        let count = |folder: &str, end: Option<&str>| {
            let entries = std::fs::read_dir(self.directory.join(folder));
            entries.map_or(0, |entries| {
                let is_counted = |path: PathBuf| end.is_none() || path.extension() == end.map(AsRef::as_ref);
                entries.flatten().filter(|entry| is_counted(entry.path())).count()
            })
        };
        count("objects/pack", Some("pack")) > PACKS_MAX || count("objects/17", None) > LOOSE_OBJECTS_MAX / 256
    }
}

/// Creates a bare repository whose branch holds one commit with these files (path, content).
///
/// # Errors
/// When the directory cannot be written or a path is not a valid one.
pub fn init_bare(
    directory: &Path,
    branch: &str,
    files: &[(&str, &str)],
    message: &str,
) -> Result<CommitSha, RepositoryError> {
    let failed = |source| RepositoryError::Git { operation: "create a bare repository", source };
    let repository = git2::Repository::init_bare(directory).map_err(failed)?;
    let mut tree = git2::build::TreeUpdateBuilder::new();
    for (path, content) in files {
        let blob = repository.blob(content.as_bytes()).map_err(failed)?;
        tree.upsert(*path, blob, git2::FileMode::Blob);
    }
    let empty = repository.treebuilder(None).and_then(|builder| builder.write()).map_err(failed)?;
    let empty = repository.find_tree(empty).map_err(failed)?;
    let tree = tree.create_updated(&repository, &empty).map_err(failed)?;
    let tree = repository.find_tree(tree).map_err(failed)?;
    let author = git2::Signature::now("riposte", "riposte@localhost").map_err(failed)?;
    let branch = format!("refs/heads/{branch}");
    let commit = repository.commit(Some(&branch), &author, &author, message, &tree, &[]).map_err(failed)?;
    repository.set_head(&branch).map_err(failed)?;
    Ok(sha_of(commit))
}

fn found(clone: &git2::Repository, commit: &git2::Commit<'_>) -> Result<FoundCommit, git2::Error> {
    let parent = commit.parent(0)?;
    let mut options = git2::DiffOptions::new();
    options.context_lines(3);
    let diff = clone.diff_tree_to_tree(Some(&parent.tree()?), Some(&commit.tree()?), Some(&mut options))?;
    let mut text = String::new();
    diff.print(git2::DiffFormat::Patch, |_, _, line| {
        let content = String::from_utf8_lossy(line.content());
        match line.origin() {
            // Of the header only the names: modes and blob ids are Git's own.
            'F' => content
                .lines()
                .filter(|line| line.starts_with("--- ") || line.starts_with("+++ "))
                .for_each(|line| {
                    text.push_str(line);
                    text.push('\n');
                }),
            // Nor the line that Git puts behind the place of a hunk.
            'H' => {
                text.extend(content.split_inclusive("@@").take(2));
                text.push('\n');
            }
            origin => {
                text.extend([' ', '+', '-'].into_iter().filter(|mark| *mark == origin));
                text.push_str(&content);
            }
        }
        true
    })?;
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    Ok(FoundCommit { sha: sha_of(commit.id()), base: sha_of(parent.id()), message, diff: text })
}

/// Whether the message's last paragraph has this line, as Git reads trailers.
fn has_trailer(message: &str, trailer: &str) -> bool {
    let Ok(trailers) = git2::message_trailers_strs(message) else { return false };
    trailers.iter().any(|(key, value)| trailer.split_once(": ") == Some((key, value)))
}

fn listed_head(
    connection: &git2::RemoteConnection<'_, '_, '_>,
    name: &str,
) -> Result<Option<Oid>, git2::Error> {
    Ok(connection.list()?.iter().find(|head| head.name() == name).map(git2::RemoteHead::oid))
}

fn has(clone: &git2::Repository, commit: Oid) -> bool {
    clone.odb().and_then(|odb| odb.read_header(commit)).is_ok()
}

pub(super) fn sha_of(oid: Oid) -> CommitSha {
    CommitSha::parse(&oid.to_string()).expect("an object id is 40 hexadecimal digits")
}

pub(super) fn oid_of(sha: &CommitSha) -> Oid {
    Oid::from_str(sha.as_str()).expect("a commit id is 40 hexadecimal digits")
}

/// Offers the App's token, and another one if that one is not accepted. Runs on a blocking thread of the
/// runtime.
fn offer_token(callbacks: &mut RemoteCallbacks<'static>, app: &Arc<App>) -> Result<(), RepositoryError> {
    let (app, runtime) = (Arc::clone(app), Handle::current());
    let mut token = runtime.block_on(app.token())?;
    let mut asked = 0;
    callbacks.credentials(move |_, _, _| {
        match asked {
            0 => {}
            1 => {
                let renewed = runtime.block_on(app.renewed(&token));
                token = renewed.map_err(|error| refused(&error.to_string()))?;
            }
            _ => return Err(refused("the GitHub App's token was not accepted")),
        }
        asked += 1;
        Cred::userpass_plaintext(TOKEN_USERNAME, &token)
    });
    Ok(())
}

fn refused(reason: &str) -> git2::Error {
    git2::Error::new(ErrorCode::Auth, ErrorClass::Callback, reason)
}

/// libgit2 waits for ever for a silent server unless told otherwise, and knows one wait for the whole
/// process: the first repository's.
fn set_server_timeouts(timeout_ms: u32) {
    static SET: Once = Once::new();
    SET.call_once(|| {
        let timeout_ms = i32::try_from(timeout_ms).unwrap_or(i32::MAX);
        #[expect(unsafe_code, reason = "two C integers, written once, before our first connection")]
        let set = unsafe {
            git2::opts::set_server_connect_timeout_in_milliseconds(timeout_ms)
                .and_then(|()| git2::opts::set_server_timeout_in_milliseconds(timeout_ms))
        };
        if let Err(error) = set {
            tracing::warn!(error = %error, "Git's timeouts could not be set");
        }
    });
}
