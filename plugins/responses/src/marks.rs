//! Labels and annotations for pods, as an operator writes them.
//!
//! The schemas of Kubernetes do not say what a label may look like, and its API server does. So wrong
//! ones are refused when the plugin is loaded, not by the cluster after a commit.

use std::collections::BTreeMap;

use riposte_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The longest name in a key, and the longest value of a label, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// The longest prefix of a key, in bytes.
const PREFIX_BYTES_MAX: usize = 253;
/// The most of a Falco rule's name that an annotation gets, in characters.
const RULE_CHARS_MAX: usize = 200;

/// Labels for pods; at least one. Without any in the configuration: `riposte.dev/quarantine: "true"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Labels(#[schemars(extend("minProperties" = 1))] BTreeMap<String, String>);

/// Annotations for pods. `{rule}` in a value becomes the name of the Falco rule. Without any in the
/// configuration: `riposte.dev/rule: "{rule}"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Annotations(BTreeMap<String, String>);

/// What marks the pods of one alert's owner.
#[derive(Debug, Clone, Copy)]
pub struct Marks<'a> {
    /// By these a policy can select the pods.
    pub labels: &'a Labels,
    /// These are for people.
    pub annotations: &'a Annotations,
    /// The Falco rule.
    pub rule: &'a str,
}

impl Default for Labels {
    fn default() -> Self {
        Self([("riposte.dev/quarantine".to_owned(), "true".to_owned())].into())
    }
}

impl Default for Annotations {
    fn default() -> Self {
        Self([("riposte.dev/rule".to_owned(), "{rule}".to_owned())].into())
    }
}

impl Labels {
    /// Whether Kubernetes takes them.
    ///
    /// # Errors
    /// Which one it does not take, and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.0.is_empty() {
            return Err("labels is empty: give at least one, or leave it out for the default".to_owned());
        }
        for (key, value) in &self.0 {
            check_key("label", key)?;
            if !value.is_empty() && !is_name(value) {
                return Err(format!("label {key:?} has the value {value:?}: {NAME_RULE}"));
            }
        }
        Ok(())
    }

    /// Whether all of them are among an object's labels.
    pub(crate) fn are_in(&self, labels: Option<&Value>) -> bool {
        self.0.iter().all(|(key, value)| labels.is_some_and(|labels| labels[key] == *value))
    }
}

impl Annotations {
    /// Whether Kubernetes takes them.
    ///
    /// # Errors
    /// Which one it does not take, and what to do.
    pub fn check(&self) -> Result<(), String> {
        self.0.keys().try_for_each(|key| check_key("annotation", key))
    }
}

impl Marks<'_> {
    /// What is merged into a pod's `metadata`.
    pub(crate) fn to_metadata(self) -> Value {
        let mut metadata = json!({ "labels": self.labels.0 });
        if !self.annotations.0.is_empty() {
            // Whoever sends events chooses this text.
            let rule: String =
                self.rule.replace(char::is_control, " ").chars().take(RULE_CHARS_MAX).collect();
            let filled = self.annotations.0.iter().map(|(key, value)| (key, value.replace("{rule}", &rule)));
            metadata["annotations"] = json!(filled.collect::<BTreeMap<_, _>>());
        }
        metadata
    }
}

const NAME_RULE: &str = "use at most 63 of A-Z, a-z, 0-9, '-', '_', '.', with a letter or digit at both ends";

/// A key is a name, or a DNS name and a name: `riposte.dev/quarantine`.
fn check_key(what: &str, key: &str) -> Result<(), String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if prefix.is_some_and(|prefix| !is_dns_name(prefix)) {
        return Err(format!("{what} {key:?}: what stands before the / has to be a DNS name in lower case"));
    }
    if !is_name(name) {
        return Err(format!("{what} {key:?} has no valid name: {NAME_RULE}"));
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.len() <= NAME_BYTES_MAX
        && text.bytes().all(inner)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
}

fn is_dns_name(text: &str) -> bool {
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= PREFIX_BYTES_MAX && text.split('.').all(|part| is_name(part) && part.bytes().all(lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(key: &str, value: &str) -> BTreeMap<String, String> {
        [(key.to_owned(), value.to_owned())].into()
    }

    #[test]
    fn labels_are_what_kubernetes_takes() {
        let (long, longer) = ("a".repeat(63), "a".repeat(64));
        let prefixed = format!("{longer}.dev/a");
        let table = [
            ("a", "", true),
            ("riposte.dev/quarantine", "true", true),
            ("A_b-c.9", "A_b-c.9", true),
            (&long, &long, true),
            (&longer, "a", false),
            ("a", &longer, false),
            (&prefixed, "a", false),
            ("", "a", false),
            ("/a", "a", false),
            ("a/", "a", false),
            ("a/b/c", "a", false),
            ("Riposte.dev/a", "a", false),
            ("a..b/c", "a", false),
            ("a b", "a", false),
            ("a", "a b", false),
            ("a", "-a", false),
            ("a", "ä", false),
            ("a", "{rule}", false),
        ];
        for (key, value, expected) in table {
            let checked = Labels(map(key, value)).check();
            assert_eq!(checked.is_ok(), expected, "{key:?}: {value:?}: {checked:?}");
        }
        assert_eq!((Labels::default().check(), Annotations::default().check()), (Ok(()), Ok(())));
        assert!(Labels(BTreeMap::new()).check().is_err_and(|said| said.contains("at least one")));
        assert_eq!(Annotations(map("a", "any text\n")).check(), Ok(()));
        assert!(Annotations(map("a b", "")).check().is_err_and(|said| said.contains("annotation \"a b\"")));
    }

    #[test]
    fn an_annotation_takes_one_line_of_the_rule() {
        let annotations = Annotations(map("why", "{rule}, {pod}"));
        let metadata =
            |rule| Marks { labels: &Labels::default(), annotations: &annotations, rule }.to_metadata();
        assert_eq!(metadata("a\n\u{1b}b")["annotations"]["why"], "a  b, {pod}");
        assert_eq!(
            metadata(&"ä".repeat(1000))["annotations"]["why"],
            format!("{}, {{pod}}", "ä".repeat(200))
        );
        let none = Annotations(BTreeMap::new());
        let bare = Marks { labels: &Labels::default(), annotations: &none, rule: "a" };
        assert_eq!(bare.to_metadata(), json!({ "labels": { "riposte.dev/quarantine": "true" } }));
    }
}
