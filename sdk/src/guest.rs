//! Between the contract's generated types and the sdk's, on wasm32 alone.

use serde_json::Value;

use crate::bindings::riposte::plugin::{desired_state, log, types};
use crate::log::Level;
use crate::{Change, Context, Event, ObjectRef, Patch, Payload, Plugin, Stop, run};

/// A panic on this target is silent: say why before the trap.
fn say_panics() {
    std::panic::set_hook(Box::new(|panic| {
        log::emit(log::Level::Error, &format!("panic: {panic}"));
    }));
}

/// What the plugin says of itself.
#[must_use]
pub fn describe<P: Plugin>() -> types::Description {
    say_panics();
    types::Description {
        name: P::NAME.to_owned(),
        version: P::VERSION.to_owned(),
        summary: P::SUMMARY.to_owned(),
        event_types: owned(P::EVENT_TYPES),
        config_schema: run::schema::<P>().to_string(),
        grants: types::RequestedGrants {
            kinds: owned(P::GRANTS.kinds),
            fields: owned(P::GRANTS.fields),
            create: P::GRANTS.create,
            delete: P::GRANTS.delete,
        },
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Whether the configuration fits.
///
/// # Errors
/// What is wrong with it.
pub fn validate_config<P: Plugin>(config: &str) -> Result<(), String> {
    say_panics();
    run::config::<P>(config).map(drop)
}

/// Decides on an event.
///
/// # Errors
/// As the plugin says.
pub fn handle<P: Plugin>(event: types::Event, config: &str) -> Result<types::Decision, types::PluginError> {
    say_panics();
    match run::handle::<P>(from_host(event), config, &Context::new(DesiredState)) {
        Ok(proposal) => {
            let (patches, title, reason) = proposal.into_parts();
            let patches = patches.into_iter().map(to_host).collect();
            Ok(types::Decision::Propose(types::Proposal { patches, title, reason }))
        }
        Err(Stop::Ignore(reason)) => Ok(types::Decision::Ignore(reason)),
        Err(Stop::InvalidEvent(reason)) => Err(types::PluginError::InvalidEvent(reason)),
        Err(Stop::InvalidConfig(reason)) => Err(types::PluginError::InvalidConfig(reason)),
        Err(Stop::Internal(reason)) => Err(types::PluginError::Internal(reason)),
    }
}

/// Logs a line in the gateway.
#[expect(clippy::needless_pass_by_value, reason = "natively the line is kept")]
pub fn emit(level: Level, message: String) {
    let level = match level {
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::emit(level, &message);
}

/// The gateway's look-ups. They are called by name, so a look-up that a plugin does not use is none
/// of its imports.
#[derive(Debug)]
pub(crate) struct DesiredState;

impl DesiredState {
    pub(crate) fn get(&self, target: &ObjectRef) -> Option<Value> {
        serde_json::from_str(&desired_state::get(&reference(target.clone()))?).ok()
    }

    pub(crate) fn find(&self, kind: &str, namespace: Option<&str>) -> Vec<ObjectRef> {
        desired_state::find(kind, namespace).into_iter().map(object).collect()
    }

    /// The owner, or the candidates.
    pub(crate) fn owner(&self, namespace: &str, pod: &str) -> Result<ObjectRef, Vec<ObjectRef>> {
        desired_state::owner(namespace, pod).map(object).map_err(|error| match error {
            desired_state::OwnerError::Unknown => Vec::new(),
            desired_state::OwnerError::Ambiguous(candidates) => candidates.into_iter().map(object).collect(),
        })
    }
}

fn object(target: types::ObjectRef) -> ObjectRef {
    let types::ObjectRef { api_version, kind, namespace, name } = target;
    ObjectRef { api_version, kind, namespace, name }
}

fn reference(target: ObjectRef) -> types::ObjectRef {
    let ObjectRef { api_version, kind, namespace, name } = target;
    types::ObjectRef { api_version, kind, namespace, name }
}

fn from_host(event: types::Event) -> Event {
    Event {
        id: event.id,
        source: event.source,
        event_type: event.event_type,
        subject: event.subject,
        time: event.time,
        dataschema: event.dataschema,
        datacontenttype: event.datacontenttype,
        extensions: event.extensions.into_iter().map(|pair| (pair.name, pair.value)).collect(),
        data: match event.data {
            types::Payload::None => Payload::None,
            types::Payload::Json(text) => Payload::Json(text),
            types::Payload::Text(text) => Payload::Text(text),
            types::Payload::Binary(bytes) => Payload::Binary(bytes),
        },
    }
}

fn to_host(patch: Patch) -> types::Patch {
    types::Patch {
        target: reference(patch.target),
        change: match patch.change {
            Change::Json(operations) => types::Change::JsonPatch(serde_json::json!(operations).to_string()),
            Change::Merge(object) => types::Change::MergePatch(object.to_string()),
            Change::StrategicMerge(object) => types::Change::StrategicMergePatch(object.to_string()),
            Change::Create { manifest, beside } => types::Change::Create(types::Creation {
                manifest: manifest.to_string(),
                beside: reference(beside),
            }),
            Change::Delete => types::Change::Delete,
        },
    }
}
