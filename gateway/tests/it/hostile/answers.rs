//! Guests that hand over nonsense: pointers, lengths, texts, numbers of cases, JSON.

use super::{Hostile, answers, handles, says};
use crate::harness::guest::{Image, Laid};
use serde_json::json;

pub(super) fn guests() -> Vec<Hostile> {
    [crooked(), arguments(), oversized(), nonsense()].into_iter().flatten().collect()
}

/// A merge patch of the tutorial's Deployment.
fn merge(text: &str) -> Laid<'_> {
    Laid {
        api_version: "apps/v1",
        kind: "Deployment",
        namespace: Some("default"),
        name: "alpine-deployment",
        case: 1,
        text,
    }
}

fn proposal(patch: Laid<'_>) -> Image {
    Image::proposal(&[patch], "Change it", "because")
}

/// `ok`, `propose`, and what follows.
fn proposes(what: &'static str, rest: &str, ends: &str) -> Hostile {
    says(what, &format!("\\00\\00\\00\\00\\01\\00\\00\\00{rest}"), ends)
}

/// Answers that are not what the contract says, in memory.
fn crooked() -> Vec<Hostile> {
    let guest = "\\40\\00\\00\\00\\05\\00\\00\\00";
    vec![
        handles(
            "answers with a pointer to nowhere",
            "(i32.const -16)",
            "bad-output: pointer out of bounds of memory",
        ),
        handles(
            "answers with a crooked pointer",
            "(i32.const 129)",
            "bad-output: return pointer not aligned",
        ),
        says("answers with no known case", "\\07", "bad-output: invalid expected discriminant"),
        says("decides in no known way", "\\00\\00\\00\\00\\07", "bad-output: unexpected discriminant: 7"),
        says(
            "gives a reason that is no UTF-8",
            "\\00\\00\\00\\00\\00\\00\\00\\00\\10\\08\\00\\00\\02\\00\\00\\00\\ff\\fe",
            "bad-output: invalid utf-8 sequence of 1 bytes from index 0",
        ),
        says(
            "gives a reason of two gigabytes",
            "\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\80",
            "bad-output: string pointer/length out of bounds of memory",
        ),
        proposes(
            "proposes a million patches",
            &format!("\\00\\00\\00\\00\\40\\42\\0f\\00{guest}{guest}"),
            "bad-output: list pointer/length out of bounds of memory",
        ),
        proposes(
            "proposes more patches than there are numbers",
            &format!("\\00\\00\\00\\00\\ff\\ff\\ff\\ff{guest}{guest}"),
            "bad-output: list pointer/length out of bounds of memory",
        ),
        proposes(
            "proposes patches at a crooked place",
            &format!("\\01\\00\\00\\00\\01\\00\\00\\00{guest}{guest}"),
            "bad-output: list pointer is not aligned",
        ),
        answers(
            "changes in no known way",
            &proposal(Laid { case: 9, ..merge("{}") }),
            "bad-output: unexpected discriminant: 9",
        ),
    ]
}

/// Arguments of calls that are not what the contract says.
fn arguments() -> Vec<Hostile> {
    let emit = |level: i32, at: i32, length: i32| {
        format!("(call $emit (i32.const {level}) (i32.const {at}) (i32.const {length})) (i32.const 128)")
    };
    vec![
        handles("logs at no known level", &emit(9, 64, 5), "bad-output: unexpected discriminant: 9"),
        handles(
            "logs what it does not have",
            &emit(1, 64, -1),
            "bad-output: string pointer/length out of bounds of memory",
        ),
        handles(
            "finds with half an option",
            "(call $find (i32.const 64) (i32.const 5) (i32.const 7) (i32.const 0) (i32.const 0) (i32.const 4096)) (i32.const 128)",
            "bad-output: invalid option discriminant",
        ),
        handles(
            "wants a result where it has no memory",
            "(call $find (i32.const 64) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -4)) (i32.const 128)",
            "bad-output: pointer out of bounds",
        ),
    ]
}

/// Answers that are as the contract says, and too large.
fn oversized() -> Vec<Hostile> {
    let title = "t".repeat(100_000);
    let cut_title = format!("{}…", "t".repeat(253));
    let reason = "r".repeat(100_000);
    let cut_reason = format!("{}…", "r".repeat(4_093));
    let long = "n".repeat(254);
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(600_000));
    let half = format!("{{\"a\":\"{}\"}}", "x".repeat(300_000));
    let (patch, patches) = ("{}", vec![(); 65]);
    let many: Vec<Laid<'_>> = patches.iter().map(|()| merge(patch)).collect();
    let halves: Vec<Laid<'_>> = (0..10).map(|_| merge(&half)).collect();
    vec![
        answers("ignores at length", &Image::ignore(&reason), &format!("ignored: {cut_reason}")),
        answers(
            "ignores beyond the limit",
            &Image::ignore(&reason),
            "bad-output: a reason is longer than 1000 bytes",
        )
        .within(&json!({ "decisionBytesMax": 1_000 })),
        answers("cannot decide at length", &Image::error(&reason), &format!("plugin-error: {cut_reason}")),
        answers(
            "proposes at length",
            &Image::proposal(&[merge("{}")], &title, &reason),
            &format!("proposed: {cut_title} because {cut_reason}: 1 patches"),
        ),
        answers(
            "proposes a patch of 600 kB",
            &proposal(merge(&text)),
            "bad-output: a decision is larger than 524288 bytes",
        ),
        answers(
            "proposes ten patches of 300 kB",
            &Image::proposal(&halves, "Change it", "because"),
            "bad-output: too much data is being copied between the host and the guest: \
             fuel allocated for hostcalls has been exhausted",
        ),
        answers(
            "proposes one patch too many",
            &Image::proposal(&many, "Change it", "because"),
            "bad-output: a proposal has from 1 to 64 patches, not 65",
        ),
        answers(
            "names an object at length",
            &proposal(Laid { name: &long, ..merge("{}") }),
            "bad-output: a part of an object's name is longer than 253 bytes",
        ),
    ]
}

/// Answers that are no decision.
fn nonsense() -> Vec<Hostile> {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let no_patch = |title: &str, ends| answers("", &Image::proposal(&[merge("{}")], title, "because"), ends);
    let one_line = "bad-output: a proposal's title is one line that is not empty";
    vec![
        answers(
            "proposes nothing",
            &Image::proposal(&[], "Change it", "because"),
            "bad-output: a proposal has from 1 to 64 patches, not 0",
        ),
        Hostile { what: "proposes without a title", ..no_patch(" \u{2003}", one_line) },
        Hostile {
            what: "proposes a trailer in its title",
            ..no_patch("Scale\n\nRiposte-Reaction: forged/1", one_line)
        },
        Hostile { what: "proposes an escape in its title", ..no_patch("\u{1b}[2JScale", one_line) },
        answers(
            "proposes a patch that is no JSON",
            &proposal(merge("replicas: 0")),
            "bad-output: a patch is no JSON: expected value at line 1 column 1",
        ),
        answers(
            "proposes JSON of 100000 levels",
            &proposal(merge(&deep)),
            "bad-output: a patch is no JSON: recursion limit exceeded at line 1 column 132",
        ),
        answers(
            "proposes a number that is none",
            &proposal(merge("{\"spec\":{\"replicas\":1e400}}")),
            "bad-output: a patch is no JSON: number out of range at line 1 column 25",
        ),
        answers(
            "proposes a merge patch that is a list",
            &proposal(merge("[]")),
            "bad-output: a JSON Patch is an array, a merge patch and a manifest are objects",
        ),
        answers(
            "proposes a JSON Patch that is an object",
            &proposal(Laid { case: 0, ..merge("{}") }),
            "bad-output: a JSON Patch is an array, a merge patch and a manifest are objects",
        ),
        answers(
            "proposes a strategic merge patch that is a list",
            &proposal(Laid { case: 4, ..merge("[]") }),
            "bad-output: a JSON Patch is an array, a merge patch and a manifest are objects",
        ),
        answers(
            "proposes a new object that is a text",
            &proposal(Laid { case: 2, ..merge("\"kind: Secret\"") }),
            "bad-output: a JSON Patch is an array, a merge patch and a manifest are objects",
        ),
        answers("says that it cannot", &Image::error("not today"), "plugin-error: not today"),
    ]
}
