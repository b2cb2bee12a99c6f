//! `riposte rules import`: Falco Talon's rules decide the same in the real engine, and the report says
//! what was left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use riposte::config::Config;
use riposte::dispatch::Catalog;
use riposte::model::patch::{Change, Decision};
use riposte::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::harness::fleet::deployment;
use crate::harness::guest::engine;
use crate::harness::sandbox::{event, snapshot};
use crate::harness::{Fleet, Process, cloudevent, fixture};

/// An action that every rule of a test can name.
const MARK: &str =
    "- action: Mark\n  actionner: kubernetes:label\n  parameters: { labels: { seen: \"true\" } }\n";

/// Imports files, which lie in a folder of their own, by their names.
fn import(files: &[(&str, &str)], options: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    import_in(folder.path(), files, options)
}

fn import_in(folder: &Path, files: &[(&str, &str)], options: &[&str]) -> Output {
    for (name, text) in files {
        fs::write(folder.join(name), text).expect("a file");
    }
    let mut riposte = Command::new(env!("CARGO_BIN_EXE_riposte"));
    riposte.current_dir(folder).args(["rules", "import"]).args(options);
    riposte.args(files.iter().map(|(name, _)| name)).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The entry that was made.
fn entry(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The configuration that the entry is a part of.
fn parsed(entry: &str) -> Config {
    let whole = format!("repository: {{ url: \"file:///fleet.git\" }}\n{entry}");
    Config::parse(&whole).unwrap_or_else(|wrong| panic!("{wrong}\n{entry}"))
}

/// Both real alerts: a shell, without source and tags, and an exec that the API server audited.
fn alerts() -> [Value; 2] {
    let read = |name: &str| serde_json::from_slice(&fixture(&format!("events/{name}"))).expect("JSON");
    [read("terminal-shell-2021.json"), read("k8s-audit-exec-2025.json")]
}

/// What the plugin of an entry decides on an alert.
async fn decided(catalog: &Catalog, alert: &Value, snapshot: &Arc<Snapshot>) -> Decision {
    let dispatched = catalog.plugins()[0].handle(&event(&alert.to_string()), Arc::clone(snapshot));
    dispatched.expect("a decision").decision
}

/// A real alert with other values at some places.
fn with(alert: &Value, changes: &[(&str, Value)]) -> Value {
    let mut alert = alert.clone();
    for (key, value) in changes {
        match key.strip_prefix("fields.") {
            Some(field) => alert["output_fields"][field] = value.clone(),
            None => alert[*key] = value.clone(),
        }
    }
    alert
}

#[tokio::test]
async fn what_is_imported_matches_the_alerts_that_talon_matches() {
    let [shell, audit] = alerts();
    let tagged = with(&shell, &[("tags", json!(["shell", "T1059", "mitre_execution"]))]);
    let urgent = with(&shell, &[("priority", json!("Critical"))]);
    let unknown = with(&shell, &[("priority", json!("Whatever"))]);
    let apart = with(&shell, &[("source", json!("k8s_audit"))]);
    let hidden = with(&shell, &[("fields.proc.name", json!("<NA>"))]);
    let port = with(&shell, &[("fields.fd.rport", json!(4444))]);
    let as_text = with(&shell, &[("fields.fd.rport", json!("4444"))]);
    // Each row: a match, alerts that it is for, alerts that it is not for.
    let table: [(&str, &[&Value], &[&Value]); 30] = [
        ("{}", &[&shell, &audit], &[]),
        ("{ rules: [Terminal shell in container] }", &[&shell], &[&audit]),
        ("{ rules: [terminal shell in container] }", &[], &[&shell]),
        ("{ rules: [Attach/Exec Pod, Terminal shell in container] }", &[&shell, &audit], &[]),
        ("{ priority: Notice }", &[&shell], &[&urgent, &unknown]),
        ("{ priority: \"=notice\" }", &[&shell], &[&urgent]),
        ("{ priority: \">=Warning\" }", &[&urgent], &[&shell, &unknown]),
        ("{ priority: \">=Notice\" }", &[&urgent, &shell], &[&unknown]),
        ("{ priority: \">Notice\" }", &[&urgent], &[&shell]),
        ("{ priority: \"<Warning\" }", &[&shell, &unknown], &[&urgent]),
        ("{ priority: \"<=Notice\" }", &[&shell, &unknown], &[&urgent]),
        ("{ source: syscall }", &[&shell], &[&audit, &apart]),
        ("{ source: k8s_audit }", &[&audit, &apart], &[&shell]),
        ("{ tags: [shell] }", &[&tagged], &[&shell, &audit]),
        ("{ tags: [k8s, shell] }", &[&tagged, &audit], &[&shell]),
        ("{ tags: [\"shell, T1059\"] }", &[&tagged], &[&audit]),
        ("{ tags: [\"shell, T1611\", k8s] }", &[&audit], &[&tagged]),
        ("{ output_fields: [proc.name=sh] }", &[&shell], &[&audit, &hidden]),
        ("{ output_fields: [proc.name!=sh] }", &[&audit, &hidden], &[&shell]),
        ("{ output_fields: [\"proc.cmdline=sh -c uptime\"] }", &[&shell], &[&audit]),
        ("{ output_fields: ['proc.cmdline=\"sh -c uptime\"'] }", &[&shell], &[&audit]),
        ("{ output_fields: [\"proc.name=sh, user.name=root\"] }", &[&shell], &[&audit]),
        ("{ output_fields: [\"proc.name=sh, user.name!=root\"] }", &[], &[&shell, &audit]),
        (
            "{ output_fields: [\"k8s.ns.name!=kube-system, k8s.ns.name!=falco\", proc.name=nc] }",
            &[&shell, &audit],
            &[],
        ),
        ("{ output_fields: [\"k8s.ns.name!=default, proc.name!=nc\"] }", &[&audit], &[&shell]),
        ("{ output_fields: [proc.name=nc, ka.user.name=kubernetes-admin] }", &[&audit], &[&shell]),
        ("{ output_fields: [\"proc.tty=34816, user.loginuid=-1\"] }", &[&shell], &[&audit]),
        ("{ output_fields: [fd.rport=4444] }", &[&port, &as_text], &[&shell]),
        (
            "{ rules: [Terminal shell in container], priority: \">=Notice\", tags: [k8s, \"shell, T1059\"], \
             source: syscall, output_fields: [proc.name=nc, \"proc.name=sh, k8s.ns.name!=kube-system\"] }",
            &[&tagged],
            &[&shell, &audit],
        ),
        ("{ output_fields: [\"proc.name=sh, proc.name=nc\", user.name=root] }", &[&shell], &[&audit]),
    ];
    let rules: String =
        table.iter().enumerate().map(|(index, (when, ..))| labels_with(index, when)).collect();
    let entry = entry(&import(&[("rules.yaml", &rules)], &[]));
    let fleet = Fleet::with(&[
        ("shell.yaml", &owner("default", "alpine-deployment")),
        ("audit.yaml", &owner("hello-app", "nginx")),
    ]);
    let (snapshot, engine) = (snapshot(&fleet).await, engine());
    let catalog = Catalog::load(&engine, &parsed(&entry).plugins).expect("the entry loads");
    for alert in [&shell, &audit, &tagged, &urgent, &unknown, &apart, &hidden, &port, &as_text] {
        let matched = labels(&decided(&catalog, alert, &snapshot).await);
        for (index, (when, fits, others)) in table.iter().enumerate() {
            let expected = fits.contains(&alert);
            if expected || others.contains(&alert) {
                assert_eq!(matched.contains(&format!("r{index}")), expected, "{when}: {alert}");
            }
        }
    }
}

/// A rule that sets a label of its own. Talon runs every rule that matches, and so does the entry.
fn labels_with(index: usize, when: &str) -> String {
    format!(
        "- rule: r{index}\n  match: {when}\n  actions: [{{ action: a, actionner: \"kubernetes:label\", \
         parameters: {{ labels: {{ r{index}: \"true\" }} }} }}]\n"
    )
}

/// A Deployment in a namespace.
fn owner(namespace: &str, name: &str) -> String {
    deployment(name).replacen("metadata:\n", &format!("metadata:\n  namespace: {namespace}\n"), 1)
}

/// The labels that a decision sets.
fn labels(decision: &Decision) -> BTreeSet<String> {
    let Decision::Propose(changes) = decision else { panic!("{decision:?}") };
    let of = |change: &Change| match change {
        Change::MergePatch(patch) => patch["spec"]["template"]["metadata"]["labels"].as_object().cloned(),
        _ => None,
    };
    changes.patches.iter().filter_map(|patch| of(&patch.change)).flatten().map(|(key, _)| key).collect()
}

const RULES: &str = include_str!("fixtures/talon/rules.yaml");
const REPORT: &str = include_str!("fixtures/talon/report.txt");
const ENTRY: &str = include_str!("fixtures/talon/entry.yaml");

#[test]
fn each_rule_and_action_is_in_the_report() {
    let output = import(&[("rules.yaml", RULES)], &["--terminate-as", "scale-to-zero"]);
    assert_eq!(text(&output.stderr), REPORT);
    assert_eq!(entry(&output), ENTRY);
    assert_eq!(Catalog::load(&engine(), &parsed(ENTRY).plugins).unwrap().plugins().len(), 1);
}

#[test]
fn an_imported_rule_responds_in_a_gateway() {
    let output = import(&[("rules.yaml", RULES)], &["--terminate-as", "scale-to-zero"]);
    let fleet = Fleet::tutorial();
    let root = fleet.bare.root.path();
    let text = format!(
        "server: {{ listen: \"127.0.0.1:0\" }}\njournal: {{ dir: {} }}\nrepository: {{ url: \"{}\" }}\n{}",
        root.join("a").display(),
        fleet.bare.file_url(),
        entry(&output).replace("mode: observe", "mode: enforce")
    );
    let mut process = Process::start(&fleet.beside("a.yaml", &text), None);
    let alert = String::from_utf8(fixture("events/terminal-shell-2021.json")).unwrap();
    process.connect().send(&cloudevent("1", &alert));
    let reaction = process.settled(1)["reactions"][0].clone();
    assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
    let manifest = fleet.file("apps/alpine.yaml");
    assert!(manifest.contains("  replicas: 0 # two for the load"), "{manifest}");
    assert!(manifest.contains("        example.com/suspicious: \"true\"\n"), "{manifest}");
    let policy = fleet.file("apps/networkpolicy-isolate-alpine-deployment.yaml");
    assert!(policy.contains("cidr: \"10.9.0.0/16\"") && !policy.contains("Ingress"), "{policy}");
    let said = &fleet.log()[0];
    assert!(
        said.contains("by rules \"Shell: Mark\", \"Shell: Only the database\", \"Shell: End the pod\""),
        "{said}"
    );
}

#[tokio::test]
async fn every_rule_that_matches_is_run_until_one_is_the_end() {
    let two = |ends: &str| {
        format!(
            "{MARK}- action: Close\n  actionner: kubernetes:networkpolicy\n\
             - rule: first\n  match: {{ rules: [Terminal shell in container] }}\n  actions: [{{ action: Mark }}]\n{ends}\
             - rule: second\n  match: {{ priority: Notice }}\n  actions: [{{ action: Close }}]\n"
        )
    };
    let (fleet, engine) = (Fleet::tutorial(), engine());
    let (snapshot, [shell, _]) = (snapshot(&fleet).await, alerts());
    let (mark, close) = ("Quarantine default/alpine-deployment", "Isolate default/alpine-deployment");
    let both = format!("{mark}; {close}");
    let table = [
        ("", both.as_str()),
        ("  continue: \"false\"\n", mark),
        // What Talon only rehearses is the end as well.
        ("  dry_run: true\n", close),
        ("  dry_run: true\n  continue: false\n", ""),
    ];
    for (ends, expected) in table {
        let output = import(&[("rules.yaml", &two(ends))], &[]);
        let catalog = Catalog::load(&engine, &parsed(&entry(&output)).plugins).expect("the entry loads");
        let title = match decided(&catalog, &shell, &snapshot).await {
            Decision::Propose(changes) => changes.title,
            Decision::Ignore { reason } => {
                assert!(reason.starts_with("rule \"first: the end\" matches"), "{ends}: {reason}");
                String::new()
            }
        };
        assert_eq!(title, expected, "{ends}");
    }
}

#[test]
fn later_files_change_earlier_ones_by_name() {
    let base = "- action: Mark\n  actionner: kubernetes:label\n  parameters: { labels: { a: \"1\", b: \"1\" } }\n\
                - rule: it\n  match: { rules: [One], priority: \">=Error\", source: syscall }\n  \
                actions: [{ action: Mark, parameters: { labels: { a: \"0\", c: \"0\" } } }]\n";
    let over = "- action: Mark\n  parameters: { labels: { b: \"2\" }, level: pod }\n\
                - rule: it\n  match: { rules: [Two], tags: [t] }\n  actions: [{ action: Mark }]\n";
    let plugins = parsed(&entry(&import(&[("a.yaml", base), ("b.yaml", over)], &[]))).plugins;
    let rules = plugins[0].config["rules"].as_array().expect("rules");
    // The priority and the source of the first are gone: Talon takes those of the last, which has none.
    let when = json!({ "rule": ["One", "Two"], "tag": "t" });
    let label = |labels: Value| json!({ "quarantine": { "labels": labels, "annotations": {} } });
    assert_eq!(
        rules[..],
        [
            json!({ "name": "it: Mark", "match": when, "continue": true,
                    "action": label(json!({ "a": "1", "b": "2", "c": "0" })) }),
            json!({ "name": "it: Mark (2)", "match": when, "continue": true,
                    "action": label(json!({ "a": "1", "b": "2" })) }),
        ]
    );
    assert_eq!(plugins[0].grants.namespaces, ["*"]);
}

#[test]
fn what_has_no_exact_counterpart_is_left_out() {
    let of_match = [
        ("{ output_fields: [\"proc.cmdline=a=b\"] }", "has a = or ! in its value"),
        ("{ output_fields: [\"proc.cmdline!=a!b\"] }", "has a = or ! in its value"),
        ("{ output_fields: [\"proc.name=\"] }", "asks whether Falco knew the field"),
        ("{ output_fields: [\"k8s.pod.name!=<NA>\"] }", "asks whether Falco knew the field"),
        ("{ output_fields: [\"fd.ips=[10.0.0.1 8.8.8.8]\"] }", "the text that Talon makes of a list"),
        ("{ output_fields: [ka.user.groups=admins] }", "is about a field with a list"),
        ("{ output_fields: [evt.time=1623612958532086161] }", "asks for a number"),
        ("{ output_fields: [evt.count=1e+06] }", "asks for a number"),
        ("{ output_fields: [proc.cpu=3.0] }", "asks for a number"),
        ("{ priority: \">Emergency\" }", "it never matches: no priority is >Emergency"),
        ("{ priority: \"<Debug\" }", "it never matches: no priority is <Debug"),
    ];
    for (when, expected) in of_match {
        let rules = format!("{MARK}- rule: it\n  match: {when}\n  actions: [{{ action: Mark }}]\n");
        let output = import(&[("rules.yaml", &rules)], &[]);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{when}: {said}");
        assert!(said.contains(expected) && said.contains("no action could be taken over"), "{when}: {said}");
    }
    // A number that both write the same way, and what is none, is taken.
    for value in ["34816", "-1", "0.5", "3.20", "007", "10.0.0.1"] {
        let rules = format!(
            "{MARK}- rule: it\n  match: {{ output_fields: [a.b={value}] }}\n  actions: [{{ action: Mark }}]\n"
        );
        entry(&import(&[("rules.yaml", &rules)], &[]));
    }
    let of_action = [
        ("terminate", "{}", "would make a new one; --terminate-as scale-to-zero"),
        ("label", "{ labels: { a: \"\" } }", "takes the label \"a\" away"),
        ("label", "{ labels: { a: 1 } }", "labels has to be texts by their names"),
        ("label", "{ labels: { a: b }, level: node }", "a node is no object"),
        ("label", "{ labels: { a: b }, leval: pod }", "its parameter \"leval\" is not known here"),
        ("label", "{}", "it has no label"),
        ("networkpolicy", "{ allow_cidr: 10.0.0.0/8 }", "allow_cidr is no list of texts"),
        ("annotation", "{ annotations: { a: b } }", "`quarantine` sets them beside a label"),
        ("delete", "{}", "a person's commit, or a plugin of your own"),
        ("exec", "{ command: id }", "looks into a running pod"),
        ("reboot", "{}", "this actionner is not known here"),
    ];
    for (name, parameters, expected) in of_action {
        let rules = format!(
            "- rule: it\n  actions: [{{ action: a, actionner: \"kubernetes:{name}\", parameters: {parameters} }}]\n"
        );
        let output = import(&[("rules.yaml", &rules)], &[]);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(expected), "{name} {parameters}: {said}");
    }
    let healthy = "- rule: it\n  actions: [{ action: a, actionner: \"kubernetes:terminate\", \
                   parameters: { min_healthy_replicas: 33% } }]\n";
    let output = import(&[("rules.yaml", healthy)], &["--terminate-as", "scale-to-zero"]);
    assert!(text(&output.stderr).contains("min_healthy_replicas asks for the state of the cluster"));
}

#[test]
fn what_talon_would_not_load_is_an_error_with_the_file_and_the_rule() {
    let rule = |keys: &str| format!("{MARK}- rule: it\n  actions: [{{ action: Mark }}]\n  {keys}\n");
    let table = [
        ("a: [".to_owned(), "rules.yaml: "),
        ("a: b\n".to_owned(), "rules.yaml: it is no list of rules and actions"),
        ("- a\n".to_owned(), "rules.yaml: entry 0 has neither `rule` nor `action`"),
        ("- rule: a\n  action: b\n".to_owned(), "rules.yaml: entry 0 has both"),
        ("- rule: 7\n".to_owned(), "rules.yaml: entry 0: `rule` is no name"),
        (format!("{MARK}---\n{MARK}"), "rules.yaml: it has several documents"),
        ("- rule: a\n  rule: b\n".to_owned(), "twice"),
        ("- rule: it\n".to_owned(), "rules.yaml: rule \"it\": it has no action"),
        ("- rule: it\n  actions: [{ action: a }]\n".to_owned(), "rule \"it\": its action \"a\" has no actionner"),
        ("- rule: it\n  actions: [{ action: a, actionner: x }]\n".to_owned(), "the actionner \"x\", which is none"),
        (rule("matches: {}"), "rules.yaml: rule \"it\": matches: unknown field `matches`"),
        (rule("match: { rule: [a] }"), "rules.yaml: rule \"it\": match.rule: unknown field `rule`"),
        (rule("match: { rules: a }"), "rules.yaml: rule \"it\": match.rules: invalid type: string"),
        (rule("match: { rules: [7] }"), "rules.yaml: rule \"it\": match.rules[0]: invalid type: integer"),
        (rule("match: [a]"), "rules.yaml: rule \"it\": match: it is a list"),
        (rule("match: {}").replace("[{ action: Mark }]", "[[Mark]]"), "rule \"it\": actions[0]: it is a list"),
        (rule("match: { priority: \"=>Notice\" }"), "rules.yaml: rule \"it\": match.priority: \"=>Notice\" is no"),
        (rule("match: { priority: Info }"), "match.priority: \"Info\" is no priority of Falco"),
        (rule("match: { tags: [a-b] }"), "rules.yaml: rule \"it\": match.tags: \"a-b\" is no tag"),
        (rule("match: { tags: [\"a,\"] }"), "match.tags: \"\" is no tag"),
        (rule("match: { output_fields: [proc.name] }"), "match.output_fields: \"proc.name\" is neither"),
        (rule("match: { output_fields: [\"a=b,  c=d\"] }"), "match.output_fields: \" c=d\" is neither"),
        (rule("continue: perhaps"), "rules.yaml: rule \"it\": continue: \"perhaps\" is neither true nor false"),
        (format!("{MARK}  colour: red\n"), "rules.yaml: action \"Mark\": colour: unknown field `colour`"),
        (format!("- rule: it\n  match: {}1{}\n", "[".repeat(5000), "]".repeat(5000)), "64 levels"),
        (format!("- &a {}\n- [{}]\n", "y".repeat(60_000), vec!["*a"; 3_000].join(", ")), "aliases"),
        ("#".repeat((1 << 20) + 1), "rules.yaml: it is longer than 1048576 bytes"),
        (
            "- rule: it\n  actions: [{ action: a, actionner: \"kubernetes:label\", parameters: { labels: { a: b c } } }]\n"
                .to_owned(),
            "it refuses its configuration: rule \"it\": label \"a\" has the value \"b c\"",
        ),
        (
            "- rule: it\n  actions: [{ action: a, actionner: \"kubernetes:networkpolicy\", \
             parameters: { allow_cidr: [all] } }]\n"
                .to_owned(),
            "rule \"it\": allowCidrs: \"all\" is no range",
        ),
    ];
    for (rules, expected) in table {
        let output = import(&[("rules.yaml", &rules)], &[]);
        let (said, start) = (text(&output.stderr), rules.chars().take(200).collect::<String>());
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{start}: {said}");
        assert!(said.contains(expected), "{start}: {said}");
    }
    let mut riposte = Command::new(env!("CARGO_BIN_EXE_riposte"));
    let gone = riposte.args(["rules", "import", "/nowhere.yaml"]).output().expect("the program runs");
    assert!(gone.status.code() == Some(2) && text(&gone.stderr).contains("/nowhere.yaml: it cannot be read"));
}

#[test]
fn the_entry_can_go_into_a_file_and_hostile_names_stay_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = format!("{MARK}- rule: \"a\\e[31m\\nplugins: []\"\n  actions: [{{ action: Mark }}]\n");
    let output = import_in(folder.path(), &[("ru\nles.yaml", &rules)], &["--output", "talon.yaml"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains('\u{1b}'), "a terminal escape of the file is obeyed");
    let written = fs::read_to_string(folder.path().join("talon.yaml")).expect("the entry");
    assert!(
        written.starts_with(
            "# Made by `riposte rules import` of Falco Talon's rules: ru\\nles.yaml.\nplugins:\n"
        )
    );
    assert_eq!(parsed(&written).plugins[0].config["rules"][0]["name"], "a\u{1b}[31m\nplugins: []");
    let nowhere = import_in(folder.path(), &[("a.yaml", &rules)], &["--output", "no/where.yaml"]);
    assert!(nowhere.status.code() == Some(2) && text(&nowhere.stderr).contains("cannot write no/where.yaml"));
}
