//! Objects in a `kind: List`: found, changed, deleted and put back where they stand.

use riposte::model::manifest::ObjectRef;
use riposte::model::patch::{Change, Patch};
use riposte::model::plugin::Grants;
use riposte::model::undo::ObjectUndo;
use riposte::snapshot::{LookupError, Snapshot};
use riposte::validate::{Draft, Guardrails, Refusals, Schemas, Validated, add};
use serde_json::json;

use crate::harness::proposal::{self, changes, gone, merge, object};
use crate::harness::sandbox::snapshot_of as snapshot;

/// A list as `kubectl get -o yaml` writes it, between two other documents.
const LIST: &str = "# first\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n---\n# the list\n\
    apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: a # one\n  \
    data: {x: '1'}\n# between\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: b\n  data:\n    x: '1' # old\n\
    ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: last}\ndata: {x: '1'}\n";

fn map(name: &str) -> ObjectRef {
    object("ConfigMap", Some("default"), name)
}

fn set(name: &str, value: &str) -> Patch {
    merge(map(name), json!({ "data": { "x": value } }))
}

fn delete(name: &str) -> Patch {
    gone(map(name))
}

fn grants() -> Grants {
    let grants = json!({ "kinds": ["ConfigMap"], "namespaces": ["*"], "fields": ["/data"], "delete": true });
    serde_json::from_value(grants).unwrap()
}

fn check(snapshot: &Snapshot, patches: Vec<Patch>) -> Result<Validated, Refusals> {
    proposal::check(snapshot, &grants(), patches)
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

/// What takes back that these are deleted, read back from how it is stored, and the text without them.
async fn deleted(text: &str, names: &[&str]) -> (Vec<Patch>, Option<String>) {
    let snapshot = snapshot(&[("all.yaml", text)]).await;
    let mut draft = Draft::new(&snapshot);
    let patches = changes(names.iter().map(|name| delete(name)).collect());
    let piece = add(&mut draft, &patches, &grants(), &Guardrails::default(), &Schemas::kubernetes());
    let undone = piece.unwrap().unwrap().undo().to_vec();
    draft.accept("it");
    let Validated::Change(change) = draft.finish() else { panic!("{text}") };
    let stored = serde_json::to_string(&undone).unwrap();
    let undone: Vec<ObjectUndo> = serde_json::from_str(&stored).unwrap();
    let undo =
        |ObjectUndo { target, undo }| Patch { target, change: Change::Undo { undo, leave_touched: false } };
    (undone.into_iter().map(undo).collect(), change.files()[0].content.clone())
}

/// A list of three as each tool writes it.
fn lists() -> Vec<String> {
    let of_three = LIST.replace(
        "# old\n",
        "# old\n# over the third\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: c, namespace: default}\n",
    );
    let inner = "- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: a # one\n  data: {x: '1'}\n";
    assert!(of_three.contains(inner));
    let indented = of_three.replace("\n- ", "\n  - ").replace("\n  kind", "\n    kind");
    let indented = indented.replace("\n  metadata", "\n    metadata").replace("\n    name", "\n      name");
    let indented = indented.replace("\n  data", "\n    data").replace("\n    x:", "\n      x:");
    let object =
        |name: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
    let objects = ["a", "b", "c"].map(object);
    let json = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    let flow = "kind: List\napiVersion: v1\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}, \
        {apiVersion: v1, kind: ConfigMap, metadata: {name: b}},\n  {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}]\n";
    let windows = of_three.replace('\n', "\r\n");
    let json = [json.to_string(), serde_json::to_string_pretty(&json).unwrap()];
    [vec![of_three, indented, flow.to_owned(), windows], json.to_vec()].concat()
}

#[tokio::test]
async fn an_item_comes_back_to_its_list_to_the_byte() {
    for text in lists() {
        for names in [&["a"][..], &["b"], &["c"], &["a", "c"], &["c", "b"], &["b", "a"]] {
            let (undo, left) = deleted(&text, names).await;
            assert_eq!(after(&left.unwrap(), undo).await, Some(text.clone()), "{names:?} of\n{text}");
        }
    }
}

#[tokio::test]
async fn where_others_were_faster_it_comes_back_beside_its_neighbours() {
    let item = |name: &str, more: &str| {
        format!("- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: {name}\n{more}")
    };
    let list = |items: &[String]| format!("apiVersion: v1\nkind: List\nitems:\n{}", items.concat());
    let [a, b, c] = ["a", "b", "c"].map(|name| item(name, ""));
    let changed = |name: &str| item(name, "  data:\n    y: by a person\n");
    let text = list(&[a.clone(), b.clone(), c.clone()]);
    let order = |text: &str| {
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("name: "));
        names.collect::<String>()
    };
    let document = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: z\n";
    let table = [
        // Both neighbours are others by now, another is new between them, one is gone, both are.
        ("b", list(&[changed("a"), changed("c")]), "abc"),
        ("b", list(&[changed("a"), item("n", ""), changed("c")]), "anbc"),
        ("b", list(&[changed("c"), item("n", "")]), "bcn"),
        ("b", list(&[item("n", ""), changed("a")]), "nab"),
        ("b", list(&[item("n", ""), item("m", "")]), "nmb"),
        // The list itself is.
        ("b", document.to_owned(), "zb"),
    ];
    for (name, today, expected) in table {
        let (undo, _) = deleted(&text, &[name]).await;
        let back = after(&today, undo).await.unwrap();
        assert_eq!(order(&back), expected, "{back}");
        assert_eq!(back.matches("by a person").count(), today.matches("by a person").count(), "{back}");
        let found = snapshot(&[("all.yaml", &back)]).await.locate(&map(name)).unwrap();
        assert_eq!(found.place().item.is_some(), expected != "zb", "{back}");
    }
    // The last of a list brings the list with it.
    let only = format!("{}{}", list(&[a]), document);
    let (undo, left) = deleted(&only, &["a"]).await;
    let left = left.unwrap();
    assert!(!left.contains("List"), "{left}");
    let back = after(&left, undo).await.unwrap();
    assert!(back.ends_with("---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: a\n"), "{back}");
}

#[tokio::test]
async fn what_stands_behind_an_item_that_came_back_is_still_found() {
    let text = &lists()[0];
    let (undo, left) = deleted(text, &["a"]).await;
    let left = left.unwrap();
    let expected = text.replace("x: '1' # old", "x: \"2\" # old");
    // In one commit: it comes back, and then what is behind it is changed, or goes.
    let both = [undo.clone(), vec![set("b", "2")]].concat();
    assert_eq!(after(&left, both).await, Some(expected));
    let (other, left) = deleted(&left, &["b"]).await;
    let left = left.unwrap();
    let all = [undo, other, vec![set("c", "2"), set("last", "2")]].concat();
    let back = after(&left, all).await.unwrap();
    let found = snapshot(&[("all.yaml", &back)]).await;
    let values = ["a", "b", "c", "last"]
        .map(|name| found.manifest(&map(name)).map(|manifest| manifest["data"]["x"].to_string()));
    assert_eq!(values, ["\"1\"", "\"1\"", "\"2\"", "\"2\""].map(|value| Some(value.to_owned())), "{back}");
}

#[tokio::test]
async fn a_file_of_which_one_proposal_deletes_all_comes_back_to_the_byte() {
    let documents = "# ours\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a} # first\n---\napiVersion: v1\n\
        kind: ConfigMap\nmetadata: {name: b}\n";
    let text = &lists()[0];
    let list = text.split("---\n").nth(1).unwrap();
    for (text, names) in [(list, &["b", "c", "a"][..]), (list, &["a", "b", "c"]), (documents, &["b", "a"])] {
        let (undo, left) = deleted(text, names).await;
        assert_eq!(left, None, "{names:?}: the file goes");
        let elsewhere =
            snapshot(&[("z.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: z}\n")]).await;
        let Ok(Validated::Change(change)) = check(&elsewhere, undo) else { panic!("{names:?}") };
        let [file] = change.files() else { panic!("{names:?}: {:?}", change.files()) };
        assert_eq!((file.path.as_str(), file.content.as_deref()), ("all.yaml", Some(text)), "{names:?}");
    }
}
