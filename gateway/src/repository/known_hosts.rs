//! Whether an SSH server's key is one that the configured `known_hosts` file names.
//!
//! Pure text work. Unknown means no: there is no trust on first use. Hashed host names are not
//! understood, they simply do not match.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Whether `key` (as it travels, not base64) is trusted for `host`; `port` is 22 where none is given.
pub(super) fn trusts(known_hosts: &str, host: &str, port: u16, key: &[u8]) -> bool {
    let key = STANDARD.encode(key);
    let name = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
    let mut trusted = false;
    for line in known_hosts.lines() {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        let revoked = first == "@revoked";
        let names = if revoked { words.next() } else { Some(first) };
        let (Some(names), Some(_algorithm), Some(blob)) = (names, words.next(), words.next()) else {
            continue;
        };
        if first.starts_with('#') || blob != key {
            continue;
        }
        if revoked {
            return false;
        }
        trusted |= names.split(',').any(|known| known.eq_ignore_ascii_case(&name));
    }
    trusted
}

#[cfg(test)]
mod tests {
    use super::trusts;

    #[test]
    fn only_a_named_host_with_its_own_key_is_trusted() {
        // "a2V5" is base64 of "key".
        let cases = [
            ("git.example.com ssh-ed25519 a2V5", 22, true),
            ("other.example.com,git.example.com ssh-ed25519 a2V5 a comment", 22, true),
            ("GIT.example.com ssh-ed25519 a2V5", 22, true),
            ("[git.example.com]:2222 ssh-ed25519 a2V5", 2222, true),
            ("git.example.com ssh-ed25519 a2V5", 2222, false),
            ("git.example.com ssh-ed25519 b3RoZXI=", 22, false),
            ("evil.example.com ssh-ed25519 a2V5", 22, false),
            ("# git.example.com ssh-ed25519 a2V5", 22, false),
            ("|1|c2FsdA==|aGFzaA== ssh-ed25519 a2V5", 22, false),
            ("@cert-authority git.example.com ssh-ed25519 a2V5", 22, false),
            ("git.example.com ssh-ed25519 a2V5\n@revoked * ssh-ed25519 a2V5", 22, false),
            ("git.example.com", 22, false),
            ("", 22, false),
        ];
        for (known_hosts, port, expected) in cases {
            assert_eq!(trusts(known_hosts, "git.example.com", port, b"key"), expected, "{known_hosts}");
        }
    }
}
