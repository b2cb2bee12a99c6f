//! Plugins decide: WebAssembly components in a sandbox, a fresh instance for each event.
//!
//! A guest sees the event, its configuration and read-only look-ups at one commit. It has no clock,
//! no randomness, no network and no files, so the same inputs give the same decision. Nothing here
//! checks what a decision may change: that is `validate`.

mod bindings;
mod catalog;
mod component;
mod engine;
mod failure;
mod host;
mod sandbox;
mod subscription;

pub use catalog::{Catalog, Limits, LoadError, Plugin, PluginConfig};
pub use engine::{Engine, EngineError};
pub use failure::Failure;
pub use sandbox::{Dispatched, LogLine};
pub use subscription::Filter;
