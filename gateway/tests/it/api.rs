//! Asking and replaying over REST, as an on-call person and an auditor would.

use std::path::PathBuf;

use riposte::crash_point::CrashPoint;
use serde_json::{Value, json};

use crate::harness::guest::{core_module, module, write};
use crate::harness::{Fleet, Process, cloudevent, execute, shell_in};

const POD: &str = "alpine-deployment-77789455d6-m7flp";

fn seqs(page: &Value) -> Vec<i64> {
    let events = page["events"].as_array().expect("events");
    events.iter().filter_map(|event| event["seq"].as_i64()).collect()
}

#[test]
fn events_are_found_by_each_filter_and_paged() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config("a"), None);
    process.connect().send(&cloudevent("1", &shell_in("default", POD)));
    process.connect().send(&cloudevent("2", &shell_in("shop", "shop-77789455d6-m7flp")));
    let other = b"POST / HTTP/1.1\r\nHost: a\r\nce-specversion: 1.0\r\nce-id: 3\r\nce-source: /other\r\nce-type: something.else\r\n\r\n";
    assert_eq!(process.connect().send(other).status, 202);
    for seq in 1..=3 {
        process.settled(seq);
    }
    let table = [
        ("", vec![3, 2, 1]),
        ("type=falco.rule.output.v1", vec![2, 1]),
        ("source=/other", vec![3]),
        ("rule=Terminal%20shell%20in%20container", vec![2, 1]),
        ("priority=Notice&namespace=shop", vec![2]),
        ("outcome=committed", vec![1]),
        ("outcome=refused", vec![2]),
        ("plugin=scale-to-zero", vec![2, 1]),
        ("plugin=nobody", vec![]),
        ("since=2999-01-01T00:00:00Z", vec![]),
        ("until=2999-01-01T00:00:00Z&limit=1", vec![3]),
    ];
    for (query, expected) in table {
        let page = process.connect().get(&format!("/v1/events?{query}")).json();
        assert_eq!(seqs(&page), expected, "{query}: {page:#}");
    }
    let first = process.connect().get("/v1/events?limit=2").json();
    let cursor = first["next"].as_str().expect("a next page");
    let second = process.connect().get(&format!("/v1/events?limit=2&cursor={cursor}")).json();
    assert_eq!((seqs(&first), seqs(&second)), (vec![3, 2], vec![1]));
    assert!(second["next"].is_null());
}

#[test]
fn one_event_tells_its_whole_story() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config("a"), None);
    process.connect().send(&cloudevent("1", &shell_in("default", POD)));
    let event = process.settled(1);
    assert_eq!(event["data"]["output_fields"]["evt.time"], json!(1_791_357_661_871_149_301_u64));
    assert_eq!(event["request"]["contentMode"], "binary");
    let reaction = &event["reactions"][0];
    assert_eq!(reaction["attempts"].as_array().map(Vec::len), Some(2), "{reaction:#}");
    let diff = reaction["diff"].as_str().expect("a diff");
    let changed: Vec<&str> = diff
        .lines()
        .filter(|line| {
            (line.starts_with('-') || line.starts_with('+'))
                && !line.starts_with("---")
                && !line.starts_with("+++")
        })
        .collect();
    let expected =
        ["-  replicas: 3 # two for the load, one to lose", "+  replicas: 0 # two for the load, one to lose"];
    assert_eq!(changed, expected);
    let message = reaction["commit"]["message"].as_str().expect("a message");
    let journal = process.connect().get("/v1/audit").json()["journal"].as_str().expect("a name").to_owned();
    for trailer in [
        format!("Riposte-Event: {journal}/1"),
        format!("Riposte-Reaction: {journal}/1"),
        format!("Riposte-Plugin: scale-to-zero@{}", reaction["pluginDigest"].as_str().expect("a digest")),
    ] {
        assert!(message.contains(&trailer), "{message}");
    }
    assert!(message.contains("> A shell in alpine-deployment"), "{message}");
    assert_eq!(fleet.log()[0].trim_end(), message.trim_end());
}

#[test]
fn observe_records_the_diff_and_commits_nothing() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config_with("a", "", "observe"), None);
    process.connect().send(&cloudevent("1", &shell_in("default", POD)));
    let reaction = process.settled(1)["reactions"][0].clone();
    assert_eq!(reaction["outcome"], "observed");
    assert!(reaction["diff"].as_str().is_some_and(|diff| diff.contains("+  replicas: 0")), "{reaction:#}");
    assert_eq!(fleet.log().len(), 1);
}

#[test]
fn a_mode_is_switched_at_once_and_holds_until_the_configuration_says_more() {
    let fleet = Fleet::tutorial();
    let config = fleet.config("a");
    let mut process = Process::start(&config, Some(&CrashPoint::DecisionRecorded.name()));
    process.connect().send(&cloudevent("1", &shell_in("default", POD)));
    process.wait_for_line(|line| line.contains("crash point reached"));
    process.kill();
    // The proposal waits; before it is committed somebody says no.
    let mut process = Process::start(&config, Some(&CrashPoint::Committing.name()));
    process.wait_for_line(|line| line.contains("crash point reached"));
    let switch =
        |process: &Process, body: Value| process.connect().post_json("/v1/plugins/scale-to-zero/mode", &body);
    let switched = switch(&process, json!({"mode": "observe", "reason": "too eager"})).json();
    assert_eq!(
        (&switched["mode"], &switched["configuredMode"]),
        (&json!("observe"), &json!("enforce")),
        "{switched:#}"
    );
    process.kill();
    let mut process = Process::start(&config, None);
    assert_eq!(process.settled(1)["reactions"][0]["outcome"], "observed");
    let listed = process.connect().get("/v1/plugins").json();
    assert_eq!(listed["plugins"][0]["switchedBecause"], "too eager", "{listed:#}");
    assert_eq!(fleet.log().len(), 1);

    for (body, status) in [
        (json!({"mode": "observe", "reason": " "}), 400),
        (json!({"mode": "silent", "reason": "x"}), 422),
        (json!({"mode": "observe"}), 422),
    ] {
        assert_eq!(switch(&process, body.clone()).status, status, "{body}");
    }
    let unknown =
        process.connect().post_json("/v1/plugins/nobody/mode", &json!({"mode": "observe", "reason": "x"}));
    assert_eq!(unknown.status, 404);
    assert_eq!(
        switch(&process, json!({"mode": "enforce", "reason": "it was right"})).json()["mode"],
        "enforce"
    );
    process.connect().send(&cloudevent("2", &shell_in("default", POD)));
    assert_eq!(process.settled(2)["reactions"][0]["outcome"], "committed");
    assert_eq!(process.connect().get("/v1/audit").json()["intact"], true);

    switch(&process, json!({"mode": "observe", "reason": "again"}));
    assert_eq!(process.terminate(), Some(0));
    // An operator who configures it anew has the last word.
    for (mode, expected) in [("enforce", "observe"), ("observe", "observe"), ("enforce", "enforce")] {
        let process = Process::start(&fleet.config_with("a", "", mode), None);
        assert_eq!(process.connect().get("/v1/plugins").json()["plugins"][0]["mode"], expected, "{mode}");
        assert_eq!(process.terminate(), Some(0));
    }
    execute(&config.with_file_name("a"), "UPDATE switches SET reason = 'nobody said so' WHERE id = 1");
    let process = Process::start(&config, None);
    assert_eq!(process.connect().get("/v1/audit").json()["reason"], "switch 1 was changed");
}

#[test]
fn what_already_is_as_wanted_makes_no_commit() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config_without_repeats("a"), None);
    for (id, outcome) in [("1", "committed"), ("2", "unchanged")] {
        let seq = process.connect().send(&cloudevent(id, &shell_in("default", POD))).number();
        assert_eq!(process.settled(seq)["reactions"][0]["outcome"], outcome);
    }
    assert_eq!(fleet.log().len(), 2);
}

#[test]
fn a_dry_run_tells_and_an_apply_reacts_anew() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config("a"), None);
    process.connect().send(&cloudevent("1", &shell_in("default", POD)));
    process.settled(1);
    let replay = |body: Value| process.connect().post_json("/v1/replays", &body);

    let then = replay(json!({"events": [1]})).json();
    assert_eq!(then["results"][0]["difference"], "same", "{then:#}");
    assert_eq!(then["results"][0]["now"]["outcome"], "committed");
    let today = replay(json!({"selection": {"rule": "Terminal shell in container"}, "base": "head"})).json();
    assert_eq!(today["results"][0]["now"]["outcome"], "unchanged", "{today:#}");
    assert_eq!(fleet.log().len(), 2, "a dry run commits nothing");

    assert_eq!(replay(json!({})).status, 400);
    assert_eq!(replay(json!({"events": [9]})).status, 404);
    assert_eq!(replay(json!({"events": [1], "mod": "apply"})).status, 422);

    let text = fleet.file("apps/alpine.yaml").replace("replicas: 0", "replicas: 3");
    fleet.person_commits("apps/alpine.yaml", &text);
    let applied = replay(json!({"events": [1], "mode": "apply"}));
    assert_eq!(applied.status, 202);
    let location = applied.header("location").expect("a Location").to_owned();
    let event = process.settled(1);
    assert_eq!(event["reactions"].as_array().map(Vec::len), Some(2));
    let shown = process.connect().get(&location).json();
    assert_eq!(shown["reactions"][0]["outcome"], "committed", "{shown:#}");
    assert_eq!(fleet.log().len(), 4);
}

#[test]
fn a_rewritten_journal_is_found_out() {
    let fleet = Fleet::tutorial();
    let config = fleet.config("a");
    let mut process = Process::start(&config, None);
    process.connect().send(&cloudevent("1", &shell_in("default", POD)));
    process.settled(1);
    assert_eq!(process.connect().get("/v1/audit").json()["intact"], true);
    assert_eq!(process.terminate(), Some(0));

    let table = [
        ("UPDATE reactions SET reason = reason || '!' WHERE id = 1", "outcome 1 was changed"),
        ("UPDATE reactions SET reason = rtrim(reason, '!') WHERE id = 1", ""),
        (
            "INSERT INTO reactions (event_seq, plugin, mode, state, outcome, reason, created_us, due_us, settled_us) \
             VALUES (1, 'forged', 'observe', 'settled', 'ignored', 'nothing to see', 1, 1, 1)",
            "outcome 2 has no link",
        ),
        ("DELETE FROM chain WHERE position = 2", "the link after 1 is missing"),
    ];
    for (forged, found) in table {
        execute(&config.with_file_name("a"), forged);
        let process = Process::start(&config, None);
        let audit = process.connect().get("/v1/audit").json();
        assert_eq!(audit["intact"], found.is_empty(), "{forged}: {audit}");
        assert_eq!(audit["reason"].as_str().unwrap_or_default(), found, "{forged}");
        assert_eq!(process.terminate(), Some(0));
    }
}

/// A configuration with a guest of this body, which subscribes to events of type "any".
fn with_guest(fleet: &Fleet, body: &str) -> PathBuf {
    let path = write(fleet.bare.root.path(), "guest", &core_module(&module(body, "")));
    let text = std::fs::read_to_string(fleet.config("a")).expect("the configuration");
    let start = text.split("plugins:").next().expect("a start").to_owned();
    let guest = format!("  - {{ name: guest, source: \"file:{}\", mode: observe }}\n", path.display());
    let plugins = text.split("plugins:\n").nth(1).expect("the plugins");
    fleet.beside("guest.yaml", &format!("{start}plugins:\n{guest}{plugins}"))
}

fn any_event(id: usize) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\nce-specversion: 1.0\r\nce-id: {id}\r\nce-source: /s\r\nce-type: any\r\n\r\n")
        .into_bytes()
}

#[test]
fn a_plugin_that_fails_today_is_not_called_nondeterministic() {
    let fleet = Fleet::tutorial();
    let config = with_guest(&fleet, "(i32.const 128)");
    let mut process = Process::start(&config, None);
    assert_eq!(process.connect().send(&any_event(1)).status, 202);
    assert_eq!(process.settled(1)["reactions"][0]["outcome"], "ignored");
    assert_eq!(process.terminate(), Some(0));
    with_guest(&fleet, "unreachable");
    let process = Process::start(&config, None);
    let replay = process.connect().post_json("/v1/replays", &json!({"events": [1]})).json();
    let result = &replay["results"][0];
    assert_eq!(result["difference"], "failed", "{result:#}");
    assert!(result["now"]["reason"].as_str().is_some_and(|reason| reason.starts_with("trap")), "{result:#}");
    let many: Vec<i64> = (1..=501).collect();
    assert_eq!(process.connect().post_json("/v1/replays", &json!({ "events": many })).status, 400);
}

#[test]
fn a_plugin_that_keeps_failing_is_parked_and_its_events_wait() {
    let fleet = Fleet::tutorial();
    let config = with_guest(&fleet, "unreachable");
    let mut process = Process::start(&config, None);
    for id in 1..=5 {
        assert_eq!(process.connect().send(&any_event(id)).status, 202);
        assert_eq!(
            process.settled(i64::try_from(id).expect("a number"))["reactions"][0]["outcome"],
            "failed"
        );
    }
    let plugin = process.connect().get("/v1/plugins").json()["plugins"][0].clone();
    assert!(plugin["parkedBecause"].as_str().is_some_and(|reason| reason.starts_with("trap")), "{plugin:#}");
    let ready = process.connect().get("/readyz");
    assert_eq!(
        (ready.status, ready.body.as_slice()),
        (200, &b"ready\nparked, because they keep failing: guest\n"[..])
    );
    assert_eq!(process.connect().send(&any_event(6)).status, 202);
    // The plugin beside it goes on meanwhile.
    assert_eq!(process.connect().send(&cloudevent("7", &shell_in("default", POD))).status, 202);
    assert_eq!(process.settled(7)["reactions"][0]["outcome"], "committed");
    let waiting = process.connect().get("/v1/events/6").json();
    assert_eq!(
        (&waiting["routed"], &waiting["reactions"][0]["outcome"]),
        (&json!(true), &Value::Null),
        "{waiting:#}"
    );
    let metrics = String::from_utf8(process.connect().get("/metrics").body).expect("text");
    assert!(metrics.contains("riposte_plugin_parked{plugin=\"guest\"} 1"), "{metrics}");
    assert_eq!(process.terminate(), Some(0));
    // Mended, it gets the event that waited.
    with_guest(&fleet, "(i32.const 128)");
    let mut process = Process::start(&config, None);
    assert_eq!(process.settled(6)["reactions"][0]["outcome"], "ignored");
}

#[test]
fn the_description_names_every_path_that_is_served() {
    let document = serde_json::to_value(riposte::server::openapi()).expect("JSON");
    let paths: Vec<&String> = document["paths"].as_object().expect("paths").keys().collect();
    let expected = [
        "/v1/audit",
        "/v1/events",
        "/v1/events/{seq}",
        "/v1/events/{seq}/raw",
        "/v1/pause",
        "/v1/plugins",
        "/v1/plugins/{name}/mode",
        "/v1/queue",
        "/v1/replays",
        "/v1/replays/{id}",
        "/v1/resume",
    ];
    assert_eq!(paths, expected);
}
