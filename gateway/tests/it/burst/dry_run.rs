//! Proposals of one burst, some of which the API server refuses: what stands on them is judged anew
//! without them, and each reaction ends once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use riposte::crash_point::CrashPoint;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::conflicts::{configure, proposing, react_together, send};
use super::{ended, fleet, intact, paused, resume, waiting};
use crate::harness::api_server::{Answer, ApiServer, fine, status};
use crate::harness::fleet::deployment;
use crate::harness::{Fleet, Process, execute};

const NAME: &str = "alpine-deployment";
const FILE: &str = "apps/alpine-deployment.yaml";

/// The quota lets nobody stop anything.
fn quota(object: &Value) -> Answer {
    if object["spec"]["replicas"] == 0 { status(403, "Forbidden", "quota: no") } else { fine() }
}

/// The configuration that asks the server, with guests.
fn asking(fleet: &Fleet, server: &ApiServer, guests: &[(&str, Vec<u8>)]) -> PathBuf {
    let kubeconfig = server.kubeconfig(fleet, &json!({}));
    let text = std::fs::read_to_string(fleet.config("a")).unwrap();
    let validation = format!("validation: {{ dryRun: {{ kubeconfig: {} }} }}\n", kubeconfig.display());
    configure(fleet, &fleet.beside("a.yaml", &format!("{validation}{text}")), guests)
}

/// What a guest of this name proposes, for one Deployment or another.
fn guest(name: &'static str) -> (&'static str, Vec<u8>) {
    let (object, merge) = match name {
        "zero" | "zero-too" => (NAME, json!({ "spec": { "replicas": 0 } })),
        "five" => (NAME, json!({ "spec": { "replicas": 5 } })),
        "note" => (NAME, json!({ "metadata": { "annotations": { "by": "note" } } })),
        "other" => ("other", json!({ "spec": { "replicas": 5 } })),
        _ => panic!("{name}"),
    };
    (name, proposing(&[("Deployment", object, 1, merge)]))
}

/// How often each reaction has ended, by the metrics.
fn ends(process: &Process) -> Vec<String> {
    let metrics = String::from_utf8(process.connect().get("/metrics").body).unwrap();
    let lines =
        metrics.lines().filter_map(|line| line.strip_prefix("riposte_reactions_settled_total{plugin="));
    let mut ends: Vec<String> = lines.map(str::to_owned).collect();
    ends.sort();
    ends
}

/// The reactions that the newest commit names.
fn named(fleet: &Fleet) -> Vec<String> {
    let format = "--format=%(trailers:key=Riposte-Reaction,valueonly)";
    let trailers = fleet.bare.git(&["log", "-1", format, "main"]);
    trailers.lines().filter_map(|line| line.rsplit_once('/').map(|(_, id)| id.to_owned())).collect()
}

fn said(reaction: &Value) -> (&str, &str) {
    (reaction["outcome"].as_str().unwrap(), reaction["reason"].as_str().unwrap())
}

/// Proposals in their order, how each ends and with which words, the file then, and how often was asked.
type Case = (&'static [&'static str], &'static [(&'static str, &'static str)], String, usize);

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_on_a_refused_proposal_is_judged_without_it() {
    const REFUSED: (&str, &str) = ("refused", "dry-run: Deployment default/alpine-deployment: ");
    const COMMITTED: (&str, &str) = ("committed", "because");
    let five = deployment(NAME).replace("replicas: 3", "replicas: 5");
    let note = |text: &str| text.replace("# by hand\n", "# by hand\n  annotations:\n    by: note\n");
    let table: [Case; 6] = [
        // The second disagrees with the first, which is nothing by then.
        (&["zero", "five"], &[REFUSED, COMMITTED], five.clone(), 2),
        // The second is the same: it does not come to be unchanged by what was never done.
        (&["zero", "zero-too"], &[REFUSED, REFUSED], deployment(NAME), 2),
        // The second changes another field, and would be refused for the first one's.
        (&["zero", "note"], &[REFUSED, COMMITTED], note(&deployment(NAME)), 2),
        // The second is refused on top of the first, which is asked for again without it.
        (&["note", "zero"], &[COMMITTED, REFUSED], note(&deployment(NAME)), 3),
        // Whatever hangs on the second is free by then.
        (&["note", "zero", "zero-too", "five"], &[COMMITTED, REFUSED, REFUSED, COMMITTED], note(&five), 6),
        (&["zero", "other", "five"], &[REFUSED, COMMITTED, COMMITTED], five, 4),
    ];
    for (names, expected, file, asked) in table {
        let fleet = fleet(&[NAME, "other"]);
        let server = ApiServer::judging(quota).await;
        let guests: Vec<_> = names.iter().map(|name| guest(name)).collect();
        let config = asking(&fleet, &server, &guests);
        block_in_place(|| {
            let (process, reactions) = react_together(&config, names);
            for (reaction, (outcome, words)) in reactions.iter().zip(expected) {
                let (ended, reason) = said(reaction);
                assert!(ended == *outcome && reason.starts_with(words), "{names:?}: {reaction:#}");
            }
            let mut once: Vec<String> = names
                .iter()
                .zip(expected)
                .map(|(name, (outcome, _))| format!("\"{name}\",outcome=\"{outcome}\"}} 1"))
                .collect();
            once.sort();
            assert_eq!(ends(&process), once, "{names:?}");
            intact(&process);
        });
        let committed = |index: &usize| expected[index - 1].0 == "committed";
        let numbers: Vec<String> =
            (1..=names.len()).filter(committed).map(|number| number.to_string()).collect();
        assert_eq!(named(&fleet), numbers, "{names:?}");
        assert_eq!(fleet.log().len(), 1 + usize::from(!numbers.is_empty()), "{names:?}");
        assert_eq!(fleet.file(FILE), file, "{names:?}");
        let patches = server.seen().iter().filter(|(asked, ..)| asked.starts_with("PATCH")).count();
        assert_eq!(patches, asked, "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_between_two_proposals_is_asked_again() {
    // Of one object the first has ended by then; of two both are asked for again.
    for (names, attempts, asked) in [(["zero", "five"], [1, 2], 3), (["zero", "other"], [2, 2], 5)] {
        let fleet = fleet(&[NAME, "other"]);
        let count = AtomicUsize::new(0);
        let judge = move |object: &Value| match count.fetch_add(1, Ordering::SeqCst) {
            1 => status(503, "ServiceUnavailable", "starting"),
            _ => quota(object),
        };
        let server = ApiServer::judging(judge).await;
        let config = asking(&fleet, &server, &names.map(guest));
        block_in_place(|| {
            let (process, reactions) = react_together(&config, &names);
            let outcomes = [&reactions[0], &reactions[1]].map(|reaction| said(reaction).0);
            assert_eq!(outcomes, ["refused", "committed"], "{reactions:#?}");
            let made = [&reactions[0], &reactions[1]].map(|reaction| {
                let all = reaction["attempts"].as_array().unwrap();
                all.iter().filter(|attempt| attempt["stage"] == "commit").count()
            });
            assert_eq!(made, attempts, "{names:?}: {reactions:#?}");
            assert!(ends(&process).iter().all(|line| line.ends_with(" 1")), "{:?}", ends(&process));
            intact(&process);
        });
        assert_eq!((fleet.log().len(), named(&fleet)), (2, vec!["2".to_owned()]));
        let patches = server.seen().iter().filter(|(asked, ..)| asked.starts_with("PATCH")).count();
        assert_eq!(patches, asked, "{names:?}");
    }
}

/// A burst of two is over as soon as both are there.
fn of_two(fleet: &Fleet, config: &Path) -> PathBuf {
    let text = std::fs::read_to_string(config).unwrap();
    let coalesce = "{ idleMs: 60000, waitMaxMs: 60000, changesMax: 2 }";
    fleet.beside("two.yaml", &text.replace("{ idleMs: 0 }", coalesce))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_the_refusal_and_the_commit_loses_neither() {
    for point in [CrashPoint::OutcomeRecorded, CrashPoint::Validated, CrashPoint::Committed] {
        let fleet = fleet(&[NAME]);
        let server = ApiServer::judging(quota).await;
        let config = asking(&fleet, &server, &["zero", "five"].map(guest));
        block_in_place(|| {
            let mut first = Process::start(&of_two(&fleet, &config), Some(&point.name()));
            send(&mut first, &["zero", "five"], |_, _| {});
            first.wait_for_line(|line| line.contains("crash point reached"));
            first.kill();
            let mut second = Process::start(&config, None);
            let (refused, committed) = (ended(&mut second, 1), ended(&mut second, 2));
            assert_eq!(said(&refused).0, "refused", "{point:?}: {refused:#}");
            assert!(said(&refused).1.starts_with("dry-run: "), "{point:?}: {refused:#}");
            assert_eq!(said(&committed).0, "committed", "{point:?}: {committed:#}");
            waiting(&mut second, 0);
            intact(&second);
        });
        assert_eq!((fleet.log().len(), named(&fleet)), (2, vec!["2".to_owned()]), "{point:?}");
        assert_eq!(fleet.file(FILE), deployment(NAME).replace("replicas: 3", "replicas: 5"), "{point:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_cannot_be_stored_costs_a_round_and_not_the_attempts() {
    let fleet = fleet(&[NAME]);
    let server = ApiServer::judging(quota).await;
    let config = asking(&fleet, &server, &[guest("zero")]);
    let data = config.with_file_name("a");
    block_in_place(|| {
        let mut process = paused(&config);
        send(&mut process, &["zero"], |process, sent| drop(waiting(process, sent)));
        assert_eq!(process.terminate(), Some(0));
        execute(
            &data,
            "CREATE TRIGGER no_room BEFORE UPDATE ON reactions WHEN NEW.outcome = 'refused' \
             BEGIN SELECT RAISE(ABORT, 'no room'); END",
        );
        let mut process = Process::start(&config, None);
        resume(&process);
        process.wait_for_line(|line| line.contains("a round failed; it is tried again"));
        assert_eq!(process.terminate(), Some(0));
        execute(&data, "DROP TRIGGER no_room");
        let mut process = Process::start(&config, None);
        assert_eq!(said(&ended(&mut process, 1)).0, "refused");
        intact(&process);
    });
    assert_eq!(fleet.log().len(), 1);
}
