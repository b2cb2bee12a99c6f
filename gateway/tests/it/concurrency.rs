//! Others push at the same time: no lost update, no merge of text.

use crate::harness::fleet::deployment;
use crate::harness::{Fleet, Process, cloudevent, shell_in};

#[test]
fn two_gateways_and_a_person_lose_nothing() {
    const EACH: usize = 5;
    let names: Vec<String> = (0..2 * EACH).map(|number| format!("app-{number}x")).collect();
    let files: Vec<(String, String)> =
        names.iter().map(|name| (format!("apps/{name}.yaml"), deployment(name))).collect();
    let borrowed: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let fleet = Fleet::with(&borrowed);
    let each_alone = |name: &str| {
        let text = std::fs::read_to_string(fleet.config(name)).expect("a configuration");
        fleet.beside(&format!("{name}.yaml"), &text.replace("idleMs: 0", "changesMax: 1"))
    };
    let mut gateways = [Process::start(&each_alone("a"), None), Process::start(&each_alone("b"), None)];
    for (index, name) in names.iter().enumerate() {
        let body = shell_in("default", &format!("{name}-77789455d6-m7flp"));
        let answer = gateways[index % 2].connect().send(&cloudevent(&format!("id-{index}"), &body));
        assert_eq!(answer.status, 202);
        fleet.person_commits(&format!("notes/{index}.md"), "by hand\n");
    }
    for gateway in &mut gateways {
        for seq in 1..=i64::try_from(EACH).expect("a small number") {
            let event = gateway.settled(seq);
            assert_eq!(event["reactions"][0]["outcome"], "committed", "{event:#}");
        }
    }
    for name in &names {
        let expected = deployment(name).replace("replicas: 3", "replicas: 0");
        assert_eq!(fleet.file(&format!("apps/{name}.yaml")), expected);
    }
    let log = fleet.log();
    assert_eq!(log.len(), 1 + 2 * EACH + 2 * EACH, "{log:#?}");
    for index in 0..2 * EACH {
        assert_eq!(fleet.file(&format!("notes/{index}.md")), "by hand\n");
    }
}

#[test]
fn a_second_gateway_on_one_journal_is_refused() {
    let fleet = Fleet::tutorial();
    let config = fleet.config("a");
    let _first = Process::start(&config, None);
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_riposte"))
        .args(["serve", "--config"])
        .arg(&config)
        .output()
        .expect("the program runs");
    assert_eq!(second.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&second.stderr);
    assert!(stderr.contains("another riposte holds its lock"), "{stderr}");
}
