//! An API server is asked before a commit: what it refuses is refused, and while it is away all waits.

use std::path::PathBuf;

use riposte::model::manifest::ObjectRef;
use riposte::repository::Retry;
use riposte::validate::{DryRun, DryRunConfig, DryRunError};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::harness::api_server::{ApiServer, fine, kubeconfig, status};
use crate::harness::proposal::object_of;
use crate::harness::sandbox::POD;
use crate::harness::{Fleet, Process, cloudevent, shell_in};

fn object(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> (ObjectRef, Value) {
    (
        object_of(api_version, kind, namespace, name),
        json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name } }),
    )
}

fn dry_run(kubeconfig: PathBuf) -> Result<DryRun, DryRunError> {
    DryRun::new(DryRunConfig { kubeconfig, timeout_ms: 20_000 })
}

#[tokio::test]
async fn each_object_is_applied_without_being_stored() {
    let fleet = Fleet::with(&[]);
    let server = ApiServer::answering(vec![fine()]).await;
    let token = fleet.beside("token", "s3cret\n");
    // A token's file lies beside the kubeconfig, and goes before a token in it.
    assert!(token.exists());
    let kubeconfig = server.kubeconfig(&fleet, &json!({ "token": "old", "tokenFile": "token" }));
    let dry_run = dry_run(kubeconfig).unwrap();
    let objects = [
        object("apps/v1", "Deployment", Some("shop"), "web"),
        object("v1", "Namespace", None, "shop"),
        object("v1", "Pod", Some("a/b"), "../x?y"),
    ];
    dry_run.check(&objects).await.unwrap().unwrap();
    fleet.beside("token", "n3w");
    dry_run.check(&objects[..1]).await.unwrap().unwrap();
    let query = "dryRun=All&fieldManager=riposte&force=true";
    let seen = server.seen();
    let asked: Vec<&str> = seen.iter().map(|(asked, _, _)| asked.as_str()).collect();
    let web = format!("PATCH /apis/apps/v1/namespaces/shop/deployments/web?{query}");
    assert_eq!(
        asked,
        [
            "GET /apis/apps/v1",
            &web,
            "GET /api/v1",
            &format!("PATCH /api/v1/namespaces/shop?{query}"),
            "GET /api/v1",
            &format!("PATCH /api/v1/namespaces/a%2Fb/pods/%2E%2E%2Fx%3Fy?{query}"),
            "GET /apis/apps/v1",
            &web,
        ]
    );
    assert_eq!(seen[1].2["metadata"], json!({ "name": "web", "namespace": "shop" }));
    assert_eq!(seen[3].2["metadata"], json!({ "name": "shop" }));
    let tokens: Vec<_> = seen.iter().map(|(_, token, _)| token.as_deref().unwrap()).collect();
    assert_eq!((tokens[0], tokens[7]), ("Bearer s3cret", "Bearer n3w"));
}

#[tokio::test]
async fn what_is_said_of_the_object_refuses_and_what_is_said_of_now_waits() {
    let fleet = Fleet::with(&[]);
    let web = || object("apps/v1", "Deployment", Some("default"), "web");
    let refused = [
        (
            status(422, "Invalid", "Deployment.apps \"web\" is invalid: spec.selector: field is immutable"),
            "immutable",
        ),
        (
            status(400, "BadRequest", "admission webhook \"policy\" denied the request: no"),
            "denied the request: no",
        ),
        (
            status(403, "Forbidden", "deployments.apps \"web\" is forbidden: violates PodSecurity"),
            "PodSecurity",
        ),
        (status(404, "NotFound", "namespaces \"default\" not found"), "namespaces \"default\" not found"),
        (status(413, "RequestEntityTooLarge", "limit is 3145728"), "3145728"),
        ((422, json!(null)), "it says no more than that"),
    ];
    for (answer, words) in refused {
        let server = ApiServer::answering(vec![answer.clone()]).await;
        let dry_run = dry_run(server.kubeconfig(&fleet, &json!({}))).unwrap();
        let refusals = dry_run.check(&[web(), web()]).await.unwrap().unwrap_err();
        let kinds: Vec<&str> = refusals.reasons().iter().map(|refusal| refusal.kind()).collect();
        assert_eq!(kinds, ["dry-run", "dry-run"], "{answer:?}");
        assert!(refusals.to_string().contains(words), "{refusals}");
    }
    let waits = [
        (status(401, "Unauthorized", "Unauthorized"), "401", 60),
        (status(409, "Conflict", "the object has been modified"), "409", 5),
        (status(429, "TooManyRequests", "the server is busy"), "429", 5),
        (status(500, "InternalError", "etcdserver: no leader"), "etcdserver", 5),
        (status(503, "ServiceUnavailable", "starting"), "503", 5),
        ((302, json!({})), "302", 5),
        ((0, json!({})), "cannot be reached", 5),
    ];
    for (answer, words, wait_s) in waits {
        let server = ApiServer::answering(vec![answer.clone()]).await;
        let dry_run = dry_run(server.kubeconfig(&fleet, &json!({}))).unwrap();
        let error = dry_run.check(&[web()]).await.unwrap_err();
        assert!(error.to_string().contains(words), "{answer:?}: {error}");
        assert_eq!(error.retry(), Retry::After(std::time::Duration::from_secs(wait_s)), "{error}");
    }
    let server = ApiServer::answering(vec![fine()]).await;
    let dry_run = dry_run(server.kubeconfig(&fleet, &json!({}))).unwrap();
    for unknown in [object("example.dev/v1", "Thing", Some("a"), "t"), object("v1", "Thing", Some("a"), "t")]
    {
        let said = dry_run.check(&[unknown]).await.unwrap().unwrap_err().to_string();
        assert!(said.contains("the API server"), "{said}");
    }
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_refused_with_its_reason() {
    let fleet = Fleet::with(&[]);
    let https = json!({ "server": "https://127.0.0.1:1" });
    let and = |more: Value| {
        let mut cluster = https.clone();
        json_patch::merge(&mut cluster, &more);
        cluster
    };
    let table = [
        (json!({}), json!({}), "is no URL"),
        (json!({ "server": "http://10.0.0.1" }), json!({}), "neither https nor http on a loopback address"),
        (json!({ "server": "http://localhost" }), json!({}), "neither https nor http on a loopback address"),
        (
            and(json!({ "insecure-skip-tls-verify": true })),
            json!({}),
            "insecure-skip-tls-verify, which is not supported",
        ),
        (and(json!({ "proxy-url": "http://p" })), json!({}), "proxy-url"),
        (and(json!({ "certificate-authority": "missing.crt" })), json!({}), "missing.crt"),
        (and(json!({ "certificate-authority-data": "!" })), json!({}), "no base64"),
        (and(json!({ "certificate-authority-data": "YQ==" })), json!({}), "has no certificate"),
        (https.clone(), json!({ "exec": { "command": "aws" } }), "exec, which is not supported"),
        (https.clone(), json!({ "auth-provider": { "name": "gcp" } }), "auth-provider"),
        (https.clone(), json!({ "username": "a", "password": "b" }), "username"),
        (https.clone(), json!({ "as": "root" }), "its user has as"),
        (https.clone(), json!({ "client-certificate-data": "YQ==" }), "needs both"),
        (https.clone(), json!({ "tokenFile": "missing" }), "missing"),
        (https.clone(), json!({ "token": "a\nb" }), "cannot be sent in a header"),
    ];
    for (cluster, user, words) in table {
        let error = dry_run(kubeconfig(&fleet, &cluster, &user)).unwrap_err();
        assert!(error.to_string().contains(words), "{cluster} {user}: {error}");
        assert!(error.to_string().contains("validation.dryRun.kubeconfig"), "{error}");
    }
    for text in ["", "a: [", "current-context: gone\n"] {
        let error = dry_run(fleet.beside("kubeconfig", text)).unwrap_err();
        assert!(error.to_string().contains("kubeconfig"), "{text:?}: {error}");
    }
    let usable = kubeconfig(&fleet, &https, &json!({ "token": "a" }));
    assert_eq!(dry_run(usable).unwrap().server().unwrap(), "https://127.0.0.1:1");
}

/// A gateway's configuration that asks this server.
fn asking(fleet: &Fleet, kubeconfig: &std::path::Path) -> PathBuf {
    let text = std::fs::read_to_string(fleet.config("a")).unwrap();
    let more = format!(
        "validation: {{ dryRun: {{ kubeconfig: {} }} }}\nrepeats: {{ windowS: 0 }}\n",
        kubeconfig.display()
    );
    fleet.beside("asking.yaml", &format!("{text}{more}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_that_the_api_server_refuses_or_was_not_asked() {
    let fleet = Fleet::tutorial();
    let invalid = status(422, "Invalid", "Deployment.apps \"alpine-deployment\" is invalid: quota");
    let away = status(503, "ServiceUnavailable", "starting");
    let server = ApiServer::answering(vec![invalid, away, fine()]).await;
    let config = asking(&fleet, &server.kubeconfig(&fleet, &json!({})));
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        let mut react = |id: &str| {
            let answer = process.connect().send(&cloudevent(id, &shell_in("default", POD)));
            process.settled(answer.number())["reactions"][0].clone()
        };
        let refused = react("1");
        assert_eq!(refused["outcome"], "refused", "{refused:#}");
        let reason = refused["reason"].as_str().unwrap();
        assert!(reason.starts_with("dry-run: ") && reason.contains("is invalid: quota"), "{reason}");
        assert_eq!(fleet.log().len(), 1);
        // The next one waits for the server, and is committed then.
        let committed = react("2");
        assert_eq!(committed["outcome"], "committed", "{committed:#}");
        assert_eq!(committed["attempts"][1]["result"], "retry", "{committed:#}");
        assert!(committed["attempts"][1]["detail"].as_str().unwrap().contains("503"), "{committed:#}");
    });
    assert_eq!(fleet.log().len(), 2);
    let patches = server.seen().iter().filter(|(asked, _, _)| asked.starts_with("PATCH")).count();
    assert_eq!(patches, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn riposte_check_says_which_api_server_is_asked() {
    let fleet = Fleet::tutorial();
    let server = ApiServer::answering(vec![fine()]).await;
    for (user, ok) in [(json!({}), true), (json!({ "exec": { "command": "aws" } }), false)] {
        let config = asking(&fleet, &server.kubeconfig(&fleet, &user));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_riposte"));
        let output = command.args(["check", "--offline", "--config"]).arg(config).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.success(), ok, "{said}");
        let expected = if ok { server.origin() } else { "exec, which is not supported".to_owned() };
        assert!(said.contains(&expected), "{said}");
    }
}
