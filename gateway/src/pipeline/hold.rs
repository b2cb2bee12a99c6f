//! When to read the desired state again after it could not be read.
//!
//! Reactions that wait for it are not to blame: they keep their attempts, and the wait is common to
//! all of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::chain;
use crate::clock;
use crate::repository::{RepositoryError, Retry};

const FIRST_MS: u64 = 500;
/// What is mended is seen within this time.
const LONGEST_MS: u64 = 30_000;

/// The wait that is on, if one is.
#[derive(Debug, Default)]
pub struct Hold(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    because: Option<(&'static str, String)>,
    failures: u32,
    until_us: i64,
}

impl Hold {
    /// Whether to wait still.
    pub(super) fn is_on(&self) -> bool {
        clock::now_us() < self.lock().until_us
    }

    /// The kind of error that makes reactions wait and what it says, until the desired state is read again.
    #[must_use]
    pub fn because(&self) -> Option<(&'static str, String)> {
        self.lock().because.clone()
    }

    /// Begins the next wait, which is longer than the last one, and tells how long it is.
    pub(super) fn after(&self, error: &RepositoryError) -> Duration {
        let mut state = self.lock();
        let wait = match (error, error.retry()) {
            (RepositoryError::RateLimited { .. }, Retry::After(wait)) => wait,
            _ => Duration::from_millis((FIRST_MS << state.failures.min(10)).min(LONGEST_MS)),
        };
        state.failures += 1;
        state.because = Some((error.kind(), chain(error)));
        let wait_us = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        state.until_us = clock::now_us().saturating_add(wait_us);
        wait
    }

    /// The desired state was read.
    pub(super) fn end(&self) {
        *self.lock() = State::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
