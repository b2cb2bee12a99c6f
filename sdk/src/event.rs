//! A CloudEvent as a plugin sees it.

use std::collections::BTreeMap;

/// The event's data by its media type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Payload {
    /// There is no data.
    #[default]
    None,
    /// JSON text, exactly as sent.
    Json(String),
    /// Text of another media type.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// A CloudEvent. There is no clock beside it: a plugin's "now" is [`Event::time`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `type`.
    pub event_type: String,
    /// CloudEvents `subject`.
    pub subject: Option<String>,
    /// CloudEvents `time`, RFC 3339, as sent.
    pub time: Option<String>,
    /// Extension attributes.
    pub extensions: BTreeMap<String, String>,
    /// The data.
    pub data: Payload,
}
