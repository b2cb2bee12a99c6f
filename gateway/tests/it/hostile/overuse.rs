//! Guests that use too much: computation, time, memory, tables, the host's own work.

use std::fmt::Write as _;
use std::sync::Arc;

use riposte::dispatch::{Catalog, Failure};
use riposte::model::patch::Decision;
use serde_json::json;

use super::{Hostile, allocates, handles, with};
use crate::harness::Fleet;
use crate::harness::guest::{Guest, engine, write};
use crate::harness::sandbox::{event, from_file, snapshot};

const FOREVER: &str = "(loop $again (br $again)) (unreachable)";
/// Takes one 64 KiB page after the other until it gets none.
const GROW: &str =
    "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)";

/// A guest that calls an import again and again.
fn floods(what: &'static str, imports: &str, call: &str, ends: &str) -> Hostile {
    let handle = format!("(loop $again {call} (br $again)) (unreachable)");
    with(what, Guest { imports: imports.to_owned(), handle, ..Guest::default() }, ends)
}

pub(super) fn guests() -> Vec<Hostile> {
    [computing(), growing(), calling()].into_iter().flatten().collect()
}

fn computing() -> Vec<Hostile> {
    let endless = json!({ "fuel": u64::MAX / 2, "guestTimeMs": 300 });
    let post = r#"(func (export "cabi_post_handle") (param i32) (loop $again (br $again)))"#;
    vec![
        handles("loops", FOREVER, "out-of-fuel: used all of its 1000000 fuel")
            .within(&json!({ "fuel": 1_000_000, "guestTimeMs": 10_000 })),
        handles("loops with fuel enough", FOREVER, "cpu-deadline: ran for 300 ms without an end")
            .within(&endless),
        handles("outlasts its invocation", FOREVER, "invocation-timeout: did not answer within 1 ms")
            .within(&json!({ "fuel": u64::MAX / 2, "guestTimeMs": 500, "invocationMs": 1 })),
        allocates(
            "loops when it is asked for memory",
            FOREVER,
            "cpu-deadline: ran for 300 ms without an end",
        )
        .within(&endless),
        with(
            "answers, and loops when it is told that its answer was read",
            Guest { extra: post.to_owned(), ..Guest::default() },
            "out-of-fuel: used all of its 250000000 fuel",
        ),
    ]
}

fn growing() -> Vec<Hostile> {
    let table = "(loop $again (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) \
                 (unreachable)";
    // Fifteen pages, and the last byte of each is written; then it answers.
    let within = "(local.set $count (i32.const 4)) \
        (drop (memory.grow (i32.const 12))) \
        (loop $again \
          (i32.store8 (i32.sub (i32.mul (local.get $count) (i32.const 65536)) (i32.const 1)) (i32.const 1)) \
          (local.set $count (i32.add (local.get $count) (i32.const 1))) \
          (br_if $again (i32.le_u (local.get $count) (i32.const 16)))) \
        (i32.const 128)";
    let mebibyte = json!({ "memoryBytesMax": 1 << 20 });
    vec![
        handles("allocates", GROW, "memory: wanted more than 1048576 bytes of memory").within(&mebibyte),
        handles("uses all of the memory that it has, and no more", within, "ignored: quiet")
            .within(&mebibyte),
        allocates(
            "grows its memory when it is asked for some",
            GROW,
            "memory: wanted more than 1048576 bytes of memory",
        )
        .within(&mebibyte),
        with(
            "grows a table",
            Guest { handle: table.to_owned(), extra: "(table $t 1 funcref)".to_owned(), ..Guest::default() },
            "table: wanted a table of more than 10000 elements",
        ),
    ]
}

fn calling() -> Vec<Hostile> {
    let lookups = "host-calls: exceeded its limit of look-ups";
    let lines = "host-calls: exceeded its limit of log lines";
    let get = r#"(import "riposte:plugin/desired-state@0.1.0" "get"
        (func $get (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;
    let owner =
        r#"(import "riposte:plugin/desired-state@0.1.0" "owner" (func $owner (param i32 i32 i32 i32 i32)))"#;
    let (five, none) = ("(i32.const 64) (i32.const 5)", "(i32.const 0) (i32.const 0) (i32.const 0)");
    let at = "(i32.const 4096)";
    vec![
        floods("floods the log", "", &format!("(call $emit (i32.const 1) {five})"), lines),
        floods(
            "logs all of its memory, again and again",
            "",
            "(call $emit (i32.const 1) (i32.const 4096) (i32.const 100000))",
            lines,
        ),
        floods("lists without end", "", &format!("(call $find {five} {none} {at})"), lookups),
        floods("reads without end", get, &format!("(call $get {five} {five} {none} {five} {at})"), lookups),
        floods("asks for owners without end", owner, &format!("(call $owner {five} {five} {at})"), lookups),
    ]
}

#[tokio::test]
async fn work_of_the_host_that_a_guest_asks_for_ends_when_the_invocation_does() {
    let mut objects = String::new();
    for number in 0..2_000 {
        let more = format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m{number}\n");
        objects.write_str(&more).unwrap();
    }
    let fleet = Fleet::with(&[("maps.yaml", &objects)]);
    let snapshot = snapshot(&fleet).await;
    assert_eq!(snapshot.objects(), 2_000);
    // Without a loop or a call of its own, so that the guest meets no check of its time: each look-up
    // goes through all objects and finds none.
    let find = "(call $find (i32.const 64) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 4096))";
    let engine = engine();
    let table = [
        (200, 60_000, Ok(Decision::Ignore { reason: "quiet".to_owned() })),
        (20_000, 100, Err(Failure::InvocationTimeout { invocation_ms: 100 })),
    ];
    for (times, invocation_ms, expected) in table {
        let guest = Guest { handle: format!("{} (i32.const 128)", find.repeat(times)), ..Guest::default() };
        let path = write(fleet.bare.root.path(), "asks", &guest.bytes());
        let limits = json!({ "invocationMs": invocation_ms, "guestTimeMs": 60_000, "lookupsMax": 20_000 });
        let catalog = Catalog::load(&engine, &[from_file(&path, &limits)]).unwrap();
        // Nobody waits here but for the guest itself.
        let trial = catalog.plugins()[0].trial(&event("{}"), Arc::clone(&snapshot));
        assert_eq!(trial.answer, expected, "{invocation_ms}");
    }
}
