//! The configured plugins, loaded and ready.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bare::Bare;
use super::component::{component, digest};
use super::engine::{Engine, MEMORY_BYTES_CEILING};
use super::failure::Failure;
use super::inspection::requested;
use super::sandbox::{Dispatched, REASON_BYTES_MAX, Sandbox, Trial};
use super::schema;
use super::subscription::Filter;
use crate::model::event::Event;
use crate::model::plugin::{Description, Grants, Mode, PluginIdentity};
use crate::model::text::cut;
use crate::snapshot::Snapshot;

/// Plugins that come with the gateway.
pub(super) const BUNDLED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// One plugin of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginConfig {
    /// A name of its own: in the journal, in commits, in metrics.
    pub name: String,
    /// `bundled:NAME` or `file:PATH`.
    pub source: String,
    /// `sha256:…` of the file; a plugin with another digest is refused.
    #[serde(default)]
    pub digest: Option<String>,
    /// What is done with its proposals.
    #[serde(default = "observe")]
    pub mode: Mode,
    /// Whether its proposals are committed at once, with all that waits.
    #[serde(default)]
    pub urgent: bool,
    /// The events it gets; any of these. Without one: the event types the plugin names.
    #[serde(default)]
    pub subscriptions: Vec<Filter>,
    /// What it may change. Nothing, unless granted.
    #[serde(default)]
    pub grants: Grants,
    /// Its configuration, which it checks itself.
    #[serde(default = "empty_object")]
    pub config: serde_json::Value,
    /// Its commits are taken back by the gateway after so many seconds, 30 days at most, unless a proposal
    /// says for itself; never, unless told.
    #[serde(default)]
    pub expires_after_s: Option<u32>,
    /// Its limits.
    #[serde(default)]
    pub limits: Limits,
}

fn observe() -> Mode {
    Mode::Observe
}

fn empty_object() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

/// What a plugin may use for one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Units of computation.
    pub fuel: u64,
    /// Time in the guest, in milliseconds.
    pub guest_time_ms: u64,
    /// Time of the whole invocation, in milliseconds.
    pub invocation_ms: u64,
    /// Linear memory, in bytes; 256 MiB at most.
    pub memory_bytes_max: usize,
    /// Elements of a table.
    pub table_elements_max: usize,
    /// Bytes the host allocates for a guest's arguments and results.
    pub host_call_bytes_max: usize,
    /// Lines it logs.
    pub log_lines_max: usize,
    /// Bytes of a logged line; the rest is cut off.
    pub log_line_bytes_max: usize,
    /// Bytes of all logged lines.
    pub log_bytes_max: usize,
    /// Look-ups in the desired state.
    pub lookups_max: usize,
    /// Patches of a proposal.
    pub patches_max: usize,
    /// Bytes of a decision.
    pub decision_bytes_max: usize,
    /// Bytes of the plugin's file.
    pub component_bytes_max: usize,
    /// Time of a processor to compile it, in seconds.
    pub compile_cpu_s: u64,
    /// Memory to compile it, in bytes.
    pub compile_memory_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 250_000_000,
            guest_time_ms: 100,
            invocation_ms: 2_000,
            memory_bytes_max: 32 << 20,
            table_elements_max: 10_000,
            host_call_bytes_max: 2 << 20,
            log_lines_max: 200,
            log_line_bytes_max: 4 << 10,
            log_bytes_max: 64 << 10,
            lookups_max: 256,
            patches_max: 64,
            decision_bytes_max: 512 << 10,
            component_bytes_max: 4 << 20,
            compile_cpu_s: 30,
            compile_memory_bytes_max: 2 << 30,
        }
    }
}

/// A plugin that is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Two plugins have one name.
    #[error("two plugins are named {0}; give each a name of its own")]
    Twice(String),
    /// The source names nothing.
    #[error("plugin {plugin}: cannot load {from}: {reason}")]
    Source {
        /// The plugin.
        plugin: String,
        /// The source as configured.
        from: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is another one than the configuration pins.
    #[error("plugin {plugin}: its digest is {found}, and {pinned} is pinned")]
    Digest {
        /// The plugin.
        plugin: String,
        /// The configured digest.
        pinned: String,
        /// The file's.
        found: String,
    },
    /// The file is no plugin.
    #[error("plugin {plugin}: {reason}")]
    Invalid {
        /// The plugin.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// It could not be compiled within its limits.
    #[error("plugin {plugin}: it cannot be compiled: {reason}")]
    Compiler {
        /// The plugin.
        plugin: String,
        /// Why, and what to do.
        reason: String,
    },
    /// It wants what it is not granted.
    #[error("plugin {plugin}: it imports {imports}, which its grants.imports do not name")]
    WithheldImport {
        /// The plugin.
        plugin: String,
        /// The imports as the configuration names them.
        imports: String,
    },
    /// It wants what no plugin gets.
    #[error("plugin {plugin}: it imports {imports}, which no plugin is given (denied-import)")]
    DeniedImport {
        /// The plugin.
        plugin: String,
        /// The imports.
        imports: String,
    },
    /// It failed while it was asked about itself.
    #[error("plugin {plugin}: it failed at load ({}): {failure}", failure.kind())]
    Failed {
        /// The plugin.
        plugin: String,
        /// How.
        failure: Failure,
    },
    /// It does not accept its configuration.
    #[error("plugin {plugin}: it refuses its configuration: {reason}")]
    Config {
        /// The plugin.
        plugin: String,
        /// Why, in the plugin's words.
        reason: String,
    },
}

/// A loaded plugin.
#[derive(Debug, Clone)]
pub struct Plugin {
    identity: PluginIdentity,
    description: Description,
    mode: Mode,
    is_urgent: bool,
    subscriptions: Vec<Filter>,
    grants: Grants,
    config: serde_json::Value,
    config_text: String,
    expires_after_s: Option<u32>,
    pub(super) sandbox: Sandbox,
}

impl Plugin {
    pub(super) fn load(engine: &Engine, config: &PluginConfig) -> Result<Self, LoadError> {
        let plugin = || config.name.clone();
        let bytes = read_source(config)?;
        let found = digest(&bytes);
        if let Some(pinned) = config.digest.clone().filter(|pinned| *pinned != found) {
            return Err(LoadError::Digest { plugin: plugin(), pinned, found });
        }
        if config.limits.memory_bytes_max > MEMORY_BYTES_CEILING {
            let reason = format!("limits.memoryBytesMax is {MEMORY_BYTES_CEILING} at most");
            return Err(LoadError::Invalid { plugin: plugin(), reason });
        }
        let component = component(engine, &config.name, &bytes, &config.limits, &config.grants.imports)?;
        let sandbox = Sandbox::new(&config.name, engine, &component, config.limits.clone())?;
        let failed = |failure| LoadError::Failed { plugin: plugin(), failure };
        let said = sandbox.describe().map_err(failed)?;
        let config_text = accepted(&sandbox, &config.name, &said.config_schema, &config.config)?;
        let subscriptions = match &config.subscriptions[..] {
            [] => vec![Filter::Any(said.event_types.iter().map(|name| of_type(name)).collect())],
            filters => filters.to_vec(),
        };
        Ok(Self {
            identity: PluginIdentity {
                name: config.name.clone(),
                digest: found,
                config_digest: digest(config_text.as_bytes()),
            },
            description: Description {
                name: said.name,
                version: said.version,
                summary: said.summary,
                config_schema: said.config_schema,
                grants: requested(said.grants),
            },
            mode: config.mode,
            is_urgent: config.urgent,
            subscriptions,
            grants: config.grants.clone(),
            config: config.config.clone(),
            config_text,
            expires_after_s: config.expires_after_s,
            sandbox,
        })
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// Which code with which configuration.
    #[must_use]
    pub fn identity(&self) -> &PluginIdentity {
        &self.identity
    }

    /// What it says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What is done with its proposals.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether its proposals do not wait for others.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// What it may change.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &serde_json::Value {
        &self.config
    }

    /// After how many seconds its commits are taken back, where a proposal does not say.
    #[must_use]
    pub fn expires_after_s(&self) -> Option<u32> {
        self.expires_after_s
    }

    /// Whether the event is for it.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.subscriptions.iter().any(|filter| filter.matches(event))
    }

    /// The limits of an invocation.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.sandbox.limits
    }

    /// The same plugin with another configuration, without being compiled again.
    ///
    /// # Errors
    /// When it does not accept the configuration.
    pub fn reconfigured(&self, config: serde_json::Value) -> Result<Self, LoadError> {
        let (name, schema) = (&self.identity.name, &self.description.config_schema);
        let config_text = accepted(&self.sandbox, name, schema, &config)?;
        let identity =
            PluginIdentity { config_digest: digest(config_text.as_bytes()), ..self.identity.clone() };
        Ok(Self { identity, config, config_text, ..self.clone() })
    }

    /// Lets it decide and says what that took. Blocks for as long as the guest runs.
    #[must_use]
    pub fn trial(&self, event: &Event, snapshot: Arc<Snapshot>) -> Trial {
        self.sandbox.trial(event, &self.config_text, snapshot)
    }

    /// Its guest without the sandbox, to measure the sandbox by.
    #[must_use]
    pub fn bare(&self, event: &Event, snapshot: Arc<Snapshot>) -> Bare {
        Bare::new(self.sandbox.clone(), event, self.config_text.clone(), snapshot)
    }

    /// Lets it decide, in a fresh instance, at the snapshot's commit. Blocks for as long as the guest runs:
    /// that is shorter than the way to another thread and back.
    ///
    /// # Errors
    /// A [`Failure`] with its kind; other plugins and the next event are not touched.
    pub fn handle(&self, event: &Event, snapshot: Arc<Snapshot>) -> Result<Dispatched, Failure> {
        self.sandbox.handle(event, &self.config_text, snapshot)
    }
}

/// The configuration's text, if the plugin and the schema that it publishes accept it.
fn accepted(
    sandbox: &Sandbox,
    plugin: &str,
    schema_text: &str,
    config: &serde_json::Value,
) -> Result<String, LoadError> {
    let text = config.to_string();
    sandbox
        .validate_config(&text)
        .map_err(|failure| LoadError::Failed { plugin: plugin.to_owned(), failure })?
        .and_then(|()| schema::check(schema_text, config))
        .map_err(|reason| LoadError::Config {
            plugin: plugin.to_owned(),
            reason: cut(reason, REASON_BYTES_MAX),
        })?;
    Ok(text)
}

fn of_type(name: &str) -> Filter {
    Filter::Exact([("type".to_owned(), name.to_owned())].into())
}

fn read_source(config: &PluginConfig) -> Result<Vec<u8>, LoadError> {
    let failed = |reason: String| LoadError::Source {
        plugin: config.name.clone(),
        from: config.source.clone(),
        reason,
    };
    if let Some(name) = config.source.strip_prefix("bundled:") {
        let found = BUNDLED.iter().find(|(bundled, _)| *bundled == name);
        return found.map(|(_, bytes)| bytes.to_vec()).ok_or_else(|| {
            let known: Vec<&str> = BUNDLED.iter().map(|(bundled, _)| *bundled).collect();
            failed(format!("no such plugin is bundled; there are {}", known.join(", ")))
        });
    }
    let Some(path) = config.source.strip_prefix("file:").map(PathBuf::from) else {
        return Err(failed("a source is bundled:NAME or file:PATH".to_owned()));
    };
    let size = std::fs::metadata(&path).map_err(|error| failed(error.to_string()))?.len();
    if usize::try_from(size).is_ok_and(|size| size > config.limits.component_bytes_max) {
        let most = config.limits.component_bytes_max;
        return Err(failed(format!("it has {size} bytes, and limits.componentBytesMax is {most}")));
    }
    std::fs::read(&path).map_err(|error| failed(error.to_string()))
}

/// All configured plugins.
#[derive(Debug)]
pub struct Catalog {
    plugins: Vec<Arc<Plugin>>,
    /// Why a plugin is not the one that is configured, by its name.
    problems: BTreeMap<String, String>,
}

impl Catalog {
    /// Loads every plugin, or says what is wrong with each that cannot be.
    ///
    /// # Errors
    /// One error a plugin that is refused.
    pub fn load(engine: &Engine, configs: &[PluginConfig]) -> Result<Self, Vec<LoadError>> {
        let mut plugins: Vec<Arc<Plugin>> = Vec::with_capacity(configs.len());
        let mut errors = Vec::new();
        for config in configs {
            if plugins.iter().any(|plugin| plugin.name() == config.name) {
                errors.push(LoadError::Twice(config.name.clone()));
                continue;
            }
            match Plugin::load(engine, config) {
                Ok(plugin) => plugins.push(Arc::new(plugin)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self::renewed(plugins, BTreeMap::new())) } else { Err(errors) }
    }

    /// A catalog of one.
    #[must_use]
    pub fn of(plugin: Plugin) -> Self {
        Self::renewed(vec![Arc::new(plugin)], BTreeMap::new())
    }

    pub(super) fn renewed(plugins: Vec<Arc<Plugin>>, problems: BTreeMap<String, String>) -> Self {
        Self { plugins, problems }
    }

    /// Why the plugin that runs is not the one that is configured, if it is not.
    #[must_use]
    pub fn problem(&self, name: &str) -> Option<&str> {
        self.problems.get(name).map(String::as_str)
    }

    /// The names of plugins that could not be loaded anew.
    pub fn stale(&self) -> impl Iterator<Item = &str> {
        self.problems.keys().map(String::as_str)
    }

    /// In the order of the configuration.
    #[must_use]
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// The plugin of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.plugins.iter().find(|plugin| plugin.name() == name)
    }
}
