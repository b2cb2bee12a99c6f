//! A plugin as plain Rust: a desired state in YAML, an event in JSON, and what it decided as a text.
//!
//! ```
//! use riposte_sdk::prelude::*;
//! use riposte_sdk::testing;
//!
//! /// Calms whatever is noisy
//! #[plugin(on = "falco.rule.output.v1")]
//! fn calm(alert: Falco, context: &Context) -> Answer {
//!     let owner = context.owner(&alert)?;
//!     log::info!("the pod is from {owner}");
//!     propose(format!("Calm {owner}")).because(alert.rule()?).with(Patch::scale(&owner, 1)).into()
//! }
//!
//! let web = ObjectRef::namespaced("apps/v1", "Deployment", "default", "web");
//! let decided = testing::plugin::<calm>()
//!     .desired_state(
//!         "
//! apiVersion: apps/v1
//! kind: Deployment
//! metadata: { name: web, namespace: default }
//! spec: { replicas: 3 }
//! ",
//!     )
//!     .owner("default", "web-77789455d6-m7flp", &web)
//!     .handle(testing::falco(
//!         r#"{"rule": "Shell", "output_fields":
//!             {"k8s.ns.name": "default", "k8s.pod.name": "web-77789455d6-m7flp"}}"#,
//!     ));
//! assert_eq!(
//!     decided.to_string(),
//!     r#"info: the pod is from Deployment default/web
//! propose: Calm Deployment default/web
//! because: Shell
//! - merge Deployment default/web {"spec":{"replicas":1}}"#
//! );
//! ```
//!
//! The text is the same on every run, so it can be a snapshot. The functions here panic on a test
//! that is written wrong: YAML or JSON that cannot be read, the same object twice.

mod desired_state;
mod events;

use std::fmt;
use std::marker::PhantomData;

use serde_json::Value;

pub(crate) use desired_state::DesiredState;
pub use events::{cloud_event, event, falco};

use crate::log::{self, Level};
use crate::{Answer, Context, Event, ObjectRef, Plugin, Stop, run};

/// Begins a test of a plugin.
pub fn plugin<P: Plugin>() -> Setup<P> {
    Setup {
        desired: DesiredState::default(),
        config: Value::Object(serde_json::Map::new()),
        plugin: PhantomData,
    }
}

/// The JSON Schema of a plugin's configuration, as the gateway sees it.
#[must_use]
pub fn schema<P: Plugin>() -> Value {
    run::schema::<P>()
}

/// What a plugin has around it: a configuration and a desired state.
#[derive(Debug, Clone)]
#[must_use]
pub struct Setup<P> {
    desired: DesiredState,
    config: Value,
    plugin: PhantomData<P>,
}

impl<P: Plugin> Setup<P> {
    /// Gives it a configuration as the operator would write it. Without one it is `{}`.
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// Adds the objects of a YAML text, of one document or several.
    ///
    /// A manifest has to name its namespace; the gateway would have found out.
    ///
    /// # Panics
    /// On a text that is no manifest, and on an object that is there already.
    #[track_caller]
    pub fn desired_state(mut self, yaml: &str) -> Self {
        self.desired.add(yaml);
        self
    }

    /// Says which object a pod comes from. Said of several objects, it is not certain which.
    ///
    /// The gateway finds out by the pod's name, a test says it.
    pub fn owner(mut self, namespace: &str, pod: &str, owner: &ObjectRef) -> Self {
        self.desired.add_owner(namespace, pod, owner);
        self
    }

    /// Whether the plugin takes its configuration, as it is asked when it is loaded.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        run::config::<P>(&self.config.to_string()).map(drop)
    }

    /// Lets it decide on an event.
    ///
    /// With a configuration that the plugin refuses no event reaches it, as in the gateway.
    pub fn handle(&self, event: Event) -> Decided {
        // What the thread has logged before is not of this event.
        drop(log::take());
        let answer = self.validate().map_err(Stop::InvalidConfig).and_then(|()| {
            run::handle::<P>(event, &self.config.to_string(), &Context::new(self.desired.clone()))
        });
        Decided { answer, log: log::take() }
    }
}

/// What a plugin made of an event. Its text has every line of the log, then the answer.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Decided {
    /// The answer.
    pub answer: Answer,
    /// What it logged.
    pub log: Vec<(Level, String)>,
}

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.log.iter().try_for_each(|(level, message)| writeln!(f, "{level}: {message}"))?;
        match &self.answer {
            Ok(proposal) => proposal.fmt(f),
            Err(stop) => stop.fmt(f),
        }
    }
}
