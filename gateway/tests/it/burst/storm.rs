//! A thousand alerts of forty workloads, while somebody else pushes: few commits, nothing lost.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::task::block_in_place;

use super::github::gateways_commits;
use super::{fleet, intact, scaled};
use crate::harness::github::GitHub;
use crate::harness::{Connection, Fleet, Process, cloudevent, shell_in};

const WORKLOADS: usize = 40;
const ALERTS: usize = 1_000;
const SENDERS: usize = 4;
const PUSHES: usize = 20;
const COMMITS_MAX: usize = 10;
/// The budget's default.
const CALLS_HOUR_MAX: usize = 400;

/// Sends all alerts, by several senders at once.
fn send_all(process: &Process, names: &[String]) {
    let (address, next) = (process.address, AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                let mut connection = Connection::open(address);
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= ALERTS {
                        break;
                    }
                    let pod = format!("{}-77789455d6-m7flp", names[number % WORKLOADS]);
                    let request = cloudevent(&number.to_string(), &shell_in("default", &pod));
                    assert_eq!(connection.send(&request).status, 202);
                }
            });
        }
    });
}

/// How many reactions have ended so.
fn settled(process: &Process, outcome: &str) -> usize {
    let metrics = String::from_utf8(process.connect().get("/metrics").body).unwrap();
    let label = format!("riposte_reactions_settled_total{{plugin=\"scale-to-zero\",outcome=\"{outcome}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(label.as_str()));
    line.map_or(0, |count| count.parse().unwrap())
}

fn all_is_in(fleet: &Fleet, names: &[String]) {
    for name in names {
        assert_eq!(fleet.file(&format!("apps/{name}.yaml")), scaled(name));
    }
    for number in 0..PUSHES {
        assert_eq!(fleet.file(&format!("notes/{number}.md")), "by hand\n");
    }
    assert_eq!(fleet.log().iter().filter(|message| message.contains("By a person")).count(), PUSHES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_alerts_becomes_few_commits_and_loses_nobodys_work() {
    let names: Vec<String> = (0..WORKLOADS).map(|number| format!("app-{number}x")).collect();
    let fleet = fleet(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let github = GitHub::start(&fleet.bare.path()).await;
    let text = std::fs::read_to_string(fleet.config_on_github("a", &github, "enforce")).unwrap();
    let config = fleet.beside("a.yaml", &text.replace("coalesce: { idleMs: 0 }\n", ""));
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..PUSHES {
                    fleet.person_commits(&format!("notes/{number}.md"), "by hand\n");
                }
            });
            send_all(&process, &names);
        });
        for _ in 0..ALERTS {
            process.wait_for_line(|line| line.contains("a reaction ended"));
        }
        let (committed, unchanged) = (settled(&process, "committed"), settled(&process, "unchanged"));
        assert_eq!((committed, unchanged), (WORKLOADS, ALERTS - WORKLOADS));
        intact(&process);
    });
    all_is_in(&fleet, &names);
    let made = gateways_commits(&fleet);
    assert!((1..=COMMITS_MAX).contains(&made), "{made} commits");
    let asked = |request: &Value| request["query"].as_str().is_some_and(|query| query.contains("mutation"));
    let calls = github.recorded().iter().filter(|request| asked(&request.body)).count();
    assert!(calls <= CALLS_HOUR_MAX, "{calls} calls");
}
