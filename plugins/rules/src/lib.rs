//! Responses without code: the configuration has rules, and the first one that matches an alert says
//! what is done to the workload that owns the alert's pod. With `continue` the ones below it may add to
//! that.
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

use riposte_responses::Response;
use riposte_sdk::prelude::*;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

use action::Action;
use facts::Facts;
use matching::Match;

/// Rules that a reason names at most.
const NAMED_MAX: usize = 20;

/// Which alerts lead to which response.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Tried in their order; the first one that matches wins, unless it says `continue`.
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
    /// Once it has matched, the rules below are tried too, and what they do is done as well.
    #[serde(default, rename = "continue")]
    go_on: bool,
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
    for Rule { name, when, action, .. } in &config.rules {
        if !names.insert(name) {
            return Err(format!("two rules are named {name:?}: give one of them another name"));
        }
        when.check("match")
            .and_then(|()| action.check())
            .map_err(|error| format!("rule {name:?}: {error}"))?;
    }
    Ok(())
}

/// What the rules that match come to.
#[derive(Default)]
struct Found<'a> {
    response: Option<Response>,
    /// The rules whose action is done.
    done: Vec<&'a str>,
    /// Why the others that match do nothing.
    not_done: Vec<String>,
}

impl<'a> Found<'a> {
    fn add(&mut self, Rule { name, action, .. }: &'a Rule, facts: &Facts<'_>) -> Result<(), Stop> {
        match action.response(facts) {
            Ok(response) => {
                self.response = Some(match self.response.take() {
                    Some(earlier) => earlier.and(response),
                    None => response,
                });
                self.done.push(name);
            }
            Err(Stop::Ignore(reason)) => self.not_done.push(format!("rule {name:?} matches: {reason}")),
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// The proposal; `None` when no rule matches.
    fn answer(self, alert: &Falco) -> Option<Answer> {
        let Some(response) = self.response else {
            return (!self.not_done.is_empty()).then(|| ignore!("{}", listed(&self.not_done)));
        };
        let cause = response.cause(alert);
        let rules = if self.done.len() == 1 { "rule" } else { "rules" };
        let names: Vec<String> = self.done.iter().map(|name| format!("{name:?}")).collect();
        Some(cause.map(|cause| response.because(format!("{cause}, by {rules} {}", listed(&names)))))
    }
}

/// The first ones, and how many more there are.
fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names[..names.len().min(NAMED_MAX)].join(", "))
}

/// Responds by the first rule of the configuration that matches an alert
#[plugin(on = "falco.rule.output.v1", validate = validate)]
pub fn rules(alert: Falco, config: &Config, context: &Context) -> Answer {
    let facts = Facts::new(&alert, context);
    let (mut found, mut tried) = (Found::default(), Vec::new());
    for rule in &config.rules {
        match rule.when.mismatch(&facts) {
            None => {
                found.add(rule, &facts)?;
                if !rule.go_on {
                    break;
                }
            }
            Some(key) => tried.push(format!("{:?} ({key})", rule.name)),
        }
    }
    found.answer(&alert).unwrap_or_else(|| ignore!("no rule matches: tried {}", listed(&tried)))
}
