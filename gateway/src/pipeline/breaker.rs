//! Parks a plugin that keeps failing, so that it stops burning its own events: they wait.
//!
//! The wait has an end of its own, because whoever can make a plugin fail must not be able to silence
//! it for good. What a plugin says of an event or its configuration is no failure of this kind.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::clock;
use crate::dispatch::Failure;

/// So many failures within the window park a plugin.
const FAILURES_MAX: usize = 5;
const WINDOW_US: i64 = 60_000_000;
/// How long a plugin is parked.
const PARKED_US: i64 = 300_000_000;

/// What is known of each plugin that has failed.
#[derive(Debug, Default)]
pub struct Breakers(Mutex<BTreeMap<String, Breaker>>);

#[derive(Debug, Default)]
struct Breaker {
    failed_us: VecDeque<i64>,
    parked: Option<Parked>,
}

/// A plugin that is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// When it gets events again.
    pub until_us: i64,
    /// Its last failure.
    pub reason: String,
}

impl Breakers {
    /// Notes a failure. What it returns is the beginning of a wait.
    pub(super) fn failed(&self, plugin: &str, failure: &Failure) -> Option<Parked> {
        if matches!(failure, Failure::PluginError(_) | Failure::Crowded) {
            return None;
        }
        let now = clock::now_us();
        let mut breakers = self.lock();
        let breaker = breakers.entry(plugin.to_owned()).or_default();
        breaker.failed_us.push_back(now);
        breaker.failed_us.retain(|failed_us| now - failed_us <= WINDOW_US);
        if breaker.failed_us.len() < FAILURES_MAX {
            return None;
        }
        breaker.failed_us.clear();
        let reason = format!("{}: {failure}", failure.kind());
        breaker.parked = Some(Parked { until_us: now + PARKED_US, reason });
        breaker.parked.clone()
    }

    /// How a plugin is parked, if it is.
    #[must_use]
    pub fn parked(&self, plugin: &str) -> Option<Parked> {
        let breakers = self.lock();
        let parked = breakers.get(plugin).and_then(|breaker| breaker.parked.as_ref());
        parked.filter(|parked| clock::now_us() < parked.until_us).cloned()
    }

    /// Gives a plugin that was loaded anew a new beginning.
    pub(super) fn forget(&self, plugin: &str) {
        self.lock().remove(plugin);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_of_the_plugin_itself_park_it() {
        let breakers = Breakers::default();
        let (trap, said) =
            (Failure::Trap("unreachable".to_owned()), Failure::PluginError("no alert".to_owned()));
        for _ in 1..FAILURES_MAX {
            assert_eq!(breakers.failed("a", &trap), None);
            assert_eq!(breakers.failed("a", &said), None);
            assert_eq!(breakers.failed("b", &said), None);
        }
        let parked = breakers.failed("a", &trap).expect("it is parked");
        assert_eq!(parked.reason, "trap: unreachable");
        assert_eq!(breakers.parked("a"), Some(parked));
        assert_eq!(breakers.parked("b"), None);
    }
}
