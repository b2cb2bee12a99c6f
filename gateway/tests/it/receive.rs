//! Reading requests: every rule of CloudEvents that libraries get wrong, and real bodies.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use riposte::model::event::ContentMode;
use riposte::receive::{Limits, Received, ReceivedEvent, Rejection, decode};
use serde_json::{Value, json};

use crate::harness::fixture;

/// Header names and values.
type Headers<'a> = Vec<(&'a str, &'a [u8])>;

const REQUIRED: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];

fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn read(pairs: &[(&str, &[u8])], body: &[u8]) -> Result<Received, Rejection> {
    decode(&headers(pairs), Bytes::copy_from_slice(body), &Limits::default())
}

/// A valid binary request with these headers instead of, or beside, its own.
fn binary(changes: &[(&str, &[u8])], body: &[u8]) -> Result<ReceivedEvent, Rejection> {
    let kept = REQUIRED.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    let mut pairs: Headers<'_> = kept.map(|(name, value)| (*name, value.as_bytes())).collect();
    pairs.extend(changes.iter().filter(|(_, value)| *value != b"absent"));
    read(&pairs, body).map(|received| received.events()[0].clone())
}

fn structured(text: &str) -> Result<ReceivedEvent, Rejection> {
    let content_type: &[u8] = b"application/cloudevents+json";
    read(&[("content-type", content_type)], text.as_bytes()).map(|received| received.events()[0].clone())
}

/// A valid structured event with these members more.
fn with_members(members: &str) -> Result<ReceivedEvent, Rejection> {
    structured(&format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{members}}}"#))
}

fn blames(rejection: &Rejection, attribute: &str) -> bool {
    rejection.status() == 400 && rejection.to_blame() == Some(attribute)
}

#[test]
fn header_values_are_decoded_as_the_binding_says() {
    let table: [(&[u8], &str); 11] = [
        (b"plain", "plain"),
        (b"Euro%20%E2%82%AC", "Euro €"),
        ("Euro € roh".as_bytes(), "Euro € roh"),
        (b"\"quoted \\\"text\\\"\"", "quoted \"text\""),
        (b"\"%E2%82%AC\"", "€"),
        (b"100%", "100%"),
        (b"100% of it", "100% of it"),
        (b"%zz", "%zz"),
        (b"%E2%82", "%E2%82"),
        (b"%41", "A"),
        (b"a+b", "a+b"),
    ];
    for (value, expected) in table {
        let event =
            binary(&[("ce-subject", value)], b"").unwrap_or_else(|error| panic!("{expected}: {error}"));
        assert_eq!(event.event().subject(), Some(expected));
    }
}

#[test]
fn binary_requests_that_break_a_rule_name_the_attribute() {
    let long = "x".repeat(8_193);
    let table: Vec<(Headers<'_>, &str)> = vec![
        (vec![("ce-id", b"")], "id"),
        (vec![("ce-id", b"absent")], "id"),
        (vec![("ce-source", b"")], "source"),
        (vec![("ce-type", b"")], "type"),
        (vec![("ce-type", b"absent")], "type"),
        (vec![("ce-specversion", b"0.3")], "specversion"),
        (vec![("ce-specversion", b"2.0")], "specversion"),
        (vec![("ce-id", b"1"), ("ce-id", b"2")], "id"),
        (vec![("ce-myext-1", b"x")], "myext-1"),
        (vec![("ce-my_ext", b"x")], "my_ext"),
        (vec![("ce-datacontenttype", b"text/plain")], "datacontenttype"),
        (vec![("content-type", b"a/b"), ("content-type", b"c/d")], "datacontenttype"),
        (vec![("ce-data", b"x")], "data"),
        (vec![("ce-subject", b"")], "subject"),
        (vec![("ce-subject", b"\xff\xfe")], "subject"),
        (vec![("ce-subject", b"a%00b")], "subject"),
        (vec![("ce-subject", b"a%1Fb")], "subject"),
        (vec![("ce-subject", b"a%7Fb")], "subject"),
        (vec![("ce-subject", b"%C2%85")], "subject"),
        (vec![("ce-subject", b"%EF%BF%BE")], "subject"),
        (vec![("ce-subject", b"%EF%B7%90")], "subject"),
        (vec![("ce-time", b"yesterday")], "time"),
        (vec![("ce-time", b"2026-02-30T00:00:00Z")], "time"),
        (vec![("ce-dataschema", b"not absolute")], "dataschema"),
        (vec![("ce-subject", long.as_bytes())], "subject"),
    ];
    for (changes, attribute) in table {
        let rejection = binary(&changes, b"").expect_err(attribute);
        assert!(blames(&rejection, attribute), "{changes:?}: {rejection:?}");
    }
}

#[test]
fn a_number_in_a_header_is_text_of_any_size() {
    let event = binary(&[("ce-count", b"9999999999")], b"").unwrap();
    assert_eq!(event.event().extensions()["count"], "9999999999");
}

#[test]
fn structured_events_that_break_a_rule_name_the_attribute() {
    let table = [
        (r#","id":"2""#, "the body"),
        (r#","data":1,"data_base64":"AA==""#, "data"),
        (r#","data_base64":"QQ""#, "data_base64"),
        (r#","data_base64":"Q?==""#, "data_base64"),
        (r#","data_base64":7"#, "data_base64"),
        (r#","MyExt":"x""#, "MyExt"),
        (r#","my-ext":"x""#, "my-ext"),
        (r#","count":9999999999"#, "count"),
        (r#","count":1.5"#, "count"),
        (r#","count":1e3"#, "count"),
        (r#","ext":{}"#, "ext"),
        (r#","ext":[1]"#, "ext"),
        (r#","subject":1"#, "subject"),
        (r#","subject":true"#, "subject"),
        (r#","subject":"""#, "subject"),
        (r#","subject":"\ud800""#, "subject"),
        (r#","subject":"a\u0000b""#, "subject"),
        (r#","subject":"\ufffe""#, "subject"),
        (r#","time":"noon""#, "time"),
        (r#","datacontenttype":"text/plain","data":{"a":1}"#, "data"),
    ];
    for (members, attribute) in table {
        let rejection = with_members(members).expect_err(members);
        let is_body = attribute == "the body" && rejection.status() == 400 && rejection.to_blame().is_none();
        assert!(is_body || blames(&rejection, attribute), "{members}: {rejection:?}");
    }
    for text in ["", "[]", "nonsense", r#"{"specversion":"1.0"}"#, r#"{"id":"1","source":"/s","type":"t"}"#] {
        assert_eq!(structured(text).expect_err(text).status(), 400, "{text}");
    }
}

#[test]
fn structured_attributes_keep_what_was_sent() {
    let event = with_members(
        r#","time":"2026-01-02T03:04:05.123456789+02:00","subject":"Euro €","a":true,"b":-7,"c":"x","d":null"#,
    )
    .unwrap();
    let event = event.event();
    assert_eq!(event.time(), Some("2026-01-02T03:04:05.123456789+02:00"), "the offset stays");
    assert_eq!(event.subject(), Some("Euro €"));
    let extensions = event.extensions();
    assert_eq!(extensions.get("a").map(String::as_str), Some("true"));
    assert_eq!(extensions.get("b").map(String::as_str), Some("-7"));
    assert_eq!(extensions.get("d"), None, "null is the same as absent");
}

#[test]
fn data_keeps_its_bytes() {
    let table = [
        (r#","data":{"n": 1791357661871149301 }"#, Some(r#"{"n": 1791357661871149301 }"#)),
        (r#","data":"text""#, Some(r#""text""#)),
        (r#","data":null"#, Some("null")),
        (r#","datacontenttype":"text/plain","data":"te\u00e9xt""#, Some("teéxt")),
        (r#","data_base64":"aGk=""#, Some("hi")),
        ("", None),
    ];
    for (members, expected) in table {
        let event = with_members(members).unwrap_or_else(|error| panic!("{members}: {error}"));
        assert_eq!(event.event().data().map(|data| &data[..]), expected.map(str::as_bytes), "{members}");
    }
    let event = binary(&[("content-type", b"application/json")], br#"{"n": 1.0}"#).unwrap();
    assert_eq!(event.event().data().map(|data| &data[..]), Some(&br#"{"n": 1.0}"#[..]));
}

#[test]
fn media_types_ignore_case_and_unknown_formats_are_415() {
    let event = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    let batch = br#"[{"specversion":"1.0","id":"1","source":"/s","type":"t"}]"#;
    let table: [(&[u8], &[u8], Option<ContentMode>); 8] = [
        (b"Application/CloudEvents+JSON", event, Some(ContentMode::Structured)),
        (b"application/cloudevents+json; charset=utf-8", event, Some(ContentMode::Structured)),
        (b"application/cloudevents-batch+json", batch, Some(ContentMode::Batched)),
        (b"APPLICATION/CLOUDEVENTS-BATCH+JSON;charset=UTF-8", batch, Some(ContentMode::Batched)),
        (b"application/cloudevents+avro", event, None),
        (b"application/cloudevents", event, None),
        (b"text/html", event, None),
        (b"", event, None),
    ];
    for (media_type, body, mode) in table {
        let read = read(&[("content-type", media_type)], body);
        match (&read, mode) {
            (Ok(received), Some(mode)) => assert_eq!(received.request().content_mode, mode),
            (Err(rejection), None) => assert_eq!(rejection.status(), 415, "{rejection:?}"),
            _ => panic!("{}: {read:?}", String::from_utf8_lossy(media_type)),
        }
    }
    let zipped = read(&[("content-encoding", b"gzip"), ("content-type", b"application/json")], b"x");
    assert_eq!(zipped.expect_err("compressed").status(), 415);
}

#[test]
fn a_batch_names_the_event_that_is_wrong() {
    let good = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    let bad = r#"{"specversion":"1.0","id":"1","source":"","type":"t"}"#;
    let batch =
        |body: &str| read(&[("content-type", b"application/cloudevents-batch+json")], body.as_bytes());
    let rejection = batch(&format!("[{good},{bad}]")).expect_err("a bad event");
    assert!(
        blames(&rejection, "source") && rejection.to_string().contains("event 1 of the batch"),
        "{rejection}"
    );
    assert_eq!(batch("[]").unwrap().events().len(), 0);
    assert_eq!(batch("{}").expect_err("no array").status(), 400);
    let many = format!("[{}]", vec![good; 1_001].join(","));
    assert!(batch(&many).expect_err("too many").to_string().contains("the limit is 1000"));
}

fn falco(user_agent: &[u8], content_type: &[u8], body: &[u8]) -> Result<ReceivedEvent, Rejection> {
    let pairs: [(&str, &[u8]); 2] = [("user-agent", user_agent), ("content-type", content_type)];
    read(&pairs, body).map(|received| received.events()[0].clone())
}

#[test]
fn an_alert_without_an_envelope_gets_one_with_a_stable_id() {
    let body = br#"{"output":"o","priority":"notice","rule":"Terminal shell in container","time":"2026-10-07T07:21:01.871149301Z","hostname":"node","source":"syscall","output_fields":{"k8s.ns.name":null,"k8s.pod.name":"<NA>"}}"#;
    let event = falco(b"falcosecurity/falco", b"application/json", body).unwrap();
    let again = falco(b"Falcosidekick", b"application/json; charset=utf-8", body).unwrap();
    assert_eq!(event.event().id(), again.event().id(), "the id comes from the content");
    assert_eq!(event.content_digest(), again.content_digest());
    assert_eq!(event.event().event_type(), "falco.rule.output.v1");
    assert_eq!(event.event().source(), "https://falco.org");
    let summary = event.summary();
    assert_eq!(summary.rule.as_deref(), Some("Terminal shell in container"));
    assert_eq!(summary.priority.as_deref(), Some("Notice"));
    assert_eq!((summary.namespace.as_deref(), summary.pod.as_deref()), (None, None));
    let with_uuid = falco(b"", b"application/json", br#"{"uuid":"u-1","rule":"r"}"#).unwrap();
    assert_eq!(with_uuid.event().id(), "u-1");
}

#[test]
fn an_alert_with_values_that_no_attribute_may_have_is_taken_without_them() {
    let long = "x".repeat(70_000);
    let body = format!(
        r#"{{"uuid":"a\u0007b","rule":"r","hostname":"{long}","priority":"Notice","source":"sys\u0000call"}}"#
    );
    let event = falco(b"", b"application/json", body.as_bytes()).unwrap();
    assert_eq!(event.event().id().len(), 64, "the digest stands in for the id");
    let extensions = event.event().extensions();
    let names: Vec<&str> = extensions.keys().map(String::as_str).collect();
    assert_eq!(names, ["priority", "rule"]);
}

#[test]
fn what_is_no_alert_is_refused_with_what_to_do() {
    type Row<'a> = (&'a [u8], &'a [u8], &'a [u8], u16, &'a str);
    let table: [Row<'_>; 5] = [
        (b"falcosecurity/falco", b"text/plain", b"19:35: Notice A shell", 415, "json_output"),
        (b"curl", b"application/x-www-form-urlencoded", b"a=b", 415, "application/json"),
        (b"curl", b"application/json", b"{", 400, "Falco alert"),
        (b"curl", b"application/json", b"[]", 400, "Falco alert"),
        (b"curl", b"application/json", br#"{"hello":"world"}"#, 400, "rule"),
    ];
    for (agent, content_type, body, status, words) in table {
        let rejection = falco(agent, content_type, body).expect_err(words);
        assert_eq!(rejection.status(), status, "{rejection}");
        assert!(rejection.to_string().contains(words), "{rejection}");
    }
}

#[test]
fn real_bodies_are_found_by_what_they_say() {
    let table = [
        (
            "terminal-shell-2021",
            "Terminal shell in container",
            "default",
            Some("alpine-deployment-77789455d6-m7flp"),
        ),
        ("terminal-shell-2026-no-pod", "Terminal shell in container", "", None),
        ("falcosidekick-test-rule", "Test rule", "", None),
    ];
    for (name, rule, namespace, pod) in table {
        let body = fixture(&format!("events/{name}.json"));
        let event = falco(b"Falcosidekick", b"application/json", &body).unwrap();
        let summary = event.summary();
        assert_eq!(summary.rule.as_deref(), Some(rule), "{name}");
        assert_eq!(summary.namespace.as_deref().unwrap_or_default(), namespace, "{name}");
        assert_eq!(summary.pod.as_deref(), pod, "{name}");
    }
    let audit = fixture("events/k8s-audit-exec-2025.json");
    let value: Value = serde_json::from_slice(&audit).unwrap();
    let event = falco(b"", b"application/json", &audit).unwrap();
    assert_eq!(event.summary().namespace.as_deref(), value["output_fields"]["ka.target.namespace"].as_str());
    assert_eq!(event.summary().pod.as_deref(), value["output_fields"]["ka.target.name"].as_str());
}

#[test]
fn credentials_are_no_part_of_what_is_kept() {
    let pairs: Headers<'_> = REQUIRED.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let secrets: [(&str, &[u8]); 4] = [
        ("authorization", b"Bearer s3cret"),
        ("proxy-authorization", b"Basic s3cret"),
        ("cookie", b"s3cret"),
        ("ce-token", b"s3cret"),
    ];
    let received = read(&[pairs, secrets.to_vec()].concat(), b"").unwrap();
    let kept = format!("{received:?}");
    assert!(!kept.contains("s3cret") && received.request().headers.len() == REQUIRED.len(), "{kept}");
    for (name, value) in &received.request().headers {
        assert!(!String::from_utf8_lossy(value).contains("s3cret"), "{name}");
    }
}

#[test]
fn the_same_content_may_be_spelt_in_other_ways() {
    let first = binary(&[("ce-subject", b"a b"), ("content-type", b"application/json")], b"{}").unwrap();
    let second = binary(
        &[("content-type", b"Application/JSON"), ("ce-subject", b"a%20b"), ("user-agent", b"x")],
        b"{}",
    )
    .unwrap();
    assert_eq!(first.content_digest(), second.content_digest());
    let same = structured(
        r#"{"data":{},"datacontenttype":"application/json","subject":"a b","type":"t","source":"/s","id":"1","specversion":"1.0"}"#,
    )
    .unwrap();
    assert_eq!(first.content_digest(), same.content_digest());
    let other = binary(&[("ce-subject", b"a b"), ("content-type", b"application/json")], b"{ }").unwrap();
    assert_ne!(first.content_digest(), other.content_digest());
}

/// What makes an alert of Falco another incident.
const INCIDENT: [&str; 10] = [
    "type",
    "source",
    "subject",
    "rule",
    "priority",
    "eventsource",
    "hostname",
    "namespace",
    "pod",
    "container",
];

/// The fingerprint of an alert with these parts of [`INCIDENT`], reported so and in that second.
fn alert(parts: &[String], report: &[String], second: u64) -> String {
    let [event_type, source, subject, rule, priority, event_source, hostname, namespace, pod, container] =
        parts
    else {
        panic!("{parts:?}");
    };
    let data = json!({
        "uuid": report[0], "output": report[1], "rule": rule, "priority": priority, "source": event_source,
        "hostname": hostname, "time": format!("2026-10-07T07:21:0{second}Z"),
        "output_fields": {
            "evt.time": second, "evt.num": second, "proc.pid": second, "proc.cmdline": report[2],
            "k8s.ns.name": namespace, "k8s.pod.name": pod, "container.id": container,
        },
    });
    let event = json!({
        "specversion": "1.0", "id": report[3], "type": format!("falco.{event_type}"), "source": source,
        "subject": subject, "time": format!("2026-10-07T07:21:0{second}Z"), "ext": report[0], "data": data,
    });
    structured(&event.to_string()).unwrap().fingerprint().to_owned()
}

#[test]
fn what_names_no_workload_is_one_incident_only_with_the_same_content() {
    let of = |members: Value| {
        let mut event =
            json!({ "specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": { "a": 1 } });
        event.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        structured(&event.to_string()).unwrap().fingerprint().to_owned()
    };
    let first = of(json!({}));
    assert_eq!(first, of(json!({ "id": "2", "time": "2026-10-07T07:21:01Z" })));
    let others = [
        json!({ "source": "/x" }),
        json!({ "type": "x" }),
        json!({ "subject": "x" }),
        json!({ "dataschema": "http://x/" }),
        json!({ "ext": "x" }),
        json!({ "data": { "a": 2 } }),
    ];
    for other in others {
        assert_ne!(first, of(other.clone()), "{other}");
    }
    // Alerts of a host: nobody can tell that another process is the same incident.
    let host = |pid: u8, container: &str| {
        let data = json!({ "rule": "r", "output_fields": { "proc.pid": pid, "container.id": container } });
        of(json!({ "type": "falco.rule.output.v1", "data": data }))
    };
    assert_eq!(host(1, "host"), host(1, "host"));
    assert_ne!(host(1, "host"), host(2, "host"));
    assert_eq!(host(1, "788861c3cf83"), host(2, "788861c3cf83"));
}

proptest! {
    #[test]
    fn no_request_makes_the_decoder_fall_over(
        names in proptest::collection::vec("(ce-)?[a-z_-]{1,9}", 0..6),
        values in proptest::collection::vec(proptest::collection::vec(32_u8..=255, 0..20), 6),
        content_type in "(application/(cloudevents(-batch)?\\+)?json|[ -~]{0,20})",
        body in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in names.iter().zip(&values) {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        if let Ok(value) = HeaderValue::from_str(&content_type) {
            headers.insert("content-type", value);
        }
        if let Err(rejection) = decode(&headers, Bytes::from(body), &Limits::default()) {
            prop_assert!(rejection.status().is_client_error() && !rejection.to_string().is_empty());
        }
    }

    #[test]
    fn a_fingerprint_is_of_the_incident_and_not_of_its_reports(
        parts in proptest::collection::vec("[a-z]{1,6}", INCIDENT.len()),
        report in proptest::collection::vec("[a-z]{1,6}", 4),
        changed in 0..INCIDENT.len(),
        other in "[A-Z]{1,6}",
    ) {
        let first = alert(&parts, &["a".to_owned(), "b".to_owned(), "c".to_owned(), "d".to_owned()], 1);
        prop_assert_eq!(&first, &alert(&parts, &report, 2));
        let mut parts = parts;
        parts[changed] = other;
        prop_assert_ne!(&first, &alert(&parts, &report, 1), "{}", INCIDENT[changed]);
    }

    #[test]
    fn attributes_come_back_as_they_were_sent(subject in "[^\\p{C}]{1,40}", extension in "[^\\p{C}]{0,40}") {
        prop_assume!(!subject.chars().chain(extension.chars()).any(|c| u32::from(c) & 0xFFFE == 0xFFFE));
        let event = json!({
            "specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": subject, "ext": extension,
        });
        let by_json = structured(&event.to_string()).unwrap();
        let encoded = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let (subject_header, ext_header) = (encoded(&subject), encoded(&extension));
        let by_header =
            binary(&[("ce-subject", subject_header.as_bytes()), ("ce-ext", ext_header.as_bytes())], b"").unwrap();
        prop_assert_eq!(by_json.event().subject(), Some(subject.as_str()));
        prop_assert_eq!(by_json.content_digest(), by_header.content_digest());
    }
}
