//! The journal under load, on a full disk and when its process is killed: what was acknowledged stays.

use std::collections::BTreeSet;
use std::sync::mpsc::channel;

use crate::harness::{Connection, Fleet, Process, cloudevent, shell_in};

/// The ids of all stored events, by pages.
fn stored(process: &Process) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut target = "/v1/events?limit=500".to_owned();
    loop {
        let page = process.connect().get(&target).json();
        let events = page["events"].as_array().expect("events");
        ids.extend(events.iter().filter_map(|event| event["id"].as_str()).map(str::to_owned));
        let Some(next) = page["next"].as_str() else { return ids };
        target = format!("/v1/events?limit=500&cursor={next}");
    }
}

fn is_intact(process: &Process) -> bool {
    process.connect().get("/v1/audit").json()["intact"] == true
}

#[test]
fn many_senders_are_all_stored_once() {
    const SENDERS: usize = 16;
    const EACH: usize = 25;
    let fleet = Fleet::tutorial();
    let process = Process::start(&fleet.config("a"), None);
    let address = process.address;
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            std::thread::spawn(move || {
                let mut connection = Connection::open(address);
                let body = shell_in("nowhere", "nobody");
                // Every event is sent twice, by two senders at about the same time.
                let ids = (0..EACH).map(|number| format!("{}-{number}", sender / 2));
                let send = |id: String| {
                    let answer = connection.send(&cloudevent(&id, &body));
                    assert_eq!(answer.status, 202, "{answer:?}");
                    (id, answer.number())
                };
                ids.map(send).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut answers: Vec<(String, i64)> =
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
    answers.sort_unstable();
    answers.dedup();
    assert_eq!(answers.len(), SENDERS / 2 * EACH, "one number an event, whoever sends it");
    assert_eq!(stored(&process).len(), SENDERS / 2 * EACH);
    assert!(is_intact(&process));
}

#[test]
fn a_process_killed_under_load_has_all_that_it_acknowledged() {
    let fleet = Fleet::tutorial();
    let config = fleet.config("a");
    for round in 0..3 {
        let process = Process::start(&config, None);
        let (acknowledged, answers) = channel();
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let (acknowledged, address) = (acknowledged.clone(), process.address);
                std::thread::spawn(move || {
                    let mut connection = Connection::open(address);
                    for number in 0.. {
                        let id = format!("{round}-{sender}-{number}");
                        connection.write(&cloudevent(&id, &shell_in("nowhere", "nobody")));
                        match connection.read() {
                            Some(answer) if answer.status == 202 => acknowledged.send(id).unwrap(),
                            _ => return,
                        }
                    }
                })
            })
            .collect();
        drop(acknowledged);
        let mut ids: Vec<String> = answers.iter().take(40).collect();
        process.kill();
        ids.extend(answers.iter());
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        let process = Process::start(&config, None);
        let stored = stored(&process);
        let lost: Vec<&String> = ids.iter().filter(|id| !stored.contains(*id)).collect();
        assert!(lost.is_empty() && ids.len() >= 40, "{lost:?}");
        assert!(is_intact(&process));
        assert_eq!(process.terminate(), Some(0));
    }
}

#[test]
fn a_full_disk_is_answered_503_and_loses_nothing() {
    let fleet = Fleet::tutorial();
    let config = fleet.config("a");
    let large = shell_in("nowhere", "nobody").replace("A shell", &"A shell ".repeat(30_000));
    let process = Process::start_with_files_up_to(6 * 1024, &config);
    let mut acknowledged = BTreeSet::new();
    let refused = (0..100).find_map(|number| {
        let id = number.to_string();
        let answer = process.connect().send(&cloudevent(&id, &large));
        if answer.status == 202 {
            acknowledged.insert(id);
            return None;
        }
        Some(answer)
    });
    let refused = refused.expect("the disk is full before the hundredth event");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert!(!acknowledged.is_empty());
    // It keeps answering, and one that has room may still be stored.
    let small = process.connect().send(&cloudevent("small", &shell_in("nowhere", "nobody")));
    match small.status {
        202 => assert!(acknowledged.insert("small".to_owned())),
        status => assert_eq!(status, 503),
    }
    assert_eq!(process.connect().get("/healthz").status, 200);
    drop(process);

    let process = Process::start(&config, None);
    let stored = stored(&process);
    assert!(acknowledged.is_subset(&stored), "{acknowledged:?} {stored:?}");
    assert!(is_intact(&process));
    assert_eq!(process.connect().send(&cloudevent("after", &large)).status, 202);
}

#[test]
fn a_batch_with_one_name_and_two_contents_leaves_nothing_behind() {
    let fleet = Fleet::tutorial();
    let process = Process::start(&fleet.config("a"), None);
    let event =
        |data: u8| format!(r#"{{"specversion":"1.0","id":"x","source":"/s","type":"t","data":{data}}}"#);
    let send = |body: String| {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/cloudevents-batch+json\r\n";
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        process.connect().send(request.as_bytes())
    };
    let refused = send(format!("[{},{}]", event(1), event(2)));
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(stored(&process).is_empty(), "all or nothing");
    assert_eq!(send(format!("[{0},{0}]", event(1))).status, 202);
    assert_eq!(stored(&process).len(), 1);
    assert!(is_intact(&process));
}
