//! Objects in a `kind: List`: found, changed and deleted where they stand.

use riposte::model::manifest::ObjectRef;
use riposte::model::patch::{Change, Changes, Patch};
use riposte::model::plugin::Grants;
use riposte::snapshot::{LookupError, Snapshot};
use riposte::validate::{Guardrails, Refusals, Schemas, Validated, validate};
use serde_json::json;

use crate::harness::sandbox::snapshot_of as snapshot;

/// A list as `kubectl get -o yaml` writes it, between two other documents.
const LIST: &str = "# first\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n---\n# the list\n\
    apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: a # one\n  \
    data: {x: '1'}\n# between\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: b\n  data:\n    x: '1' # old\n\
    ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: last}\ndata: {x: '1'}\n";

fn map(name: &str) -> ObjectRef {
    let (api_version, kind) = ("v1".to_owned(), "ConfigMap".to_owned());
    ObjectRef { api_version, kind, namespace: Some("default".to_owned()), name: name.to_owned() }
}

fn set(name: &str, value: &str) -> Patch {
    Patch { target: map(name), change: Change::MergePatch(json!({ "data": { "x": value } })) }
}

fn delete(name: &str) -> Patch {
    Patch { target: map(name), change: Change::Delete {} }
}

fn check(snapshot: &Snapshot, patches: Vec<Patch>) -> Result<Validated, Refusals> {
    let changes =
        Changes { patches, title: "Change".to_owned(), reason: "because".to_owned(), expires_after_s: None };
    let grants = json!({ "kinds": ["ConfigMap"], "namespaces": ["*"], "fields": ["/data"], "delete": true });
    let grants: Grants = serde_json::from_value(grants).unwrap();
    validate(&changes, &grants, &Guardrails::default(), &Schemas::kubernetes(), snapshot)
}

async fn after(text: &str, patches: Vec<Patch>) -> Option<String> {
    let snapshot = snapshot(&[("all.yaml", text)]).await;
    match check(&snapshot, patches) {
        Ok(Validated::Change(change)) => change.files()[0].content.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn items_are_found_and_changed_where_they_stand() {
    let snapshot = snapshot(&[("all.yaml", LIST)]).await;
    let found = ["a", "b", "last"].map(|name| {
        let located = snapshot.locate(&map(name)).unwrap();
        (located.place().to_string(), located.manifest["metadata"]["name"] == name)
    });
    assert_eq!(found.map(|(place, _)| place), ["document 2 item 1", "document 2 item 2", "document 3"]);
    assert_eq!(snapshot.list("List", None), [], "a list is no object");

    let expected = LIST.replace("x: '1' # old", "x: \"2\" # old");
    assert_eq!(after(LIST, vec![set("b", "2")]).await, Some(expected));
    let windows = |text: &str| text.replace('\n', "\r\n");
    let expected = windows(&LIST.replace("data: {x: '1'}\n# between", "data: {x: \"2\"}\n# between"));
    assert_eq!(after(&windows(LIST), vec![set("a", "2")]).await, Some(expected));
}

#[tokio::test]
async fn items_of_a_json_list_keep_the_lines_of_the_others() {
    let object = |name: &str| {
        format!(
            "    {{\n      \"apiVersion\": \"v1\",\n      \"kind\": \"ConfigMap\",\n      \"metadata\": {{ \"name\": \"{name}\" }},\n      \"data\": {{ \"x\": \"{name}\" }}\n    }}"
        )
    };
    let text = format!(
        "{{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"List\",\n  \"items\": [\n{},\n{}\n  ]\n}}\n",
        object("a"),
        object("b")
    );
    let expected = text.replace("\"x\": \"b\"", "\"x\": \"2\"");
    assert_eq!(after(&text, vec![set("b", "2")]).await, Some(expected));
}

#[tokio::test]
async fn items_go_and_the_list_with_the_last_of_them() {
    let left = after(LIST, vec![delete("a")]).await.unwrap();
    assert!(left.contains("name: b\n") && !left.contains("name: a"), "{left}");
    assert_eq!(left.matches("---").count(), 2, "{left}");

    let expected = "# first\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n---\napiVersion: v1\n\
                    kind: ConfigMap\nmetadata: {name: last}\ndata: {x: \"2\"}\n";
    // What comes after an item that went, and after a list that went, is still found.
    for patches in [
        vec![delete("a"), delete("b"), set("last", "2")],
        vec![delete("b"), set("last", "2"), delete("a"), delete("a")],
    ] {
        assert_eq!(after(LIST, patches).await.as_deref(), Some(expected));
    }
    let changed = after(LIST, vec![delete("a"), set("b", "2")]).await.unwrap();
    assert!(changed.contains("x: \"2\" # old"), "{changed}");
    let only =
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n";
    assert_eq!(after(only, vec![delete("a")]).await, None, "the file goes");
}

#[tokio::test]
async fn one_object_in_two_places_and_items_that_say_no_kind_are_refused() {
    let of_one_kind = "apiVersion: v1\nkind: ConfigMapList\nitems: [{metadata: {name: a}}]\n";
    let nested = "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: []}]\n";
    let other = "apiVersion: example.com/v1\nkind: AllowList\nmetadata: {name: x}\nitems: [a, b]\n";
    let snapshot = snapshot(&[
        ("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"),
        ("all.yaml", LIST),
        ("nested.yaml", nested),
        ("of-one-kind.yaml", of_one_kind),
        ("other.yaml", other),
    ])
    .await;
    let places = vec!["a.yaml document 1".to_owned(), "all.yaml document 2 item 2".to_owned()];
    assert_eq!(snapshot.locate(&map("b")).err(), Some(LookupError::Ambiguous(places)));
    let skipped: Vec<_> = snapshot.skipped().iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(skipped, ["nested.yaml", "of-one-kind.yaml"], "{:?}", snapshot.skipped());
    assert_eq!(snapshot.list("AllowList", None).len(), 1, "a kind of its own");
}
