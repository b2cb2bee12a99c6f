//! What an API server refuses although a schema lets it through, and what it takes although it looks wrong.
//!
//! `fixtures/kubernetes/` has the cases; `.ci/kubernetes` holds the same files against Kubernetes' own code.

use std::collections::BTreeMap;

use riposte::model::patch::{Change, Patch};
use riposte::model::plugin::Grants;
use riposte::snapshot::Snapshot;
use riposte::validate::{Config, Guardrails, KubernetesVersion, Refusals, Schemas, Validated, validate};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::fleet::deployment;
use crate::harness::proposal::{changes, said_of_itself};
use crate::harness::sandbox::snapshot_of;

pub(crate) const BASES: &str = include_str!("fixtures/kubernetes/bases.yaml");
const REFUSED: &str = include_str!("fixtures/kubernetes/refused.yaml");
const ACCEPTED: &str = include_str!("fixtures/kubernetes/accepted.yaml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    base: String,
    before: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    set: BTreeMap<String, Value>,
    says: Option<String>,
    name: Option<String>,
}

/// Sets a value at a JSON pointer and makes what is missing above it; null takes away.
pub(crate) fn put(at: &mut Value, pointer: &str, value: &Value) {
    let steps: Vec<String> =
        pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    let (last, above) = steps.split_last().expect("a step");
    let mut at = at;
    for step in above {
        if at.is_null() {
            *at = json!({});
        }
        at = match at {
            Value::Array(items) => &mut items[step.parse::<usize>().expect("a place in a list")],
            other => &mut other[step.as_str()],
        };
    }
    match at {
        Value::Array(items) => items.insert(last.parse().expect("a place in a list"), value.clone()),
        Value::Object(fields) if value.is_null() => drop(fields.remove(last)),
        other => other[last.as_str()] = value.clone(),
    }
}

/// A case with names that no other one has.
struct Scene {
    before: Value,
    after: Value,
    words: Option<String>,
}

impl Case {
    /// Without `before` the object is as good as new: nothing but its name is there, and Flux would make it anew.
    fn scene(&self, number: usize, bases: &BTreeMap<String, Value>) -> Scene {
        let mut before = bases.get(&self.base).unwrap_or_else(|| panic!("{}", self.base)).clone();
        self.before.iter().flatten().for_each(|(pointer, value)| put(&mut before, pointer, value));
        let mut after = before.clone();
        self.set.iter().for_each(|(pointer, value)| put(&mut after, pointer, value));
        let named = self.set.contains_key("/metadata/name");
        for object in [&mut before, &mut after] {
            if object["metadata"].get("namespace").is_some() {
                object["metadata"]["namespace"] = json!(format!("n{number}"));
            }
            if !named {
                object["metadata"]["name"] = json!(format!("c{number}"));
            }
        }
        if self.before.is_none() {
            let mut metadata = before["metadata"].clone();
            if named && self.says.is_none() {
                metadata["name"] = after["metadata"]["name"].clone();
            }
            metadata["annotations"] = json!({ "kustomize.toolkit.fluxcd.io/force": "enabled" });
            before =
                json!({ "apiVersion": before["apiVersion"], "kind": before["kind"], "metadata": metadata });
        }
        Scene { before, after, words: self.says.clone() }
    }
}

/// Replaces the whole object.
pub(crate) fn replace(
    snapshot: &Snapshot,
    schemas: &Schemas,
    before: &Value,
    after: &Value,
) -> Result<Validated, Refusals> {
    let target = said_of_itself(before);
    let grants = Grants {
        kinds: vec![target.kind.clone()],
        namespaces: vec!["*".to_owned()],
        fields: vec![String::new()],
        ..Grants::default()
    };
    let operation = json!([{ "op": "replace", "path": "", "value": after }]);
    let patches = vec![Patch { target, change: Change::JsonPatch(operation) }];
    validate(&changes(patches), &grants, &Guardrails::default(), schemas, snapshot)
}

pub(crate) async fn snapshot(objects: &[&Value]) -> std::sync::Arc<Snapshot> {
    let files: Vec<(String, String)> = objects
        .iter()
        .enumerate()
        .map(|(number, object)| (format!("{number}.yaml"), serde_yaml::to_string(object).expect("YAML")))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    snapshot_of(&files).await
}

/// Every case of a file that does not end as it shall.
async fn wrong(text: &str, schemas: &Schemas) -> (usize, Vec<String>) {
    let bases: BTreeMap<String, Value> = serde_yaml::from_str(BASES).expect("the bases");
    let cases: Vec<Case> = serde_yaml::from_str(text).expect("the cases");
    let scenes: Vec<Scene> =
        cases.iter().enumerate().map(|(number, case)| case.scene(number, &bases)).collect();
    let snapshot = snapshot(&scenes.iter().map(|scene| &scene.before).collect::<Vec<_>>()).await;
    let mut wrong = Vec::new();
    for (case, scene) in cases.iter().zip(&scenes) {
        let result = replace(&snapshot, schemas, &scene.before, &scene.after);
        let right = match (&scene.words, &result) {
            (None, Ok(Validated::Change(_))) => true,
            (Some(words), Err(refusals)) => refusals.reasons().iter().any(|refusal| {
                ["schema", "semantics"].contains(&refusal.kind()) && refusal.to_string().contains(words)
            }),
            _ => false,
        };
        if !right {
            let said = result.map(|_| "accepted".to_owned()).unwrap_or_else(|refusals| refusals.to_string());
            wrong.push(format!("{} {:?} {:?} {:?}: {said}", case.base, case.set, case.name, scene.words));
        }
    }
    (cases.len(), wrong)
}

#[tokio::test]
async fn what_an_api_server_refuses_is_refused_with_its_reason() {
    let (cases, wrong) = wrong(REFUSED, &Schemas::kubernetes()).await;
    assert!(cases >= 300, "{cases}");
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn what_an_api_server_takes_is_taken() {
    let oldest = KubernetesVersion::all().next().expect("a version");
    for kubernetes in [oldest, KubernetesVersion::default()] {
        let schemas = Schemas::new(&Config { kubernetes, ..Config::default() }).expect("no definitions");
        let (cases, wrong) = wrong(ACCEPTED, &schemas).await;
        assert!(cases >= 100, "{cases}");
        assert!(wrong.is_empty(), "{kubernetes}: {} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
    }
}

#[tokio::test]
async fn what_was_wrong_before_is_not_held_against_a_change() {
    let mut before: Value = serde_yaml::from_str(&deployment("web")).expect("YAML");
    before["metadata"]["namespace"] = json!("default");
    let pod = "/spec/template/spec/containers/0";
    put(&mut before, "/spec/replicas", &json!("${REPLICAS}"));
    put(&mut before, "/spec/typo", &json!(true));
    put(&mut before, &format!("{pod}/imagePullPolicy"), &json!("Sometimes"));
    put(&mut before, &format!("{pod}/resources"), &json!({ "limits": { "memory": "${MEMORY}" } }));
    let snapshot = snapshot(&[&before]).await;
    let table: [(&str, Value, &[&str]); 8] = [
        ("/metadata/labels", json!({ "a": "b" }), &[]),
        ("/spec/replicas", json!(0), &[]),
        ("/spec/paused", json!(true), &[]),
        ("/spec/replicas", json!("${OTHER}"), &["schema"]),
        ("/spec/another", json!(true), &["schema"]),
        (&format!("{pod}/imagePullPolicy"), json!("Often"), &["semantics"]),
        (
            &format!("{pod}/resources"),
            json!({ "limits": { "memory": "${MEMORY}", "cpu": "many" } }),
            &["semantics"],
        ),
        ("/spec/minReadySeconds", json!(-1), &["semantics"]),
    ];
    for (pointer, value, expected) in table {
        let mut after = before.clone();
        put(&mut after, pointer, &value);
        let result = replace(&snapshot, &Schemas::kubernetes(), &before, &after);
        let kinds: Vec<&str> = match &result {
            Ok(_) => Vec::new(),
            Err(refusals) => refusals.reasons().iter().map(|refusal| refusal.kind()).collect(),
        };
        assert_eq!(kinds, expected, "{pointer} {value}: {result:?}");
    }
}

#[tokio::test]
async fn an_object_that_flux_makes_anew_may_change_in_every_field() {
    let bases: BTreeMap<String, Value> = serde_yaml::from_str(BASES).expect("the bases");
    let plain = bases["job"].clone();
    let mut forced = plain.clone();
    forced["metadata"]["name"] = json!("forced");
    put(&mut forced, "/metadata/annotations", &json!({ "kustomize.toolkit.fluxcd.io/force": "Enabled" }));
    let snapshot = snapshot(&[&plain, &forced]).await;
    let image = "/spec/template/spec/containers/0/image";
    for (before, taken) in [(&plain, false), (&forced, true)] {
        let mut after = before.clone();
        put(&mut after, image, &json!("alpine:4"));
        let result = replace(&snapshot, &Schemas::kubernetes(), before, &after);
        assert_eq!(result.is_ok(), taken, "{result:?}");
    }
    // A change cannot give itself what it needs.
    let mut after = plain.clone();
    put(&mut after, image, &json!("alpine:4"));
    put(&mut after, "/metadata/annotations", &forced["metadata"]["annotations"]);
    let said = replace(&snapshot, &Schemas::kubernetes(), &plain, &after).expect_err("a refusal").to_string();
    assert!(said.contains("/spec/template cannot be changed"), "{said}");
}

#[tokio::test]
async fn so_many_things_wrong_that_they_are_not_compared_are_refused() {
    let bases: BTreeMap<String, Value> = serde_yaml::from_str(BASES).expect("the bases");
    let mut before = bases["pod"].clone();
    let many: Vec<Value> = (0..1_200).map(|_| json!({ "name": "A" })).collect();
    put(&mut before, "/spec/containers/0/env", &json!(many));
    let snapshot = snapshot(&[&before]).await;
    let mut after = before.clone();
    put(&mut after, "/metadata/labels", &json!({ "a": "b" }));
    let said =
        replace(&snapshot, &Schemas::kubernetes(), &before, &after).expect_err("a refusal").to_string();
    assert!(said.contains("has the name \"A\" of another one") && said.len() < 8_192, "{said}");
}
