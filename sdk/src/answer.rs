//! What a plugin returns: a proposal, or why there is none.
//!
//! Both sides of the [`Answer`] are ordinary. `?` on whatever is missing ends the plugin with an
//! *ignore* whose reason is in the journal, so that nobody has to ask why nothing happened.

use std::error::Error;
use std::fmt;

use crate::Proposal;

/// What a plugin returns.
///
/// ```
/// use riposte_sdk::prelude::*;
///
/// fn nothing_on_weekdays(alert: &Falco) -> Answer {
///     // Without a pod: "the alert names no pod: output field k8s.pod.name is missing or <NA>".
///     let pod = alert.pod()?;
///     ignore!("{pod} is left alone")
/// }
/// ```
pub type Answer = Result<Proposal, Stop>;

/// Why there is no proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Nothing should change; the text says why. This is no failure.
    Ignore(String),
    /// The event is not what its type says.
    InvalidEvent(String),
    /// The configuration cannot be used.
    InvalidConfig(String),
    /// Anything else that should not happen.
    Internal(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, reason) = match self {
            Self::Ignore(reason) => ("ignore", reason),
            Self::InvalidEvent(reason) => ("invalid event", reason),
            Self::InvalidConfig(reason) => ("invalid configuration", reason),
            Self::Internal(reason) => ("internal error", reason),
        };
        write!(f, "{what}: {reason}")
    }
}

impl Error for Stop {}

/// A value that is not there, or is not what was asked for. `?` turns it into [`Stop::Ignore`],
/// [`Result::ok`] into `None`.
///
/// ```
/// use riposte_sdk::prelude::*;
/// use riposte_sdk::testing;
///
/// # fn main() -> Result<(), Stop> {
/// let event = testing::falco(r#"{"rule": "Shell", "output_fields": {"k8s.pod.name": "<NA>"}}"#);
/// let alert = Falco::from_event(event)?;
/// let missing = alert.pod().unwrap_err();
/// assert_eq!(missing.to_string(), "the alert names no pod: output field k8s.pod.name is missing or <NA>");
/// assert_eq!(Stop::from(missing.clone()), Stop::Ignore(missing.to_string()));
/// assert_eq!(alert.pod().unwrap_or("some pod"), "some pod");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(String);

impl Missing {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Missing {}

impl From<Missing> for Stop {
    fn from(missing: Missing) -> Self {
        Self::Ignore(missing.0)
    }
}

/// The answer that nothing should change, with its reason as [`format!`] takes it.
///
/// It is a value, so the `return` stays visible.
///
/// ```
/// use riposte_sdk::prelude::*;
///
/// fn only_shells(alert: &Falco) -> Result<(), Stop> {
///     let rule = alert.rule()?;
///     if !rule.contains("shell") {
///         return ignore!("rule {rule:?} is about no shell");
///     }
///     Ok(())
/// }
/// ```
#[macro_export]
macro_rules! ignore {
    ($($reason:tt)+) => {
        ::core::result::Result::Err($crate::Stop::Ignore(::std::format!($($reason)+)))
    };
}
