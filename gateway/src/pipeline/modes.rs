//! Which mode each plugin is in by now: what the configuration says, unless somebody switched it.
//!
//! A switch to `observe` stops commits at once, those of proposals that wait among them; a switch to
//! `enforce` is for events that come after it.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use super::Pipeline;
use crate::dispatch::{Catalog, Plugin};
use crate::model::plugin::Mode;
use crate::record::{Journal, RecordError, Switch};

/// The switches that hold, by plugin.
#[derive(Debug, Default)]
pub struct Modes(RwLock<BTreeMap<String, Switch>>);

impl Modes {
    /// The modes of a gateway that starts.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn new(journal: &Journal, catalog: &Catalog) -> Result<Self, RecordError> {
        let modes = Self::default();
        modes.take_up(journal, catalog).await?;
        Ok(modes)
    }

    /// Takes up the journal's switches. One that was made under another configuration is over: a
    /// configuration that was changed since is the newer word, and is recorded as such.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub(super) async fn take_up(&self, journal: &Journal, catalog: &Catalog) -> Result<(), RecordError> {
        for switch in journal.switches().await? {
            let Some(plugin) = catalog.get(&switch.plugin) else { continue };
            if switch.configured == plugin.mode() {
                self.put(switch);
            } else {
                let (configured, reason) = (plugin.mode(), "the configuration was changed".to_owned());
                let over = Switch { configured, mode: configured, reason, ..switch };
                journal.switch(over.clone()).await?;
                self.put(over);
            }
            if let Some(switch) = self.switch_of(plugin) {
                let (mode, reason) = (switch.mode.as_str(), switch.reason);
                tracing::warn!(
                    plugin.name = plugin.name(),
                    plugin.mode = mode,
                    reason,
                    "a plugin's mode is still switched"
                );
            }
        }
        Ok(())
    }

    /// The mode that a plugin is in.
    #[must_use]
    pub fn of(&self, plugin: &Plugin) -> Mode {
        self.switch_of(plugin).map_or(plugin.mode(), |switch| switch.mode)
    }

    /// The switch that holds for a plugin, if one does.
    #[must_use]
    pub fn switch_of(&self, plugin: &Plugin) -> Option<Switch> {
        let switches = self.0.read().unwrap_or_else(PoisonError::into_inner);
        switches.get(plugin.name()).filter(|switch| switch.mode != plugin.mode()).cloned()
    }

    fn put(&self, switch: Switch) {
        let mut switches = self.0.write().unwrap_or_else(PoisonError::into_inner);
        switches.insert(switch.plugin.clone(), switch);
    }
}

impl Pipeline {
    /// Switches a plugin's mode; it holds from when this returns, and is on disk by then.
    ///
    /// # Errors
    /// When the journal does not answer: then nothing is switched.
    pub async fn switch_mode(&self, plugin: &Plugin, mode: Mode, reason: String) -> Result<(), RecordError> {
        let switch = Switch { plugin: plugin.name().to_owned(), configured: plugin.mode(), mode, reason };
        self.journal.switch(switch.clone()).await?;
        tracing::warn!(
            plugin.name = switch.plugin,
            plugin.mode = mode.as_str(),
            reason = switch.reason,
            "a plugin's mode was switched"
        );
        self.modes.put(switch);
        Ok(())
    }
}
