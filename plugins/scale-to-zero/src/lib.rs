//! The workload that owns the pod of an alert goes to no replicas.
//!
//! Only for the rules of the configuration, and only where the owner is certain: a workload that is
//! scaled by mistake is an outage of our own making.

use riposte_sdk::{Decision, DesiredState, Event, Falco, ObjectRef, Patch, Plugin, PluginError};
use serde::Deserialize;

/// The plugin.
pub struct ScaleToZero;

/// Which alerts it acts on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Falco rules, by their exact names.
    rules: Vec<String>,
}

/// Kinds that have `spec.replicas`.
const SCALABLE: [&str; 3] = ["Deployment", "StatefulSet", "ReplicaSet"];

impl Plugin for ScaleToZero {
    const NAME: &'static str = "scale-to-zero";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Scales the workload that owns an alert's pod to 0";
    const EVENT_TYPES: &'static [&'static str] = &["falco.rule.output.v1"];
    const CONFIG_SCHEMA: &'static str = r#"{"type":"object","required":["rules"],"additionalProperties":false,"properties":{"rules":{"type":"array","minItems":1,"items":{"type":"string"}}}}"#;
    type Config = Config;

    fn validate(config: &Config) -> Result<(), String> {
        if config.rules.is_empty() {
            Err("rules is empty: name at least one Falco rule".to_owned())
        } else {
            Ok(())
        }
    }

    fn handle(event: &Event, config: &Config, state: &dyn DesiredState) -> Result<Decision, PluginError> {
        let alert = Falco::read(event)?;
        if !config.rules.contains(&alert.rule) {
            return Ok(Decision::ignore(format!("rule {:?} is not configured", alert.rule)));
        }
        let Some(namespace) = alert.namespace() else {
            return Ok(Decision::ignore("the alert names no namespace: it is not from a pod"));
        };
        let owner = match owner(&alert, namespace, state) {
            Ok(owner) => owner,
            Err(reason) => return Ok(Decision::ignore(reason)),
        };
        if !SCALABLE.contains(&owner.kind.as_str()) {
            return Ok(Decision::ignore(format!("{owner} has no replicas to scale")));
        }
        let reason = format!("{:?} in {namespace}/{}", alert.rule, alert.pod().unwrap_or(&owner.name));
        let title = format!("Scale {namespace}/{} to 0", owner.name);
        Ok(Decision::propose(title, reason).with(Patch::scale(owner, 0)))
    }
}

/// The workload that Falco names, or the one that the pod's name tells.
fn owner(alert: &Falco, namespace: &str, state: &dyn DesiredState) -> Result<ObjectRef, String> {
    if let Some(name) = alert.deployment() {
        let named = state.find("Deployment", Some(namespace)).into_iter().find(|found| found.name == name);
        return named.ok_or_else(|| format!("the desired state has no Deployment {namespace}/{name}"));
    }
    let pod = alert.pod().ok_or("the alert names no pod")?;
    state.owner(namespace, pod).map_err(|error| format!("pod {namespace}/{pod}: {error}"))
}

riposte_sdk::export!(ScaleToZero);

#[cfg(test)]
mod tests {
    use riposte_sdk::testing::{State, event};
    use riposte_sdk::{Change, OwnerError};

    use super::*;

    const POD: &str = "web-77789455d6-m7flp";

    fn workload(kind: &str) -> ObjectRef {
        ObjectRef {
            api_version: "apps/v1".to_owned(),
            kind: kind.to_owned(),
            namespace: Some("default".to_owned()),
            name: "web".to_owned(),
        }
    }

    fn decide(fields: &str, state: &State) -> Decision {
        let data = format!(r#"{{"rule":"Shell","priority":"Notice","output_fields":{fields}}}"#);
        let config = Config { rules: vec!["Shell".to_owned()] };
        ScaleToZero::handle(&event("falco.rule.output.v1", &data), &config, state).expect("a decision")
    }

    fn of_pod() -> String {
        format!(r#"{{"k8s.ns.name":"default","k8s.pod.name":"{POD}"}}"#)
    }

    #[test]
    fn a_scalable_owner_goes_to_zero() {
        for kind in SCALABLE {
            let state = State::default().with_owner("default", POD, Ok(workload(kind)));
            let Decision::Propose(proposal) = decide(&of_pod(), &state) else { panic!("{kind} is ignored") };
            assert_eq!(proposal.title, "Scale default/web to 0");
            let patch = &proposal.patches[0];
            assert_eq!(patch.target, workload(kind));
            assert_eq!(patch.change, Change::Merge(serde_json::json!({"spec": {"replicas": 0}})));
        }
    }

    #[test]
    fn a_named_deployment_needs_no_guess() {
        let state = State::default().with(&workload("Deployment"));
        let fields = r#"{"k8smeta.ns.name":"default","k8smeta.deployment.name":"web"}"#;
        assert!(matches!(decide(fields, &state), Decision::Propose(_)));
    }

    #[test]
    fn what_is_not_certain_is_ignored_with_a_reason() {
        let ambiguous = OwnerError::Ambiguous(vec![workload("Deployment"), workload("StatefulSet")]);
        let table = [
            ("{}", State::default(), "names no namespace"),
            (r#"{"k8s.ns.name":null,"k8s.pod.name":null}"#, State::default(), "names no namespace"),
            (r#"{"k8s.ns.name":"<NA>","k8s.pod.name":"<NA>"}"#, State::default(), "names no namespace"),
            (r#"{"k8s.ns.name":"default","k8s.pod.name":"<NA>"}"#, State::default(), "names no pod"),
            (&of_pod(), State::default(), "no object that makes such a pod"),
            (
                &of_pod(),
                State::default().with_owner("default", POD, Err(ambiguous)),
                "StatefulSet default/web",
            ),
            (
                &of_pod(),
                State::default().with_owner("default", POD, Ok(workload("DaemonSet"))),
                "no replicas",
            ),
        ];
        for (fields, state, expected) in table {
            let Decision::Ignore(reason) = decide(fields, &state) else { panic!("{fields} is not ignored") };
            assert!(reason.contains(expected), "{fields}: {reason}");
        }
    }

    #[test]
    fn other_rules_are_ignored() {
        let config = Config { rules: vec!["Other".to_owned()] };
        let data = r#"{"rule":"Shell"}"#;
        let decision = ScaleToZero::handle(&event("t", data), &config, &State::default());
        assert_eq!(decision, Ok(Decision::ignore("rule \"Shell\" is not configured")));
    }

    #[test]
    fn an_empty_list_of_rules_is_refused() {
        assert!(ScaleToZero::validate(&Config { rules: Vec::new() }).is_err());
    }
}
