//! Looks every two seconds whether plugins have changed: their files, or the `plugins` of the
//! configuration. Nothing else of the configuration is taken up without a restart.
//!
//! A look asks the file system for a few stamps and reads nothing that is as it was. No watching of
//! directories: that misses changes on network file systems and in Kubernetes' volumes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::dispatch::{PluginConfig, Renewal, Stamp};
use crate::pipeline::Pipeline;
use crate::shutdown::Shutdown;

const LOOK_MS: u64 = 2_000;

/// What is looked at.
#[derive(Debug)]
pub(super) struct Watched {
    /// The configuration's file and its stamp; `None` for a configuration that came from none.
    pub(super) file: Option<(PathBuf, Stamp)>,
    /// The entries as they were read last.
    pub(super) plugins: Vec<PluginConfig>,
    pub(super) renewal: Renewal,
}

/// Takes up changes until shutdown.
pub(super) async fn run(pipeline: Arc<Pipeline>, mut watched: Watched, mut shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
            () = shutdown.wait() => return,
        }
        let now = pipeline.catalog();
        let looked = tokio::task::spawn_blocking(move || {
            watched.read();
            let next = watched.renewal.renew(&watched.plugins, &now);
            (watched, next)
        });
        let Ok((back, next)) = looked.await else {
            tracing::error!("looking for changed plugins ended badly; a restart takes changes up again");
            return;
        };
        watched = back;
        if let Some(next) = next {
            pipeline.take_up(next).await;
        }
    }
}

impl Watched {
    /// Reads the entries if the file has changed. One that cannot be used changes nothing.
    fn read(&mut self) {
        let Some((file, stamp)) = &mut self.file else { return };
        let found = Stamp::of(file);
        if found == *stamp {
            return;
        }
        *stamp = found;
        match Config::load(file) {
            Ok(config) => {
                tracing::info!(config.file = %file.display(), "the configuration was changed; its plugins are taken up");
                self.plugins = config.plugins;
            }
            Err(error) => {
                tracing::error!(error = %error, "the configuration was changed and cannot be used; the one before goes on");
            }
        }
    }
}
