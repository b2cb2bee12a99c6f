//! Whether an event only reports again what an earlier one has reported.
//!
//! A repeat costs nothing but its row, so it must be sure that the first report is being answered:
//! whatever speaks against that dispatches the event. Judged from the journal alone.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Pipeline;
use crate::dispatch::Catalog;
use crate::model::outcome::OutcomeKind;
use crate::model::plugin::Mode;
use crate::record::{FirstReaction, FirstReport, RecordError, RecordedEvent, Route};

/// How long reports of one incident are one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Repeats {
    /// So many seconds from the first report on; 0 dispatches every event.
    pub window_s: u32,
    /// So many seconds nothing is done for an incident after a person has taken back in the repository what
    /// was committed for it; 0 reacts again at once.
    pub overridden_s: u32,
}

impl Repeats {
    /// The longest window, in seconds: a day.
    pub const WINDOW_S_MAX: u32 = 86_400;
    /// The longest that a person's revert is respected, in seconds: 30 days.
    pub const OVERRIDDEN_S_MAX: u32 = 2_592_000;

    /// The window in microseconds.
    pub(super) fn window_us(&self) -> i64 {
        i64::from(self.window_s) * 1_000_000
    }
}

impl Default for Repeats {
    fn default() -> Self {
        Self { window_s: 60, overridden_s: 86_400 }
    }
}

/// Where an event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To the plugins.
    Dispatch,
    /// To nobody: it repeats that event.
    RepeatOf(i64),
    /// Nowhere yet: the first report is undecided.
    Wait,
}

/// The first reports of a round's incidents, as they were before the round: what it dispatches itself
/// cannot be decided yet.
#[derive(Debug, Default)]
pub(super) struct Round(BTreeMap<(String, Option<String>), Before>);

#[derive(Debug)]
enum Before {
    Reported(FirstReport),
    /// The round has dispatched the first report itself.
    Now,
}

impl Pipeline {
    /// Judges an event that would go these routes.
    pub(super) async fn way(
        &self,
        event: &RecordedEvent,
        routes: &[Route],
        round: &mut Round,
    ) -> Result<Way, RecordError> {
        let window_us = self.repeats.window_us();
        if window_us == 0 || routes.is_empty() {
            return Ok(Way::Dispatch);
        }
        // The same names in another cluster are other objects.
        let cluster = self.clusters.of(event.event()).ok().flatten().map(str::to_owned);
        let incident = (event.fingerprint().to_owned(), cluster);
        if !round.0.contains_key(&incident)
            && let Some(first) = self.journal.first_report(event).await?
            && self.is_of_cluster(first.seq, incident.1.as_deref()).await?
        {
            round.0.insert(incident.clone(), Before::Reported(first));
        }
        match round.0.get(&incident) {
            Some(Before::Reported(first)) if is_within(first, event, window_us) => {
                Ok(way_after(first, routes, &self.catalog()))
            }
            Some(Before::Now) => Ok(Way::Wait),
            _ => {
                round.0.insert(incident, Before::Now);
                Ok(Way::Dispatch)
            }
        }
    }

    async fn is_of_cluster(&self, seq: i64, cluster: Option<&str>) -> Result<bool, RecordError> {
        if self.clusters.0.is_empty() {
            return Ok(true);
        }
        let event = self.journal.event(seq).await?;
        Ok(event.is_some_and(|event| self.clusters.of(event.event()).ok().flatten() == cluster))
    }
}

/// A clock that was set back makes no repeat.
fn is_within(first: &FirstReport, event: &RecordedEvent, window_us: i64) -> bool {
    (0..window_us).contains(&(event.received_us() - first.received_us))
}

/// An event is a repeat when each plugin it would go to has the first report, and one of them has
/// something to do for it.
fn way_after(first: &FirstReport, routes: &[Route], catalog: &Catalog) -> Way {
    let mut acts = false;
    for route in routes {
        let Some(reaction) = first.reactions.iter().find(|reaction| reaction.plugin == route.plugin) else {
            return Way::Dispatch;
        };
        // One that was switched to observe while it waited has committed nothing.
        let only_observed = reaction.outcome == Some(OutcomeKind::Observed) && route.mode != Mode::Observe;
        if reaction.mode != route.mode || only_observed || !holds(reaction, catalog) {
            return Way::Dispatch;
        }
        acts |= reaction.outcome != Some(OutcomeKind::Ignored);
    }
    if acts { Way::RepeatOf(first.seq) } else { Way::Dispatch }
}

/// Whether the plugin of now has decided, or will, and its decision came to no bad end.
fn holds(reaction: &FirstReaction, catalog: &Catalog) -> bool {
    let is_same = catalog.get(&reaction.plugin).zip(reaction.decided_by.as_ref()).is_none_or(
        |(plugin, (digest, config_digest))| {
            let now = plugin.identity();
            (&now.digest, &now.config_digest) == (digest, config_digest)
        },
    );
    let bad = [OutcomeKind::Refused, OutcomeKind::Failed, OutcomeKind::Exhausted];
    is_same && reaction.outcome.is_none_or(|outcome| !bad.contains(&outcome))
}
