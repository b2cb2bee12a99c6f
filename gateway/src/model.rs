//! The values that the stages pass to each other: pure data, no input or output.
//!
//! A leaf: nothing here may import another module of the gateway.

pub mod event;
pub mod manifest;
pub mod outcome;
pub mod patch;
pub mod place;
pub mod plugin;
pub mod text;
pub mod undo;
