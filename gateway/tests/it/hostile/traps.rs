//! Guests that do what WebAssembly or the canonical ABI forbids.

use super::{Hostile, allocates, handles, with};
use crate::harness::guest::Guest;

/// A guest that logs a text at 2048 as an error, and then traps.
fn panics(what: &'static str, text: &str, length: usize, ends: &str) -> Hostile {
    let handle = format!("(call $emit (i32.const 3) (i32.const 2048) (i32.const {length})) (unreachable)");
    let extra = format!("(data (i32.const 2048) \"{text}\")");
    with(what, Guest { handle, extra, ..Guest::default() }, ends)
}

pub(super) fn guests() -> Vec<Hostile> {
    [forbidden(), allocators(), panicking()].into_iter().flatten().collect()
}

fn forbidden() -> Vec<Hostile> {
    let with_table = |what, handle: &str, ends| {
        let extra = "(table $t 4 funcref) (elem (i32.const 1) func $realloc)".to_owned();
        with(what, Guest { handle: handle.to_owned(), extra, ..Guest::default() }, ends)
    };
    vec![
        handles("traps", "(unreachable)", "trap: wasm trap: wasm `unreachable` instruction executed"),
        handles("recurses", "(call $handle (local.get $event))", "trap: wasm trap: call stack exhausted"),
        handles(
            "divides by 0",
            "(i32.div_u (i32.const 1) (i32.const 0))",
            "trap: wasm trap: integer divide by zero",
        ),
        handles(
            "divides the least number by -1",
            "(i32.div_s (i32.const -2147483648) (i32.const -1))",
            "trap: wasm trap: integer overflow",
        ),
        handles(
            "makes an integer of what is no number",
            "(i32.trunc_f64_s (f64.const nan))",
            "trap: wasm trap: invalid conversion to integer",
        ),
        handles(
            "reads outside of its memory",
            "(i32.load (i32.const -4))",
            "trap: wasm trap: out of bounds memory access",
        ),
        handles(
            "fills more than its memory",
            "(memory.fill (i32.const 65536) (i32.const 255) (i32.const 262144)) (i32.const 128)",
            "trap: wasm trap: out of bounds memory access",
        ),
        with_table(
            "calls what is in no table",
            "(call_indirect (result i32) (i32.const 99))",
            "trap: wasm trap: undefined element: out of bounds table access",
        ),
        with_table(
            "calls nothing",
            "(call_indirect (result i32) (i32.const 0))",
            "trap: wasm trap: uninitialized element",
        ),
        with_table(
            "calls a function as another one",
            "(call_indirect (result i32) (i32.const 1))",
            "trap: wasm trap: indirect call type mismatch",
        ),
    ]
}

fn allocators() -> Vec<Hostile> {
    vec![
        allocates(
            "recurses when it is asked for memory",
            "(call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 9))",
            "trap: wasm trap: call stack exhausted",
        ),
        allocates(
            "gives memory that it does not have",
            "(i32.const -65536)",
            "bad-output: realloc return: beyond end of memory",
        ),
        allocates(
            "gives memory at a crooked place",
            "(i32.const 131073)",
            "bad-output: realloc return: result not aligned",
        ),
        allocates(
            "calls the host when it is asked for memory",
            "(call $emit (i32.const 1) (i32.const 64) (i32.const 5)) (i32.const 131072)",
            "trap: wasm trap: cannot leave component instance",
        ),
        // It writes over its own event, and nobody else's.
        allocates("gives the same memory each time", "(i32.const 131072)", "ignored: quiet"),
    ]
}

fn panicking() -> Vec<Hostile> {
    let huge = format!("panic: {}", "a".repeat(60_000));
    vec![
        panics("panics as the sdk says it", "panic: at home", 14, "panic: at home"),
        panics("panics with a huge message", &huge, huge.len(), &format!("panic: {}", "a".repeat(4_096 - 7))),
        panics("panics with a line of its own", "panic: a\\nok\\1b[2J", 15, "panic: a\nok\u{1b}[2J"),
    ]
}
