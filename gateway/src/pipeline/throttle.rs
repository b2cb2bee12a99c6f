//! What holds the whole queue of commits: a server that wants us to wait, or our own budget for it.
//!
//! Neither is the fault of a proposal, so none loses an attempt by it. Both hold across a restart.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Pipeline;
use super::commit::AttemptError;
use crate::clock;
use crate::commit::Budget;
use crate::commit::budget::Left;
use crate::record::{AskedWait, Journal, RecordError};
use crate::repository::BudgetConfig;

/// Calls that change something at GitHub: of a commit of the branch, at least.
const COMMIT_CALLS: u32 = 1;
/// Those of a pull request that is opened or brought up to date, at most, where its commit is one call.
pub const PROPOSE_CALLS: u32 = 6;
/// Those of one that is closed.
pub(super) const CLOSE_CALLS: u32 = 3;

/// Whether anything may be asked of the server, and how much.
#[derive(Debug, Default)]
pub struct Throttle {
    /// None for a repository that is not at GitHub.
    budget: Option<Mutex<Budget>>,
    held: Mutex<Option<AskedWait>>,
}

impl Throttle {
    /// The throttle of a gateway that starts.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn new(journal: &Journal, limits: Option<&BudgetConfig>) -> Result<Self, RecordError> {
        let budget = match limits {
            Some(limits) => {
                let spent = journal.calls_since(clock::now_us() - Budget::WINDOW_US).await?;
                Some(Mutex::new(Budget::new(limits.clone(), spent)))
            }
            None => None,
        };
        Ok(Self { budget, held: Mutex::new(journal.asked_wait().await?) })
    }

    /// What the queue waits for, if it does.
    #[must_use]
    pub fn held(&self) -> Option<AskedWait> {
        let now_us = clock::now_us();
        let asked = lock(&self.held).clone().filter(|held| held.until_us > now_us);
        asked.or_else(|| lock(self.budget.as_ref()?).wait_for(COMMIT_CALLS, now_us))
    }

    /// The calls that are left of the budget, and its limits.
    #[must_use]
    pub fn left(&self) -> Option<(Left, BudgetConfig)> {
        let budget = lock(self.budget.as_ref()?);
        Some((budget.left(clock::now_us()), budget.limits().clone()))
    }
}

impl Budget {
    fn wait_for(&self, calls: u32, now_us: i64) -> Option<AskedWait> {
        let until_us = self.free_at(calls, now_us);
        let BudgetConfig { per_minute, per_hour } = self.limits();
        let reason = format!(
            "repository.github.budget is used up: {per_minute} calls in a minute, {per_hour} in an hour"
        );
        (until_us > now_us).then_some(AskedWait { until_us, reason })
    }
}

impl AskedWait {
    /// Said once it is so: whoever reads it may count on it.
    fn tell(&self) {
        let (until, reason) = (clock::rfc3339(self.until_us), &self.reason);
        tracing::warn!(until, reason, "the queue of commits waits");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipeline {
    /// Asked last, before so many calls are made: from then on they are spent, also after a crash.
    pub(super) async fn spend(&self, calls: u32) -> Result<(), AttemptError> {
        let Some(budget) = &self.throttle.budget else { return Ok(()) };
        let now_us = clock::now_us();
        {
            let mut budget = lock(budget);
            if let Some(wait) = budget.wait_for(calls, now_us) {
                *lock(&self.throttle.held) = Some(wait.clone());
                wait.tell();
                return Err(AttemptError::Held);
            }
            budget.spend(calls, now_us);
        }
        Ok(self.journal.note_calls(now_us, calls, now_us - Budget::WINDOW_US).await?)
    }

    /// Holds the queue because a server has asked for it.
    pub(super) async fn hold_queue(&self, wait: Duration, reason: String) -> Result<(), RecordError> {
        let wait_us = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        let until_us = clock::now_us().saturating_add(wait_us);
        let wait = AskedWait { until_us, reason };
        *lock(&self.throttle.held) = Some(wait.clone());
        self.journal.note_wait(wait.clone()).await?;
        wait.tell();
        Ok(())
    }
}
