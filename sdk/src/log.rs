//! Lines for the gateway's log.
//!
//! In the gateway they stand beside the plugin's name and the event's id; in tests they are part of
//! what [`testing`](crate::testing) says.
//!
//! ```
//! use riposte_sdk::log;
//!
//! let candidates = 3;
//! log::debug!("{candidates} candidates");
//! log::info!("looked at {}", "default/web");
//! log::warn!("the manifest has no replicas");
//! log::error!("the impossible happened");
//! ```

use std::fmt;

/// How much a line matters; later ones matter more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever writes the plugin.
    Debug,
    /// What was done.
    Info,
    /// What an operator may want to change.
    Warn,
    /// What should not have happened.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

#[doc(hidden)]
#[cfg(target_arch = "wasm32")]
pub use crate::guest::emit;

#[cfg(not(target_arch = "wasm32"))]
thread_local! {
    // A guest has its instance to itself; a test has its thread.
    static LINES: std::cell::RefCell<Vec<(Level, String)>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[doc(hidden)]
#[cfg(not(target_arch = "wasm32"))]
pub fn emit(level: Level, message: String) {
    LINES.with_borrow_mut(|lines| lines.push((level, message)));
}

/// Takes what this thread has logged.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn take() -> Vec<(Level, String)> {
    LINES.take()
}

/// Logs what only helps to write the plugin, as [`format!`] takes it.
#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($message:tt)+) => { $crate::log::emit($crate::log::Level::Debug, ::std::format!($($message)+)) };
}

/// Logs what was done, as [`format!`] takes it.
#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($message:tt)+) => { $crate::log::emit($crate::log::Level::Info, ::std::format!($($message)+)) };
}

/// Logs what an operator may want to change, as [`format!`] takes it.
#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($message:tt)+) => { $crate::log::emit($crate::log::Level::Warn, ::std::format!($($message)+)) };
}

/// Logs what should not have happened, as [`format!`] takes it.
#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($message:tt)+) => { $crate::log::emit($crate::log::Level::Error, ::std::format!($($message)+)) };
}

#[doc(inline)]
pub use crate::{__debug as debug, __error as error, __info as info, __warn as warn};
