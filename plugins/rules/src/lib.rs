//! Responses without code: the configuration has rules, and the first one that matches an alert says
//! what is done to the workload that owns the alert's pod.
//!
//! What a rule can ask is in [`matching`] and [`text`], what it can do in [`action`]. Whatever the type
//! of the configuration cannot say is refused when the plugin is loaded, with the rule's name.

pub mod action;
mod facts;
pub mod given;
mod glob;
pub mod matching;
pub mod text;

use std::collections::BTreeSet;

use riposte_sdk::prelude::*;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

use action::Action;
use facts::Facts;
use matching::Match;

/// Rules that an ignore names at most.
const TRIED_MAX: usize = 20;

/// Which alerts lead to which response.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Tried in their order; the first one that matches wins.
    #[serde(deserialize_with = "each_by_its_name")]
    #[schemars(length(min = 1))]
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Names it in reasons and commits; no other rule has it.
    #[schemars(length(min = 1))]
    name: String,
    /// Which alerts it is for.
    #[serde(rename = "match")]
    when: Match,
    /// What is done.
    #[serde(deserialize_with = "action::by_name_or_with_options")]
    action: Action,
}

/// An error in a rule says in which one.
fn each_by_its_name<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Rule>, D::Error> {
    let read = |(index, rule): (usize, Value)| {
        let name = rule.text_at("/name").map_or(format!("rules[{index}]"), |name| format!("rule {name:?}"));
        serde_json::from_value(rule).map_err(|error| D::Error::custom(format!("{name}: {error}")))
    };
    Vec::<Value>::deserialize(from)?.into_iter().enumerate().map(read).collect()
}

fn validate(config: &Config) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for Rule { name, when, action } in &config.rules {
        if !names.insert(name) {
            return Err(format!("two rules are named {name:?}: give one of them another name"));
        }
        when.check("match")
            .and_then(|()| action.check())
            .map_err(|error| format!("rule {name:?}: {error}"))?;
    }
    Ok(())
}

/// Responds by the first rule of the configuration that matches an alert
#[plugin(on = "falco.rule.output.v1", validate = validate)]
pub fn rules(alert: Falco, config: &Config, context: &Context) -> Answer {
    let facts = Facts::new(&alert, context);
    let mut tried = Vec::new();
    for rule in &config.rules {
        match rule.when.mismatch(&facts) {
            None => return respond(rule, &alert, context),
            Some(key) => tried.push(format!("{:?} ({key})", rule.name)),
        }
    }
    let more = tried.len().saturating_sub(TRIED_MAX);
    tried.truncate(TRIED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    ignore!("no rule matches: tried {}{more}", tried.join(", "))
}

fn respond(Rule { name, action, .. }: &Rule, alert: &Falco, context: &Context) -> Answer {
    let response = action.response(alert, context).map_err(|stop| match stop {
        Stop::Ignore(reason) => Stop::Ignore(format!("rule {name:?} matches: {reason}")),
        other => other,
    })?;
    let cause = response.cause(alert)?;
    response.because(format!("{cause}, by rule {name:?}")).into()
}
