//! Plugins decide: WebAssembly components in a sandbox, a fresh instance for each event.
//!
//! A guest sees the event, its configuration and read-only look-ups at one commit. It has no network
//! and no files, and no clock or randomness but what the event gives, so the same inputs give the same
//! decision. Nothing here checks what a decision may change: that is `validate`.

mod bare;
mod bindings;
mod cache;
mod catalog;
mod compiler;
mod component;
mod description;
mod engine;
mod failure;
mod host;
mod inspection;
mod renewal;
mod sandbox;
mod schema;
mod subscription;
mod wasi;

pub use bare::Bare;
pub use catalog::{Catalog, Limits, LoadError, Plugin, PluginConfig};
pub use compiler::{COMMAND, CompileError, Compiler, compile_within};
pub use component::{CONTRACT, component_of};
pub use engine::{Allocation, Engine, EngineError};
pub use failure::Failure;
pub use inspection::{Inspection, inspect};
pub use renewal::{Renewal, Stamp};
pub use sandbox::{Dispatched, LogLine, Trial};
pub use subscription::Filter;
