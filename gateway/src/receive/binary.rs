//! Binary content mode: attributes in `ce-` headers, the body is the data.
//!
//! Specification: CloudEvents HTTP protocol binding 1.0.2, section 3.1. One tolerance: raw UTF-8
//! values and a `%` that escapes nothing are taken as they are, because Go and Java senders do that.

use bytes::Bytes;
use http::HeaderMap;
use percent_encoding::percent_decode;

use super::{Limits, Rejection, attribute};
use crate::model::event::EventParts;

/// The one event of a binary request.
pub(super) fn event(
    headers: &HeaderMap,
    media_type: Option<String>,
    body: Bytes,
    limits: &Limits,
) -> Result<EventParts, Rejection> {
    let mut parts = EventParts::default();
    for header in headers.keys() {
        let Some(name) = header.as_str().strip_prefix("ce-") else { continue };
        if name == "datacontenttype" {
            return Err(Rejection::attribute(name, "comes in Content-Type, not in a ce- header"));
        }
        // A credential: used by whoever configured it so, never part of the event.
        if name == "token" {
            continue;
        }
        let mut values = headers.get_all(header).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Rejection::attribute(name, "is given twice"));
        };
        attribute::set(&mut parts, name, header_text(name, value.as_bytes())?, limits)?;
    }
    if let Some(media_type) = media_type {
        attribute::set(&mut parts, "datacontenttype", media_type, limits)?;
    }
    attribute::check_required(&parts)?;
    parts.data = (!body.is_empty()).then_some(body);
    Ok(parts)
}

/// A header's value: unquoted, then percent-decoded.
fn header_text(name: &str, value: &[u8]) -> Result<String, Rejection> {
    let text = std::str::from_utf8(value).map_err(|_| Rejection::attribute(name, "is not UTF-8"))?;
    let text = unquote(text);
    if !escapes_are_whole(text.as_bytes()) {
        return Ok(text);
    }
    // Escapes that are no UTF-8 were not meant as escapes.
    Ok(percent_decode(text.as_bytes()).decode_utf8().map(std::borrow::Cow::into_owned).unwrap_or(text))
}

fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut unquoted = String::with_capacity(inner.len());
    let mut escaped = false;
    for character in inner.chars() {
        if character == '\\' && !escaped {
            escaped = true;
        } else {
            unquoted.push(character);
            escaped = false;
        }
    }
    unquoted
}

fn escapes_are_whole(text: &[u8]) -> bool {
    let mut percents = text.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    percents.all(|(at, _)| text.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)))
}
