//! Proposals of one burst that want different things of one object: the later one is refused by name,
//! and nothing of it is left.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::{fleet, intact, paused, resume, waiting};
use crate::harness::fleet::deployment;
use crate::harness::github::{Fault, GitHub};
use crate::harness::guest::{Guest, Image, Laid, core_module, deletes, write};
use crate::harness::{Fleet, Process};

/// A guest that proposes this for Deployment default/alpine-deployment or what a patch names.
pub(super) fn proposing(patches: &[(&str, &str, u32, Value)]) -> Vec<u8> {
    let texts: Vec<String> = patches.iter().map(|(.., text)| text.to_string()).collect();
    let laid: Vec<Laid<'_>> = patches
        .iter()
        .zip(&texts)
        .map(|((kind, name, case, _), text)| Laid {
            api_version: if *kind == "Deployment" { "apps/v1" } else { "v1" },
            kind,
            namespace: Some("default"),
            name,
            case: *case,
            text,
        })
        .collect();
    Guest::answering(&Image::proposal(&laid, "Change it", "because")).bytes()
}

/// A configuration with these guests; each gets the events of the type that has its name.
pub(super) fn configure(fleet: &Fleet, base: &Path, guests: &[(&str, Vec<u8>)]) -> PathBuf {
    let plugins: Vec<Value> = guests
        .iter()
        .map(|(name, bytes)| {
            let path = write(fleet.bare.root.path(), name, bytes);
            json!({
                "name": name, "source": format!("file:{}", path.display()), "mode": "enforce",
                "subscriptions": [{ "exact": { "type": name } }],
                "grants": {
                    "kinds": ["apps/v1/Deployment", "v1/ConfigMap"], "namespaces": ["default"],
                    "fields": ["/spec/replicas", "/metadata/annotations"], "create": true, "delete": true,
                },
                "limits": { "guestTimeMs": 20_000, "invocationMs": 60_000 },
            })
        })
        .collect();
    let text = std::fs::read_to_string(base).unwrap();
    let start = text.split("plugins:").next().unwrap();
    fleet.beside("plugins.yaml", &format!("{start}plugins: {}\n", json!(plugins)))
}

/// Sends an event for each plugin, in this order.
pub(super) fn send(process: &mut Process, names: &[&str], after_each: impl Fn(&mut Process, i64)) {
    for (number, name) in (1..).zip(names) {
        let event = json!({ "specversion": "1.0", "id": number.to_string(), "source": "test", "type": name });
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/cloudevents+json\r\nContent-Length: {}\r\n\r\n{event}",
            event.to_string().len()
        );
        assert_eq!(process.connect().send(request.as_bytes()).status, 202);
        after_each(process, number);
    }
}

/// An event for each plugin, in this order, all decided before any is committed; their reactions.
pub(super) fn react_together(config: &Path, names: &[&str]) -> (Process, Vec<Value>) {
    let mut process = paused(config);
    send(&mut process, names, |process, sent| drop(waiting(process, sent)));
    resume(&process);
    let reactions = (1..).zip(names).map(|(event, _)| super::ended(&mut process, event)).collect();
    (process, reactions)
}

fn config_map(value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "made", "namespace": "default" },
        "data": { "key": value },
    })
}

#[test]
fn the_later_of_two_that_disagree_is_refused_with_the_name_of_the_first() {
    const NAME: &str = "alpine-deployment";
    let fleet = fleet(&[NAME, "other"]);
    let scale = |replicas: i64| ("Deployment", NAME, 1, json!({ "spec": { "replicas": replicas } }));
    let note = |key: &str, value: &str| {
        ("Deployment", NAME, 1, json!({ "metadata": { "annotations": { key: value } } }))
    };
    let ungranted = ("Deployment", NAME, 1, json!({ "spec": { "paused": true } }));
    let guests = [
        ("zero", proposing(&[scale(0)])),
        ("five", proposing(&[note("from", "five"), scale(5)])),
        ("also-zero", proposing(&[scale(0)])),
        ("notes", proposing(&[note("from", "notes"), scale(0)])),
        ("oversteps", proposing(&[note("of", "oversteps"), ungranted])),
        ("deletes", core_module(&deletes("apps/v1", "Deployment", "default", NAME))),
        ("deletes-other", core_module(&deletes("apps/v1", "Deployment", "default", "other"))),
        ("scales-other", proposing(&[("Deployment", "other", 1, json!({ "spec": { "replicas": 0 } }))])),
        ("makes", proposing(&[("ConfigMap", "made", 2, config_map("one"))])),
        ("makes-too", proposing(&[("ConfigMap", "made", 2, config_map("one"))])),
        ("makes-another", proposing(&[("ConfigMap", "made", 2, config_map("two"))])),
        ("deletes-made", core_module(&deletes("v1", "ConfigMap", "default", "made"))),
    ];
    let names: Vec<&str> = guests.iter().map(|(name, _)| *name).collect();
    let (process, reactions) = react_together(&configure(&fleet, &fleet.config("a"), &guests), &names);
    let conflict = |object: &str, what: &str, by: &str| {
        format!("conflict: {object}: {what} by {by}, which comes first in the same commit (commit ")
    };
    let web = "Deployment default/alpine-deployment";
    let expected = [
        ("committed", "because".to_owned()),
        ("refused", conflict(web, "/spec/replicas is set otherwise", "reaction 1 of plugin zero")),
        ("unchanged", "the desired state already is as proposed (commit ".to_owned()),
        ("committed", "because".to_owned()),
        ("refused", format!("grant-field: {web}: the plugin has no grant for /spec/paused")),
        ("refused", conflict(web, "/spec/replicas is set otherwise", "reaction 1 of plugin zero")),
        ("committed", "it is not needed".to_owned()),
        (
            "refused",
            conflict("Deployment default/other", "it is deleted", "reaction 7 of plugin deletes-other"),
        ),
        ("committed", "because".to_owned()),
        ("unchanged", "the desired state already is as proposed (commit ".to_owned()),
        ("refused", conflict("ConfigMap default/made", "it is made otherwise", "reaction 9 of plugin makes")),
        ("refused", conflict("ConfigMap default/made", "it is made otherwise", "reaction 9 of plugin makes")),
    ];
    for ((name, reaction), (outcome, reason)) in names.iter().zip(&reactions).zip(expected) {
        assert_eq!(reaction["outcome"], outcome, "{name}: {reaction:#}");
        let said = reaction["reason"].as_str().unwrap();
        assert!(said.starts_with(&reason), "{name}: {said}\nnot {reason}");
    }
    assert_eq!(fleet.log().len(), 2);
    let scaled = deployment(NAME).replace("replicas: 3", "replicas: 0");
    let noted = scaled.replace("# by hand\n", "# by hand\n  annotations:\n    from: notes\n");
    assert_eq!(fleet.file(&format!("apps/{NAME}.yaml")), noted, "nothing is left of what was refused");
    assert!(fleet.file("apps/configmap-made.yaml").contains("key: one"));
    assert_eq!(fleet.bare.git(&["ls-tree", "--name-only", "main", "apps/other.yaml"]), "");
    intact(&process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_none_the_less_one_when_the_answer_was_lost() {
    const NAME: &str = "alpine-deployment";
    let fleet = fleet(&[NAME]);
    let github = GitHub::start(&fleet.bare.path()).await;
    let scale = |replicas: i64| ("Deployment", NAME, 1, json!({ "spec": { "replicas": replicas } }));
    let guests = [("zero", proposing(&[scale(0)])), ("five", proposing(&[scale(5)]))];
    let config = configure(&fleet, &fleet.config_on_github("a", &github, "enforce"), &guests);
    github.next(Fault::CutAfter);
    let (process, reactions) = block_in_place(|| react_together(&config, &["zero", "five"]));
    assert_eq!(reactions[0]["outcome"], "committed", "{:#}", reactions[0]);
    assert_eq!(reactions[1]["outcome"], "refused", "{:#}", reactions[1]);
    let reason = reactions[1]["reason"].as_str().unwrap();
    assert!(reason.contains("/spec/replicas is set otherwise by reaction 1 of plugin zero"), "{reason}");
    assert_eq!(fleet.log().len(), 2);
    block_in_place(|| intact(&process));
}
