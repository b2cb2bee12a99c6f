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

const TWICE: &str = "two plugins have this name; the first one counts";

/// Loads plugins anew, once for each change.
#[derive(Debug)]
pub struct Renewal {
    engine: Engine,
    seen: Vec<Entry>,
    /// What was last loaded under each name, or could not be.
    tried: BTreeMap<String, Entry>,
}

type Entry = (PluginConfig, Stamp);

impl Renewal {
    /// Made before the plugins are loaded, so that no change is missed.
    #[must_use]
    pub fn new(engine: Engine, plugins: &[PluginConfig]) -> Self {
        let seen = stamped(plugins);
        let tried = seen.iter().map(|entry| (entry.0.name.clone(), entry.clone())).collect();
        Self { engine, seen, tried }
    }

    /// The catalog that follows `now`; `None` when nothing has changed. Blocks while plugins compile.
    pub fn renew(&mut self, plugins: &[PluginConfig], now: &Catalog) -> Option<Catalog> {
        let current = stamped(plugins);
        if current == self.seen {
            return None;
        }
        self.seen = current;
        // One that was taken out and comes back is new.
        self.tried.retain(|name, _| self.seen.iter().any(|(plugin, _)| plugin.name == *name));
        let mut next: Vec<Arc<Plugin>> = Vec::with_capacity(plugins.len());
        let mut problems = BTreeMap::new();
        for entry in &self.seen {
            let name = &entry.0.name;
            if next.iter().any(|plugin| plugin.name() == name) {
                problems.insert(name.clone(), TWICE.to_owned());
                continue;
            }
            let before = now.get(name).cloned();
            if self.tried.get(name) == Some(entry) {
                next.extend(before);
                let problem = now.problem(name).filter(|problem| *problem != TWICE);
                problems.extend(problem.map(|problem| (name.clone(), problem.to_owned())));
                continue;
            }
            self.tried.insert(name.clone(), entry.clone());
            match Plugin::load(&self.engine, &entry.0) {
                Ok(plugin) => next.push(Arc::new(plugin)),
                Err(error) => {
                    next.extend(before);
                    problems.insert(name.clone(), error.to_string());
                }
            }
        }
        Some(Catalog::renewed(next, problems))
    }
}

fn stamped(plugins: &[PluginConfig]) -> Vec<Entry> {
    plugins.iter().map(|plugin| (plugin.clone(), Stamp::of_source(&plugin.source))).collect()
}
