//! Killed at every point of the path, and started again: nothing acknowledged is lost, one outcome
//! a reaction, no second commit.

use riposte::crash_point::CrashPoint;

use crate::harness::{Fleet, Process, cloudevent, shell_in};

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

macro_rules! at_each_point {
    ($($name:ident: $point:ident,)*) => {
        $(#[test] fn $name() { killed_at(CrashPoint::$point); })*

        #[test]
        fn every_point_has_its_test() {
            assert_eq!(CrashPoint::ALL.to_vec(), vec![$(CrashPoint::$point),*]);
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
}
