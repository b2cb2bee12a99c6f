//! `riposte plugin build`: cargo, the flags that make a guest small and quick to start, and the
//! wrapping into a component.
//!
//! Flags of the author's own (`.cargo/config.toml`, `RUSTFLAGS`) are kept, and hold where they say
//! otherwise: ours are only added to the last link.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::Value;

use super::{cannot, engine, no, not_loaded, read, thousands};
use crate::cli::CommandError;
use crate::dispatch::{component_of, inspect};

/// What guests are compiled for.
const TARGET: &str = "wasm32-unknown-unknown";
/// A small stack makes a fresh instance cheap: its memory is cleared for each event.
const LINK_FLAGS: [&str; 1] = ["-Clink-arg=-zstack-size=65536"];
/// The profile that the plugin's `Cargo.toml` defines.
const PROFILE: &str = "plugin";

/// Build a plugin's folder into the file that the gateway loads.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// The plugin's folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    path: PathBuf,
}

/// What was built.
#[derive(Debug)]
pub(super) struct Built {
    /// The component.
    pub(super) path: PathBuf,
    bytes: Vec<u8>,
}

impl Build {
    pub(super) fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let built = build(&self.path)?;
        let name = built.path.file_stem().unwrap_or_default().to_string_lossy();
        let found = inspect(&engine()?, &name, &built.bytes).map_err(|error| not_loaded(&error))?;
        writeln!(out, "built    {}", built.path.display())?;
        writeln!(out, "size     {} bytes", thousands(built.bytes.len() as u64))?;
        writeln!(out, "digest   {}", found.digest)?;
        writeln!(out, "imports  {}", found.imports.join(", "))?;
        Ok(())
    }
}

/// Builds the crate in a folder and writes the component to `riposte/NAME.wasm` in cargo's target
/// directory.
pub(super) fn build(folder: &Path) -> Result<Built, CommandError> {
    if !folder.join("Cargo.toml").is_file() {
        let folder = folder.display();
        return Err(cannot(format!("{folder} has no Cargo.toml: name a plugin's folder with --path")));
    }
    ensure_target(folder)?;
    let module = compile(folder)?;
    // <target>/wasm32-unknown-unknown/plugin/NAME.wasm
    let (Some(name), Some(target)) = (module.file_stem(), module.ancestors().nth(3)) else {
        return Err(no(format!("cargo named {}, which is no file of a build", module.display())));
    };
    let name = name.to_string_lossy().replace('_', "-");
    let bytes = read(&module)?;
    let bytes = component_of(&bytes).map_err(|reason| no(format!("plugin {name}: {reason}")))?.into_owned();
    let path = target.join("riposte").join(format!("{name}.wasm"));
    std::fs::create_dir_all(target.join("riposte"))?;
    std::fs::write(&path, &bytes)?;
    Ok(Built { path, bytes })
}

/// Runs cargo, which shows what it does on standard error; the core module that it made.
fn compile(folder: &Path) -> Result<PathBuf, CommandError> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(folder)
        .args(["rustc", "--lib", "--profile", PROFILE, "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics", "--"])
        .args(LINK_FLAGS)
        .stderr(Stdio::inherit());
    let output = cargo.output().map_err(|error| {
        cannot(format!("cargo does not run ({error}): install Rust, for example with rustup"))
    })?;
    if !output.status.success() {
        return Err(no("the plugin does not build; cargo has said why"));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let module = said.lines().rev().find_map(module);
    module.ok_or_else(|| no("cargo made no .wasm file: the crate needs `crate-type = [\"cdylib\", …]`"))
}

/// The `.wasm` file of a line in which cargo tells what it made.
fn module(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
    files.map(PathBuf::from).find(|file| file.extension().is_some_and(|end| end == "wasm"))
}

/// Has rustup add the target where the toolchain of the folder lacks it.
fn ensure_target(folder: &Path) -> Result<(), CommandError> {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(folder).args(["--print", "target-libdir", "--target", TARGET]);
    let asked = rustc.output();
    let asked = asked.map_err(|error| {
        cannot(format!("rustc does not run ({error}): install Rust, for example with rustup"))
    })?;
    let library = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    if asked.status.success() && Path::new(&library).is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup")
        .current_dir(folder)
        .args(["target", "add", TARGET])
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => Err(cannot(format!("this Rust has no target {TARGET}; run: rustup target add {TARGET}"))),
    }
}
