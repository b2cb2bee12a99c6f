//! A person takes a commit back in the repository: that is seen once, and respected for a time.

use std::path::PathBuf;
use std::process::Command;

use riposte::config::Config;
use riposte::crash_point::CrashPoint;
use serde_json::{Value, json};

use crate::harness::guest::{core_module, deletes, write};
use crate::harness::process::audited;
use crate::harness::sandbox::unhurried;
use crate::harness::{Fleet, Process, cloudevent, execute, shell_in};
use crate::takeback::{POD, react, reaction};

const FILE: &str = "apps/alpine.yaml";

fn head(fleet: &Fleet) -> String {
    fleet.bare.git(&["rev-parse", "main"]).trim().to_owned()
}

fn is_intact(process: &Process) {
    let audit = process.connect().get("/v1/audit").json();
    assert_eq!(audit["intact"], true, "{audit}");
}

#[test]
fn a_persons_revert_is_seen_once_and_respected_until_its_time_is_over() {
    let fleet = Fleet::tutorial();
    let config = fleet.config_without_repeats("a");
    let mut process = Process::start(&config, None);
    assert_eq!(react(&mut process, "1", POD)["outcome"], "committed");
    fleet.person_reverts();
    let left = react(&mut process, "2", POD);
    assert_eq!((&left["outcome"], &left["decision"]), (&json!("ignored"), &Value::Null), "{left:#}");
    let reason = left["reason"].as_str().unwrap();
    let words = format!(
        "a person has taken back reaction 1 to the same incident, as seen at commit {}: it is left alone until ",
        head(&fleet)
    );
    assert!(reason.starts_with(&words), "{reason}");
    let was = reaction(&process, 1);
    assert_eq!((&was["outcome"], &was["became"]), (&json!("committed"), &json!("overridden")), "{was:#}");
    assert_eq!(was["overridden"]["head"], head(&fleet).as_str(), "{was:#}");
    assert_eq!(react(&mut process, "3", POD)["outcome"], "ignored");
    assert_eq!(fleet.log().len(), 3);
    let metrics = String::from_utf8(process.connect().get("/metrics").body).unwrap();
    assert!(metrics.contains("\nriposte_overrides_total 1\n"), "{metrics}");
    let page = process.connect().get("/v1/events?outcome=overridden").json();
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1), "{page:#}");
    let url = format!("http://{}", process.address);
    let shown =
        Command::new(env!("CARGO_BIN_EXE_riposte")).args(["events", "show", "1", "--url", &url]).output();
    let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
    assert!(shown.contains("  overridden by a person, seen "), "{shown}");
    let revert = process.connect().post_json("/v1/reactions/1/revert", &json!({ "reason": "x" }));
    assert_eq!(revert.status, 409);
    assert!(revert.json()["detail"].as_str().unwrap().contains("was taken back by a person"), "{revert:?}");

    // Whoever replays an event wants it to be acted on.
    let applied = process.connect().post_json("/v1/replays", &json!({ "events": [3], "mode": "apply" }));
    assert_eq!(applied.status, 202);
    let reactions = process.settled(3)["reactions"].clone();
    assert_eq!(reactions[1]["outcome"], "committed", "{reactions:#}");
    is_intact(&process);
    assert_eq!(process.terminate(), Some(0));

    fleet.person_commits(FILE, &fleet.file(FILE).replace("replicas: 0", "replicas: 2"));
    for (moved, outcome) in [("+ 1", "ignored"), ("- 86400000000", "committed")] {
        match moved {
            "+ 1" => execute(&config.with_file_name("a"), "UPDATE overrides SET seen_us = seen_us + 1"),
            _ => execute(&config.with_file_name("a"), "UPDATE overrides SET seen_us = seen_us - 86400000000"),
        }
        let mut process = Process::start(&config, None);
        assert_eq!(react(&mut process, moved, POD)["outcome"], outcome);
        assert_eq!(process.terminate(), Some(0));
    }
}

#[test]
fn it_is_seen_at_the_start_and_can_be_switched_off() {
    let fleet = Fleet::tutorial();
    let config = fleet.config("a");
    let text = std::fs::read_to_string(&config).unwrap();
    let config = fleet.beside("a.yaml", &format!("{text}repeats: {{ windowS: 0, overriddenS: 0 }}\n"));
    let mut process = Process::start(&config, None);
    assert_eq!(react(&mut process, "1", POD)["outcome"], "committed");
    assert_eq!(process.terminate(), Some(0));
    fleet.person_reverts();
    let mut process = Process::start(&config, None);
    process.wait_for_line(|line| line.contains("a person has taken a commit back"));
    assert_eq!(reaction(&process, 1)["became"], "overridden");
    assert_eq!(react(&mut process, "2", POD)["outcome"], "committed");
    // The second one stands: the first was counted once.
    assert_eq!(reaction(&process, 2)["became"], Value::Null);
    let parse = |seconds: u32| {
        Config::parse(&format!("repository: {{ url: \"file:///x\" }}\nrepeats: {{ overriddenS: {seconds} }}"))
    };
    assert!(parse(2_592_000).is_ok());
    let refused = parse(2_592_001).unwrap_err();
    assert_eq!(refused, "repeats.overriddenS is 2592001, and 2592000 is the most; 0 respects no revert");
}

#[test]
fn a_proposal_that_waits_hears_of_it_too() {
    let fleet = Fleet::tutorial();
    let config = fleet.config_without_repeats("a");
    let mut process = Process::start(&config, None);
    assert_eq!(react(&mut process, "1", POD)["outcome"], "committed");
    assert_eq!(process.terminate(), Some(0));
    let mut process = Process::start(&config, Some(&CrashPoint::DecisionRecorded.name()));
    assert_eq!(process.connect().send(&cloudevent("2", &shell_in("default", POD))).status, 202);
    process.wait_for_line(|line| line.contains("crash point reached"));
    process.kill();
    fleet.person_reverts();
    let mut process = Process::start(&config, None);
    let second = process.settled(2)["reactions"][0].clone();
    assert_eq!(second["outcome"], "ignored", "{second:#}");
    assert_eq!(fleet.log().len(), 3);
    is_intact(&process);
}

/// A gateway whose plugin makes an object, or deletes one.
fn other(fleet: &Fleet, deleting: bool) -> PathBuf {
    let entry = if deleting {
        let bytes = core_module(&deletes("apps/v1", "Deployment", "default", "alpine-deployment"));
        let file = write(fleet.bare.root.path(), "guest", &bytes);
        json!({
            "name": "guest", "source": format!("file:{}", file.display()), "mode": "enforce",
            "grants": { "kinds": ["Deployment"], "namespaces": ["*"], "delete": true },
            "subscriptions": [{ "exact": { "type": "falco.rule.output.v1" } }], "limits": unhurried(),
        })
    } else {
        Fleet::bundled("isolate")
    };
    fleet.config_with_plugin("a", &entry)
}

#[test]
fn an_object_that_was_made_or_deleted_is_followed_too() {
    for deleting in [false, true] {
        let fleet = Fleet::tutorial();
        let mut process = Process::start(&other(&fleet, deleting), None);
        let first = react(&mut process, "1", POD);
        assert_eq!(first["outcome"], "committed", "{first:#}");
        fleet.person_reverts();
        assert_eq!(react(&mut process, "2", POD)["outcome"], "ignored", "{deleting}");
        assert_eq!(reaction(&process, 1)["became"], "overridden", "{deleting}");
    }
}

#[test]
fn what_is_no_persons_revert_is_not_taken_for_one() {
    /// What happens after the commit.
    type Meanwhile = fn(&Fleet, &mut Process);
    let table: [(Meanwhile, Value); 4] = [
        (|_, _| {}, Value::Null),
        // Another value is another wish.
        (
            |fleet, _| fleet.person_commits(FILE, &fleet.file(FILE).replace("replicas: 0", "replicas: 5")),
            Value::Null,
        ),
        // Something else in the file.
        (|fleet, _| fleet.person_commits(FILE, &format!("{}# more\n", fleet.file(FILE))), Value::Null),
        (
            |_, process| {
                let asked = process.connect().post_json("/v1/reactions/1/revert", &json!({ "reason": "x" }));
                assert_eq!(asked.status, 202);
                process.settled(1);
            },
            json!("reverted"),
        ),
    ];
    for (number, (meanwhile, became)) in table.into_iter().enumerate() {
        let fleet = Fleet::tutorial();
        let mut process = Process::start(&fleet.config_without_repeats("a"), None);
        assert_eq!(react(&mut process, "1", POD)["outcome"], "committed");
        meanwhile(&fleet, &mut process);
        assert_eq!(react(&mut process, "2", "nobody-77789455d6-m7flp")["outcome"], "ignored");
        let was = reaction(&process, 1);
        assert_eq!((&was["became"], &was["overridden"]), (&became, &Value::Null), "{number}: {was:#}");
        // The same incident is acted on as ever.
        let again = react(&mut process, "3", POD);
        assert_ne!(again["outcome"], "ignored", "{number}: {again:#}");
    }
}

#[test]
fn a_forged_override_is_found_out() {
    let fleet = Fleet::tutorial();
    let config = fleet.config_without_repeats("a");
    let mut process = Process::start(&config, None);
    react(&mut process, "1", POD);
    fleet.person_reverts();
    react(&mut process, "2", POD);
    assert_eq!(process.terminate(), Some(0));
    let table = [
        ("UPDATE overrides SET head = head", ""),
        ("UPDATE overrides SET seen_us = seen_us + 1", "override 1 was changed"),
        ("UPDATE overrides SET seen_us = seen_us - 1", ""),
        ("DELETE FROM overrides", "override 1 is missing"),
    ];
    for (forged, found) in table {
        execute(&config.with_file_name("a"), forged);
        assert_eq!(audited(&config), found, "{forged}");
    }
}
