//! Custom kinds: held to their CustomResourceDefinitions, from the repository or from the configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use riposte::model::manifest::ObjectRef;
use riposte::model::patch::{Change, Patch};
use riposte::model::plugin::Grants;
use riposte::snapshot::Snapshot;
use riposte::validate::{Config, Guardrails, Refusals, Schemas, Validated, validate};
use serde_json::{Value, json};

use crate::harness::proposal::{changes, object_of};
use crate::harness::sandbox::snapshot_of as snapshot;
use crate::harness::{Fleet, Process, cloudevent, fixture};

/// A kind with each construct of a definition. `{schema}` is that of its `spec`.
const WIDGET: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
    metadata: {name: widgets.example.dev}\nspec:\n  group: example.dev\n  names: {kind: Widget, plural: widgets}\n  \
    scope: Namespaced\n  versions:\n    - name: v1\n      served: true\n      storage: true\n      schema:\n        \
    openAPIV3Schema:\n          type: object\n          properties:\n            spec: ";

fn widget(schema: &str) -> String {
    format!("{WIDGET}{schema}\n")
}

/// An object whose `spec.at` a patch replaces.
const OBJECT: &str =
    "apiVersion: example.dev/v1\nkind: Widget\nmetadata: {name: w, namespace: default}\nspec: {at: start}\n";

fn object(api_version: &str, kind: &str, name: &str) -> ObjectRef {
    let namespace = if kind == "HelmRelease" { "apps" } else { "default" };
    object_of(api_version, kind, Some(namespace), name)
}

fn check(
    snapshot: &Snapshot,
    schemas: &Schemas,
    target: ObjectRef,
    patch: Value,
) -> Result<Validated, Refusals> {
    let grants = Grants {
        kinds: vec![target.kind.clone()],
        namespaces: vec!["*".to_owned()],
        fields: ["/spec", "/metadata", "/more"].map(str::to_owned).to_vec(),
        create: false,
        ..Grants::default()
    };
    let patches = vec![Patch { target, change: Change::JsonPatch(patch) }];
    validate(&changes(patches), &grants, &Guardrails::default(), schemas, snapshot)
}

/// What is said against `spec.at` of a Widget being this value; empty when nothing is.
fn said(snapshot: &Snapshot, schemas: &Schemas, value: &Value) -> String {
    let patch = json!([{ "op": "replace", "path": "/spec/at", "value": value }]);
    let checked = check(snapshot, schemas, object("example.dev/v1", "Widget", "w"), patch);
    checked.err().map(|refusals| refusals.to_string()).unwrap_or_default()
}

fn with_at(schema: &str) -> String {
    widget(&format!("{{type: object, properties: {{at: {schema}}}}}"))
}

/// The schema of `spec.at`, values that are taken, values that are refused.
type Row = (&'static str, Value, Value);

fn texts_numbers_and_lists() -> Vec<Row> {
    vec![
        ("{type: string}", json!(["a", ""]), json!([1, true, {}, []])),
        ("{type: integer, minimum: 2, maximum: 4}", json!([2, 4]), json!([1, 5, 2.5, "2"])),
        ("{type: integer, minimum: 2, exclusiveMinimum: true}", json!([3]), json!([2])),
        ("{type: number, maximum: 4, exclusiveMaximum: true}", json!([3.9]), json!([4])),
        ("{type: number, maximum: 4, exclusiveMaximum: false}", json!([4]), json!([4.1])),
        ("{type: integer, format: int32}", json!([-2147483648_i64, 7]), json!([2147483648_i64])),
        ("{type: string, pattern: '^[a-z]+$', maxLength: 3}", json!(["abc"]), json!(["ABC", "abcd", ""])),
        ("{type: string, enum: [a, b]}", json!(["a"]), json!(["c"])),
        ("{type: string, format: date-time}", json!(["2026-01-01T00:00:00Z"]), json!([1])),
        (
            "{type: array, items: {type: string}, minItems: 1, maxItems: 2}",
            json!([["a"]]),
            json!([[], [1], ["a", "b", "c"]]),
        ),
        (
            "{type: array, items: {type: string}, x-kubernetes-list-type: set}",
            json!([["a", "b"]]),
            json!([["a", "a"]]),
        ),
    ]
}

fn objects() -> Vec<Row> {
    vec![
        (
            "{type: object, properties: {b: {type: string}}}",
            json!([{}, {"b": "x"}]),
            json!([{"c": 1}, {"b": 1}]),
        ),
        (
            "{type: object, properties: {b: {type: string}}, required: [b]}",
            json!([{"b": "x"}]),
            json!([{}, {"b": null}]),
        ),
        ("{type: object}", json!([{}]), json!([{"any": 1}])),
        ("{type: object, additionalProperties: {type: string}}", json!([{"any": "x"}]), json!([{"any": 1}])),
        ("{type: object, additionalProperties: true}", json!([{"any": 1}]), json!([1])),
        (
            "{type: object, x-kubernetes-preserve-unknown-fields: true}",
            json!([{"any": {"deep": [1]}}]),
            json!([1]),
        ),
        ("{x-kubernetes-preserve-unknown-fields: true}", json!([{"any": 1}, 1, "a", [2]]), json!([])),
        (
            "{type: object, x-kubernetes-preserve-unknown-fields: true, properties: {b: {type: string}}}",
            json!([{"b": "x", "c": 1}]),
            json!([{"b": 1}]),
        ),
        ("{x-kubernetes-int-or-string: true}", json!([1, "50%"]), json!([true, 1.5, {}])),
        (
            "{x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}], pattern: '^[0-9]+%$'}",
            json!([1, "50%"]),
            json!(["x"]),
        ),
        (
            "{type: object, required: [b], properties: {b: {type: string, nullable: true, enum: [x]}}}",
            json!([{"b": null}, {"b": "x"}]),
            json!([{}, {"b": "y"}]),
        ),
        (
            "{type: object, properties: {b: {type: string}, c: {type: string}}, oneOf: [{required: [b]}, {required: [c]}], \
             not: {properties: {b: {enum: [never]}}, required: [b]}}",
            json!([{"b": "x"}, {"c": "x"}]),
            json!([{}, {"b": "x", "c": "x"}, {"b": "never"}, {"d": 1}]),
        ),
        (
            "{type: object, properties: {b: {type: string}}, allOf: [{properties: {b: {maxLength: 2}}}]}",
            json!([{"b": "ab"}]),
            json!([{"b": "abc"}, {"c": 1}]),
        ),
        (
            "{type: object, x-kubernetes-embedded-resource: true, properties: {spec: {type: object}}}",
            json!([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}}]),
            json!([{"kind": "Pod"}, {"apiVersion": "v1", "kind": "P", "x": 1}, {"apiVersion": "v1", "kind": "P", "metadata": {"x": 1}}]),
        ),
        (
            "{type: string, default: a, description: d, title: t, example: e, externalDocs: {url: u}, \
             x-kubernetes-validations: [{rule: 'self == \"never\"'}]}",
            json!(["b"]),
            json!([1]),
        ),
    ]
}

#[tokio::test]
async fn each_construct_of_a_definition_is_held() {
    let schemas = Schemas::kubernetes();
    for (schema, taken, refused) in texts_numbers_and_lists().into_iter().chain(objects()) {
        let snapshot = snapshot(&[("crd.yaml", &with_at(schema)), ("w.yaml", OBJECT)]).await;
        for value in taken.as_array().unwrap() {
            assert_eq!(said(&snapshot, &schemas, value), "", "{schema}: {value}");
        }
        for value in refused.as_array().unwrap() {
            let said = said(&snapshot, &schemas, value);
            assert!(said.starts_with("schema: Widget default/w: /spec"), "{schema}: {value}: {said}");
        }
    }
}

#[tokio::test]
async fn what_is_outside_of_the_spec_is_strict_too() {
    let narrow = with_at("{type: integer}").replace(
        "            spec:",
        "            metadata: {type: object, properties: {name: {type: string, maxLength: 3}}}\n            spec:",
    );
    let target = || object("example.dev/v1", "Widget", "w");
    let right = OBJECT.replace("start", "1");
    let snapshot = snapshot(&[("crd.yaml", &narrow), ("w.yaml", &right)]).await;
    let table = [
        (json!({ "op": "add", "path": "/metadata/labels", "value": { "a": "b" } }), ""),
        (json!({ "op": "add", "path": "/metadata/labels", "value": { "a": 1 } }), "/metadata/labels/a"),
        (json!({ "op": "add", "path": "/metadata/color", "value": "red" }), "'color' was unexpected"),
        (json!({ "op": "add", "path": "/metadata/creationTimestamp", "value": null }), ""),
        (json!({ "op": "add", "path": "/more", "value": 1 }), "'more' was unexpected"),
        (json!({ "op": "add", "path": "/spec/off", "value": true }), "/spec Additional properties"),
    ];
    for (operation, expected) in table {
        let checked = check(&snapshot, &Schemas::kubernetes(), target(), json!([operation]));
        let said = checked.err().map(|refusals| refusals.to_string()).unwrap_or_default();
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{operation}: {said}");
    }
}

#[tokio::test]
async fn a_definition_that_cannot_be_used_refuses_with_its_reason() {
    let deep = (0..40).fold("{type: string}".to_owned(), |inner, _| {
        format!("{{type: object, properties: {{a: {inner}}}}}")
    });
    let many: String = (0..20_001).map(|n| format!("f{n}: {{type: string}}, ")).collect();
    let whole = |from: &str, to: &str| with_at("{type: integer}").replace(from, to);
    let table = [
        (with_at("{$ref: '#/definitions/a'}"), "has \"$ref\", which is not known here"),
        (with_at("{type: integer, $id: 'http://a'}"), "has \"$id\", which is not known"),
        (with_at("{type: string, patternProperties: {a: {}}}"), "has \"patternProperties\", which"),
        (with_at("{type: string, pattern: '('}"), "its schema cannot be used"),
        (with_at("{type: string, pattern: '(?=a)b'}"), "its schema cannot be used"),
        (with_at("{type: string, pattern: '((a{500}){500}){500}'}"), "its schema cannot be used"),
        (with_at("{type: text}"), "its schema cannot be used"),
        (with_at("{minLength: -1}"), "its schema cannot be used"),
        (with_at("[]"), "a part that is no object"),
        (with_at("{properties: []}"), "properties that are no object"),
        (with_at("{anyOf: {}}"), "an anyOf that is no list"),
        (with_at(&format!("{{type: object, properties: {{{many}}}}}")), "more than 20000 schemas"),
        (whole("served: true", "served: false"), "it serves no version v1; there are "),
        (whole("name: v1", "name: v2"), "it serves no version v1; there are v2"),
        (whole("openAPIV3Schema", "schema"), "its version v1 has no schema"),
        (whole("apiextensions.k8s.io/v1", "apiextensions.k8s.io/v1beta1"), "not of apiextensions.k8s.io/v1"),
        (whole("kind: Widget,", "kind: Gadget,"), "there is no schema for example.dev/v1/Widget"),
        (whole("group: example.dev", "group: example.com"), "there is no schema for example.dev/v1/Widget"),
        // A file that cannot be read has no definitions.
        (with_at(&deep), "there is no schema for example.dev/v1/Widget"),
        (
            whole("scope: Namespaced", "scope: \"{{ .Values.scope }}\""),
            "name a file with it in validation.crds",
        ),
    ];
    for (definition, expected) in table {
        let start: String = definition.chars().skip(WIDGET.len()).take(120).collect();
        let snapshot = snapshot(&[("crd.yaml", &definition), ("w.yaml", OBJECT)]).await;
        let schemas = Schemas::kubernetes();
        for _ in 0..2 {
            let said = said(&snapshot, &schemas, &json!(2));
            assert!(said.starts_with("schema: ") && said.contains(expected), "{start}: {said}");
        }
    }
}

#[tokio::test]
async fn a_pattern_takes_time_that_is_linear_in_the_text() {
    let definition = with_at("{type: string, pattern: '^(a+)+$'}");
    let snapshot = snapshot(&[("crd.yaml", &definition), ("w.yaml", OBJECT)]).await;
    let said = said(&snapshot, &Schemas::kubernetes(), &json!("a".repeat(50_000) + "b"));
    assert!(said.contains("does not match"), "{}", said.chars().rev().take(200).collect::<String>());
}

#[tokio::test]
async fn an_object_has_to_fit_each_definition_of_its_kind() {
    let (wide, narrow) = (with_at("{type: integer}"), with_at("{type: integer, maximum: 5}"));
    let schemas = Schemas::kubernetes();
    let files = [("eu/crd.yaml", wide.as_str()), ("us/crd.yaml", &narrow), ("w.yaml", OBJECT)];
    let both = snapshot(&files).await;
    assert_eq!(said(&both, &schemas, &json!(4)), "");
    let refused = said(&both, &schemas, &json!(6));
    assert!(refused.contains("greater than the maximum of 5 (by us/crd.yaml)"), "{refused}");
    // The same one twice is one.
    let files = [("eu/crd.yaml", narrow.as_str()), ("us/crd.yaml", &narrow), ("w.yaml", OBJECT)];
    let refused = said(&*snapshot(&files).await, &schemas, &json!(6));
    assert!(refused.ends_with("greater than the maximum of 5"), "{refused}");
    // What was compiled for another text is not taken for this one.
    let files = [("eu/crd.yaml", wide.as_str()), ("w.yaml", OBJECT)];
    assert_eq!(said(&*snapshot(&files).await, &schemas, &json!(6)), "");
}

#[tokio::test]
async fn what_was_wrong_before_is_not_held_against_a_change() {
    let schema =
        "{type: object, required: [interval], properties: {interval: {type: integer}, on: {type: boolean}}}";
    let written = "apiVersion: example.dev/v1\nkind: Widget\nmetadata: {name: w, namespace: default}\n";
    let table = [
        // A kustomization adds what is missing, Flux fills in variables.
        ("spec: {}", json!([{ "op": "add", "path": "/spec/on", "value": true }]), ""),
        ("spec: {interval: \"${every}\"}", json!([{ "op": "add", "path": "/spec/on", "value": true }]), ""),
        ("spec: {of: old}", json!([{ "op": "add", "path": "/spec/on", "value": true }]), ""),
        ("spec: {}", json!([{ "op": "add", "path": "/spec/on", "value": 1 }]), "/spec/on 1 is not of type"),
        (
            "spec: {interval: 1}",
            json!([{ "op": "remove", "path": "/spec/interval" }]),
            "\"interval\" is a required",
        ),
        (
            "spec: {interval: \"${every}\"}",
            json!([{ "op": "replace", "path": "/spec/interval", "value": "${other}" }]),
            "/spec/interval \"${other}\" is not of type",
        ),
        ("spec: {of: old}", json!([{ "op": "add", "path": "/spec/off", "value": 1 }]), "'off'"),
    ];
    for (spec, patch, expected) in table {
        let object_text = format!("{written}{spec}\n");
        let snapshot = snapshot(&[("crd.yaml", &widget(schema)), ("w.yaml", &object_text)]).await;
        let target = object("example.dev/v1", "Widget", "w");
        let checked = check(&snapshot, &Schemas::kubernetes(), target, patch.clone());
        let said = checked.err().map(|refusals| refusals.to_string()).unwrap_or_default();
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{spec} {patch}: {said}");
    }
}

fn named(paths: &[&Path]) -> Config {
    let crds = paths.iter().map(|path| path.to_path_buf()).collect::<Vec<PathBuf>>();
    Config { crds, ..Config::default() }
}

#[tokio::test]
async fn definitions_of_the_configuration_come_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("a file");
        folder.path().join(name)
    };
    let narrow =
        put("widget.yaml", &format!("kind: Namespace\n---\n{}", with_at("{type: integer, maximum: 5}")));
    put("notes.txt", "no YAML: [");
    let snapshot = snapshot(&[("crd.yaml", &with_at("{type: integer}")), ("w.yaml", OBJECT)]).await;
    for path in [folder.path(), &narrow] {
        let schemas = Schemas::new(&named(&[path])).unwrap();
        assert_eq!((schemas.defined(), said(&snapshot, &schemas, &json!(4))), (1, String::new()));
        assert!(said(&snapshot, &schemas, &json!(6)).contains("maximum of 5"));
    }
    let other = with_at("{type: integer}").replace("name: v1", "name: v2");
    let schemas = Schemas::new(&named(&[&put("v2.yaml", &other)])).unwrap();
    let refused = said(&snapshot, &schemas, &json!(4));
    assert!(
        refused.contains("validation.crds serves no version of example.dev/v1/Widget, only v2"),
        "{refused}"
    );
    let refused = [
        (vec![folder.path().join("gone.yaml")], "gone.yaml: "),
        (vec![put("none.yaml", "kind: Namespace\n")], "none.yaml: it has no CustomResourceDefinition"),
        (
            vec![narrow.clone(), put("again.yaml", &with_at("{type: integer}"))],
            "Widget of example.dev is defined twice",
        ),
        (vec![put("bad.yaml", "a: [")], "bad.yaml: "),
        (vec![put("ref.yaml", &with_at("{$ref: a}"))], "Widget of example.dev: its schema has \"$ref\""),
        (
            vec![put("nameless.yaml", "kind: CustomResourceDefinition\n")],
            "no spec.group or no spec.names.kind",
        ),
        (vec![put("long.yaml", &"#".repeat((8 << 20) + 1))], "long.yaml: it is longer than 8388608 bytes"),
    ];
    for (crds, expected) in refused {
        let said = Schemas::new(&Config { crds, ..Config::default() }).expect_err(expected).to_string();
        assert!(said.starts_with("validation.crds: ") && said.contains(expected), "{said}");
    }
}

const RELEASE: &str =
    include_str!("../../../plugins/suspend/tests/cases/helm-release-by-its-labels/state/podinfo.yaml");
const ALERT: &str =
    include_str!("../../../plugins/suspend/tests/cases/helm-release-by-its-labels/event.json");

/// A gateway with `suspend`, as a configuration file.
fn suspending(fleet: &Fleet, more: &str) -> PathBuf {
    let text = format!(
        "server: {{ listen: \"127.0.0.1:0\" }}\njournal: {{ dir: {} }}\nrepository: {{ url: \"{}\" }}\n{more}\
         plugins:\n  - name: suspend\n    source: bundled:suspend\n    mode: enforce\n    grants:\n      \
         kinds: [helm.toolkit.fluxcd.io/v2/HelmRelease]\n      namespaces: [apps]\n      fields: [/spec/suspend]\n    \
         config: {{ rules: [Terminal shell in container], fluxLabels: true }}\n",
        fleet.bare.root.path().join("a").display(),
        fleet.bare.file_url(),
    );
    fleet.beside("a.yaml", &text)
}

#[test]
fn a_helm_release_is_suspended_by_a_commit() {
    let definition = String::from_utf8(fixture("crds/helm-release.yaml")).unwrap();
    let beside = tempfile::tempdir().expect("a folder");
    fs::write(beside.path().join("helm-release.yaml"), &definition).expect("a file");
    let by_file = format!("validation: {{ crds: [{}] }}\n", beside.path().display());
    let flux = ("clusters/eu/flux-system/gotk-components.yaml", definition.as_str());
    let release = ("apps/podinfo.yaml", RELEASE);
    let table = [
        (vec![flux, release], "", "committed"),
        (vec![release], by_file.as_str(), "committed"),
        (vec![release], "", "refused"),
    ];
    for (files, more, expected) in table {
        let fleet = Fleet::with(&files);
        let mut process = Process::start(&suspending(&fleet, more), None);
        process.connect().send(&cloudevent("1", ALERT));
        let reaction = process.settled(1)["reactions"][0].clone();
        assert_eq!(reaction["outcome"], expected, "{reaction:#}");
        let text = fleet.file("apps/podinfo.yaml");
        let suspended = RELEASE
            .replace("    anything: { goes: [here] }\n", "    anything: { goes: [here] }\n  suspend: true\n");
        assert_eq!(text, if expected == "committed" { suspended.as_str() } else { RELEASE });
    }
}

#[test]
fn a_wrong_definition_is_found_before_the_start() {
    let fleet = Fleet::with(&[("apps/podinfo.yaml", RELEASE)]);
    let check = |more: &str| {
        let path = suspending(&fleet, more);
        let mut riposte = Command::new(env!("CARGO_BIN_EXE_riposte"));
        let output =
            riposte.args(["check", "--offline", "--config"]).arg(path).output().expect("the program runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let wrong = fleet.beside("wrong.yaml", &with_at("{$ref: a}"));
    let (status, said) = check(&format!("validation: {{ crds: [{}] }}\n", wrong.display()));
    assert!(status == Some(1) && said.contains("wrong  validation: validation.crds: "), "{said}");
    let good = fleet.beside("good.yaml", &with_at("{type: string}"));
    let (status, said) = check(&format!("validation: {{ crds: [{}] }}\n", good.display()));
    assert!(status == Some(0) && said.contains("ok     validation: custom kinds with a schema: 1"), "{said}");
}
