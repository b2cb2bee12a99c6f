//! What an alert has, and what is said of what it has not.

use riposte_sdk::prelude::*;
use riposte_sdk::testing;

fn alert(fields: &str) -> Falco {
    let text = format!(r#"{{"rule":"Shell","output_fields":{fields}}}"#);
    Falco::from_event(testing::falco(&text)).expect("an alert")
}

#[test]
fn whatever_says_nothing_is_missing() {
    for nothing in ["null", r#""""#, r#""<NA>""#] {
        let text = format!(
            r#"{{"rule":{nothing},"priority":{nothing},"output":{nothing},"time":{nothing},"source":{nothing},
                "hostname":{nothing},"output_fields":{{"k8s.pod.name":{nothing},"container.id":{nothing}}}}}"#
        );
        let alert = Falco::from_event(testing::falco(&text)).expect("an alert");
        let found = [
            alert.rule(),
            alert.output(),
            alert.time(),
            alert.source(),
            alert.hostname(),
            alert.pod(),
            alert.container_id(),
        ];
        assert!(found.iter().all(Result::is_err) && alert.priority().is_err(), "{nothing}: {found:?}");
    }
    for text in ["{}", r#"{"output_fields":null,"tags":null}"#] {
        let alert = Falco::from_event(testing::falco(text)).expect("an alert");
        assert!(alert.rule().is_err() && alert.namespace().is_err() && alert.tags().is_empty(), "{text}");
    }
}

#[test]
fn the_reason_names_the_field() {
    let alert = alert(r#"{"fd.rport":"https","proc.tty":34816,"fd.lport":70000,"container.id":"host"}"#);
    let table = [
        (alert.pod().unwrap_err(), "the alert names no pod: output field k8s.pod.name is missing or <NA>"),
        (
            alert.namespace().unwrap_err(),
            "the alert names no namespace: output field k8s.ns.name is missing or <NA>",
        ),
        (
            alert.deployment().unwrap_err(),
            "the alert names no Deployment: output field k8smeta.deployment.name is missing or <NA>",
        ),
        (
            alert.image().unwrap_err(),
            "the alert names no image: output field container.image.repository is missing or <NA>",
        ),
        (
            alert.container_id().unwrap_err(),
            "the alert names no container: output field container.id is host",
        ),
        (alert.priority().unwrap_err(), "the alert has no priority: it is missing or empty"),
        (alert.text("proc.name").unwrap_err(), "output field proc.name is missing or <NA>"),
        (alert.text("proc.tty").unwrap_err(), "output field proc.tty is no text"),
        (alert.integer::<u16>("fd.rport").unwrap_err(), "output field fd.rport is no integer that fits"),
        (alert.integer::<u16>("fd.lport").unwrap_err(), "output field fd.lport is no integer that fits"),
    ];
    for (missing, expected) in table {
        assert_eq!(missing.to_string(), expected);
        assert_eq!(Stop::from(missing), Stop::Ignore(expected.to_owned()));
    }
}

#[test]
fn the_workload_is_found_in_every_spelling() {
    let table = [
        (r#"{"k8s.ns.name":"a","k8s.pod.name":"p"}"#, Some("a"), Some("p")),
        (r#"{"k8smeta.ns.name":"a","k8smeta.pod.name":"p"}"#, Some("a"), Some("p")),
        (
            r#"{"k8s.ns.name":"old","k8s.pod.name":"old","k8smeta.ns.name":"a","k8smeta.pod.name":"p"}"#,
            Some("a"),
            Some("p"),
        ),
        (r#"{"k8smeta.ns.name":"<NA>","k8s.ns.name":"a"}"#, Some("a"), None),
        (
            r#"{"ka.target.namespace":"a","ka.target.name":"p","ka.target.resource":"pods"}"#,
            Some("a"),
            Some("p"),
        ),
        (
            r#"{"ka.target.namespace":"a","ka.target.name":"c","ka.target.resource":"configmaps"}"#,
            Some("a"),
            None,
        ),
    ];
    for (fields, namespace, pod) in table {
        let alert = alert(fields);
        assert_eq!((alert.namespace().ok(), alert.pod().ok()), (namespace, pod), "{fields}");
    }
}

#[test]
fn integers_stay_exact() {
    let fields =
        r#"{"a":9223372036854775807,"b":18446744073709551615,"c":"1791357661871149301","d":-5,"e":"-5"}"#;
    let alert = alert(fields);
    assert_eq!(alert.integer("a"), Ok(i64::MAX));
    assert_eq!(alert.integer("b"), Ok(u64::MAX));
    assert_eq!(alert.integer("c"), Ok(1_791_357_661_871_149_301_u64));
    assert_eq!((alert.integer("d"), alert.integer("e")), (Ok(-5_i8), Ok(-5_i64)));
    assert!(alert.integer::<u64>("d").is_err() && alert.integer::<i64>("b").is_err());
    assert_eq!(alert.field("b").map(ToString::to_string), Ok("18446744073709551615".to_owned()));
}

#[test]
fn images_have_a_tag_where_falco_has_one() {
    let table = [
        (r#"{"container.image.repository":"alpine","container.image.tag":"3.20"}"#, "alpine:3.20"),
        (r#"{"container.image.repository":"alpine","container.image.tag":"<NA>"}"#, "alpine"),
        (r#"{"container.image":"a/b:c","container.image.repository":"alpine"}"#, "a/b:c"),
    ];
    for (fields, expected) in table {
        assert_eq!(alert(fields).image().as_deref(), Ok(expected), "{fields}");
    }
}

#[test]
fn priorities_are_ordered_and_read_in_any_case() {
    let ordered = ["debug", "Informational", "NOTICE", "warning", "Error", "critical", "alert", "Emergency"];
    let read: Vec<Priority> = ordered.iter().filter_map(|text| Priority::parse(text)).collect();
    assert_eq!(read.len(), ordered.len());
    assert!(read.is_sorted(), "{read:?}");
    for priority in read {
        let text = format!(r#"{{"priority":"{priority}"}}"#);
        let alert = Falco::from_event(testing::falco(&text)).expect("an alert");
        assert_eq!(alert.priority(), Ok(priority));
        assert_eq!(serde_json::from_value(serde_json::json!(priority)).ok(), Some(priority));
    }
    let odd = Falco::from_event(testing::falco(r#"{"priority":"Odd"}"#)).expect("an alert");
    assert_eq!(odd.priority().unwrap_err().to_string(), "the alert's priority \"Odd\" is none");
}

#[test]
fn what_is_no_alert_is_an_invalid_event() {
    for data in ["[]", "{", r#"{"rule":7}"#, r#"{"output_fields":[]}"#] {
        let read = Falco::from_event(testing::falco(data));
        assert!(matches!(read, Err(Stop::InvalidEvent(_))), "{data}: {read:?}");
    }
    let text = Event { data: Payload::Text("{}".to_owned()), ..Event::default() };
    assert_eq!(Falco::from_event(text), Err(Stop::InvalidEvent("the data is not JSON".to_owned())));
}
