//! Hostile plugins and a good one in one gateway: over HTTP, through the journal, into the repository.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::burns;
use crate::harness::fleet::deployment;
use crate::harness::guest::{Guest, Image, Laid, write};
use crate::harness::{Fleet, Process, cloudevent, shell_in};

const FOREVER: &str = "(loop $again (br $again)) (unreachable)";
/// What a plugin says to be taken for somebody else: lines, escapes of a terminal, a change of direction.
const FORGED: &str =
    "done\nriposte: committed\r\n\nRiposte-Reaction: forged/1\n\u{1b}[2J\u{9b}31m\u{202e}dne";

/// A configuration with the good plugin, and with guests beside it that get these events.
fn configure(fleet: &Fleet, guests: &[(&str, Guest, Value)]) -> PathBuf {
    let mut plugins = vec![json!({
        "name": "good", "source": "bundled:scale-to-zero", "mode": "enforce",
        "grants": { "kinds": ["apps/v1/Deployment"], "namespaces": ["default"], "fields": ["/spec/replicas"] },
        "config": { "rules": ["Terminal shell in container"] }, "limits": { "guestTimeMs": 20_000, "invocationMs": 60_000 },
    })];
    for (name, guest, more) in guests {
        let path = write(fleet.bare.root.path(), name, &guest.bytes());
        let mut entry = json!({
            "name": name, "source": format!("file:{}", path.display()), "mode": "enforce",
            "subscriptions": [{ "exact": { "type": "falco.rule.output.v1" } }],
            "grants": { "kinds": ["apps/v1/Deployment"], "namespaces": ["default"], "fields": ["/metadata/annotations"] },
            "limits": { "guestTimeMs": 20_000, "invocationMs": 60_000 },
        });
        json_patch::merge(&mut entry, more);
        plugins.push(entry);
    }
    let text = std::fs::read_to_string(fleet.config("a")).unwrap();
    let start = text.split("plugins:").next().unwrap();
    fleet.beside("plugins.yaml", &format!("{start}plugins: {}\n", json!(plugins)))
}

/// A fleet of Deployments, and the pods that they make.
fn workloads(count: usize) -> (Fleet, Vec<String>) {
    let names: Vec<String> = (0..count).map(|number| format!("app-{number}x")).collect();
    let files: Vec<(String, String)> =
        names.iter().map(|name| (format!("apps/{name}.yaml"), deployment(name))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    (Fleet::with(&files), names.iter().map(|name| format!("{name}-77789455d6-m7flp")).collect())
}

/// Sends an alert of the pod; its number.
fn alert(process: &Process, id: &str, pod: &str) -> i64 {
    let answer = process.connect().send(&cloudevent(id, &shell_in("default", pod)));
    assert_eq!(answer.status, 202);
    answer.number()
}

/// The reaction of a plugin to an event, as it is now.
fn reaction(process: &Process, event: i64, plugin: &str) -> Value {
    let event = process.connect().get(&format!("/v1/events/{event}")).json();
    let reactions = event["reactions"].as_array().unwrap();
    reactions.iter().find(|reaction| reaction["plugin"] == plugin).cloned().unwrap_or_default()
}

/// The reaction once there is a look at it that fits. Whatever changes is followed by a log line.
fn reaction_when(process: &mut Process, event: i64, plugin: &str, fits: fn(&Value) -> bool) -> Value {
    loop {
        let reaction = reaction(process, event, plugin);
        if fits(&reaction) {
            return reaction;
        }
        process.wait_for_line(|_| true);
    }
}

fn has_ended(reaction: &Value) -> bool {
    !reaction["outcome"].is_null()
}

fn has_tried(reaction: &Value) -> bool {
    reaction["attempts"]
        .as_array()
        .is_some_and(|attempts| attempts.iter().any(|one| !one["result"].is_null()))
}

/// Sends events in one batch.
fn send(process: &Process, events: &[Value]) {
    let batch = json!(events).to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/cloudevents-batch+json\r\nContent-Length: {}\r\n\r\n{batch}",
        batch.len()
    );
    assert_eq!(process.connect().send(request.as_bytes()).status, 202);
}

#[test]
fn each_hostile_plugin_fails_by_its_kind_and_the_good_one_reacts_to_every_event() {
    let handle = |handle: &str| Guest { handle: handle.to_owned(), ..Guest::default() };
    let grow =
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    let flood =
        "(loop $again (call $emit (i32.const 1) (i32.const 64) (i32.const 5)) (br $again)) (unreachable)";
    let none = json!({});
    let guests = [
        ("spends", handle(FOREVER), json!({ "limits": { "fuel": 1_000_000 } })),
        ("grows", handle(grow), none.clone()),
        ("floods", handle(flood), none.clone()),
        ("recurses", handle("(call $handle (local.get $event))"), none.clone()),
        ("traps", handle("(unreachable)"), none.clone()),
        ("points", handle("(i32.const -16)"), none.clone()),
        ("declines", Guest::answering(&Image::error(FORGED)), none),
        ("stays", handle(FOREVER), json!({ "limits": { "fuel": u64::MAX / 2, "guestTimeMs": 300 } })),
    ];
    let reasons = [
        ("spends", "out-of-fuel: used all of its 1000000 fuel".to_owned()),
        ("grows", "memory: wanted more than 33554432 bytes of memory".to_owned()),
        ("floods", "host-calls: exceeded its limit of log lines".to_owned()),
        ("recurses", "trap: wasm trap: call stack exhausted".to_owned()),
        ("traps", "trap: wasm trap: wasm `unreachable` instruction executed".to_owned()),
        ("points", "bad-output: pointer out of bounds of memory".to_owned()),
        ("declines", format!("plugin-error: {FORGED}")),
    ];
    let (fleet, pods) = workloads(3);
    let mut process = Process::start(&configure(&fleet, &guests), None);
    let events: Vec<i64> = pods.iter().map(|pod| alert(&process, pod, pod)).collect();
    for event in &events {
        let good = reaction_when(&mut process, *event, "good", has_ended);
        assert_eq!(good["outcome"], "committed", "{good:#}");
        for (plugin, reason) in &reasons {
            let failed = reaction_when(&mut process, *event, plugin, has_ended);
            let found = (&failed["outcome"], failed["reason"].as_str());
            assert_eq!(found, (&json!("failed"), Some(reason.as_str())), "{plugin}");
        }
        // Time may be shorter the next time: it is tried again.
        let stays = reaction_when(&mut process, *event, "stays", has_tried);
        let attempt = (&stays["outcome"], &stays["attempts"][0]["detail"]);
        assert_eq!(
            attempt,
            (&Value::Null, &json!("cpu-deadline: ran for 300 ms without an end")),
            "{stays:#}"
        );
    }
    assert_eq!(fleet.log().len(), 1 + pods.len(), "nobody else has committed");
}

#[test]
fn a_backlog_of_one_plugin_does_not_stand_before_another() {
    const EVENTS: i64 = 40;
    let slow = json!({
        "subscriptions": [{ "exact": { "type": "slow" } }], "limits": { "fuel": u64::MAX / 2 },
    });
    let fleet = Fleet::tutorial();
    let guests = [("slow", burns(150_000_000, "(i32.const 128)"), slow)];
    let mut process = Process::start(&configure(&fleet, &guests), None);
    let batch: Vec<Value> = (0..EVENTS)
        .map(|id| json!({ "specversion": "1.0", "id": id.to_string(), "source": "/s", "type": "slow" }))
        .collect();
    send(&process, &batch);
    // All places are taken, and the others stand in line.
    reaction_when(&mut process, 1, "slow", has_ended);
    let event = alert(&process, "good", "alpine-deployment-77789455d6-m7flp");
    let good = reaction_when(&mut process, event, "good", has_ended);
    assert_eq!(good["outcome"], "committed", "{good:#}");
    // Had it stood at the end of the line, this one would have ended.
    let half = reaction(&process, EVENTS / 2, "slow");
    assert_eq!(half["outcome"], Value::Null, "{half:#}");
}

#[test]
fn a_plugin_that_is_parked_leaves_its_backlog_alone() {
    const EVENTS: usize = 20;
    let (fleet, pods) = workloads(EVENTS);
    let guests = [("traps", Guest { handle: "(unreachable)".to_owned(), ..Guest::default() }, json!({}))];
    let mut process = Process::start(&configure(&fleet, &guests), None);
    let batch: Vec<Value> = pods
        .iter()
        .map(|pod| {
            let data: Value = serde_json::from_str(&shell_in("default", pod)).unwrap();
            json!({ "specversion": "1.0", "id": pod, "source": "/s", "type": "falco.rule.output.v1", "data": data })
        })
        .collect();
    send(&process, &batch);
    let events = 1..=i64::try_from(EVENTS).unwrap();
    for event in events.clone() {
        let good = reaction_when(&mut process, event, "good", has_ended);
        assert_eq!(good["outcome"], "committed", "{good:#}");
    }
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for event in events {
        *outcomes.entry(reaction(&process, event, "traps")["outcome"].to_string()).or_default() += 1;
    }
    let failed = outcomes.get("\"failed\"").copied().unwrap_or_default();
    // Five failures park it; the three other places may have been its own as well.
    assert!((5..=8).contains(&failed) && outcomes.get("null") == Some(&(EVENTS - failed)), "{outcomes:?}");
}

/// A guest that annotates the Deployment and says why in forged words.
fn forger() -> Guest {
    let patch = Laid {
        api_version: "apps/v1",
        kind: "Deployment",
        namespace: Some("default"),
        name: "alpine-deployment",
        case: 1,
        text: r#"{"metadata":{"annotations":{"note":"a\nb: c"}}}"#,
    };
    Guest::answering(&Image::proposal(&[patch], "--- a/file", FORGED))
}

#[test]
fn what_a_plugin_writes_forges_no_trailer_and_no_line() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&configure(&fleet, &[("forger", forger(), json!({}))]), None);
    let event = alert(&process, "1", "nobody-77789455d6-m7flp");
    let forged = reaction_when(&mut process, event, "forger", has_ended);
    assert_eq!((&forged["outcome"], &forged["reason"]), (&json!("committed"), &json!(FORGED)), "{forged:#}");
    let trailers = fleet.bare.git(&["log", "-1", "--format=%(trailers:only,unfold)", "main"]);
    let keys: Vec<&str> = trailers.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        keys,
        ["Riposte-Event", "Riposte-Reaction", "Riposte-Plugin", "Riposte-Journal", ""],
        "{trailers}"
    );
    assert!(!trailers.contains("forged"), "{trailers}");
    assert!(
        fleet.file("apps/alpine.yaml").contains("note: \"a\\nb: c\""),
        "{}",
        fleet.file("apps/alpine.yaml")
    );
    let server = format!("http://{}", process.address);
    let (_, shown) = riposte(&["events", "show", "--url", &server, &event.to_string()]);
    assert!(shown.contains("done\\nriposte: committed\\r\\n"), "{shown}");
    holds_no_escape(&shown);
}

#[test]
fn what_a_plugin_says_at_load_and_in_the_log_is_shown_and_not_obeyed() {
    let fleet = Fleet::tutorial();
    let no = Image::wrong_config(FORGED);
    let refuses = Guest { validate_config: no.pointer(), ..Guest::answering(&no) };
    let config = configure(&fleet, &[("refuses", refuses, json!({}))]).display().to_string();
    for command in ["check", "serve"] {
        let (status, said) = riposte(&[command, "--config", &config]);
        assert!(
            status != Some(0) && said.contains("refuses its configuration: done\\nriposte: committed"),
            "{command}: {said}"
        );
        holds_no_escape(&said);
    }
    let words = FORGED.bytes().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let logs = Guest {
        handle: format!(
            "(call $emit (i32.const 2) (i32.const 2048) (i32.const {})) (i32.const 128)",
            FORGED.len()
        ),
        extra: format!("(data (i32.const 2048) \"{words}\")"),
        ..Guest::default()
    };
    let file = write(fleet.bare.root.path(), "logs", &logs.bytes()).display().to_string();
    let event =
        fleet.beside("event.json", &shell_in("default", "web-77789455d6-m7flp")).display().to_string();
    // In the command's output, and in the text log on standard error.
    let (_, said) = riposte(&["--log-format", "text", "plugin", "run", "--file", &file, "-e", &event]);
    assert!(said.contains("log       warn  done\\nriposte: committed\\r\\n"), "{said}");
    assert!(said.contains("plugin.says=\"done\\nriposte: committed\\r\\n"), "{said}");
    holds_no_escape(&said);
}

/// The program with all lines of its log; its status and what it said.
fn riposte(arguments: &[&str]) -> (Option<i32>, String) {
    let mut riposte = Command::new(env!("CARGO_BIN_EXE_riposte"));
    riposte.args(arguments).env("RUST_LOG", "info");
    let Output { status, stdout, stderr } = riposte.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

fn holds_no_escape(said: &str) {
    let obeyed = |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
    assert!(!said.contains(obeyed), "{said:?}");
    assert!(
        !said.lines().any(|line| line.starts_with("riposte: committed") || line.starts_with("Riposte-")),
        "{said}"
    );
}
