//! A plugin as plain Rust: an event, a desired state of a few objects, a decision.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{DesiredState, Event, ObjectRef, OwnerError, Payload};

/// An event of that type with JSON data.
#[must_use]
pub fn event(event_type: &str, data: &str) -> Event {
    Event {
        id: "1".to_owned(),
        source: "test".to_owned(),
        event_type: event_type.to_owned(),
        data: Payload::Json(data.to_owned()),
        ..Event::default()
    }
}

/// A desired state that holds what a test puts in.
#[derive(Debug, Clone, Default)]
pub struct State {
    objects: BTreeMap<ObjectRef, Value>,
    owners: BTreeMap<(String, String), Result<ObjectRef, OwnerError>>,
}

impl State {
    /// Adds an object with a manifest of its identity.
    #[must_use]
    pub fn with(mut self, target: &ObjectRef) -> Self {
        let manifest = json!({
            "apiVersion": target.api_version, "kind": target.kind,
            "metadata": { "name": target.name, "namespace": target.namespace },
        });
        self.objects.insert(target.clone(), manifest);
        self
    }

    /// Says who owns a pod.
    #[must_use]
    pub fn with_owner(mut self, namespace: &str, pod: &str, owner: Result<ObjectRef, OwnerError>) -> Self {
        self.owners.insert((namespace.to_owned(), pod.to_owned()), owner);
        self
    }
}

impl DesiredState for State {
    fn get(&self, target: &ObjectRef) -> Option<Value> {
        self.objects.get(target).cloned()
    }

    fn find(&self, kind: &str, namespace: Option<&str>) -> Vec<ObjectRef> {
        let fits = |target: &&ObjectRef| {
            target.kind == kind
                && namespace.is_none_or(|namespace| target.namespace.as_deref() == Some(namespace))
        };
        self.objects.keys().filter(fits).cloned().collect()
    }

    fn owner(&self, namespace: &str, pod: &str) -> Result<ObjectRef, OwnerError> {
        let known = self.owners.get(&(namespace.to_owned(), pod.to_owned()));
        known.cloned().unwrap_or(Err(OwnerError::Unknown))
    }
}
