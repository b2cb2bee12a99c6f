//! Reverts and what they leave in the journal: killed at each point, forged, and on an older journal.

use riposte::crash_point::CrashPoint;
use serde_json::json;

use crate::harness::process::audited;
use crate::harness::{Fleet, Process, cloudevent, execute, shell_in};
use crate::takeback::{POD, ended, is_intact, react, revert, reverted, tree};

fn killed_reverting_at(point: CrashPoint) {
    let fleet = Fleet::tutorial();
    let config = fleet.config_without_repeats("a");
    let mut process = Process::start(&config, None);
    react(&mut process, "1", POD);
    assert_eq!(process.terminate(), Some(0));
    let mut process = Process::start(&config, Some(&point.name()));
    let revert_id = revert(&process, &json!(1)).number();
    process.wait_for_line(|line| line.contains("crash point reached"));
    process.kill();
    let mut process = Process::start(&config, None);
    let back = ended(&mut process, revert_id);
    assert_eq!(back["outcome"], "committed", "{point:?}: {back:#}");
    assert_eq!(fleet.log().len(), 3, "{point:?}");
    assert_eq!(tree(&fleet, "main"), tree(&fleet, "main~2"), "{point:?}");
    assert_eq!(revert(&process, &json!(1)).number(), revert_id, "{point:?}");
    is_intact(&process);
}

#[test]
fn a_revert_that_is_killed_is_made_once() {
    let points =
        [CrashPoint::Committing, CrashPoint::Validated, CrashPoint::Committed, CrashPoint::OutcomeRecorded];
    points.into_iter().for_each(killed_reverting_at);
}

#[test]
fn a_commit_that_was_found_again_can_be_taken_back() {
    let fleet = Fleet::tutorial();
    let config = fleet.config_without_repeats("a");
    let mut process = Process::start(&config, Some(&CrashPoint::Committed.name()));
    assert_eq!(process.connect().send(&cloudevent("1", &shell_in("default", POD))).status, 202);
    process.wait_for_line(|line| line.contains("crash point reached"));
    process.kill();
    let mut process = Process::start(&config, None);
    let first = process.settled(1)["reactions"][0].clone();
    assert_eq!(first["reason"], "an earlier attempt had made the commit", "{first:#}");
    assert_eq!(reverted(&mut process, &first)["outcome"], "committed");
    assert_eq!(tree(&fleet, "main"), tree(&fleet, "main~2"));
}

#[test]
fn what_is_kept_to_take_a_commit_back_cannot_be_forged() {
    let fleet = Fleet::tutorial();
    let config = fleet.config_without_repeats("a");
    let mut process = Process::start(&config, None);
    let first = react(&mut process, "1", POD);
    reverted(&mut process, &first);
    // One that is open.
    assert_eq!(process.connect().post_json("/v1/pause", &json!({ "reason": "x" })).status, 200);
    assert_eq!(process.connect().send(&cloudevent("2", &shell_in("default", POD))).status, 202);
    process.wait_for_line(|line| {
        line.contains("a plugin proposes a change") && line.contains("\"reaction.id\":3")
    });
    assert_eq!(process.terminate(), Some(0));
    let table = [
        ("UPDATE undos SET undo = undo", ""),
        ("UPDATE undos SET undo = replace(undo, '\"before\":3', '\"before\":9')", "outcome 1 was changed"),
        ("UPDATE undos SET undo = replace(undo, '\"before\":9', '\"before\":3')", ""),
        ("UPDATE undos SET expires_us = 1", "outcome 1 was changed"),
        ("UPDATE undos SET expires_us = NULL", ""),
        ("UPDATE reactions SET reverted_by = 'expiry' WHERE id = 2", "decision 2 was changed"),
        ("UPDATE reactions SET reverted_by = 'request' WHERE id = 2", ""),
        ("INSERT INTO undos (reaction_id, kept_us, undo) VALUES (3, 1, '[]')", "undo 3 has no link"),
        ("DELETE FROM undos WHERE reaction_id = 3", ""),
        ("INSERT INTO overrides (reaction_id, head, seen_us) VALUES (1, 'x', 1)", "override 1 has no link"),
        ("DELETE FROM overrides", ""),
        ("DELETE FROM undos", "outcome 1 was changed"),
    ];
    for (forged, found) in table {
        execute(&config.with_file_name("a"), forged);
        assert_eq!(audited(&config), found, "{forged}");
    }
}

#[test]
fn what_is_kept_and_damaged_holds_up_nothing() {
    let fleet = Fleet::tutorial();
    let mut entry = Fleet::bundled("scale-to-zero");
    entry["expiresAfterS"] = json!(3_600);
    let config = fleet.config_with_plugin("a", &entry);
    let mut process = Process::start(&config, None);
    react(&mut process, "1", POD);
    assert_eq!(process.terminate(), Some(0));
    execute(&config.with_file_name("a"), "UPDATE undos SET undo = 'x', due_us = 1");
    let mut process = Process::start(&config, None);
    assert_eq!(react(&mut process, "2", POD)["outcome"], "unchanged");
    let answer = revert(&process, &json!(1));
    assert_eq!(answer.status, 409);
    assert!(answer.json()["detail"].as_str().unwrap().contains("cannot be read back"), "{answer:?}");
    let event = process.settled(1);
    assert_eq!(event["reactions"].as_array().map(Vec::len), Some(1), "{event:#}");
}

/// A journal as a gateway left it that knew five migrations.
fn old_journal(data: &std::path::Path) {
    const SQL: [&str; 6] = [
        include_str!("../../../migrations/0001_journal.sql"),
        include_str!("../../../migrations/0002_switches.sql"),
        include_str!("../../../migrations/0003_turns.sql"),
        include_str!("../../../migrations/0004_pull_requests.sql"),
        include_str!("../../../migrations/0005_repeats.sql"),
        include_str!("fixtures/journals/0005.sql"),
    ];
    std::fs::create_dir_all(data).unwrap();
    let url = format!("sqlite://{}?mode=rwc", data.join("riposte.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::Connection;
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        for sql in SQL {
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    });
}

#[test]
fn an_older_journal_is_read_on_and_says_what_it_has_not() {
    let fleet = Fleet::tutorial();
    let config = fleet.config_without_repeats("a");
    old_journal(&config.with_file_name("a"));
    let mut process = Process::start(&config, None);
    is_intact(&process);
    let event = process.settled(1);
    assert_eq!(event["reactions"][0]["attempts"].as_array().map(Vec::len), Some(2), "{event:#}");
    assert!(
        event["reactions"][0]["commit"]["message"].as_str().unwrap().contains("Riposte-Reaction: 003b2d76/1")
    );
    let answer = revert(&process, &json!(1));
    assert_eq!(answer.status, 409);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    let words = "a version that kept nothing to take it back by: revert commit ac469ae27f938347c6547a5f847bee395ee65fd5 by hand";
    assert!(detail.contains(words), "{detail}");
    let second = react(&mut process, "2", POD);
    assert_eq!(second["outcome"], "committed", "{second:#}");
    assert_eq!(reverted(&mut process, &second)["outcome"], "committed");
    is_intact(&process);
}
