//! The documents and the chart say what the program takes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use riposte::config::Config;
use riposte::dispatch::{Catalog, PluginConfig};
use riposte::model::plugin::{Grants, Mode, RequestedGrants};
use serde_json::Value;

use crate::harness::guest::engine;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(workspace().join(folder)).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

fn yaml(path: &Path) -> Value {
    serde_yaml::from_str(&fs::read_to_string(path).expect("a file")).expect("YAML")
}

#[test]
fn every_configuration_in_the_documents_is_one() {
    let mut documents = files("docs", ".md");
    documents.push(workspace().join("README.md"));
    let mut found = 0;
    for path in documents {
        let text = fs::read_to_string(&path).expect("a document");
        for block in text.split("```yaml\n# riposte.yaml\n").skip(1) {
            let block = block.split("```").next().expect("an end");
            found += 1;
            if let Err(wrong) = Config::parse(block) {
                panic!("{}: {wrong}\n{block}", path.display());
            }
        }
    }
    assert!(found >= 5, "{found}");
}

/// What helm makes of the chart's own values and a user's.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => from.clone_into(into),
    }
}

#[test]
fn every_configuration_of_the_chart_is_one() {
    let defaults = yaml(&workspace().join("charts/riposte/values.yaml"));
    let values = files("charts/riposte/ci", "-values.yaml");
    assert!(values.len() >= 5, "{values:?}");
    for path in values {
        let mut merged = defaults["config"].clone();
        merge(&mut merged, &yaml(&path)["config"]);
        if let Err(wrong) = Config::parse(&merged.to_string()) {
            panic!("{}: {wrong}", path.display());
        }
    }
}

fn plugin_entries() -> Vec<(PathBuf, PluginConfig)> {
    let folders = fs::read_dir(workspace().join("plugins")).expect("the plugins");
    let paths = folders.map(|entry| entry.expect("an entry").path().join("plugin.yaml"));
    let paths = paths.filter(|path| path.is_file());
    paths.map(|path| (path.clone(), serde_json::from_value(yaml(&path)).expect("an entry"))).collect()
}

#[test]
fn every_plugin_that_ships_loads_with_its_own_entry() {
    let entries = plugin_entries();
    assert!(entries.len() >= 6, "{entries:?}");
    let engine = engine();
    for (path, entry) in entries {
        let folder =
            path.parent().and_then(Path::file_name).expect("a folder").to_string_lossy().into_owned();
        assert_eq!((&entry.name, &entry.source), (&folder, &format!("bundled:{folder}")));
        assert_eq!(entry.mode, Mode::Observe, "{folder}: a person says enforce");
        let catalog =
            Catalog::load(&engine, &[entry]).unwrap_or_else(|errors| panic!("{folder}: {errors:?}"));
        let said = catalog.plugins()[0].description();
        assert_eq!(said.name, folder);
        let Grants { kinds, fields, create, delete, .. } = catalog.plugins()[0].grants().clone();
        // What `rules` needs depends on the rules of its configuration.
        let least = match folder.as_str() {
            "rules" => RequestedGrants::default(),
            _ => RequestedGrants { kinds, fields, create, delete },
        };
        assert_eq!(said.grants, least, "{folder}: plugin.yaml grants what the plugin asks for, and no more");
    }
}

#[test]
fn every_example_of_the_rules_loads() {
    let engine = engine();
    let text = fs::read_to_string(workspace().join("plugins/rules/README.md")).expect("the document");
    let blocks =
        text.split("```yaml\nplugins:\n").skip(1).map(|block| block.split("```").next().expect("an end"));
    let blocks: Vec<&str> = blocks.collect();
    assert!(blocks.len() >= 4, "{blocks:?}");
    for block in blocks {
        let text = format!("repository: {{ url: \"file:///fleet.git\" }}\nplugins:\n{block}");
        let config = Config::parse(&text).unwrap_or_else(|wrong| panic!("{wrong}\n{block}"));
        if let Err(wrong) = Catalog::load(&engine, &config.plugins) {
            panic!("{wrong:?}\n{block}");
        }
    }
}

/// Every key of a schema's objects, with the keys above it; of the filters, which hold filters, none.
fn keys(schema: &Value, root: &Value, at: &str, found: &mut BTreeSet<String>) {
    if let Some(pointer) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        return keys(root.pointer(pointer).expect("a definition"), root, at, found);
    }
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        keys(choice, root, at, found);
    }
    if schema["items"].is_object() {
        keys(&schema["items"], root, &format!("{at}[]"), found);
    }
    for (key, below) in schema["properties"].as_object().into_iter().flatten() {
        let here = format!("{at}.{key}");
        found.insert(here.clone());
        if key != "subscriptions" && key != "match" {
            keys(below, root, &here, found);
        }
    }
}

#[test]
fn the_chart_knows_every_key_of_the_configuration() {
    let chart = fs::read(workspace().join("charts/riposte/values.schema.json")).expect("the chart's schema");
    let chart: Value = serde_json::from_slice(&chart).expect("JSON");
    let (mut known, mut expected) = (BTreeSet::new(), BTreeSet::new());
    keys(&chart["properties"]["config"], &chart, "config", &mut known);
    let own = Config::schema();
    keys(&own, &own, "config", &mut expected);
    assert!(expected.len() > 40, "{expected:?}");
    assert_eq!(known, expected);
}

#[test]
fn every_refusal_is_in_the_documents() {
    let source = workspace().join("gateway/src/validate/refusal.rs");
    let source = fs::read_to_string(source).expect("the source");
    let words = source.split("=> \"").skip(1).filter_map(|rest| rest.split_once('"'));
    let mut kinds: BTreeSet<&str> = words.map(|(kind, _)| kind).collect();
    // The pipeline's own.
    kinds.insert("branch-taken");
    let document = fs::read_to_string(workspace().join("docs/refusals.md")).expect("the document");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let told: BTreeSet<&str> = rows.map(|(kind, _)| kind).collect();
    assert!(kinds.len() >= 20, "{kinds:?}");
    assert_eq!(told, kinds);
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { below(&path, found) } else { found.push(path) }
    }
}

#[test]
fn every_source_file_that_a_document_names_is_there() {
    let mut there = Vec::new();
    ["gateway", "sdk", "plugins"].iter().for_each(|folder| below(&workspace().join(folder), &mut there));
    let documents = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "README.md"];
    let documents = documents.map(|name| workspace().join(name)).into_iter().chain(files("docs", ".md"));
    let (mut named, mut missing) = (0, Vec::new());
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for name in text.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs")) {
            named += 1;
            // Some are named by their end alone; a whole component at least.
            if !there.iter().any(|path| path.ends_with(name)) {
                missing.push(format!("{}: {name}", document.display()));
            }
        }
    }
    assert!(named > 50 && missing.is_empty(), "{named} named, missing {missing:#?}");
}
