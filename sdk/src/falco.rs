//! A Falco alert, typed.
//!
//! Falco leaves a field out, or writes `null`, an empty text or `<NA>`, when it does not know. All of
//! these are [`Missing`] here, and each accessor says which field it looked for.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::pointer::{self, is_empty};
use crate::{Event, FromEvent, Missing, Priority, Stop};

/// What Falco names a process that is in no container.
const HOST: &str = "host";

/// A Falco alert.
///
/// An accessor that fails says which field it looked for: `?` makes that the reason of an ignore,
/// [`Result::ok`] an `Option`.
///
/// ```
/// use riposte_sdk::prelude::*;
/// use riposte_sdk::testing;
///
/// # fn main() -> Result<(), Stop> {
/// let alert = Falco::from_event(testing::falco(
///     r#"{
///         "rule": "Terminal shell in container", "priority": "Notice", "tags": ["shell"],
///         "output_fields": {
///             "k8s.ns.name": "default", "k8s.pod.name": "web-77789455d6-m7flp", "k8smeta.rs.name": null,
///             "container.image.repository": "alpine", "container.image.tag": "3.20",
///             "evt.time.iso8601": 1791357661871149301, "fd.rport": "443"
///         }
///     }"#,
/// ))?;
/// assert_eq!((alert.rule()?, alert.namespace()?), ("Terminal shell in container", "default"));
/// assert_eq!(alert.image()?, "alpine:3.20");
/// assert_eq!(alert.integer::<u64>("evt.time.iso8601")?, 1_791_357_661_871_149_301);
/// assert_eq!(alert.integer::<u16>("fd.rport")?, 443);
/// assert!(alert.priority()? < Priority::Error && alert.has_tag("shell"));
/// let missing = alert.deployment().unwrap_err().to_string();
/// assert!(missing.contains("output field k8smeta.deployment.name is missing"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Falco {
    event: Event,
    alert: Alert,
}

/// The alert as Falco writes it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Alert {
    rule: Option<String>,
    priority: Option<String>,
    output: Option<String>,
    time: Option<String>,
    source: Option<String>,
    hostname: Option<String>,
    tags: Option<Vec<String>>,
    output_fields: Option<Map<String, Value>>,
}

impl FromEvent for Falco {
    fn from_event(event: Event) -> Result<Self, Stop> {
        // By way of a map: a list is no alert, and serde would take one for a struct.
        let alert: Map<String, Value> = event.json()?;
        let alert = Alert::deserialize(alert)
            .map_err(|error| Stop::InvalidEvent(format!("the data is no Falco alert: {error}")))?;
        Ok(Self { event, alert })
    }
}

impl Falco {
    /// The CloudEvent that carried it.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The rule that fired.
    pub fn rule(&self) -> Result<&str, Missing> {
        named("rule", self.alert.rule.as_deref())
    }

    /// How urgent it is.
    pub fn priority(&self) -> Result<Priority, Missing> {
        let text = named("priority", self.alert.priority.as_deref())?;
        Priority::parse(text).ok_or_else(|| Missing::new(format!("the alert's priority {text:?} is none")))
    }

    /// Falco's message.
    pub fn output(&self) -> Result<&str, Missing> {
        named("output", self.alert.output.as_deref())
    }

    /// When it happened: RFC 3339 with nanoseconds.
    pub fn time(&self) -> Result<&str, Missing> {
        named("time", self.alert.time.as_deref())
    }

    /// Falco's event source, for example `syscall`.
    pub fn source(&self) -> Result<&str, Missing> {
        named("source", self.alert.source.as_deref())
    }

    /// The node.
    pub fn hostname(&self) -> Result<&str, Missing> {
        named("hostname", self.alert.hostname.as_deref())
    }

    /// The rule's tags.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        self.alert.tags.as_deref().unwrap_or_default()
    }

    /// Whether the rule has a tag.
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags().iter().any(|own| own == tag)
    }

    /// The pod's namespace.
    pub fn namespace(&self) -> Result<&str, Missing> {
        self.first("namespace", "k8s.ns.name", &["k8smeta.ns.name", "k8s.ns.name", "ka.target.namespace"])
    }

    /// The pod. An audited object counts only if it is one.
    pub fn pod(&self) -> Result<&str, Missing> {
        let audited = self.known("ka.target.resource") == Some("pods");
        let names = ["k8smeta.pod.name", "k8s.pod.name", "ka.target.name"];
        self.first("pod", "k8s.pod.name", if audited { &names } else { &names[..2] })
    }

    /// The Deployment that Falco's k8smeta plugin names, which needs no guess from the pod's name.
    ///
    /// k8smeta knows no StatefulSet and no DaemonSet; `Context::owner` finds these by the pod's name.
    pub fn deployment(&self) -> Result<&str, Missing> {
        self.only("Deployment", "k8smeta.deployment.name")
    }

    /// The ReplicaSet that Falco's k8smeta plugin names.
    pub fn replica_set(&self) -> Result<&str, Missing> {
        self.only("ReplicaSet", "k8smeta.rs.name")
    }

    /// The ReplicationController that Falco's k8smeta plugin names.
    pub fn replication_controller(&self) -> Result<&str, Missing> {
        self.only("ReplicationController", "k8smeta.rc.name")
    }

    /// The container's id, shortened by Falco. A process of the host is in none.
    pub fn container_id(&self) -> Result<&str, Missing> {
        self.contained("container.id")
    }

    /// The container's name. A process of the host is in none.
    pub fn container_name(&self) -> Result<&str, Missing> {
        self.contained("container.name")
    }

    /// The container's image: as Falco has it in `container.image`, or else repository and tag.
    pub fn image(&self) -> Result<String, Missing> {
        if let Some(image) = self.known("container.image") {
            return Ok(image.to_owned());
        }
        let repository = self.only("image", "container.image.repository")?;
        let tag = self.known("container.image.tag");
        Ok(tag.map_or_else(|| repository.to_owned(), |tag| format!("{repository}:{tag}")))
    }

    /// An output field, whatever its type.
    pub fn field(&self, name: &str) -> Result<&Value, Missing> {
        let found = self.alert.output_fields.as_ref().and_then(|fields| fields.get(name));
        let known = found.filter(|value| !is_empty(value) && value.as_str() != Some("<NA>"));
        known.ok_or_else(|| Missing::new(format!("output field {name} is missing or <NA>")))
    }

    /// An output field that is a text.
    pub fn text(&self, name: &str) -> Result<&str, Missing> {
        let text = self.field(name)?.as_str();
        text.ok_or_else(|| Missing::new(format!("output field {name} is no text")))
    }

    /// An output field that is an integer, exactly; Falco writes some as text.
    pub fn integer<T: TryFrom<i128>>(&self, name: &str) -> Result<T, Missing> {
        let integer = pointer::integer(self.field(name)?);
        integer.ok_or_else(|| Missing::new(format!("output field {name} is no integer that fits")))
    }

    fn known(&self, name: &str) -> Option<&str> {
        self.text(name).ok()
    }

    /// The first of some fields that is there; the reason names the one to add to the rule's output.
    fn first(&self, what: &str, usual: &str, names: &[&str]) -> Result<&str, Missing> {
        names.iter().find_map(|name| self.known(name)).ok_or_else(|| {
            Missing::new(format!("the alert names no {what}: output field {usual} is missing or <NA>"))
        })
    }

    fn only(&self, what: &str, name: &str) -> Result<&str, Missing> {
        self.first(what, name, &[name])
    }

    fn contained(&self, name: &str) -> Result<&str, Missing> {
        match self.only("container", name)? {
            HOST => Err(Missing::new(format!("the alert names no container: output field {name} is {HOST}"))),
            container => Ok(container),
        }
    }
}

/// A field beside the output fields.
fn named<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str, Missing> {
    let known = value.filter(|text| !text.is_empty() && *text != "<NA>");
    known.ok_or_else(|| Missing::new(format!("the alert has no {name}: it is missing or empty")))
}
