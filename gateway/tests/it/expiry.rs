//! Changes that hold for a time: the gateway takes them back by itself, across restarts and pauses, and
//! leaves alone what a person has touched.

use std::path::{Path, PathBuf};

use riposte::clock::parse_rfc3339;
use riposte::config::Config;
use serde_json::{Value, json};

use crate::harness::fleet::deployment;
use crate::harness::guest::{Guest, Image, Laid, write};
use crate::harness::sandbox::unhurried;
use crate::harness::{Fleet, Process, cloudevent, execute, shell_in};

const POD: &str = "alpine-deployment-77789455d6-m7flp";
const FILE: &str = "apps/alpine.yaml";
/// All that is to expire is due.
const DUE: &str = "UPDATE undos SET due_us = 1 WHERE due_us IS NOT NULL";

fn scaling(fleet: &Fleet, expires_after_s: u32) -> PathBuf {
    let mut entry = Fleet::bundled("scale-to-zero");
    entry["expiresAfterS"] = json!(expires_after_s);
    fleet.config_with_plugin("a", &entry)
}

/// A gateway with a guest that scales to 0, adds a label, and says itself for how long.
fn proposing(fleet: &Fleet, expires_after_s: Option<u32>, configured: Value) -> PathBuf {
    let patch = Laid {
        api_version: "apps/v1",
        kind: "Deployment",
        namespace: Some("default"),
        name: "a",
        case: 1,
        text: r#"{"spec":{"replicas":0},"metadata":{"labels":{"held":"yes"}}}"#,
    };
    let image = Image::expiring(&[patch], "Hold it", "because", expires_after_s);
    let file = write(fleet.bare.root.path(), "guest", &Guest::answering(&image).bytes());
    let mut entry = json!({
        "name": "guest", "source": format!("file:{}", file.display()), "mode": "enforce",
        "grants": { "kinds": ["Deployment"], "namespaces": ["default"], "fields": ["/spec", "/metadata/labels"] },
        "subscriptions": [{ "exact": { "type": "falco.rule.output.v1" } }], "limits": unhurried(),
    });
    if !configured.is_null() {
        entry["expiresAfterS"] = configured;
    }
    fleet.config_with_plugin("a", &entry)
}

fn react(process: &mut Process, id: &str) -> Value {
    let answer = process.connect().send(&cloudevent(id, &shell_in("default", POD)));
    assert_eq!(answer.status, 202);
    process.settled(answer.number())["reactions"][0].clone()
}

/// All reactions to an event once its commit is being taken back and that has ended.
fn expired(process: &mut Process) -> Vec<Value> {
    process.wait_for_line(|line| line.contains("a reaction is to be taken back"));
    process.settled(1)["reactions"].as_array().unwrap().clone()
}

fn is_intact(process: &Process) {
    let audit = process.connect().get("/v1/audit").json();
    assert_eq!(audit["intact"], true, "{audit}");
}

#[test]
fn a_change_goes_by_itself_when_its_time_is_over() {
    let fleet = Fleet::tutorial();
    let before = fleet.file(FILE);
    let mut process = Process::start(&scaling(&fleet, 1), None);
    assert_eq!(process.connect().send(&cloudevent("1", &shell_in("default", POD))).status, 202);
    let reactions = expired(&mut process);
    assert_eq!(reactions[1]["outcome"], "committed", "{reactions:#?}");
    assert_eq!(reactions[1]["reason"], "it was to hold for 1 s, and they are over");
    assert_eq!((&reactions[0]["outcome"], &reactions[0]["became"]), (&json!("committed"), &json!("expired")));
    let times =
        ["settled", "expires"].map(|name| parse_rfc3339(reactions[0][name].as_str().unwrap()).unwrap());
    assert_eq!(times[1] - times[0], 1_000_000, "{reactions:#?}");
    assert_eq!(fleet.file(FILE), before);
    assert_eq!(fleet.log().len(), 3);
    let page = process.connect().get("/v1/events?outcome=expired").json();
    assert_eq!(page["events"][0]["reactions"][0]["became"], "expired", "{page:#}");
    is_intact(&process);
}

#[test]
fn the_proposal_says_for_itself_within_the_limit() {
    let hour = 3_600;
    let table = [
        (Some(hour), Value::Null, Some(3_600)),
        (Some(hour), json!(7_200), Some(3_600)),
        (None, json!(7_200), Some(7_200)),
        (None, Value::Null, None),
        (Some(2_592_000), Value::Null, Some(2_592_000)),
    ];
    for (own, configured, seconds) in table {
        let fleet = Fleet::with(&[("a.yaml", &deployment("a"))]);
        let mut process = Process::start(&proposing(&fleet, own, configured.clone()), None);
        let first = react(&mut process, "1");
        assert_eq!(first["outcome"], "committed", "{first:#}");
        let time = |name: &str| first[name].as_str().and_then(parse_rfc3339);
        let holds = time("expires").zip(time("settled")).map(|(end, begin)| (end - begin) / 1_000_000);
        assert_eq!(holds, seconds, "{own:?} {configured}");
    }
    for wrong in [0, 2_592_001] {
        let fleet = Fleet::with(&[("a.yaml", &deployment("a"))]);
        let mut process = Process::start(&proposing(&fleet, Some(wrong), Value::Null), None);
        let first = react(&mut process, "1");
        assert_eq!(first["outcome"], "failed", "{first:#}");
        let reason = "bad-output: a proposal expires after 1 to 2592000 seconds, or never";
        assert!(first["reason"].as_str().unwrap().contains(reason), "{first:#}");
        let config = Config::load(&scaling(&fleet, wrong)).unwrap_err().to_string();
        assert!(config.contains("plugin scale-to-zero has expiresAfterS"), "{config}");
    }
}

/// A gateway that was restarted, and is paused, once the commit's time is over: it is to be taken back.
fn paused_at_its_end(config: &Path) -> Process {
    let mut process = Process::start(config, None);
    react(&mut process, "1");
    assert_eq!(process.connect().post_json("/v1/pause", &json!({ "reason": "wait" })).status, 200);
    assert_eq!(process.terminate(), Some(0));
    execute(&config.with_file_name("a"), DUE);
    let mut process = Process::start(config, None);
    process.wait_for_line(|line| line.contains("a reaction is to be taken back"));
    process
}

#[test]
fn the_end_survives_a_restart_and_waits_for_a_pause() {
    let fleet = Fleet::tutorial();
    let (config, before) = (scaling(&fleet, 3_600), fleet.file(FILE));
    let process = paused_at_its_end(&config);
    let waiting = process.connect().get("/v1/reactions/2").json();
    assert_eq!((&waiting["outcome"], &waiting["waitsBecause"]), (&Value::Null, &json!("paused: wait")));
    assert_eq!(process.terminate(), Some(0));
    let mut process = Process::start(&config, None);
    assert_eq!(process.connect().post_json("/v1/resume", &json!({})).status, 200);
    let reactions = process.settled(1)["reactions"].clone();
    assert_eq!((&reactions[0]["became"], reactions.as_array().map(Vec::len)), (&json!("expired"), Some(2)));
    assert_eq!(fleet.file(FILE), before);
}

#[test]
fn what_a_person_has_touched_is_left_alone() {
    let touched = |text: &str| text.replace("replicas: 0", "replicas: 5");
    // One field of two, and both.
    /// What they make of the file, how the revert ends, and what it says.
    type Row<'a> = (fn(&str) -> String, &'a str, &'a [&'a str]);
    let table: [Row<'_>; 2] = [
        (
            |text| text.replace("replicas: 0", "replicas: 5"),
            "committed",
            &[
                "it was to hold for 3600 s",
                "; left alone: Deployment default/a: /spec/replicas was changed since",
            ],
        ),
        (
            |text| text.replace("replicas: 0", "replicas: 5").replace("held: \"yes\"", "held: ours"),
            "refused",
            &["/spec/replicas was changed since", "/metadata/labels/held was changed since"],
        ),
    ];
    for (change, outcome, words) in table {
        let fleet = Fleet::with(&[("a.yaml", &deployment("a"))]);
        let config = proposing(&fleet, Some(3_600), Value::Null);
        let mut process = Process::start(&config, None);
        react(&mut process, "1");
        assert_eq!(process.terminate(), Some(0));
        let theirs = change(&fleet.file("a.yaml"));
        assert_ne!(theirs, fleet.file("a.yaml"));
        fleet.person_commits("a.yaml", &theirs);
        execute(&config.with_file_name("a"), DUE);
        let mut process = Process::start(&config, None);
        let reactions = expired(&mut process);
        assert_eq!(reactions[1]["outcome"], outcome, "{reactions:#?}");
        let reason = reactions[1]["reason"].as_str().unwrap();
        assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
        let expected =
            if outcome == "committed" { touched(&deployment("a").replace("3", "0")) } else { theirs };
        assert_eq!(fleet.file("a.yaml"), expected);
        assert_eq!(process.terminate(), Some(0));
        // It is over, and not tried again.
        execute(&config.with_file_name("a"), DUE);
        let mut process = Process::start(&config, None);
        assert_eq!(react(&mut process, "2")["outcome"], "committed");
        assert_eq!(process.settled(1)["reactions"].as_array().map(Vec::len), Some(2));
    }
}

#[test]
fn what_is_taken_back_already_does_not_expire() {
    let fleet = Fleet::tutorial();
    let config = scaling(&fleet, 3_600);
    let mut process = Process::start(&config, None);
    react(&mut process, "1");
    let asked = process.connect().post_json("/v1/reactions/1/revert", &json!({ "reason": "x" }));
    assert_eq!(asked.status, 202);
    assert_eq!(process.settled(1)["reactions"][1]["outcome"], "committed");
    assert_eq!(process.terminate(), Some(0));
    execute(&config.with_file_name("a"), DUE);
    let mut process = Process::start(&config, None);
    assert_eq!(react(&mut process, "2")["outcome"], "committed");
    assert_eq!(process.settled(1)["reactions"].as_array().map(Vec::len), Some(2));
    let due = process.connect().post_json("/v1/reactions/2/revert", &json!({ "reason": "x" }));
    assert_eq!(due.status, 409);
}

#[test]
fn an_end_that_could_not_be_brought_about_is_due_again() {
    let fleet = Fleet::tutorial();
    let (config, before) = (scaling(&fleet, 3_600), fleet.file(FILE));
    let process = paused_at_its_end(&config);
    assert_eq!(process.terminate(), Some(0));
    execute(&config.with_file_name("a"), "UPDATE reactions SET attempts = 30 WHERE id = 2");
    let mut process = Process::start(&config, None);
    assert_eq!(process.connect().post_json("/v1/resume", &json!({})).status, 200);
    let reactions = expired(&mut process);
    let outcomes: Vec<&Value> = reactions.iter().map(|reaction| &reaction["outcome"]).collect();
    assert_eq!(outcomes, ["committed", "exhausted", "committed"], "{reactions:#?}");
    assert_eq!((&reactions[0]["became"], &reactions[0]["revertedBy"]), (&json!("expired"), &json!(3)));
    assert_eq!(fleet.file(FILE), before);
    is_intact(&process);
}
