//! A whole gateway from a configuration: build, run, drain.
//!
//! What `serve`, `demo` and the tests start is this same thing.

mod reload;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::commit::Notifier;
use crate::commit::notify::NotifyError;
use crate::config::{Config, ConfigError};
use crate::dispatch::{self, Allocation, Catalog, Compiler, Engine, Renewal, Stamp};
use crate::pipeline::{Modes, Pauses, Pipeline, Throttle};
use crate::record::{Journal, RecordError};
use crate::repository::{Repository, RepositoryError};
use crate::server::{self, App};
use crate::shutdown::{self, Trigger};
use crate::validate::{DefinitionError, DryRun, DryRunError, Schemas};
use crate::worker;
use reload::Watched;

/// The folder of compiled plugins, beside the journal.
const COMPILED: &str = "compiled";

/// The gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration, or a secret it names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The journal.
    #[error("the journal cannot be opened")]
    Journal(#[from] RecordError),
    /// The desired-state repository.
    #[error("the desired-state repository cannot be used")]
    Repository(#[from] RepositoryError),
    /// The WebAssembly engine.
    #[error("the WebAssembly engine cannot be made")]
    Engine(#[from] dispatch::EngineError),
    /// The program that compiles plugins, which is this one.
    #[error("cannot tell which program this is, to compile plugins by it")]
    Compiler(#[source] std::io::Error),
    /// One plugin or several.
    #[error("plugins cannot be loaded: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Plugins(Vec<dispatch::LoadError>),
    /// A receiver of the notifications.
    #[error("a receiver under `notify` cannot be used")]
    Notify(#[from] NotifyError),
    /// A custom kind's definition.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// The kubeconfig of the API server that is to be asked.
    #[error(transparent)]
    DryRun(#[from] DryRunError),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A gateway that runs. It ends by [`Gateway::stop`]; dropping it leaves the tasks to the runtime.
#[derive(Debug)]
pub struct Gateway {
    /// Where it listens.
    pub address: SocketAddr,
    /// The path of an event.
    pub pipeline: Arc<Pipeline>,
    trigger: Trigger,
    server: JoinHandle<()>,
    worker: JoinHandle<()>,
    reload: JoinHandle<()>,
    journal: JoinHandle<()>,
}

impl Gateway {
    /// Builds everything the configuration names, and starts it.
    ///
    /// # Errors
    /// When a part cannot be had: nothing runs then.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_from(config, None).await
    }

    /// The same, and takes up changes of the file's `plugins` while it runs.
    ///
    /// # Errors
    /// When a part cannot be had: nothing runs then.
    pub async fn start_from(config: &Config, file: Option<&Path>) -> Result<Self, StartError> {
        let (ingest_tokens, api_tokens) = config.tokens()?;
        let file = file.map(|file| (file.to_owned(), Stamp::of(file)));
        let compiler = compiler(Some(&config.journal.dir.join(COMPILED)))?;
        let (catalog, renewal) = load_plugins(config, compiler).await?;
        let notifier = Notifier::new(&config.notify)?;
        let schemas = Schemas::new(&config.validation)?.for_clusters(config.clusters.versions());
        let dry_run = config.validation.dry_run.clone().map(DryRun::new).transpose()?;
        let listener = listen(config.server.listen).await?;
        let address = listener
            .local_addr()
            .map_err(|source| StartError::Listen { address: config.server.listen, source })?;
        let (journal, journal_task) = Journal::open(&config.journal).await?;
        let modes = Modes::new(&journal, &catalog).await?;
        // A repository that is away is no reason to take no events: reactions wait for it.
        let clusters = config.clusters.folders();
        let repository = Repository::serving(clusters, &config.repository, &config.journal.dir)?;
        let branch = &config.repository.branch;
        let mut pipeline = Pipeline::new(journal, repository, catalog, modes, notifier, branch);
        pipeline.pauses = Pauses::new(&pipeline.journal, &pipeline.metrics).await?;
        pipeline.guardrails = config.guardrails.clone();
        pipeline.schemas = Arc::new(schemas);
        pipeline.dry_run = dry_run;
        pipeline.repeats = config.repeats.clone();
        pipeline.clusters = config.clusters.clone();
        pipeline.limits.backoff_max_ms = i64::from(config.repository.limits.retry_ms);
        pipeline.coalesce = config.coalesce.clone();
        pipeline.throttle = Throttle::new(&pipeline.journal, pipeline.repository.budget()).await?;
        pipeline.receive_limits.body_bytes_max = config.server.limits.body_bytes_max;
        let pipeline = Arc::new(pipeline);
        let (trigger, shutdown) = shutdown::channel();
        let worker = tokio::spawn(worker::run(Arc::clone(&pipeline), shutdown.clone()));
        let app = App::new(Arc::clone(&pipeline), ingest_tokens, api_tokens, config.server.limits.clone());
        let watched = Watched { file, plugins: config.plugins.clone(), renewal };
        let reload = tokio::spawn(reload::run(Arc::clone(&pipeline), watched, shutdown.clone()));
        let server = tokio::spawn(server::serve(listener, app, shutdown));
        tracing::info!(server.address = %address, journal.name = pipeline.journal.name(), "the gateway is up");
        Ok(Self { address, pipeline, trigger, server, worker, reload, journal: journal_task })
    }

    /// Takes no more requests, finishes what is begun, closes the journal.
    pub async fn stop(self) {
        self.trigger.fire();
        for (task, name) in [(self.server, "server"), (self.worker, "worker"), (self.reload, "reload")] {
            if let Err(error) = task.await {
                tracing::error!(task.name = name, error = %error, "a task ended badly");
            }
        }
        drop(self.pipeline);
        if let Err(error) = self.journal.await {
            tracing::error!(error = %error, "the journal's writer ended badly");
        }
        tracing::info!("the gateway has ended");
    }
}

/// This program as the compiler, with a cache in that folder.
///
/// # Errors
/// When the system does not tell which program this is.
pub fn compiler(folder: Option<&Path>) -> Result<Compiler, StartError> {
    Compiler::of_this_program(folder).map_err(StartError::Compiler)
}

/// Loads and compiles off the runtime's threads.
///
/// # Errors
/// When the engine cannot be made or any plugin is refused.
pub async fn load_plugins(config: &Config, compiler: Compiler) -> Result<(Catalog, Renewal), StartError> {
    let plugins = config.plugins.clone();
    let loaded = tokio::task::spawn_blocking(move || {
        let engine = Engine::new(compiler, Allocation::Pooled)?;
        let renewal = Renewal::new(engine.clone(), &plugins);
        let catalog = Catalog::load(&engine, &plugins).map_err(StartError::Plugins)?;
        Ok((catalog, renewal))
    });
    loaded.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}
