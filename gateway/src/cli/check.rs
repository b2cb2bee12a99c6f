//! `riposte check`: the configuration, the secrets, the plugins and the repository, before a
//! deployment needs them. It reports everything it finds, and changes nothing.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::CommandError;
use crate::commit::Notifier;
use crate::config::Config;
use crate::gateway::{compiler, load_plugins};
use crate::model::text::inert;
use crate::pipeline::{Cluster, Clusters, chain};
use crate::repository::Repository;
use crate::validate::{DryRun, Schemas, not_granted};

/// Find what is wrong with a configuration before a deployment does.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration file.
    #[arg(long, env = "RIPOSTE_CONFIG", default_value = "riposte.yaml")]
    config: PathBuf,
    /// Leave the repository alone.
    #[arg(long)]
    offline: bool,
}

/// What has been found.
struct Findings<'a, W> {
    out: &'a mut W,
    wrong: usize,
}

impl<W: Write> Findings<'_, W> {
    fn note<E: Display>(&mut self, what: &str, found: Result<String, E>) -> Result<(), CommandError> {
        match found {
            Ok(detail) => writeln!(self.out, "ok     {what}: {detail}")?,
            Err(error) => {
                self.wrong += 1;
                writeln!(self.out, "wrong  {what}: {}", inert(&error.to_string()))?;
            }
        }
        Ok(())
    }

    async fn repository(&mut self, repository: &Repository, clusters: &Clusters) -> Result<(), CommandError> {
        self.note("repository", repository.check().await.map_err(|error| chain(&error)))?;
        // What stands in the way of reading it has been said.
        let Ok(snapshot) = repository.snapshot_at_head().await else { return Ok(()) };
        if let Some(reason) = snapshot.pause() {
            writeln!(self.out, "note   repository: a file in it pauses the gateway: {}", inert(reason))?;
        }
        let objects = snapshot.objects();
        self.note::<String>(
            "manifests",
            Ok(format!("{objects} objects in {} files", snapshot.files().count())),
        )?;
        for Cluster { name, path, .. } in &clusters.0 {
            let objects = snapshot.of_cluster(name).map_or(0, |view| view.objects());
            let found = match objects {
                0 => Err(format!("{name}: nothing is applied from {path}")),
                objects => Ok(format!("{name}: {objects} objects")),
            };
            self.note("cluster", found)?;
        }
        for (path, reason) in snapshot.skipped() {
            writeln!(self.out, "note   manifests: {} is left out: {}", inert(path), inert(reason))?;
        }
        Ok(())
    }
}

impl Check {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let mut findings = Findings { out, wrong: 0 };
        let config = match Config::load(&self.config) {
            Ok(config) => {
                findings.note::<String>("configuration", Ok(self.config.display().to_string()))?;
                config
            }
            Err(error) => {
                for reason in error.reasons() {
                    findings.note("configuration", Err(reason))?;
                }
                return Err(CommandError::Negative("the configuration cannot be used".to_owned()));
            }
        };
        let listen = config.server.listen;
        findings.note("server", config.tokens().map(|_| format!("listens on {listen}")))?;
        match Notifier::new(&config.notify) {
            Ok(notifier) => {
                for host in notifier.hosts() {
                    findings.note::<String>("notify", Ok(format!("calls {host}")))?;
                }
            }
            Err(error) => findings.note("notify", Err(error))?,
        }
        if !config.validation.crds.is_empty() {
            let schemas = Schemas::new(&config.validation);
            let found = schemas.map(|schemas| format!("custom kinds with a schema: {}", schemas.defined()));
            findings.note("validation", found)?;
        }
        if let Some(config) = config.validation.dry_run.clone() {
            let server = DryRun::new(config).and_then(|dry_run| dry_run.server());
            findings.note("dry run", server.map(|server| format!("asks {server}")))?;
        }
        // A check leaves nothing behind, no compiled code either.
        match load_plugins(&config, compiler(None)?).await {
            Ok((catalog, _)) => {
                for plugin in catalog.plugins() {
                    let identity = plugin.identity();
                    let mode = plugin.mode().as_str();
                    findings.note::<String>(
                        "plugin",
                        Ok(format!("{} ({mode}) {}", identity.name, identity.digest)),
                    )?;
                    let missing = not_granted(&plugin.description().grants, plugin.grants());
                    if !missing.is_empty() {
                        let (name, missing) = (&identity.name, inert(&missing.join(", ")));
                        writeln!(
                            findings.out,
                            "note   plugin: {name} asks for grants that it does not have: {missing}"
                        )?;
                    }
                }
            }
            Err(error) => findings.note("plugins", Err(chain(&error)))?,
        }
        if !self.offline {
            let dir = tempfile::tempdir()?;
            match Repository::serving(config.clusters.folders(), &config.repository, dir.path()) {
                Ok(repository) => findings.repository(&repository, &config.clusters).await?,
                Err(error) => findings.note("repository", Err(chain(&error)))?,
            }
        }
        match findings.wrong {
            0 => Ok(()),
            wrong => Err(CommandError::Negative(format!("{wrong} found wrong"))),
        }
    }
}
