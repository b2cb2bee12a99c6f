//! `riposte plugin inspect`: what a file is, read from the file alone.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::{engine, not_loaded, read, thousands};
use crate::cli::CommandError;
use crate::cli::events::indent;
use crate::dispatch::{CONTRACT, Inspection, inspect};
use crate::model::plugin::RequestedGrants;
use crate::model::text::inert;

/// What each function of the contract lets a plugin do.
const CAPABILITIES: [(&str, &str); 5] = [
    ("desired-state.find", "list the objects of a kind"),
    ("desired-state.get", "read the manifest of an object"),
    ("desired-state.owner", "find the object that a pod comes from"),
    ("log.emit", "write lines to the gateway's log"),
    ("wasi", "call a WASI that has no files, network or environment, and the event's time as its clock"),
];

/// Tell what a file is, what it may call and how it is configured.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// A component, or the core module that cargo leaves.
    file: PathBuf,
}

impl Inspect {
    pub(super) fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let bytes = read(&self.file)?;
        let shown = self.file.display().to_string();
        let found = inspect(&engine()?, &shown, &bytes).map_err(|error| not_loaded(&error))?;
        let form = if found.core_module { "core module" } else { "component" };
        writeln!(out, "file      {shown}: a {form} of {} bytes", thousands(bytes.len() as u64))?;
        writeln!(out, "digest    {}", found.digest)?;
        writeln!(out, "contract  {}", CONTRACT)?;
        writeln!(
            out,
            "plugin    {} {}: {}",
            inert(&found.name),
            inert(&found.version),
            inert(&found.summary)
        )?;
        writeln!(out, "events    {}", inert(&found.event_types.join(", ")))?;
        capabilities(out, &found)?;
        grants(out, &found.grants)?;
        writeln!(out, "config")?;
        let schema = serde_json::from_str::<Value>(&found.config_schema);
        let schema = schema.map_or(found.config_schema, |schema| format!("{schema:#}"));
        indent(out, &schema)
    }
}

fn capabilities(out: &mut impl Write, found: &Inspection) -> Result<(), CommandError> {
    let mut title = "may";
    for import in &found.imports {
        let meaning = CAPABILITIES.iter().find(|(function, _)| function == import);
        writeln!(out, "{title:<8}  {} ({import})", meaning.map_or("call", |(_, meaning)| meaning))?;
        title = "";
    }
    if found.imports.is_empty() {
        writeln!(out, "may       nothing but answer")?;
    }
    Ok(())
}

/// What it asks for, as the keys below `grants` in the configuration.
fn grants(out: &mut impl Write, asked: &RequestedGrants) -> Result<(), CommandError> {
    let list = |key: &str, values: &[String]| {
        (!values.is_empty()).then(|| format!("{key}: [{}]", inert(&values.join(", "))))
    };
    let flag = |key: &str, asked: bool| asked.then(|| format!("{key}: true"));
    let lines = [
        list("kinds", &asked.kinds),
        list("fields", &asked.fields),
        flag("create", asked.create),
        flag("delete", asked.delete),
    ];
    let mut title = "asks for";
    for line in lines.into_iter().flatten() {
        writeln!(out, "{title:<8}  {line}")?;
        title = "";
    }
    if *asked == RequestedGrants::default() {
        writeln!(out, "asks for  no grants")?;
    }
    Ok(())
}
