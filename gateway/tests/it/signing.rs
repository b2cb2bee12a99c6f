//! Commits by plain Git that are signed by an SSH key. What git itself says of them, `.ci/remotes` shows.

use riposte::repository::{CommitError, Repository, RepositoryError};
use serde_json::json;
use ssh_key::{PrivateKey, SshSig};
use tempfile::tempdir;

use crate::harness::fixture;
use crate::harness::git::{Bare, HttpRemote, TOKEN, USER, change, config};

const MESSAGE: &str = "Scale web to 0: Shell\n\n> ü\n\nRiposte-Reaction: j1/r9\n";

fn key(bare: &Bare, name: &str) -> std::path::PathBuf {
    bare.secret("signing", &String::from_utf8(fixture(&format!("keys/{name}"))).unwrap())
}

/// The commit's text as it was signed, and its signature.
fn parted(bare: &Bare) -> (String, String) {
    let raw = bare.git(&["cat-file", "commit", "main"]);
    let (head, message) = raw.split_once("\n\n").unwrap();
    let (before, signature) = head.split_once("\ngpgsig ").expect("it is signed");
    let lines: Vec<&str> = signature.split('\n').collect();
    let last = lines.iter().rposition(|line| line.trim_start().starts_with("-----END")).unwrap();
    assert_eq!(last, lines.len() - 1, "nothing stands behind it: {lines:?}");
    let unfolded = lines[..=last].iter().map(|line| line.strip_prefix(' ').unwrap_or(line));
    let signature = unfolded.collect::<Vec<_>>().join("\n") + "\n";
    (format!("{before}\n\n{message}"), signature)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_carries_the_signature_of_its_text() {
    for name in ["sign-ed25519", "sign-ecdsa", "sign-rsa"] {
        let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
        bare.git(&["config", "http.receivepack", "true"]);
        let remote = HttpRemote::start(bare.root.path()).await;
        let signing = json!({ "format": "ssh", "keyFile": key(&bare, name) });
        let auth = json!({ "tokenFile": bare.secret("token", TOKEN), "username": USER });
        let committer = json!({ "name": "Riposte", "email": "riposte@example.com" });
        let ways = [
            json!({ "url": bare.file_url(), "signing": signing, "committer": committer }),
            json!({ "url": remote.url(), "auth": auth, "signing": signing, "committer": committer }),
        ];
        for (round, input) in ways.into_iter().enumerate() {
            let data = tempdir().unwrap();
            let repository = Repository::open(&config(input), data.path()).await.unwrap();
            repository.check().await.unwrap();
            let base = repository.head().await.unwrap();
            let files = change("a.yaml", &format!("a: {}\n", round + 2));
            let made = repository.commit(&base, &files, MESSAGE).await.unwrap();
            assert_eq!(repository.head().await.unwrap(), made, "{name}");
            let (text, signature) = parted(&bare);
            assert!(text.contains("committer Riposte <riposte@example.com>") && text.ends_with(MESSAGE));
            let public = PrivateKey::from_openssh(fixture(&format!("keys/{name}"))).unwrap();
            let signature = SshSig::from_pem(signature).unwrap();
            public.public_key().verify("git", text.as_bytes(), &signature).expect(name);
            let forged = text.replace("Scale web to 0", "Scale web to 9");
            public.public_key().verify("git", forged.as_bytes(), &signature).expect_err(name);
            bare.git(&["fsck", "--strict"]);
        }
    }
}

#[tokio::test]
async fn a_key_that_cannot_sign_is_told_and_nothing_is_committed() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let data = tempdir().unwrap();
    let signing = json!({ "format": "ssh", "keyFile": key(&bare, "sign-ed25519") });
    let input = json!({ "url": bare.file_url(), "signing": signing });
    let repository = Repository::open(&config(input), data.path()).await.unwrap();
    let cases = [
        (String::from_utf8(fixture("keys/sign-protected")).unwrap(), "passphrase"),
        (String::from_utf8(fixture("keys/app-one.pem")).unwrap(), "OpenSSH's format"),
        ("a key".to_owned(), "OpenSSH's format"),
        (String::new(), "OpenSSH's format"),
    ];
    for (text, words) in cases {
        bare.secret("signing", &text);
        let refused = repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await;
        let Err(CommitError::Repository(error @ RepositoryError::Secret { .. })) = refused else {
            panic!("{words}: {refused:?}")
        };
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(words), "{words}: {source}");
        assert!(repository.check().await.is_err(), "{words}");
        assert_eq!(bare.commits(), 1);
    }
    key(&bare, "sign-rsa");
    repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await.unwrap();
    parted(&bare);
}

#[test]
fn signing_has_one_place() {
    let refused = |input: serde_json::Value| {
        let refused = Repository::new(&config(input), std::path::Path::new("/nowhere"));
        refused.unwrap_err().to_string()
    };
    let ssh = json!({ "format": "ssh", "keyFile": "/k" });
    let github = json!({ "url": "https://github.com/a/b", "auth": { "tokenFile": "/t" }, "signing": ssh });
    assert!(refused(github).contains("by itself"));
    let openpgp = json!({ "format": "openpgp", "keyFile": "/k" });
    let openpgp = refused(json!({ "url": "file:///fleet.git", "signing": openpgp }));
    assert!(openpgp.contains("SSH key"), "{openpgp}");
}
