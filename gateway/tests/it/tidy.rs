//! The structure, held by a test: layers, the owners of heavy crates, `//!`, sizes.

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 500;

/// A module may import those of its own rank or below; a rank is written on each line.
const LAYERS: [(&str, u8); 23] = [
    ("model", 0),
    ("clock", 0),
    ("crash_point", 0),
    ("shutdown", 0),
    ("telemetry", 0),
    ("edit", 1),
    ("receive", 1),
    ("record", 2),
    ("snapshot", 2),
    ("repository", 3),
    ("dispatch", 4),
    ("validate", 5),
    ("commit", 6),
    ("pipeline", 7),
    ("replay", 8),
    ("api", 9),
    ("worker", 9),
    ("server", 10),
    ("config", 11),
    ("gateway", 12),
    ("cli", 13),
    ("lib", 14),
    ("main", 14),
];

/// Stages: only `pipeline` may name two of them.
const STAGES: [&str; 5] = ["receive", "record", "dispatch", "validate", "commit"];

/// Heavy crates and the modules that may name them.
const OWNERS: [(&str, &[&str]); 7] = [
    ("sqlx", &["record"]),
    ("wasmtime", &["dispatch"]),
    ("wit_component", &["dispatch"]),
    ("git2", &["repository"]),
    ("octocrab", &["repository"]),
    ("yaml_edit", &["edit"]),
    ("k8s_openapi", &["validate"]),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every source of the gateway: its top-level module, its path below `src`, its text.
fn gateway() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let read = |path: &PathBuf| {
        let below = path.strip_prefix(&root).expect("below src").to_owned();
        let first = below.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        (first.trim_end_matches(".rs").to_owned(), below, fs::read_to_string(path).expect("a text"))
    };
    paths.iter().map(read).collect()
}

/// The code without comments and unit tests: prose and tests may name what code may not.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules that a text names by `crate::`, in plain and in grouped imports.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in code(text).split("crate::").skip(1) {
        if let Some(group) = part.strip_prefix('{') {
            let group = group.split(';').next().unwrap_or_default();
            let names = group.split(|character: char| {
                !(character.is_alphanumeric() || character == '_' || character == ':')
            });
            found.extend(names.filter_map(|name| name.split("::").next()).map(str::to_owned));
        } else {
            let name: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push(name);
        }
    }
    found.retain(|name| LAYERS.iter().any(|(layer, _)| layer == name));
    found
}

fn rank(module: &str) -> u8 {
    let found = LAYERS.iter().find(|(name, _)| *name == module);
    found.unwrap_or_else(|| panic!("{module} has no rank in LAYERS")).1
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for (module, path, text) in gateway() {
        for import in imports(&text) {
            if rank(&import) > rank(&module) {
                wrong.push(format!("{} imports {import}, which stands above it", path.display()));
            }
            if rank(&module) == 0 && import != module {
                wrong.push(format!("{} is a leaf and imports {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_pipeline_joins_stages_that_act() {
    // A later stage may use an earlier one's values; what it may not do is call a stage that acts.
    let acts =
        ["receive::decode(", "validate::validate(", "commit::commit(", "commit::propose(", "notify::notify("];
    for (module, path, text) in gateway() {
        for act in acts {
            let stage = act.split("::").next().expect("a stage");
            if code(&text).contains(act) && module != "pipeline" && module != stage {
                panic!("{} calls {act}…), which is the pipeline's business", path.display());
            }
        }
    }
    assert!(STAGES.iter().all(|stage| LAYERS.iter().any(|(name, _)| name == stage)));
}

#[test]
fn heavy_crates_have_one_owner() {
    let mut wrong = Vec::new();
    for (module, path, text) in gateway() {
        for (heavy, owners) in OWNERS {
            let named = code(&text).contains(&format!("{heavy}::"));
            if named && !owners.contains(&module.as_str()) {
                wrong.push(format!("{} names {heavy}, which belongs to {owners:?}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_gateway_never_imports_the_sdk_or_a_plugin() {
    let plugins = fs::read_dir(workspace().join("plugins")).expect("the plugins");
    let plugins =
        plugins.map(|entry| entry.expect("an entry").file_name().to_string_lossy().replace('-', "_"));
    let mut never: Vec<String> = plugins.map(|name| format!("use {name}::")).collect();
    never.extend(["riposte_sdk".to_owned(), "riposte_responses".to_owned()]);
    for (_, path, text) in gateway() {
        let found = never.iter().find(|name| code(&text).contains(*name));
        assert_eq!(found, None, "{}", path.display());
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_small() {
    let mut paths = Vec::new();
    for part in ["gateway", "sdk", "plugins"] {
        sources(&workspace().join(part), &mut paths);
    }
    assert!(paths.len() > 40, "only {} files were found", paths.len());
    let mut wrong = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a text");
        if !text.starts_with("//! ") {
            wrong.push(format!("{} does not open with //!", path.display()));
        }
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{} has {lines} lines", path.display()));
        }
        for mark in [
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
            concat!("#[", "ignore"),
            concat!("unwrap_or_else(|_|", " panic"),
        ] {
            if text.contains(mark) {
                wrong.push(format!("{} holds {mark}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
