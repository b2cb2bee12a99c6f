//! From Falco Talon's `match` to one of the `rules` plugin that holds for the same events.
//!
//! What cannot be said exactly is not said at all: a rule that matches more would change what nobody
//! asked to change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Number, Value, json};

use super::talon::Match;

const PRIORITIES: [&str; 8] =
    ["Debug", "Informational", "Notice", "Warning", "Error", "Critical", "Alert", "Emergency"];

/// Fields that Falco fills with a list, by the begin of their names. Talon compares the text of the
/// whole list, the plugin each of its elements.
const LISTS: [&str; 7] = [
    "ka.req.binding.subject",
    "ka.req.pod.containers.",
    "ka.req.pod.supplemental",
    "ka.req.pod.volumes.",
    "ka.req.role.rules",
    "ka.req.service.ports",
    "ka.user.groups",
];

/// The field by which a rule names its namespaces.
const NAMESPACE: &str = "k8s.ns.name";

/// Why there is no match.
#[derive(Debug, PartialEq)]
pub(super) enum Unmatched {
    /// No event is ever matched.
    Never(String),
    /// What it asks for has no exact counterpart.
    Inexact(String),
    /// Talon does not load it.
    Wrong(String),
}

/// Conditions that all have to hold, each with one key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Conditions(Vec<Value>);

/// A match, translated.
#[derive(Debug, PartialEq)]
pub(super) struct Translated {
    pub(super) when: Conditions,
    /// The namespaces that it is for; `None` when it does not name them.
    pub(super) namespaces: Option<BTreeSet<String>>,
}

impl Conditions {
    /// These and one more.
    pub(super) fn and(&self, more: Value) -> Self {
        Self(self.0.iter().cloned().chain([more]).collect())
    }

    /// The plugin's `match`. A key stands once in it; what would be a second one goes below `all`.
    pub(super) fn into_match(self) -> Value {
        let (mut first, mut all) = (Map::new(), Vec::new());
        for condition in self.0 {
            match condition {
                Value::Object(one) if one.keys().all(|key| !first.contains_key(key)) => first.extend(one),
                other => all.push(other),
            }
        }
        if !all.is_empty() {
            first.insert("all".to_owned(), all.into());
        }
        if first.is_empty() {
            first.insert("rule".to_owned(), json!({ "glob": "*" }));
        }
        first.into()
    }
}

/// Translates a match.
pub(super) fn translate(talon: &Match) -> Result<Translated, Unmatched> {
    let mut conditions = Vec::new();
    if !talon.rules.is_empty() {
        conditions.push(json!({ "rule": one_or_list(talon.rules.clone()) }));
    }
    conditions.extend(priority(&talon.priority)?);
    conditions.extend(tags(&talon.tags)?);
    conditions.extend(source(&talon.source));
    let (fields, namespaces) = output_fields(&talon.output_fields)?;
    conditions.extend(fields);
    Ok(Translated { when: Conditions(conditions), namespaces })
}

fn one_or_list(mut texts: Vec<String>) -> Value {
    if texts.len() == 1 { texts.remove(0).into() } else { texts.into() }
}

/// `>=Warning`, `<Error`, `Notice`; upper and lower case are the same.
fn priority(text: &str) -> Result<Option<Value>, Unmatched> {
    if text.is_empty() {
        return Ok(None);
    }
    let name = text.trim_start_matches(['<', '>', '=']);
    let comparator = &text[..text.len() - name.len()];
    let at = PRIORITIES.iter().position(|priority| priority.eq_ignore_ascii_case(name));
    let (Some(at), true) = (at, ["", "=", "<", "<=", ">", ">="].contains(&comparator)) else {
        return Err(Unmatched::Wrong(format!("match.priority: {text:?} is no priority of Falco")));
    };
    let never = || Unmatched::Never(format!("no priority is {text}"));
    let named = |at: Option<usize>| at.and_then(|at| PRIORITIES.get(at)).ok_or_else(never);
    // Talon puts a priority that it does not know below all others.
    let at_most = |name: &str| {
        let unknown = json!({ "not": { "priority": { "atLeast": PRIORITIES[0] } } });
        json!({ "any": [{ "priority": { "atMost": name } }, unknown] })
    };
    Ok(Some(match comparator {
        ">" => json!({ "priority": { "atLeast": named(at.checked_add(1))? } }),
        ">=" => json!({ "priority": { "atLeast": PRIORITIES[at] } }),
        "<" => at_most(named(at.checked_sub(1))?),
        "<=" => at_most(PRIORITIES[at]),
        _ => json!({ "priority": { "atLeast": PRIORITIES[at], "atMost": PRIORITIES[at] } }),
    }))
}

/// Each entry has tags that must all be there; one entry is enough.
fn tags(entries: &[String]) -> Result<Option<Value>, Unmatched> {
    let is_tag = |tag: &&str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        tag.bytes().all(inner) && tag.bytes().last().is_some_and(|last| last.is_ascii_alphanumeric())
    };
    let mut groups = Vec::new();
    for entry in entries {
        let entry = entry.replace(' ', "");
        let group: Vec<&str> = entry.split(',').collect();
        if let Some(wrong) = group.iter().find(|tag| !is_tag(tag)) {
            return Err(Unmatched::Wrong(format!("match.tags: {wrong:?} is no tag")));
        }
        groups.push(group.into_iter().map(str::to_owned).collect::<Vec<_>>());
    }
    if groups.iter().all(|group| group.len() == 1) {
        let alone: Vec<String> = groups.into_iter().flatten().collect();
        return Ok((!alone.is_empty()).then(|| json!({ "tag": one_or_list(alone) })));
    }
    let each = |tags: Vec<String>| tags.into_iter().map(|tag| json!({ "tag": tag })).collect();
    Ok(Some(any(groups.into_iter().map(|group| Conditions(each(group)).into_match()).collect())))
}

fn any(mut matches: Vec<Value>) -> Value {
    if matches.len() == 1 { matches.remove(0) } else { json!({ "any": matches }) }
}

/// To Talon an event without a source is one of system calls.
fn source(source: &str) -> Option<Value> {
    match source {
        "" => None,
        "syscall" => Some(json!({ "any": [{ "source": source }, { "not": { "source": { "glob": "*" } } }] })),
        other => Some(json!({ "source": other })),
    }
}

/// What one entry of `output_fields` asks for.
#[derive(Default)]
struct Fields {
    are: BTreeMap<String, String>,
    are_not: BTreeMap<String, Vec<String>>,
}

/// Each entry has conditions that must all hold; one entry is enough.
fn output_fields(entries: &[String]) -> Result<(Vec<Value>, Option<BTreeSet<String>>), Unmatched> {
    let (mut groups, mut never) = (Vec::new(), None);
    for entry in entries {
        match fields(entry) {
            Ok(fields) => groups.push(fields),
            Err(Unmatched::Never(reason)) => never = Some(reason),
            Err(other) => return Err(other),
        }
    }
    if let (Some(reason), true) = (never, groups.is_empty()) {
        return Err(Unmatched::Never(reason));
    }
    let namespaces: Option<BTreeSet<String>> =
        groups.iter().map(|group| group.are.get(NAMESPACE).cloned()).collect();
    let namespaces = namespaces.filter(|names| !names.is_empty());
    let mut groups: Vec<Conditions> = groups.into_iter().map(Fields::into_conditions).collect();
    let conditions = match groups.len() {
        0 => Vec::new(),
        1 => groups.remove(0).0,
        _ => vec![any(groups.into_iter().map(Conditions::into_match).collect())],
    };
    Ok((conditions, namespaces))
}

/// `proc.name=nc, k8s.ns.name!=kube-system`: whatever stands between quotes, a comma is the end.
fn fields(entry: &str) -> Result<Fields, Unmatched> {
    let mut fields = Fields::default();
    for condition in entry.replace(", ", ",").split(',') {
        let said = |reason: &str| format!("match.output_fields: {condition:?} {reason}");
        let wrong = || Unmatched::Wrong(said("is neither field=value nor field!=value"));
        let (left, value) = condition.split_once('=').ok_or_else(wrong)?;
        let (key, equal) = left.strip_suffix('!').map_or((left, true), |key| (key, false));
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b".[]".contains(&byte);
        if key.is_empty() || !key.bytes().all(inner) {
            return Err(wrong());
        }
        let value = value.replace('"', "");
        inexact(key, &value).map_err(|reason| Unmatched::Inexact(said(&reason)))?;
        if !equal {
            fields.are_not.entry(key.to_owned()).or_default().push(value);
        } else if fields.are.insert(key.to_owned(), value.clone()).is_some_and(|earlier| earlier != value) {
            return Err(Unmatched::Never(said("asks for a second value of that field")));
        }
    }
    Ok(fields)
}

impl Fields {
    fn into_conditions(self) -> Conditions {
        let mut conditions = Vec::new();
        if !self.are.is_empty() {
            conditions.push(json!({ "fields": self.are }));
        }
        let one = |(key, values): (String, Vec<String>)| json!({ "fields": { key: one_or_list(values) } });
        let are_not: Vec<Value> = self.are_not.into_iter().map(one).collect();
        if !are_not.is_empty() {
            conditions.push(json!({ "not": any(are_not) }));
        }
        Conditions(conditions)
    }
}

/// Why a value means one thing to Talon and another one to the plugin, if it does.
fn inexact(key: &str, value: &str) -> Result<(), String> {
    let reason = if value.contains(['=', '!']) {
        "has a = or ! in its value, which Talon reads as another condition or none".to_owned()
    } else if value.is_empty() || value == "<NA>" || value == "<nil>" {
        format!(
            "asks whether Falco knew the field; for one that it did, write `fields: {{ {key}: {{ glob: \"*\" }} }}`"
        )
    } else if value.starts_with('[') || value.starts_with("map[") {
        "asks for the text that Talon makes of a list or an object".to_owned()
    } else if LISTS.iter().any(|list| key.starts_with(list)) {
        "is about a field with a list, whose elements are compared one by one here and as one text by Talon"
            .to_owned()
    } else if let Ok(number) = value.parse::<Number>()
        && (number_text(&number).is_none_or(|text| (text == value) != (number.to_string() == value)))
    {
        "asks for a number that Talon writes in another way (1000000 as 1e+06, 3.0 as 3)".to_owned()
    } else {
        return Ok(());
    };
    Err(reason)
}

/// A number as Talon compares it: as floating point, the shortest digits; `None` where it has an exponent.
fn number_text(number: &Number) -> Option<String> {
    let number = number.as_f64()?;
    let plain = number == 0.0 || (1e-4..1e6).contains(&number.abs());
    plain.then(|| number.to_string())
}

/// The names among these that a namespace can have; others match no pod, and a `*` would grant all.
pub(super) fn grantable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
