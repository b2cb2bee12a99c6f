//! Signs the commits that go by plain Git, as `git commit -S` does with an SSH key.
//!
//! The signature is the one of OpenSSH's PROTOCOL.sshsig in the namespace `git`. The key is read at each
//! commit, so that a rotated one needs no restart, and is never shown.

use std::io::{Error, ErrorKind};

use ssh_key::{HashAlg, LineEnding, PrivateKey};

use super::config::{Signing, read_secret};
use super::remote_error::RepositoryError;

/// What git signs in, so that a signature of a commit is good for nothing else.
const NAMESPACE: &str = "git";

/// The armored signature of a commit's text.
pub(super) fn sign(signing: &Signing, commit: &[u8]) -> Result<String, RepositoryError> {
    let unusable = |reason: String| RepositoryError::Secret {
        path: signing.key_file.clone(),
        source: Error::new(ErrorKind::InvalidData, reason),
    };
    let text = read_secret(&signing.key_file)? + "\n";
    let key = PrivateKey::from_openssh(text).map_err(|error| {
        unusable(format!("it holds no private key in OpenSSH's format, as ssh-keygen makes it: {error}"))
    })?;
    if key.is_encrypted() {
        let reason = "the key has a passphrase, which nobody could type: `ssh-keygen -p` takes it off a copy";
        return Err(unusable(reason.to_owned()));
    }
    let signed =
        key.sign(NAMESPACE, HashAlg::Sha512, commit).and_then(|signed| signed.to_pem(LineEnding::LF));
    signed.map_err(|error| unusable(format!("its key cannot sign: {error}")))
}
