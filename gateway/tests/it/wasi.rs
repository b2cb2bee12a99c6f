//! Guests that ask WASI for what no plugin gets: each is answered from the event, or stopped by name.

use std::path::Path;
use std::sync::Arc;

use riposte::dispatch::{Catalog, Dispatched, Engine, Failure, LogLine, Plugin, PluginConfig};
use riposte::model::event::{Event, EventParts};
use riposte::model::patch::Decision;
use riposte::repository::Repository;
use riposte::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::harness::Fleet;
use crate::harness::git::config;
use crate::harness::guest::{core_module_of, engine, module, write};

/// What these guests may ask for, and what they import of it. `VERSION` stands for a version.
const DOCUMENT: &str = "
package test:guest;
world guest {
    include riposte:plugin/plugin@0.1.0;
    import wasi:io/streams@VERSION;
    import wasi:io/poll@VERSION;
    import wasi:cli/environment@VERSION;
    import wasi:cli/exit@VERSION;
    import wasi:cli/stdin@VERSION;
    import wasi:cli/stdout@VERSION;
    import wasi:clocks/wall-clock@VERSION;
    import wasi:clocks/monotonic-clock@VERSION;
    import wasi:filesystem/preopens@VERSION;
    import wasi:random/random@VERSION;
    import wasi:sockets/tcp-create-socket@VERSION;
    import wasi:made-up/later@VERSION;
}
package wasi:io@VERSION {
    interface error { resource error; }
    interface poll { resource pollable; poll: func(in: list<borrow<pollable>>) -> list<u32>; }
    interface streams {
        use error.{error};
        variant stream-error { last-operation-failed(error), closed }
        resource input-stream { blocking-read: func(len: u64) -> result<list<u8>, stream-error>; }
        resource output-stream {
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
        }
    }
}
package wasi:cli@VERSION {
    interface environment {
        get-environment: func() -> list<tuple<string, string>>;
        get-arguments: func() -> list<string>;
    }
    interface exit { exit: func(status: result); }
    interface stdin { use wasi:io/streams@VERSION.{input-stream}; get-stdin: func() -> input-stream; }
    interface stdout { use wasi:io/streams@VERSION.{output-stream}; get-stdout: func() -> output-stream; }
}
package wasi:clocks@VERSION {
    interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }
    interface monotonic-clock {
        use wasi:io/poll@VERSION.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
    }
}
package wasi:filesystem@VERSION {
    interface types { resource descriptor; }
    interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; }
}
package wasi:random@VERSION { interface random { get-random-bytes: func(len: u64) -> list<u8>; } }
package wasi:sockets@VERSION {
    interface network { enum ip-address-family { ipv4, ipv6 } enum error-code { unknown, access-denied } }
    interface tcp { resource tcp-socket; }
    interface tcp-create-socket {
        use network.{error-code, ip-address-family};
        use tcp.{tcp-socket};
        create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
    }
}
package wasi:made-up@VERSION { interface later { ask: func() -> u32; } }
";

const IMPORTS: &str = r#"(module
  (import "wasi:cli/environment@VERSION" "get-environment" (func $environment (param i32)))
  (import "wasi:cli/environment@VERSION" "get-arguments" (func $arguments (param i32)))
  (import "wasi:cli/exit@VERSION" "exit" (func $exit (param i32)))
  (import "wasi:cli/stdin@VERSION" "get-stdin" (func $stdin (result i32)))
  (import "wasi:cli/stdout@VERSION" "get-stdout" (func $stdout (result i32)))
  (import "wasi:io/streams@VERSION" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
  (import "wasi:io/streams@VERSION" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/poll@VERSION" "poll" (func $poll (param i32 i32 i32)))
  (import "wasi:clocks/wall-clock@VERSION" "now" (func $wall (param i32)))
  (import "wasi:clocks/monotonic-clock@VERSION" "now" (func $monotonic (result i64)))
  (import "wasi:clocks/monotonic-clock@VERSION" "subscribe-duration" (func $after (param i64) (result i32)))
  (import "wasi:filesystem/preopens@VERSION" "get-directories" (func $directories (param i32)))
  (import "wasi:random/random@VERSION" "get-random-bytes" (func $random (param i64 i32)))
  (import "wasi:sockets/tcp-create-socket@VERSION" "create-tcp-socket" (func $socket (param i32 i32)))
  (import "wasi:made-up/later@VERSION" "ask" (func $ask (result i32)))"#;

/// Answers "ignored" with memory as the reason: two letters, from a to p, for each byte.
const TELL: &str = r#"
  (func $tell (param $from i32) (param $bytes i32) (result i32) (local $at i32)
    (local.set $at (i32.const 16384))
    (i32.store (i32.const 2056) (local.get $at))
    (i32.store (i32.const 2060) (i32.mul (local.get $bytes) (i32.const 2)))
    (loop $next
      (if (local.get $bytes) (then
        (i32.store8 (local.get $at)
          (i32.add (i32.const 97) (i32.shr_u (i32.load8_u (local.get $from)) (i32.const 4))))
        (i32.store8 (i32.add (local.get $at) (i32.const 1))
          (i32.add (i32.const 97) (i32.and (i32.load8_u (local.get $from)) (i32.const 15))))
        (local.set $at (i32.add (local.get $at) (i32.const 2)))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (local.set $bytes (i32.sub (local.get $bytes) (i32.const 1)))
        (br $next))))
    (i32.const 2048))
  (data (i32.const 3000) "one\ntwo") (data (i32.const 3100) "panic: at home")"#;

/// A guest that imports all of it and whose `handle` is `body`.
fn guest(body: &str, version: &str) -> Vec<u8> {
    let text = module(body, TELL).replacen("(module", IMPORTS, 1);
    core_module_of(&text.replace("VERSION", version), &DOCUMENT.replace("VERSION", version))
}

fn load(engine: &Engine, path: &Path) -> Result<Arc<Plugin>, String> {
    load_with(engine, path, json!({}))
}

fn load_with(engine: &Engine, path: &Path, grants: Value) -> Result<Arc<Plugin>, String> {
    let settings = json!({ "name": "guest", "source": format!("file:{}", path.display()), "grants": grants });
    let settings: PluginConfig = serde_json::from_value(settings).unwrap();
    match Catalog::load(engine, &[settings]) {
        Ok(catalog) => Ok(Arc::clone(&catalog.plugins()[0])),
        Err(errors) => Err(errors[0].to_string()),
    }
}

fn event(id: &str, time: Option<&str>) -> Event {
    Event::new(EventParts {
        id: id.to_owned(),
        source: "https://falco.org".to_owned(),
        event_type: "falco.rule.output.v1".to_owned(),
        time: time.map(str::to_owned),
        ..EventParts::default()
    })
    .unwrap()
}

/// An engine, a folder and a snapshot.
struct Scene {
    engine: Engine,
    fleet: Fleet,
    snapshot: Arc<Snapshot>,
}

impl Scene {
    async fn new() -> Self {
        let fleet = Fleet::tutorial();
        let repository = json!({ "url": fleet.bare.file_url() });
        let data = fleet.bare.root.path().join("data");
        let repository = Repository::open(&config(repository), &data).await.unwrap();
        Self { engine: engine(), snapshot: repository.snapshot_at_head().await.unwrap(), fleet }
    }

    fn plugin(&self, body: &str) -> Arc<Plugin> {
        let path = write(self.fleet.bare.root.path(), "guest", &guest(body, "0.2.6"));
        load(&self.engine, &path).unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    /// What it answers, the same each time.
    fn answer(&self, plugin: &Arc<Plugin>, event: &Event) -> Result<Dispatched, Failure> {
        let first = plugin.handle(event, Arc::clone(&self.snapshot));
        let second = plugin.handle(event, Arc::clone(&self.snapshot));
        assert_eq!(first, second, "the same event is answered alike, with the same fuel");
        first
    }

    /// The bytes that a guest tells on an event.
    fn told(&self, body: &str, event: &Event) -> Vec<u8> {
        let dispatched = self.answer(&self.plugin(body), event);
        let dispatched = dispatched.unwrap_or_else(|failure| panic!("{body}: {failure}"));
        let Decision::Ignore { reason } = dispatched.decision else { panic!("{body}: it ignores") };
        reason.as_bytes().chunks(2).map(|two| ((two[0] - b'a') << 4) | (two[1] - b'a')).collect()
    }
}

#[tokio::test]
async fn a_guest_that_never_uses_the_wasi_it_imports_decides_whatever_the_version() {
    let scene = Scene::new().await;
    let folder = scene.fleet.bare.root.path();
    for version in ["0.2.0", "0.2.6", "0.2.12"] {
        let path = write(folder, "unused", &guest("(i32.const 128)", version));
        let plugin = load(&scene.engine, &path).unwrap_or_else(|error| panic!("{version}: {error}"));
        let dispatched = scene.answer(&plugin, &event("1", None)).unwrap();
        assert_eq!(dispatched.decision, Decision::Ignore { reason: "quiet".to_owned() }, "{version}");
    }
    for version in ["0.2.0-rc-2023-11-10", "0.3.0", "1.0.0"] {
        let path = write(folder, "unknown", &guest("(i32.const 128)", version));
        let said = load(&scene.engine, &path).expect_err(version);
        assert!(
            said.contains(&format!("wasi:cli/exit@{version}")) && said.contains("denied-import"),
            "{said}"
        );
    }
    let path = write(folder, "withheld", &guest("(i32.const 128)", "0.2.6"));
    let said = load_with(&scene.engine, &path, json!({ "imports": ["log", "desired-state"] }));
    let expected = "plugin guest: it imports wasi, which its grants.imports do not name";
    assert_eq!(said.expect_err("it is withheld"), expected);
}

#[tokio::test]
async fn what_wasi_answers_comes_from_the_event_or_is_nothing() {
    let scene = Scene::new().await;
    let happened = event("1", Some("2026-10-07T09:21:01.871149301+02:00"));
    let wall = "(call $wall (i32.const 4096)) (call $tell (i32.const 4096) (i32.const 12))";
    let at = |seconds: u64, nanoseconds: u32| {
        [&seconds.to_le_bytes()[..], &nanoseconds.to_le_bytes()[..]].concat()
    };
    // The length of a list stands behind its pointer.
    let length = |function: &str| {
        format!("(call {function} (i32.const 4096)) (call $tell (i32.const 4100) (i32.const 4))")
    };
    // An hour goes by at once, for both clocks.
    let sleep = "(i32.store (i32.const 5000) (call $after (i64.const 3600000000000))) \
                 (call $poll (i32.const 5000) (i32.const 1) (i32.const 5008)) \
                 (i64.store (i32.const 4112) (call $monotonic)) (call $wall (i32.const 4096)) \
                 (call $tell (i32.const 4096) (i32.const 24))";
    let slept = [at(1_791_361_261, 871_149_301), vec![0; 4], 3_600_000_000_000_u64.to_le_bytes().to_vec()];
    let read = "(call $read (call $stdin) (i64.const 10) (i32.const 4096)) \
                (call $tell (i32.const 4096) (i32.const 5))";
    let table = [
        ("directories", length("$directories"), &happened, vec![0; 4]),
        ("the environment", length("$environment"), &happened, vec![0; 4]),
        ("the arguments", length("$arguments"), &happened, vec![0; 4]),
        ("the time", wall.to_owned(), &happened, at(1_791_357_661, 871_149_301)),
        ("the time of an event without one", wall.to_owned(), &event("1", None), at(0, 0)),
        ("the time before 1970", wall.to_owned(), &event("1", Some("1901-01-01T00:00:00Z")), at(0, 0)),
        ("to sleep", sleep.to_owned(), &happened, slept.concat()),
        // An error, and the error is the second one: closed.
        ("its input", read.to_owned(), &happened, vec![1, 0, 0, 0, 1]),
    ];
    for (what, body, event, expected) in table {
        assert_eq!(scene.told(&body, event), expected, "a guest that asks for {what}");
    }
}

#[tokio::test]
async fn random_bytes_belong_to_the_event() {
    let scene = Scene::new().await;
    let random = "(call $random (i64.const 40) (i32.const 4096)) \
                  (call $tell (i32.load (i32.const 4096)) (i32.load (i32.const 4100)))";
    let first = scene.told(random, &event("1", None));
    assert_eq!(first.len(), 40);
    assert_ne!(first[..8], first[32..], "the blocks differ");
    assert_eq!(first, scene.told(random, &event("1", None)));
    assert_ne!(first, scene.told(random, &event("2", None)));
    let twice = "(call $random (i64.const 40) (i32.const 4096)) (call $random (i64.const 40) (i32.const 4096)) \
                 (call $tell (i32.load (i32.const 4096)) (i32.load (i32.const 4100)))";
    assert_ne!(first, scene.told(twice, &event("1", None)), "the second time it gets others");
}

#[tokio::test]
async fn what_no_plugin_is_given_ends_it_by_name() {
    let scene = Scene::new().await;
    let denied = |function: &str| Failure::DeniedCall(function.to_owned());
    let table = [
        (
            "(call $socket (i32.const 0) (i32.const 4096)) (i32.const 128)",
            denied("wasi:sockets/tcp-create-socket#create-tcp-socket"),
        ),
        ("(call $exit (i32.const 0)) (i32.const 128)", denied("wasi:cli/exit#exit")),
        ("(drop (call $ask)) (i32.const 128)", denied("wasi:made-up/later#ask")),
        ("(loop $again (drop (call $stdout)) (br $again)) (unreachable)", Failure::HostCalls("open handles")),
        (
            "(call $random (i64.const 65537) (i32.const 4096)) (i32.const 128)",
            Failure::HostCalls("random bytes"),
        ),
        (
            // What it printed before is no part of why it ended.
            "(call $write (call $stdout) (i32.const 3000) (i32.const 2) (i32.const 4096)) \
             (call $emit (i32.const 3) (i32.const 3100) (i32.const 14)) (unreachable)",
            Failure::Panic("at home".to_owned()),
        ),
    ];
    for (body, expected) in table {
        let failure = scene.answer(&scene.plugin(body), &event("1", None)).expect_err(body);
        assert_eq!(failure, expected, "{body}");
        assert!(["denied-call", "host-calls", "panic"].contains(&failure.kind()), "{body}");
    }
}

#[tokio::test]
async fn what_a_guest_prints_is_logged_line_by_line() {
    let scene = Scene::new().await;
    let print = "(call $write (call $stdout) (i32.const 3000) (i32.const 5) (i32.const 4096)) \
                 (call $write (call $stdout) (i32.const 3005) (i32.const 2) (i32.const 4096)) (i32.const 128)";
    let dispatched = scene.answer(&scene.plugin(print), &event("1", None)).unwrap();
    let line = |message: &str| LogLine { level: "info", message: message.to_owned() };
    assert_eq!(dispatched.log, [line("one"), line("two")]);
    let flood = "(loop $again (call $write (call $stdout) (i32.const 3000) (i32.const 4) (i32.const 4096)) \
                 (br $again)) (unreachable)";
    let failure = scene.answer(&scene.plugin(flood), &event("1", None)).expect_err("it floods");
    assert_eq!(failure, Failure::HostCalls("log lines"));
}
