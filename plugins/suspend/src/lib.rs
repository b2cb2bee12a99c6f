//! The CronJob or Job that owns the pod of an alert is suspended.
//!
//! Only for the rules of the configuration, and only where the owner is certain. The pods of a
//! suspended Job end; those that a CronJob has started already run to their end.

use riposte_responses::{Config, respond};
use riposte_sdk::prelude::*;

/// Suspends the CronJob or Job that owns an alert's pod
#[plugin(
    on = "falco.rule.output.v1",
    grants(kinds = ["batch/v1/CronJob", "batch/v1/Job"], fields = ["/spec/suspend"])
)]
pub fn suspend(alert: Falco, config: &Config, context: &Context) -> Answer {
    config.rules.check(&alert)?;
    respond(&alert, context, riposte_responses::suspend)
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
