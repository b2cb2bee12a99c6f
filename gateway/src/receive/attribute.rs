//! The rules of CloudEvents attributes, the same for headers and for JSON.
//!
//! Specification: CloudEvents 1.0.2, "Naming conventions" and "Type system".

use chrono::DateTime;

use super::{Limits, Rejection};
use crate::model::event::EventParts;

/// Puts one attribute into the parts, checked.
pub(super) fn set(
    parts: &mut EventParts,
    name: &str,
    value: String,
    limits: &Limits,
) -> Result<(), Rejection> {
    check_text(name, &value, limits)?;
    match name {
        "specversion" if value != "1.0" => {
            return Err(Rejection::attribute(
                name,
                format!("is {value:?}; 1.0 is the only version understood"),
            ));
        }
        "specversion" => {}
        "id" => parts.id = value,
        "source" => parts.source = value,
        "type" => parts.event_type = value,
        "subject" => parts.subject = Some(not_empty(name, value)?),
        "dataschema" => {
            url::Url::parse(&value).map_err(|_| Rejection::attribute(name, "is not an absolute URI"))?;
            parts.dataschema = Some(value);
        }
        "datacontenttype" => parts.datacontenttype = Some(not_empty(name, value)?),
        "time" => {
            DateTime::parse_from_rfc3339(&value).map_err(|_| {
                Rejection::attribute(name, format!("is {value:?}, which is not an RFC 3339 time"))
            })?;
            parts.time = Some(value);
        }
        "data" | "data_base64" => return Err(Rejection::attribute(name, "is no attribute")),
        extension => {
            check_name(extension)?;
            parts.extensions.insert(extension.to_owned(), value);
            if parts.extensions.len() > limits.extensions_max {
                let reason = format!("is one extension more than the {} allowed", limits.extensions_max);
                return Err(Rejection::attribute(name, reason));
            }
        }
    }
    Ok(())
}

/// The required attributes are there and not empty.
pub(super) fn check_required(parts: &EventParts) -> Result<(), Rejection> {
    for (name, value) in [("id", &parts.id), ("source", &parts.source), ("type", &parts.event_type)] {
        if value.is_empty() {
            return Err(Rejection::attribute(name, "is missing or empty"));
        }
    }
    Ok(())
}

fn not_empty(name: &str, value: String) -> Result<String, Rejection> {
    if value.is_empty() { Err(Rejection::attribute(name, "is empty")) } else { Ok(value) }
}

/// Lower-case letters and digits only.
fn check_name(name: &str) -> Result<(), Rejection> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(Rejection::attribute(name, "is no attribute name: lower-case letters and digits only"));
    }
    Ok(())
}

/// Whether a text that the sender did not mean as an attribute may become one.
pub(super) fn may_be(value: &str, limits: &Limits) -> bool {
    !value.is_empty() && check_text("", value, limits).is_ok()
}

fn check_text(name: &str, value: &str, limits: &Limits) -> Result<(), Rejection> {
    if value.len() > limits.attribute_bytes_max {
        let reason = format!("is longer than {} bytes", limits.attribute_bytes_max);
        return Err(Rejection::attribute(name, reason));
    }
    match value.chars().find(|character| is_forbidden(*character)) {
        Some(character) => {
            let reason = format!("holds U+{:04X}, which an attribute may not hold", u32::from(character));
            Err(Rejection::attribute(name, reason))
        }
        None => Ok(()),
    }
}

/// Control characters and the code points that Unicode assigns to nothing for ever.
fn is_forbidden(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}
