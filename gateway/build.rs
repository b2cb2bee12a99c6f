//! Builds the bundled plugins for wasm32, so that the gateway needs no second command.
//!
//! The same cargo builds them into a target directory of their own: the outer build holds the lock
//! of its own directory while this runs.
//!
//! It also collects the sdk's sources for `riposte plugin new`, which writes them beside a new plugin.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
/// A small stack makes a fresh instance cheap: its memory is cleared for each event.
const LINK_FLAGS: &str = "-Clink-arg=-zstack-size=65536";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let gateway = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let workspace = gateway.parent().ok_or("the gateway lies in a workspace")?;
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let target = out.ancestors().nth(4).ok_or("OUT_DIR lies in a target directory")?.join("plugins");
    for watched in ["sdk", "plugins", "Cargo.lock", "Cargo.toml", "migrations"] {
        println!("cargo::rerun-if-changed={}", workspace.join(watched).display());
    }
    let plugins = plugins(workspace)?;
    if !build(workspace, &target, &plugins)? {
        add_target(workspace)?;
        if !build(workspace, &target, &plugins)? {
            return Err("the bundled plugins do not build; see above".into());
        }
    }
    let built = target.join(TARGET).join("plugin");
    std::fs::write(out.join("bundled.rs"), bundle(&plugins, &built, &out)?)?;
    std::fs::write(out.join("vendor.rs"), vendor(workspace)?)?;
    Ok(())
}

/// The folders of the plugins that ship, which are their packages' names; each has its `plugin.yaml`.
fn plugins(workspace: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(workspace.join("plugins"))? {
        let entry = entry?;
        if entry.path().join("plugin.yaml").is_file() {
            names.push(entry.file_name().into_string().map_err(|_| "a plugin's name is UTF-8")?);
        }
    }
    names.sort();
    Ok(names)
}

/// A Rust array of the plugins: their names and their modules.
fn bundle(plugins: &[String], built: &Path, out: &Path) -> Result<String, Box<dyn Error>> {
    let mut table = String::from("&[\n");
    for name in plugins {
        let file = format!("{}.wasm", name.replace('-', "_"));
        std::fs::copy(built.join(&file), out.join(&file))?;
        table.push_str(&format!(
            "    ({name:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), {:?}))),\n",
            format!("/{file}")
        ));
    }
    table.push_str("]\n");
    Ok(table)
}

/// A Rust array of the sdk's files: their paths and their texts.
fn vendor(workspace: &Path) -> Result<String, Box<dyn Error>> {
    let mut paths = Vec::new();
    sources(&workspace.join("sdk"), &mut paths)?;
    paths.push(workspace.join("LICENSE"));
    paths.sort();
    let mut manifests = String::new();
    let mut table = String::from("&[\n");
    for path in paths {
        let text = std::fs::read_to_string(&path)?;
        if path.ends_with("Cargo.toml") {
            manifests.push_str(&text);
        }
        let below = path.strip_prefix(workspace)?.to_str().ok_or("the sdk's paths are UTF-8")?;
        table.push_str(&format!("    ({below:?}, {text:?}),\n"));
    }
    let manifest = workspace_manifest(&std::fs::read_to_string(workspace.join("Cargo.toml"))?, &manifests);
    table.push_str(&format!("    (\"Cargo.toml\", {manifest:?}),\n]\n"));
    Ok(table)
}

/// The files of a folder that a crate is made of; its tests stay here.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !["tests", "target"].contains(&name) {
            sources(&path, found)?;
        } else if path.is_file() && [".rs", ".toml", ".md", ".wit"].iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
    Ok(())
}

/// What the sdk's manifests take from the workspace's, and nothing of the gateway. Lints are not
/// among it: another compiler has others.
fn workspace_manifest(whole: &str, manifests: &str) -> String {
    let used = |line: &&str| {
        let key = line.split(" = ").next().unwrap_or_default();
        [format!("{key}.workspace = true"), format!("{key} = {{ workspace = true")]
            .iter()
            .any(|taken| manifests.lines().any(|line| line.starts_with(taken)))
    };
    let section = |title: &str| {
        let lines = whole.lines().skip_while(|line| *line != title).skip(1);
        let lines = lines.take_while(|line| !line.starts_with('[')).filter(used);
        lines.fold(format!("\n{title}\n"), |text, line| text + line + "\n")
    };
    format!(
        "# riposte-sdk as it came with `riposte plugin new`.\n[workspace]\nresolver = \"3\"\n\
         members = [\"sdk\", \"sdk/macros\"]\n{}{}\n[workspace.lints]\n",
        section("[workspace.package]"),
        section("[workspace.dependencies]")
    )
}

fn build(workspace: &Path, target: &Path, plugins: &[String]) -> Result<bool, Box<dyn Error>> {
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .current_dir(workspace)
        .args(["build", "--locked", "--profile", "plugin", "--target", TARGET])
        .args(plugins.iter().flat_map(|name| ["--package", name]))
        .arg("--target-dir")
        .arg(target)
        .env("RUSTFLAGS", LINK_FLAGS);
    // What wraps the compiler of the outer build (clippy, say) is not meant for the guests.
    for inherited in ["RUSTC_WORKSPACE_WRAPPER", "CARGO_ENCODED_RUSTFLAGS", "CLIPPY_ARGS", "CARGO_TARGET_DIR"]
    {
        cargo.env_remove(inherited);
    }
    let output = cargo.output()?;
    if output.status.success() {
        return Ok(true);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("E0463") || said.contains("target may not be installed") {
        return Ok(false);
    }
    Err(format!("cargo could not build the bundled plugins:\n{said}").into())
}

fn add_target(workspace: &Path) -> Result<(), Box<dyn Error>> {
    let added = Command::new("rustup").current_dir(workspace).args(["target", "add", TARGET]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("the target {TARGET} is missing; run: rustup target add {TARGET}").into()),
    }
}
