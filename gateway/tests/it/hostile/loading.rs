//! Files that are hostile before any event comes: at load, where each is refused with the reason.

use riposte::dispatch::{Catalog, Engine, LoadError};
use serde_json::{Value, json};

use super::none_differs;
use crate::harness::guest::{Guest, Image, component, core_module, engine, module, write};
use crate::harness::sandbox::{from_file, plugin};

const FOREVER: &str = "(loop $again (br $again)) (unreachable)";

fn refused(engine: &Engine, entry: Value) -> String {
    let errors = Catalog::load(engine, &[plugin(entry)]).expect_err("it is refused");
    errors.iter().map(LoadError::to_string).collect::<Vec<_>>().join("\n")
}

fn with_extra(extra: &str) -> Vec<u8> {
    core_module(&module("(i32.const 128)", extra))
}

fn with_memory(memory: &'static str) -> Vec<u8> {
    Guest { memory, ..Guest::default() }.bytes()
}

fn describing(name: &str, event_types: &[&str], schema: &str) -> Vec<u8> {
    Guest::describing(&Image::description(name, event_types, schema)).bytes()
}

/// Schemas that refer to schemas, each twice to the one before.
fn doubling(levels: usize) -> Value {
    let mut definitions = serde_json::Map::new();
    definitions.insert("l0".to_owned(), json!({ "type": "object" }));
    for level in 1..levels {
        let below = json!({ "$ref": format!("#/$defs/l{}", level - 1) });
        definitions.insert(format!("l{level}"), json!({ "allOf": [below.clone(), below] }));
    }
    json!({ "$defs": definitions, "$ref": format!("#/$defs/l{}", levels - 1) })
}

/// A component of so many modules, each made of this text.
fn crowd(modules: usize, module: &str) -> Vec<u8> {
    let instances = "(core instance (instantiate $m)) ".repeat(modules);
    wat::parse_str(format!("(component (core module $m {module}) {instances})")).unwrap()
}

/// The files, and the whole of what is said after `plugin guest: `.
fn files() -> Vec<(&'static str, Vec<u8>, String)> {
    let trap = "wasm trap: wasm `unreachable` instruction executed";
    let started = |start: &str| with_extra(&format!("(start $first) (func $first {start})"));
    let types: Vec<String> = (0..65).map(|number| format!("t{number}")).collect();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let describes = |describe: &str| Guest { describe: describe.to_owned(), ..Guest::default() }.bytes();
    let validates = |validate_config: &str| {
        Guest { validate_config: validate_config.to_owned(), ..Guest::default() }.bytes()
    };
    let no = Image::wrong_config("no:\n\u{1b}[2Jok     plugin: guest");
    let refuses = Guest { validate_config: no.pointer(), ..Guest::answering(&no) }.bytes();
    vec![
        ("in-start", started("(unreachable)"), format!("it failed at load (trap): {trap}")),
        (
            "starts-for-ever",
            started("(loop $again (br $again))"),
            "it failed at load (cpu-deadline): ran for 500 ms without an end".to_owned(),
        ),
        (
            "calls-in-start",
            started("(call $emit (i32.const 1) (i32.const 64) (i32.const 5))"),
            "it failed at load (trap): wasm trap: uninitialized element".to_owned(),
        ),
        (
            "describes-for-ever",
            describes(FOREVER),
            "it failed at load (cpu-deadline): ran for 500 ms without an end".to_owned(),
        ),
        ("describes-nothing", describes("(unreachable)"), format!("it failed at load (trap): {trap}")),
        (
            "validates-for-ever",
            validates(FOREVER),
            "it failed at load (cpu-deadline): ran for 500 ms without an end".to_owned(),
        ),
        (
            "names-with-an-escape",
            describing("guest\u{1b}]0;owned\u{7}", &["any"], "{}"),
            "it failed at load (bad-output): its name has characters that are not printed".to_owned(),
        ),
        (
            "names-at-length",
            describing(&"n".repeat(129), &["any"], "{}"),
            "it failed at load (bad-output): its name is longer than 128 bytes".to_owned(),
        ),
        (
            "wants-every-event",
            describing("guest", &types, "{}"),
            "it failed at load (bad-output): it names 65 event types, and 64 is the most".to_owned(),
        ),
        ("refuses", refuses, "it refuses its configuration: no:\n\u{1b}[2Jok     plugin: guest".to_owned()),
        (
            "asks-for-memory",
            with_memory(r#"(memory (export "memory") 600)"#),
            "it failed at load (memory): wanted more than 33554432 bytes of memory".to_owned(),
        ),
        (
            "asks-for-a-table",
            with_extra("(table 20000 funcref)"),
            "it failed at load (table): wanted a table of more than 10000 elements".to_owned(),
        ),
    ]
}

#[test]
fn a_hostile_file_is_refused_with_the_reason_and_the_next_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let engine = engine();
    let good = write(directory.path(), "good", &with_extra(""));
    let mut differing = Vec::new();
    let files = files();
    for (name, bytes, expected) in &files {
        let path = write(directory.path(), name, bytes);
        let errors =
            Catalog::load(&engine, &[from_file(&path, &json!({ "fuel": u64::MAX / 2, "guestTimeMs": 500 }))]);
        let found = match errors {
            Ok(_) => "loaded".to_owned(),
            Err(errors) => errors.iter().map(LoadError::to_string).collect::<Vec<_>>().join("\n"),
        };
        if found != format!("plugin guest: {expected}") {
            differing.push(format!("{name}:\n    {found}\n  not {expected}"));
        }
        assert!(Catalog::load(&engine, &[from_file(&good, &json!({}))]).is_ok(), "after {name}");
    }
    none_differs(&differing, files.len());
}

#[test]
fn what_a_plugin_may_not_be_made_of_is_refused_before_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    let engine = engine();
    let v9 = module("(i32.const 128)", "").replace("@0.1.0", "@9.0.0");
    let cut = component(&module("(i32.const 128)", ""));
    let table: [(&str, Vec<u8>, &str); 8] = [
        ("threads", with_memory(r#"(memory (export "memory") 1 4 shared)"#), "shared flag"),
        ("large", with_memory(r#"(memory (export "memory") 5000)"#), "memory"),
        ("two-memories", with_memory(r#"(memory (export "memory") 4) (memory 4)"#), "memor"),
        (
            "relaxed",
            with_extra("(func (drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))))"),
            "relaxed",
        ),
        ("other-contract", wat::parse_str(v9).unwrap(), "contract riposte:plugin@0.1.0"),
        ("memories", crowd(5, "(memory 1)"), "5 Wasm linear memories"),
        ("modules", crowd(49, ""), "49 core module instances"),
        ("cut", cut[..cut.len() / 2].to_vec(), "plugin guest: "),
    ];
    for (name, bytes, words) in table {
        let path = write(directory.path(), name, &bytes);
        let said = refused(&engine, json!({ "name": "guest", "source": format!("file:{}", path.display()) }));
        assert!(said.starts_with("plugin guest: ") && said.contains(words), "{name}: {said}");
    }
}

#[test]
fn a_hostile_schema_of_the_configuration_is_refused_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let engine = engine();
    let none = "it refuses its configuration: the JSON Schema that it publishes is none: ";
    let references = "its references come back to themselves or are too many to be followed";
    let knot: Vec<Value> = (0..20).map(|number| json!({ "$ref": format!("#/$defs/k{number}") })).collect();
    let knots: serde_json::Map<String, Value> =
        (0..20).map(|number| (format!("k{number}"), json!({ "anyOf": knot }))).collect();
    let large = json!({ "description": "x".repeat(64 << 10) }).to_string();
    let deep = format!("{}{{}}{}", "{\"not\":".repeat(1_000), "}".repeat(1_000));
    let table: Vec<(&str, String, String)> = vec![
        ("text", "no schema".to_owned(), "expected ident at line 1 column 2".to_owned()),
        ("number", "7".to_owned(), "7 is not of types \"boolean\", \"object\"".to_owned()),
        (
            "wrong",
            json!({ "type": 7 }).to_string(),
            "7 is not valid under any of the schemas listed in the 'anyOf' keyword".to_owned(),
        ),
        ("large", large, "it is larger than 65536 bytes".to_owned()),
        ("deep", deep, "recursion limit exceeded at line 1 column 890".to_owned()),
        ("itself", json!({ "$ref": "#" }).to_string(), references.to_owned()),
        ("doubling", doubling(40).to_string(), references.to_owned()),
        ("knot", json!({ "$defs": knots, "$ref": "#/$defs/k0" }).to_string(), references.to_owned()),
        (
            "remote",
            json!({ "$ref": "http://127.0.0.1/x" }).to_string(),
            "a $ref of it leads nowhere: only places of the same schema, as #/$defs/name, are followed"
                .to_owned(),
        ),
        (
            "file",
            json!({ "$ref": "file:///etc/passwd" }).to_string(),
            "a $ref of it leads nowhere: only places of the same schema, as #/$defs/name, are followed"
                .to_owned(),
        ),
        (
            "dynamic",
            json!({ "$dynamicRef": "#x" }).to_string(),
            "it has $dynamicRef, $recursiveRef or an inner $id".to_owned(),
        ),
        (
            "pattern",
            json!({ "pattern": "((a{1000}){1000}){1000}" }).to_string(),
            "\"((a{1000}){1000}){1000}\" is not a \"regex\"".to_owned(),
        ),
        (
            "back",
            json!({ "pattern": "^(a+)+\\1$" }).to_string(),
            "\"^(a+)+\\\\1$\" is not a \"regex\"".to_owned(),
        ),
    ];
    let mut differing = Vec::new();
    let count = table.len();
    for (name, schema, expected) in table {
        let path = write(directory.path(), name, &describing("guest", &["any"], &schema));
        let found =
            refused(&engine, json!({ "name": "guest", "source": format!("file:{}", path.display()) }));
        if found != format!("plugin guest: {none}{expected}") {
            differing.push(format!("{name}:\n    {found}\n  not {expected}"));
        }
    }
    none_differs(&differing, count);
}

#[test]
fn a_pattern_that_would_go_back_and_forth_is_answered_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let engine = engine();
    let schema = json!({ "properties": { "a": { "pattern": "^(a+)+$" } } }).to_string();
    let path = write(directory.path(), "pattern", &describing("guest", &["any"], &schema));
    let text = format!("{}b", "a".repeat(50_000));
    let entry =
        json!({ "name": "guest", "source": format!("file:{}", path.display()), "config": { "a": text } });
    let said = refused(&engine, entry);
    assert!(said.starts_with("plugin guest: it refuses its configuration: config/a: \"aaaa"), "{said}");
    assert!(said.ends_with('…') && said.len() < 5_000, "{} bytes", said.len());
}
