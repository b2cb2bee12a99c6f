//! Compiled code on disk, so that a start does not compile what the one before has compiled.
//!
//! Mapping code that somebody else wrote would run it outside of every sandbox. So each file carries
//! a keyed hash of its name and its code, and what does not match is compiled anew.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{Error, Read, Result, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tempfile::NamedTempFile;

/// Files that are kept; the oldest go first.
const FILES_MAX: usize = 64;
/// Bytes of all of them.
const BYTES_MAX: u64 = 1 << 30;
const KEY_BYTES: usize = 32;
const HASH_BYTES: usize = 32;
/// The key's file, and the end of the names of the others.
const KEY: &str = "key";
const END: &str = ".code";

/// A folder of compiled code, and the key to it.
#[derive(Clone)]
pub(super) struct Cache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Cache {
    /// Opens the folder, or makes it. It has to be the user's own, and becomes closed to others.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let found = std::fs::symlink_metadata(folder)?;
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
            return Err(Error::other("the folder belongs to another user, or is a link"));
        }
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        Ok(Self { folder: folder.to_owned(), key: key_in(folder)? })
    }

    /// The code of that name, if it is there and as it was written.
    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.path(name);
        let mut whole = std::fs::read(&path).ok()?;
        let code = whole.split_off(whole.len().min(HASH_BYTES));
        if self.hash(name, &code).verify_slice(&whole).is_ok() {
            return Some(code);
        }
        tracing::warn!(cache.file = %path.display(), "cached code is not what was written; it is compiled anew");
        let _it_is_written_over_anyway = std::fs::remove_file(&path).is_err();
        None
    }

    /// Keeps the code. One that cannot be kept is compiled again the next time.
    pub(super) fn put(&self, name: &str, code: &[u8]) {
        if let Err(error) = self.write(name, code).and_then(|()| self.tidy()) {
            tracing::warn!(cache.dir = %self.folder.display(), error = %error, "compiled code cannot be kept");
        }
    }

    fn write(&self, name: &str, code: &[u8]) -> Result<()> {
        let mut file = NamedTempFile::new_in(&self.folder)?;
        file.write_all(&self.hash(name, code).finalize().into_bytes())?;
        file.write_all(code)?;
        file.persist(self.path(name))?;
        Ok(())
    }

    /// Removes the oldest files until the others are within the limits.
    fn tidy(&self) -> Result<()> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(END) {
                let found = entry.metadata()?;
                files.push((found.mtime(), found.mtime_nsec(), found.size(), entry.path()));
            }
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, _, size, _)| size).sum();
        let mut count = files.len();
        for (_, _, size, path) in files {
            if count <= FILES_MAX && bytes <= BYTES_MAX {
                break;
            }
            std::fs::remove_file(path)?;
            count -= 1;
            bytes = bytes.saturating_sub(size);
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{END}"))
    }

    fn hash(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut hash = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        hash.update(name.as_bytes());
        hash.update(code);
        hash
    }
}

/// The folder's key; made of random bytes when there is none.
fn key_in(folder: &Path) -> Result<[u8; KEY_BYTES]> {
    let path = folder.join(KEY);
    let mut key = [0; KEY_BYTES];
    match std::fs::read(&path) {
        Ok(found) if found.len() == KEY_BYTES => {
            key.copy_from_slice(&found);
            return Ok(key);
        }
        // What was cut off is no key, and no code was written with it.
        Ok(_) => std::fs::remove_file(&path)?,
        Err(_) => {}
    }
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(&key)?;
    match file.persist_noclobber(&path) {
        Ok(_) => Ok(key),
        // Another process was faster, and its key counts.
        Err(_) => std::fs::read(&path)?.try_into().map_err(|_| Error::other("the key is no key")),
    }
}
