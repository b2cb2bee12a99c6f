//! Pods, and the templates of what makes pods: all but their containers and volumes.

use super::node::Node;
use super::selector::check as selector;
use super::{Found, container, metadata, names, quantity, volume};

/// The largest user and group.
pub(super) const ID_MAX: i64 = i32::MAX as i64;

pub(super) fn check(kind: &str, object: &Node<'_>, found: &mut Found) {
    let Some(template) = template(kind, object) else { return };
    if kind != "Pod"
        && let Some(metadata) = template.get("metadata")
    {
        metadata::labels_and_annotations(&metadata, found);
    }
    let Some(spec) = template.get("spec") else { return };
    restart_policy(kind, &spec, found);
    lifetime(kind, &spec, found);
    network(&spec, found);
    placement(&spec, found);
    security(&spec, found);
    let volumes = volume::check(kind, object, &spec, found);
    container::check(kind, &spec, &volumes, found);
}

/// What has the labels and the specification of the pods.
pub(super) fn template<'a>(kind: &str, object: &Node<'a>) -> Option<Node<'a>> {
    match kind {
        "Pod" => Some(object.clone()),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => object.at(&["spec", "template"]),
        "CronJob" => object.at(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

fn restart_policy(kind: &str, spec: &Node<'_>, found: &mut Found) {
    let allowed: &[&str] = match kind {
        "Pod" => &["Always", "OnFailure", "Never"],
        "Job" | "CronJob" => &["OnFailure", "Never"],
        _ => &["Always"],
    };
    found.one_of(spec, "restartPolicy", allowed);
    if matches!(kind, "Job" | "CronJob") && !spec.has("restartPolicy") {
        found.at(spec, "has no restartPolicy; that of a Job's pods has to be OnFailure or Never");
    }
}

fn lifetime(kind: &str, spec: &Node<'_>, found: &mut Found) {
    found.within(spec, "activeDeadlineSeconds", 1, i64::from(i32::MAX));
    if let Some(deadline) = spec.get("activeDeadlineSeconds")
        && !matches!(kind, "Pod" | "Job" | "CronJob")
    {
        found.at(&deadline, format!("is not for the pods of a {kind}"));
    }
    if kind != "Pod" && !spec.items("ephemeralContainers").is_empty() {
        found.at(spec, "has ephemeralContainers, which only a running pod can have");
    }
    found.one_of(spec, "preemptionPolicy", &["Never", "PreemptLowerPriority"]);
    for gate in spec.items("readinessGates") {
        found.form(gate.get("conditionType").as_ref(), names::qualified);
    }
    quantity::resources(spec, found);
}

fn network(spec: &Node<'_>, found: &mut Found) {
    const POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    found.one_of(spec, "dnsPolicy", &POLICIES);
    let servers = spec.get("dnsConfig").map(|config| config.items("nameservers")).unwrap_or_default();
    if spec.text_of("dnsPolicy") == Some("None") && servers.is_empty() {
        found.at(spec, "has the dnsPolicy None, and no dnsConfig/nameservers");
    }
    servers.iter().for_each(|server| found.form(Some(server), names::address));
    for field in ["hostname", "subdomain"] {
        found.form(spec.get(field).as_ref(), names::label);
    }
    let aliases = spec.items("hostAliases");
    for alias in &aliases {
        found.form(alias.get("ip").as_ref(), names::address);
        alias.items("hostnames").iter().for_each(|name| found.form(Some(name), names::subdomain));
    }
    found.unique(&aliases, "ip", |alias| alias.text_of("ip").map(str::to_owned));
    let secrets = spec.items("imagePullSecrets");
    found.unique(&secrets, "name", |secret| secret.text_of("name").map(str::to_owned));
    found.form(spec.get("serviceAccountName").as_ref(), names::subdomain);
    found.form(spec.get("priorityClassName").as_ref(), names::subdomain);
    found.form(spec.get("runtimeClassName").as_ref(), names::subdomain);
}

fn placement(spec: &Node<'_>, found: &mut Found) {
    metadata::labels(spec, "nodeSelector", found);
    spec.items("tolerations").iter().for_each(|toleration| self::toleration(toleration, found));
    let spread = spec.items("topologySpreadConstraints");
    for constraint in &spread {
        found.within(constraint, "maxSkew", 1, i64::MAX);
        found.within(constraint, "minDomains", 1, i64::MAX);
        found.required(constraint, "topologyKey");
        found.form(constraint.get("topologyKey").as_ref(), names::qualified);
        found.one_of(constraint, "whenUnsatisfiable", &["DoNotSchedule", "ScheduleAnyway"]);
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            found.one_of(constraint, policy, &["Honor", "Ignore"]);
        }
        selector(constraint, "labelSelector", found);
    }
    found.unique(&spread, "topologyKey and whenUnsatisfiable", |constraint| {
        let key = constraint.text_of("topologyKey").zip(constraint.text_of("whenUnsatisfiable"));
        key.map(|(key, when)| format!("{key} {when}"))
    });
    for affinity in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = spec.at(&["affinity", affinity]) else { continue };
        let preferred = affinity.items("preferredDuringSchedulingIgnoredDuringExecution");
        preferred.iter().for_each(|term| found.within(term, "weight", 1, 100));
        let preferred = preferred.iter().filter_map(|term| term.get("podAffinityTerm"));
        for term in
            affinity.items("requiredDuringSchedulingIgnoredDuringExecution").into_iter().chain(preferred)
        {
            found.required(&term, "topologyKey");
            found.form(term.get("topologyKey").as_ref(), names::qualified);
            selector(&term, "labelSelector", found);
            selector(&term, "namespaceSelector", found);
        }
    }
    if let Some(affinity) = spec.at(&["affinity", "nodeAffinity"]) {
        node_affinity(&affinity, found);
    }
}

fn toleration(toleration: &Node<'_>, found: &mut Found) {
    const OPERATORS: [&str; 2] = ["Equal", "Exists"];
    found.one_of(toleration, "operator", &OPERATORS);
    found.one_of(toleration, "effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    let exists = toleration.text_of("operator") == Some("Exists");
    let (key, value) = (toleration.text_of("key").unwrap_or_default(), toleration.text_of("value"));
    if key.is_empty() && !exists {
        found.at(toleration, "has no key, which needs the operator Exists");
    }
    if !key.is_empty() {
        found.form(toleration.get("key").as_ref(), names::qualified);
    }
    if exists && value.is_some_and(|value| !value.is_empty()) {
        found.at(toleration, "has a value, and the operator Exists takes none");
    }
    found.form(toleration.get("value").as_ref(), names::label_value);
    if toleration.has("tolerationSeconds") && toleration.text_of("effect") != Some("NoExecute") {
        found.at(toleration, "has tolerationSeconds, which need the effect NoExecute");
    }
}

fn node_affinity(affinity: &Node<'_>, found: &mut Found) {
    let preferred = affinity.items("preferredDuringSchedulingIgnoredDuringExecution");
    preferred.iter().for_each(|term| found.within(term, "weight", 1, 100));
    let mut terms: Vec<Node<'_>> = preferred.iter().filter_map(|term| term.get("preference")).collect();
    if let Some(required) = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") {
        let required_terms = required.items("nodeSelectorTerms");
        if required_terms.is_empty() {
            found.at(&required, "has no nodeSelectorTerms");
        }
        terms.extend(required_terms);
    }
    let expressions = terms.iter().flat_map(|term| term.items("matchExpressions"));
    for expression in expressions {
        found.one_of(&expression, "operator", &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]);
        found.form(expression.get("key").as_ref(), names::qualified);
        let values = expression.items("values").len();
        let fits = match expression.text_of("operator") {
            Some("In" | "NotIn") => values > 0,
            Some("Exists" | "DoesNotExist") => values == 0,
            Some("Gt" | "Lt") => values == 1,
            _ => true,
        };
        if !fits {
            found.at(&expression, format!("has {values} values, which its operator does not take"));
        }
    }
}

fn security(spec: &Node<'_>, found: &mut Found) {
    if spec.is("shareProcessNamespace", true) && spec.is("hostPID", true) {
        found.at(spec, "has both shareProcessNamespace and hostPID");
    }
    let Some(security) = spec.get("securityContext") else { return };
    for id in ["runAsUser", "runAsGroup", "fsGroup"] {
        found.within(&security, id, 0, ID_MAX);
    }
    for group in security.items("supplementalGroups") {
        if group.number().is_some_and(|group| !(0..=ID_MAX).contains(&group)) {
            found.at(&group, "is no group's number");
        }
    }
    found.one_of(&security, "fsGroupChangePolicy", &["Always", "OnRootMismatch"]);
    let sysctls = security.items("sysctls");
    found.unique(&sysctls, "name", |sysctl| sysctl.text_of("name").map(str::to_owned));
    profiles(&security, found);
}

/// Seccomp and AppArmor, of a pod or a container.
pub(super) fn profiles(security: &Node<'_>, found: &mut Found) {
    for profile in ["seccompProfile", "appArmorProfile"] {
        let Some(profile) = security.get(profile) else { continue };
        found.one_of(&profile, "type", &["Localhost", "RuntimeDefault", "Unconfined"]);
        let local = profile.text_of("type") == Some("Localhost");
        match profile.text_of("localhostProfile") {
            None | Some("") if local => {
                found.at(&profile, "has no localhostProfile, which the type Localhost needs")
            }
            Some(_) if !local => {
                found.at(&profile, "has a localhostProfile, which only the type Localhost takes")
            }
            _ => {}
        }
    }
}
