//! Plugins that were changed while the gateway runs: their files, or their entries in the configuration.
//!
//! One that cannot be loaded anew does not stop the others, nor itself: its last good version goes on,
//! and the catalog says why. What has not changed is not loaded again.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::catalog::{Catalog, Plugin, PluginConfig};
use super::engine::Engine;

/// What tells a file from the one that was there before, also where a link now leads elsewhere, as
/// Kubernetes changes its volumes. A file that is not there has a stamp too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(Option<[i64; 5]>);

impl Stamp {
    /// The stamp of what is at that path now.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let read = |found: std::fs::Metadata| {
            let (inode, device) = (found.ino().cast_signed(), found.dev().cast_signed());
            [inode, device, found.size().cast_signed(), found.mtime(), found.mtime_nsec()]
        };
        Self(std::fs::metadata(path).ok().map(read))
    }

    fn of_source(source: &str) -> Self {
        source.strip_prefix("file:").map_or(Self(None), |path| Self::of(Path::new(path)))
    }
}

/// Loads plugins anew, once for each change.
#[derive(Debug)]
pub struct Renewal {
    engine: Engine,
    seen: Vec<(PluginConfig, Stamp)>,
}

impl Renewal {
    /// Made before the plugins are loaded, so that no change is missed.
    #[must_use]
    pub fn new(engine: Engine, plugins: &[PluginConfig]) -> Self {
        Self { engine, seen: stamped(plugins) }
    }

    /// The catalog that follows `now`; `None` when nothing has changed. Blocks while plugins compile.
    pub fn renew(&mut self, plugins: &[PluginConfig], now: &Catalog) -> Option<Catalog> {
        let current = stamped(plugins);
        if current == self.seen {
            return None;
        }
        let seen = std::mem::replace(&mut self.seen, current);
        let mut next: Vec<Arc<Plugin>> = Vec::with_capacity(plugins.len());
        let mut problems = BTreeMap::new();
        for entry in &self.seen {
            let name = &entry.0.name;
            if next.iter().any(|plugin| plugin.name() == name) {
                problems.insert(name.clone(), "two plugins have this name; the first one counts".to_owned());
                continue;
            }
            let before = now.get(name).cloned();
            if seen.contains(entry) {
                next.extend(before);
                problems.extend(now.problem(name).map(|problem| (name.clone(), problem.to_owned())));
                continue;
            }
            match Plugin::load(&self.engine, &entry.0) {
                Ok(plugin) => {
                    let digest = &plugin.identity().digest;
                    tracing::info!(plugin.name = name, plugin.digest = digest, "a plugin was loaded anew");
                    next.push(Arc::new(plugin));
                }
                Err(error) => {
                    let goes_on = before.is_some();
                    tracing::error!(plugin.name = name, error = %error, goes_on, "a plugin was changed and cannot be loaded; its last good version goes on, if it has one");
                    next.extend(before);
                    problems.insert(name.clone(), error.to_string());
                }
            }
        }
        Some(Catalog::renewed(next, problems))
    }
}

fn stamped(plugins: &[PluginConfig]) -> Vec<(PluginConfig, Stamp)> {
    plugins.iter().map(|plugin| (plugin.clone(), Stamp::of_source(&plugin.source))).collect()
}
