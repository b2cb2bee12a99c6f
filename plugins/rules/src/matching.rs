//! Which alerts a rule is for.
//!
//! Every key that is given has to hold. What an alert does not have holds for none, so `not` of it
//! does, as in subscriptions.

use std::collections::BTreeMap;

use riposte_sdk::prelude::*;
use serde::Deserialize;

use crate::facts::Facts;
use crate::given::Given;
use crate::text::{Text, not_empty};

/// Which alerts a rule is for: all keys that are given have to hold, and there is at least one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("minProperties" = 1))]
pub struct Match {
    /// The Falco rule.
    rule: Given<Text>,
    /// How urgent it is.
    priority: Given<Urgency>,
    /// One of the Falco rule's tags.
    tag: Given<Text>,
    /// Falco's event source, for example `syscall`.
    source: Given<Text>,
    /// The pod's namespace.
    namespace: Given<Text>,
    /// The pod's name.
    pod: Given<Text>,
    /// The container's image.
    image: Given<Text>,
    /// The kind of the object that owns the pod, for example `CronJob`.
    owner_kind: Given<Text>,
    /// Output fields by their names, for example `proc.name`.
    #[schemars(extend("minProperties" = 1))]
    fields: Given<BTreeMap<String, Text>>,
    /// Each of these.
    #[schemars(length(min = 1))]
    all: Given<Vec<Self>>,
    /// At least one of these.
    #[schemars(length(min = 1))]
    any: Given<Vec<Self>>,
    /// Not this.
    not: Given<Box<Self>>,
}

/// From which priority on, and up to which.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("minProperties" = 1))]
pub struct Urgency {
    /// This priority or a more urgent one.
    at_least: Given<Priority>,
    /// This priority or a less urgent one.
    at_most: Given<Priority>,
}

/// A key whose value is one text: its name, what a rule wants, what an alert has.
type Key = (&'static str, fn(&Match) -> Option<&Text>, fn(&Facts<'_>) -> Option<String>);

const KEYS: [Key; 6] = [
    ("rule", |wanted| wanted.rule.get(), |facts| owned(facts.alert.rule())),
    ("source", |wanted| wanted.source.get(), |facts| owned(facts.alert.source())),
    ("namespace", |wanted| wanted.namespace.get(), |facts| owned(facts.alert.namespace())),
    ("pod", |wanted| wanted.pod.get(), |facts| owned(facts.alert.pod())),
    ("image", |wanted| wanted.image.get(), |facts| facts.alert.image().ok()),
    // Last: it alone takes a look-up.
    ("ownerKind", |wanted| wanted.owner_kind.get(), |facts| facts.owner_kind()),
];

fn owned(text: Result<&str, Missing>) -> Option<String> {
    text.ok().map(str::to_owned)
}

impl Match {
    /// Whether it can be used; `path` is where it stands in the rule.
    pub(crate) fn check(&self, path: &str) -> Result<(), String> {
        if self.is_empty() {
            return Err(format!("{path} is empty; to match every alert, write `rule: {{ glob: \"*\" }}`"));
        }
        let said =
            |key: &str, checked: Result<(), String>| checked.map_err(|why| format!("{path}.{key}: {why}"));
        for (key, wanted, _) in KEYS {
            said(key, wanted(self).map_or(Ok(()), Text::check))?;
        }
        said("tag", self.tag.get().map_or(Ok(()), Text::check))?;
        said("priority", self.priority.get().map_or(Ok(()), Urgency::check))?;
        for (name, text) in self.fields.get().into_iter().flatten() {
            said(&format!("fields.{name}"), text.check())?;
        }
        for (key, list) in [("all", &self.all), ("any", &self.any)] {
            let Some(list) = list.get() else { continue };
            said(key, not_empty(list))?;
            for (index, inner) in list.iter().enumerate() {
                inner.check(&format!("{path}.{key}[{index}]"))?;
            }
        }
        self.not.get().map_or(Ok(()), |inner| inner.check(&format!("{path}.not")))
    }

    fn is_empty(&self) -> bool {
        let texts = KEYS.iter().any(|(_, wanted, _)| wanted(self).is_some()) || self.tag.get().is_some();
        let fields = self.fields.get().is_some_and(|fields| !fields.is_empty());
        let inner = self.all.get().is_some() || self.any.get().is_some() || self.not.get().is_some();
        !(texts || fields || inner || self.priority.get().is_some())
    }

    /// The first key that does not hold; `None` when all do.
    pub(crate) fn mismatch(&self, facts: &Facts<'_>) -> Option<String> {
        let alert = facts.alert;
        let priority = |wanted: &Urgency| miss("priority", alert.priority().ok().map(|own| wanted.has(own)));
        let tag = |wanted: &Text| {
            let known = (!alert.tags().is_empty()).then(|| alert.tags().iter());
            miss("tag", known.map(|mut tags| tags.any(|own| wanted.matches(own))))
        };
        let text = |(key, wanted, found): Key| {
            let wanted = wanted(self)?;
            miss(key, found(facts).map(|own| wanted.matches(&own)))
        };
        let field = |(name, wanted): (&String, &Text)| {
            miss(name, alert.field(name).ok().map(|own| wanted.matches_value(own)))
        };
        (self.priority.get().and_then(priority))
            .or_else(|| self.tag.get().and_then(tag))
            .or_else(|| KEYS.into_iter().find_map(text))
            .or_else(|| self.fields.get()?.iter().find_map(field))
            .or_else(|| self.all.get()?.iter().find_map(|inner| inner.mismatch(facts)))
            .or_else(|| {
                let fits = |inner: &Self| inner.mismatch(facts).is_none();
                let none_of_any = self.any.get().is_some_and(|list| !list.iter().any(fits));
                let excluded = self.not.get().is_some_and(|inner| fits(inner));
                none_of_any.then_some("any").or(excluded.then_some("not")).map(str::to_owned)
            })
    }
}

impl Urgency {
    fn check(&self) -> Result<(), String> {
        match (self.at_least.get(), self.at_most.get()) {
            (None, None) => Err("give atLeast, atMost or both".to_owned()),
            (Some(least), Some(most)) if least > most => {
                Err(format!("no priority is at least {least} and at most {most}; exchange them"))
            }
            _ => Ok(()),
        }
    }

    fn has(&self, priority: Priority) -> bool {
        self.at_least.get().is_none_or(|least| priority >= *least)
            && self.at_most.get().is_none_or(|most| priority <= *most)
    }
}

/// The key, unless it holds. An alert that does not have it is not one with another value.
fn miss(key: &str, holds: Option<bool>) -> Option<String> {
    match holds {
        Some(true) => None,
        Some(false) => Some(key.to_owned()),
        None => Some(format!("no {key}")),
    }
}
