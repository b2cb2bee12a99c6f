//! Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs: all but their pods.

use super::node::Node;
use super::{Found, cron, pod, selector, storage};

pub(super) fn check(kind: &str, object: &Node<'_>, found: &mut Found) {
    let Some(spec) = object.get("spec") else { return };
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => {
            found.not_negative(&spec, &["replicas", "minReadySeconds", "revisionHistoryLimit"]);
            own_pods(kind, object, &spec, found);
        }
        _ => {}
    }
    match kind {
        "Deployment" => deployment(&spec, found),
        "DaemonSet" => daemon_set(&spec, found),
        "StatefulSet" => stateful_set(&spec, found),
        "Job" => job(&spec, found),
        "CronJob" => cron_job(&spec, found),
        _ => {}
    }
}

/// The selector finds the pods of the template, and not all pods.
fn own_pods(kind: &str, object: &Node<'_>, spec: &Node<'_>, found: &mut Found) {
    selector::check(spec, "selector", found);
    let Some(selector) = spec.get("selector") else { return };
    if selector::is_empty(&selector) {
        found.at(&selector, "is empty, and would take every pod");
    }
    let Some(template) = pod::template(kind, object) else { return };
    let labels = template.at(&["metadata", "labels"]);
    if let Some(missing) = selector::misses(&selector, labels.as_ref()) {
        found.at(&selector, format!("wants {missing}, which the pod template does not have so"));
    }
}

fn deployment(spec: &Node<'_>, found: &mut Found) {
    found.not_negative(spec, &["progressDeadlineSeconds"]);
    let deadline = spec.number_of("progressDeadlineSeconds").unwrap_or(600);
    if deadline <= spec.number_of("minReadySeconds").unwrap_or(0) {
        found.at(spec, "has a progressDeadlineSeconds that is not greater than minReadySeconds");
    }
    let Some(strategy) = spec.get("strategy") else { return };
    found.one_of(&strategy, "type", &["Recreate", "RollingUpdate"]);
    let Some(rolling) = strategy.get("rollingUpdate") else { return };
    if strategy.text_of("type") == Some("Recreate") {
        found.at(&rolling, "is there, and the strategy is Recreate");
    } else {
        let (unavailable, surge) =
            (share(&rolling, "maxUnavailable", found), share(&rolling, "maxSurge", found));
        at_most_all(&rolling, "maxUnavailable", unavailable, found);
        if unavailable == Some(0) && surge == Some(0) {
            found.at(&rolling, "has 0 for both maxUnavailable and maxSurge: nothing could be replaced");
        }
    }
}

fn daemon_set(spec: &Node<'_>, found: &mut Found) {
    let Some(strategy) = spec.get("updateStrategy") else { return };
    found.one_of(&strategy, "type", &["RollingUpdate", "OnDelete"]);
    if strategy.text_of("type") == Some("OnDelete") {
        return;
    }
    let Some(rolling) = strategy.get("rollingUpdate") else { return };
    let unavailable =
        if rolling.has("maxUnavailable") { share(&rolling, "maxUnavailable", found) } else { Some(1) };
    let surge = if rolling.has("maxSurge") { share(&rolling, "maxSurge", found) } else { Some(0) };
    at_most_all(&rolling, "maxUnavailable", unavailable, found);
    at_most_all(&rolling, "maxSurge", surge, found);
    match (unavailable, surge) {
        (Some(0), Some(0)) => {
            found.at(&rolling, "has 0 for both maxUnavailable and maxSurge: nothing could be replaced");
        }
        (Some(1..), Some(1..)) => found.at(&rolling, "has both maxUnavailable and maxSurge; one has to be 0"),
        _ => {}
    }
}

fn stateful_set(spec: &Node<'_>, found: &mut Found) {
    found.one_of(spec, "podManagementPolicy", &["OrderedReady", "Parallel"]);
    if let Some(ordinals) = spec.get("ordinals") {
        found.not_negative(&ordinals, &["start"]);
    }
    if let Some(retention) = spec.get("persistentVolumeClaimRetentionPolicy") {
        found.one_of(&retention, "whenDeleted", &["Retain", "Delete"]);
        found.one_of(&retention, "whenScaled", &["Retain", "Delete"]);
    }
    for claim in spec.items("volumeClaimTemplates") {
        storage::claim(&claim, found);
    }
    let Some(strategy) = spec.get("updateStrategy") else { return };
    found.one_of(&strategy, "type", &["RollingUpdate", "OnDelete"]);
    let Some(rolling) = strategy.get("rollingUpdate") else { return };
    if strategy.text_of("type") == Some("OnDelete") {
        found.at(&rolling, "is there, and the strategy is OnDelete");
    }
    found.not_negative(&rolling, &["partition"]);
    let unavailable = share(&rolling, "maxUnavailable", found);
    at_most_all(&rolling, "maxUnavailable", unavailable, found);
    if rolling.has("maxUnavailable") && unavailable == Some(0) {
        found.at(&rolling, "has 0 for maxUnavailable: nothing could be replaced");
    }
}

/// A number or a percentage, which has to be one and not negative. Percent count as numbers: what
/// matters is whether it is 0.
pub(super) fn share(node: &Node<'_>, field: &str, found: &mut Found) -> Option<i64> {
    let field = node.get(field)?;
    let number = match field.text() {
        Some(text) => {
            text.strip_suffix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        }
        None => {
            if field.number().is_some_and(|number| number < 0) {
                found.at(&field, "is negative");
            }
            return field.number();
        }
    };
    let number = number.and_then(|digits| digits.parse().ok());
    if number.is_none() {
        found.at(&field, format!("is {}, which is neither a number nor a percentage", field.value()));
    }
    number
}

/// A percentage of all.
pub(super) fn at_most_all(node: &Node<'_>, field: &str, share: Option<i64>, found: &mut Found) {
    if let Some(field) = node.get(field)
        && field.text().is_some()
        && share.is_some_and(|share| share > 100)
    {
        found.at(&field, "is more than 100 %");
    }
}

fn job(spec: &Node<'_>, found: &mut Found) {
    found.not_negative(
        spec,
        &[
            "parallelism",
            "completions",
            "backoffLimit",
            "ttlSecondsAfterFinished",
            "backoffLimitPerIndex",
            "maxFailedIndexes",
        ],
    );
    found.within(spec, "activeDeadlineSeconds", 0, i64::MAX);
    found.one_of(spec, "completionMode", &["NonIndexed", "Indexed"]);
    found.one_of(spec, "podReplacementPolicy", &["Failed", "TerminatingOrFailed"]);
    let indexed = spec.text_of("completionMode") == Some("Indexed");
    // Without both, both become 1.
    if indexed && !spec.has("completions") && spec.has("parallelism") {
        found.at(spec, "is Indexed, and has no completions");
    }
    for field in ["backoffLimitPerIndex", "successPolicy"] {
        if let Some(field) = spec.get(field).filter(|_| !indexed) {
            found.at(&field, "needs the completionMode Indexed");
        }
    }
    if let Some(most) = spec.get("maxFailedIndexes").filter(|_| !spec.has("backoffLimitPerIndex")) {
        found.at(&most, "needs backoffLimitPerIndex");
    }
    if let Some(policy) = spec.get("podFailurePolicy") {
        failure_policy(spec, &policy, found);
    }
    selector::check(spec, "selector", found);
    if let Some(selector) = spec.get("selector").filter(|_| !spec.is("manualSelector", true)) {
        found.at(&selector, "is made by the cluster, unless manualSelector is true");
    }
}

fn failure_policy(spec: &Node<'_>, policy: &Node<'_>, found: &mut Found) {
    if spec.at(&["template", "spec"]).and_then(|spec| spec.text_of("restartPolicy")) != Some("Never") {
        found.at(policy, "needs the restartPolicy Never");
    }
    for rule in policy.items("rules") {
        found.one_of(&rule, "action", &["FailJob", "FailIndex", "Ignore", "Count"]);
        if let Some(codes) = rule.get("onExitCodes") {
            found.one_of(&codes, "operator", &["In", "NotIn"]);
            if codes.items("values").is_empty() {
                found.at(&codes, "has no values");
            }
            let zero = codes.items("values").into_iter().find(|value| value.number() == Some(0));
            if let Some(zero) = zero.filter(|_| codes.text_of("operator") == Some("In")) {
                found.at(&zero, "is 0, which is no failure");
            }
        }
        let conditions =
            usize::from(rule.has("onExitCodes")) + usize::from(!rule.items("onPodConditions").is_empty());
        if conditions != 1 {
            found.at(&rule, "needs either onExitCodes or onPodConditions");
        }
    }
}

fn cron_job(spec: &Node<'_>, found: &mut Found) {
    found.not_negative(
        spec,
        &["successfulJobsHistoryLimit", "failedJobsHistoryLimit", "startingDeadlineSeconds"],
    );
    found.one_of(spec, "concurrencyPolicy", &["Allow", "Forbid", "Replace"]);
    if let Some(schedule) = spec.get("schedule") {
        found.form(Some(&schedule), cron::schedule);
    }
    if let Some(zone) = spec.get("timeZone") {
        found.form(Some(&zone), cron::time_zone);
        if spec.text_of("schedule").is_some_and(|schedule| schedule.contains("TZ")) {
            found.at(&zone, "is there, and the schedule has a time zone too");
        }
    }
    if let Some(job) = spec.at(&["jobTemplate", "spec"]) {
        self::job(&job, found);
        if let Some(manual) = job.get("manualSelector").filter(|_| job.is("manualSelector", true)) {
            found.at(&manual, "is not for the Jobs of a CronJob");
        }
    }
}
