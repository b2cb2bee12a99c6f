//! Label selectors: their form, and whether they fit the labels of the pods that they are for.

use serde_json::Value;

use super::Found;
use super::metadata::labels;
use super::names;
use super::node::Node;

/// The form of a label selector that a field may have.
pub(super) fn check(node: &Node<'_>, field: &str, found: &mut Found) {
    let Some(selector) = node.get(field) else { return };
    labels(&selector, "matchLabels", found);
    for expression in selector.items("matchExpressions") {
        found.form(expression.get("key").as_ref(), names::qualified);
        let values = expression.items("values");
        match expression.text_of("operator") {
            Some(operator @ ("In" | "NotIn")) if values.is_empty() => {
                found.at(&expression, format!("has no values, and {operator} needs some"));
            }
            Some("In" | "NotIn") => {}
            Some(operator @ ("Exists" | "DoesNotExist")) if !values.is_empty() => {
                found.at(&expression, format!("has values, and {operator} takes none"));
            }
            Some("Exists" | "DoesNotExist") => {}
            other => {
                let other = other.unwrap_or_default();
                found.at(
                    &expression,
                    format!("has the operator {other:?}, which is none of In, NotIn, Exists, DoesNotExist"),
                );
            }
        }
        values.iter().for_each(|value| found.form(Some(value), names::label_value));
    }
}

pub(super) fn is_empty(selector: &Node<'_>) -> bool {
    selector.entries("matchLabels").is_empty() && selector.items("matchExpressions").is_empty()
}

/// The first thing that a selector wants and the labels do not have.
pub(super) fn misses(selector: &Node<'_>, labels: Option<&Node<'_>>) -> Option<String> {
    let label = |key: &str| labels.and_then(|labels| labels.text_of(key));
    let wants = |(key, value): &(&str, Node<'_>)| label(key) != value.text();
    if let Some((key, _)) = selector.entries("matchLabels").iter().find(|entry| wants(entry)) {
        return Some(format!("label {key:?}"));
    }
    let fails = |expression: &&Node<'_>| {
        let own = label(expression.text_of("key").unwrap_or_default());
        let listed = || {
            expression
                .items("values")
                .iter()
                .any(|value| own.map(Value::from).as_ref() == Some(value.value()))
        };
        match expression.text_of("operator") {
            Some("In") => own.is_none() || !listed(),
            Some("NotIn") => own.is_some() && listed(),
            Some("Exists") => own.is_none(),
            Some("DoesNotExist") => own.is_some(),
            _ => false,
        }
    };
    let expressions = selector.items("matchExpressions");
    let failing = expressions.iter().find(fails)?;
    Some(format!("label {:?} otherwise", failing.text_of("key").unwrap_or_default()))
}
