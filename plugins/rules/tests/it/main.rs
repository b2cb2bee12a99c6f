//! The plugin through its public door: matching, actions, wrong configurations, and every example.

mod actions;
mod configuration;
mod examples;
mod matching;

use riposte_sdk::testing::{self, Setup};
use rules::rules;
use serde_json::{Value, json};

/// The plugin with these rules, written in YAML.
fn with_rules(yaml: &str) -> Setup<rules> {
    let rules: Value = serde_yaml::from_str(yaml).expect("YAML");
    testing::plugin::<rules>().config(json!({ "rules": rules }))
}

/// The plugin with one rule, `it`, of that match and action.
fn with_rule(when: &str, action: &str) -> Setup<rules> {
    with_rules(&format!("[{{ name: it, match: {when}, action: {action} }}]"))
}
