//! A CloudEvent as a plugin sees it, and what can be made of one.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Stop;

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
///
/// Data of any source is read into a type of the plugin's own, or looked into by JSON pointers:
///
/// ```
/// use riposte_sdk::prelude::*;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Notification {
///     alerts: Vec<Alert>,
/// }
///
/// #[derive(Deserialize)]
/// struct Alert {
///     labels: std::collections::BTreeMap<String, String>,
/// }
///
/// fn typed(event: &Event) -> Result<usize, Stop> {
///     let notification: Notification = event.json()?;
///     Ok(notification.alerts.iter().filter(|alert| alert.labels.contains_key("pod")).count())
/// }
///
/// fn by_pointer(event: &Event) -> Result<usize, Stop> {
///     let data = event.data_json()?;
///     Ok(data.list_at("/alerts")?.iter().filter(|alert| alert.text_at("/labels/pod").is_ok()).count())
/// }
///
/// let data = r#"{"alerts": [{"labels": {"pod": "web-0"}}, {"labels": {}}]}"#;
/// let event = Event { data: Payload::Json(data.to_owned()), ..Event::default() };
/// assert_eq!((typed(&event), by_pointer(&event)), (Ok(1), Ok(1)));
/// ```
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
    /// CloudEvents `dataschema`.
    pub dataschema: Option<String>,
    /// CloudEvents `datacontenttype`.
    pub datacontenttype: Option<String>,
    /// Extension attributes.
    pub extensions: BTreeMap<String, String>,
    /// The data.
    pub data: Payload,
}

impl Event {
    /// Reads JSON data into a type.
    ///
    /// # Errors
    /// [`Stop::InvalidEvent`] when the data is not JSON, or does not fit into the type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Stop> {
        let Payload::Json(text) = &self.data else {
            return Err(Stop::InvalidEvent("the data is not JSON".to_owned()));
        };
        serde_json::from_str(text)
            .map_err(|error| Stop::InvalidEvent(format!("the data is no {}: {error}", self.event_type)))
    }

    /// Reads JSON data of any shape, for [`At`](crate::At).
    ///
    /// # Errors
    /// [`Stop::InvalidEvent`] when the data is not JSON.
    pub fn data_json(&self) -> Result<Value, Stop> {
        self.json()
    }
}

/// What a plugin can take as its event.
///
/// ```
/// use riposte_sdk::prelude::*;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Scan {
///     image: String,
/// }
///
/// impl FromEvent for Scan {
///     fn from_event(event: Event) -> Result<Self, Stop> {
///         event.json()
///     }
/// }
///
/// /// Looks at what a scanner found
/// #[plugin(on = "com.example.scan.v1")]
/// fn scanned(scan: Scan) -> Answer {
///     ignore!("{} is fine", scan.image)
/// }
/// ```
///
/// Anything else is shown at the argument's type:
///
/// ```compile_fail,E0277
/// # use riposte_sdk::prelude::*;
/// /// Looks at a text
/// #[plugin(on = "com.example.text.v1")]
/// fn text(text: String) -> Answer {
///     ignore!("{text} is fine")
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event that a plugin can take",
    label = "a plugin takes `Falco`, `Event`, or a type that implements `FromEvent`"
)]
pub trait FromEvent: Sized {
    /// Reads the event.
    ///
    /// # Errors
    /// Why it is no such event.
    fn from_event(event: Event) -> Result<Self, Stop>;
}

impl FromEvent for Event {
    fn from_event(event: Event) -> Result<Self, Stop> {
        Ok(event)
    }
}
