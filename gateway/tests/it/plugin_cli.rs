//! The author's command line, on the plugin that is bundled and on guests made for it. Without cargo
//! and without a network: what builds is tried by `.ci/plugin`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use riposte::dispatch::PluginConfig;

use crate::harness::guest::{component, core_module, module, write};
use crate::harness::shell_in;

/// The bundled plugin, as the build left it.
const BUNDLED: &str = concat!(env!("OUT_DIR"), "/scale_to_zero.wasm");
const POD: &str = "web-77789455d6-m7flp";

/// `riposte plugin …`: its status and all it said.
fn plugin(arguments: &[&str]) -> (Option<i32>, String) {
    let mut riposte = Command::new(env!("CARGO_BIN_EXE_riposte"));
    let Output { status, stdout, stderr } =
        riposte.arg("plugin").args(arguments).output().expect("the program runs");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a copy");
        }
    }
}

/// A copy of scale-to-zero without its code.
fn scale_to_zero(root: &Path) -> PathBuf {
    let (from, to) = (workspace().join("plugins/scale-to-zero"), root.join("scale-to-zero"));
    copy(&from.join("tests"), &to.join("tests"));
    fs::copy(from.join("plugin.yaml"), to.join("plugin.yaml")).expect("a copy");
    to
}

#[test]
fn the_bundled_plugin_passes_its_cases() {
    let folder = workspace().join("plugins/scale-to-zero").display().to_string();
    let (status, said) = plugin(&["test", "--path", &folder, "--file", BUNDLED]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("13 passed, 0 failed"), "{said}");
    for case in ["deployment: propose", "daemonset: ignore", "protected-namespace: refused"] {
        assert!(said.contains(&format!("ok       {case}")), "{case}: {said}");
    }
}

#[test]
fn every_bundled_plugin_passes_its_cases() {
    let plugins = ["drop-token", "isolate", "quarantine", "rules", "suspend"];
    for name in plugins {
        let folder = workspace().join("plugins").join(name).display().to_string();
        let file = Path::new(env!("OUT_DIR")).join(format!("{}.wasm", name.replace('-', "_")));
        let (status, said) = plugin(&["test", "--path", &folder, "--file", &file.display().to_string()]);
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains("ok  ") && said.contains(" 0 failed"), "{said}");
    }
}

#[test]
fn a_folder_that_cargo_does_not_build_is_taken_by_the_file_that_it_names() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = scale_to_zero(root.path());
    let entry = fs::read_to_string(folder.join("plugin.yaml")).expect("the entry");
    fs::write(folder.join("plugin.yaml"), entry.replace("bundled:scale-to-zero", "file:other/made.wasm"))
        .unwrap();
    let path = folder.display().to_string();
    let (status, said) = plugin(&["test", "--path", &path, "deployment"]);
    assert!(status == Some(1) && said.contains("other/made.wasm: No such file"), "{said}");
    fs::create_dir(folder.join("other")).unwrap();
    fs::copy(BUNDLED, folder.join("other/made.wasm")).expect("a copy");
    let (status, said) = plugin(&["test", "--path", &path, "deployment"]);
    assert!(status == Some(0) && said.contains("1 passed, 0 failed"), "{said}");
}

#[test]
fn a_case_that_differs_is_shown_and_can_be_blessed() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = scale_to_zero(root.path());
    let case = folder.join("tests/cases/deployment");
    let path = folder.display().to_string();
    let test = |more: &[&str]| plugin(&[&["test", "--path", &path, "--file", BUNDLED], more].concat());
    let expected = fs::read_to_string(case.join("decision.yaml")).expect("the decision");
    fs::write(case.join("decision.yaml"), expected.replace("replicas: 0", "replicas: 1")).unwrap();
    let (status, said) = test(&["deployment", "no-pod"]);
    assert_eq!(status, Some(1), "{said}");
    for part in ["-        replicas: 1", "+        replicas: 0", "ok       no-pod", "1 passed, 1 failed"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    fs::remove_file(case.join("expected.diff")).unwrap();
    let (_, said) = test(&["deployment"]);
    assert!(said.contains("+-  replicas: 3 # two for the load"), "{said}");
    fs::remove_file(case.join("decision.yaml")).unwrap();
    let (status, said) = test(&["deployment"]);
    assert!(status == Some(1) && said.contains("nothing is expected yet"), "{said}");
    let (status, said) = test(&["--bless", "deployment"]);
    assert!(status == Some(0) && said.contains("blessed  deployment"), "{said}");
    assert_eq!(fs::read_to_string(case.join("decision.yaml")).unwrap(), expected);
    assert_eq!(test(&["deployment"]).0, Some(0));
    // Written by hand, in another order and another style.
    let patches = expected.split_once("patches:").expect("patches").1;
    let reason = "reason: |-\n  \"Terminal shell in container\" in default/web-77789455d6-m7flp\n";
    let by_hand = format!("patches:{patches}{reason}decision: propose\ntitle: \"Scale default/web to 0\"\n");
    fs::write(case.join("decision.yaml"), by_hand).unwrap();
    assert_eq!(test(&["deployment"]).0, Some(0));
}

#[test]
fn what_cannot_be_tested_says_what_to_do() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = scale_to_zero(root.path());
    let path = folder.display().to_string();
    let empty = root.path().display().to_string();
    let settings = fs::read_to_string(folder.join("plugin.yaml")).expect("the settings");
    let test = |more: &[&str]| plugin(&[&["test", "--path", &path, "--file", BUNDLED], more].concat());
    let (status, said) = test(&["deploiment"]);
    assert!(status == Some(2) && said.contains("there are: already-zero, cloudevent"), "{said}");
    let (status, said) = plugin(&["test", "--path", &empty, "--file", BUNDLED]);
    assert!(status == Some(1) && said.contains("has no case"), "{said}");
    let (status, said) = plugin(&["test", "--path", &path]);
    assert!(status == Some(2) && said.contains("has no Cargo.toml"), "{said}");
    let (status, said) = plugin(&["run", "--path", &empty, "-e", &format!("{path}/plugin.yaml")]);
    assert!(status == Some(2) && said.contains("has no plugin.yaml"), "{said}");
    for (from, to, expected) in [
        ("grants:", "grant:", "unknown field `grant`"),
        ("namespaces:", "namespace:", "grants.namespace: unknown field"),
        ("rules:", "rulez:", "refuses its configuration"),
        ("mode: observe", "mode: observe\nmode: enforce", "duplicate"),
    ] {
        fs::write(folder.join("plugin.yaml"), settings.replace(from, to)).unwrap();
        let (status, said) = test(&[]);
        assert!(status == Some(1) && said.contains(expected), "{to}: {said}");
    }
    fs::write(folder.join("plugin.yaml"), settings).unwrap();
    let event = folder.join("tests/cases/deployment/event.json");
    for (text, expected) in [
        ("{", "the event is no JSON"),
        ("{}", "would reject the event"),
        (r#"{"specversion":"1.0","id":"1","source":"s"}"#, "would reject the event: type is missing"),
    ] {
        fs::write(&event, text).unwrap();
        let (status, said) = test(&["deployment"]);
        assert!(status == Some(1) && said.contains(expected), "{text}: {said}");
    }
    // Nor does a case that cannot be run hide the others.
    fs::write(folder.join("tests/cases/no-pod/config.yaml"), "rules: []\n").unwrap();
    let (_, said) = test(&[]);
    assert!(said.contains("less than 1 item") && said.contains("11 passed, 2 failed"), "{said}");
    fs::remove_file(&event).unwrap();
    let (status, said) = test(&[]);
    assert!(status == Some(2) && said.contains("deployment/event.json"), "{said}");
}

/// A folder with one Deployment, Git's own folder in it, and an event about its pod.
fn working_tree(root: &Path) -> (String, String) {
    let (tree, event) = (root.join("tree"), root.join("event.json"));
    copy(&workspace().join("plugins/scale-to-zero/tests/cases/deployment/state"), &tree);
    fs::create_dir_all(tree.join(".git")).unwrap();
    fs::copy(tree.join("apps/web.yaml"), tree.join(".git/web.yaml")).unwrap();
    fs::write(tree.join("apps/chart.yaml"), "name: {{ .Values.name }}\n").unwrap();
    fs::write(&event, shell_in("default", POD)).unwrap();
    (tree.display().to_string(), event.display().to_string())
}

#[test]
fn one_event_shows_the_decision_its_cost_and_the_diff() {
    let root = tempfile::tempdir().expect("a folder");
    let (tree, event) = working_tree(root.path());
    let folder = scale_to_zero(root.path()).display().to_string();
    let run = ["run", "--path", &folder, "--file", BUNDLED, "-e", &event, "--repo", &tree];
    let (status, said) = plugin(&run);
    assert_eq!(status, Some(0), "{said}");
    for part in [
        "proposal  Scale default/web to 0",
        "patch     Deployment default/web: merge patch {\"spec\":{\"replicas\":0}}",
        "outcome   observed",
        " of 250,000,000 (0.0",
        " of 33,554,432 bytes (",
        "    --- a/apps/web.yaml",
        "    +  replicas: 0 # two for the load",
        "note      apps/chart.yaml is left out: it is a template",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let other = root.path().join("other.yaml");
    fs::write(&other, "rules: [Another rule]\n").unwrap();
    let (status, said) = plugin(&[&run[..], &["--config", &other.display().to_string()]].concat());
    assert!(status == Some(0) && said.contains("outcome   ignored: rule"), "{said}");
    // A file alone has no grants.
    let nowhere = root.path().display().to_string();
    let rules = root.path().join("rules.yaml");
    fs::write(&rules, "rules: [Terminal shell in container]\n").unwrap();
    let rules = rules.display().to_string();
    let (status, said) = plugin(&[
        "run", "--path", &nowhere, "--file", BUNDLED, "-e", &event, "--repo", &tree, "--config", &rules,
    ]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("has no grants") && said.contains("outcome   refused: grant-kind"), "{said}");
}

#[test]
fn a_plugin_that_fails_is_told_with_its_log() {
    let root = tempfile::tempdir().expect("a folder");
    let (tree, event) = working_tree(root.path());
    let path = root.path().display().to_string();
    let settings = "name: guest\nsource: file:guest.wasm\nlimits: { fuel: 1000000, guestTimeMs: 10000 }\n";
    fs::write(root.path().join("plugin.yaml"), settings).unwrap();
    let forever = module("(loop $again (br $again)) (unreachable)", "");
    let panics = module(
        "(call $emit (i32.const 3) (i32.const 2048) (i32.const 14)) (unreachable)",
        r#"(data (i32.const 2048) "panic: at\1bhome")"#,
    );
    let table = [
        (forever, &["outcome   failed: out-of-fuel", "1,000,000 of 1,000,000 (100.00 %)"]),
        (panics, &["log       error panic: at\\u{1b}home", "outcome   failed: panic"]),
    ];
    for (guest, expected) in table {
        let file = write(root.path(), "guest", &core_module(&guest)).display().to_string();
        let run = ["--path", &path, "--file", &file, "-e", &event];
        let (status, said) = plugin(&[&["run", "--repo", &tree], &run[..]].concat());
        assert_eq!(status, Some(1), "{said}");
        assert!(expected.iter().all(|part| said.contains(part)), "{said}");
        let (status, said) = plugin(&[&["bench", "--seconds", "0"], &run[..]].concat());
        assert!(status == Some(1) && said.contains("cannot be measured"), "{said}");
    }
}

#[test]
fn a_file_is_looked_into_whatever_it_is() {
    let root = tempfile::tempdir().expect("a folder");
    let inspect = |bytes: &[u8]| {
        let file = write(root.path(), "file", bytes);
        plugin(&["inspect", &file.display().to_string()])
    };
    let (status, said) = inspect(&fs::read(BUNDLED).expect("the bundled plugin"));
    assert_eq!(status, Some(0), "{said}");
    for part in [
        ": a core module of ",
        "digest    sha256:",
        "contract  riposte:plugin@0.1.0",
        "plugin    scale-to-zero 0.1.0: ",
        "events    falco.rule.output.v1",
        "(desired-state.owner)",
        "asks for  kinds: [apps/v1/Deployment]\n          fields: [/spec/replicas]\n",
        "\"rules\"",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (status, said) = inspect(&component(&module("(i32.const 128)", "")));
    assert!(status == Some(0) && said.contains(": a component of "), "{said}");
    assert!(said.contains("may       ") && said.contains("(log.emit)"), "{said}");
    assert!(said.contains("asks for  no grants\n"), "{said}");
    let isolate = fs::read(Path::new(env!("OUT_DIR")).join("isolate.wasm")).expect("the bundled plugin");
    let (_, said) = inspect(&isolate);
    let asked = "asks for  kinds: [networking.k8s.io/v1/NetworkPolicy]\n          create: true\n";
    assert!(said.contains(asked), "{said}");
    let clock = wat::parse_str(r#"(component (import "wasi:clocks/wall-clock@0.3.0" (instance)))"#).unwrap();
    for (bytes, expected) in [
        (&b"#!/bin/sh"[..], "file.wasm"),
        (&wat::parse_str("(module)").unwrap(), "does not follow the contract riposte:plugin@0.1.0"),
        (&clock, "imports wasi:clocks/wall-clock@0.3.0"),
    ] {
        let (status, said) = inspect(bytes);
        assert!(status == Some(1) && said.contains(expected), "{said}");
    }
    let (status, said) = plugin(&["inspect", "nowhere.wasm"]);
    assert!(status == Some(2) && said.contains("nowhere.wasm"), "{said}");
}

#[test]
fn the_bench_stands_the_gateway_beside_wasmtime() {
    let folder = workspace().join("plugins/scale-to-zero").display().to_string();
    let (status, said) = plugin(&["bench", "--seconds", "0", "--path", &folder, "--file", BUNDLED]);
    assert_eq!(status, Some(0), "{said}");
    for part in ["Scale default/web to 0", "load ", "in the gateway ", "wasmtime alone", "ratio at p50 "] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_new_plugin_has_the_sdk_of_this_program_and_settings_that_the_gateway_takes() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("made");
    let path = folder.display().to_string();
    let (status, said) = plugin(&["new", "shell-alert", "--path", &path]);
    assert_eq!(status, Some(0), "{said}");
    let text =
        |path: &str| fs::read_to_string(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let settings: PluginConfig = serde_yaml::from_str(&text("plugin.yaml")).expect("an entry of `plugins`");
    assert_eq!(settings.name, "shell-alert");
    assert!(text("Cargo.toml").contains("name = \"shell-alert\""), "{}", text("Cargo.toml"));
    for file in ["Cargo.toml", "README.md", "plugin.yaml", "src/lib.rs"] {
        assert!(!text(file).contains("__"), "{file} holds a place that is not filled");
    }
    for file in ["sdk/src/lib.rs", "sdk/macros/src/lib.rs", "sdk/wit/plugin.wit", "sdk/Cargo.toml", "LICENSE"]
    {
        let ours = fs::read_to_string(workspace().join(file)).expect("the sdk");
        assert_eq!(text(&format!("vendor/{file}")), ours, "{file}");
    }
    let code = text("src/lib.rs");
    let shown = &code[code.find("/// Which alerts").unwrap()..code.find("#[cfg(test)]").unwrap()];
    let guide = fs::read_to_string(workspace().join("docs/plugins.md")).expect("the guide");
    assert!(guide.contains(shown.trim_end()), "docs/plugins.md shows another plugin than this:\n{shown}");
    for case in ["urgent", "no-pod"] {
        assert!(text(&format!("tests/cases/{case}/decision.yaml")).starts_with("decision: "), "{case}");
    }
    let (status, said) = plugin(&["new", "shell-alert", "--path", &path]);
    assert!(status == Some(2) && said.contains("is there already"), "{said}");
    for name in ["", "Shell", "1st", "a_b", "a--b", "a-", "../up", "match", "test", &"a".repeat(65)] {
        let (status, said) = plugin(&["new", name, "--path", &format!("{path}-2")]);
        assert!(status == Some(2) && said.contains("take"), "{name:?}: {said}");
    }
}
