//! Commits by plain Git that are signed by an SSH or an OpenPGP key. What git itself says of them,
//! `.ci/remotes` shows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA512, digest};
use ring::signature::{ED25519, UnparsedPublicKey};
use riposte::repository::{CommitError, Repository, RepositoryError};
use serde_json::{Value, json};
use ssh_key::{PrivateKey, SshSig};
use tempfile::tempdir;
use tokio::task::block_in_place;

use crate::harness::git::{Bare, HttpRemote, TOKEN, USER, change, config};
use crate::harness::{Fleet, Process, cloudevent, fixture, shell_in};

const MESSAGE: &str = "Scale web to 0: Shell\n\n> ü\n\nRiposte-Reaction: j1/r9\n";

/// The point of the subkey that signs in `openpgp/subkey.asc`, as gpg lists it.
const SUBKEY: [u8; 32] = [
    0x83, 0x48, 0x36, 0x45, 0x54, 0x14, 0x30, 0xf9, 0x37, 0x10, 0x73, 0xba, 0x48, 0xee, 0xfb, 0x0a, 0x22,
    0x49, 0xcd, 0x13, 0xca, 0xcf, 0x95, 0x47, 0x76, 0x7f, 0x89, 0x9c, 0xd2, 0x01, 0xd9, 0xdc,
];

fn text_of(name: &str) -> String {
    String::from_utf8(fixture(&format!("keys/{name}"))).unwrap()
}

fn key(bare: &Bare, name: &str) -> std::path::PathBuf {
    bare.secret("signing", &text_of(name))
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

/// A checked repository of this configuration gets a commit, which is its head then.
async fn commit(input: Value, round: usize) {
    let data = tempdir().unwrap();
    let repository = Repository::open(&config(input), data.path()).await.unwrap();
    repository.check().await.unwrap();
    let base = repository.head().await.unwrap();
    let files = change("a.yaml", &format!("a: {}\n", round + 2));
    let made = repository.commit(&base, &files, MESSAGE).await.unwrap();
    assert_eq!(repository.head().await.unwrap(), made);
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
            commit(input, round).await;
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

/// Whether an armored OpenPGP signature is of this text and by this point. Where its parts lie follows from
/// RFC 9580, sections 5.2.3 and 5.2.4, and from the two subpackets that are signed.
fn is_signed_by(point: &[u8], text: &str, armored: &str) -> bool {
    let body: String = armored.lines().skip(2).take_while(|line| !line.starts_with('=')).collect();
    let packet = STANDARD.decode(body).unwrap();
    let packet = packet.strip_prefix(&[0x88, u8::try_from(packet.len() - 2).unwrap()]).unwrap();
    // Version, a binary document, EdDSA, SHA-512, and the octets of the subpackets.
    assert!(packet.starts_with(&[4, 0x00, 22, 10, 0, 29]), "{packet:?}");
    let (hashed, rest) = packet.split_at(6 + 29);
    let sum = digest(&SHA512, &[text.as_bytes(), hashed, &[4, 0xff, 0, 0, 0, 35]].concat());
    // The issuer's key id, which is not signed, and the first octets of the sum.
    let mut rest = &rest[2 + 10..];
    let is_of_it = rest[..2] == sum.as_ref()[..2];
    rest = &rest[2..];
    let mut signature = Vec::new();
    for _ in ["R", "S"] {
        let octets = usize::from(u16::from_be_bytes([rest[0], rest[1]])).div_ceil(8);
        signature.extend(vec![0; 32 - octets]);
        signature.extend(&rest[2..2 + octets]);
        rest = &rest[2 + octets..];
    }
    is_of_it && UnparsedPublicKey::new(&ED25519, point).verify(sum.as_ref(), &signature).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_carries_the_openpgp_signature_of_its_text() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    bare.git(&["config", "http.receivepack", "true"]);
    let remote = HttpRemote::start(bare.root.path()).await;
    let signing = json!({ "format": "openpgp", "keyFile": key(&bare, "openpgp/subkey-alone.asc") });
    let auth = json!({ "tokenFile": bare.secret("token", TOKEN), "username": USER });
    let ways = [
        json!({ "url": bare.file_url(), "signing": signing }),
        json!({ "url": remote.url(), "auth": auth, "signing": signing }),
    ];
    for (round, input) in ways.into_iter().enumerate() {
        commit(input, round).await;
        let (text, signature) = parted(&bare);
        assert!(signature.starts_with("-----BEGIN PGP SIGNATURE-----\n\n") && text.ends_with(MESSAGE));
        assert!(is_signed_by(&SUBKEY, &text, &signature));
        assert!(!is_signed_by(&SUBKEY, &text.replace("web to 0", "web to 9"), &signature));
        bare.git(&["fsck", "--strict"]);
    }
}

#[tokio::test]
async fn a_key_that_cannot_sign_is_told_and_nothing_is_committed() {
    let own = [("ssh", "sign-rsa"), ("openpgp", "openpgp/rsa.asc")];
    let cases = [
        ("ssh", text_of("sign-protected"), "passphrase"),
        ("ssh", text_of("app-one.pem"), "OpenSSH's format"),
        ("ssh", text_of("openpgp/ed25519.asc"), "OpenSSH's format"),
        ("ssh", "a key".to_owned(), "OpenSSH's format"),
        ("ssh", String::new(), "OpenSSH's format"),
        ("openpgp", text_of("openpgp/protected.asc"), "passphrase"),
        ("openpgp", text_of("openpgp/expired.asc"), "expired at 2026-01-02"),
        ("openpgp", text_of("openpgp/public.asc"), "--export-secret-keys"),
        ("openpgp", text_of("sign-ed25519"), "gpg --armor --export-secret-keys"),
        ("openpgp", String::new(), "gpg --armor --export-secret-keys"),
    ];
    for (format, own) in own {
        let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
        let data = tempdir().unwrap();
        let signing = json!({ "format": format, "keyFile": key(&bare, own) });
        let input = json!({ "url": bare.file_url(), "signing": signing });
        let repository = Repository::open(&config(input), data.path()).await.unwrap();
        for (_, text, words) in cases.iter().filter(|case| case.0 == format) {
            bare.secret("signing", text);
            refuses_to_commit(&repository, &bare, words).await;
        }
        // What gpg exports without --armor, and what an editor makes of it.
        std::fs::write(bare.root.path().join("signing"), [0x95, 0xff, 0x00]).unwrap();
        refuses_to_commit(&repository, &bare, "--armor").await;
        key(&bare, own);
        repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await.unwrap();
        parted(&bare);
    }
}

async fn refuses_to_commit(repository: &Repository, bare: &Bare, words: &str) {
    let refused = repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await;
    let Err(CommitError::Repository(error @ RepositoryError::Secret { .. })) = refused else {
        panic!("{words}: {refused:?}")
    };
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains(words), "{words}: {source}");
    assert!(repository.check().await.is_err(), "{words}");
    assert_eq!(bare.commits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_a_key_that_can_sign_it() {
    let fleet = Fleet::tutorial();
    let file = key(&fleet.bare, "openpgp/protected.asc");
    let text = std::fs::read_to_string(fleet.config("a")).unwrap();
    let signing = format!(
        "repository:\n  signing: {{ format: openpgp, keyFile: {} }}\n  limits: {{ retryMs: 200 }}\n",
        file.display()
    );
    let config = fleet.beside("a.yaml", &text.replacen("repository:\n", &signing, 1));
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        let alert = shell_in("default", "alpine-deployment-77789455d6-m7flp");
        let seq = process.connect().send(&cloudevent("1", &alert)).number();
        for _ in 0..2 {
            process.wait_for_line(|line| line.contains("a commit is tried again later"));
        }
        let reaction = process.connect().get(&format!("/v1/events/{seq}")).json()["reactions"][0].clone();
        assert!(reaction["outcome"].is_null(), "{reaction:#}");
        let said = reaction["attempts"].to_string();
        assert!(said.contains("secret: ") && said.contains("gpg --change-passphrase"), "{said}");
        assert_eq!(fleet.log().len(), 1);
        key(&fleet.bare, "openpgp/subkey.asc");
        let reaction = process.settled(seq)["reactions"][0].clone();
        assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
        let (text, signature) = parted(&fleet.bare);
        assert!(
            text.contains("Scale default/alpine-deployment to 0") && is_signed_by(&SUBKEY, &text, &signature)
        );
        assert_eq!(process.terminate(), Some(0));
    });
}

#[test]
fn signing_has_one_place() {
    for format in ["ssh", "openpgp"] {
        let signing = json!({ "format": format, "keyFile": "/k" });
        let github =
            json!({ "url": "https://github.com/a/b", "auth": { "tokenFile": "/t" }, "signing": signing });
        let refused = Repository::new(&config(github), std::path::Path::new("/nowhere")).unwrap_err();
        assert!(refused.to_string().contains("by itself"), "{format}: {refused}");
    }
}
