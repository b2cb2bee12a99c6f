//! What identifies a plugin in the journal, and how far it may go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the gateway does with a plugin's proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Record what would have been committed, with its diff.
    Observe,
    /// Commit.
    Enforce,
}

impl Mode {
    /// The word the journal, the API and the configuration use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
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
