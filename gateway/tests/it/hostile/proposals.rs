//! Proposals that want more than they may: each goes from a guest's memory through the engine to the
//! checks, with every refusal held whole.

use std::sync::Arc;

use riposte::dispatch::Catalog;
use riposte::model::patch::Decision;
use riposte::model::plugin::Grants;
use riposte::validate::{Guardrails, Schemas, Validated, validate};
use serde_json::{Value, json};

use super::none_differs;
use crate::harness::Fleet;
use crate::harness::fleet::deployment;
use crate::harness::guest::{Guest, Image, Laid, engine, write};
use crate::harness::sandbox::{event, from_file, snapshot, unhurried};

/// What it does, its patches, whether it has more than its narrow grants, and what it comes to.
struct Forged {
    what: &'static str,
    patches: Vec<Owned>,
    wide: bool,
    ends: String,
}

/// A patch whose texts are its own.
#[derive(Clone)]
struct Owned {
    api_version: &'static str,
    kind: &'static str,
    namespace: Option<&'static str>,
    name: String,
    case: u32,
    text: String,
}

impl Owned {
    fn laid(&self) -> Laid<'_> {
        Laid {
            api_version: self.api_version,
            kind: self.kind,
            namespace: self.namespace,
            name: &self.name,
            case: self.case,
            text: &self.text,
        }
    }

    fn of(self, namespace: &'static str, name: &str) -> Self {
        Self { namespace: Some(namespace), name: name.to_owned(), ..self }
    }
}

/// A merge patch of the Deployment that the grants are for.
fn merge(patch: Value) -> Owned {
    Owned {
        api_version: "apps/v1",
        kind: "Deployment",
        namespace: Some("default"),
        name: "alpine-deployment".to_owned(),
        case: 1,
        text: patch.to_string(),
    }
}

/// A JSON Patch of it.
fn operate(operations: &Value) -> Owned {
    Owned { case: 0, text: operations.to_string(), ..merge(json!({})) }
}

/// A strategic merge patch of its pods.
fn strategic(pod: &Value) -> Owned {
    Owned {
        case: 4,
        text: json!({ "spec": { "template": { "spec": pod } } }).to_string(),
        ..merge(json!({}))
    }
}

/// A ConfigMap beside it, of this name.
fn create(name: &str) -> Owned {
    let manifest = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": "default" } });
    Owned { api_version: "v1", kind: "ConfigMap", case: 2, text: manifest.to_string(), ..merge(json!({})) }
        .of("default", name)
}

fn narrow(what: &'static str, patch: Owned, ends: &str) -> Forged {
    Forged { what, patches: vec![patch], wide: false, ends: ends.to_owned() }
}

fn wide(what: &'static str, patch: Owned, ends: &str) -> Forged {
    Forged { wide: true, ..narrow(what, patch, ends) }
}

const THIS: &str = "Deployment default/alpine-deployment";
const FILE: &str = "Deployment default/alpine-deployment in apps/alpine.yaml";

/// Other objects, other fields.
fn elsewhere() -> Vec<Forged> {
    let zero = || merge(json!({ "spec": { "replicas": 0 } }));
    let secret = Owned { api_version: "v1", kind: "Secret", ..merge(json!({ "data": { "a": "YQ==" } })) };
    vec![
        narrow(
            "patches what is not there",
            zero().of("default", "nothing"),
            "unknown-object: Deployment default/nothing: the desired state has no such object",
        ),
        narrow(
            "patches another namespace",
            zero().of("shop", "web"),
            "grant-namespace: Deployment shop/web: the plugin has no grant for this namespace; unknown-object: Deployment shop/web: the desired state has no such object",
        ),
        wide(
            "patches a protected namespace",
            zero().of("kube-system", "dns"),
            "protected: Deployment kube-system/dns: its namespace is protected by the configuration",
        ),
        wide(
            "takes the protection away",
            merge(json!({ "metadata": { "annotations": { "riposte.dev/protect": null } } }))
                .of("default", "safe"),
            "protected: Deployment default/safe: its manifest has riposte.dev/protect",
        ),
        narrow(
            "patches another kind",
            secret.of("default", "alpine-deployment"),
            "grant-kind: Secret default/alpine-deployment: the plugin has no grant for kind v1/Secret; unknown-object: Secret default/alpine-deployment: the desired state has no such object",
        ),
        narrow(
            "patches another field",
            merge(json!({ "spec": { "replicas": 0, "paused": true } })),
            &format!("grant-field: {THIS}: the plugin has no grant for /spec/paused"),
        ),
        narrow(
            "adds a finalizer",
            merge(json!({ "metadata": { "finalizers": ["a.dev/b"] } })),
            &format!("grant-field: {THIS}: the plugin has no grant for /metadata/finalizers"),
        ),
        narrow(
            "names a path for an object",
            zero().of("default", "../../apps/alpine.yaml"),
            "unknown-object: Deployment default/../../apps/alpine.yaml: the desired state has no such object",
        ),
    ]
}

/// The same object under another name.
fn identities() -> Vec<Forged> {
    let identity = |field: &str| format!("identity: {THIS}: a patch may not change {field}");
    vec![
        wide("renames it", merge(json!({ "metadata": { "name": "web" } })), &identity("/metadata/name")),
        wide(
            "takes its name away",
            merge(json!({ "metadata": { "name": null } })),
            &format!("{}; semantics: {THIS}: /metadata has no name", identity("/metadata/name")),
        ),
        wide(
            "moves it",
            merge(json!({ "metadata": { "namespace": "kube-system" } })),
            &identity("/metadata/namespace"),
        ),
        wide("makes another kind of it", merge(json!({ "kind": "DaemonSet" })), &identity("/kind")),
        wide(
            "gives it an owner",
            merge(
                json!({ "metadata": { "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1" }] } }),
            ),
            &identity("/metadata/ownerReferences"),
        ),
        wide("gives it an id", merge(json!({ "metadata": { "uid": "1" } })), &identity("/metadata/uid")),
        wide(
            "replaces all of it",
            operate(&json!([{ "op": "replace", "path": "", "value": {} }])),
            &format!(
                "{}; schema: {THIS}:  \"metadata\" is a required property; schema: {THIS}:  \"spec\" is a required property; semantics: {THIS}: /spec/selector cannot be changed once the object is there; delete it and make it anew",
                identity("/apiVersion")
            ),
        ),
    ]
}

/// A patch that cannot be applied, with these words.
fn fails(what: &'static str, patch: Owned, words: &str) -> Forged {
    wide(what, patch, &format!("edit: {FILE}: the patch does not apply: {words}"))
}

const DEEP: &str = "the result would be nested deeper than 64 levels";

/// Operations that copy all that was copied before.
fn copies() -> Value {
    let seed = json!({ "op": "add", "path": "/metadata/annotations", "value": { "a": "x".repeat(100) } });
    let from = "/metadata/annotations";
    let copy = |number| json!({ "op": "copy", "from": from, "path": format!("{from}/c{number}") });
    [seed].into_iter().chain((0..60).map(copy)).collect()
}

/// Operations that put a value into a new one, again and again.
fn moves() -> Value {
    let mut moves = vec![json!({ "op": "add", "path": "/metadata/a", "value": 1 })];
    for _ in 0..333 {
        moves.push(json!({ "op": "add", "path": "/metadata/b", "value": {} }));
        moves.push(json!({ "op": "move", "from": "/metadata/a", "path": "/metadata/b/a" }));
        moves.push(json!({ "op": "move", "from": "/metadata/b", "path": "/metadata/a" }));
    }
    moves.into()
}

fn keys(count: usize) -> Value {
    (0..count).map(|number| (format!("k{number}"), json!(""))).collect()
}

/// Patches that ask for more than their length.
fn bombs() -> Vec<Forged> {
    let tests = vec![json!({ "op": "test", "path": "/kind", "value": "Deployment" }); 1_001];
    let levels = (0..100).fold(json!(1), |inner, _| json!({ "a": inner }));
    let above = json!({ "metadata": { "n".repeat(200_000): keys(20_000) } });
    let labels = json!({ "metadata": { "labels": keys(1_000) } });
    let edits =
        format!("edit: {FILE}: the file cannot be edited in place: it would take more than 500 edits");
    vec![
        fails("copies what it copied", operate(&copies()), "its copies come to more than 1048576 bytes"),
        fails("moves what it moved", operate(&moves()), DEEP),
        fails("merges a hundred levels", merge(json!({ "metadata": levels })), DEEP),
        fails(
            "tests a thousand times",
            operate(&json!(tests)),
            "it has 1001 operations, and 1000 is the most",
        ),
        fails(
            "puts a long name above many fields",
            merge(above),
            "the paths of all that it changes come to more than 1048576 bytes",
        ),
        wide("writes a thousand labels", merge(labels), &edits),
    ]
}

/// JSON Patches that are none.
fn misuses() -> Vec<Forged> {
    let one = |operation: Value| operate(&json!([operation]));
    vec![
        fails(
            "moves it into itself",
            one(json!({ "op": "move", "from": "/spec", "path": "/spec/template/spec" })),
            "operation 0 failed at \"/spec/template/spec\": cannot move the value inside itself",
        ),
        fails(
            "tests what is not so",
            one(json!({ "op": "test", "path": "/spec/replicas", "value": 1 })),
            "operation 0 failed at \"/spec/replicas\": value did not match",
        ),
        fails(
            "operates in no known way",
            one(json!({ "op": "exec", "path": "/spec", "value": "sh" })),
            "unknown variant `exec`, expected one of `add`, `remove`, `replace`, `move`, `copy`, `test`",
        ),
        fails(
            "points at nothing",
            one(json!({ "op": "remove", "path": "spec/replicas" })),
            "json pointer failed to parse; does not start with a slash ('/') and is not empty",
        ),
    ]
}

/// Merges by the keys of lists, which reach further than they look or cannot be made.
fn merges() -> Vec<Forged> {
    let container = |more: Value| {
        let mut container = json!({ "name": "alpine" });
        json_patch::merge(&mut container, &more);
        strategic(&json!({ "containers": [container] }))
    };
    let root = |patch: Value| Owned { text: patch.to_string(), ..strategic(&json!({})) };
    let field =
        |path: &str| format!("grant-field: {THIS}: the plugin has no grant for /spec/template/spec/{path}");
    let containers: Vec<Value> =
        (0..600).map(|number| json!({ "name": format!("c{number}"), "image": "x" })).collect();
    let levels = (0..100).fold(json!(1), |inner, _| json!({ "a": inner }));
    let edits =
        format!("edit: {FILE}: the file cannot be edited in place: it would take more than 500 edits");
    let at = "at \"/spec/template/spec/containers\"";
    vec![
        narrow("changes an image", container(json!({ "image": "evil" })), &field("containers/0/image")),
        narrow(
            "adds a container",
            strategic(&json!({ "containers": [{ "name": "x", "image": "x" }] })),
            &field("containers"),
        ),
        wide(
            "makes another object of it",
            root(json!({ "$patch": "replace", "kind": "DaemonSet" })),
            &format!(
                "identity: {THIS}: a patch may not change /apiVersion; schema: {THIS}:  \"metadata\" is a required property; schema: {THIS}:  \"spec\" is a required property; semantics: {THIS}: /spec/selector cannot be changed once the object is there; delete it and make it anew"
            ),
        ),
        fails(
            "deletes it by a merge",
            root(json!({ "$patch": "delete" })),
            "$patch: delete at \"\" would delete the object, which is a change of its own",
        ),
        fails(
            "directs in no known way",
            root(json!({ "$patch": "x" })),
            "$patch at \"\" is merge, replace or delete",
        ),
        fails(
            "says one container twice",
            strategic(&json!({ "containers": [{ "name": "alpine" }, { "name": "alpine" }] })),
            &format!("\"alpine\" {at} is in the patch twice"),
        ),
        fails(
            "adds a container without a name",
            strategic(&json!({ "containers": [{ "image": "x" }] })),
            &format!("an element {at} has no name"),
        ),
        fails("merges a hundred levels by keys", root(json!({ "metadata": levels })), DEEP),
        wide("adds six hundred containers", strategic(&json!({ "containers": containers })), &edits),
    ]
}

/// New objects where none may be.
fn creations() -> Vec<Forged> {
    let bad = |name: &str| {
        let shown = format!("ConfigMap default/{name}");
        format!("semantics: {shown}: /metadata/name is {name:?}, which is no DNS name")
    };
    let escape = |what, name: &str| wide(what, create(name), &bad(name));
    let flux = json!({ "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": { "name": "all", "namespace": "default" }, "spec": { "path": "/", "prune": true } });
    let flux = Owned {
        api_version: "kustomize.toolkit.fluxcd.io/v1",
        kind: "Kustomization",
        text: flux.to_string(),
        ..create("all")
    };
    let long = "n".repeat(253);
    let other = Owned { text: create("other").text, ..create("one") };
    vec![
        narrow(
            "makes an object",
            create("new"),
            "grant-kind: ConfigMap default/new: the plugin has no grant for kind v1/ConfigMap; grant-create: ConfigMap default/new: the plugin has no grant to create objects",
        ),
        narrow(
            "makes a Flux Kustomization",
            flux.clone(),
            "grant-kind: Kustomization default/all: the plugin has no grant for kind kustomize.toolkit.fluxcd.io/v1/Kustomization; grant-create: Kustomization default/all: the plugin has no grant to create objects; schema: Kustomization default/all: there is no schema for kustomize.toolkit.fluxcd.io/v1/Kustomization, so a change cannot be checked: have its CustomResourceDefinition in the repository's path, or name a file with it in validation.crds",
        ),
        wide(
            "makes a Flux Kustomization that it is granted",
            flux,
            "schema: Kustomization default/all: there is no schema for kustomize.toolkit.fluxcd.io/v1/Kustomization, so a change cannot be checked: have its CustomResourceDefinition in the repository's path, or name a file with it in validation.crds",
        ),
        escape("leaves the folder", "../../x"),
        escape("names a path from the root", "/etc/cron.d/x"),
        escape("names Git's own folder", ".git/config"),
        escape("ends its name early", "x\0.yaml"),
        escape("has a name of two lines", "x\n---\nkind: Secret"),
        wide(
            "has a name that is too long for a file",
            create(&long),
            &format!(
                "create: ConfigMap default/{long}: \"configmap-{long}.yaml\" is no name for a file: lower-case letters, digits, '-' and '.' only"
            ),
        ),
        wide(
            "says one name and makes another",
            other,
            "create: ConfigMap default/one: its manifest says something else under /metadata/name",
        ),
        wide(
            "makes it where it is protected",
            Owned { text: create("x").text.replace("\"default\"", "\"kube-system\""), ..create("x") }
                .of("kube-system", "x"),
            "protected: ConfigMap kube-system/x: its namespace is protected by the configuration; create: ConfigMap kube-system/x: it has to be of the namespace of Deployment default/alpine-deployment, beside which it shall stand",
        ),
    ]
}

/// Values that would read otherwise once they are text.
fn texts() -> Vec<Forged> {
    let annotate = |value: &str| merge(json!({ "metadata": { "annotations": { "note": value } } }));
    let zero = r#"{"spec":{"replicas":3,"replicas":0}}"#;
    vec![
        wide(
            "makes a template of the file",
            annotate("{{ .Values.x }}"),
            &format!("edit: {FILE}: the edited file could not be read again: it is a template"),
        ),
        wide("writes lines into a value", annotate("x\"\nspec:\n  replicas: 0\n---\nkind: Secret"), "change"),
        wide("gives a key twice", Owned { text: zero.to_owned(), ..merge(json!({})) }, "change"),
        wide(
            "scales it beyond numbers",
            Owned { text: "{\"spec\":{\"replicas\":1e300}}".to_owned(), ..merge(json!({})) },
            &format!("schema: {THIS}: /spec/replicas 1e+300 is greater than the maximum of 2147483647"),
        ),
        Forged {
            what: "hides one patch among many",
            patches: vec![
                merge(json!({ "spec": { "replicas": 0 } })),
                merge(json!({ "spec": { "paused": true } })),
            ],
            wide: false,
            ends: format!("grant-field: {THIS}: the plugin has no grant for /spec/paused"),
        },
    ]
}

fn fleet() -> Fleet {
    let safe = deployment("safe").replace(
        "  name: safe # by hand\n",
        "  name: safe\n  annotations:\n    riposte.dev/protect: \"true\"\n",
    );
    let dns = deployment("dns").replace("  name: dns # by hand\n", "  name: dns\n  namespace: kube-system\n");
    Fleet::with(&[
        ("apps/alpine.yaml", include_str!("../../../demo/apps/alpine.yaml")),
        ("apps/shop.yaml", include_str!("../../../demo/apps/shop.yaml")),
        ("safe.yaml", &safe),
        ("dns.yaml", &dns),
    ])
}

fn grants(wide: bool) -> Grants {
    let grants = if wide {
        json!({ "kinds": ["Deployment", "ConfigMap", "Kustomization"], "namespaces": ["*"], "create": true,
                "fields": ["/metadata", "/spec", "/kind", "/apiVersion"] })
    } else {
        json!({ "kinds": ["apps/v1/Deployment"], "namespaces": ["default"], "fields": ["/spec/replicas"] })
    };
    serde_json::from_value(grants).unwrap()
}

#[tokio::test]
async fn every_forged_proposal_is_refused_with_all_reasons() {
    let fleet = fleet();
    let snapshot = snapshot(&fleet).await;
    let engine = engine();
    let schemas = Schemas::kubernetes();
    let table: Vec<Forged> = [elsewhere(), identities(), bombs(), misuses(), merges(), creations(), texts()]
        .into_iter()
        .flatten()
        .collect();
    let mut differing = Vec::new();
    for Forged { what, patches, wide, ends } in &table {
        let laid: Vec<Laid<'_>> = patches.iter().map(Owned::laid).collect();
        let guest = Guest::answering(&Image::proposal(&laid, "Change it", "because"));
        let path = write(fleet.bare.root.path(), "forged", &guest.bytes());
        let catalog = Catalog::load(&engine, &[from_file(&path, &unhurried())]).unwrap();
        let dispatched = catalog.plugins()[0].handle(&event("{}"), Arc::clone(&snapshot)).expect(what);
        let Decision::Propose(changes) = dispatched.decision else { panic!("{what}") };
        let validated = validate(&changes, &grants(*wide), &Guardrails::default(), &schemas, &snapshot);
        let found = match validated {
            Err(refusals) => refusals.to_string(),
            Ok(Validated::Unchanged) => "unchanged".to_owned(),
            Ok(Validated::Change(_)) => "change".to_owned(),
        };
        if found != *ends {
            differing.push(format!("one that {what}:\n    {found}\n  not {ends}"));
        }
    }
    none_differs(&differing, table.len());
}
