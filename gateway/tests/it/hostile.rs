//! Hostile guests: each is stopped by the name of what it did, with its words and no others, and
//! whoever stands beside it notices nothing.
//!
//! A guest is WebAssembly text against the contract. What it comes to is held whole: the kind and the
//! message of its failure, every refusal of its proposal, or why it was not loaded.

mod answers;
mod beside;
mod loading;
mod overuse;
mod proposals;
mod traps;

use std::sync::Arc;

use riposte::dispatch::Catalog;
use riposte::model::patch::Decision;
use serde_json::Value;

use crate::harness::guest::{Guest, Image, engine, write};
use crate::harness::sandbox::{POD, event, from_file, snapshot, unhurried, well_behaved};
use crate::harness::{Fleet, shell_in};

/// What it does, the guest, its limits, and what it comes to.
struct Hostile {
    what: &'static str,
    guest: Guest,
    limits: Value,
    ends: String,
}

/// A guest with this `handle`.
fn handles(what: &'static str, handle: &str, ends: &str) -> Hostile {
    with(what, Guest { handle: handle.to_owned(), ..Guest::default() }, ends)
}

/// A guest that answers with an image.
fn answers(what: &'static str, image: &Image, ends: &str) -> Hostile {
    with(what, Guest::answering(image), ends)
}

/// A guest that answers with bytes at 2048.
fn says(what: &'static str, bytes: &str, ends: &str) -> Hostile {
    let extra = format!("(data (i32.const 2048) \"{bytes}\")");
    with(what, Guest { handle: "(i32.const 2048)".to_owned(), extra, ..Guest::default() }, ends)
}

fn with(what: &'static str, guest: Guest, ends: &str) -> Hostile {
    Hostile { what, guest, limits: unhurried(), ends: ends.to_owned() }
}

/// A guest whose allocator is this once an event comes, whose texts are longer than a configuration.
fn allocates(what: &'static str, realloc: &str, ends: &str) -> Hostile {
    let usual = Guest::default().realloc;
    let realloc =
        format!("(if (i32.gt_u (local.get $size) (i32.const 8)) (then (return {realloc}))) {usual}");
    with(what, Guest { realloc, ..Guest::default() }, ends)
}

/// A guest that does this once an event comes, and has not answered for a long time.
fn burns(iterations: u64, answer: &str) -> Guest {
    let handle = format!(
        "(local.set $long (i64.const {iterations})) \
         (loop $again (br_if $again (i64.ne (local.tee $long (i64.sub (local.get $long) (i64.const 1))) (i64.const 0)))) \
         {answer}"
    );
    Guest { handle: format!("(local $long i64) {handle}"), ..Guest::default() }
}

impl Hostile {
    fn within(mut self, limits: &Value) -> Self {
        json_patch::merge(&mut self.limits, limits);
        self
    }
}

/// How a decision reads; a failure reads as its kind and message.
fn reads(decision: &Decision) -> String {
    match decision {
        Decision::Ignore { reason } => format!("ignored: {reason}"),
        Decision::Propose(changes) => {
            format!(
                "proposed: {} because {}: {} patches",
                changes.title,
                changes.reason,
                changes.patches.len()
            )
        }
    }
}

/// All that differ are told at once.
fn none_differs(differing: &[String], guests: usize) {
    assert!(
        differing.is_empty(),
        "{} of {guests} guests end otherwise:\n{}",
        differing.len(),
        differing.join("\n")
    );
}

#[tokio::test]
async fn every_hostile_guest_is_stopped_by_name_and_the_next_event_is_served() {
    let fleet = Fleet::tutorial();
    let snapshot = snapshot(&fleet).await;
    let engine = engine();
    let event = event(&shell_in("default", POD));
    let good = Catalog::load(&engine, &[well_behaved()]).unwrap();
    let expected = good.plugins()[0].handle(&event, Arc::clone(&snapshot)).unwrap();
    let guests: Vec<Hostile> =
        overuse::guests().into_iter().chain(traps::guests()).chain(answers::guests()).collect();
    let mut differing = Vec::new();
    let count = guests.len();
    for Hostile { what, guest, limits, ends } in guests {
        let path = write(fleet.bare.root.path(), "hostile", &guest.bytes());
        let catalog = Catalog::load(&engine, &[from_file(&path, &limits)])
            .unwrap_or_else(|errors| panic!("{what}: {errors:?}"));
        for time in ["first", "second"] {
            let found = match catalog.plugins()[0].handle(&event, Arc::clone(&snapshot)) {
                Ok(dispatched) => reads(&dispatched.decision),
                Err(failure) => format!("{}: {failure}", failure.kind()),
            };
            if found != ends {
                differing.push(format!("one that {what} ({time}):\n    {found}\n  not {ends}"));
            }
        }
        let served = good.plugins()[0].handle(&event, Arc::clone(&snapshot)).unwrap();
        assert_eq!(served, expected, "after a guest that {what}");
    }
    none_differs(&differing, count);
}
