//! The configuration of a plugin that needs no more than the rules it acts on.

use riposte_sdk::prelude::*;
use serde::Deserialize;

/// Which alerts it acts on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Falco rules, by their exact names.
    pub rules: FalcoRules,
}

/// Names of Falco rules; at least one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct FalcoRules(#[schemars(length(min = 1))] Vec<String>);

impl FalcoRules {
    /// Lets an alert of one of these rules pass.
    ///
    /// # Errors
    /// An ignore, when it is of another rule or of none.
    pub fn check(&self, alert: &Falco) -> Result<(), Stop> {
        let rule = alert.rule()?;
        if !self.0.iter().any(|configured| configured == rule) {
            return ignore!("rule {rule:?} is not configured");
        }
        Ok(())
    }
}
