//! Events of several clusters: a burst is one commit, each proposal sees and changes the objects of its own
//! cluster, and what is counted and what is followed is told by cluster.

use std::path::PathBuf;

use riposte::crash_point::CrashPoint;
use serde_json::{Value, json};

use super::{ended, intact, paused, resume, waiting};
use crate::flux::{configured, send, two_clusters};
use crate::harness::{Fleet, Process, shell_in};
use crate::takeback::reverted;

fn fleet() -> Fleet {
    let files = two_clusters();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    Fleet::with(&files)
}

/// The configuration with another part.
fn with(fleet: &Fleet, key: &str, value: Value) -> PathBuf {
    let mut config: Value =
        serde_json::from_str(&std::fs::read_to_string(configured(fleet)).unwrap()).unwrap();
    config[key] = value;
    fleet.beside("riposte.yaml", &config.to_string())
}

#[test]
fn proposals_of_several_clusters_share_a_commit_and_no_object() {
    let fleet = fleet();
    let mut process = paused(&configured(&fleet));
    let web = shell_in("default", "web-77789455d6-m7flp");
    let agent = shell_in("default", "agent-77789455d6-m7flp");
    let sent = [
        ("staging", &web, "committed", "apps/staging/kustomization.yaml"),
        ("production", &web, "committed", "apps/production/kustomization.yaml"),
        ("staging", &web, "unchanged", ""),
        ("production", &agent, "committed", "clusters/production/infra.yaml"),
        ("staging", &agent, "committed", "clusters/staging/infra.yaml"),
    ];
    for (id, (cluster, body, ..)) in (1..).zip(&sent) {
        assert_eq!(send(&process, id, Some(cluster), body), i64::from(id));
    }
    waiting(&mut process, 5);
    resume(&process);
    for (event, (cluster, _, outcome, file)) in (1..).zip(sent) {
        let reaction = ended(&mut process, event);
        assert_eq!(reaction["outcome"], outcome, "{cluster}: {reaction:#}");
        let diff = reaction["diff"].as_str().unwrap_or_default();
        let files: Vec<&str> = diff.lines().filter_map(|line| line.strip_prefix("+++ b/")).collect();
        assert_eq!(files, file.split_terminator(' ').collect::<Vec<_>>(), "{cluster}: {diff}");
    }
    assert_eq!(fleet.log().len(), 2, "{:#?}", fleet.log());
    assert_eq!(
        fleet.bare.git(&["diff", "--name-only", "main~1", "main"]),
        "apps/production/kustomization.yaml\napps/staging/kustomization.yaml\n\
         clusters/production/infra.yaml\nclusters/staging/infra.yaml\n"
    );
    intact(&process);
}

#[test]
fn a_plugins_window_and_a_persons_revert_are_of_one_cluster() {
    let fleet = fleet();
    let config = with(&fleet, "guardrails", json!({ "commitsMax": 1 }));
    let mut process = Process::start(&config, None);
    let web = shell_in("default", "web-77789455d6-m7flp");
    let agent = shell_in("default", "agent-77789455d6-m7flp");
    let table = [
        ("staging", &web, "committed", ""),
        ("production", &web, "committed", ""),
        ("staging", &agent, "refused", "guardrails.commitsMax"),
    ];
    for (id, (cluster, body, outcome, words)) in (1..).zip(table) {
        let event = send(&process, id, Some(cluster), body);
        let reaction = ended(&mut process, event);
        assert_eq!(reaction["outcome"], outcome, "{cluster}: {reaction:#}");
        assert!(reaction["reason"].as_str().unwrap().contains(words), "{cluster}: {reaction:#}");
    }
    // The commit for production.
    fleet.person_reverts();
    let event = send(&process, 4, Some("production"), &web);
    let left = ended(&mut process, event);
    assert_eq!(left["outcome"], "ignored", "{left:#}");
    assert!(left["reason"].as_str().unwrap().contains("taken back reaction 2"), "{left:#}");
    let became = |id: i64| process.connect().get(&format!("/v1/reactions/{id}")).json()["became"].clone();
    assert_eq!((became(1), became(2)), (Value::Null, json!("overridden")));
    intact(&process);
}

#[test]
fn an_event_that_could_be_of_several_clusters_changes_none() {
    let fleet = fleet();
    let cluster = |name: &str| json!({ "name": name, "path": format!("clusters/{name}"), "match": { "prefix": { "type": "falco." } } });
    let config = with(&fleet, "clusters", json!([cluster("staging"), cluster("production")]));
    let mut process = Process::start(&config, None);
    let event = send(&process, 1, None, &shell_in("default", "web-77789455d6-m7flp"));
    let reaction = ended(&mut process, event);
    assert_eq!(reaction["outcome"], "refused", "{reaction:#}");
    assert_eq!(reaction["reason"], "the event could be of several clusters: staging, production");
    assert_eq!(fleet.log().len(), 1);
}

#[test]
fn a_commit_that_is_found_again_is_taken_back_in_its_own_cluster() {
    let fleet = fleet();
    let config = configured(&fleet);
    let web = shell_in("default", "web-77789455d6-m7flp");
    let mut first = Process::start(&config, Some(&CrashPoint::Committed.name()));
    send(&first, 1, Some("production"), &web);
    first.wait_for_line(|line| line.contains("crash point reached"));
    first.kill();
    // The plugin is gone by now, so that its part of the commit is told from the two trees alone.
    let mut second = Process::start(&with(&fleet, "plugins", json!([])), None);
    let found = ended(&mut second, 1);
    assert_eq!(found["reason"], "an earlier attempt had made the commit", "{found:#}");
    let file = "apps/production/kustomization.yaml";
    let zero = fleet.file(file);
    let back = reverted(&mut second, &found);
    assert_eq!(back["outcome"], "committed", "{back:#}");
    assert!(zero.contains("count: 0"), "{zero}");
    assert_eq!(fleet.file(file), zero.replace("count: 0", "count: 3"));
    assert_eq!(fleet.bare.git(&["diff", "--name-only", "main~2", "main"]), format!("{file}\n"));
    intact(&second);
}
