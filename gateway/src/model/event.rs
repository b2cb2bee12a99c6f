//! An event in hand: the CloudEvents SDK's `Event`, plus what that type would lose.
//!
//! Two things are kept beside the SDK's type: `time` as the sender wrote it (the SDK turns it to
//! UTC), and data as raw bytes (the SDK would pass large integers through a float). Nothing here
//! reads the wire: that is `receive`.

use std::collections::BTreeMap;

use bytes::Bytes;
use cloudevents::event::{AttributesReader, Data, ExtensionValue};
use cloudevents::{EventBuilder, EventBuilderV10};

/// Everything an event is made of, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventParts {
    /// CloudEvents `id`, not empty.
    pub id: String,
    /// CloudEvents `source`, not empty.
    pub source: String,
    /// CloudEvents `type`, not empty.
    pub event_type: String,
    /// CloudEvents `subject`.
    pub subject: Option<String>,
    /// CloudEvents `time`, RFC 3339, exactly as sent.
    pub time: Option<String>,
    /// CloudEvents `dataschema`.
    pub dataschema: Option<String>,
    /// CloudEvents `datacontenttype`, as sent.
    pub datacontenttype: Option<String>,
    /// Extension attributes in their string form, by name.
    pub extensions: BTreeMap<String, String>,
    /// The event's data, byte for byte.
    pub data: Option<Bytes>,
}

/// An event whose attributes have been checked by `receive`, or read back from the journal.
#[derive(Debug, Clone)]
pub struct Event {
    envelope: cloudevents::Event,
    time: Option<String>,
    data: Option<Bytes>,
}

/// The parts could not be put into a CloudEvents envelope.
#[derive(Debug, thiserror::Error)]
#[error("cannot build a CloudEvent from these attributes")]
pub struct EnvelopeError(#[from] cloudevents::event::EventBuilderError);

impl Event {
    /// Builds the envelope.
    ///
    /// # Errors
    /// When an attribute is missing or `time` is not RFC 3339.
    pub fn new(parts: EventParts) -> Result<Self, EnvelopeError> {
        let mut builder = EventBuilderV10::new().id(parts.id).source(parts.source).ty(parts.event_type);
        if let Some(subject) = parts.subject {
            builder = builder.subject(subject);
        }
        if let Some(time) = &parts.time {
            builder = builder.time(time.as_str());
        }
        for (name, value) in parts.extensions {
            builder = builder.extension(&name, value);
        }
        let mut envelope = builder.build()?;
        let schema = parts.dataschema.and_then(|schema| url::Url::parse(&schema).ok());
        let data = parts.data.as_ref().map(|data| Data::Binary(data.to_vec()));
        match (data, parts.datacontenttype) {
            (Some(data), Some(media_type)) => {
                envelope.set_data_unchecked(data);
                cloudevents::AttributesWriter::set_datacontenttype(&mut envelope, Some(media_type));
            }
            (Some(data), None) => {
                envelope.set_data_unchecked(data);
            }
            (None, media_type) => {
                cloudevents::AttributesWriter::set_datacontenttype(&mut envelope, media_type);
            }
        }
        cloudevents::AttributesWriter::set_dataschema(&mut envelope, schema);
        Ok(Self { envelope, time: parts.time, data: parts.data })
    }

    /// The CloudEvents SDK's view, for whoever emits the event again.
    #[must_use]
    pub fn envelope(&self) -> &cloudevents::Event {
        &self.envelope
    }

    /// CloudEvents `id`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.envelope.id()
    }

    /// CloudEvents `source`.
    #[must_use]
    pub fn source(&self) -> &str {
        self.envelope.source()
    }

    /// CloudEvents `type`.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.envelope.ty()
    }

    /// CloudEvents `subject`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.envelope.subject()
    }

    /// CloudEvents `time`, as the sender wrote it.
    #[must_use]
    pub fn time(&self) -> Option<&str> {
        self.time.as_deref()
    }

    /// CloudEvents `dataschema`.
    #[must_use]
    pub fn dataschema(&self) -> Option<&str> {
        self.envelope.dataschema().map(url::Url::as_str)
    }

    /// CloudEvents `datacontenttype`, as sent.
    #[must_use]
    pub fn datacontenttype(&self) -> Option<&str> {
        self.envelope.datacontenttype()
    }

    /// Extension attributes in their string form, in the order of their names.
    #[must_use]
    pub fn extensions(&self) -> BTreeMap<String, String> {
        self.envelope
            .iter_extensions()
            .map(|(name, value)| {
                let value = match value {
                    ExtensionValue::String(text) => text.clone(),
                    ExtensionValue::Boolean(flag) => flag.to_string(),
                    ExtensionValue::Integer(number) => number.to_string(),
                };
                (name.to_owned(), value)
            })
            .collect()
    }

    /// The event's data, byte for byte.
    #[must_use]
    pub fn data(&self) -> Option<&Bytes> {
        self.data.as_ref()
    }

    /// Whether the data is JSON by its media type; data without a media type counts as JSON, as
    /// the CloudEvents JSON format says.
    #[must_use]
    pub fn data_is_json(&self) -> bool {
        self.data.is_some() && self.datacontenttype().is_none_or(media_type_is_json)
    }
}

/// Whether a media type (parameters allowed, case ignored) is `application/json` or `*/*+json`.
#[must_use]
pub fn media_type_is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

/// What the journal makes an event findable by, taken from a Falco payload where there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventSummary {
    /// Falco's rule.
    pub rule: Option<String>,
    /// Falco's priority, in title case.
    pub priority: Option<String>,
    /// The namespace of the pod, never `<NA>`.
    pub namespace: Option<String>,
    /// The pod's name, never `<NA>`.
    pub pod: Option<String>,
    /// Falco's formatted message.
    pub output: Option<String>,
}

/// The CloudEvents HTTP content mode a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentMode {
    /// Attributes in `ce-` headers, the body is the data.
    Binary,
    /// One event as JSON in the body.
    Structured,
    /// A JSON array of events in the body.
    Batched,
    /// No envelope: a Falco object from Falcosidekick's webhook or Falco's `http_output`.
    Falco,
}

impl ContentMode {
    /// The word the journal and the API use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Structured => "structured",
            Self::Batched => "batched",
            Self::Falco => "falco",
        }
    }
}

/// A request as it came, less the credentials.
#[derive(Debug, Clone)]
pub struct RawRequest {
    /// How the events were enveloped.
    pub content_mode: ContentMode,
    /// Header names (lower case, as HTTP/2 spells them) and values, in the order they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, byte for byte.
    pub body: Bytes,
}
