//! HorizontalPodAutoscalers and PodDisruptionBudgets.

use super::node::Node;
use super::workload::{at_most_all, share};
use super::{Found, quantity, selector};

/// The longest time that is looked back, in seconds.
const STABILIZATION_S_MAX: i64 = 3_600;
/// The longest period of a scaling policy, in seconds.
const PERIOD_S_MAX: i64 = 1_800;

pub(super) fn check(kind: &str, object: &Node<'_>, found: &mut Found) {
    let Some(spec) = object.get("spec") else { return };
    match kind {
        "HorizontalPodAutoscaler" => autoscaler(&spec, found),
        "PodDisruptionBudget" => budget(&spec, found),
        _ => {}
    }
}

fn budget(spec: &Node<'_>, found: &mut Found) {
    if spec.has("minAvailable") && spec.has("maxUnavailable") {
        found.at(spec, "has both minAvailable and maxUnavailable");
    }
    for field in ["minAvailable", "maxUnavailable"] {
        let share = share(spec, field, found);
        at_most_all(spec, field, share, found);
    }
    found.one_of(spec, "unhealthyPodEvictionPolicy", &["IfHealthyBudget", "AlwaysAllow"]);
    selector::check(spec, "selector", found);
}

fn autoscaler(spec: &Node<'_>, found: &mut Found) {
    found.within(spec, "maxReplicas", 1, i64::MAX);
    let least = spec.number_of("minReplicas").unwrap_or(1);
    found.not_negative(spec, &["minReplicas"]);
    if spec.number_of("maxReplicas").is_some_and(|most| most >= 1 && most < least) {
        found.at(spec, format!("has maxReplicas below {least}, which is minReplicas"));
    }
    let metrics = spec.items("metrics");
    if least == 0
        && !metrics.iter().any(|metric| matches!(metric.text_of("type"), Some("Object" | "External")))
    {
        found.at(spec, "has minReplicas 0, which needs a metric of the type Object or External");
    }
    if let Some(scaled) = spec.get("scaleTargetRef") {
        found.required(&scaled, "kind");
        found.required(&scaled, "name");
    }
    metrics.iter().for_each(|metric| self::metric(metric, found));
    for rules in ["scaleUp", "scaleDown"].iter().filter_map(|way| spec.at(&["behavior", way])) {
        behavior(&rules, found);
    }
}

fn metric(metric: &Node<'_>, found: &mut Found) {
    const SOURCES: [(&str, &str); 5] = [
        ("Resource", "resource"),
        ("ContainerResource", "containerResource"),
        ("Pods", "pods"),
        ("Object", "object"),
        ("External", "external"),
    ];
    let of_type = metric.text_of("type").unwrap_or_default();
    let Some((_, source)) = SOURCES.iter().find(|(name, _)| *name == of_type) else {
        let types = SOURCES.map(|(name, _)| name).join(", ");
        return found.at(metric, format!("has the type {of_type:?}, which is none of {types}"));
    };
    for (_, other) in SOURCES.iter().filter(|(name, _)| *name != of_type) {
        if metric.has(other) {
            found.at(metric, format!("has {other}, and the type {of_type}"));
        }
    }
    let Some(source) = metric.get(source) else {
        return found.at(metric, format!("has the type {of_type}, and no {source}"));
    };
    let Some(target) = source.get("target") else { return };
    found.one_of(&target, "type", &["Utilization", "Value", "AverageValue"]);
    found.within(&target, "averageUtilization", 1, i64::MAX);
    for field in ["value", "averageValue"].iter().filter_map(|field| target.get(field)) {
        if quantity::read(&field, found).is_some_and(|amount| amount.is_negative() || amount.is_zero()) {
            found.at(&field, "has to be more than 0");
        }
    }
    if ["averageUtilization", "value", "averageValue"].iter().all(|field| !target.has(field)) {
        found.at(&target, "has none of averageUtilization, value, averageValue");
    }
}

fn behavior(rules: &Node<'_>, found: &mut Found) {
    found.within(rules, "stabilizationWindowSeconds", 0, STABILIZATION_S_MAX);
    found.one_of(rules, "selectPolicy", &["Max", "Min", "Disabled"]);
    if rules.has("policies") && rules.items("policies").is_empty() {
        found.at(rules, "has no policies");
    }
    for policy in rules.items("policies") {
        found.one_of(&policy, "type", &["Pods", "Percent"]);
        found.within(&policy, "value", 1, i64::MAX);
        found.within(&policy, "periodSeconds", 1, PERIOD_S_MAX);
    }
}
