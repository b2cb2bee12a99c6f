//! Hostile guests: each is stopped by the name of what it did, and the next event is served.

use std::path::Path;
use std::sync::Arc;

use riposte::dispatch::{Allocation, Catalog, Engine, Failure, LoadError, PluginConfig};
use riposte::model::event::{Event, EventParts};
use riposte::model::patch::{Change, Decision};
use riposte::repository::{Repository, Snapshot};
use serde_json::{Value, json};

use crate::harness::git::config;
use crate::harness::guest::{component, core_module, engine, engine_with, module, write};
use crate::harness::{Fleet, fixture, shell_in};

const POD: &str = "alpine-deployment-77789455d6-m7flp";

fn event(data: &str) -> Event {
    Event::new(EventParts {
        id: "1".to_owned(),
        source: "https://falco.org".to_owned(),
        event_type: "falco.rule.output.v1".to_owned(),
        datacontenttype: Some("application/json".to_owned()),
        data: Some(data.to_owned().into()),
        ..EventParts::default()
    })
    .unwrap()
}

fn plugin(config: Value) -> PluginConfig {
    serde_json::from_value(config).unwrap()
}

fn from_file(path: &Path, limits: Value) -> PluginConfig {
    plugin(json!({ "name": "guest", "source": format!("file:{}", path.display()), "limits": limits }))
}

fn well_behaved() -> PluginConfig {
    plugin(json!({
        "name": "scale-to-zero", "source": "bundled:scale-to-zero",
        "config": { "rules": ["Terminal shell in container"] },
    }))
}

async fn snapshot(fleet: &Fleet) -> Arc<Snapshot> {
    let repository = json!({ "url": fleet.bare.file_url() });
    let data = fleet.bare.root.path().join("data");
    Repository::open(&config(repository), &data).await.unwrap().snapshot_at_head().await.unwrap()
}

/// What it does, the body of its `handle`, more parts of its module, its limits, the failure.
struct Hostile {
    what: &'static str,
    body: String,
    extra: &'static str,
    limits: Value,
    fails: fn(&Failure) -> bool,
}

fn hostile(what: &'static str, body: &str, fails: fn(&Failure) -> bool) -> Hostile {
    Hostile { what, body: body.to_owned(), extra: "", limits: json!({}), fails }
}

/// An answer whose bytes stand at 2048.
fn answers(what: &'static str, bytes: &'static str, fails: fn(&Failure) -> bool) -> Hostile {
    Hostile { extra: bytes, ..hostile(what, "(i32.const 2048)", fails) }
}

/// Guests that use too much.
fn greedy() -> Vec<Hostile> {
    let forever = "(loop $again (br $again)) (unreachable)";
    let grow =
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    vec![
        Hostile {
            limits: json!({ "fuel": 1_000_000, "guestTimeMs": 10_000 }),
            ..hostile("loops for ever", forever, |failure| {
                *failure == Failure::OutOfFuel { fuel: 1_000_000 } && failure.kind() == "out-of-fuel"
            })
        },
        Hostile {
            limits: json!({ "fuel": u64::MAX / 2, "guestTimeMs": 20 }),
            ..hostile("loops with fuel enough", forever, |failure| {
                *failure == Failure::CpuDeadline { guest_time_ms: 20 } && failure.kind() == "cpu-deadline"
            })
        },
        Hostile {
            limits: json!({ "fuel": u64::MAX / 2, "guestTimeMs": 500, "invocationMs": 1 }),
            ..hostile("outlasts its invocation", forever, |failure| {
                *failure == Failure::InvocationTimeout { invocation_ms: 1 }
                    && failure.kind() == "invocation-timeout"
            })
        },
        Hostile {
            limits: json!({ "memoryBytesMax": 1 << 20 }),
            ..hostile("allocates", grow, |failure| {
                *failure == Failure::Memory { memory_bytes_max: 1 << 20 } && failure.kind() == "memory"
            })
        },
        Hostile {
            extra: "(table $t 1 funcref)",
            ..hostile(
                "grows a table",
                "(loop $again (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) \
                 (unreachable)",
                |failure| {
                    *failure == Failure::Table { table_elements_max: 10_000 } && failure.kind() == "table"
                },
            )
        },
        hostile(
            "recurses",
            "(call $handle (local.get $event))",
            |failure| matches!(failure, Failure::Trap(reason) if reason.contains("stack")),
        ),
        hostile(
            "floods the log",
            "(loop $again (call $emit (i32.const 1) (i32.const 64) (i32.const 5)) (br $again)) (unreachable)",
            |failure| *failure == Failure::HostCalls("log lines") && failure.kind() == "host-calls",
        ),
        hostile(
            "logs one line of all its memory, again and again",
            "(loop $again (call $emit (i32.const 1) (i32.const 4096) (i32.const 100000)) (br $again)) (unreachable)",
            |failure| *failure == Failure::HostCalls("log lines"),
        ),
        hostile(
            "floods the look-ups",
            "(loop $again (call $find (i32.const 64) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 0) \
             (i32.const 4096)) (br $again)) (unreachable)",
            |failure| *failure == Failure::HostCalls("look-ups"),
        ),
    ]
}

/// Guests that trap.
fn trapped() -> Vec<Hostile> {
    vec![
        hostile("traps", "(unreachable)", |failure| failure.kind() == "trap"),
        hostile(
            "divides by nothing",
            "(i32.div_u (i32.const 1) (i32.const 0))",
            |failure| matches!(failure, Failure::Trap(reason) if reason.contains("divide by zero")),
        ),
        hostile(
            "reads outside of its memory",
            "(i32.load (i32.const -4))",
            |failure| matches!(failure, Failure::Trap(reason) if reason.contains("out of bounds")),
        ),
        Hostile {
            extra: r#"(data (i32.const 2048) "panic: at home")"#,
            ..hostile(
                "panics as the sdk says it",
                "(call $emit (i32.const 3) (i32.const 2048) (i32.const 14)) (unreachable)",
                |failure| *failure == Failure::Panic("at home".to_owned()) && failure.kind() == "panic",
            )
        },
    ]
}

/// Guests that answer nonsense.
fn nonsensical() -> Vec<Hostile> {
    vec![
        hostile("answers with a pointer to nowhere", "(i32.const -16)", |failure| {
            failure.kind() == "bad-output"
        }),
        hostile("answers with a crooked pointer", "(i32.const 129)", |failure| {
            failure.kind() == "bad-output"
        }),
        answers("answers with no known case", r#"(data (i32.const 2048) "\07")"#, |failure| {
            failure.kind() == "bad-output"
        }),
        answers("decides in no known way", r#"(data (i32.const 2048) "\00\00\00\00\07")"#, |failure| {
            failure.kind() == "bad-output"
        }),
        answers(
            "gives a reason that is no UTF-8",
            r#"(data (i32.const 2048) "\00\00\00\00\00\00\00\00\20\08\00\00\02\00\00\00") (data (i32.const 2080) "\ff\fe")"#,
            |failure| failure.kind() == "bad-output",
        ),
        answers(
            "gives a reason of two gigabytes",
            r#"(data (i32.const 2048) "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\80")"#,
            |failure| failure.kind() == "bad-output",
        ),
        Hostile {
            limits: json!({ "decisionBytesMax": 1000 }),
            ..answers(
                "gives a reason over its limit",
                r#"(data (i32.const 2048) "\00\00\00\00\00\00\00\00\00\10\00\00\00\20\00\00")"#,
                |failure| matches!(failure, Failure::BadOutput(reason) if reason.contains("1000 bytes")),
            )
        },
        answers(
            "proposes without a patch",
            r#"(data (i32.const 2048) "\00\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\40\00\00\00\05\00\00\00\40\00\00\00\05\00\00\00")"#,
            |failure| matches!(failure, Failure::BadOutput(reason) if reason.contains("from 1 to 64 patches")),
        ),
        answers(
            "proposes a million patches",
            r#"(data (i32.const 2048) "\00\00\00\00\01\00\00\00\00\00\00\00\40\42\0f\00\40\00\00\00\05\00\00\00\40\00\00\00\05\00\00\00")"#,
            |failure| failure.kind() == "bad-output",
        ),
        answers(
            "proposes a patch that is no JSON",
            // One patch at 2112: every text is "guest" at 64.
            r#"(data (i32.const 2048) "\00\00\00\00\01\00\00\00\40\08\00\00\01\00\00\00\40\00\00\00\05\00\00\00\40\00\00\00\05\00\00\00")
               (data (i32.const 2112) "\40\00\00\00\05\00\00\00\40\00\00\00\05\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\40\00\00\00\05\00\00\00\01\00\00\00\40\00\00\00\05\00\00\00")"#,
            |failure| matches!(failure, Failure::BadOutput(reason) if reason.contains("no JSON")),
        ),
        answers(
            "says that it cannot",
            r#"(data (i32.const 2048) "\01\00\00\00\02\00\00\00\40\00\00\00\05\00\00\00")"#,
            |failure| *failure == Failure::PluginError("guest".to_owned()),
        ),
    ]
}

#[tokio::test]
async fn every_hostile_guest_is_stopped_by_name_and_the_next_event_is_served() {
    let fleet = Fleet::tutorial();
    let snapshot = snapshot(&fleet).await;
    let engine = engine();
    let event = event(&shell_in("default", POD));
    let good = Catalog::load(&engine, &[well_behaved()]).unwrap();
    let expected = good.plugins()[0].handle(&event, Arc::clone(&snapshot)).unwrap();
    for guest in greedy().into_iter().chain(trapped()).chain(nonsensical()) {
        let what = guest.what;
        let bytes = core_module(&module(&guest.body, guest.extra));
        let path = write(fleet.bare.root.path(), "hostile", &bytes);
        let catalog = Catalog::load(&engine, &[from_file(&path, guest.limits)])
            .unwrap_or_else(|errors| panic!("{what}: {errors:?}"));
        let first = catalog.plugins()[0].handle(&event, Arc::clone(&snapshot)).expect_err(what);
        assert!((guest.fails)(&first), "a guest that {what}: {first:?}");
        let second = catalog.plugins()[0].handle(&event, Arc::clone(&snapshot)).expect_err(what);
        assert_eq!(first, second, "a guest that {what} fails alike each time");
        let served = good.plugins()[0].handle(&event, Arc::clone(&snapshot)).unwrap();
        assert_eq!(served, expected, "after a guest that {what}");
    }
}

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
        let catalog = Catalog::load(&engine, &[from_file(&path, json!({}))]).unwrap();
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
        let said = refused(&engine, from_file(&path, json!({})));
        assert!(said.contains(expected) && said.contains("plugin guest"), "{name}: {said}");
    }
    let large = write(directory.path(), "large", &core_module(&quiet));
    let said = refused(&engine, from_file(&large, json!({ "componentBytesMax": 100 })));
    assert!(said.contains("componentBytesMax is 100"), "{said}");
    let said = refused(&engine, from_file(&directory.path().join("none.wasm"), json!({})));
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
