//! The CronJob or Job that owns the pod of an alert is suspended, or what Flux applied it by.
//!
//! Only for the rules of the configuration, and only where it is certain which object that is. The pods
//! of a suspended Job end; those that a CronJob has started already run to their end, and what a
//! HelmRelease or Kustomization has applied stays as it is.

use riposte_responses::{FalcoRules, FluxObject, suspend_any};
use riposte_sdk::prelude::*;
use serde::Deserialize;

/// Which alerts it acts on, and what is suspended.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Falco rules, by their exact names.
    rules: FalcoRules,
    /// What is suspended for which pods; the first that fits, before anything else.
    #[serde(default)]
    targets: Vec<Target>,
    /// Where no CronJob or Job owns the pod: what Flux's labels in the alert name.
    #[serde(default)]
    flux_labels: bool,
}

/// An object of Flux, and the pods that it stands for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What is suspended.
    object: FluxObject,
    /// For which pods.
    pods: Pods,
}

/// Some pods of a namespace.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pods {
    /// Their namespace.
    #[schemars(length(min = 1))]
    namespace: String,
    /// How their names begin; all of the namespace without it.
    #[serde(default)]
    prefix: String,
}

impl Pods {
    fn has(&self, alert: &Falco) -> bool {
        let begins = || alert.pod().is_ok_and(|pod| pod.starts_with(&self.prefix));
        alert.namespace() == Ok(&self.namespace) && (self.prefix.is_empty() || begins())
    }
}

/// Suspends the CronJob or Job that owns an alert's pod, or what Flux applied it by
#[plugin(
    on = "falco.rule.output.v1",
    grants(
        kinds = ["batch/v1/CronJob", "batch/v1/Job", "helm.toolkit.fluxcd.io/v2/HelmRelease"],
        fields = ["/spec/suspend"]
    )
)]
pub fn suspend(alert: Falco, config: &Config, context: &Context) -> Answer {
    config.rules.check(&alert)?;
    let target = config.targets.iter().find(|target| target.pods.has(&alert));
    let owner = || Ok(context.owner(&alert)?);
    let response =
        suspend_any(target.map(|target| &target.object), owner, config.flux_labels, &alert, context)?;
    let cause = response.cause(&alert)?;
    response.because(cause).into()
}

#[cfg(test)]
mod tests {
    use riposte_responses::testing::{self as shared, Entry, decide};
    use riposte_sdk::testing::{self, Setup};
    use serde_json::json;

    use super::*;

    fn setup() -> Setup<suspend> {
        testing::plugin::<suspend>().config(json!({ "rules": ["Shell"] }))
    }

    #[test]
    fn what_starts_pods_by_itself_is_suspended() {
        for kind in ["CronJob", "Job"] {
            assert_eq!(
                decide(setup(), &format!("batch/v1/{kind}")),
                format!(
                    "propose: Suspend default/web\n\
                     because: \"Shell\" in default/web-77789455d6-m7flp\n\
                     - merge {kind} default/web {{\"spec\":{{\"suspend\":true}}}}"
                )
            );
        }
    }

    #[test]
    fn what_has_no_suspend_is_left_alone() {
        for kind in ["apps/v1/Deployment", "apps/v1/DaemonSet", "v1/Pod", "other/v1/HelmRelease"] {
            let decided = decide(setup(), kind);
            assert!(decided.starts_with("ignore: ") && decided.contains("is no CronJob or Job"), "{decided}");
        }
    }

    /// A plugin whose desired state has a HelmRelease and a Kustomization of Flux, and one of kustomize.
    fn with_flux(config: serde_json::Value) -> Setup<suspend> {
        let object = |api_version: &str, kind: &str| {
            format!("{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: web, namespace: apps}}}}")
        };
        setup()
            .config(config)
            .desired_state(&object("helm.toolkit.fluxcd.io/v2", "HelmRelease"))
            .desired_state(&object("kustomize.toolkit.fluxcd.io/v1", "Kustomization"))
            .desired_state(&object("kustomize.config.k8s.io/v1beta1", "Kustomization"))
    }

    #[test]
    fn what_flux_labels_in_the_alert_is_suspended() {
        let labels = |holder: &str, group: &str, name: &str| {
            format!(
                r#"{{"k8s.ns.name":"shop","k8s.pod.name":"web-77789455d6-m7flp","{holder}[{group}.toolkit.fluxcd.io/name]":"{name}","{holder}[{group}.toolkit.fluxcd.io/namespace]":"apps"}}"#
            )
        };
        let unlabelled =
            "the desired state has no object that makes such a pod; the alert has no label of Flux";
        let table = [
            (labels("k8smeta.deployment.label", "helm", "web"), "propose: Suspend HelmRelease apps/web\n"),
            (labels("k8smeta.pod.label", "kustomize", "web"), "propose: Suspend Kustomization apps/web\n"),
            (labels("k8s.pod.label", "helm", "web"), "propose: Suspend HelmRelease apps/web\n"),
            (labels("k8s.pod.label", "helm", "db"), "ignore: the desired state has no HelmRelease apps/db"),
            (labels("k8s.pod.label", "helm", "<NA>"), unlabelled),
            (labels("k8smeta.ns.label", "helm", "web"), unlabelled),
        ];
        for (fields, expected) in table {
            let setup = with_flux(json!({ "rules": ["Shell"], "fluxLabels": true }));
            let decided = setup.handle(shared::alert_with(&fields)).to_string();
            assert!(decided.contains(expected), "{fields}: {decided}");
        }
        let fields = labels("k8smeta.deployment.label", "helm", "web");
        let off = with_flux(json!({ "rules": ["Shell"] })).handle(shared::alert_with(&fields)).to_string();
        assert!(off.starts_with("ignore: ") && !off.contains("Flux"), "{off}");
        let owned = with_flux(json!({ "rules": ["Shell"], "fluxLabels": true }));
        let owned =
            owned.owner("default", shared::POD, &shared::web("batch/v1/CronJob")).handle(shared::alert());
        assert!(owned.to_string().starts_with("propose: Suspend default/web"), "{owned}");
    }

    #[test]
    fn what_the_configuration_names_is_suspended() {
        let target = |kind: &str, name: &str, pods: serde_json::Value| json!({ "object": { "kind": kind, "namespace": "apps", "name": name }, "pods": pods });
        let config = json!({ "rules": ["Shell"], "targets": [
            target("HelmRelease", "web", json!({ "namespace": "default", "prefix": "web-" })),
            target("Kustomization", "web", json!({ "namespace": "blog" })),
            target("Kustomization", "gone", json!({ "namespace": "gone" })),
        ]});
        let table = [
            ("default", shared::POD, "propose: Suspend HelmRelease apps/web\nbecause: \"Shell\" in default/"),
            ("default", "db-0", "ignore: pod default/db-0: the desired state has no object"),
            ("blog", "any", "propose: Suspend Kustomization apps/web\n"),
            ("gone", "any", "ignore: the desired state has no Kustomization apps/gone"),
        ];
        for (namespace, pod, expected) in table {
            let fields = format!(r#"{{"k8s.ns.name":"{namespace}","k8s.pod.name":"{pod}"}}"#);
            // The configuration goes before the owner.
            let setup = with_flux(config.clone()).owner("default", shared::POD, &shared::web("batch/v1/Job"));
            let decided = setup.handle(shared::alert_with(&fields)).to_string();
            assert!(decided.starts_with(expected), "{namespace}/{pod}: {decided}");
        }
        for target in [
            target("Deployment", "web", json!({ "namespace": "a" })),
            target("HelmRelease", "web", json!({})),
            target("HelmRelease", "web", json!({ "namespace": "a", "suffix": "b" })),
        ] {
            assert!(setup().config(json!({ "rules": ["Shell"], "targets": [target] })).validate().is_err());
        }
    }

    #[test]
    fn what_is_not_certain_is_left_alone() {
        shared::assert_careful(setup);
        let other = setup().config(json!({ "rules": ["shell"] }));
        assert_eq!(decide(other, "batch/v1/Job"), "ignore: rule \"Shell\" is not configured");
        assert!(setup().config(json!({})).validate().is_err());
    }

    #[test]
    fn the_entry_that_ships_is_enough() {
        let entry = Entry::read::<suspend>(include_str!("../plugin.yaml"));
        let owned = setup().owner("default", shared::POD, &shared::web("batch/v1/CronJob"));
        entry.assert_grants(&owned.handle(shared::alert()));
    }
}
