//! The one configuration document: YAML, camelCase, the same file for `serve` and the chart.
//!
//! An unknown key is refused with the nearest known one, all of them at once. Secrets are never in
//! it, only the files that hold them. Each module owns its part; this one only puts them together.

mod unknown;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::commit::{Coalesce, notify};
use crate::model::patch::EXPIRES_AFTER_S_MAX;
use crate::model::plugin::Mode;
use crate::pipeline::{Clusters, PROPOSE_CALLS, Repeats};
use crate::receive::Tokens;
use crate::server::Auth;
use crate::validate::Guardrails;
use crate::{dispatch, record, repository, server, validate};

/// The whole configuration.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Where and how the gateway listens.
    #[serde(default)]
    pub server: server::Config,
    /// Where the journal lives.
    #[serde(default)]
    pub journal: record::Config,
    /// The desired-state repository.
    pub repository: repository::Config,
    /// Flux receivers to call after a commit.
    #[serde(default)]
    pub notify: Vec<notify::WebhookConfig>,
    /// What no plugin may do.
    #[serde(default)]
    pub guardrails: Guardrails,
    /// What a valid object looks like, beside Kubernetes' own kinds.
    #[serde(default)]
    pub validation: validate::Config,
    /// How long reports of one incident are one.
    #[serde(default)]
    pub repeats: Repeats,
    /// The clusters that the repository serves, where it serves several.
    #[serde(default)]
    pub clusters: Clusters,
    /// How proposals are joined into commits.
    #[serde(default)]
    pub coalesce: Coalesce,
    /// The plugins, in the order in which an event meets them.
    #[serde(default)]
    pub plugins: Vec<dispatch::PluginConfig>,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The text is not the document.
    #[error("{path}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where, what and what to do; one line each.
        reason: String,
    },
    /// A secret's file cannot be read.
    #[error("cannot read the secret in {path}: {reason}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The gateway would be open to everyone who can reach it.
    #[error(
        "server.listen is {listen}, which others can reach, and {missing} is empty: give a token file, listen on \
         127.0.0.1, or say `server.auth: none`"
    )]
    Open {
        /// The address.
        listen: String,
        /// The empty list.
        missing: &'static str,
    },
}

impl ConfigError {
    /// What is wrong, each by itself, for people.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Self::Invalid { path, reason } => {
                reason.lines().map(|line| format!("{}: {line}", path.display())).collect()
            }
            other => vec![other.to_string()],
        }
    }
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// When the file cannot be read, has an unknown key or a wrong value.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Read { path: path.to_owned(), reason: error.to_string() })?;
        Self::parse(&text).map_err(|reason| ConfigError::Invalid { path: path.to_owned(), reason })
    }

    /// Reads a configuration text.
    ///
    /// # Errors
    /// What is wrong with it, a line each.
    pub fn parse(text: &str) -> Result<Self, String> {
        // By way of YAML's own value: only that one refuses a key that is given twice.
        let document: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let document = serde_json::to_value(document).map_err(|error| error.to_string())?;
        let unknown = unknown::unknown_keys(&document, &Self::schema());
        if !unknown.is_empty() {
            return Err(unknown.join("\n"));
        }
        let config: Self = serde_path_to_error::deserialize(document).map_err(|error| error.to_string())?;
        let mut wrong = [
            config.zeros(),
            config.proposals_to_nowhere(),
            config.bursts_too_large(),
            config.clusters.wrong(),
        ]
        .concat();
        if config.repeats.window_s > Repeats::WINDOW_S_MAX {
            let (is, max) = (config.repeats.window_s, Repeats::WINDOW_S_MAX);
            wrong.push(format!("repeats.windowS is {is}, and {max} is the most; 0 dispatches every event"));
        }
        if config.repeats.overridden_s > Repeats::OVERRIDDEN_S_MAX {
            let (is, max) = (config.repeats.overridden_s, Repeats::OVERRIDDEN_S_MAX);
            wrong.push(format!("repeats.overriddenS is {is}, and {max} is the most; 0 respects no revert"));
        }
        wrong.extend(config.plugins.iter().filter_map(never_or_too_late));
        if wrong.is_empty() { Ok(config) } else { Err(wrong.join("\n")) }
    }

    /// A line for every plugin that would open pull requests where there are none.
    fn proposals_to_nowhere(&self) -> Vec<String> {
        if self.repository.is_on_github() {
            return Vec::new();
        }
        let proposing = self.plugins.iter().filter(|plugin| plugin.mode == Mode::Propose);
        let line = |plugin: &dispatch::PluginConfig| {
            format!(
                "plugin {} has mode propose, but the repository is not on GitHub, and plain Git has no pull \
                 requests: give repository.github and auth.tokenFile, or choose observe or enforce",
                plugin.name
            )
        };
        proposing.map(line).collect()
    }

    /// A line for every limit of a burst that is beyond what a commit can be, and for a budget that no
    /// pull request fits into.
    fn bursts_too_large(&self) -> Vec<String> {
        let Coalesce { idle_ms, wait_max_ms, changes_max } = self.coalesce;
        let mosts = [
            ("coalesce.idleMs", idle_ms, Coalesce::WAIT_MS_MAX),
            ("coalesce.waitMaxMs", wait_max_ms, Coalesce::WAIT_MS_MAX),
            ("coalesce.changesMax", changes_max, Coalesce::CHANGES_MAX),
        ];
        let too_large = mosts.into_iter().filter(|(_, is, most)| is > most);
        let too_large = too_large.map(|(name, is, most)| format!("{name} is {is}, and {most} is the most"));
        let proposes = self.plugins.iter().any(|plugin| plugin.mode == Mode::Propose);
        let budget = self.repository.github.as_ref().map(|github| &github.budget).filter(|_| proposes);
        let windows = budget.map(|budget| [("perMinute", budget.per_minute), ("perHour", budget.per_hour)]);
        let too_small = windows.into_iter().flatten().filter(|(_, calls)| *calls < PROPOSE_CALLS);
        let too_small = too_small.map(|(name, calls)| {
            format!(
                "repository.github.budget.{name} is {calls}, and a pull request takes {PROPOSE_CALLS} calls"
            )
        });
        too_large.chain(too_small).collect()
    }

    /// A line for every limit that would let nothing through.
    fn zeros(&self) -> Vec<String> {
        let (server, repository) = (&self.server.limits, &self.repository.limits);
        let limits = [
            ("server.limits.bodyBytesMax", server.body_bytes_max as u64),
            ("server.limits.headerReadMs", server.header_read_ms),
            ("server.limits.bodyReadMs", server.body_read_ms),
            ("server.limits.connectionsMax", server.connections_max as u64),
            ("server.limits.admissionsMax", server.admissions_max as u64),
            ("journal.queueWritesMax", self.journal.queue_writes_max as u64),
            ("coalesce.changesMax", u64::from(self.coalesce.changes_max)),
            ("guardrails.commitsMax", u64::from(self.guardrails.commits_max)),
            ("guardrails.workloadsMax", u64::from(self.guardrails.workloads_max)),
            ("guardrails.windowS", u64::from(self.guardrails.window_s)),
            (
                "validation.dryRun.timeoutMs",
                self.validation.dry_run.as_ref().map_or(1, |own| own.timeout_ms.into()),
            ),
            ("repository.limits.fileBytesMax", repository.file_bytes_max as u64),
            ("repository.limits.filesMax", repository.files_max as u64),
            ("repository.limits.totalBytesMax", repository.total_bytes_max as u64),
            ("repository.limits.commitBytesMax", repository.commit_bytes_max as u64),
            ("repository.limits.walkCommitsMax", repository.walk_commits_max as u64),
            ("repository.limits.fetchMs", u64::from(repository.fetch_ms)),
            ("repository.limits.fetchTotalMs", u64::from(repository.fetch_total_ms)),
            ("repository.limits.fetchBytesMax", repository.fetch_bytes_max as u64),
            ("repository.limits.retryMs", u64::from(repository.retry_ms)),
        ];
        let budget = self.repository.github.as_ref().map(|github| &github.budget);
        let budget = budget.map(|budget| {
            [
                ("repository.github.budget.perMinute", u64::from(budget.per_minute)),
                ("repository.github.budget.perHour", u64::from(budget.per_hour)),
            ]
        });
        let limits = limits.into_iter().chain(budget.into_iter().flatten());
        let zeros = limits.filter(|(_, limit)| *limit == 0);
        zeros.map(|(name, _)| format!("{name} is 0, which lets nothing through; 1 is the least")).collect()
    }

    /// The document's JSON Schema, which the chart repeats.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// The tokens of senders and of clients.
    ///
    /// # Errors
    /// When a file cannot be read, or the gateway would be open to everyone.
    pub fn tokens(&self) -> Result<(Tokens, Tokens), ConfigError> {
        let server = &self.server;
        if server.auth == Auth::None {
            return Ok((Tokens::none(), Tokens::none()));
        }
        let open = |missing| ConfigError::Open { listen: server.listen.to_string(), missing };
        if !is_loopback(server.listen.ip()) {
            if server.ingest_token_files.is_empty() {
                return Err(open("server.ingestTokenFiles"));
            }
            if server.api_token_files.is_empty() {
                return Err(open("server.apiTokenFiles"));
            }
        }
        Ok((tokens(&server.ingest_token_files)?, tokens(&server.api_token_files)?))
    }
}

/// A line for a plugin whose commits could not expire so.
fn never_or_too_late(plugin: &dispatch::PluginConfig) -> Option<String> {
    let (name, is) = (&plugin.name, plugin.expires_after_s?);
    let wrong = is == 0 || is > EXPIRES_AFTER_S_MAX;
    wrong.then(|| {
        format!("plugin {name} has expiresAfterS {is}: it goes from 1 to {EXPIRES_AFTER_S_MAX}; without it nothing expires")
    })
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn tokens(files: &[PathBuf]) -> Result<Tokens, ConfigError> {
    if files.is_empty() {
        return Ok(Tokens::none());
    }
    files.iter().map(|path| read_secret(path)).collect::<Result<Vec<_>, _>>().map(Tokens::new)
}

/// The text of a secret's file without the line end that editors add.
///
/// # Errors
/// When it cannot be read or is empty.
pub fn read_secret(path: &Path) -> Result<String, ConfigError> {
    let failed = |reason: String| ConfigError::Secret { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() { Err(failed("the file is empty".to_owned())) } else { Ok(secret.to_owned()) }
}
