//! What identifies a plugin in the journal, and how far it may go.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the gateway does with a plugin's proposals.
/// The more careful one is the smaller.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Record what would have been committed, with its diff.
    Observe,
    /// Open a pull request, on GitHub.
    Propose,
    /// Commit.
    Enforce,
}

impl Mode {
    /// The mode of that word; `observe`, which does nothing, for any other.
    #[must_use]
    pub fn of(word: &str) -> Self {
        let known = [Self::Propose, Self::Enforce].into_iter().find(|mode| mode.as_str() == word);
        known.unwrap_or(Self::Observe)
    }

    /// The word the journal, the API and the configuration use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Propose => "propose",
            Self::Enforce => "enforce",
        }
    }
}

/// Which code with which configuration made a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginIdentity {
    /// The name in the gateway's configuration, unique there.
    pub name: String,
    /// `sha256:` and the digest of the component that runs, in hexadecimal.
    pub digest: String,
    /// `sha256:` and the digest of the plugin's configuration as canonical JSON.
    pub config_digest: String,
}

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its own name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// JSON Schema of its configuration, as JSON text.
    pub config_schema: String,
    /// What it asks to be granted.
    pub grants: RequestedGrants,
}

/// What a plugin asks to be granted; where, is the operator's to say. It grants nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RequestedGrants {
    /// Kinds, as `apps/v1/Deployment`.
    pub kinds: Vec<String>,
    /// Fields as JSON pointers, with `*` for one step.
    pub fields: Vec<String>,
    /// Whether it makes objects of these kinds.
    pub create: bool,
    /// Whether it deletes objects of these kinds.
    pub delete: bool,
}

/// What a plugin can call of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Import {
    /// Writing to the gateway's log.
    Log,
    /// Reading all of the desired state.
    DesiredState,
    /// WASI, which is answered and gives nothing.
    Wasi,
}

impl Import {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Log, Self::DesiredState, Self::Wasi];

    /// The word the configuration uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::DesiredState => "desired-state",
            Self::Wasi => "wasi",
        }
    }
}

/// What a plugin may call and change. An empty list grants nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Grants {
    /// Kinds, as `apps/v1/Deployment`, or `Deployment` for any version.
    pub kinds: Vec<String>,
    /// Namespaces: a name, `prefix-*`, or `*` for all.
    pub namespaces: Vec<String>,
    /// Names of objects: a name, `prefix-*`, or `*`. All, unless told.
    pub names: Vec<String>,
    /// Labels that an object has to have, each with a value, `prefix-*`, or `*`. None, unless told.
    pub labels: BTreeMap<String, String>,
    /// Files and folders that an object has to stand in, from the repository's root, with `*` and
    /// `prefix-*` for a step: `apps/shop`, `clusters/*/apps`. All, unless told.
    pub paths: Vec<String>,
    /// Fields as JSON pointers, with `*` for one step: `/spec/replicas`, `/metadata/labels/*`.
    pub fields: Vec<String>,
    /// Whether objects of these kinds and namespaces may be made, with whatever fields.
    pub create: bool,
    /// Whether objects of these kinds and namespaces may be deleted, whatever their fields.
    pub delete: bool,
    /// What it may import; a plugin that imports something else is not loaded. All, unless told.
    pub imports: Vec<Import>,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            kinds: Vec::new(),
            namespaces: Vec::new(),
            names: vec!["*".to_owned()],
            labels: BTreeMap::new(),
            paths: vec!["*".to_owned()],
            fields: Vec::new(),
            create: false,
            delete: false,
            imports: Import::ALL.to_vec(),
        }
    }
}
