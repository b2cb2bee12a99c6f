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
        let (before, next) = (self.catalog(), Arc::new(next));
        let is_new =
            |plugin: &&Arc<Plugin>| before.get(plugin.name()).is_none_or(|old| !Arc::ptr_eq(old, plugin));
        let changed: Vec<&Arc<Plugin>> = next.plugins().iter().filter(is_new).collect();
        changed.iter().for_each(|plugin| self.breakers.forget(plugin.name()));
        if let Err(error) = self.modes.take_up(&self.journal, &next).await {
            tracing::error!(error = %error, "the modes of changed plugins could not be taken up");
        }
        self.metrics.stale.set(i64::try_from(next.stale().count()).unwrap_or(i64::MAX));
        self.plugins.send_replace(Arc::clone(&next));
        // Said once it is so: whoever reads it may count on it.
        for plugin in changed {
            let digest = &plugin.identity().digest;
            tracing::info!(
                plugin.name = plugin.name(),
                plugin.digest = digest,
                "a changed plugin was taken up"
            );
        }
        for plugin in before.plugins().iter().filter(|plugin| next.get(plugin.name()).is_none()) {
            tracing::warn!(plugin.name = plugin.name(), "a plugin is no longer configured");
        }
        for name in next.stale().filter(|name| before.problem(name) != next.problem(name)) {
            let reason = next.problem(name).unwrap_or_default();
            tracing::error!(
                plugin.name = name,
                reason,
                "a changed plugin cannot be loaded; its last good version goes on, if it has one"
            );
        }
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
