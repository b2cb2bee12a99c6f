//! Which objects a patch is for, as kustomize selects them.
//!
//! Kind, name and the like are regular expressions there. The part of that language that people use for
//! names is read here; anything else is told apart from "matches nothing", because it may match.

use serde_json::Value;

use super::object::{Id, group_version};

/// The `target` of a patch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::snapshot) struct Selector {
    group: Option<String>,
    version: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    labels: Option<String>,
    annotations: Option<String>,
}

impl Selector {
    pub(super) fn read(target: &Value) -> Self {
        let text = |key: &str| {
            target.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        // Older kustomizations write both in one.
        let (group, version) = match text("apiVersion") {
            Some(both) => {
                let (group, version) = group_version(&both);
                (Some(group.to_owned()).filter(|group| !group.is_empty()), Some(version.to_owned()))
            }
            None => (text("group"), text("version")),
        };
        Self {
            group,
            version,
            kind: text("kind"),
            name: text("name"),
            namespace: text("namespace"),
            labels: text("labelSelector"),
            annotations: text("annotationSelector"),
        }
    }

    /// Whether it selects an object that was called `first` and is called `now`.
    ///
    /// # Errors
    /// When that cannot be told.
    pub(super) fn selects(&self, first: &Id, now: &Id, manifest: &Value) -> Result<bool, String> {
        let (group, version) = group_version(&now.api_version);
        let fits = |pattern: &Option<String>, text: &str| match pattern {
            None => Ok(true),
            Some(pattern) => matches(pattern, text),
        };
        let either = |pattern: &Option<String>, first: &str, now: &str| {
            Ok::<_, String>(fits(pattern, first)? || fits(pattern, now)?)
        };
        Ok(fits(&self.kind, &now.kind)?
            && fits(&self.group, group)?
            && fits(&self.version, version)?
            && either(&self.name, &first.name, &now.name)?
            && either(&self.namespace, first.namespace(), now.namespace())?
            && labelled(self.labels.as_deref(), manifest.pointer("/metadata/labels"))?
            && labelled(self.annotations.as_deref(), manifest.pointer("/metadata/annotations"))?)
    }
}

/// One step of a pattern: a character, or any, and how often.
struct Step {
    wanted: Option<char>,
    least: bool,
    most: bool,
}

/// Whether a text is wholly what a pattern describes.
fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    let mut found = false;
    for choice in pattern.split('|') {
        let choice = choice.strip_prefix('^').unwrap_or(choice);
        let choice = choice.strip_suffix('$').unwrap_or(choice);
        found |=
            runs(&steps(choice).ok_or_else(|| format!("the pattern {pattern:?} is not understood"))?, text);
    }
    Ok(found)
}

fn steps(pattern: &str) -> Option<Vec<Step>> {
    let (mut steps, mut characters) = (Vec::<Step>::new(), pattern.chars());
    while let Some(character) = characters.next() {
        let wanted = match character {
            '.' => None,
            '\\' => Some(characters.next().filter(|next| !next.is_alphanumeric())?),
            '*' | '+' | '?' => {
                let last = steps.last_mut()?;
                last.least = last.least && character == '+';
                last.most = character == '?';
                continue;
            }
            plain if plain.is_alphanumeric() || "-_:/".contains(plain) => Some(plain),
            _ => return None,
        };
        steps.push(Step { wanted, least: true, most: true });
    }
    Some(steps)
}

/// All ways at once, so that no pattern costs more than its length times the text's.
fn runs(steps: &[Step], text: &str) -> bool {
    let skip = |at: &mut Vec<bool>| {
        for index in 0..steps.len() {
            if at[index] && !steps[index].least {
                at[index + 1] = true;
            }
        }
    };
    let mut at = vec![false; steps.len() + 1];
    at[0] = true;
    skip(&mut at);
    for character in text.chars() {
        let mut next = vec![false; steps.len() + 1];
        for (index, step) in steps.iter().enumerate() {
            if at[index] && step.wanted.is_none_or(|wanted| wanted == character) {
                next[index + 1] = true;
                next[index] |= !step.most;
            }
            // Once is enough for `+`: from there on it may go on.
            if at[index + 1]
                && step.least
                && !step.most
                && step.wanted.is_none_or(|wanted| wanted == character)
            {
                next[index + 1] = true;
            }
        }
        skip(&mut next);
        at = next;
    }
    at[steps.len()]
}

/// Whether labels fit a selector in Kubernetes' own words: `a=b,c!=d,e in (f, g),h,!i`.
fn labelled(selector: Option<&str>, labels: Option<&Value>) -> Result<bool, String> {
    let Some(selector) = selector else { return Ok(true) };
    let value = |key: &str| labels.and_then(|labels| labels.get(key.trim())).and_then(Value::as_str);
    for part in requirements(selector) {
        let listed = |text: &str| -> Option<Vec<String>> {
            let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
            Some(inner.split(',').map(|item| item.trim().to_owned()).collect())
        };
        let one_of = |key: &str, list: &str| -> Result<bool, String> {
            let list = listed(list).ok_or_else(|| format!("the selector {selector:?} is not understood"))?;
            Ok(value(key).is_some_and(|value| list.iter().any(|item| item == value)))
        };
        let fits = if let Some((key, list)) = part.split_once(" notin ") {
            !one_of(key, list)?
        } else if let Some((key, list)) = part.split_once(" in ") {
            one_of(key, list)?
        } else if let Some((key, wanted)) = part.split_once("!=") {
            value(key) != Some(wanted.trim())
        } else if let Some((key, wanted)) = part.split_once('=') {
            value(key) == Some(wanted.trim_start_matches('=').trim())
        } else if part.contains(['(', ')', ' ', '<', '>']) {
            return Err(format!("the selector {selector:?} is not understood"));
        } else if let Some(key) = part.strip_prefix('!') {
            value(key).is_none()
        } else {
            value(&part).is_some()
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The parts between commas that are in no brackets.
fn requirements(selector: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0_usize);
    for character in selector.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (character, parts.last_mut()) {
            (',', _) if depth == 0 => parts.push(String::new()),
            (_, Some(part)) => part.push(character),
            (_, None) => {}
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{labelled, matches};

    #[test]
    fn patterns_match_whole_names() {
        let table = [
            ("web", "web", Some(true)),
            ("web", "web2", Some(false)),
            ("web.*", "web-api", Some(true)),
            ("web.*", "aweb", Some(false)),
            ("^web$", "web", Some(true)),
            ("web|api", "api", Some(true)),
            (".*", "", Some(true)),
            (".+", "", Some(false)),
            (".+", "ab", Some(true)),
            ("we+b", "weeeb", Some(true)),
            ("we+b", "wb", Some(false)),
            ("we?b", "wb", Some(true)),
            ("we?b", "weeb", Some(false)),
            (r"a\.b", "a.b", Some(true)),
            (r"a\.b", "axb", Some(false)),
            ("a.b", "axb", Some(true)),
            ("(a|b)c", "ac", None),
            ("[ab]c", "ac", None),
            (r"\d", "1", None),
            ("*", "a", None),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text).ok(), expected, "{pattern} {text}");
        }
        assert!(!matches(&"a?".repeat(2_000), &"b".repeat(500)).unwrap());
    }

    #[test]
    fn labels_are_selected_in_kubernetes_words() {
        let labels = json!({ "app": "web", "tier": "front" });
        let table = [
            ("app=web", Some(true)),
            ("app==web,tier=front", Some(true)),
            ("app = web", Some(true)),
            ("app!=web", Some(false)),
            ("other!=web", Some(true)),
            ("app", Some(true)),
            ("!app", Some(false)),
            ("!other", Some(true)),
            ("app in (api, web),tier", Some(true)),
            ("app notin (api, web)", Some(false)),
            ("app in api", None),
            ("app > 1", None),
        ];
        for (selector, expected) in table {
            assert_eq!(labelled(Some(selector), Some(&labels)).ok(), expected, "{selector}");
        }
    }
}
