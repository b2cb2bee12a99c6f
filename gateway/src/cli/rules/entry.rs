//! The entry of `plugins` that an import makes, in the order in which people write one.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::action::Needed;
use crate::cli::{CommandError, engine};
use crate::dispatch::Catalog;
use crate::model::text::inert;

/// The entry; it observes until a person says otherwise.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    name: &'static str,
    source: &'static str,
    mode: &'static str,
    subscriptions: Value,
    grants: Grants,
    config: Config,
}

/// The least that the rules need.
#[derive(Debug, Serialize)]
struct Grants {
    kinds: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    fields: BTreeSet<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    create: bool,
}

#[derive(Debug, Serialize)]
struct Config {
    rules: Vec<Rule>,
}

/// A rule of the `rules` plugin.
#[derive(Debug, Serialize)]
pub(super) struct Rule {
    pub(super) name: String,
    #[serde(rename = "match")]
    pub(super) when: Value,
    pub(super) action: Value,
    #[serde(rename = "continue", skip_serializing_if = "std::ops::Not::not")]
    pub(super) go_on: bool,
}

impl Entry {
    /// An entry with these rules; without namespaces it is granted all.
    pub(super) fn new(rules: Vec<Rule>, needed: Needed, namespaces: Option<BTreeSet<String>>) -> Self {
        let Needed { kinds, fields, create } = needed;
        let namespaces = namespaces.unwrap_or_else(|| BTreeSet::from(["*".to_owned()]));
        Self {
            name: "talon",
            source: "bundled:rules",
            mode: "observe",
            subscriptions: json!([{ "exact": { "type": "falco.rule.output.v1" } }]),
            grants: Grants { kinds, namespaces, fields, create },
            config: Config { rules },
        }
    }

    /// Loads it: the plugin has the last word on its configuration, on a label, say, that Kubernetes
    /// would not take.
    ///
    /// # Errors
    /// What the plugin refuses, with the rule's name.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        let entry = serde_json::from_value(serde_json::to_value(self)?)?;
        let errors = Catalog::load(&engine()?, &[entry]).err().unwrap_or_default();
        match errors.first() {
            None => Ok(()),
            Some(error) => Err(CommandError::Failed(inert(&error.to_string()).into())),
        }
    }

    /// A part of `riposte.yaml`.
    pub(super) fn to_yaml(&self) -> Result<String, CommandError> {
        #[derive(Serialize)]
        struct Document<'a> {
            plugins: [&'a Entry; 1],
        }
        Ok(serde_yaml::to_string(&Document { plugins: [self] })?)
    }
}
