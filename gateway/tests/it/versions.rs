//! The version of Kubernetes that a cluster has: what came after it is refused, and by whose word.
//!
//! `fixtures/kubernetes/versions.yaml` has the objects. That every row of the table does what it says is held
//! beside the table.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use riposte::validate::{Config, KubernetesVersion, Refusals, Schemas};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::flux::{configured, send, two_clusters};
use crate::harness::fleet::deployment;
use crate::harness::guest::{Guest, Image, Laid, write};
use crate::harness::sandbox::{POD, unhurried};
use crate::harness::{Fleet, Process, cloudevent, shell_in};
use crate::semantics::{BASES, put, replace, snapshot};

const CASES: &str = include_str!("fixtures/kubernetes/versions.yaml");

/// An object with what a version brought.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    since: u8,
    #[expect(dead_code, reason = "what `.ci/kubernetes` asks of others")]
    value: Option<bool>,
    base: String,
    set: BTreeMap<String, Value>,
    older: String,
}

fn version(minor: u8) -> KubernetesVersion {
    KubernetesVersion::try_from(json!(format!("1.{minor}"))).expect("a version that is known")
}

fn schemas(minor: u8) -> Schemas {
    let config = Config { kubernetes: version(minor), ..Config::default() };
    Schemas::new(&config).expect("no definitions")
}

/// The refusals of one object, without what they begin with.
fn said(refusals: &Refusals) -> Vec<String> {
    let told = refusals.reasons().iter().map(|refusal| format!("{}: {refusal}", refusal.kind()));
    told.map(|told| told.splitn(3, ": ").nth(2).expect("a reason").to_owned()).collect()
}

#[tokio::test]
async fn what_a_version_brought_is_refused_below_it_and_taken_from_it_on() {
    let bases: BTreeMap<String, Value> = serde_yaml::from_str(BASES).expect("the bases");
    let cases: Vec<Case> = serde_yaml::from_str(CASES).expect("the cases");
    assert!(cases.len() >= 15, "{cases:?}");
    for case in cases {
        let before = json!({
            "apiVersion": bases[&case.base]["apiVersion"], "kind": bases[&case.base]["kind"],
            "metadata": bases[&case.base]["metadata"],
        });
        let mut forced = before.clone();
        put(&mut forced, "/metadata/annotations", &json!({ "kustomize.toolkit.fluxcd.io/force": "enabled" }));
        let mut after = bases[&case.base].clone();
        case.set.iter().for_each(|(pointer, value)| put(&mut after, pointer, value));
        let snapshot = snapshot(&[&forced]).await;
        let below = case.since - 1;
        let refused = replace(&snapshot, &schemas(below), &forced, &after);
        let refused = refused.map(|_| "taken").expect_err(&case.older);
        let expected = format!("{}; validation.kubernetes is 1.{below}", case.older);
        assert_eq!(said(&refused), [expected], "{case:?}");
        assert_eq!(refused.reasons()[0].kind(), "schema", "{case:?}");
        for taken in [schemas(case.since), Schemas::kubernetes()] {
            let result = replace(&snapshot, &taken, &forced, &after);
            assert!(result.is_ok(), "{case:?}: {result:?}");
        }
    }
}

#[tokio::test]
async fn all_that_is_too_new_is_told_and_what_was_there_before_is_not_held_against_a_change() {
    let mut before: Value = serde_yaml::from_str(&deployment("web")).expect("YAML");
    before["metadata"]["namespace"] = json!("default");
    let plain = before.clone();
    let pod = "/spec/template/spec";
    put(&mut before, &format!("{pod}/hostnameOverride"), &json!("web"));
    let first = |names: &[&str]| -> Value {
        names.iter().map(|name| json!({ "name": name, "image": "a", "restartPolicy": "Never" })).collect()
    };
    put(&mut before, &format!("{pod}/initContainers"), &first(&["a"]));
    let schemas = schemas(33);
    let is = "validation.kubernetes is 1.33";
    let host = format!("{pod}/hostnameOverride came with Kubernetes 1.34; {is}");
    let never = |place: u8| {
        let field = format!("{pod}/initContainers/{place}/restartPolicy");
        format!("{field} has the value \"Never\", which came with Kubernetes 1.34; {is}")
    };
    let table: [(&Value, &str, Value, Vec<String>); 6] = [
        (&before, "/spec/replicas", json!(0), vec![]),
        (&before, "/metadata/labels", json!({ "a": "b" }), vec![]),
        (&before, &format!("{pod}/initContainers"), first(&["a", "b"]), vec![never(1)]),
        (&before, &format!("{pod}/hostnameOverride"), Value::Null, vec![]),
        (&plain, &format!("{pod}/hostnameOverride"), json!("web"), vec![host.clone()]),
        (&plain, "/spec/template", before["spec"]["template"].clone(), vec![host, never(0)]),
    ];
    for (before, pointer, value, expected) in table {
        let snapshot = snapshot(&[before]).await;
        let mut after = before.clone();
        put(&mut after, pointer, &value);
        let result = replace(&snapshot, &schemas, before, &after);
        let mut reasons = result.as_ref().err().map(said).unwrap_or_default();
        reasons.sort();
        assert_eq!(reasons, expected, "{pointer} {value}");
    }
}

#[tokio::test]
async fn what_the_newest_version_has_no_more_is_unknown_in_every_version() {
    let bases: BTreeMap<String, Value> = serde_yaml::from_str(BASES).expect("the bases");
    let before = &bases["pod"];
    let snapshot = snapshot(&[before]).await;
    let gone = [
        ("/spec/workloadRef", json!({ "name": "a", "podGroup": "b" }), "workloadRef"),
        ("/spec/resourceClaims", json!([{ "name": "a", "source": { "resourceClaimName": "b" } }]), "source"),
    ];
    for (pointer, value, field) in gone {
        for version in KubernetesVersion::all() {
            let mut after = before.clone();
            put(&mut after, pointer, &value);
            let config = Config { kubernetes: version, ..Config::default() };
            let refused = replace(&snapshot, &Schemas::new(&config).unwrap(), before, &after);
            let refused = refused.map(|_| "taken").expect_err(field).to_string();
            assert!(refused.contains(&format!("'{field}' was unexpected")), "{version}: {refused}");
        }
    }
}

/// The entry of a guest that sets a field which came with Kubernetes 1.34.
fn overriding(fleet: &Fleet, name: &str) -> Value {
    let patch = Laid {
        api_version: "apps/v1",
        kind: "Deployment",
        namespace: Some("default"),
        name,
        case: 4,
        text: r#"{"spec":{"template":{"spec":{"hostnameOverride":"web"}}}}"#,
    };
    let image = Image::proposal(&[patch], "Name it", "because");
    let file = write(fleet.bare.root.path(), "guest", &Guest::answering(&image).bytes());
    json!({
        "name": "guest", "source": format!("file:{}", file.display()), "mode": "enforce",
        "grants": { "kinds": ["Deployment"], "namespaces": ["default"], "fields": ["/spec"] },
        "subscriptions": [{ "exact": { "type": "falco.rule.output.v1" } }], "limits": unhurried(),
    })
}

/// A gateway with that guest and something more in its configuration.
fn overriding_with(fleet: &Fleet, more: &str) -> PathBuf {
    let config = fleet.config_with_plugin("a", &overriding(fleet, "alpine-deployment"));
    let text = std::fs::read_to_string(config).expect("the configuration");
    fleet.beside("versioned.yaml", &format!("{text}\n{more}\n"))
}

#[test]
fn a_proposal_is_held_to_the_version_of_the_configuration() {
    let refused = "schema: Deployment default/alpine-deployment: /spec/template/spec/hostnameOverride came with \
                   Kubernetes 1.34; validation.kubernetes is 1.33";
    let table = [
        ("validation: { kubernetes: \"1.33\" }", "refused", Some(refused)),
        ("validation: { kubernetes: \"1.34\" }", "committed", None),
        ("", "committed", None),
    ];
    for (more, outcome, reason) in table {
        let fleet = Fleet::tutorial();
        let mut process = Process::start(&overriding_with(&fleet, more), None);
        let answer = process.connect().send(&cloudevent("1", &shell_in("default", POD)));
        let reaction = process.settled(answer.number())["reactions"][0].clone();
        assert_eq!(reaction["outcome"], outcome, "{reaction:#}");
        assert!(reason.is_none_or(|reason| reaction["reason"] == reason), "{reaction:#}");
        let expected = if outcome == "committed" { 2 } else { 1 };
        assert_eq!(fleet.log().len(), expected, "{reaction:#}");
    }
}

#[test]
fn a_cluster_can_have_a_version_of_its_own() {
    let files = two_clusters();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let fleet = Fleet::with(&files);
    let text = std::fs::read_to_string(configured(&fleet)).expect("the configuration");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    config["plugins"] = json!([overriding(&fleet, "web")]);
    config["validation"]["kubernetes"] = json!("1.30");
    config["clusters"][0]["kubernetes"] = json!("1.33");
    config["clusters"][1]["kubernetes"] = json!("1.34");
    let third =
        json!({ "name": "third", "path": "clusters/third", "match": { "exact": { "cluster": "third" } } });
    config["clusters"].as_array_mut().expect("a list").push(third);
    let third = files.iter().find(|(path, _)| *path == "apps/base/web/web.yaml").expect("a file").1;
    fleet.person_commits("clusters/third/web.yaml", third);
    let mut process = Process::start(&fleet.beside("riposte.yaml", &config.to_string()), None);
    let came =
        "schema: Deployment default/web: /spec/template/spec/hostnameOverride came with Kubernetes 1.34; ";
    let table = [
        ("staging", "refused", format!("{came}cluster staging has 1.33")),
        ("third", "refused", format!("{came}validation.kubernetes is 1.30")),
        ("production", "committed", String::new()),
    ];
    for (id, (cluster, outcome, reason)) in (1..).zip(table) {
        let event = send(&process, id, Some(cluster), &shell_in("default", "web-77789455d6-m7flp"));
        let reaction = process.settled(event)["reactions"][0].clone();
        assert_eq!(reaction["outcome"], outcome, "{cluster}: {reaction:#}");
        assert!(reason.is_empty() || reaction["reason"] == reason, "{cluster}: {reaction:#}");
    }
}

#[test]
fn check_refuses_a_version_that_is_not_known_and_names_those_that_are() {
    let fleet = Fleet::tutorial();
    let check = |more: &str| {
        let mut riposte = Command::new(env!("CARGO_BIN_EXE_riposte"));
        let config = overriding_with(&fleet, more);
        let output = riposte.args(["check", "--offline", "--config"]).arg(config).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let known = r#"write one of "1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37""#;
    let no = "is no version of Kubernetes that is known here";
    for (given, told) in [
        ("\"1.29\"", "\"1.29\""),
        ("\"1.38\"", "\"1.38\""),
        ("v1.33", "\"v1.33\""),
        ("1.33.4", "\"1.33.4\""),
        ("1.30", "1.3"),
        ("[]", "[]"),
    ] {
        let (status, said) = check(&format!("validation: {{ kubernetes: {given} }}"));
        let expected = format!("validation.kubernetes: {told} {no}: {known}");
        assert!(status == Some(1) && said.contains(&expected), "{given}: {said}");
        let cluster =
            format!("[{{ name: a, path: a, match: {{ exact: {{ c: a }} }}, kubernetes: {given} }}]");
        let (status, said) = check(&format!("clusters: {cluster}"));
        let expected = format!("clusters[0].kubernetes: {told} {no}: {known}");
        assert!(status == Some(1) && said.contains(&expected), "{given}: {said}");
    }
    for version in KubernetesVersion::all() {
        let (status, said) = check(&format!("validation: {{ kubernetes: \"{version}\" }}"));
        assert_eq!(status, Some(0), "{version}: {said}");
    }
}
