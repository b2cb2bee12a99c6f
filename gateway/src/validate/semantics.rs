//! What a schema cannot say and an API server refuses all the same: groups of small rules, a file each.
//!
//! Pure, and about the object alone: nothing is looked up in a cluster. The rules are those of
//! Kubernetes' published validation; what it would fill in is taken as filled in.

mod autoscale;
mod container;
mod cron;
mod immutable;
mod metadata;
mod names;
mod network;
mod node;
mod pod;
mod probe;
mod quantity;
mod rbac;
mod selector;
mod service;
mod storage;
mod volume;
mod workload;

use std::collections::BTreeSet;

use serde_json::Value;

use super::Refusal;
use crate::model::manifest::ObjectRef;
use crate::model::text::cut;
use node::Node;

/// What is told of one object; the rest is no news.
const REASONS_MAX: usize = 8;
/// The longest of one reason, in bytes: names of a manifest are part of it.
const REASON_BYTES_MAX: usize = 512;
/// What is collected of one object. One with more is not compared with what it was before.
const FOUND_MAX: usize = 1_000;

/// The groups of Kubernetes' own kinds: another group's Service is none of ours.
const API_GROUPS: [&str; 8] = [
    "v1",
    "apps/v1",
    "batch/v1",
    "networking.k8s.io/v1",
    "policy/v1",
    "autoscaling/v2",
    "rbac.authorization.k8s.io/v1",
    "storage.k8s.io/v1",
];

/// A group of rules adds what it finds wrong.
type Rules = fn(&str, &Node<'_>, &mut Found);

/// In the order of their messages. Each is given the kind and the whole object.
const GROUPS: [Rules; 8] = [
    metadata::check,
    workload::check,
    pod::check,
    service::check,
    network::check,
    autoscale::check,
    storage::check,
    rbac::check,
];

/// What is wrong so far.
#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    /// Notes what is wrong with a value.
    fn at(&mut self, node: &Node<'_>, wrong: impl AsRef<str>) {
        self.push(format!("{} {}", node.place(), wrong.as_ref()));
    }

    fn push(&mut self, wrong: String) {
        if self.0.len() < FOUND_MAX {
            self.0.push(cut(wrong, REASON_BYTES_MAX));
        }
    }

    /// A text, if there is one, has to be one of these.
    fn one_of(&mut self, node: &Node<'_>, field: &str, allowed: &[&str]) {
        if let Some((field, text)) = node.get(field).and_then(|field| Some((field.clone(), field.text()?)))
            && !allowed.contains(&text)
        {
            self.at(&field, format!("is {text:?}, which is none of {}", allowed.join(", ")));
        }
    }

    /// A number, if there is one, has to be within these.
    fn within(&mut self, node: &Node<'_>, field: &str, least: i64, most: i64) {
        let Some(field) = node.get(field) else { return };
        match field.number() {
            Some(number) if number < 0 && least == 0 => {
                self.at(&field, format!("is {number}, which is negative"))
            }
            Some(number) if number < least => {
                self.at(&field, format!("is {number}, and at least {least} is needed"))
            }
            Some(number) if number > most => {
                self.at(&field, format!("is {number}, and at most {most} is allowed"))
            }
            _ => {}
        }
    }

    /// A number, if there is one, may not be negative.
    fn not_negative(&mut self, node: &Node<'_>, fields: &[&str]) {
        for field in fields {
            self.within(node, field, 0, i64::MAX);
        }
    }

    /// A text, if there is one, has to have the form.
    fn form(&mut self, node: Option<&Node<'_>>, form: names::Form) {
        if let Some((node, text)) = node.and_then(|node| Some((node, node.text()?)))
            && let Some(wrong) = form(text)
        {
            self.at(node, format!("is {text:?}, {wrong}"));
        }
    }

    /// A text has to be there and not empty.
    fn required(&mut self, node: &Node<'_>, field: &str) {
        if node.get(field).is_none_or(|field| field.text() == Some("")) {
            self.at(node, format!("has no {field}"));
        }
    }

    /// No two items may have the same key; items without one are passed over.
    fn unique<'a>(&mut self, items: &[Node<'a>], what: &str, key: impl Fn(&Node<'a>) -> Option<String>) {
        let mut known = BTreeSet::new();
        for item in items {
            if let Some(key) = key(item)
                && !known.insert(key.clone())
            {
                self.at(item, format!("has the {what} {key:?} of another one"));
            }
        }
    }
}

/// What is wrong with the object. What was wrong with it `before`, too, is not held against a change.
pub(super) fn check(target: &ObjectRef, before: Option<&Value>, after: &Value) -> Vec<Refusal> {
    let own = API_GROUPS.contains(&target.api_version.as_str());
    let kind = if own { target.kind.as_str() } else { "" };
    let mut found = found(kind, after);
    if let Some(before) = before {
        if (1..FOUND_MAX).contains(&found.0.len()) {
            let known: BTreeSet<String> = self::found(kind, before).0.into_iter().collect();
            found.0.retain(|wrong| !known.contains(wrong));
        }
        immutable::check(kind, before, after, &mut found);
    }
    let told = found.0.into_iter().take(REASONS_MAX);
    told.map(|reason| Refusal::Semantics { target: target.clone(), reason }).collect()
}

fn found(kind: &str, manifest: &Value) -> Found {
    let mut found = Found::default();
    for rules in GROUPS {
        rules(kind, &Node::root(manifest), &mut found);
    }
    found
}
