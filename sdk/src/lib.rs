//! Write Riposte plugins: an event in, a proposal out.
//!
//! A plugin is a function with an attribute. It sees the event, its configuration and look-ups in the
//! desired state, and nothing else: no clock, no network, no files. So it runs natively in tests just
//! as it runs in the gateway, see [`testing`].
//!
//! ```
//! use riposte_sdk::prelude::*;
//! use serde::Deserialize;
//!
//! /// Which alerts it acts on
//! #[derive(Deserialize, JsonSchema)]
//! struct Config {
//!     /// How urgent an alert has to be.
//!     at_least: Priority,
//! }
//!
//! /// Labels the pods of the workload that an urgent alert is about
//! #[plugin(
//!     on = "falco.rule.output.v1",
//!     grants(kinds = ["apps/v1/Deployment"], fields = ["/spec/template/metadata/labels/quarantine"]),
//! )]
//! fn quarantine(alert: Falco, config: &Config, context: &Context) -> Answer {
//!     let (rule, priority) = (alert.rule()?, alert.priority()?);
//!     if priority < config.at_least {
//!         return ignore!("{priority} is less than {}", config.at_least);
//!     }
//!     let owner = context.owner(&alert)?;
//!     propose(format!("Quarantine {owner}"))
//!         .because(format!("{rule:?} in its pod {}", alert.pod()?))
//!         .with(Patch::label_pods(&owner, "quarantine", "true"))
//!         .into()
//! }
//! ```
//!
//! | to | there is |
//! |---|---|
//! | make a function a plugin | [`#[plugin]`](macro@plugin) |
//! | say what it has to be granted | [`Grants`] |
//! | read an alert, or any other event | [`Falco`], [`Event`], [`At`], [`FromEvent`] |
//! | be configured | [`Plugin::Config`] |
//! | ask for manifests and owners | [`Context`] |
//! | answer | [`Answer`], [`propose`], [`Patch`], [`ignore!`], [`Stop`] |
//! | log | [`log`] |
//! | test | [`testing`] |

mod answer;
#[cfg(any(all(target_arch = "wasm32", target_os = "unknown", feature = "arena"), test))]
mod arena;
mod context;
mod event;
mod falco;
mod grants;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
pub mod log;
mod object;
mod patch;
mod plugin;
mod pointer;
mod priority;
pub mod proposal;
#[doc(hidden)]
pub mod run;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use answer::{Answer, Missing, Stop};
pub use context::{Context, NoOwner};
pub use event::{Event, FromEvent, Payload};
pub use falco::Falco;
pub use grants::Grants;
pub use object::ObjectRef;
pub use patch::{Change, Operation, Patch};
pub use plugin::{NoConfig, Plugin};
pub use pointer::At;
pub use priority::Priority;
pub use proposal::{Proposal, propose};
/// JSON Schema from types, for [`Plugin::Config`].
pub use schemars;

/// Makes a function the plugin of its crate.
///
/// The function takes the event by value ([`Falco`], [`Event`], or a type that implements
/// [`FromEvent`]), then, if it needs them, its configuration (a reference to any type with
/// `#[derive(Deserialize, JsonSchema)]`) and the [`Context`]. It returns an [`Answer`].
///
/// | option | what it says |
/// |---|---|
/// | `on = "…"` or `on = ["…", "…"]` | the types of the events it is for, where the operator configures no subscription |
/// | `summary = "…"` | what it does, in a sentence; without it the first paragraph of the documentation |
/// | `name = "…"` | its name; without it the crate's |
/// | `validate = path` | a `fn(&Config) -> Result<(), String>` that checks what the type cannot say |
/// | `grants(kinds = […], fields = […], create, delete)` | what it asks to be granted, see [`Grants`]; each part may be left out |
///
/// The version is the crate's. The plugin is a type with the name of the function, for [`testing`].
/// A crate has one plugin.
///
/// ```
/// use riposte_sdk::prelude::*;
/// use riposte_sdk::testing;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Config {
///     from: u32,
///     to: u32,
/// }
///
/// fn in_order(config: &Config) -> Result<(), String> {
///     if config.from <= config.to { Ok(()) } else { Err("from is larger than to".to_owned()) }
/// }
///
/// #[plugin(on = ["com.example.a", "com.example.b"], summary = "Counts", name = "counter", validate = in_order)]
/// fn count(event: Event, config: &Config) -> Answer {
///     ignore!("{} counts from {} to {}", event.id, config.from, config.to)
/// }
///
/// let wrong = testing::plugin::<count>().config(serde_json::json!({ "from": 2, "to": 1 }));
/// assert_eq!(wrong.validate(), Err("from is larger than to".to_owned()));
/// ```
pub use riposte_sdk_macros::plugin;

/// What almost every plugin needs.
pub mod prelude {
    pub use crate::{
        Answer, At, Context, Event, Falco, FromEvent, Missing, ObjectRef, Operation, Patch, Payload,
        Priority, Stop, ignore, log, plugin, propose, schemars, schemars::JsonSchema,
    };
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The contract's guest side, for [`export!`].
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "plugin",
        pub_export_macro: true,
        default_bindings_module: "riposte_sdk::bindings",
    });
}
