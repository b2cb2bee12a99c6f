//! A burst and GitHub: answers that are lost, requests to wait, our own budget.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::task::block_in_place;

use super::{alert, ended, fleet, intact, paused, queue, resume, scaled, waiting};
use crate::harness::github::{Fault, GitHub};
use crate::harness::{Fleet, Process, execute};

const NAMES: [&str; 3] = ["a-a", "b-b", "c-c"];

/// How many commits were asked for.
fn commits(github: &GitHub) -> usize {
    let asked = |query: &Value| query.as_str().is_some_and(|query| query.contains("createCommitOnBranch"));
    github.recorded().iter().filter(|request| asked(&request.body["query"])).count()
}

fn limited(retry_after: &str) -> Fault {
    let headers = vec![("retry-after", retry_after.to_owned())];
    Fault::Answer { status: 429, headers, body: "{}".to_owned() }
}

/// Alerts of all three and one that comes again, decided and not committed.
fn burst(process: &mut Process) {
    for (id, name) in [("1", "a-a"), ("2", "a-a"), ("3", "b-b"), ("4", "c-c")] {
        alert(process, id, name);
    }
    waiting(process, 4);
}

fn all_committed(process: &mut Process, fleet: &Fleet) {
    for (event, outcome) in [(1, "committed"), (2, "unchanged"), (3, "committed"), (4, "committed")] {
        let reaction = ended(process, event);
        assert_eq!(reaction["outcome"], outcome, "{reaction:#}");
        if outcome == "committed" {
            let diff = reaction["diff"].as_str().unwrap();
            assert_eq!(diff.matches("\n+++ ").count(), 1, "its own part of {diff}");
        }
    }
    assert_eq!(fleet.log().len(), 2, "{:#?}", fleet.log());
    NAMES.iter().for_each(|name| assert_eq!(fleet.file(&format!("apps/{name}.yaml")), scaled(name)));
    intact(process);
}

/// The configuration with another budget.
fn budgeted(fleet: &Fleet, config: &Path, budget: &str) -> PathBuf {
    let text = std::fs::read_to_string(config).unwrap();
    let named = "repository: acme/desired";
    assert!(text.contains(named));
    fleet.beside("a.yaml", &text.replacen(named, &format!("{named}, budget: {budget}"), 1))
}

/// Attempts to commit of the only reaction to an event.
fn attempts(process: &Process, event: i64) -> usize {
    let event = process.connect().get(&format!("/v1/events/{event}")).json();
    let attempts = event["reactions"][0]["attempts"].as_array().unwrap();
    attempts.iter().filter(|attempt| attempt["stage"] == "commit").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_whose_answer_was_lost_is_found_for_each_reaction() {
    for fault in [Fault::CutAfter, Fault::AnswerAfter { status: 502, body: "<html>".to_owned() }] {
        let fleet = fleet(&NAMES);
        let github = GitHub::start(&fleet.bare.path()).await;
        let config = fleet.config_on_github("a", &github, "enforce");
        github.next(fault);
        block_in_place(|| {
            let mut process = paused(&config);
            burst(&mut process);
            resume(&process);
            all_committed(&mut process, &fleet);
        });
        assert_eq!(commits(&github), 1, "it was asked for once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_wait_holds_all_and_costs_nobody_an_attempt() {
    let fleet = fleet(&NAMES);
    let github = GitHub::start(&fleet.bare.path()).await;
    let config = fleet.config_on_github("a", &github, "enforce");
    github.next(limited("3000"));
    block_in_place(|| {
        let mut process = paused(&config);
        burst(&mut process);
        resume(&process);
        process.wait_for_line(|line| line.contains("the queue of commits waits"));
        alert(&process, "5", "b-b");
        let waits = waiting(&mut process, 5);
        let reason = waits["held"]["reason"].as_str().unwrap();
        assert!(reason.contains("limits our requests; next try in 3000 s"), "{waits}");
        assert!(waits["held"]["until"].as_str() > waits["oldest"].as_str(), "{waits}");
        let metrics = String::from_utf8(process.connect().get("/metrics").body).unwrap();
        let until = metrics.lines().find_map(|line| line.strip_prefix("riposte_commits_held_until_seconds "));
        assert!(until.is_some_and(|until| until.parse::<i64>().unwrap() > 0), "{metrics}");
        assert_eq!(process.terminate(), Some(0));
        // A restart does not ask again before the time.
        let mut process = Process::start(&config, None);
        alert(&process, "6", "b-b");
        assert!(waiting(&mut process, 6)["held"].is_object());
        assert_eq!(process.terminate(), Some(0));
        assert_eq!(commits(&github), 1);
        execute(&config.with_file_name("a"), "UPDATE waits SET until_us = 0");
        let mut process = Process::start(&config, None);
        all_committed(&mut process, &fleet);
        assert_eq!((attempts(&process, 1), attempts(&process, 4)), (1, 1));
    });
    assert_eq!(commits(&github), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_wait_is_waited_for() {
    let fleet = fleet(&NAMES);
    let github = GitHub::start(&fleet.bare.path()).await;
    let config = fleet.config_on_github("a", &github, "enforce");
    github.next(limited("1"));
    block_in_place(|| {
        let mut process = paused(&config);
        burst(&mut process);
        resume(&process);
        all_committed(&mut process, &fleet);
    });
    assert_eq!(commits(&github), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_used_up_waits_and_drops_nothing() {
    let fleet = fleet(&NAMES);
    let github = GitHub::start(&fleet.bare.path()).await;
    let config = fleet.config_on_github("a", &github, "enforce");
    let config = budgeted(&fleet, &config, "{ perMinute: 50, perHour: 2 }");
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        for (event, name) in (1..).zip(["a-a", "b-b"]) {
            alert(&process, name, name);
            assert_eq!(ended(&mut process, event)["outcome"], "committed");
        }
        alert(&process, "c-c", "c-c");
        let waits = waiting(&mut process, 1);
        assert!(waits["held"]["reason"].as_str().unwrap().contains("2 in an hour"), "{waits}");
        assert_eq!(waits["budget"]["hour"], serde_json::json!({ "left": 0, "most": 2 }), "{waits}");
        assert_eq!(waits["budget"]["minute"]["left"], 48, "{waits}");
        let metrics = String::from_utf8(process.connect().get("/metrics").body).unwrap();
        assert!(metrics.contains("\nriposte_budget_left{window=\"hour\"} 0\n"), "{metrics}");
        assert_eq!(process.terminate(), Some(0));
        // A restart does not forget what is spent, and events are decided on.
        let mut process = Process::start(&config, None);
        alert(&process, "again", "c-c");
        assert_eq!(waiting(&mut process, 2)["budget"]["hour"]["left"], 0);
        assert_eq!(queue(&process)["held"]["until"], waits["held"]["until"]);
        assert_eq!(process.terminate(), Some(0));
        assert_eq!(commits(&github), 2);
        // An hour later.
        execute(&config.with_file_name("a"), "UPDATE calls SET called_us = called_us - 3600000000");
        let mut process = Process::start(&config, None);
        assert_eq!(ended(&mut process, 3)["outcome"], "committed");
        assert_eq!(ended(&mut process, 4)["outcome"], "unchanged");
        assert_eq!(attempts(&process, 3), 1);
        intact(&process);
    });
    assert_eq!((commits(&github), fleet.log().len()), (3, 4));
    assert_eq!(gateways_commits(&fleet), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_is_paid_for_from_the_same_budget() {
    let fleet = fleet(&NAMES);
    let github = GitHub::start(&fleet.bare.path()).await;
    let config = budgeted(&fleet, &fleet.config_on_github("a", &github, "propose"), "{ perHour: 11 }");
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        alert(&process, "a-a", "a-a");
        assert_eq!(ended(&mut process, 1)["outcome"], "proposed");
        assert_eq!(queue(&process)["budget"]["hour"]["left"], 5);
        alert(&process, "b-b", "b-b");
        while !queue(&process)["held"].is_object() {
            process.wait_for_line(|_| true);
        }
        let event = process.connect().get("/v1/events/2").json();
        let because = event["reactions"][0]["waitsBecause"].as_str().unwrap();
        assert!(because.starts_with("held: repository.github.budget is used up"), "{because}");
    });
    assert_eq!(github.pulls().len(), 1);
}

/// Commits of the branch that a gateway has made.
pub(super) fn gateways_commits(fleet: &Fleet) -> usize {
    fleet.log().iter().filter(|message| message.contains("\nRiposte-Journal: ")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_takes_several_calls_is_paid_for_by_each() {
    let fleet = fleet(&NAMES);
    fleet.bare.make_executable("apps/a-a.yaml");
    let github = GitHub::start(&fleet.bare.path()).await;
    let config = budgeted(&fleet, &fleet.config_on_github("a", &github, "enforce"), "{ perHour: 11 }");
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        alert(&process, "1", "a-a");
        assert_eq!(ended(&mut process, 1)["outcome"], "committed");
        assert_eq!(queue(&process)["budget"]["hour"]["left"], 7, "a blob, a tree, a commit, the branch");
        alert(&process, "2", "b-b");
        assert_eq!(ended(&mut process, 2)["outcome"], "committed");
        assert_eq!(queue(&process)["budget"]["hour"]["left"], 6);
    });
    let made = github.recorded().into_iter().filter(|request| request.method != "GET").count();
    assert_eq!(made, 5, "as many as were paid for");
}

/// How many calls that make something were sent, and how many of them were for the mutation.
fn made(github: &GitHub) -> (usize, usize) {
    let made: Vec<_> = github.recorded().into_iter().filter(|request| request.method != "GET").collect();
    (made.len(), made.iter().filter(|request| request.path == "/graphql").count())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_that_finds_no_mutation_is_paid_for_too() {
    let fleet = fleet(&NAMES);
    let github = GitHub::start(&fleet.bare.path()).await;
    github.forget_the_mutation();
    // One call finds it out, four make a commit: there is no room for a second one.
    let config = budgeted(&fleet, &fleet.config_on_github("a", &github, "enforce"), "{ perHour: 8 }");
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        alert(&process, "1", "a-a");
        assert_eq!(ended(&mut process, 1)["outcome"], "committed");
        assert_eq!(attempts(&process, 1), 1, "it is no attempt of its own");
        assert_eq!(queue(&process)["budget"]["hour"]["left"], 3);
        alert(&process, "2", "b-b");
        while !queue(&process)["held"].is_object() {
            process.wait_for_line(|_| true);
        }
        assert_eq!(process.terminate(), Some(0));
    });
    assert_eq!(made(&github), (5, 1), "as many as were paid for");
    assert_eq!(gateways_commits(&fleet), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_without_room_for_the_parts_is_not_exceeded_by_finding_out() {
    let fleet = fleet(&NAMES);
    let github = GitHub::start(&fleet.bare.path()).await;
    github.forget_the_mutation();
    let config = budgeted(&fleet, &fleet.config_on_github("a", &github, "enforce"), "{ perHour: 4 }");
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        alert(&process, "1", "a-a");
        while !queue(&process)["held"].is_object() {
            process.wait_for_line(|_| true);
        }
        assert_eq!(queue(&process)["budget"]["hour"]["left"], 3);
        assert_eq!(process.terminate(), Some(0));
        // An hour later. What was found out is found out again, for a restart has forgotten it.
        execute(&config.with_file_name("a"), "UPDATE calls SET called_us = called_us - 3600000000");
        let mut process = Process::start(&config, None);
        while !queue(&process)["held"].is_object() {
            process.wait_for_line(|_| true);
        }
        assert_eq!(process.terminate(), Some(0));
    });
    assert_eq!((made(&github), gateways_commits(&fleet)), ((2, 2), 0));
}
