//! A Falco alert, typed.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Event, Payload, PluginError};

/// How urgent Falco says it is; later ones are more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// A Falco alert. What Falco left out, or wrote as `null` or `<NA>`, is `None`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Falco {
    /// The rule that fired.
    pub rule: String,
    /// Falco's message.
    pub output: Option<String>,
    /// RFC 3339 with nanoseconds.
    pub time: Option<String>,
    /// Falco's event source, for example `syscall`.
    pub source: Option<String>,
    /// The node.
    pub hostname: Option<String>,
    /// The rule's tags.
    pub tags: Vec<String>,
    priority: Option<String>,
    output_fields: Option<Map<String, Value>>,
}

impl Falco {
    /// Reads the alert in an event's data.
    ///
    /// # Errors
    /// [`PluginError::InvalidEvent`] when the data is not a Falco alert.
    pub fn read(event: &Event) -> Result<Self, PluginError> {
        let Payload::Json(text) = &event.data else {
            return Err(PluginError::InvalidEvent("the data is not JSON".to_owned()));
        };
        serde_json::from_str(text)
            .map_err(|error| PluginError::InvalidEvent(format!("no Falco alert: {error}")))
    }

    /// How urgent it is.
    #[must_use]
    pub fn priority(&self) -> Option<Priority> {
        Priority::parse(self.priority.as_deref()?)
    }

    /// An output field, with integers as they were sent.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        let value = self.output_fields.as_ref()?.get(name)?;
        let empty = value.is_null() || value.as_str().is_some_and(|text| text.is_empty() || text == "<NA>");
        (!empty).then_some(value)
    }

    /// An output field that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.field(name)?.as_str()
    }

    /// The pod's namespace.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        let names = ["k8smeta.ns.name", "k8s.ns.name", "ka.target.namespace"];
        names.iter().find_map(|name| self.text(name))
    }

    /// The pod. An audited object counts only if it is one.
    #[must_use]
    pub fn pod(&self) -> Option<&str> {
        let named = ["k8smeta.pod.name", "k8s.pod.name"].iter().find_map(|name| self.text(name));
        let audited =
            || (self.text("ka.target.resource") == Some("pods")).then(|| self.text("ka.target.name"))?;
        named.or_else(audited)
    }

    /// The Deployment that Falco's k8smeta plugin names, which needs no guess from the pod's name.
    #[must_use]
    pub fn deployment(&self) -> Option<&str> {
        self.text("k8smeta.deployment.name")
    }
}
