//! What a plugin says of itself, within limits: it is shown to people, kept in memory, and held
//! against every event.

use super::bindings::riposte::plugin::types::Description;
use super::failure::Failure;
use crate::model::text::is_unprintable;

/// The longest name and version, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// The longest summary, in bytes.
const SUMMARY_BYTES_MAX: usize = 1_024;
/// Event types that a plugin names, and the longest of them in bytes.
const EVENT_TYPES_MAX: usize = 64;
const EVENT_TYPE_BYTES_MAX: usize = 1_024;

/// The description, if it can be shown as it is.
///
/// # Errors
/// `bad-output` with what is wrong.
pub(super) fn checked(said: Description) -> Result<Description, Failure> {
    let bad = |reason: String| Err(Failure::BadOutput(reason));
    if said.event_types.len() > EVENT_TYPES_MAX {
        let count = said.event_types.len();
        return bad(format!("it names {count} event types, and {EVENT_TYPES_MAX} is the most"));
    }
    let texts = [
        ("name", &said.name, NAME_BYTES_MAX),
        ("version", &said.version, NAME_BYTES_MAX),
        ("summary", &said.summary, SUMMARY_BYTES_MAX),
    ];
    let types = said.event_types.iter().map(|name| ("event type", name, EVENT_TYPE_BYTES_MAX));
    for (what, text, bytes_max) in texts.into_iter().chain(types) {
        if text.len() > bytes_max {
            return bad(format!("its {what} is longer than {bytes_max} bytes"));
        }
        if text.chars().any(is_unprintable) {
            return bad(format!("its {what} has characters that are not printed"));
        }
    }
    Ok(said)
}
