//! Signs the commits that go by plain Git, as `git commit -S` does with a key of the same kind.
//!
//! The key is read at each commit, so that a rotated one needs no restart, and is never shown. How it is
//! read and used is the format's part; when and what for is told here.

mod openpgp;
mod ssh;

use std::io::{Error, ErrorKind};
use std::path::Path;

use super::config::{SignatureFormat, Signing, read_secret};
use super::remote_error::RepositoryError;
use crate::clock;

/// What is wrong with a key, and what to do.
type Reason = String;

/// The armored signature of a commit's text.
pub(super) fn sign(signing: &Signing, commit: &[u8]) -> Result<String, RepositoryError> {
    let path = &signing.key_file;
    let text = read_secret(path).map_err(|error| match error {
        RepositoryError::Secret { source, .. } if source.kind() == ErrorKind::InvalidData => {
            unusable(path, "it is no text: gpg exports one with --armor".to_owned())
        }
        error => error,
    })?;
    let signed = match signing.format {
        SignatureFormat::Ssh => ssh::sign(&text, commit),
        SignatureFormat::Openpgp => openpgp::sign(&text, commit, clock::now_us() / 1_000_000),
    };
    signed.map_err(|reason| unusable(path, reason))
}

fn unusable(path: &Path, reason: Reason) -> RepositoryError {
    RepositoryError::Secret { path: path.to_owned(), source: Error::new(ErrorKind::InvalidData, reason) }
}
