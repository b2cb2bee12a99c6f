//! Riposte turns a security event into a reviewed Git commit.
//!
//! ```text
//! receive ──► record ──► dispatch ──► validate ──► commit ──► record the outcome
//! HTTP to     journal,   plugins in   grants,      compare    one terminal outcome
//! an event    then 202   a sandbox    schemas      and swap   per event and plugin
//! ```
//!
//! A stage never calls another one: `pipeline` names the order, and nothing else does. The values
//! that pass between the stages are named by their state and made only by their stage, so the
//! wrong order does not compile. This crate must not import the sdk or a plugin: `sdk/wit` is all
//! that it shares with them.

pub mod cli;
pub mod config;
pub mod gateway;

pub mod pipeline;
pub mod receive;
pub mod record;
pub mod dispatch;
pub mod validate;
pub mod commit;
pub mod repository;
pub mod snapshot;
pub mod edit;

pub mod replay;
pub mod api;
pub mod server;
pub mod worker;

pub mod model;
pub mod clock;
pub mod crash_point;
pub mod shutdown;
pub mod telemetry;
