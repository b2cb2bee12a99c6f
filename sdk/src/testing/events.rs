//! Events from texts.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::{At, Event, Payload};

/// An event of that type with JSON data.
#[must_use]
pub fn event(event_type: &str, data: &str) -> Event {
    Event {
        id: "1".to_owned(),
        source: "test".to_owned(),
        event_type: event_type.to_owned(),
        datacontenttype: Some("application/json".to_owned()),
        data: Payload::Json(data.to_owned()),
        ..Event::default()
    }
}

/// The event that carries a Falco alert, from the alert's JSON text. Its time is the alert's.
#[must_use]
pub fn falco(alert: &str) -> Event {
    let data: Value = serde_json::from_str(alert).unwrap_or_default();
    let time = data.text_at("/time").ok().map(str::to_owned);
    Event { time, ..event("falco.rule.output.v1", alert) }
}

/// A whole CloudEvent, from its JSON text (`application/cloudevents+json`) with its data in `data`.
///
/// ```
/// use riposte_sdk::{Payload, testing};
///
/// let event = testing::cloud_event(
///     r#"{"specversion": "1.0", "id": "7", "source": "trivy", "type": "com.example.scan.v1",
///         "severity": "high", "data": {"count": 9007199254740993}}"#,
/// );
/// assert_eq!((event.id.as_str(), event.extensions["severity"].as_str()), ("7", "high"));
/// assert_eq!(event.data, Payload::Json(r#"{"count": 9007199254740993}"#.to_owned()));
/// ```
///
/// # Panics
/// On a text that is no CloudEvent.
#[must_use]
#[track_caller]
pub fn cloud_event(text: &str) -> Event {
    let mut members: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(text).expect("a CloudEvent is a JSON object");
    let data = members.remove("data");
    members.remove("specversion");
    let mut attributes: BTreeMap<String, String> =
        members.into_iter().map(|(name, value)| (name, attribute(value.get()))).collect();
    let mut required = |name: &str| attributes.remove(name).expect("a CloudEvent has id, source and type");
    let (id, source, event_type) = (required("id"), required("source"), required("type"));
    let datacontenttype = attributes.remove("datacontenttype");
    Event {
        id,
        source,
        event_type,
        subject: attributes.remove("subject"),
        time: attributes.remove("time"),
        dataschema: attributes.remove("dataschema"),
        data: data.map_or(Payload::None, |data| payload(data.get(), datacontenttype.as_deref())),
        datacontenttype,
        extensions: attributes,
    }
}

/// A text as it reads, anything else as it is written.
fn attribute(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
}

/// Data is JSON unless its media type says otherwise.
fn payload(json: &str, media_type: Option<&str>) -> Payload {
    match media_type {
        Some(media_type) if !media_type.contains("json") => Payload::Text(attribute(json)),
        _ => Payload::Json(json.to_owned()),
    }
}
