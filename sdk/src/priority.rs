//! How urgent an alert is.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How urgent Falco says an alert is; later ones are more urgent.
///
/// A configuration can have one, by the names that Falco uses:
///
/// ```
/// use riposte_sdk::prelude::*;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Config {
///     #[serde(default = "error")]
///     at_least: Priority,
/// }
///
/// fn error() -> Priority {
///     Priority::Error
/// }
///
/// fn urgent(alert: &Falco, config: &Config) -> Result<bool, Stop> {
///     Ok(alert.priority()? >= config.at_least)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Priority {
    /// For whoever writes rules.
    Debug,
    /// Worth knowing.
    Informational,
    /// Unusual.
    Notice,
    /// Perhaps wrong.
    Warning,
    /// Wrong.
    Error,
    /// Very wrong.
    Critical,
    /// Act now.
    Alert,
    /// The system is unusable.
    Emergency,
}

impl Priority {
    /// Reads a priority in any case; `None` for a text that is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "debug" => Self::Debug,
            "informational" | "info" => Self::Informational,
            "notice" => Self::Notice,
            "warning" => Self::Warning,
            "error" => Self::Error,
            "critical" => Self::Critical,
            "alert" => Self::Alert,
            "emergency" => Self::Emergency,
            _ => return None,
        })
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
