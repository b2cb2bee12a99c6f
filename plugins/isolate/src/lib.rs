//! A network policy beside the workload that owns the pod of an alert lets nothing in or out of it.
//!
//! Only for the rules of the configuration, and only where the owner is certain. It takes a network
//! that enforces policies, and what another policy allows stays allowed.

use riposte_responses::{FalcoRules, Open, respond};
use riposte_sdk::prelude::*;
use serde::Deserialize;

/// Which alerts it acts on, and what stays open.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Falco rules, by their exact names.
    rules: FalcoRules,
    /// The pods may still ask the cluster's DNS.
    #[serde(default)]
    allow_dns: bool,
    /// Whoever could reach the pods still can; only the way out is closed.
    #[serde(default)]
    allow_ingress: bool,
    /// Addresses that the pods may still reach, for example `10.0.0.0/8`.
    #[serde(default)]
    allow_cidrs: Vec<String>,
    /// Namespaces whose pods the pods may still reach, by their names.
    #[serde(default)]
    allow_namespaces: Vec<String>,
}

impl Config {
    fn open(&self) -> Open {
        Open {
            allow_dns: self.allow_dns,
            allow_ingress: self.allow_ingress,
            allow_cidrs: self.allow_cidrs.clone(),
            allow_namespaces: self.allow_namespaces.clone(),
        }
    }
}

fn validate(config: &Config) -> Result<(), String> {
    config.open().check()
}

/// Cuts the workload that owns an alert's pod off the network
#[plugin(
    on = "falco.rule.output.v1",
    validate = validate,
    grants(kinds = ["networking.k8s.io/v1/NetworkPolicy"], create)
)]
pub fn isolate(alert: Falco, config: &Config, context: &Context) -> Answer {
    config.rules.check(&alert)?;
    respond(&alert, context, |owner| riposte_responses::isolate(owner, &config.open(), context))
}

#[cfg(test)]
mod tests {
    use riposte_responses::testing::{self as shared, Entry, POD, decide};
    use riposte_sdk::testing::{self, Setup};
    use serde_json::json;

    use super::*;

    fn setup() -> Setup<isolate> {
        testing::plugin::<isolate>().config(json!({ "rules": ["Shell"] }))
    }

    /// A plugin with a Deployment of that selector, which owns the alert's pod.
    fn with_selector(setup: Setup<isolate>, selector: &str) -> Setup<isolate> {
        let manifest = format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: default}}, \
             spec: {{selector: {selector}}}}}"
        );
        setup.desired_state(&manifest).owner("default", POD, &shared::web("apps/v1/Deployment"))
    }

    fn proposed(policy: &str) -> String {
        format!(
            "propose: Isolate default/web\nbecause: \"Shell\" in default/{POD}\n- create NetworkPolicy \
             default/isolate-web beside Deployment default/web {{\"apiVersion\":\"networking.k8s.io/v1\",\
             \"kind\":\"NetworkPolicy\",\"metadata\":{{\"name\":\"isolate-web\",\"namespace\":\"default\"}},\
             \"spec\":{policy}}}"
        )
    }

    #[test]
    fn a_policy_beside_the_owner_lets_nothing_through() {
        let decided = with_selector(setup(), "{matchLabels: {app: web}}").handle(shared::alert());
        let policy = r#"{"egress":[],"ingress":[],"podSelector":{"matchLabels":{"app":"web"}},"policyTypes":["Ingress","Egress"]}"#;
        assert_eq!(decided.to_string(), proposed(policy));
    }

    #[test]
    fn names_can_still_be_asked_for() {
        let config = setup().config(json!({ "rules": ["Shell"], "allowDns": true }));
        let selector = "{matchLabels: {app: web}, matchExpressions: [{key: tier, operator: Exists}]}";
        let decided = with_selector(config, selector).handle(shared::alert());
        let policy = concat!(
            r#"{"egress":[{"ports":[{"port":53,"protocol":"UDP"},{"port":53,"protocol":"TCP"}],"#,
            r#""to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"kube-system"}},"#,
            r#""podSelector":{"matchLabels":{"k8s-app":"kube-dns"}}}]}],"ingress":[],"#,
            r#""podSelector":{"matchExpressions":[{"key":"tier","operator":"Exists"}],"matchLabels":{"app":"web"}},"#,
            r#""policyTypes":["Ingress","Egress"]}"#,
        );
        assert_eq!(decided.to_string(), proposed(policy));
    }

    #[test]
    fn the_way_in_and_some_ways_out_can_stay_open() {
        let config = json!({
            "rules": ["Shell"], "allowIngress": true, "allowCidrs": ["10.0.0.0/8", "fd00::/8"],
            "allowNamespaces": ["logging"],
        });
        let decided = with_selector(setup().config(config), "{matchLabels: {app: web}}");
        let policy = concat!(
            r#"{"egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.0/8"}},{"ipBlock":{"cidr":"fd00::/8"}},"#,
            r#"{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"logging"}}}]}],"#,
            r#""podSelector":{"matchLabels":{"app":"web"}},"policyTypes":["Egress"]}"#,
        );
        assert_eq!(decided.handle(shared::alert()).to_string(), proposed(policy));
    }

    #[test]
    fn what_kubernetes_does_not_take_is_refused_at_load() {
        let ranges = ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/+8", "", "all/0"];
        let table = ranges.map(|range| ("allowCidrs", range));
        for (key, value) in table.into_iter().chain([("allowNamespaces", "a.b"), ("allowNamespaces", "")]) {
            let refused = setup().config(json!({ "rules": ["Shell"], key: [value] })).validate();
            assert!(refused.is_err_and(|said| said.starts_with(key)), "{key}: {value}");
        }
    }

    #[test]
    fn every_alert_has_the_same_policy() {
        let deployment = || with_selector(setup(), "{matchLabels: {app: web}}");
        let other = r#"{"k8s.ns.name":"default","k8s.pod.name":"web-77789455d6-m7flp","proc.name":"nc"}"#;
        let (first, second) =
            (deployment().handle(shared::alert()), deployment().handle(shared::alert_with(other)));
        assert_eq!(first.to_string(), second.to_string());
    }

    #[test]
    fn a_selector_that_names_no_labels_is_no_selector() {
        for selector in
            ["{}", "null", "7", "{matchLabels: {}}", "{matchLabels: null}", "{matchLabels: [app]}"]
        {
            let decided = with_selector(setup(), selector).handle(shared::alert()).to_string();
            let expected = "ignore: Deployment default/web has no labels in spec.selector.matchLabels";
            assert!(decided.starts_with(expected), "{selector}: {decided}");
        }
        for kind in ["v1/Pod", "batch/v1/Job", "batch/v1/CronJob"] {
            let decided = decide(setup(), kind);
            assert!(decided.starts_with("ignore: ") && decided.contains("no selector"), "{decided}");
        }
    }

    #[test]
    fn what_is_not_certain_is_left_alone() {
        shared::assert_careful(setup);
        let other = with_selector(setup(), "{matchLabels: {app: web}}").config(json!({ "rules": ["shell"] }));
        assert_eq!(other.handle(shared::alert()).to_string(), "ignore: rule \"Shell\" is not configured");
        let gone = setup().owner("default", POD, &shared::web("apps/v1/Deployment")).handle(shared::alert());
        assert_eq!(gone.to_string(), "ignore: the desired state has no Deployment default/web");
        assert!(setup().config(json!({ "rules": ["Shell"], "allowDNS": true })).validate().is_err());
    }

    #[test]
    fn the_entry_that_ships_is_enough() {
        let entry = Entry::read::<isolate>(include_str!("../plugin.yaml"));
        entry.assert_grants(&with_selector(setup(), "{matchLabels: {app: web}}").handle(shared::alert()));
    }
}
