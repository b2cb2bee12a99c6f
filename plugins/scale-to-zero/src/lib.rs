//! The workload that owns the pod of an alert goes to no replicas.
//!
//! Only for the rules of the configuration, and only where the owner is certain: a workload that is
//! scaled by mistake is an outage of our own making.

use riposte_responses::{Config, respond};
use riposte_sdk::prelude::*;

/// Scales the workload that owns an alert's pod to 0
#[plugin(
    on = "falco.rule.output.v1",
    grants(kinds = ["apps/v1/Deployment"], fields = ["/spec/replicas"])
)]
pub fn scale_to_zero(alert: Falco, config: &Config, context: &Context) -> Answer {
    config.rules.check(&alert)?;
    respond(&alert, context, |owner| riposte_responses::scale_to_zero(owner, context))
}

#[cfg(test)]
mod tests {
    use riposte_responses::testing::{self as shared, Entry};
    use riposte_sdk::testing::{self, Setup};
    use serde_json::json;

    use super::*;

    const POD: &str = "web-77789455d6-m7flp";
    const WEB: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: default}}";

    fn workload(kind: &str) -> ObjectRef {
        ObjectRef::namespaced("apps/v1", kind, "default", "web")
    }

    fn setup() -> Setup<scale_to_zero> {
        testing::plugin::<scale_to_zero>().config(json!({ "rules": ["Shell"] }))
    }

    /// What is decided on an alert with these output fields.
    fn decide(fields: &str, setup: &Setup<scale_to_zero>) -> String {
        let alert = format!(r#"{{"rule":"Shell","priority":"Notice","output_fields":{fields}}}"#);
        setup.handle(testing::falco(&alert)).to_string()
    }

    fn of_pod() -> String {
        format!(r#"{{"k8s.ns.name":"default","k8s.pod.name":"{POD}"}}"#)
    }

    #[test]
    fn a_scalable_owner_goes_to_zero() {
        for kind in ["Deployment", "StatefulSet", "ReplicaSet"] {
            let decided = decide(&of_pod(), &setup().owner("default", POD, &workload(kind)));
            let expected = format!(
                "propose: Scale default/web to 0\nbecause: \"Shell\" in default/{POD}\n\
                 - merge {kind} default/web {{\"spec\":{{\"replicas\":0}}}}"
            );
            assert_eq!(decided, expected);
        }
    }

    #[test]
    fn of_a_release_the_replica_count_goes_to_zero_where_there_is_one() {
        let release = ObjectRef::namespaced("helm.toolkit.fluxcd.io/v2", "HelmRelease", "apps", "web");
        let setup = |values: &str| {
            let manifest = format!(
                "{{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {{name: web, namespace: apps}}, \
                 spec: {{values: {values}}}}}"
            );
            setup().desired_state(&manifest).owner("default", POD, &release)
        };
        let table = [
            (
                "{replicaCount: 2, host: a}",
                "propose: Scale HelmRelease apps/web to 0\nbecause: \"Shell\" in default/web-77789455d6-m7flp\n\
                 - merge HelmRelease apps/web {\"spec\":{\"values\":{\"replicaCount\":0}}}",
            ),
            (
                "{host: a, service: {}}",
                "ignore: the pod comes from HelmRelease apps/web, which has no replicaCount in its values; it has: \
                 host, service",
            ),
            (
                "{}",
                "ignore: the pod comes from HelmRelease apps/web, which has no replicaCount in its values; it has: none",
            ),
            (
                "{replicaCount: 2, autoscaling: {enabled: true}}",
                "ignore: the pod comes from HelmRelease apps/web, whose values leave its replicas to an autoscaler",
            ),
        ];
        for (values, expected) in table {
            assert_eq!(decide(&of_pod(), &setup(values)), expected, "{values}");
        }
        // k8smeta names what the chart made, which no manifest has.
        let named = of_pod().replace("{", "{\"k8smeta.deployment.name\":\"web\",");
        let decided = decide(&named, &setup("{replicaCount: 2}"));
        assert!(decided.starts_with("propose: Scale HelmRelease apps/web to 0\n"), "{decided}");
    }

    #[test]
    fn a_named_deployment_needs_no_guess() {
        let fields = r#"{"k8smeta.ns.name":"default","k8smeta.deployment.name":"web"}"#;
        let decided = decide(fields, &setup().desired_state(WEB));
        assert!(decided.starts_with("propose: Scale default/web to 0\nbecause: \"Shell\" in default/web\n"));
        let decided = decide(fields, &setup().owner("default", POD, &workload("StatefulSet")));
        assert_eq!(decided, "ignore: the desired state has no Deployment default/web");
    }

    #[test]
    fn what_is_not_certain_is_ignored_with_a_reason() {
        let ambiguous = || {
            let first = setup().owner("default", POD, &workload("Deployment"));
            first.owner("default", POD, &workload("StatefulSet"))
        };
        let daemon = setup().owner("default", POD, &workload("DaemonSet"));
        let table = [
            ("{}", setup(), "names no namespace"),
            (r#"{"k8s.ns.name":null,"k8s.pod.name":null}"#, setup(), "names no namespace"),
            (r#"{"k8s.ns.name":"<NA>","k8s.pod.name":"<NA>"}"#, setup(), "names no namespace"),
            (r#"{"k8s.ns.name":"default","k8s.pod.name":"<NA>"}"#, setup(), "names no pod"),
            (&of_pod(), setup(), "no object that makes such a pod"),
            (&of_pod(), ambiguous(), "StatefulSet default/web"),
            (&of_pod(), daemon, "no replicas"),
        ];
        for (fields, setup, expected) in table {
            let decided = decide(fields, &setup);
            assert!(decided.starts_with("ignore: ") && decided.contains(expected), "{fields}: {decided}");
        }
    }

    #[test]
    fn other_rules_are_ignored() {
        let other = setup().config(json!({ "rules": ["Other"] }));
        assert_eq!(decide("{}", &other), r#"ignore: rule "Shell" is not configured"#);
    }

    #[test]
    fn a_configuration_names_rules_and_nothing_else() {
        for config in [json!({}), json!({ "rules": ["Shell"], "rulez": [] })] {
            assert!(setup().config(config.clone()).validate().is_err(), "{config}");
        }
        // The gateway holds a configuration against the schema.
        assert_eq!(testing::schema::<scale_to_zero>()["properties"]["rules"]["minItems"], 1);
    }

    #[test]
    fn the_entry_that_ships_is_enough() {
        let entry = Entry::read::<scale_to_zero>(include_str!("../plugin.yaml"));
        let owned = setup().owner("default", shared::POD, &shared::web("apps/v1/Deployment"));
        entry.assert_grants(&owned.handle(shared::alert()));
    }
}
