//! The plugins as they are now: taken up when they have changed, parked while they keep failing.

use std::sync::Arc;

use super::Pipeline;
use crate::dispatch::{Catalog, Plugin};
use crate::telemetry::PluginLabel;

impl Pipeline {
    /// The plugins as they are now; whoever begins something with them ends it with the same ones.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.plugins.borrow())
    }

    /// Takes up plugins that were changed. What has begun with the old ones ends with them.
    pub async fn take_up(&self, next: Catalog) {
        let before = self.catalog();
        for plugin in next.plugins() {
            let same = |old: &&Arc<Plugin>| Arc::ptr_eq(old, plugin);
            if before.get(plugin.name()).filter(same).is_none() {
                self.breakers.forget(plugin.name());
            }
        }
        if let Err(error) = self.modes.take_up(&self.journal, &next).await {
            tracing::error!(error = %error, "the modes of changed plugins could not be taken up");
        }
        self.metrics.stale.set(i64::try_from(next.stale().count()).unwrap_or(i64::MAX));
        self.plugins.send_replace(Arc::new(next));
        self.wake.reactions.notify_one();
    }

    /// The names of the plugins that are parked; the metrics tell them too.
    #[must_use]
    pub fn parked(&self) -> Vec<String> {
        let mut parked = Vec::new();
        for plugin in self.catalog().plugins() {
            let is_parked = self.breakers.parked(plugin.name()).is_some();
            let label = PluginLabel { plugin: plugin.name().to_owned() };
            self.metrics.parked.get_or_create(&label).set(i64::from(is_parked));
            if is_parked {
                parked.push(plugin.name().to_owned());
            }
        }
        parked
    }
}
