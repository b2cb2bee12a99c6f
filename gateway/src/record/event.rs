//! Events on disk: storing a request with its events, and reading an event back.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::chain::{append, digest};
use super::{Journal, RecordError};
use crate::clock;
use crate::model::event::{Event, EventParts, EventSummary};
use crate::receive::{Received, ReceivedEvent};

/// What became of a request: one entry an event, in the order of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The request's number, `None` when every event was stored before.
    pub request: Option<i64>,
    /// The events.
    pub events: Vec<Admitted>,
}

/// One event of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Its number in the journal.
    pub seq: i64,
    /// Whether the same event was stored before, and this request added nothing.
    pub known: bool,
}

/// An event that is on disk.
#[derive(Debug, Clone)]
pub struct RecordedEvent {
    seq: i64,
    received_us: i64,
    fingerprint: String,
    event: Event,
    summary: EventSummary,
}

impl RecordedEvent {
    /// Its number in the journal.
    #[must_use]
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// When it was received.
    #[must_use]
    pub fn received_us(&self) -> i64 {
        self.received_us
    }

    /// Repeats of one incident share it.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// What it is findable by.
    #[must_use]
    pub fn summary(&self) -> &EventSummary {
        &self.summary
    }
}

/// A stored request body, byte for byte.
#[derive(Debug, Clone)]
pub struct RawStored {
    /// The body.
    pub body: Bytes,
    /// Its `Content-Type`, if there was one.
    pub content_type: Option<String>,
}

/// Stores a request and its events: all of them, or, when one conflicts, none.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    received: Received,
) -> Result<Admission, RecordError> {
    let Received { request, events } = received;
    let mut known = Vec::with_capacity(events.len());
    for event in &events {
        known.push(find(connection, event).await?);
    }
    if !known.is_empty() && known.iter().all(Option::is_some) {
        let events = known.into_iter().flatten().map(|seq| Admitted { seq, known: true }).collect();
        return Ok(Admission { request: None, events });
    }
    let received_us = clock::now_us();
    let headers: Vec<(&str, String)> =
        request.headers.iter().map(|(name, value)| (name.as_str(), STANDARD.encode(value))).collect();
    let headers = serde_json::to_string(&headers).map_err(|error| RecordError::Damaged(error.to_string()))?;
    let request_id =
        sqlx::query("INSERT INTO requests (received_us, content_mode, headers, body) VALUES (?, ?, ?, ?)")
            .bind(received_us)
            .bind(request.content_mode.as_str())
            .bind(&headers)
            .bind(&request.body[..])
            .execute(&mut *connection)
            .await?
            .last_insert_rowid();
    let mut admitted = Vec::with_capacity(events.len());
    for event in &events {
        // Looked up again: a batch may hold the same event twice.
        let entry = match find(connection, event).await? {
            Some(seq) => Admitted { seq, known: true },
            None => {
                let seq = insert_one(connection, request_id, received_us, event).await?;
                let record = stored_digest(connection, seq).await?.ok_or(RecordError::Closed)?;
                append(connection, "event", seq, record).await?;
                Admitted { seq, known: false }
            }
        };
        admitted.push(entry);
    }
    Ok(Admission { request: Some(request_id), events: admitted })
}

async fn find(connection: &mut SqliteConnection, event: &ReceivedEvent) -> Result<Option<i64>, RecordError> {
    let (source, id) = (event.event().source(), event.event().id());
    let row = sqlx::query("SELECT seq, content_digest FROM events WHERE source = ? AND id = ?")
        .bind(source)
        .bind(id)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let seq = row.try_get(0)?;
    if row.try_get::<&[u8], _>(1)? == &event.content_digest()[..] {
        Ok(Some(seq))
    } else {
        Err(RecordError::Conflict { source_name: source.to_owned(), id: id.to_owned(), seq })
    }
}

async fn insert_one(
    connection: &mut SqliteConnection,
    request_id: i64,
    received_us: i64,
    received: &ReceivedEvent,
) -> Result<i64, RecordError> {
    let (event, summary) = (received.event(), received.summary());
    let extensions = serde_json::to_string(&event.extensions())
        .map_err(|error| RecordError::Damaged(error.to_string()))?;
    let inserted = sqlx::query(
        "INSERT INTO events (request_id, batch_index, received_us, id, source, type, subject, time, dataschema, \
         datacontenttype, extensions, data, content_digest, fingerprint, rule, priority, namespace, pod, output) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(request_id)
    .bind(i64::from(received.index()))
    .bind(received_us)
    .bind(event.id())
    .bind(event.source())
    .bind(event.event_type())
    .bind(event.subject())
    .bind(event.time())
    .bind(event.dataschema())
    .bind(event.datacontenttype())
    .bind(extensions)
    .bind(event.data().map(|data| &data[..]))
    .bind(&received.content_digest()[..])
    .bind(received.fingerprint())
    .bind(&summary.rule)
    .bind(&summary.priority)
    .bind(&summary.namespace)
    .bind(&summary.pod)
    .bind(&summary.output)
    .execute(connection)
    .await?;
    Ok(inserted.last_insert_rowid())
}

/// The digest of an event's record, from what is stored: the event and the request it came in.
pub(super) async fn stored_digest(
    connection: &mut SqliteConnection,
    seq: i64,
) -> Result<Option<[u8; 32]>, RecordError> {
    let row = sqlx::query(
        "SELECT e.*, r.headers, r.body FROM events e JOIN requests r ON r.id = e.request_id WHERE e.seq = ?",
    )
    .bind(seq)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let number = |name: &str| row.try_get::<i64, _>(name).map(i64::to_be_bytes);
    let text =
        |name: &str| row.try_get::<Option<&str>, _>(name).map(|text| text.unwrap_or_default().as_bytes());
    Ok(Some(digest(&[
        &number("seq")?,
        &number("batch_index")?,
        &number("received_us")?,
        text("id")?,
        text("source")?,
        text("type")?,
        text("subject")?,
        text("time")?,
        text("dataschema")?,
        text("datacontenttype")?,
        text("extensions")?,
        row.try_get::<Option<&[u8]>, _>("data")?.unwrap_or_default(),
        row.try_get("content_digest")?,
        text("fingerprint")?,
        text("rule")?,
        text("priority")?,
        text("namespace")?,
        text("pod")?,
        text("output")?,
        text("headers")?,
        row.try_get("body")?,
    ])))
}

pub(super) fn read(row: &SqliteRow) -> Result<RecordedEvent, RecordError> {
    let extensions: BTreeMap<String, String> = serde_json::from_str(row.try_get("extensions")?)
        .map_err(|error| RecordError::Damaged(error.to_string()))?;
    let event = Event::new(EventParts {
        id: row.try_get("id")?,
        source: row.try_get("source")?,
        event_type: row.try_get("type")?,
        subject: row.try_get("subject")?,
        time: row.try_get("time")?,
        dataschema: row.try_get("dataschema")?,
        datacontenttype: row.try_get("datacontenttype")?,
        extensions,
        data: row.try_get::<Option<Vec<u8>>, _>("data")?.map(Bytes::from),
    })
    .map_err(|error| RecordError::Damaged(error.to_string()))?;
    let summary = EventSummary {
        rule: row.try_get("rule")?,
        priority: row.try_get("priority")?,
        namespace: row.try_get("namespace")?,
        pod: row.try_get("pod")?,
        output: row.try_get("output")?,
    };
    Ok(RecordedEvent {
        seq: row.try_get("seq")?,
        received_us: row.try_get("received_us")?,
        fingerprint: row.try_get("fingerprint")?,
        event,
        summary,
    })
}

impl Journal {
    /// Stores a request with its events; they are on disk when this returns.
    ///
    /// # Errors
    /// [`RecordError::Conflict`] when an event has the name of a stored one and other content,
    /// [`RecordError::Full`] when too many writes wait.
    pub async fn record(&self, received: Received) -> Result<Admission, RecordError> {
        self.try_write(|reply| super::writer::Write::Record(received, reply)).await
    }

    /// The event with that number.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn event(&self, seq: i64) -> Result<Option<RecordedEvent>, RecordError> {
        let row =
            sqlx::query("SELECT * FROM events WHERE seq = ?").bind(seq).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }

    /// The body of the request that brought the event, byte for byte.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn raw(&self, seq: i64) -> Result<Option<RawStored>, RecordError> {
        let row = sqlx::query(
            "SELECT r.headers, r.body FROM events e JOIN requests r ON r.id = e.request_id WHERE e.seq = ?",
        )
        .bind(seq)
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let headers = stored_headers(row.try_get("headers")?)?;
        let content_type =
            headers.into_iter().find(|(name, _)| name == "content-type").map(|(_, value)| value);
        Ok(Some(RawStored { body: Bytes::from(row.try_get::<Vec<u8>, _>("body")?), content_type }))
    }
}

/// Stored headers as text; bytes that are no UTF-8 are replaced, the journal keeps them as they are.
pub(super) fn stored_headers(json: &str) -> Result<Vec<(String, String)>, RecordError> {
    let damaged = |error: &dyn std::fmt::Display| RecordError::Damaged(error.to_string());
    let headers: Vec<(String, String)> = serde_json::from_str(json).map_err(|error| damaged(&error))?;
    headers
        .into_iter()
        .map(|(name, value)| {
            let value = STANDARD.decode(value).map_err(|error| damaged(&error))?;
            Ok((name, String::from_utf8_lossy(&value).into_owned()))
        })
        .collect()
}
