//! Builds the bundled plugins for wasm32, so that the gateway needs no second command.
//!
//! The same cargo builds them into a target directory of their own: the outer build holds the lock
//! of its own directory while this runs.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
/// A small stack and a small first memory make a fresh instance cheap.
const LINK_FLAGS: &str = "-Clink-arg=-zstack-size=65536 -Clink-arg=--initial-memory=262144";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let gateway = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let workspace = gateway.parent().ok_or("the gateway lies in a workspace")?;
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let target = out.ancestors().nth(4).ok_or("OUT_DIR lies in a target directory")?.join("plugins");
    for watched in [
        "sdk/src",
        "sdk/wit",
        "sdk/Cargo.toml",
        "sdk/macros",
        "plugins",
        "Cargo.lock",
        "Cargo.toml",
        "migrations",
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(watched).display());
    }
    if !build(workspace, &target)? {
        add_target(workspace)?;
        if !build(workspace, &target)? {
            return Err("the bundled plugins do not build; see above".into());
        }
    }
    let built = target.join(TARGET).join("plugin/scale_to_zero.wasm");
    std::fs::copy(&built, out.join("scale_to_zero.wasm"))?;
    Ok(())
}

fn build(workspace: &Path, target: &Path) -> Result<bool, Box<dyn Error>> {
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .current_dir(workspace)
        .args(["build", "--locked", "--package", "scale-to-zero", "--profile", "plugin", "--target", TARGET])
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
