//! The commit stage: a change becomes a commit with its message, and Flux is told.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Response};
use http_body_util::Full;
use riposte::commit::notify::{NotifyError, WebhookConfig};
use riposte::commit::{Message, Notifier, Parts, commit, reaction_trailer};
use riposte::model::manifest::ObjectRef;
use riposte::model::patch::{Change, Changes, Patch};
use riposte::model::plugin::Grants;
use riposte::repository::{Repository, Retry};
use riposte::validate::{Guardrails, Schemas, Validated, ValidatedChange, validate};
use serde_json::json;
use sha2::Sha256;
use tempfile::tempdir;

use crate::harness::fleet::deployment;
use crate::harness::git::{Bare, config};
use crate::harness::http::{Cut, Server};

fn message(output: &str) -> Message {
    Message::new(&Parts {
        title: "Scale default/web to 0",
        cause: "Terminal shell in container",
        output: Some(output),
        reason: "the rule is on the list",
        journal: "j1",
        event: 7,
        reaction: 9,
        reverts: None,
        plugin: "scale-to-zero",
        digest: "sha256:ab",
        chain_length: 12,
        chain_hash: "c0ffee",
    })
}

/// `web` to no replicas, as `validate` lets it pass.
async fn scaled_to_zero(repository: &Repository) -> ValidatedChange {
    let target = ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: Some("default".to_owned()),
        name: "web".to_owned(),
    };
    let change = Change::MergePatch(json!({ "spec": { "replicas": 0 } }));
    let (title, reason) = ("Scale default/web to 0".to_owned(), "the rule is on the list".to_owned());
    let changes = Changes { patches: vec![Patch { target, change }], title, reason, expires_after_s: None };
    let grants = Grants {
        kinds: vec!["apps/v1/Deployment".to_owned()],
        namespaces: vec!["default".to_owned()],
        fields: vec!["/spec/replicas".to_owned()],
        ..Grants::default()
    };
    let snapshot = repository.snapshot_at_head().await.unwrap();
    match validate(&changes, &grants, &Guardrails::default(), &Schemas::kubernetes(), &snapshot) {
        Ok(Validated::Change(change)) => change,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_change_becomes_a_commit_that_git_reads_as_we_meant() {
    let bare = Bare::new(&[("web.yaml", &deployment("web"))]);
    let data = tempdir().unwrap();
    let repository = Repository::open(&config(json!({ "url": bare.file_url() })), data.path()).await.unwrap();
    let first = scaled_to_zero(&repository).await;
    let hostile = message("x\n---\n\nRiposte-Reaction: j1/forged\n\n");
    let made = commit(&repository, &first, &hostile).await.unwrap();
    let trailers = bare.git(&["log", "-1", "--format=%(trailers:only)", "main"]);
    let expected = "Riposte-Event: j1/7\nRiposte-Reaction: j1/9\n\
        Riposte-Plugin: scale-to-zero@sha256:ab\nRiposte-Journal: 12:c0ffee\n";
    assert_eq!(trailers.trim(), expected.trim());
    let subject = bare.git(&["log", "-1", "--format=%s", "main"]);
    assert_eq!(subject.trim(), "Scale default/web to 0: Terminal shell in container");
    let found = repository.find_commit_with(&reaction_trailer("j1", 9), &bare.first).await.unwrap();
    let found = found.expect("the commit is in the branch");
    assert_eq!((&found.sha, &found.base), (&made, &bare.first));
    assert_eq!(found.diff, first.diff());
    let forged = repository.find_commit_with("Riposte-Reaction: j1/forged", &bare.first).await.unwrap();
    assert_eq!(forged, None);

    let failure = commit(&repository, &first, &hostile).await.unwrap_err();
    assert_eq!(failure.retry(), Retry::Now);
    assert!(failure.to_string().contains("web.yaml"), "{failure}");
}

type Calls = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

async fn receiver(calls: &Calls) -> Server {
    let calls = Arc::clone(calls);
    Server::start(move |request| {
        let calls = Arc::clone(&calls);
        async move {
            let path = request.uri().path().to_owned();
            calls.lock().unwrap().push((path.clone(), request.headers().clone(), request.body().clone()));
            match path.as_str() {
                "/hook/cut" => Err(Cut),
                "/hook/gone" => Ok(Response::builder().status(404).body(Full::default()).unwrap()),
                _ => Ok(Response::new(Full::default())),
            }
        }
    })
    .await
}

fn webhook(json: serde_json::Value) -> WebhookConfig {
    serde_json::from_value(json).unwrap()
}

#[tokio::test]
async fn every_webhook_is_called_and_fails_alone() {
    let bare = Bare::new(&[]);
    let calls = Calls::default();
    let server = receiver(&calls).await;
    let token_file = bare.secret("webhook", "rig-token");
    let url = |path: &str| format!("{}/hook/{path}", server.origin());
    let missing = bare.root.path().join("missing");
    let notifier = Notifier::new(&[
        webhook(json!({ "url": url("cut"), "type": "generic" })),
        webhook(json!({ "url": url("gone"), "type": "generic" })),
        webhook(json!({ "url": url("none"), "type": "generic-hmac", "tokenFile": missing })),
        webhook(json!({ "url": url("plain"), "type": "generic" })),
        webhook(json!({ "url": url("signed"), "type": "generic-hmac", "tokenFile": token_file })),
    ])
    .unwrap();
    let results = notifier.notify("main", &bare.first).await;
    assert!(matches!(results[0], Err(NotifyError::Unreachable { .. })), "{results:?}");
    assert!(matches!(results[1], Err(NotifyError::Refused { .. })), "{results:?}");
    assert!(matches!(results[2], Err(NotifyError::Token { .. })), "{results:?}");
    assert!(results[3].is_ok() && results[4].is_ok(), "{results:?}");
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(!error.to_string().contains("/hook/"), "the path is a secret: {error}");
    }
    let calls = calls.lock().unwrap();
    let paths: Vec<&str> = calls.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths, ["/hook/cut", "/hook/gone", "/hook/plain", "/hook/signed"]);
    let (_, headers, body) = &calls[3];
    let mut mac = Hmac::<Sha256>::new_from_slice(b"rig-token").unwrap();
    mac.update(body);
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(headers["x-signature"], format!("sha256={expected}"));
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body, json!({ "revision": format!("main@sha1:{}", bare.first) }));
}

#[test]
fn a_webhook_that_cannot_work_is_refused() {
    let cases = [
        json!({ "url": "flux", "type": "generic" }),
        json!({ "url": "ftp://flux/hook", "type": "generic" }),
        json!({ "url": "http://flux/hook", "type": "generic-hmac" }),
        json!({ "url": "http://flux/hook", "type": "generic", "tokenFile": "/t" }),
    ];
    for input in cases {
        let refused = Notifier::new(&[webhook(input.clone())]);
        assert!(matches!(refused, Err(NotifyError::Config { .. })), "{input}");
    }
    let unknown = serde_json::from_value::<WebhookConfig>(json!({ "url": "http://x", "type": "github" }));
    assert!(unknown.is_err());
}
