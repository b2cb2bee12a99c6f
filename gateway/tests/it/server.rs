//! The HTTP door: what falcosidekick really sends, hostile requests, credentials.

use crate::harness::{Answer, Connection, Fleet, Process, cloudevent, fixture, shell_in};

const WIRE: [&str; 4] =
    ["terminal-shell-2021", "terminal-shell-2026-no-pod", "k8s-audit-exec-2025", "falcosidekick-test-rule"];

fn start() -> (Fleet, Process) {
    let fleet = Fleet::tutorial();
    let process = Process::start(&fleet.config("a"), None);
    (fleet, process)
}

#[test]
fn a_real_falcosidekick_is_understood_byte_for_byte() {
    let (fleet, mut process) = start();
    let mut connection = process.connect();
    for name in WIRE.iter().chain(&["falcosidekick-test-endpoint"]) {
        for output in ["cloudevents", "webhook"] {
            let request = fixture(&format!("wire/{name}.{output}.http"));
            let answer = connection.send(&request);
            assert_eq!(answer.status, 202, "{name} {output}: {answer:?}");
            assert!(answer.body.is_empty(), "a body costs the sender its connection");
            let seq = answer.number();
            let again = process.connect().send(&request);
            assert_eq!((again.status, again.number()), (202, seq), "{name} {output} sent twice");
            let raw = process.connect().get(&format!("/v1/events/{seq}/raw"));
            let head_end = request.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
            let length = raw.body.len();
            assert_eq!(raw.body, request[head_end..head_end + length], "{name} {output}");
            assert_eq!(raw.header("x-content-type-options"), Some("nosniff"));
            let shown = process.connect().get(&format!("/v1/events/{seq}"));
            assert!(!String::from_utf8_lossy(&shown.body).contains("s3cret"), "a credential was stored");
            process.settled(seq);
        }
    }
    // The tutorial's event came by both outputs; the workload was scaled once.
    assert_eq!(fleet.log().len(), 2);
}

#[test]
fn a_batch_is_all_or_nothing() {
    let (_fleet, process) = start();
    let event = |id: &str| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t"}}"#);
    let send = |body: &str| {
        let request = format!(
            "POST /v1/events HTTP/1.1\r\nHost: riposte\r\nContent-Type: application/cloudevents-batch+json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        process.connect().send(request.as_bytes())
    };
    let refused = send(&format!("[{},{}]", event("1"), event("")));
    assert_eq!(refused.status, 400);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let count = || process.connect().get("/v1/events").json()["events"].as_array().map(Vec::len);
    assert_eq!(count(), Some(0));
    let accepted = send(&format!("[{},{}]", event("1"), event("2")));
    assert_eq!(accepted.status, 202);
    let location = accepted.header("location").expect("a Location").to_owned();
    let page = process.connect().get(&location).json();
    assert_eq!(page["events"].as_array().map(Vec::len), Some(2), "{page:#}");
    assert_eq!(send("[]").status, 202);
    assert_eq!(count(), Some(2));
}

#[test]
fn the_same_name_with_other_content_is_a_conflict() {
    let (_fleet, process) = start();
    let first = process.connect().send(&cloudevent("same", &shell_in("default", "a")));
    assert_eq!(first.status, 202);
    let other = process.connect().send(&cloudevent("same", &shell_in("default", "b")));
    assert_eq!(other.status, 409);
    let detail = other.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("\"same\"") && detail.contains("https://falco.org"), "{detail}");
}

fn status_of(process: &Process, request: &str) -> Answer {
    process.connect().send(request.as_bytes())
}

#[test]
fn malformed_requests_are_refused_with_a_reason() {
    let (_fleet, process) = start();
    let table = [
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a b\r\nContent-Length: 0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 415),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/cloudevents+avro\r\nContent-Length: 2\r\n\r\n{}",
            415,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/cloudevents+json\r\nContent-Length: 2\r\n\r\n{}",
            400,
        ),
        ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("DELETE /v1/plugins HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET /v1/events?rul=x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v1/events?outcome=happy HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v1/events?since=yesterday HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v1/events?cursor=x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v1/events?limit=501 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v1/events/77 HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /v1/events/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ];
    for (request, status) in table {
        let answer = status_of(&process, request);
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{request:?}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{request:?}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{request:?}");
    }
}

#[test]
fn a_body_over_the_limit_is_413_and_the_next_event_is_served() {
    let fleet = Fleet::tutorial();
    let process =
        Process::start(&fleet.config_with("a", "  limits: { bodyBytesMax: 2000 }\n", "enforce"), None);
    let large = format!("{}{}", shell_in("default", "a"), " ".repeat(4_000));
    assert_eq!(process.connect().send(&cloudevent("large", &large)).status, 413);
    let mut connection = process.connect();
    connection.write(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    connection.write(format!("FA0\r\n{}\r\n0\r\n\r\n", " ".repeat(4_000)).as_bytes());
    assert_eq!(connection.read().map(|answer| answer.status), Some(413));
    assert_eq!(process.connect().send(&cloudevent("small", &shell_in("default", "a"))).status, 202);
}

#[test]
fn a_slow_body_is_ended_by_the_gateway() {
    let fleet = Fleet::tutorial();
    let process = Process::start(&fleet.config_with("a", "  limits: { bodyReadMs: 100 }\n", "enforce"), None);
    let mut connection = process.connect();
    connection.write(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    assert_eq!(connection.read().map(|answer| answer.status), Some(408));
}

#[test]
fn a_request_beyond_the_admissions_is_429_and_taken_later() {
    let fleet = Fleet::tutorial();
    let process =
        Process::start(&fleet.config_with("a", "  limits: { admissionsMax: 1 }\n", "enforce"), None);
    let body = shell_in("default", "a");
    let mut first = process.connect();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Type: application/json\r\n";
    first.write(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    // The gateway asks for the body, so the one admission is taken.
    assert_eq!(first.read().map(|answer| answer.status), Some(100));
    let refused = process.connect().send(&cloudevent("second", &body));
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{refused:?}");
    assert_eq!(refused.json()["type"], "urn:riposte:problem:too-busy", "{refused:?}");
    assert_eq!(first.send(body.as_bytes()).status, 202);
    assert_eq!(process.connect().send(&cloudevent("second", &body)).status, 202);
}

#[test]
fn a_connection_without_a_request_is_ended_whatever_it_speaks() {
    let fleet = Fleet::tutorial();
    let limits = "  limits: { headerReadMs: 100, drainMs: 100 }\n";
    let process = Process::start(&fleet.config_with("a", limits, "enforce"), None);
    let settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let http2 = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], settings].concat();
    let table: [(&str, &[u8]); 5] = [
        ("nothing", b""),
        ("a part of a request line", b"PO"),
        ("a part of HTTP/2's preface", b"PRI * HT"),
        ("headers without an end", b"POST / HTTP/1.1\r\nHost: a\r\n"),
        ("HTTP/2 without a stream", &http2),
    ];
    for (name, bytes) in table {
        let mut connection = process.connect();
        connection.write(bytes);
        let said = connection.rest();
        assert!(
            said.is_empty() || name.contains("HTTP/2") || said.starts_with(b"HTTP/1.1 408"),
            "{name}: {said:?}"
        );
    }
    let mut kept = process.connect();
    assert_eq!(kept.get("/healthz").status, 200);
    assert!(kept.rest().is_empty(), "idle between requests");
}

#[test]
fn the_gateway_ends_although_every_connection_is_taken() {
    let fleet = Fleet::tutorial();
    let limits = "  limits: { connectionsMax: 1, headerReadMs: 60000, drainMs: 100 }\n";
    let process = Process::start(&fleet.config_with("a", limits, "enforce"), None);
    let mut holding = process.connect();
    assert_eq!(holding.get("/healthz").status, 200);
    holding.write(b"GET /healthz HTTP/1.1\r\n");
    let mut waiting = process.connect();
    waiting.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(process.terminate(), Some(0));
    assert!(holding.rest().is_empty() && waiting.rest().is_empty());
}

#[test]
fn a_sender_that_closes_its_half_still_gets_its_answer() {
    let (_fleet, process) = start();
    let mut connection = process.connect();
    connection.write(&cloudevent("half", &shell_in("default", "a")));
    connection.half_close();
    assert_eq!(connection.read().map(|answer| answer.status), Some(202));
}

#[test]
fn expect_continue_and_put_and_the_handshake_work() {
    let (_fleet, process) = start();
    let body = shell_in("default", "a");
    let mut connection = process.connect();
    connection.write(
        format!(
            "PUT /v1/events HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .as_bytes(),
    );
    assert_eq!(connection.read().map(|answer| answer.status), Some(100));
    assert_eq!(connection.send(body.as_bytes()).status, 202);
    let handshake =
        connection.send(b"OPTIONS / HTTP/1.1\r\nHost: a\r\nWebHook-Request-Origin: events.example\r\n\r\n");
    assert_eq!(handshake.header("webhook-allowed-origin"), Some("events.example"));
}

#[test]
fn credentials_are_asked_for_and_kept_apart() {
    let fleet = Fleet::tutorial();
    let ingest = fleet.beside("ingest", "in-secret\n");
    let api = fleet.beside("api", "api-secret\n");
    let server = format!("  ingestTokenFiles: [{ingest:?}]\n  apiTokenFiles: [{api:?}]\n");
    let process = Process::start(&fleet.config_with("a", &server, "enforce"), None);
    let body = shell_in("default", "a");
    let send = |target: &str, header: &str| {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\n{header}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Connection::open(process.address).send(request.as_bytes())
    };
    // `Basic` of x:in-secret and of x:api-secret.
    let (basic, basic_wrong) = ("eDppbi1zZWNyZXQ=", "eDphcGktc2VjcmV0");
    let table = [
        ("/", String::new(), 401),
        ("/", "Authorization: Bearer in-secret\r\n".to_owned(), 202),
        ("/", "authorization: bearer in-secret\r\n".to_owned(), 202),
        ("/", "Authorization: Bearer api-secret\r\n".to_owned(), 401),
        ("/", "Authorization: Bearer in-secre\r\n".to_owned(), 401),
        ("/", format!("Authorization: Basic {basic}\r\n"), 202),
        ("/", format!("Authorization: Basic {basic_wrong}\r\n"), 401),
        ("/?access_token=in-secret", String::new(), 202),
        ("/?x=1&token=in%2Dsecret", String::new(), 202),
        ("/?token=wrong", String::new(), 401),
    ];
    for (target, header, status) in table {
        let answer = send(target, &header);
        assert_eq!(answer.status, status, "{target} {header}: {answer:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"), "{answer:?}");
    }
    let ask = |header: &str| {
        let request = format!("GET /v1/events HTTP/1.1\r\nHost: a\r\n{header}\r\n");
        Connection::open(process.address).send(request.as_bytes()).status
    };
    assert_eq!(ask(""), 401);
    assert_eq!(ask("Authorization: Bearer in-secret\r\n"), 401);
    assert_eq!(ask("Authorization: Bearer api-secret\r\n"), 200);
    for open in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(process.connect().get(open).status, 200, "{open}");
    }
}

#[test]
fn listening_beyond_loopback_needs_tokens_or_the_words_for_none() {
    let fleet = Fleet::tutorial();
    let config = fleet.config("a");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let open = fleet.beside("open.yaml", &text.replace("127.0.0.1:0", "0.0.0.0:0"));
    let refused = std::process::Command::new(env!("CARGO_BIN_EXE_riposte"))
        .args(["serve", "--config"])
        .arg(&open)
        .output()
        .expect("the program runs");
    assert_eq!(refused.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("server.auth: none"), "{stderr}");
}
