//! One incident, reported again and again: recorded each time, counted on the first, dispatched once.

use std::path::{Path, PathBuf};
use std::process::Command;

use riposte::config::Config;
use riposte::crash_point::CrashPoint;
use serde_json::{Value, json};

use crate::harness::process::audited;
use crate::harness::{Connection, Fleet, Process, cloudevent, execute, shell_in};

const POD: &str = "alpine-deployment-77789455d6-m7flp";

/// A report of the shell in that pod; another number is another process at another time.
fn report(number: usize, pod: &str) -> String {
    shell_in("default", pod)
        .replace("A shell", &format!("Shell {number}"))
        .replace("07:21:01.", &format!("07:22:{:02}.", number % 60))
        .replace("\"evt.time\":1791357661871149301", &format!("\"evt.time\":{number},\"proc.pid\":{number}"))
}

fn send(process: &Process, number: usize, pod: &str) {
    assert_eq!(process.connect().send(&cloudevent(&number.to_string(), &report(number, pod))).status, 202);
}

/// How the reactions to an event ended; of a repeat, which event it repeats.
fn became(process: &mut Process, seq: i64) -> Value {
    let event = process.settled(seq);
    let reactions = event["reactions"].as_array().unwrap();
    match event["repeatOf"].as_i64() {
        Some(first) => {
            assert!(reactions.is_empty(), "{event:#}");
            json!(first)
        }
        None => reactions.iter().map(|reaction| reaction["outcome"].clone()).collect(),
    }
}

/// The configuration with another text in one place.
fn changed(config: &Path, from: &str, to: &str) -> PathBuf {
    let text = std::fs::read_to_string(config).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(config, text.replacen(from, to, 1)).unwrap();
    config.to_owned()
}

#[test]
fn a_repeat_is_recorded_counted_on_the_first_and_dispatched_to_nobody() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config("a"), None);
    for (number, expected) in [(1, json!(["committed"])), (2, json!(1)), (3, json!(1))] {
        send(&process, number, POD);
        assert_eq!(became(&mut process, i64::try_from(number).unwrap()), expected);
    }
    send(&process, 4, "nobody-77789455d6-m7flp");
    assert_eq!(became(&mut process, 4), json!(["ignored"]), "another pod is another incident");
    assert_eq!(fleet.log().len(), 2);
    let table = [
        ("repeat=true", vec![3, 2]),
        ("repeat=false", vec![4, 1]),
        ("repeatOf=1", vec![3, 2]),
        ("repeatOf=4", vec![]),
    ];
    for (query, expected) in table {
        let page = process.connect().get(&format!("/v1/events?{query}")).json();
        let found: Vec<i64> =
            page["events"].as_array().unwrap().iter().filter_map(|event| event["seq"].as_i64()).collect();
        assert_eq!(found, expected, "{query}");
    }
    assert_eq!(process.connect().get("/v1/events?repeat=often").status, 400);
    let page = process.connect().get("/v1/events").json();
    let counted: Vec<&Value> =
        page["events"].as_array().unwrap().iter().map(|event| &event["repeats"]).collect();
    assert_eq!(counted, [&json!(0), &json!(0), &json!(0), &json!(2)]);
    assert_eq!(process.connect().get("/v1/events/1").json()["repeats"], 2);
    let metrics = String::from_utf8(process.connect().get("/metrics").body).unwrap();
    assert!(metrics.contains("\nriposte_events_repeated_total 2\n"), "{metrics}");
    assert!(metrics.contains("\nriposte_events_recorded_total 4\n"), "{metrics}");

    let url = format!("http://{}", process.address);
    let asked = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riposte"));
        let output = command.args(arguments).args(["--url", &url]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = asked(&["events", "list", "--repeat", "false"]);
    assert!(listed.contains("scale-to-zero=committed (repeats: 2)\n"), "{listed}");
    assert!(asked(&["events", "list", "--repeat-of", "1"]).contains("repeats 1\n"));
    assert!(asked(&["events", "show", "2"]).contains("repeats event 1, and was not dispatched\n"));
    assert!(asked(&["events", "show", "1"]).contains("repeats: 2\n"));

    // Who replays a repeat wants it to be reacted to.
    let applied = process.connect().post_json("/v1/replays", &json!({"events": [2], "mode": "apply"}));
    assert_eq!(applied.status, 202);
    assert_eq!(process.settled(2)["reactions"][0]["outcome"], "unchanged");
}

#[test]
fn the_window_begins_with_the_first_report_and_is_not_prolonged() {
    let fleet = Fleet::tutorial();
    let config = fleet.config("a");
    changed(&config, "plugins:", "repeats: { windowS: 3600 }\nplugins:");
    // The first report lies so much further back each time.
    let table = [
        (1, "UPDATE events SET seq = seq", json!(["committed"])),
        (2, "UPDATE events SET seq = seq", json!(1)),
        (3, "UPDATE events SET received_us = received_us - 1800000000 WHERE seq = 1", json!(1)),
        (4, "UPDATE events SET received_us = received_us - 1800000000 WHERE seq = 1", json!(["unchanged"])),
        (5, "UPDATE events SET seq = seq", json!(4)),
        // A clock that was set back makes no repeat.
        (6, "UPDATE events SET received_us = received_us + 1800000000 WHERE seq = 4", json!(["unchanged"])),
    ];
    for (number, moved, expected) in table {
        if number > 1 {
            execute(&config.with_file_name("a"), moved);
        }
        let mut process = Process::start(&config, None);
        send(&process, number, POD);
        assert_eq!(became(&mut process, i64::try_from(number).unwrap()), expected, "{number}");
        assert_eq!(process.terminate(), Some(0));
    }
}

#[test]
fn a_batch_of_one_incident_is_dispatched_once() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config("a"), None);
    let event = |number: usize| {
        let data: Value = serde_json::from_str(&report(number, POD)).unwrap();
        json!({
            "specversion": "1.0", "id": number.to_string(), "source": "https://falco.org",
            "type": "falco.rule.output.v1", "data": data,
        })
    };
    let body = Value::from((1..=5).map(event).collect::<Vec<_>>()).to_string();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/cloudevents-batch+json\r\n";
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(process.connect().send(request.as_bytes()).status, 202);
    assert_eq!(became(&mut process, 1), json!(["committed"]));
    for seq in 2..=5 {
        assert_eq!(became(&mut process, seq), json!(1));
    }
}

#[test]
fn of_many_senders_of_one_incident_one_is_dispatched() {
    const SENDERS: usize = 16;
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config("a"), None);
    let address = process.address;
    let senders: Vec<_> = (0..SENDERS)
        .map(|number| {
            std::thread::spawn(move || {
                let body = report(number, POD);
                Connection::open(address).send(&cloudevent(&number.to_string(), &body)).status
            })
        })
        .collect();
    for sender in senders {
        assert_eq!(sender.join().unwrap(), 202);
    }
    assert_eq!(became(&mut process, 1), json!(["committed"]));
    for seq in 2..=i64::try_from(SENDERS).unwrap() {
        assert_eq!(became(&mut process, seq), json!(1));
    }
    assert_eq!(process.connect().get("/v1/events/1").json()["repeats"], SENDERS - 1);
    assert_eq!(process.connect().get("/v1/audit").json()["intact"], true);
}

#[test]
fn an_incident_that_is_not_being_answered_is_dispatched_again() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config("a"), None);
    let table =
        [("default", "nobody-77789455d6-m7flp", "ignored"), ("shop", "shop-77789455d6-m7flp", "refused")];
    for (namespace, pod, outcome) in table {
        for report in 1..=3 {
            let request = cloudevent(&format!("{outcome} {report}"), &shell_in(namespace, pod));
            let seq = process.connect().send(&request).number();
            assert_eq!(became(&mut process, seq), json!([outcome]), "report {report}");
        }
    }
}

#[test]
fn a_plugin_that_is_new_or_another_gets_the_next_report() {
    let fleet = Fleet::tutorial();
    let config = fleet.config_with("a", "", "observe");
    let second = "plugins:\n  - { name: second, source: \"bundled:scale-to-zero\", \
                  config: { rules: [Another rule] } }\n";
    // Before each report this is changed, and the plugins see it because of that.
    let table = [
        ("plugins:", "plugins:", json!(["observed"])),
        ("plugins:", "plugins:", json!(1)),
        (
            "rules: [Terminal shell in container]",
            "rules: [Terminal shell in container, x]",
            json!(["observed"]),
        ),
        ("mode: observe", "mode: enforce", json!(["committed"])),
        ("plugins:", "plugins:", json!(4)),
        ("plugins:\n", second, json!(["ignored", "unchanged"])),
        ("plugins:", "plugins:", json!(6)),
    ];
    for (number, (from, to, expected)) in (1..).zip(table) {
        let mut process = Process::start(&changed(&config, from, to), None);
        send(&process, number, POD);
        assert_eq!(became(&mut process, i64::try_from(number).unwrap()), expected, "{number}");
        assert_eq!(process.terminate(), Some(0));
    }
}

#[test]
fn whoever_turns_repeats_off_gets_every_report() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config_without_repeats("a"), None);
    for (number, outcome) in [(1, "committed"), (2, "unchanged"), (3, "unchanged")] {
        send(&process, number, POD);
        assert_eq!(became(&mut process, i64::try_from(number).unwrap()), json!([outcome]));
    }
    let config = |window_s: u32| {
        Config::parse(&format!("repository: {{ url: \"file:///x\" }}\nrepeats: {{ windowS: {window_s} }}"))
    };
    assert!(config(86_400).is_ok());
    let refused = config(86_401).unwrap_err();
    assert_eq!(refused, "repeats.windowS is 86401, and 86400 is the most; 0 dispatches every event");
}

#[test]
fn a_report_waits_until_the_first_is_decided() {
    for (pod, first, second) in
        [("nobody-77789455d6-m7flp", "ignored", json!(["ignored"])), (POD, "committed", json!(1))]
    {
        let fleet = Fleet::tutorial();
        let config = fleet.config("a");
        let mut process = Process::start(&config, Some(&CrashPoint::Dispatching.name()));
        send(&process, 1, pod);
        process.wait_for_line(|line| line.contains("crash point reached"));
        send(&process, 2, pod);
        // Another incident is not held up.
        send(&process, 3, "elsewhere-77789455d6-m7flp");
        process
            .wait_for_line(|line| line.contains("an event was routed") && line.contains("\"event.seq\":3"));
        let waiting = process.connect().get("/v1/events/2").json();
        assert_eq!((&waiting["routed"], &waiting["repeatOf"]), (&json!(false), &Value::Null));
        process.kill();
        let mut process = Process::start(&config, None);
        assert_eq!(became(&mut process, 1), json!([first]));
        assert_eq!(became(&mut process, 2), second);
    }
}

#[test]
fn a_forged_repeat_is_found_out() {
    let fleet = Fleet::tutorial();
    let config = fleet.config("a");
    let mut process = Process::start(&config, None);
    for number in 1..=3 {
        send(&process, number, if number < 3 { POD } else { "nobody-77789455d6-m7flp" });
        process.settled(i64::try_from(number).unwrap());
    }
    assert_eq!(process.terminate(), Some(0));
    let table = [
        ("UPDATE events SET repeat_of = 1 WHERE seq = 3", "repeat 3 has no link"),
        ("UPDATE events SET repeat_of = NULL WHERE seq = 3", ""),
        ("UPDATE events SET repeat_of = 3 WHERE seq = 2", "repeat 2 was changed"),
        ("UPDATE events SET repeat_of = NULL WHERE seq = 2", "repeat 2 is missing"),
    ];
    for (forged, found) in table {
        execute(&config.with_file_name("a"), forged);
        assert_eq!(audited(&config), found, "{forged}");
    }
}
