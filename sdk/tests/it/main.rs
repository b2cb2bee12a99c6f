//! The sdk through its public door, as a plugin uses it.

mod context;
mod events;
mod falco;
mod patch;
mod plugin;
