//! Write Riposte plugins: an event in, a decision out.
//!
//! A plugin is a type that implements [`Plugin`], and one [`export!`]. It sees the event, its
//! configuration and look-ups in the desired state, and nothing else: no clock, no network, no
//! files. So it runs natively in tests just as it runs in the gateway (see [`testing`]).
//!
//! ```
//! use riposte_sdk::{Decision, DesiredState, Event, Falco, Patch, Plugin, PluginError};
//!
//! struct Calm;
//!
//! impl Plugin for Calm {
//!     const NAME: &'static str = "calm";
//!     const VERSION: &'static str = "0.1.0";
//!     const SUMMARY: &'static str = "One replica is enough";
//!     const EVENT_TYPES: &'static [&'static str] = &["falco.rule.output.v1"];
//!     type Config = ();
//!
//!     fn handle(event: &Event, _: &(), state: &dyn DesiredState) -> Result<Decision, PluginError> {
//!         let alert = Falco::read(event)?;
//!         let (Some(namespace), Some(pod)) = (alert.namespace(), alert.pod()) else {
//!             return Ok(Decision::ignore("the alert names no pod"));
//!         };
//!         match state.owner(namespace, pod) {
//!             Ok(owner) => Ok(Decision::propose("Calm down", "too noisy").with(Patch::scale(owner, 1))),
//!             Err(error) => Ok(Decision::ignore(error.to_string())),
//!         }
//!     }
//! }
//!
//! riposte_sdk::export!(Calm);
//! ```

mod decision;
mod event;
mod falco;
mod guest;
mod state;
pub mod testing;

pub use decision::{Change, Decision, Patch, Proposal};
pub use event::{Event, Payload};
pub use falco::{Falco, Priority};
pub use state::{DesiredState, ObjectRef, OwnerError};

#[doc(hidden)]
pub use guest::run;

/// The contract's guest side, for [`export!`].
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[expect(missing_docs, unsafe_code, reason = "generated from the contract, which has the documentation")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "plugin",
        pub_export_macro: true,
        default_bindings_module: "riposte_sdk::bindings",
    });
}

/// A plugin came to no decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginError {
    /// The event is not what its type says.
    InvalidEvent(String),
    /// The configuration cannot be used.
    InvalidConfig(String),
    /// Anything else.
    Internal(String),
}

/// What a plugin is.
pub trait Plugin {
    /// Its name.
    const NAME: &'static str;
    /// Its version, usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// What it does, in a sentence.
    const SUMMARY: &'static str;
    /// The CloudEvents types it is for, where the operator configures no subscription.
    const EVENT_TYPES: &'static [&'static str];
    /// JSON Schema of its configuration.
    const CONFIG_SCHEMA: &'static str = "{}";
    /// Its configuration; read from the operator's JSON, refused there when it does not fit.
    type Config: serde::de::DeserializeOwned;

    /// Checks what the type of the configuration cannot say.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    fn validate(_config: &Self::Config) -> Result<(), String> {
        Ok(())
    }

    /// Decides on an event.
    ///
    /// # Errors
    /// When there can be no decision. "Nothing to do" is [`Decision::ignore`], not an error.
    fn handle(
        event: &Event,
        config: &Self::Config,
        state: &dyn DesiredState,
    ) -> Result<Decision, PluginError>;
}
