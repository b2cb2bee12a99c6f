//! The pods of the workload that owns the pod of an alert get no service account token.
//!
//! Only for the rules of the configuration, and only where the owner is certain: a workload that
//! needs Kubernetes' API stops working without its token.

use riposte_responses::{Config, respond};
use riposte_sdk::prelude::*;

/// Takes the service account token from the workload that owns an alert's pod
#[plugin(
    on = "falco.rule.output.v1",
    grants(
        kinds = ["apps/v1/Deployment", "apps/v1/StatefulSet", "apps/v1/DaemonSet"],
        fields = ["/spec/template/spec/automountServiceAccountToken"]
    )
)]
pub fn drop_token(alert: Falco, config: &Config, context: &Context) -> Answer {
    config.rules.check(&alert)?;
    respond(&alert, context, riposte_responses::drop_token)
}

#[cfg(test)]
mod tests {
    use riposte_responses::testing::{self as shared, Entry, decide};
    use riposte_sdk::testing::{self, Setup};
    use serde_json::json;

    use super::*;

    fn setup() -> Setup<drop_token> {
        testing::plugin::<drop_token>().config(json!({ "rules": ["Shell"] }))
    }

    #[test]
    fn the_pod_template_mounts_no_token() {
        let token = r#"{"spec":{"automountServiceAccountToken":false}}"#;
        let template = format!(r#"{{"spec":{{"template":{token}}}}}"#);
        let nested = format!(r#"{{"spec":{{"jobTemplate":{template}}}}}"#);
        let table = [
            ("apps/v1/Deployment", &template),
            ("apps/v1/StatefulSet", &template),
            ("apps/v1/DaemonSet", &template),
            ("apps/v1/ReplicaSet", &template),
            ("batch/v1/CronJob", &nested),
        ];
        for (kind, patch) in table {
            assert_eq!(
                decide(setup(), kind),
                format!(
                    "propose: Drop the token of default/web\n\
                     because: \"Shell\" in default/web-77789455d6-m7flp\n\
                     - merge {} {patch}",
                    shared::web(kind)
                )
            );
        }
    }

    #[test]
    fn what_may_not_change_so_is_left_alone() {
        for kind in ["batch/v1/Job", "v1/Pod", "v1/ReplicationController"] {
            let decided = decide(setup(), kind);
            assert!(decided.starts_with("ignore: ") && decided.contains("no pod template"), "{decided}");
        }
    }

    #[test]
    fn what_is_not_certain_is_left_alone() {
        shared::assert_careful(setup);
        let other = setup().config(json!({ "rules": ["shell"] }));
        assert_eq!(decide(other, "apps/v1/Deployment"), "ignore: rule \"Shell\" is not configured");
        assert!(setup().config(json!({})).validate().is_err());
    }

    #[test]
    fn the_entry_that_ships_is_enough() {
        let entry = Entry::read::<drop_token>(include_str!("../plugin.yaml"));
        let owned = setup().owner("default", shared::POD, &shared::web("apps/v1/Deployment"));
        entry.assert_grants(&owned.handle(shared::alert()));
    }
}
