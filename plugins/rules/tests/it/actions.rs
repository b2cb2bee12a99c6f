//! What is done once a rule matches.

use riposte_responses::testing::{self as shared, POD, decide, web};
use riposte_sdk::testing;

use super::{with_rule, with_rules};

const SHELL: &str = "{ rule: Shell }";

#[test]
fn each_action_has_its_response() {
    let table = [
        ("scale-to-zero", "apps/v1/Deployment", "Scale default/web to 0", r#"{"spec":{"replicas":0}}"#),
        (
            "{ scale-to-zero: {} }",
            "apps/v1/StatefulSet",
            "Scale default/web to 0",
            r#"{"spec":{"replicas":0}}"#,
        ),
        ("suspend", "batch/v1/CronJob", "Suspend default/web", r#"{"spec":{"suspend":true}}"#),
        (
            "drop-token",
            "apps/v1/DaemonSet",
            "Drop the token of default/web",
            r#"{"spec":{"template":{"spec":{"automountServiceAccountToken":false}}}}"#,
        ),
        (
            "quarantine",
            "v1/Pod",
            "Quarantine default/web",
            r#"{"metadata":{"annotations":{"riposte.dev/rule":"Shell"},"labels":{"riposte.dev/quarantine":"true"}}}"#,
        ),
        (
            "{ quarantine: { labels: { zone: closed }, annotations: {} } }",
            "v1/Pod",
            "Quarantine default/web",
            r#"{"metadata":{"labels":{"zone":"closed"}}}"#,
        ),
    ];
    for (action, kind, title, patch) in table {
        assert_eq!(
            decide(with_rule(SHELL, action), kind),
            format!(
                "propose: {title}\nbecause: \"Shell\" in default/{POD}, by rule \"it\"\n- merge {} {patch}",
                web(kind)
            )
        );
    }
}

#[test]
fn suspend_can_be_of_an_object_of_flux() {
    let release =
        "{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: web, namespace: apps}}";
    let labels = r#"{"k8s.ns.name":"default","k8s.pod.name":"web-0","k8smeta.deployment.label[helm.toolkit.fluxcd.io/name]":"web","k8smeta.deployment.label[helm.toolkit.fluxcd.io/namespace]":"apps"}"#;
    let table = [
        (
            "{ suspend: { object: { kind: HelmRelease, namespace: apps, name: web } } }",
            "propose: Suspend HelmRelease apps/web",
        ),
        ("{ suspend: { fluxLabels: true } }", "propose: Suspend HelmRelease apps/web"),
        (
            "{ suspend: { object: { kind: Kustomization, namespace: apps, name: web } } }",
            "ignore: rule \"it\" matches: the desired state has no Kustomization apps/web",
        ),
        ("suspend", "ignore: rule \"it\" matches: pod default/web-0: the desired state has no object"),
    ];
    for (action, expected) in table {
        let decided =
            with_rule(SHELL, action).desired_state(release).handle(shared::alert_with(labels)).to_string();
        assert!(decided.starts_with(expected), "{action}: {decided}");
    }
}

#[test]
fn isolate_makes_a_policy() {
    let manifest = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: default}, \
                    spec: {selector: {matchLabels: {app: web}}}}";
    for (action, port) in [
        ("isolate", false),
        ("{ isolate: { allowDns: true } }", true),
        ("{ isolate: { allowCidrs: [53.0.0.0/8] } }", true),
    ] {
        let setup = with_rule(SHELL, action).desired_state(manifest);
        let setup = setup.owner("default", POD, &web("apps/v1/Deployment"));
        let decided = setup.handle(shared::alert()).to_string();
        let expected = "propose: Isolate default/web\nbecause: \"Shell\" in default/web-77789455d6-m7flp, by rule \
                        \"it\"\n- create NetworkPolicy default/isolate-web beside Deployment default/web {";
        assert!(decided.starts_with(expected) && decided.contains("53") == port, "{action}: {decided}");
    }
}

#[test]
fn the_first_rule_that_matches_is_the_end() {
    let setup = || {
        with_rules(
            r"
- { name: shop, match: { namespace: shop }, action: suspend }
- { name: none, match: { tag: none }, action: suspend }
- { name: shells, match: { rule: Shell }, action: suspend }
- { name: rest, match: { rule: { glob: '*' } }, action: scale-to-zero }
",
        )
    };
    let decided = decide(setup(), "batch/v1/Job");
    assert!(decided.contains("by rule \"shells\"\n- merge Job default/web"), "{decided}");
    // An action that does not suit the owner is no reason to try the next rule.
    assert_eq!(
        decide(setup(), "apps/v1/Deployment"),
        "ignore: rule \"shells\" matches: Deployment default/web is no CronJob or Job, which alone can be suspended"
    );
    let unruly = setup().handle(testing::falco("{}")).to_string();
    let expected =
        "tried \"shop\" (no namespace), \"none\" (no tag), \"shells\" (no rule), \"rest\" (no rule)";
    assert_eq!(unruly, format!("ignore: no rule matches: {expected}"));
}

#[test]
fn rules_that_continue_add_up() {
    let setup = |last: &str| {
        with_rules(&format!(
            r"
- {{ name: mark, match: {{ rule: Shell }}, action: {{ quarantine: {{ labels: {{ zone: closed }}, annotations: {{}} }} }}, continue: true }}
- {{ name: none, match: {{ tag: none }}, action: suspend, continue: true }}
- {{ name: again, match: {{ rule: Shell }}, action: {{ quarantine: {{ labels: {{ zone: closed }}, annotations: {{}} }} }}, continue: true }}
- {{ name: wrong, match: {{ rule: Shell }}, action: suspend, continue: true }}
- {{ name: last, match: {{ rule: Shell }}, action: {last} }}
- {{ name: never, match: {{ rule: Shell }}, action: drop-token }}
"
        ))
    };
    let mark =
        r#"- merge Deployment default/web {"spec":{"template":{"metadata":{"labels":{"zone":"closed"}}}}}"#;
    assert_eq!(
        decide(setup("scale-to-zero"), "apps/v1/Deployment"),
        format!(
            "propose: Quarantine default/web; Scale default/web to 0\nbecause: \"Shell\" in default/{POD}, by rules \
             \"mark\", \"again\", \"last\"\n{mark}\n- merge Deployment default/web {{\"spec\":{{\"replicas\":0}}}}"
        )
    );
    // An ignore is the end of the rules, and takes nothing back.
    assert_eq!(
        decide(setup("ignore"), "apps/v1/Deployment"),
        format!(
            "propose: Quarantine default/web\nbecause: \"Shell\" in default/{POD}, by rules \"mark\", \"again\"\n{mark}"
        )
    );
    let nothing = decide(setup("ignore"), "v1/ReplicationController");
    let reasons = [
        "ignore: rule \"mark\" matches: ReplicationController default/web has no pod template that may change",
        "rule \"wrong\" matches: ReplicationController default/web is no CronJob or Job",
        "rule \"last\" matches: its action is ignore",
    ];
    assert!(reasons.iter().all(|reason| nothing.contains(reason)), "{nothing}");
}

#[test]
fn an_ignore_needs_no_owner() {
    let decided = with_rule("{ not: { tag: x } }", "ignore").handle(testing::falco("{}")).to_string();
    assert_eq!(decided, "ignore: rule \"it\" matches: its action is ignore");
}

#[test]
fn what_is_not_certain_is_left_alone() {
    shared::assert_careful(|| with_rule("{ not: { tag: x } }", "scale-to-zero"));
}

#[test]
fn quarantine_is_made_once() {
    let manifest =
        "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default, labels: {zone: closed}}}";
    let setup = with_rule(SHELL, "{ quarantine: { labels: { zone: closed } } }").desired_state(manifest);
    let decided = setup.owner("default", POD, &web("v1/Pod")).handle(shared::alert()).to_string();
    assert_eq!(decided, "ignore: rule \"it\" matches: Pod default/web is quarantined already");
}

#[test]
fn an_ignore_names_so_many_rules_and_no_more() {
    let rule = |number| format!("- {{ name: r{number}, match: {{ tag: x }}, action: ignore }}\n");
    let decided = with_rules(&(0..50).map(rule).collect::<String>()).handle(testing::falco("{}")).to_string();
    assert!(decided.ends_with("\"r19\" (no tag) and 30 more"), "{decided}");
}
