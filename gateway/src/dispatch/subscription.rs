//! Which events a plugin gets.
//!
//! Specification: the filter dialects of the CloudEvents Subscriptions API 1.0. A filter that names
//! an attribute the event does not have does not match.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::event::Event;

/// One filter. Attributes are those of the event, extensions among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Filter {
    /// Every named attribute has exactly this value.
    Exact(BTreeMap<String, String>),
    /// Every named attribute begins so.
    Prefix(BTreeMap<String, String>),
    /// Every named attribute ends so.
    Suffix(BTreeMap<String, String>),
    /// Every one of these matches.
    All(Vec<Filter>),
    /// At least one of these matches.
    Any(Vec<Filter>),
    /// This one does not match.
    Not(Box<Filter>),
}

impl Filter {
    /// Whether the event passes.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.matches_by(&|name| Self::attribute(event, name))
    }

    /// Whether what these names stand for passes.
    #[must_use]
    pub fn matches_by(&self, find: &dyn Fn(&str) -> Option<String>) -> bool {
        let each = |wanted: &BTreeMap<String, String>, test: fn(&str, &str) -> bool| {
            wanted.iter().all(|(name, value)| find(name).is_some_and(|found| test(&found, value)))
        };
        match self {
            Self::Exact(wanted) => each(wanted, |found, value| found == value),
            Self::Prefix(wanted) => each(wanted, |found, value| found.starts_with(value)),
            Self::Suffix(wanted) => each(wanted, |found, value| found.ends_with(value)),
            Self::All(filters) => filters.iter().all(|filter| filter.matches_by(find)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches_by(find)),
            Self::Not(filter) => !filter.matches_by(find),
        }
    }

    /// An attribute of an event, extensions among them.
    #[must_use]
    pub fn attribute(event: &Event, name: &str) -> Option<String> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        match name {
            "id" => owned(Some(event.id())),
            "source" => owned(Some(event.source())),
            "type" => owned(Some(event.event_type())),
            "specversion" => owned(Some("1.0")),
            "subject" => owned(event.subject()),
            "time" => owned(event.time()),
            "dataschema" => owned(event.dataschema()),
            "datacontenttype" => owned(event.datacontenttype()),
            extension => event.extensions().remove(extension),
        }
    }
}
