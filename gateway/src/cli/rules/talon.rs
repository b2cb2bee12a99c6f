//! Falco Talon's rule files, as Talon reads them: several files are one list, and what has a name that
//! was there already changes the earlier one.
//!
//! What Talon would not load is an error here, and so is a key that it would pass over: both mean that
//! the file does not do what its author thinks.

use std::fmt::Display;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::cli::CommandError;
use crate::edit;
use crate::model::text::inert;

/// The longest rule file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A rule after all files.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rule {
    #[serde(rename = "rule")]
    pub(super) name: String,
    #[serde(rename = "description")]
    _description: IgnoredAny,
    /// Whether other rules are run after it; they are, unless told.
    #[serde(rename = "continue", deserialize_with = "flag")]
    pub(super) go_on: Option<bool>,
    #[serde(deserialize_with = "flag")]
    pub(super) dry_run: Option<bool>,
    #[serde(deserialize_with = "or_default")]
    pub(super) actions: Vec<Action>,
    #[serde(deserialize_with = "or_default")]
    pub(super) notifiers: Vec<String>,
    #[serde(rename = "match", deserialize_with = "or_default")]
    pub(super) when: Match,
    /// The file that has it first.
    #[serde(skip)]
    pub(super) file: PathBuf,
}

/// Which events a rule is for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Match {
    #[serde(deserialize_with = "or_default")]
    pub(super) rules: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) priority: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) source: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) tags: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) output_fields: Vec<String>,
}

/// An action: one with a name, or one of a rule, which takes what it does not say from the former.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Action {
    #[serde(rename = "action")]
    pub(super) name: String,
    #[serde(rename = "description")]
    _description: IgnoredAny,
    #[serde(deserialize_with = "or_default")]
    pub(super) actionner: String,
    #[serde(rename = "continue", deserialize_with = "flag")]
    pub(super) go_on: Option<bool>,
    #[serde(rename = "ignore_errors", deserialize_with = "flag")]
    _ignore_errors: Option<bool>,
    #[serde(rename = "additional_contexts")]
    _additional_contexts: IgnoredAny,
    #[serde(deserialize_with = "or_default")]
    pub(super) parameters: Map<String, Value>,
    /// Where Talon writes what an action found; none that is taken over finds anything.
    #[serde(rename = "output")]
    _output: IgnoredAny,
}

/// Go's zero value stands for `null`.
fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(flag)),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) if text == "true" => Ok(Some(true)),
        Value::String(text) if text == "false" => Ok(Some(false)),
        other => Err(de::Error::custom(format_args!("{other} is neither true nor false"))),
    }
}

/// Reads the files, in their order.
///
/// # Errors
/// When one cannot be read or Talon would not load it; the text names the file and the rule.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Rule>, CommandError> {
    let (mut rules, mut actions): (Vec<Rule>, Vec<Action>) = (Vec::new(), Vec::new());
    for path in paths {
        for (index, item) in items(path)?.into_iter().enumerate() {
            let what = what_it_is(&item, index).map_err(|reason| wrong(path, reason))?;
            shape(&item).map_err(|reason| wrong(path, format_args!("{what}: {reason}")))?;
            let failed = |error: serde_path_to_error::Error<serde_json::Error>| {
                wrong(path, format_args!("{what}: {error}"))
            };
            if item.get("rule").is_some() {
                let rule: Rule = serde_path_to_error::deserialize(item).map_err(failed)?;
                match rules.iter_mut().find(|earlier| earlier.name == rule.name) {
                    Some(earlier) => earlier.change_by(rule),
                    None => rules.push(Rule { file: path.clone(), ..rule }),
                }
            } else {
                let action: Action = serde_path_to_error::deserialize(item).map_err(failed)?;
                match actions.iter_mut().find(|earlier| earlier.name == action.name) {
                    Some(earlier) => earlier.change_by(action),
                    None => actions.push(action),
                }
            }
        }
    }
    for rule in &mut rules {
        for own in &mut rule.actions {
            if let Some(named) = actions.iter().find(|action| action.name == own.name) {
                own.fill_from(named);
            }
        }
        check(rule).map_err(|reason| wrong(&rule.file, format_args!("rule {:?}: {reason}", rule.name)))?;
    }
    Ok(rules)
}

fn wrong(path: &Path, reason: impl Display) -> CommandError {
    CommandError::Failed(inert(&format!("{}: {reason}", path.display())).into())
}

/// The entries of a file.
fn items(path: &Path) -> Result<Vec<Value>, CommandError> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| wrong(path, format_args!("it cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong(path, format_args!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong(path, "it is no UTF-8"))?;
    let mut documents = edit::read(&text).map_err(|error| wrong(path, error))?;
    if documents.len() > 1 {
        return Err(wrong(path, "it has several documents, and Talon reads the first one only; split it"));
    }
    match documents.pop() {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(wrong(path, "it is no list of rules and actions")),
    }
}

/// `rule "…"` or `action "…"`.
fn what_it_is(item: &Value, index: usize) -> Result<String, String> {
    let key = match (item.get("rule").is_some(), item.get("action").is_some()) {
        (true, false) => "rule",
        (false, true) => "action",
        (true, true) => return Err(format!("entry {index} has both `rule` and `action`; make two of it")),
        (false, false) => return Err(format!("entry {index} has neither `rule` nor `action`")),
    };
    let name = item[key].as_str().filter(|name| !name.is_empty());
    name.map(|name| format!("{key} {name:?}")).ok_or_else(|| format!("entry {index}: `{key}` is no name"))
}

/// A list would be read as the fields in their order.
fn shape(item: &Value) -> Result<(), String> {
    let mut places = vec![("match".to_owned(), item.get("match"))];
    let actions = item.get("actions").and_then(Value::as_array);
    for (index, action) in actions.into_iter().flatten().enumerate() {
        places.push((format!("actions[{index}]"), Some(action)));
    }
    match places.iter().find(|(_, value)| value.is_some_and(Value::is_array)) {
        Some((place, _)) => Err(format!("{place}: it is a list, where Talon wants keys")),
        None => Ok(()),
    }
}

impl Rule {
    /// A later entry of the same name: its lists are added, its priority and source count alone.
    fn change_by(&mut self, later: Self) {
        self.go_on = later.go_on.or(self.go_on);
        self.dry_run = later.dry_run.or(self.dry_run);
        self.actions.extend(later.actions);
        self.notifiers.extend(later.notifiers);
        self.when.rules.extend(later.when.rules);
        self.when.tags.extend(later.when.tags);
        self.when.output_fields.extend(later.when.output_fields);
        // Also when it has none: Talon forgets the earlier one.
        self.when.priority = later.when.priority;
        self.when.source = later.when.source;
    }
}

impl Action {
    /// A later entry of the same name: what it says counts, its lists are added.
    fn change_by(&mut self, later: Self) {
        if !later.actionner.is_empty() {
            self.actionner = later.actionner;
        }
        self.go_on = later.go_on.or(self.go_on);
        for (key, value) in later.parameters {
            match (self.parameters.get_mut(&key), value) {
                (_, Value::Null) => {}
                (None | Some(Value::Null), value) => {
                    self.parameters.insert(key, value);
                }
                (Some(Value::Array(own)), Value::Array(more)) => own.extend(more),
                (Some(Value::Object(own)), Value::Object(more)) => own.extend(more),
                (Some(own), value) if same_type(own, &value) => *own = value,
                // Talon passes over a parameter of another type.
                (Some(_), _) => {}
            }
        }
    }

    /// What a rule does not say of its action, the named action does; of a map the named action has
    /// the last word.
    fn fill_from(&mut self, named: &Self) {
        if self.actionner.is_empty() {
            self.actionner.clone_from(&named.actionner);
        }
        self.go_on = self.go_on.or(named.go_on);
        for (key, value) in &named.parameters {
            match (self.parameters.get_mut(key), value) {
                (None | Some(Value::Null), value) => {
                    self.parameters.insert(key.clone(), value.clone());
                }
                (Some(Value::Array(own)), Value::Array(first)) => {
                    own.splice(0..0, first.iter().cloned());
                }
                (Some(Value::Object(own)), Value::Object(last)) => own.extend(last.clone()),
                (Some(_), _) => {}
            }
        }
    }
}

fn same_type(one: &Value, other: &Value) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// What Talon holds against a rule once all is known, but for its match.
fn check(rule: &Rule) -> Result<(), String> {
    if rule.actions.is_empty() {
        return Err("it has no action".to_owned());
    }
    for action in &rule.actions {
        let (category, name) = action.actionner.split_once(':').unwrap_or_default();
        if action.name.is_empty() {
            return Err("one of its actions has no name".to_owned());
        }
        if action.actionner.is_empty() {
            return Err(format!(
                "its action {:?} has no actionner, and no action of that name has one",
                action.name
            ));
        }
        if category.is_empty() || name.is_empty() {
            return Err(format!(
                "its action {:?} has the actionner {:?}, which is none",
                action.name, action.actionner
            ));
        }
    }
    Ok(())
}
