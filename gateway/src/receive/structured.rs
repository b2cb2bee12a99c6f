//! Structured and batched content mode: the JSON event format.
//!
//! Specification: CloudEvents JSON event format 1.0.2. Values are read as raw text first, so that a
//! key given twice is seen and data keeps its numbers as they were written.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Limits, Rejection, attribute};
use crate::model::event::{EventParts, media_type_is_json};

/// A JSON object whose keys are all different, with its values as raw text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, &RawValue)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.iter().any(|(known, _)| *known == key) {
                        return Err(A::Error::custom(format!("the key {key:?} is given twice")));
                    }
                    members.push((key, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}

/// The event of a structured request.
pub(super) fn event(body: &Bytes, limits: &Limits) -> Result<EventParts, Rejection> {
    parts(parse(body)?, limits)
}

/// The events of a batch: all of them, or a rejection that names the first bad one.
pub(super) fn batch(body: &Bytes, limits: &Limits) -> Result<Vec<EventParts>, Rejection> {
    let events: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| Rejection::body(format!("is no JSON array: {error}")))?;
    if events.len() > limits.batch_events_max {
        let reason = format!("has {} events; the limit is {}", events.len(), limits.batch_events_max);
        return Err(Rejection::body(reason));
    }
    let one = |(index, event): (usize, &&RawValue)| {
        parse(event.get().as_bytes()).and_then(|members| parts(members, limits)).map_err(|rejection| {
            match rejection {
                Rejection::Attribute { name, reason } => {
                    Rejection::Attribute { name, reason: format!("of event {index} of the batch {reason}") }
                }
                Rejection::Body { reason } => {
                    Rejection::Body { reason: format!("at event {index} {reason}") }
                }
                other => other,
            }
        })
    };
    events.iter().enumerate().map(one).collect()
}

fn parse(text: &[u8]) -> Result<Members<'_>, Rejection> {
    serde_json::from_slice(text).map_err(|error| Rejection::body(format!("is no JSON event: {error}")))
}

fn parts(Members(members): Members<'_>, limits: &Limits) -> Result<EventParts, Rejection> {
    let mut parts = EventParts::default();
    let (mut data, mut data_base64, mut version) = (None, None, false);
    for (name, raw) in members {
        match name.as_str() {
            "data" => data = Some(raw),
            "data_base64" => data_base64 = Some(raw),
            _ => {
                let Some(value) = attribute_text(&name, raw)? else { continue };
                version |= name == "specversion";
                attribute::set(&mut parts, &name, value, limits)?;
            }
        }
    }
    if !version {
        return Err(Rejection::attribute("specversion", "is missing"));
    }
    attribute::check_required(&parts)?;
    parts.data = match (data, data_base64) {
        (Some(_), Some(_)) => return Err(Rejection::attribute("data", "is given together with data_base64")),
        (None, Some(raw)) => Some(decoded(raw)?),
        (Some(raw), None) => Some(data_bytes(raw, parts.datacontenttype.as_deref())?),
        (None, None) => None,
    };
    Ok(parts)
}

/// An attribute in its string form; `None` for `null`, which is the same as absent.
fn attribute_text(name: &str, raw: &RawValue) -> Result<Option<String>, Rejection> {
    const CORE: [&str; 8] =
        ["specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype"];
    let text = raw.get();
    let typed = !CORE.contains(&name);
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text)
            .map(Some)
            .map_err(|_| Rejection::attribute(name, "is no valid Unicode text")),
        Some(b'n') => Ok(None),
        Some(b't' | b'f') if typed => Ok(Some(text.to_owned())),
        Some(b'-' | b'0'..=b'9') if typed => match text.parse::<i32>() {
            Ok(_) => Ok(Some(text.to_owned())),
            Err(_) => Err(Rejection::attribute(name, format!("is {text}: numbers are whole and of 32 bits"))),
        },
        _ => Err(Rejection::attribute(name, "has a type that an attribute cannot have")),
    }
}

fn decoded(raw: &RawValue) -> Result<Bytes, Rejection> {
    let text: String =
        serde_json::from_str(raw.get()).map_err(|_| Rejection::attribute("data_base64", "is no string"))?;
    let bytes =
        STANDARD.decode(text).map_err(|_| Rejection::attribute("data_base64", "is no padded base64"))?;
    Ok(Bytes::from(bytes))
}

/// JSON data is its own text; a string of any other media type is the text it stands for.
fn data_bytes(raw: &RawValue, media_type: Option<&str>) -> Result<Bytes, Rejection> {
    if media_type.is_none_or(media_type_is_json) {
        return Ok(Bytes::copy_from_slice(raw.get().as_bytes()));
    }
    match serde_json::from_str::<String>(raw.get()) {
        Ok(text) => Ok(Bytes::from(text)),
        Err(_) => Err(Rejection::attribute("data", "is no string, though its media type is not JSON")),
    }
}
