//! The signature of OpenSSH's PROTOCOL.sshsig in the namespace `git`, by a key in OpenSSH's format.

use ssh_key::{HashAlg, LineEnding, PrivateKey};

use super::Reason;

/// What git signs in, so that a signature of a commit is good for nothing else.
const NAMESPACE: &str = "git";

/// The armored signature of a text.
pub(super) fn sign(key: &str, text: &[u8]) -> Result<String, Reason> {
    let key = PrivateKey::from_openssh(key.to_owned() + "\n").map_err(|error| {
        format!("it holds no private key in OpenSSH's format, as ssh-keygen makes it: {error}")
    })?;
    if key.is_encrypted() {
        let reason = "the key has a passphrase, which nobody could type: `ssh-keygen -p` takes it off a copy";
        return Err(reason.to_owned());
    }
    let signed = key.sign(NAMESPACE, HashAlg::Sha512, text).and_then(|signed| signed.to_pem(LineEnding::LF));
    signed.map_err(|error| format!("its key cannot sign: {error}"))
}
