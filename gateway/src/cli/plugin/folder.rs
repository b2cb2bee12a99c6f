//! A plugin's folder: `plugin.yaml`, the code, and how it is loaded.
//!
//! `plugin.yaml` is one entry of the gateway's `plugins`, so that what is tested here is what an
//! operator copies. Its source and its digest name a published file; an author runs another one: what
//! cargo builds of the folder or, where another toolchain builds it, the file of that name in the folder.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::{build, cannot, no, not_loaded, read};
use crate::cli::CommandError;
use crate::dispatch::{Catalog, Engine, Plugin, PluginConfig};

/// Which plugin.
#[derive(Debug, Args)]
pub(super) struct Subject {
    /// The plugin's folder, with its `plugin.yaml`.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) path: PathBuf,
    /// Take this `.wasm` file instead of building the folder. A folder without a Cargo.toml is not built:
    /// the file that its `plugin.yaml` names is taken.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Subject {
    /// Builds the folder, unless a file was given, and loads the plugin. `config` replaces the
    /// configuration of `plugin.yaml`.
    pub(super) fn load(&self, engine: &Engine, config: Option<Value>) -> Result<Plugin, CommandError> {
        load(engine, &self.prepare(config)?)
    }

    /// Builds the folder, unless a file was given or cargo does not build it; the entry that loads the
    /// plugin.
    pub(super) fn prepare(&self, config: Option<Value>) -> Result<PluginConfig, CommandError> {
        let mut settings = self.settings()?;
        let code = match (&self.file, settings.source.strip_prefix("file:")) {
            (Some(file), _) => file.clone(),
            (None, Some(file)) if !self.path.join("Cargo.toml").exists() => self.path.join(file),
            (None, _) => build::build(&self.path)?.path,
        };
        settings.source = format!("file:{}", code.display());
        settings.digest = None;
        if let Some(config) = config {
            settings.config = config;
        }
        Ok(settings)
    }

    /// `plugin.yaml`; a file alone gets a name and nothing else: no configuration, no grants.
    fn settings(&self) -> Result<PluginConfig, CommandError> {
        let path = self.path.join("plugin.yaml");
        if path.is_file() {
            let settings = serde_path_to_error::deserialize(read_yaml(&path)?);
            return settings.map_err(|error| no(format!("{}: {error}", path.display())));
        }
        let Some(name) = self.file.as_ref().and_then(|file| file.file_stem()) else {
            return Err(cannot(format!(
                "{} has no plugin.yaml: name a plugin's folder with --path, or make one with `riposte plugin new`",
                self.path.display()
            )));
        };
        let settings = serde_json::json!({ "name": name.to_string_lossy(), "source": "file:" });
        Ok(serde_json::from_value(settings)?)
    }

    /// Whether there are grants to check by.
    pub(super) fn has_settings(&self) -> bool {
        self.path.join("plugin.yaml").is_file()
    }
}

/// Loads a plugin as the gateway does.
pub(super) fn load(engine: &Engine, settings: &PluginConfig) -> Result<Plugin, CommandError> {
    let catalog = Catalog::load(engine, std::slice::from_ref(settings));
    let catalog = catalog.map_err(|errors| match &errors[..] {
        [error, ..] => not_loaded(error),
        [] => no("the plugin was not loaded"),
    })?;
    let plugin = catalog.plugins().first().ok_or_else(|| no("the plugin was not loaded"))?;
    Ok(plugin.as_ref().clone())
}

/// A YAML file as JSON.
pub(super) fn read_yaml(path: &Path) -> Result<Value, CommandError> {
    let document = read_document(path)?;
    serde_json::to_value(document).map_err(|error| no(format!("{}: {error}", path.display())))
}

/// A YAML file as YAML, in its order. A key that is given twice is an error.
pub(super) fn read_document(path: &Path) -> Result<serde_yaml::Value, CommandError> {
    let bytes = read(path)?;
    serde_yaml::from_slice(&bytes).map_err(|error| no(format!("{}: {error}", path.display())))
}
