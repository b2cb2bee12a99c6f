//! A storm of alerts over time: `cargo bench --bench storm [-- SECONDS]`.
//!
//! 1,000 alerts of 40 workloads, evenly over ten seconds or as many as are given, against the tests'
//! stand-in for GitHub, while somebody else pushes 20 commits. It prints what came of it and asserts
//! nothing; the test `burst/storm.rs` holds the outcomes.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the tests' own harness"
)]

#[path = "../tests/it/harness"]
mod harness {
    pub(crate) mod connection;
    pub(crate) mod fault;
    pub(crate) mod fleet;
    pub(crate) mod git;
    pub(crate) mod github;
    pub(crate) mod http;
    pub(crate) mod process;

    pub(crate) use connection::Connection;

    pub(crate) fn fixture(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/");
        std::fs::read(folder.to_owned() + name).unwrap()
    }
}

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use harness::Connection;
use harness::fleet::{Fleet, deployment};
use harness::github::GitHub;
use harness::process::Process;
use serde_json::json;

const ALERTS: u32 = 1_000;
const WORKLOADS: u32 = 40;
const PUSHES: u32 = 20;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    // Cargo adds `--bench`.
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10);
    let long = Duration::from_secs(seconds);
    let names: Vec<String> = (0..WORKLOADS).map(|number| format!("app-{number}x")).collect();
    let files: Vec<(String, String)> =
        names.iter().map(|name| (format!("apps/{name}.yaml"), deployment(name))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let fleet = Fleet::with(&files);
    let runtime = tokio::runtime::Runtime::new()?;
    let github = runtime.block_on(GitHub::start(&fleet.bare.path()));
    let text = std::fs::read_to_string(fleet.config_on_github("a", &github, "enforce"))?;
    let config = fleet.beside("a.yaml", &text.replace("coalesce: { idleMs: 0 }\n", ""));
    let mut process = Process::start(&config, None);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| push(&fleet, began, long));
        send(&process, &names, began, long);
    });
    let sent = began.elapsed();
    for _ in 0..ALERTS {
        process.wait_for_line(|line| line.contains("a reaction ended"));
    }
    report(&process, &fleet, &github, [sent, began.elapsed()])
}

/// One of so many things that are spread over a time: waits until its turn has come.
fn wait_for_turn(began: Instant, long: Duration, number: u32, of: u32) {
    let due = long * number / of;
    std::thread::sleep(due.saturating_sub(began.elapsed()));
}

fn send(process: &Process, names: &[String], began: Instant, long: Duration) {
    let mut connection = Connection::open(process.address);
    for number in 0..ALERTS {
        wait_for_turn(began, long, number, ALERTS);
        let name = &names[usize::try_from(number % WORKLOADS).unwrap()];
        let body = json!({
            "rule": "Terminal shell in container", "priority": "Notice", "output": format!("A shell in {name}"),
            "time": "2026-10-07T07:21:01Z", "source": "syscall",
            "output_fields": { "k8s.ns.name": "default", "k8s.pod.name": format!("{name}-77789455d6-m7flp") },
        })
        .to_string();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: riposte\r\nContent-Length: {}\r\nCe-Id: {number}\r\nCe-Source: bench\r\n\
             Ce-Specversion: 1.0\r\nCe-Type: falco.rule.output.v1\r\nContent-Type: application/json\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(connection.send(request.as_bytes()).status, 202);
    }
}

fn push(fleet: &Fleet, began: Instant, long: Duration) {
    for number in 0..PUSHES {
        wait_for_turn(began, long, number, PUSHES);
        fleet.person_commits(&format!("notes/{number}.md"), "by hand\n");
    }
}

fn report(process: &Process, fleet: &Fleet, github: &GitHub, [sent, settled]: [Duration; 2]) -> Outcome<()> {
    let mut out = std::io::stdout();
    let metrics = String::from_utf8(process.connect().get("/metrics").body)?;
    let log = fleet.log();
    let made = log.iter().filter(|message| message.contains("\nRiposte-Journal: ")).count();
    let pushed = log.iter().filter(|message| message.contains("By a person")).count();
    writeln!(out, "{ALERTS} alerts of {WORKLOADS} workloads sent in {:.1} s", sent.as_secs_f64())?;
    writeln!(out, "all settled after                  {:.1} s", settled.as_secs_f64())?;
    writeln!(out, "commits of the gateway             {made}")?;
    writeln!(out, "commits of somebody else           {pushed} of {PUSHES}")?;
    writeln!(out, "calls of GitHub's API              {}", github.recorded().len())?;
    for line in metrics.lines().filter(|line| {
        ["riposte_reactions_settled_total{", "riposte_budget_left{", "riposte_settle_seconds_sum"]
            .iter()
            .any(|name| line.starts_with(name))
    }) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
