//! Events of any source, by their JSON.

use riposte_sdk::prelude::*;
use riposte_sdk::testing;
use serde_json::{Value, json};

#[test]
fn a_cloud_event_is_read_as_it_stands() {
    let event = testing::cloud_event(
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"x","time":"2026-01-02T03:04:05Z",
            "dataschema":"https://example.com/schema","datacontenttype":"application/json","count":7,"flag":true,
            "data":{"n":18446744073709551616,  "t":"é"}}"#,
    );
    assert_eq!(event.subject.as_deref(), Some("x"));
    assert_eq!(event.time.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert_eq!(event.dataschema.as_deref(), Some("https://example.com/schema"));
    assert_eq!(
        event.extensions,
        [("count", "7"), ("flag", "true")].map(|(n, v)| (n.to_owned(), v.to_owned())).into()
    );
    assert_eq!(event.data, Payload::Json(r#"{"n":18446744073709551616,  "t":"é"}"#.to_owned()));
    let text = testing::cloud_event(
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"text/plain","data":"a\nb"}"#,
    );
    assert_eq!(text.data, Payload::Text("a\nb".to_owned()));
    let none = testing::cloud_event(r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#);
    assert_eq!(none.data, Payload::None);
}

#[test]
fn json_that_does_not_fit_is_an_invalid_event() {
    let event = testing::event("com.example.scan.v1", r#"{"count":"many"}"#);
    #[derive(Debug, serde::Deserialize)]
    struct Scan {
        count: u32,
    }
    let error = event.json::<Scan>().map(|scan| scan.count).unwrap_err().to_string();
    assert!(error.starts_with("invalid event: the data is no com.example.scan.v1: invalid type"), "{error}");
    assert!(matches!(Event::default().data_json(), Err(Stop::InvalidEvent(_))));
}

#[test]
fn pointers_say_what_is_missing() {
    let data = json!({ "a": [{ "b": "c" }, { "b": "" }], "n": null, "i": "12", "~/": 1, "f": 1.5 });
    assert_eq!(data.text_at("/a/0/b"), Ok("c"));
    assert_eq!(data.integer_at("/i"), Ok(12_u8));
    assert_eq!(data.integer_at("/~0~1"), Ok(1_i64));
    assert_eq!(data.list_at("/a").map(<[Value]>::len), Ok(2));
    let table = [
        (data.text_at("/a/1/b").map(drop), "/a/1/b is missing or empty"),
        (data.at("/n").map(drop), "/n is missing or empty"),
        (data.at("/a/2").map(drop), "/a/2 is missing or empty"),
        (data.text_at("/a").map(drop), "/a is no text"),
        (data.integer_at::<u8>("/f").map(drop), "/f is no integer that fits"),
        (data.list_at("/i").map(drop), "/i is no list"),
    ];
    for (found, expected) in table {
        assert_eq!(found.map_err(|missing| missing.to_string()), Err(expected.to_owned()));
    }
}
