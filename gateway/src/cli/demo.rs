//! `riposte demo`: an event becomes a commit, on embedded defaults and for real.
//!
//! The gateway of the demo is the gateway of `serve`; only the repository is made on the spot. The
//! event is what falcosidekick sends for the tutorial's shell in a container, header for header.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::CommandError;
use super::events::indent;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::record::{EventDetail, ReactionView};
use crate::repository::git;
use crate::shutdown::Signals;

const BRANCH: &str = "main";
const FILES: [(&str, &str); 3] = [
    ("apps/alpine.yaml", include_str!("../../demo/apps/alpine.yaml")),
    ("apps/kustomization.yaml", include_str!("../../demo/apps/kustomization.yaml")),
    ("apps/shop.yaml", include_str!("../../demo/apps/shop.yaml")),
];
const EVENT: &str = include_str!("../../demo/terminal-shell.json");
/// How falcosidekick 2.34 names that event.
const HEADERS: [(&str, &str); 10] = [
    ("user-agent", "Go-http-client/1.1"),
    ("ce-eventsource", "syscalls"),
    ("ce-id", "4b9e303d-776c-4f7b-b5c9-3bb12a3aa508"),
    ("ce-priority", "Notice"),
    ("ce-rule", "Terminal shell in container"),
    ("ce-source", "https://falco.org"),
    ("ce-specversion", "1.0"),
    ("ce-time", "2021-06-13T19:35:58.532086161Z"),
    ("ce-type", "falco.rule.output.v1"),
    ("content-type", "application/json"),
];
/// How long the event may take to become a commit, in seconds.
const WAIT_S_MAX: u64 = 20;

/// Show an event become a commit, on a repository made on the spot.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Where to put the repository and the journal; a temporary directory unless told.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// End after the commit: with status 0, or 1 if there was none.
    #[arg(long)]
    once: bool,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

impl Demo {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        // Kept until the end: dropping it removes the directory.
        let temporary = if self.dir.is_none() { Some(tempfile::tempdir()?) } else { None };
        let dir = self.dir.as_deref().or(temporary.as_ref().map(tempfile::TempDir::path));
        let dir = dir.unwrap_or(Path::new("."));
        let unusable = |error: std::io::Error| {
            let reason = format!("cannot use {} for the demo: {error}", dir.display());
            CommandError::Failed(reason.into())
        };
        std::fs::create_dir_all(dir).map_err(unusable)?;
        let dir = std::fs::canonicalize(dir).map_err(unusable)?;
        let repository = dir.join("fleet.git");
        if !repository.exists() {
            git::init_bare(&repository, BRANCH, &FILES, "The fleet as it is")?;
        }
        let config = config(&dir, &repository, self.listen)?;
        writeln!(out, "desired state  {} (branch {BRANCH})", repository.display())?;
        let gateway = Gateway::start(&config).await?;
        writeln!(
            out,
            "gateway        http://{} (journal {})",
            gateway.address,
            gateway.pipeline.journal.name()
        )?;
        let shown = show(&gateway, out).await;
        if let (Ok(()), false) = (&shown, self.once) {
            suggest(out, gateway.address, &repository)?;
            Signals::listen()?.wait().await;
        }
        gateway.stop().await;
        shown
    }
}

/// The configuration that a person would write for this.
fn config(dir: &Path, repository: &Path, listen: SocketAddr) -> Result<Config, CommandError> {
    let quoted = |path: &Path| serde_json::Value::from(path.display().to_string()).to_string();
    let url = serde_json::Value::from(format!("file://{}", repository.display())).to_string();
    let text = format!(
        "server:
  listen: {listen}
journal:
  dir: {}
repository:
  url: {url}
  branch: {BRANCH}
coalesce: {{ idleMs: 0 }}
plugins:
  - name: scale-to-zero
    source: bundled:scale-to-zero
    mode: enforce
    grants:
      kinds: [apps/v1/Deployment]
      namespaces: [default]
      fields: [/spec/replicas]
    config:
      rules: [Terminal shell in container]
",
        quoted(&dir.join("data"))
    );
    Config::parse(&text)
        .map_err(|reason| CommandError::Negative(format!("the demo's configuration: {reason}")))
}

async fn show(gateway: &Gateway, out: &mut impl Write) -> Result<(), CommandError> {
    let began = Instant::now();
    let answer = send(gateway.address).await?;
    let acknowledged = began.elapsed();
    if answer.status() != StatusCode::ACCEPTED {
        return Err(CommandError::Negative(format!("the gateway answered {}", answer.status())));
    }
    let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let seq = location.and_then(|location| location.rsplit('/').next()?.parse().ok());
    let seq: i64 = seq.ok_or_else(|| CommandError::Negative("the answer names no event".to_owned()))?;
    let detail = settled(gateway, seq).await?;
    let took = began.elapsed();
    report(out, &detail, acknowledged, took)
}

/// Sends the event as falcosidekick does.
async fn send(address: SocketAddr) -> Result<Response<Incoming>, CommandError> {
    let mut request = Request::post(format!("http://{address}/"));
    for (name, value) in HEADERS {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from_static(EVENT.as_bytes())))?;
    Ok(Client::builder(TokioExecutor::new()).build_http().request(request).await?)
}

/// The event with its reactions, once all have ended.
async fn settled(gateway: &Gateway, seq: i64) -> Result<EventDetail, CommandError> {
    let deadline = Instant::now() + Duration::from_secs(WAIT_S_MAX);
    loop {
        if let Some(detail) = gateway.pipeline.journal.detail(seq).await?
            && detail.row.routed
            && detail.reactions.iter().all(|reaction| reaction.outcome.is_some())
        {
            return Ok(detail);
        }
        if Instant::now() > deadline {
            return Err(CommandError::Negative(format!("event {seq} had no outcome after {WAIT_S_MAX} s")));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn report(
    out: &mut impl Write,
    detail: &EventDetail,
    acknowledged: Duration,
    took: Duration,
) -> Result<(), CommandError> {
    let row = &detail.row;
    let none = String::new;
    writeln!(
        out,
        "\nreceived       event {}: {:?} in {}/{}",
        row.seq,
        row.rule.clone().unwrap_or_else(none),
        row.namespace.clone().unwrap_or_else(none),
        row.pod.clone().unwrap_or_else(none)
    )?;
    let Some(reaction) = detail.reactions.first() else {
        return Err(CommandError::Negative("no plugin reacted".to_owned()));
    };
    writeln!(
        out,
        "decided        {} ({} fuel): {}",
        reaction.plugin,
        reaction.fuel.unwrap_or_default(),
        reaction.reason.clone().unwrap_or_else(none)
    )?;
    let Some(commit) = &reaction.commit else {
        let outcome = reaction.outcome.clone().unwrap_or_else(none);
        return Err(CommandError::Negative(format!("there is no commit: the outcome is {outcome}")));
    };
    writeln!(out, "committed      {}\n", commit.sha)?;
    indent(out, reaction.diff.as_deref().unwrap_or_default())?;
    writeln!(out)?;
    indent(out, &commit.message)?;
    writeln!(out, "\ntimes          stored and acknowledged {:.1} ms", acknowledged.as_secs_f64() * 1e3)?;
    for (stage, ms) in stage_times(reaction) {
        writeln!(out, "               {stage} {ms:.1} ms")?;
    }
    writeln!(
        out,
        "               from the request to the recorded outcome {:.1} ms",
        took.as_secs_f64() * 1e3
    )?;
    Ok(())
}

/// How long each attempt took, by its stage, in milliseconds.
fn stage_times(reaction: &ReactionView) -> Vec<(String, f64)> {
    let attempts = reaction.attempts.iter();
    attempts
        .filter_map(|attempt| {
            let us = i32::try_from(attempt.ended_us? - attempt.started_us).ok()?;
            Some((attempt.stage.clone(), f64::from(us) / 1e3))
        })
        .collect()
}

fn suggest(out: &mut impl Write, address: SocketAddr, repository: &Path) -> Result<(), CommandError> {
    let program = std::env::current_exe().map(|path| path.display().to_string());
    let program = program.unwrap_or_else(|_| "riposte".to_owned());
    writeln!(
        out,
        "
try next
  ask the journal       {program} events show 1 --url http://{address}
  replay the event      {program} replay 1 --base head --url http://{address}
  send one of your own  curl -i http://{address}/ -H 'Content-Type: application/json' \\
                          -d '{{\"rule\":\"Terminal shell in container\",\"priority\":\"Notice\",\"time\":\"2026-01-01T00:00:00Z\",\"output\":\"mine\",\"output_fields\":{{\"k8s.ns.name\":\"default\",\"k8s.pod.name\":\"alpine-deployment-77789455d6-m7flp\"}}}}'
the commits are in {} (git -C {0} log -p)
Ctrl-C ends the demo",
        repository.display()
    )?;
    Ok(())
}
