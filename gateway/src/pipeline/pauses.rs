//! The pause of everything: events are taken and decided on, nothing is committed.
//!
//! Two ways lead to it, each with an end of its own: a word over REST, and a file in the branch. Both
//! are in the journal. That no commit is made on a head with the file is the commit's own check.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use tokio::sync::Mutex;

use super::Pipeline;
use crate::record::{Journal, Pause, PauseSwitch, PausedBy, RecordError};
use crate::telemetry::{Metrics, PausedLabel};

/// The pauses that hold.
#[derive(Debug, Default)]
pub struct Pauses {
    held: RwLock<BTreeMap<&'static str, Pause>>,
    /// Held while one is recorded, so that memory and journal keep one order.
    recording: Mutex<()>,
}

impl Pauses {
    /// The pauses of a gateway that starts.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn new(journal: &Journal, metrics: &Metrics) -> Result<Self, RecordError> {
        let pauses = Self::default();
        for pause in journal.pauses().await? {
            let (by, reason) = (pause.by.as_str(), &pause.reason);
            tracing::warn!(paused.by = by, reason, "the gateway is still paused; nothing is committed");
            pauses.put(pause.by, Some(pause));
        }
        pauses.tell(metrics);
        Ok(pauses)
    }

    /// Those that hold, the one over REST first.
    #[must_use]
    pub fn held(&self) -> Vec<Pause> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The one that holds by that way.
    #[must_use]
    pub fn by(&self, by: PausedBy) -> Option<Pause> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(by.as_str()).cloned()
    }

    /// Whether nothing is to be committed.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.held.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Tells the metrics.
    fn tell(&self, metrics: &Metrics) {
        for by in PausedBy::ALL {
            let label = PausedLabel { by: by.as_str().to_owned() };
            metrics.paused.get_or_create(&label).set(i64::from(self.by(by).is_some()));
        }
    }

    fn put(&self, by: PausedBy, pause: Option<Pause>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        match pause {
            Some(pause) => held.insert(by.as_str(), pause),
            None => held.remove(by.as_str()),
        };
    }
}

impl Pipeline {
    /// Pauses; no commit begins after this returns, and the pause is on disk by then.
    ///
    /// # Errors
    /// When the journal does not answer: then nothing is paused.
    pub async fn pause(&self, reason: String) -> Result<(), RecordError> {
        let _recording = self.pauses.recording.lock().await;
        self.switch_pause(PauseSwitch { by: PausedBy::Api, paused: true, reason }).await
    }

    /// Ends the pause that [`Self::pause`] began; one by the file holds on.
    ///
    /// # Errors
    /// When the journal does not answer: then the pause holds.
    pub async fn resume(&self, reason: String) -> Result<(), RecordError> {
        let _recording = self.pauses.recording.lock().await;
        if self.pauses.by(PausedBy::Api).is_none() {
            return Ok(());
        }
        self.switch_pause(PauseSwitch { by: PausedBy::Api, paused: false, reason }).await
    }

    /// Takes up whether the branch has the file, as of the newest look at its head.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub(super) async fn take_up_file(&self) -> Result<(), RecordError> {
        let _recording = self.pauses.recording.lock().await;
        let Some(found) = self.repository.pause() else { return Ok(()) };
        let held = self.pauses.by(PausedBy::File).map(|pause| pause.reason);
        if found == held {
            return Ok(());
        }
        let paused = found.is_some();
        let reason = found.unwrap_or_else(|| "the file is gone".to_owned());
        self.switch_pause(PauseSwitch { by: PausedBy::File, paused, reason }).await?;
        self.wake.repository.notify_one();
        Ok(())
    }

    async fn switch_pause(&self, switch: PauseSwitch) -> Result<(), RecordError> {
        let PauseSwitch { by, paused, reason } = switch.clone();
        let since_us = self.journal.switch_pause(switch).await?;
        self.pauses.put(by, paused.then(|| Pause { by, reason: reason.clone(), since_us }));
        self.pauses.tell(&self.metrics);
        // Said once it is so: whoever reads it may count on it.
        if paused {
            tracing::warn!(paused.by = by.as_str(), reason, "the gateway is paused; nothing is committed");
        } else {
            tracing::warn!(paused.by = by.as_str(), reason, "a pause has ended");
        }
        self.wake.proposals.notify_one();
        Ok(())
    }
}
