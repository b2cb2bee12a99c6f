//! The queue of proposals: which are committed together, which alone, and when to look again.
//!
//! A burst is what waits in the journal, so a first commit, one after a failure and one after a restart
//! are made in the same way.

use super::Pipeline;
use crate::clock;
use crate::commit::budget::Left;
use crate::commit::{Burst, Closing};
use crate::model::plugin::Mode;
use crate::record::{AskedWait, RecordError, Waiting};
use crate::repository::BudgetConfig;
use crate::telemetry::WindowLabel;

/// What a step of the committer came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How many reactions it took.
    pub taken: usize,
    /// When there is something to do by time, in microseconds since 1970.
    pub next_us: Option<i64>,
}

/// The queue as it is now.
#[derive(Debug)]
pub struct Queue {
    /// What waits, by plugin and mode.
    pub waiting: Vec<Waiting>,
    /// When the burst that is open becomes a commit, if nothing more comes.
    pub closes_us: Option<i64>,
    /// What it waits for, beside that.
    pub held: Option<AskedWait>,
    /// What is left of the budget for GitHub, and its limits.
    pub left: Option<(Left, BudgetConfig)>,
}

impl Pipeline {
    /// Commits what is to be committed by now; nothing while the gateway is paused or the queue is held.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn commit_due(&self) -> Result<Step, RecordError> {
        if self.pauses.is_on() {
            return Ok(Step::default());
        }
        if let Some(held) = self.throttle.held() {
            return Ok(Step { taken: 0, next_us: Some(held.until_us) });
        }
        let waiting = self.journal.waiting().await?;
        let mut step = Step { taken: 0, next_us: waiting.iter().filter_map(|waiting| waiting.next_us).min() };
        if waiting.iter().any(|waiting| waiting.mode != Mode::Enforce && waiting.due.is_some()) {
            step.taken += self.commit_alone().await?;
        }
        match self.closing(&waiting) {
            Some(Closing::Now) => step.taken += self.commit_burst().await?,
            Some(Closing::At(at_us)) => {
                step.next_us = Some(step.next_us.map_or(at_us, |next_us| next_us.min(at_us)));
            }
            None => {}
        }
        Ok(step)
    }

    /// Whether the open burst, if there is one, is over.
    fn closing(&self, waiting: &[Waiting]) -> Option<Closing> {
        let catalog = self.catalog();
        let is_urgent = |plugin: &str| catalog.get(plugin).is_some_and(|plugin| plugin.is_urgent());
        let enforced = waiting.iter().filter(|waiting| waiting.mode == Mode::Enforce);
        let due = enforced.filter_map(|waiting| Some((waiting, waiting.due?)));
        let bursts = due.map(|(waiting, due)| Burst {
            changes: due.changes.unsigned_abs(),
            is_urgent: is_urgent(&waiting.plugin),
            first_us: due.first_us,
            last_us: due.last_us,
        });
        let burst = bursts.reduce(|one, other| Burst {
            changes: one.changes + other.changes,
            is_urgent: one.is_urgent || other.is_urgent,
            first_us: one.first_us.min(other.first_us),
            last_us: one.last_us.max(other.last_us),
        })?;
        Some(self.coalesce.closing(&burst, clock::now_us()))
    }

    /// One after the other, the proposals that make no commit of the branch.
    async fn commit_alone(&self) -> Result<usize, RecordError> {
        let most = self.limits.round_reactions_max;
        let mut due = self.journal.due_proposals(false, most).await?;
        due.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let mut taken = 0;
        for reaction in due {
            if self.pauses.is_on() || self.throttle.held().is_some() {
                break;
            }
            let committed = self.commit(&reaction).await;
            self.or_damaged(&reaction, committed).await?;
            taken += 1;
        }
        Ok(taken)
    }

    /// The queue as it is now; the metrics tell it too.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn queue(&self) -> Result<Queue, RecordError> {
        let waiting = self.journal.waiting().await?;
        let (held, left) = (self.throttle.held(), self.throttle.left());
        let now_us = clock::now_us();
        let closes_us = self.closing(&waiting).map(|closing| match closing {
            Closing::Now => now_us,
            Closing::At(at_us) => at_us,
        });
        let oldest_us = waiting.iter().map(|waiting| waiting.oldest_us).min();
        self.metrics.waiting.set(waiting.iter().map(|waiting| waiting.proposals).sum());
        self.metrics.waiting_seconds.set(oldest_us.map_or(0, |oldest_us| (now_us - oldest_us) / 1_000_000));
        self.metrics.held_until.set(held.as_ref().map_or(0, |held| held.until_us / 1_000_000));
        if let Some((left, _)) = &left {
            for (window, calls) in [("minute", left.minute), ("hour", left.hour)] {
                let label = WindowLabel { window: window.to_owned() };
                self.metrics.budget_left.get_or_create(&label).set(i64::from(calls));
            }
        }
        Ok(Queue { waiting, closes_us, held, left })
    }
}
