//! Reads the manifest files of one commit from Git objects.
//!
//! Links and submodules are not followed: they could lead anywhere. A limit that is exceeded fails the
//! whole reading, because an index with holes would name the wrong object's owner.

use std::sync::Arc;

use git2::{FileMode, Oid};

use super::config::Limits;
use super::git::{GitClone, oid_of};
use super::index::SourceFile;
use super::kustomize::is_kustomization;
use super::remote_error::RepositoryError;
use super::snapshot::Snapshot;
use crate::model::manifest::CommitSha;

/// How deep folders may lie in each other.
const DEPTH_MAX: usize = 64;

/// A file that a commit names but that was not read yet.
struct Entry {
    path: String,
    blob: Oid,
}

/// Every `*.yaml`, `*.yml`, `*.json` and `Kustomization` under the configured folder, in the order of their paths.
/// A file that `newest` holds unchanged is not read again.
pub(super) fn read(
    clone: &GitClone,
    commit: &CommitSha,
    newest: Option<&Snapshot>,
) -> Result<Vec<SourceFile>, RepositoryError> {
    let repository = clone.open()?;
    let failed = |source| RepositoryError::of_clone("read the commit's files", source);
    let found = repository.find_commit(oid_of(commit)).map_err(|source| match source.code() {
        git2::ErrorCode::NotFound => RepositoryError::NotFound { what: format!("commit {commit}") },
        _ => failed(source),
    })?;
    let root = found.tree().map_err(failed)?;
    let entries = list(&repository, &root, &clone.remote.path, &clone.remote.limits)?;
    let mut files = Vec::with_capacity(entries.len());
    let mut total_bytes = 0;
    for entry in entries {
        let blob = entry.blob.to_string();
        let known = newest.and_then(|newest| newest.file(&entry.path)).filter(|known| known.blob == blob);
        let text = match known {
            Some(known) => Some(Arc::clone(&known.text)),
            None => read_text(&repository, &entry, &clone.remote.limits)?,
        };
        let Some(text) = text else { continue };
        total_bytes += text.len();
        let max = clone.remote.limits.total_bytes_max;
        if total_bytes > max {
            let what = format!("the manifests of {commit} together");
            return Err(RepositoryError::TooLarge { what, limit: "totalBytesMax", max });
        }
        files.push(SourceFile { path: entry.path, blob, text });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
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

fn list(
    repository: &git2::Repository,
    root: &git2::Tree<'_>,
    folder: &str,
    limits: &Limits,
) -> Result<Vec<Entry>, RepositoryError> {
    let failed = |source| RepositoryError::of_clone("list the commit's files", source);
    let mut folders = Vec::new();
    if folder.is_empty() {
        folders.push((String::new(), root.id(), 0));
    } else {
        match root.get_path(folder.as_ref()) {
            Ok(entry) if entry.kind() == Some(git2::ObjectType::Tree) => {
                folders.push((format!("{folder}/"), entry.id(), 0));
            }
            Err(error) if error.code() != git2::ErrorCode::NotFound => return Err(failed(error)),
            _ => return Err(RepositoryError::NotFound { what: format!("folder {folder}") }),
        }
    }
    let mut entries = Vec::new();
    while let Some((prefix, id, depth)) = folders.pop() {
        let tree = repository.find_tree(id).map_err(failed)?;
        for entry in &tree {
            let Ok(name) = std::str::from_utf8(entry.name_bytes()) else { continue };
            let path = format!("{prefix}{name}");
            match entry.filemode() {
                mode if mode == i32::from(FileMode::Tree) => {
                    if depth == DEPTH_MAX {
                        return Err(RepositoryError::TooLarge {
                            what: path,
                            limit: "folder depth",
                            max: DEPTH_MAX,
                        });
                    }
                    folders.push((path + "/", entry.id(), depth + 1));
                }
                mode if is_file(mode) && is_manifest(name) => entries.push(Entry { path, blob: entry.id() }),
                _ => {}
            }
        }
        if entries.len() > limits.files_max {
            let what = "the number of manifest files".to_owned();
            return Err(RepositoryError::TooLarge { what, limit: "filesMax", max: limits.files_max });
        }
    }
    Ok(entries)
}

/// `None` for a file that is no UTF-8: none of our readers, nor Flux', could use it.
fn read_text(
    repository: &git2::Repository,
    entry: &Entry,
    limits: &Limits,
) -> Result<Option<Arc<str>>, RepositoryError> {
    let failed = |source| RepositoryError::of_clone("read a manifest", source);
    let (size, _) = repository.odb().and_then(|odb| odb.read_header(entry.blob)).map_err(failed)?;
    if size > limits.file_bytes_max {
        let (what, max) = (entry.path.clone(), limits.file_bytes_max);
        return Err(RepositoryError::TooLarge { what, limit: "fileBytesMax", max });
    }
    let blob = repository.find_blob(entry.blob).map_err(failed)?;
    let text = std::str::from_utf8(blob.content()).ok().map(Arc::from);
    if text.is_none() {
        tracing::warn!(file.path = entry.path, "left out a manifest that is not UTF-8");
    }
    Ok(text)
}

/// Whether a mode is that of a file with content: not a link, folder or submodule.
pub(super) fn is_file(mode: i32) -> bool {
    [FileMode::Blob, FileMode::BlobGroupWritable, FileMode::BlobExecutable].map(i32::from).contains(&mode)
}

fn is_manifest(name: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end)) || is_kustomization(name)
}
