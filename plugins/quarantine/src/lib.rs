//! The pods of the workload that owns the pod of an alert get labels and annotations.
//!
//! What the labels do is up to the cluster: a network policy that selects them, say. Only for the
//! rules of the configuration, and only where the owner is certain.

use riposte_responses::{Annotations, FalcoRules, Labels, Marks, respond};
use riposte_sdk::prelude::*;
use serde::Deserialize;

/// Which alerts it acts on, and what marks the pods.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Falco rules, by their exact names.
    rules: FalcoRules,
    /// Labels that the pods get; at least one.
    #[serde(default)]
    labels: Labels,
    /// Annotations that the pods get. `{rule}` in a value becomes the name of the Falco rule.
    #[serde(default)]
    annotations: Annotations,
}

fn validate(config: &Config) -> Result<(), String> {
    config.labels.check()?;
    config.annotations.check()
}

/// Labels the pods of the workload that owns an alert's pod
#[plugin(
    on = "falco.rule.output.v1",
    validate = validate,
    grants(
        kinds = ["apps/v1/Deployment", "apps/v1/StatefulSet", "apps/v1/DaemonSet"],
        fields = [
            "/spec/template/metadata/labels/riposte.dev~1quarantine",
            "/spec/template/metadata/annotations/riposte.dev~1rule",
        ]
    )
)]
pub fn quarantine(alert: Falco, config: &Config, context: &Context) -> Answer {
    config.rules.check(&alert)?;
    let marks = Marks { labels: &config.labels, annotations: &config.annotations, rule: alert.rule()? };
    respond(&alert, context, |owner| riposte_responses::quarantine(owner, &marks, context))
}

#[cfg(test)]
mod tests {
    use riposte_responses::testing::{self as shared, Entry, POD, decide};
    use riposte_sdk::testing::{self, Setup};
    use serde_json::{Value, json};

    use super::*;

    fn setup() -> Setup<quarantine> {
        testing::plugin::<quarantine>().config(json!({ "rules": ["Shell"] }))
    }

    fn proposed(kind: &str, patch: &Value) -> String {
        let head = "propose: Quarantine default/web\nbecause: \"Shell\" in default/web-77789455d6-m7flp";
        format!("{head}\n- merge {} {patch}", shared::web(kind))
    }

    #[test]
    fn the_pods_of_the_owner_are_marked() {
        let metadata = json!({ "metadata": {
            "labels": { "riposte.dev/quarantine": "true" }, "annotations": { "riposte.dev/rule": "Shell" },
        } });
        let template = json!({ "spec": { "template": metadata } });
        let table = [
            ("apps/v1/Deployment", &template),
            ("apps/v1/StatefulSet", &template),
            ("apps/v1/DaemonSet", &template),
            ("apps/v1/ReplicaSet", &template),
            ("batch/v1/CronJob", &json!({ "spec": { "jobTemplate": template } })),
            ("v1/Pod", &metadata),
        ];
        for (kind, patch) in table {
            assert_eq!(decide(setup(), kind), proposed(kind, patch));
        }
    }

    #[test]
    fn the_configuration_says_by_what() {
        let setup = setup().config(json!({
            "rules": ["Shell"], "labels": { "zone": "closed", "risk": "" }, "annotations": { "why": "a {rule} alert" },
        }));
        let metadata =
            json!({ "labels": { "zone": "closed", "risk": "" }, "annotations": { "why": "a Shell alert" } });
        let patch = json!({ "spec": { "template": { "metadata": metadata } } });
        assert_eq!(decide(setup, "apps/v1/Deployment"), proposed("apps/v1/Deployment", &patch));
    }

    #[test]
    fn once_is_enough() {
        let manifest = |labels: &str| {
            format!(
                "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: default}}, \
                 spec: {{template: {{metadata: {{labels: {labels}, annotations: {{riposte.dev/rule: Other}}}}}}}}}}"
            )
        };
        let table = [
            (
                r#"{app: web, riposte.dev/quarantine: "true"}"#,
                "ignore: Deployment default/web is quarantined already",
            ),
            (r#"{riposte.dev/quarantine: "false"}"#, "propose: "),
            ("{app: web}", "propose: "),
            ("[]", "propose: "),
            ("7", "propose: "),
        ];
        for (labels, expected) in table {
            let owned = setup().owner("default", POD, &shared::web("apps/v1/Deployment"));
            let decided = owned.desired_state(&manifest(labels)).handle(shared::alert()).to_string();
            assert!(decided.starts_with(expected), "{labels}: {decided}");
        }
    }

    #[test]
    fn what_may_not_change_so_is_left_alone() {
        for kind in ["batch/v1/Job", "v1/ReplicationController"] {
            let decided = decide(setup(), kind);
            assert!(decided.starts_with("ignore: ") && decided.contains("no pod template"), "{decided}");
        }
    }

    #[test]
    fn what_is_not_certain_is_left_alone() {
        shared::assert_careful(setup);
        let other = setup().config(json!({ "rules": ["shell"] }));
        assert_eq!(decide(other, "apps/v1/Deployment"), "ignore: rule \"Shell\" is not configured");
        let gone = setup().owner("default", POD, &shared::web("apps/v1/Deployment")).handle(shared::alert());
        assert_eq!(gone.to_string(), "ignore: the desired state has no Deployment default/web");
    }

    #[test]
    fn labels_that_kubernetes_would_not_take_are_refused() {
        let table = [
            (json!({ "rules": ["Shell"], "labels": { "a b": "c" } }), "label \"a b\" has no valid name"),
            (json!({ "rules": ["Shell"], "labels": { "a": "b c" } }), "the value \"b c\""),
            (json!({ "rules": ["Shell"], "labels": {} }), "give at least one"),
            (json!({ "rules": ["Shell"], "labels": { "a": true } }), "expected a string"),
            (json!({ "rules": ["Shell"], "annotations": { "A/b": "c" } }), "annotation \"A/b\""),
            (json!({ "labels": { "a": "b" } }), "missing field `rules`"),
            (json!({ "rules": ["Shell"], "label": {} }), "unknown field `label`"),
        ];
        for (config, expected) in table {
            let refused = setup().config(config.clone()).validate().expect_err(expected);
            assert!(refused.contains(expected), "{config}: {refused}");
        }
        let properties = &testing::schema::<quarantine>()["properties"];
        assert_eq!(properties["labels"]["minProperties"], 1);
        assert_eq!(properties["labels"]["default"], json!({ "riposte.dev/quarantine": "true" }));
        assert_eq!(properties["annotations"]["default"], json!({ "riposte.dev/rule": "{rule}" }));
    }

    #[test]
    fn the_entry_that_ships_is_enough() {
        let entry = Entry::read::<quarantine>(include_str!("../plugin.yaml"));
        let web = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: default}}";
        let owned = setup().desired_state(web).owner("default", POD, &shared::web("apps/v1/Deployment"));
        entry.assert_grants(&owned.handle(shared::alert()));
    }
}
