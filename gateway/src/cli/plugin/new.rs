//! `riposte plugin new`: a folder that builds, tests and runs as it is.
//!
//! The sdk is not published yet, so its sources travel in this program and are written beside the new
//! crate. The texts of the folder are under `template/`; only the name is put into them.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::cannot;
use crate::cli::CommandError;

/// The files of the folder, by their paths in it.
const TEMPLATE: [(&str, &str); 12] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    (".cargo/config.toml", include_str!("template/config.toml.in")),
    (".gitignore", include_str!("template/gitignore.in")),
    ("README.md", include_str!("template/README.md.in")),
    ("plugin.yaml", include_str!("template/plugin.yaml.in")),
    ("src/lib.rs", include_str!("template/lib.rs.in")),
    ("tests/cases/urgent/event.json", include_str!("template/cases/urgent/event.json.in")),
    ("tests/cases/urgent/state/web.yaml", include_str!("template/cases/urgent/state/web.yaml.in")),
    ("tests/cases/urgent/decision.yaml", include_str!("template/cases/urgent/decision.yaml.in")),
    ("tests/cases/urgent/expected.diff", include_str!("template/cases/urgent/expected.diff.in")),
    ("tests/cases/no-pod/event.json", include_str!("template/cases/no-pod/event.json.in")),
    ("tests/cases/no-pod/decision.yaml", include_str!("template/cases/no-pod/decision.yaml.in")),
];
/// The sdk's sources, by their paths in `vendor`; `build.rs` collects them.
const VENDOR: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/vendor.rs"));
/// The sdk has the version of the gateway.
const SDK: &str = env!("CARGO_PKG_VERSION");

/// The longest name, in characters.
const NAME_CHARS_MAX: usize = 64;
/// Names that a crate cannot have, or that would shadow what every crate uses.
const TAKEN: [&str; 48] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "riposte-sdk",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "type",
    "unsafe",
    "use",
];

/// Make the folder of a new plugin.
#[derive(Debug, Args)]
pub(super) struct New {
    /// The plugin's name: lower-case letters, digits and `-`.
    name: String,
    /// The folder to make; the name unless told.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

impl New {
    pub(super) fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        check(&self.name)?;
        let folder = self.path.unwrap_or_else(|| PathBuf::from(&self.name));
        if folder.exists() {
            let folder = folder.display();
            return Err(cannot(format!(
                "{folder} is there already: take another name, or a --path that is not"
            )));
        }
        for (path, text) in TEMPLATE {
            write(&folder.join(path), &text.replace("__NAME__", &self.name).replace("__SDK__", SDK))?;
        }
        for (path, text) in VENDOR {
            write(&folder.join("vendor").join(path), text)?;
        }
        let shown = folder.display();
        writeln!(out, "made {shown}: src/lib.rs is the plugin, tests/cases is what it must decide\n")?;
        writeln!(out, "next\n  cd {shown}\n  cargo test\n  riposte plugin test")?;
        Ok(())
    }
}

fn check(name: &str) -> Result<(), CommandError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let starts = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
    if !plain || !starts || name.ends_with('-') || name.contains("--") || name.len() > NAME_CHARS_MAX {
        return Err(cannot(format!(
            "{name:?} cannot be a plugin's name: take lower-case letters, digits and single `-` between them, \
             {NAME_CHARS_MAX} at most, with a letter first"
        )));
    }
    if TAKEN.contains(&name) {
        return Err(cannot(format!(
            "{name:?} means something in Rust: take another name, for example {name}-alert"
        )));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| cannot(format!("cannot write {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}
