//! Reads the manifest files of one commit from Git objects: those that a snapshot does not have already.
//!
//! Two trees are walked side by side, and a folder that is the same in both is not looked into: a commit
//! costs what it changed. The first one is walked beside nothing. Links and submodules are not followed:
//! they could lead anywhere. A limit on all files together fails the whole reading, because an index with
//! holes would name the wrong object's owner; a file that cannot be read is left out with its reason.

use std::collections::{BTreeMap, HashMap};

use git2::{FileMode, Oid};

use super::config::Limits;
use super::git::{GitClone, oid_of};
use super::remote_error::RepositoryError;
use crate::model::manifest::CommitSha;
use crate::snapshot::{Difference, Indexed, Snapshot, SourceFile, is_kustomization};

/// How deep folders may lie in each other.
const DEPTH_MAX: usize = 64;

/// How every `*.yaml`, `*.yml`, `*.json` and `Kustomization` under the configured folder differs from
/// what `newest` has.
pub(super) fn read<'a>(
    clone: &GitClone,
    commit: &CommitSha,
    newest: Option<&'a Snapshot>,
) -> Result<Difference<'a>, RepositoryError> {
    let repository = clone.open()?;
    let failed = |source| RepositoryError::of_clone("read the commit's files", source);
    let found = repository.find_commit(oid_of(commit)).map_err(|source| match source.code() {
        git2::ErrorCode::NotFound => RepositoryError::NotFound { what: format!("commit {commit}") },
        _ => failed(source),
    })?;
    let tree = folder(&found.tree().map_err(failed)?, &clone.remote.path)?;
    // A clone that was made anew may be without what an older commit had.
    let before = newest.and_then(|newest| Oid::from_str(newest.tree()).ok());
    let before = before.filter(|tree| repository.find_tree(*tree).is_ok());
    let since = newest.filter(|_| before.is_some());
    let limits = &clone.remote.limits;
    let mut walk =
        Walk { repository: &repository, found: BTreeMap::new(), files: 0, files_max: limits.files_max };
    let prefix = if clone.remote.path.is_empty() { String::new() } else { format!("{}/", clone.remote.path) };
    walk.folder([before, Some(tree)], &prefix, 0)?;
    let files = read_found(&repository, walk.found, since, limits)?;
    Ok(Difference { tree: tree.to_string(), files, since })
}

/// The name of the file that pauses the gateway while the branch has it.
const PAUSE_FILE: &str = ".riposte-pause";
/// How much of its text is a reason, in bytes.
const PAUSE_REASON_BYTES_MAX: usize = 1_024;

/// Why the commit pauses the gateway, if it has the file in its root or in the configured folder.
/// Whatever has that name counts: who is in a hurry must not fail at its form.
pub(super) fn pause(clone: &GitClone, commit: &CommitSha) -> Result<Option<String>, RepositoryError> {
    let repository = clone.open()?;
    let failed = |source| RepositoryError::of_clone("look whether the gateway is paused", source);
    let root = repository.find_commit(oid_of(commit)).and_then(|found| found.tree()).map_err(failed)?;
    let folder = &clone.remote.path;
    let places = [PAUSE_FILE.to_owned(), format!("{folder}/{PAUSE_FILE}")];
    for place in &places[..if folder.is_empty() { 1 } else { 2 }] {
        let entry = match root.get_path(place.as_ref()) {
            Ok(entry) => entry,
            Err(error) if error.code() == git2::ErrorCode::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        if !is_file(entry.filemode()) {
            return Ok(Some(format!("{place} is there")));
        }
        let (size, _) = repository.odb().and_then(|odb| odb.read_header(entry.id())).map_err(failed)?;
        if size > clone.remote.limits.file_bytes_max {
            return Ok(Some(format!("{place} is there, and too large to be read")));
        }
        let blob = repository.find_blob(entry.id()).map_err(failed)?;
        let reason = reason_of(blob.content());
        return Ok(Some(if reason.is_empty() { format!("{place} is there") } else { reason }));
    }
    Ok(None)
}

/// A person's words on one line.
fn reason_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(PAUSE_REASON_BYTES_MAX)]);
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    let reason = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    // The cut may go through a character.
    reason.trim_end_matches(char::REPLACEMENT_CHARACTER).to_owned()
}

/// The tree of the configured folder.
fn folder(root: &git2::Tree<'_>, folder: &str) -> Result<Oid, RepositoryError> {
    let failed = |source| RepositoryError::of_clone("list the commit's files", source);
    if folder.is_empty() {
        return Ok(root.id());
    }
    match root.get_path(folder.as_ref()) {
        Ok(entry) if entry.kind() == Some(git2::ObjectType::Tree) => Ok(entry.id()),
        Err(error) if error.code() != git2::ErrorCode::NotFound => Err(failed(error)),
        _ => Err(RepositoryError::NotFound { what: format!("folder {folder}") }),
    }
}

/// What a folder has: a folder or a manifest file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Folder(Oid),
    File(Oid),
}

impl Item {
    fn tree(self) -> Option<Oid> {
        match self {
            Self::Folder(tree) => Some(tree),
            Self::File(_) => None,
        }
    }
}

/// Two trees, walked side by side.
struct Walk<'a> {
    repository: &'a git2::Repository,
    /// The blobs of the files that differ; `None` for a file that is gone.
    found: BTreeMap<String, Option<Oid>>,
    /// How many of them are there.
    files: usize,
    files_max: usize,
}

fn check_files(files: usize, max: usize) -> Result<(), RepositoryError> {
    let too_large = || {
        let what = "the number of manifest files".to_owned();
        RepositoryError::TooLarge { what, limit: "filesMax", max }
    };
    if files > max { Err(too_large()) } else { Ok(()) }
}

impl Walk<'_> {
    /// Compares a folder as it was with what it is.
    fn folder(&mut self, trees: [Option<Oid>; 2], prefix: &str, depth: usize) -> Result<(), RepositoryError> {
        if trees[0] == trees[1] {
            return Ok(());
        }
        if depth > DEPTH_MAX {
            let what = prefix.trim_end_matches('/').to_owned();
            return Err(RepositoryError::TooLarge { what, limit: "folder depth", max: DEPTH_MAX });
        }
        let [before, after] = [self.items(trees[0])?, self.items(trees[1])?];
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        for name in after.keys().chain(gone) {
            let items = [before.get(name).copied(), after.get(name).copied()];
            if items[0] == items[1] {
                continue;
            }
            let path = format!("{prefix}{name}");
            let trees = items.map(|item| item.and_then(Item::tree));
            self.folder(trees, &format!("{path}/"), depth + 1)?;
            match items {
                [_, Some(Item::File(blob))] => {
                    self.found.insert(path, Some(blob));
                    self.files += 1;
                }
                [Some(Item::File(_)), _] => {
                    self.found.insert(path, None);
                }
                _ => {}
            }
        }
        check_files(self.files, self.files_max)
    }

    fn items(&self, tree: Option<Oid>) -> Result<BTreeMap<String, Item>, RepositoryError> {
        let failed = |source| RepositoryError::of_clone("list the commit's files", source);
        let Some(tree) = tree else { return Ok(BTreeMap::new()) };
        let tree = self.repository.find_tree(tree).map_err(failed)?;
        let item = |entry: &git2::TreeEntry<'_>| {
            let name = std::str::from_utf8(entry.name_bytes()).ok()?;
            let item = match entry.filemode() {
                mode if mode == i32::from(FileMode::Tree) => Item::Folder(entry.id()),
                mode if is_file(mode) && is_manifest(name) => Item::File(entry.id()),
                _ => return None,
            };
            Some((name.to_owned(), item))
        };
        Ok(tree.iter().filter_map(|entry| item(&entry)).collect())
    }
}

/// Reads what was found. A file that only has another path is not read again.
fn read_found(
    repository: &git2::Repository,
    found: BTreeMap<String, Option<Oid>>,
    since: Option<&Snapshot>,
    limits: &Limits,
) -> Result<BTreeMap<String, Option<Indexed>>, RepositoryError> {
    let old: Vec<&Indexed> = found.keys().filter_map(|path| since?.indexed(path)).collect();
    let moved: HashMap<&str, &Indexed> = old.iter().map(|file| (file.source.blob.as_str(), *file)).collect();
    let of_old = |count: fn(&Indexed) -> usize| old.iter().map(|file| count(file)).sum::<usize>();
    let bytes = |file: &Indexed| file.source.text.len();
    let (mut files, mut total_bytes) =
        since.map_or((0, 0), |since| (since.files().len() - of_old(|_| 1), since.bytes() - of_old(bytes)));
    let mut read = BTreeMap::new();
    for (path, blob) in found {
        let Some(id) = blob else {
            read.insert(path, None);
            continue;
        };
        let blob = id.to_string();
        let file = match moved.get(blob.as_str()) {
            Some(known) => known.at(&path),
            None => {
                let text = read_text(repository, id, limits)?;
                let (text, left_out) =
                    text.map_or_else(|reason| (String::new(), Some(reason)), |text| (text, None));
                Indexed::read(SourceFile { path: path.clone(), blob, text: text.into() }, left_out)
            }
        };
        files += 1;
        total_bytes += bytes(&file);
        check_files(files, limits.files_max)?;
        let max = limits.total_bytes_max;
        if total_bytes > max {
            let what = "all manifests together".to_owned();
            return Err(RepositoryError::TooLarge { what, limit: "totalBytesMax", max });
        }
        read.insert(path, Some(file));
    }
    Ok(read)
}

/// A file's text, or why it has none for us: nor could Flux use what is no UTF-8.
fn read_text(
    repository: &git2::Repository,
    blob: Oid,
    limits: &Limits,
) -> Result<Result<String, String>, RepositoryError> {
    let failed = |source| RepositoryError::of_clone("read a manifest", source);
    let (size, _) = repository.odb().and_then(|odb| odb.read_header(blob)).map_err(failed)?;
    if size > limits.file_bytes_max {
        let max = limits.file_bytes_max;
        return Ok(Err(format!("it is larger than repository.limits.fileBytesMax = {max} bytes")));
    }
    let blob = repository.find_blob(blob).map_err(failed)?;
    let text = std::str::from_utf8(blob.content()).map(str::to_owned);
    Ok(text.map_err(|_| "it is not UTF-8".to_owned()))
}

/// Whether a mode is that of a file with content: not a link, folder or submodule.
pub(super) fn is_file(mode: i32) -> bool {
    [FileMode::Blob, FileMode::BlobGroupWritable, FileMode::BlobExecutable].map(i32::from).contains(&mode)
}

fn is_manifest(name: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end)) || is_kustomization(name)
}
