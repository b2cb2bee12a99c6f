//! The sandbox: determinism, a fresh instance each time, loading, subscriptions.

use std::path::Path;
use std::sync::Arc;

use riposte::dispatch::{Allocation, Catalog, Engine, LoadError, PluginConfig};
use riposte::model::event::{Event, EventParts};
use riposte::model::patch::{Change, Decision};
use serde_json::{Value, json};

use crate::harness::guest::{component, core_module, engine, engine_with, module, write};
use crate::harness::sandbox::{POD, event, from_file, plugin, snapshot, unhurried, well_behaved};
use crate::harness::{Fleet, fixture, shell_in};

#[tokio::test]
async fn a_guest_keeps_nothing_from_one_event_to_the_next() {
    let fleet = Fleet::tutorial();
    let snapshot = snapshot(&fleet).await;
    let engine = engine();
    // It counts in its memory and fails from the second call on.
    let body = "(if (i32.load (i32.const 3000)) (then (unreachable))) \
                (i32.store (i32.const 3000) (i32.const 1)) (i32.const 128)";
    for bytes in [core_module(&module(body, "")), component(&module(body, ""))] {
        let path = write(fleet.bare.root.path(), "counter", &bytes);
        let catalog = Catalog::load(&engine, &[from_file(&path, &json!({}))]).unwrap();
        for _ in 0..3 {
            let dispatched = catalog.plugins()[0].handle(&event("{}"), Arc::clone(&snapshot)).unwrap();
            assert_eq!(dispatched.decision, Decision::Ignore { reason: "quiet".to_owned() });
        }
    }
}

#[tokio::test]
async fn the_same_inputs_give_the_same_decision_and_fuel_on_every_engine() {
    let fleet = Fleet::tutorial();
    let snapshot = snapshot(&fleet).await;
    let event = event(&shell_in("default", POD));
    let mut decided = Vec::new();
    for allocation in [Allocation::Pooled, Allocation::OnDemand] {
        let engine = engine_with(allocation);
        let catalog = Catalog::load(&engine, &[well_behaved()]).unwrap();
        for _ in 0..2 {
            decided.push(catalog.plugins()[0].handle(&event, Arc::clone(&snapshot)).unwrap());
        }
    }
    assert!(decided.iter().all(|other| *other == decided[0] && other.fuel > 0), "{decided:#?}");
    let Decision::Propose(changes) = &decided[0].decision else { panic!("{decided:#?}") };
    assert_eq!(changes.title, "Scale default/alpine-deployment to 0");
    assert_eq!(changes.patches[0].change, Change::MergePatch(json!({ "spec": { "replicas": 0 } })));
}

/// Every plugin that ships, for the rule that the events are of, and every real body.
fn all_plugins_and_events() -> (Vec<PluginConfig>, Vec<Event>) {
    let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins")).unwrap();
    let entries =
        folders.filter_map(|entry| std::fs::read_to_string(entry.unwrap().path().join("plugin.yaml")).ok());
    let plugins = entries.map(|entry| {
        let mut entry: Value = serde_yaml::from_str(&entry).unwrap();
        entry["limits"] = unhurried();
        if entry["name"] != "rules" {
            entry["config"]["rules"] = json!(["Terminal shell in container", "Attach/Exec Pod", "Test rule"]);
        }
        plugin(entry)
    });
    let names = [
        "terminal-shell-2021",
        "terminal-shell-2026-no-pod",
        "k8s-audit-exec-2025",
        "falcosidekick-test-rule",
    ];
    let bodies = names.map(|name| String::from_utf8(fixture(&format!("events/{name}.json"))).unwrap());
    let events = bodies.iter().map(|body| event(body)).chain([event(&shell_in("default", POD))]);
    (plugins.collect(), events.collect())
}

#[tokio::test]
async fn every_plugin_decides_alike_on_two_engines() {
    let fleet = Fleet::tutorial();
    let snapshot = snapshot(&fleet).await;
    let (plugins, events) = all_plugins_and_events();
    assert!(plugins.len() >= 6, "{plugins:?}");
    let engines = [Allocation::Pooled, Allocation::OnDemand].map(engine_with);
    let catalogs = engines.map(|engine| Catalog::load(&engine, &plugins).unwrap());
    let mut proposals = 0;
    for (index, settings) in plugins.iter().enumerate() {
        for event in &events {
            let mut decided = Vec::new();
            for catalog in &catalogs {
                decided.push(catalog.plugins()[index].handle(event, Arc::clone(&snapshot)).unwrap());
            }
            assert_eq!(decided[0], decided[1], "{}", settings.name);
            proposals += usize::from(matches!(decided[0].decision, Decision::Propose(_)));
        }
    }
    assert!(proposals >= 5, "{proposals}");
}

fn refused(engine: &Engine, config: PluginConfig) -> String {
    let errors = Catalog::load(engine, &[config]).expect_err("it is refused");
    errors.iter().map(LoadError::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_cannot_be_a_plugin_is_refused_at_load_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let engine = engine();
    let quiet = module("(i32.const 128)", "");
    let in_start = module("(i32.const 128)", "(start $first) (func $first (unreachable))");
    let clock = r#"(component (import "wasi:clocks/wall-clock@0.3.0" (instance)))"#;
    let other_contract = wat::parse_str(quiet.replace("@0.1.0", "@9.0.0")).unwrap();
    let table = [
        ("text", b"#!/bin/sh".to_vec(), "no WebAssembly: it begins with \"#!/bin/s\""),
        ("empty", Vec::new(), "guest"),
        ("cut", core_module(&quiet)[..200].to_vec(), "contract riposte:plugin@0.1.0"),
        ("no-contract", wat::parse_str("(module)").unwrap(), "contract riposte:plugin@0.1.0"),
        ("other-contract", other_contract, "contract riposte:plugin@0.1.0"),
        ("clock", wat::parse_str(clock).unwrap(), "imports wasi:clocks/wall-clock@0.3.0"),
        ("in-start", core_module(&in_start), "failed at load (trap)"),
    ];
    for (name, bytes, expected) in table {
        let path = write(directory.path(), name, &bytes);
        let said = refused(&engine, from_file(&path, &json!({})));
        assert!(said.contains(expected) && said.contains("plugin guest"), "{name}: {said}");
    }
    let large = write(directory.path(), "large", &core_module(&quiet));
    let said = refused(&engine, from_file(&large, &json!({ "componentBytesMax": 100 })));
    assert!(said.contains("componentBytesMax is 100"), "{said}");
    let said = refused(&engine, from_file(&directory.path().join("none.wasm"), &json!({})));
    assert!(said.contains("none.wasm") && said.contains("No such file"), "{said}");
}

#[test]
fn the_configuration_pins_names_and_is_checked_by_the_plugin() {
    let engine = engine();
    let bundled = |changes: Value| {
        let mut config =
            json!({ "name": "s", "source": "bundled:scale-to-zero", "config": { "rules": ["r"] } });
        json_patch::merge(&mut config, &changes);
        plugin(config)
    };
    let table = [
        (
            json!({ "source": "bundled:nothing" }),
            "there are drop-token, isolate, quarantine, rules, scale-to-zero, suspend",
        ),
        (json!({ "source": "https://example.com/x.wasm" }), "bundled:NAME or file:PATH"),
        (json!({ "digest": "sha256:00" }), "sha256:00 is pinned"),
        (json!({ "config": { "rules": [] } }), "config/rules: [] has less than 1 item"),
        (json!({ "config": { "rules": null } }), "refuses its configuration"),
        (json!({ "config": { "rulez": ["r"] } }), "rulez"),
        (json!({ "limits": { "memoryBytesMax": 1_u64 << 40 } }), "memoryBytesMax"),
    ];
    for (changes, expected) in table {
        let said = refused(&engine, bundled(changes.clone()));
        assert!(said.contains(expected), "{changes}: {said}");
    }
    let good = Catalog::load(&engine, &[bundled(json!({}))]).unwrap();
    let digest = good.plugins()[0].identity().digest.clone();
    assert!(
        Catalog::load(&engine, &[bundled(json!({ "digest": digest }))]).is_ok(),
        "the right digest is let in"
    );
    let twice =
        Catalog::load(&engine, &[bundled(json!({})), bundled(json!({}))]).expect_err("two of one name");
    assert!(twice[0].to_string().contains("two plugins are named s"), "{twice:?}");
}

#[test]
fn subscriptions_follow_the_filter_dialect() {
    let mut parts = EventParts {
        id: "1".to_owned(),
        source: "https://falco.org".to_owned(),
        event_type: "falco.rule.output.v1".to_owned(),
        subject: Some("default/web".to_owned()),
        ..EventParts::default()
    };
    parts.extensions.insert("priority".to_owned(), "Notice".to_owned());
    let event = Event::new(parts).unwrap();
    let table = [
        (json!({ "exact": { "type": "falco.rule.output.v1" } }), true),
        (json!({ "exact": { "type": "falco.rule" } }), false),
        (json!({ "exact": { "type": "falco.rule.output.v1", "priority": "Notice" } }), true),
        (json!({ "exact": { "type": "falco.rule.output.v1", "priority": "Error" } }), false),
        (json!({ "exact": { "absent": "" } }), false),
        (json!({ "exact": { "specversion": "1.0" } }), true),
        (json!({ "prefix": { "subject": "default/" } }), true),
        (json!({ "prefix": { "subject": "Default/" } }), false),
        (json!({ "suffix": { "type": ".v1", "subject": "/web" } }), true),
        (json!({ "all": [{ "prefix": { "type": "falco." } }, { "suffix": { "type": ".v2" } }] }), false),
        (json!({ "any": [{ "prefix": { "type": "x" } }, { "suffix": { "type": ".v1" } }] }), true),
        (json!({ "any": [] }), false),
        (json!({ "all": [] }), true),
        (json!({ "not": { "exact": { "priority": "Notice" } } }), false),
        (json!({ "not": { "exact": { "absent": "x" } } }), true),
    ];
    for (filter, expected) in table {
        let read: riposte::dispatch::Filter = serde_json::from_value(filter.clone()).unwrap();
        assert_eq!(read.matches(&event), expected, "{filter}");
    }
}
