//! Falco's payload: what the journal makes an event findable by, and events without an envelope.
//!
//! Rule and pod are read from the data, never from headers: senders alter those on the way.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::DateTime;
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Limits, Rejection, attribute, digest_of, hex};
use crate::model::event::{EventParts, EventSummary};

const EVENT_TYPE: &str = "falco.rule.output.v1";
const SOURCE: &str = "https://falco.org";
const PRIORITIES: [&str; 8] =
    ["Debug", "Informational", "Notice", "Warning", "Error", "Critical", "Alert", "Emergency"];

/// What Falco says of an alert. Any part may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Payload {
    uuid: Option<String>,
    output: Option<String>,
    priority: Option<String>,
    rule: Option<String>,
    time: Option<String>,
    source: Option<String>,
    hostname: Option<String>,
    output_fields: Option<Map<String, Value>>,
}

/// The payload in an event's data, if it is one.
pub(super) fn read(data: Option<&[u8]>) -> Option<Payload> {
    serde_json::from_slice(data?).ok()
}

impl Payload {
    /// A field that has a value: neither absent nor `null`, empty or `<NA>`.
    fn field(&self, names: &[&str]) -> Option<String> {
        let fields = self.output_fields.as_ref()?;
        let values = names.iter().filter_map(|name| fields.get(*name)?.as_str());
        values.filter(|value| !value.is_empty() && *value != "<NA>").map(str::to_owned).next()
    }

    pub(super) fn summary(&self) -> EventSummary {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        EventSummary {
            rule: given(&self.rule),
            priority: given(&self.priority).map(|priority| title_case(&priority)),
            namespace: self.field(&["k8smeta.ns.name", "k8s.ns.name", "ka.target.namespace"]),
            pod: self.field(&["k8smeta.pod.name", "k8s.pod.name"]).or_else(|| self.audited_pod()),
            output: given(&self.output),
        }
    }

    /// In Kubernetes audit events the target is a pod only if its resource says so.
    fn audited_pod(&self) -> Option<String> {
        let pods = self.field(&["ka.target.resource"]).is_some_and(|resource| resource == "pods");
        if pods { self.field(&["ka.target.name"]) } else { None }
    }

    /// The digest of what repeats of one incident share: what fired and where, never when nor by which
    /// process. `None` for an alert that names neither pod nor container: what else would make two
    /// alerts one incident, nobody can tell.
    pub(super) fn incident(&self, parts: &EventParts) -> Option<[u8; 32]> {
        let summary = self.summary();
        let container = self.field(&["container.id"]).filter(|id| id != "host");
        if summary.pod.is_none() && container.is_none() {
            return None;
        }
        let fields = [
            ("type", Some(&parts.event_type)),
            ("source", Some(&parts.source)),
            ("subject", parts.subject.as_ref()),
            ("rule", summary.rule.as_ref()),
            ("priority", summary.priority.as_ref()),
            ("eventsource", self.source.as_ref()),
            ("hostname", self.hostname.as_ref()),
            ("namespace", summary.namespace.as_ref()),
            ("pod", summary.pod.as_ref()),
            ("container", container.as_ref()),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name, value?.as_bytes())));
        Some(digest_of(given))
    }
}

fn title_case(priority: &str) -> String {
    let known = PRIORITIES.iter().find(|known| known.eq_ignore_ascii_case(priority));
    known.map_or_else(|| priority.to_owned(), |known| (*known).to_owned())
}

/// A request without an envelope: a Falco object becomes an event with a stable id. What cannot be an
/// attribute (too long, or with control characters) stays in the data alone: no alert is lost to it.
pub(super) fn event(
    headers: &HeaderMap,
    essence: &str,
    body: &Bytes,
    limits: &Limits,
) -> Result<EventParts, Rejection> {
    let from_falco = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .is_some_and(|agent| agent.starts_with("falcosecurity/falco"));
    if essence == "text/plain" && from_falco {
        return Err(Rejection::UnknownFormat {
            media_type: "text/plain from Falco".to_owned(),
            hint: "set `json_output: true` in falco.yaml".to_owned(),
        });
    }
    if essence != "application/json" {
        let media_type = if essence.is_empty() { "a request without Content-Type" } else { essence };
        return Err(Rejection::UnknownFormat {
            media_type: media_type.to_owned(),
            hint: "send a CloudEvent (ce- headers, or application/cloudevents+json), or a Falco alert as \
                   application/json"
                .to_owned(),
        });
    }
    let payload: Payload = serde_json::from_slice(body)
        .map_err(|error| Rejection::body(format!("is no Falco alert: {error}")))?;
    let Some(rule) = payload.rule.clone().filter(|rule| !rule.is_empty()) else {
        return Err(Rejection::attribute(
            "rule",
            "is missing: a request without an envelope must be a Falco alert",
        ));
    };
    let id = match payload.uuid.clone().filter(|uuid| attribute::may_be(uuid, limits)) {
        Some(uuid) => uuid,
        None => hex(&Sha256::digest(body)),
    };
    let time = payload.time.clone().filter(|time| DateTime::parse_from_rfc3339(time).is_ok());
    let named = [
        ("rule", Some(rule)),
        ("priority", payload.priority.clone()),
        ("eventsource", payload.source.clone()),
        ("hostname", payload.hostname.clone()),
    ];
    let extensions: BTreeMap<String, String> = named
        .into_iter()
        .filter_map(|(name, value)| {
            value.filter(|value| attribute::may_be(value, limits)).map(|value| (name.to_owned(), value))
        })
        .collect();
    Ok(EventParts {
        id,
        source: SOURCE.to_owned(),
        event_type: EVENT_TYPE.to_owned(),
        time,
        datacontenttype: Some("application/json".to_owned()),
        extensions,
        data: Some(body.clone()),
        ..EventParts::default()
    })
}
