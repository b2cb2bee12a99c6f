//! Logs and metrics. A leaf.
//!
//! A log line is a sentence with dotted fields; it never holds a body or a secret. Metrics belong
//! to one gateway, not to the process: tests run several beside each other.

use std::io::IsTerminal;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to standard error. `RUST_LOG` overrides `level`.
pub fn log_to_stderr(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let colours = std::io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    // A second start in one process (a test) keeps the first one's subscriber.
    let _already_set = match format {
        LogFormat::Text => builder.try_init().is_err(),
        LogFormat::Json => builder.json().flatten_event(true).try_init().is_err(),
    };
}

/// The status of an answer to an ingest request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabel {
    /// The HTTP status code.
    pub status: u16,
    /// The rejection's kind, or `accepted`.
    pub kind: String,
}

/// How a plugin's reaction ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// The plugin's name.
    pub plugin: String,
    /// The outcome.
    pub outcome: String,
}

/// A plugin's failure.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FailureLabel {
    /// The plugin's name, or `commit`.
    pub at: String,
    /// The failure's kind.
    pub kind: String,
}

/// A plugin.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PluginLabel {
    /// Its name.
    pub plugin: String,
}

/// By what the gateway is paused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PausedLabel {
    /// `api` or `file`.
    pub by: String,
}

/// A window of a budget.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WindowLabel {
    /// `minute` or `hour`.
    pub window: String,
}

/// Everything that `/metrics` shows.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Ingest requests by answer.
    pub requests: Family<StatusLabel, Counter>,
    /// Events stored.
    pub events: Counter,
    /// Events that repeat an incident and were not dispatched.
    pub repeats: Counter,
    /// Reactions that ended.
    pub outcomes: Family<OutcomeLabel, Counter>,
    /// Failures of plugins and commits, those that are tried again among them.
    pub failures: Family<FailureLabel, Counter>,
    /// Plugins whose changed version could not be loaded.
    pub stale: Gauge,
    /// 1 while a plugin is parked because it keeps failing.
    pub parked: Family<PluginLabel, Gauge>,
    /// 1 while nothing is committed because of that.
    pub paused: Family<PausedLabel, Gauge>,
    /// Proposals that wait to be committed.
    pub waiting: Gauge,
    /// How long the first of them has waited, in seconds.
    pub waiting_seconds: Gauge,
    /// When the queue goes on that is held, in seconds since 1970; 0 if it is not.
    pub held_until: Gauge,
    /// Calls that are left of the budget for GitHub.
    pub budget_left: Family<WindowLabel, Gauge>,
    /// Receiver webhooks that did not answer as they should.
    pub notify_failures: Counter,
    /// Seconds from the making of a reaction to its end.
    pub settle_seconds: Histogram,
    /// 1 when the desired-state repository answered last time.
    pub repository_reachable: Gauge,
}

impl Metrics {
    /// Metrics of one gateway, all at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("riposte");
        let requests = Family::default();
        let events = Counter::default();
        let repeats = Counter::default();
        let outcomes = Family::default();
        let failures = Family::default();
        let stale = Gauge::default();
        let parked = Family::default();
        let paused = Family::default();
        let (waiting, waiting_seconds, held_until) = (Gauge::default(), Gauge::default(), Gauge::default());
        let budget_left = Family::default();
        let notify_failures = Counter::default();
        let settle_seconds = Histogram::new(exponential_buckets(0.005, 2.0, 16));
        let repository_reachable = Gauge::default();
        registry.register("ingest_requests", "Ingest requests by answer", requests.clone());
        registry.register("events_recorded", "Events stored", events.clone());
        registry.register("events_repeated", "Events that repeat an incident", repeats.clone());
        registry.register("reactions_settled", "Reactions that ended, by outcome", outcomes.clone());
        registry.register("failures", "Failures of plugins and commits, by kind", failures.clone());
        registry.register("plugins_stale", "Plugins whose changed version is not loaded", stale.clone());
        registry.register("plugin_parked", "Whether a plugin is parked", parked.clone());
        registry.register("paused", "Whether nothing is committed", paused.clone());
        registry.register("proposals_waiting", "Proposals that wait to be committed", waiting.clone());
        registry.register(
            "proposals_oldest_age_seconds",
            "How long the first of them has waited",
            waiting_seconds.clone(),
        );
        registry.register("commits_held_until_seconds", "When the held queue goes on", held_until.clone());
        registry.register("budget_left", "Calls that are left of the budget for GitHub", budget_left.clone());
        registry.register("notify_failures", "Receiver webhooks that failed", notify_failures.clone());
        registry.register(
            "settle_seconds",
            "From the making of a reaction to its end, in seconds",
            settle_seconds.clone(),
        );
        registry.register(
            "repository_reachable",
            "Whether the repository answered last time",
            repository_reachable.clone(),
        );
        Self {
            registry,
            requests,
            events,
            repeats,
            outcomes,
            failures,
            stale,
            parked,
            paused,
            waiting,
            waiting_seconds,
            held_until,
            budget_left,
            notify_failures,
            settle_seconds,
            repository_reachable,
        }
    }

    /// The metrics in OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _infallible = prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err();
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
