//! Killed at every point of the path, and started again: nothing acknowledged is lost, one outcome
//! a reaction, no second commit.

use riposte::crash_point::CrashPoint;

use tokio::task::block_in_place;

use crate::harness::github::GitHub;
use crate::harness::{Fleet, Process, cloudevent, execute, shell_in};

const POD: &str = "alpine-deployment-77789455d6-m7flp";

fn killed_at(point: CrashPoint) {
    let fleet = Fleet::tutorial();
    let config = fleet.config("a");
    let request = cloudevent("one", &shell_in("default", POD));

    let mut first = Process::start(&config, Some(&point.name()));
    let mut sender = first.connect();
    sender.write(&request);
    first.wait_for_line(|line| line.contains("crash point reached"));
    let acknowledged = !matches!(point, CrashPoint::Decoded | CrashPoint::Recorded);
    if acknowledged {
        assert_eq!(sender.read().expect("an answer").status, 202, "{point:?}");
    }
    first.kill();

    let mut second = Process::start(&config, None);
    if !acknowledged {
        // A sender without an answer sends again; that must not make a second event.
        assert_eq!(second.connect().send(&request).status, 202, "{point:?}");
    }
    let event = second.settled(1);
    let reactions = event["reactions"].as_array().expect("reactions");
    assert_eq!(reactions.len(), 1, "{point:?}: {event:#}");
    assert_eq!(reactions[0]["outcome"], "committed", "{point:?}: {event:#}");
    let page = second.connect().get("/v1/events").json();
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1), "{point:?}");
    let log = fleet.log();
    assert_eq!(log.len(), 2, "{point:?}: {log:?}");
    assert!(
        log[0].starts_with("Scale default/alpine-deployment to 0: Terminal shell in container\n"),
        "{log:?}"
    );
    assert!(fleet.file("apps/alpine.yaml").contains("  replicas: 0 # two for the load, one to lose\n"));
    let audit = second.connect().get("/v1/audit").json();
    assert_eq!(audit["intact"], true, "{point:?}: {audit}");
    assert_eq!(second.terminate(), Some(0), "{point:?}");
}

/// Killed on the way to a pull request; there is one in the end, with one commit on one branch.
async fn killed_proposing_at(point: CrashPoint) {
    let fleet = Fleet::tutorial();
    let github = GitHub::start(&fleet.bare.path()).await;
    let config = fleet.config_on_github("a", &github, "propose");
    let reaction = block_in_place(|| {
        let mut first = Process::start(&config, Some(&point.name()));
        assert_eq!(first.connect().send(&cloudevent("one", &shell_in("default", POD))).status, 202);
        first.wait_for_line(|line| line.contains("crash point reached"));
        first.kill();
        let mut second = Process::start(&config, None);
        let reaction = second.settled(1)["reactions"][0].clone();
        let audit = second.connect().get("/v1/audit").json();
        assert_eq!(audit["intact"], true, "{point:?}: {audit}");
        reaction
    });
    assert_eq!(reaction["outcome"], "proposed", "{point:?}: {reaction:#}");
    let pulls = github.pulls();
    assert_eq!(pulls.len(), 1, "{point:?}: {pulls:#?}");
    assert!(pulls[0].is_open && reaction["pullRequest"]["number"] == 1, "{point:?}: {reaction:#}");
    assert_eq!(reaction["commit"]["sha"], pulls[0].sha.as_str(), "{point:?}");
    let range = format!("main..{}", pulls[0].branch);
    assert_eq!(fleet.bare.git(&["rev-list", "--count", &range]), "1\n", "{point:?}");
    let branches = fleet.bare.git(&["branch", "--format=%(refname:short)"]);
    assert_eq!(branches, format!("main\n{}\n", pulls[0].branch), "{point:?}: nothing is left behind");
    assert_eq!(fleet.log().len(), 1, "{point:?}");
}

/// Killed at a point in what is then made its last attempt; how the reaction ends after the start.
fn killed_in_the_last_attempt(point: CrashPoint) -> (Fleet, serde_json::Value) {
    let fleet = Fleet::tutorial();
    let config = fleet.config("a");
    let mut first = Process::start(&config, Some(&point.name()));
    assert_eq!(first.connect().send(&cloudevent("one", &shell_in("default", POD))).status, 202);
    first.wait_for_line(|line| line.contains("crash point reached"));
    first.kill();
    execute(&config.with_file_name("a"), "UPDATE reactions SET attempts = 30");
    let mut second = Process::start(&config, None);
    let reaction = second.settled(1)["reactions"][0].clone();
    (fleet, reaction)
}

#[test]
fn what_kills_the_process_every_time_is_exhausted() {
    for point in [CrashPoint::Dispatching, CrashPoint::Committing] {
        let (fleet, reaction) = killed_in_the_last_attempt(point);
        assert_eq!(reaction["outcome"], "exhausted", "{point:?}: {reaction:#}");
        assert_eq!(fleet.log().len(), 1);
    }
}

#[test]
fn a_commit_of_the_last_attempt_is_not_called_exhausted() {
    let (fleet, reaction) = killed_in_the_last_attempt(CrashPoint::Committed);
    assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
    assert_eq!(fleet.log().len(), 2);
}

macro_rules! at_each_point {
    ($($name:ident: $point:ident,)*; $($proposing:ident: $at:ident,)*) => {
        $(#[test] fn $name() { killed_at(CrashPoint::$point); })*

        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $proposing() {
                killed_proposing_at(CrashPoint::$at).await;
            }
        )*

        #[test]
        fn every_point_has_its_test() {
            let tested = [$(CrashPoint::$point,)* $(CrashPoint::$at,)*];
            let untested = CrashPoint::ALL.into_iter().find(|point| !tested.contains(point));
            assert_eq!(untested, None);
        }
    };
}

at_each_point! {
    decoded: Decoded,
    recorded: Recorded,
    routing: Routing,
    routed: Routed,
    dispatching: Dispatching,
    decided: Decided,
    decision_recorded: DecisionRecorded,
    committing: Committing,
    validated: Validated,
    committed: Committed,
    outcome_recorded: OutcomeRecorded,
    ;
    proposing_committing: Committing,
    proposing_validated: Validated,
    proposing_staged: Staged,
    proposing_branch_moved: BranchMoved,
    proposing_committed: Committed,
    proposing_outcome_recorded: OutcomeRecorded,
}
