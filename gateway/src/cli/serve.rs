//! `riposte serve`: the gateway until SIGINT or SIGTERM.

use std::path::PathBuf;

use clap::Args;

use super::CommandError;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::shutdown::Signals;

/// Run the gateway.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration file.
    #[arg(long, env = "RIPOSTE_CONFIG", default_value = "riposte.yaml")]
    config: PathBuf,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let config = Config::load(&self.config)?;
        // Before the start: a pod may be ended while it still starts.
        let mut signals = Signals::listen()?;
        let gateway = Gateway::start_from(&config, Some(&self.config)).await?;
        signals.wait().await;
        gateway.stop().await;
        Ok(())
    }
}
