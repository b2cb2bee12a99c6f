//! From an HTTP request to events: credentials, content modes, every rule of CloudEvents 1.0.
//!
//! Pure: headers and a body in, events or a rejection out. The decoder is our own because libraries
//! accept what the specification forbids and lose what it keeps. Nothing here stores or answers.

mod attribute;
mod auth;
mod binary;
mod falco;
mod rejection;
mod structured;

use bytes::Bytes;
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

pub use auth::Tokens;
pub use rejection::Rejection;

use crate::model::event::{ContentMode, Event, EventParts, EventSummary, RawRequest};

/// The limits of receiving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub body_bytes_max: usize,
    /// The longest attribute value, in bytes.
    pub attribute_bytes_max: usize,
    /// The most extension attributes of an event.
    pub extensions_max: usize,
    /// The most events of a batch.
    pub batch_events_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            attribute_bytes_max: 8_192,
            extensions_max: 64,
            batch_events_max: 1_000,
        }
    }
}

/// A decoded request: all of its events, or there would be none.
#[derive(Debug, Clone)]
pub struct Received {
    /// The request as it came, less the credentials.
    pub(crate) request: RawRequest,
    /// Its events, in their order.
    pub(crate) events: Vec<ReceivedEvent>,
}

impl Received {
    /// The request as it came, less the credentials.
    #[must_use]
    pub fn request(&self) -> &RawRequest {
        &self.request
    }

    /// Its events, in their order.
    #[must_use]
    pub fn events(&self) -> &[ReceivedEvent] {
        &self.events
    }
}

/// An event that keeps the rules of CloudEvents and is not stored yet.
#[derive(Debug, Clone)]
pub struct ReceivedEvent {
    event: Event,
    summary: EventSummary,
    content_digest: [u8; 32],
    fingerprint: String,
    index: u32,
}

impl ReceivedEvent {
    fn new(parts: EventParts, index: usize) -> Result<Self, Rejection> {
        let content_digest = content_digest(&parts);
        let payload = parts.event_type.starts_with("falco.").then(|| falco::read(parts.data.as_deref()));
        let payload = payload.flatten();
        let incident = payload.as_ref().and_then(|payload| payload.incident(&parts));
        let fingerprint = hex(&incident.unwrap_or_else(|| content_but_for(&["id", "time"], &parts)));
        let summary = payload.map(|payload| payload.summary()).unwrap_or_default();
        let event = Event::new(parts).map_err(|_| Rejection::attribute("time", "is not an RFC 3339 time"))?;
        Ok(Self {
            event,
            summary,
            content_digest,
            fingerprint,
            index: u32::try_from(index).unwrap_or(u32::MAX),
        })
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// What the journal makes it findable by.
    #[must_use]
    pub fn summary(&self) -> &EventSummary {
        &self.summary
    }

    /// SHA-256 over attributes, media type and data: equal for "the same content".
    #[must_use]
    pub fn content_digest(&self) -> &[u8; 32] {
        &self.content_digest
    }

    /// Hexadecimal SHA-256 that repeats of one incident share. An alert of Falco about a pod or a
    /// container has that of its type, source, subject, rule, priority, event source, host, namespace,
    /// pod and container; any other event that of all its content but id and time.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The place in the batch, from 0.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }
}

/// Reads the events of a request.
///
/// # Errors
/// The first rule that the request breaks; of a batch no event is kept then.
pub fn decode(headers: &HeaderMap, body: Bytes, limits: &Limits) -> Result<Received, Rejection> {
    if body.len() > limits.body_bytes_max {
        return Err(Rejection::BodyTooLarge { body_bytes_max: limits.body_bytes_max });
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Rejection::UnknownFormat {
            media_type: "a Content-Encoding".to_owned(),
            hint: "send the body without compression".to_owned(),
        });
    }
    let media_type = media_type(headers)?;
    let essence = essence(media_type.as_deref().unwrap_or_default());
    let (content_mode, parts) = match essence.as_str() {
        "application/cloudevents+json" => (ContentMode::Structured, vec![structured::event(&body, limits)?]),
        "application/cloudevents-batch+json" => (ContentMode::Batched, structured::batch(&body, limits)?),
        format if format.starts_with("application/cloudevents") => {
            return Err(Rejection::UnknownFormat {
                media_type: format.to_owned(),
                hint: "JSON is the only event format understood: application/cloudevents+json".to_owned(),
            });
        }
        _ if headers.contains_key("ce-specversion") => {
            (ContentMode::Binary, vec![binary::event(headers, media_type, body.clone(), limits)?])
        }
        _ => (ContentMode::Falco, vec![falco::event(headers, &essence, &body, limits)?]),
    };
    let events = parts.into_iter().enumerate().map(|(index, parts)| ReceivedEvent::new(parts, index));
    let events = events.collect::<Result<_, _>>()?;
    Ok(Received { request: RawRequest { content_mode, headers: without_credentials(headers), body }, events })
}

fn media_type(headers: &HeaderMap) -> Result<Option<String>, Rejection> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Rejection::attribute("datacontenttype", "Content-Type is given twice"));
    }
    first
        .map(|value| {
            let text = value.to_str();
            text.map(str::to_owned)
                .map_err(|_| Rejection::attribute("datacontenttype", "Content-Type is not ASCII"))
        })
        .transpose()
}

fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn without_credentials(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "ce-token"];
    let kept = headers.iter().filter(|(name, _)| !CREDENTIALS.contains(&name.as_str()));
    kept.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// "The same content" is attributes, media type and data; how a request spelt them does not count.
fn content_digest(parts: &EventParts) -> [u8; 32] {
    content_but_for(&[], parts)
}

/// The same, without some attributes.
fn content_but_for(left_out: &[&str], parts: &EventParts) -> [u8; 32] {
    let media_type = parts.datacontenttype.as_deref().map(normal_media_type);
    let attributes = [
        ("id", Some(parts.id.as_str())),
        ("source", Some(parts.source.as_str())),
        ("type", Some(parts.event_type.as_str())),
        ("subject", parts.subject.as_deref()),
        ("time", parts.time.as_deref()),
        ("dataschema", parts.dataschema.as_deref()),
        ("datacontenttype", media_type.as_deref()),
    ];
    let attributes = attributes.into_iter().filter(|(name, _)| !left_out.contains(name));
    let attributes = attributes.filter_map(|(name, value)| Some((name, value?.as_bytes())));
    let extensions = parts.extensions.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let data = parts.data.iter().map(|data| ("data", &data[..]));
    digest_of(attributes.chain(extensions).chain(data))
}

/// SHA-256 over names and values with their lengths, so that none can pass for another.
fn digest_of<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in fields.flat_map(|(name, value)| [name.as_bytes(), value]) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn normal_media_type(media_type: &str) -> String {
    media_type.split(';').map(|part| part.trim().to_ascii_lowercase()).collect::<Vec<_>>().join(";")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
