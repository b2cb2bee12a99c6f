//! Between the contract's generated types and the sdk's: what [`export!`](crate::export) expands to.

/// Makes a type the plugin of this crate.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::Guest for Exported {
                fn describe() -> $crate::bindings::Description {
                    $crate::run::describe::<$plugin>()
                }

                fn validate_config(config: String) -> Result<(), String> {
                    $crate::run::validate_config::<$plugin>(&config)
                }

                fn handle(
                    event: $crate::bindings::Event,
                    config: String,
                ) -> Result<$crate::bindings::Decision, $crate::bindings::PluginError> {
                    $crate::run::handle::<$plugin>(event, &config)
                }
            }

    $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };
    };
}

/// The three exports, for any plugin.
#[cfg(not(target_arch = "wasm32"))]
pub mod run {}

/// The three exports, for any plugin.
#[cfg(target_arch = "wasm32")]
pub mod run {
    use serde_json::Value;

    use crate::bindings::riposte::plugin::{desired_state, log, types};
    use crate::{Change, Decision, DesiredState, Event, ObjectRef, OwnerError, Payload, Plugin, PluginError};

    /// A panic on this target is silent: say why before the trap.
    fn say_panics() {
        std::panic::set_hook(Box::new(|panic| {
            log::emit(log::Level::Error, &format!("panic: {panic}"));
        }));
    }

    /// What the plugin says of itself.
    pub fn describe<P: Plugin>() -> types::Description {
        say_panics();
        types::Description {
            name: P::NAME.to_owned(),
            version: P::VERSION.to_owned(),
            summary: P::SUMMARY.to_owned(),
            event_types: P::EVENT_TYPES.iter().map(|name| (*name).to_owned()).collect(),
            config_schema: P::CONFIG_SCHEMA.to_owned(),
        }
    }

    /// Whether the configuration fits.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate_config<P: Plugin>(config: &str) -> Result<(), String> {
        say_panics();
        let config: P::Config = serde_json::from_str(config).map_err(|error| error.to_string())?;
        P::validate(&config)
    }

    /// Decides on an event.
    ///
    /// # Errors
    /// As the plugin says.
    pub fn handle<P: Plugin>(
        event: types::Event,
        config: &str,
    ) -> Result<types::Decision, types::PluginError> {
        say_panics();
        let config: P::Config = serde_json::from_str(config)
            .map_err(|error| types::PluginError::InvalidConfig(error.to_string()))?;
        match P::handle(&from_host(event), &config, &Host) {
            Ok(decision) => Ok(to_host(decision)),
            Err(PluginError::InvalidEvent(reason)) => Err(types::PluginError::InvalidEvent(reason)),
            Err(PluginError::InvalidConfig(reason)) => Err(types::PluginError::InvalidConfig(reason)),
            Err(PluginError::Internal(reason)) => Err(types::PluginError::Internal(reason)),
        }
    }

    /// The gateway's look-ups.
    struct Host;

    impl DesiredState for Host {
        fn get(&self, target: &ObjectRef) -> Option<Value> {
            serde_json::from_str(&desired_state::get(&reference(target.clone()))?).ok()
        }

        fn find(&self, kind: &str, namespace: Option<&str>) -> Vec<ObjectRef> {
            desired_state::find(kind, namespace).into_iter().map(object).collect()
        }

        fn owner(&self, namespace: &str, pod: &str) -> Result<ObjectRef, OwnerError> {
            desired_state::owner(namespace, pod).map(object).map_err(|error| match error {
                desired_state::OwnerError::Unknown => OwnerError::Unknown,
                desired_state::OwnerError::Ambiguous(candidates) => {
                    OwnerError::Ambiguous(candidates.into_iter().map(object).collect())
                }
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
            extensions: event.extensions.into_iter().map(|pair| (pair.name, pair.value)).collect(),
            data: match event.data {
                types::Payload::None => Payload::None,
                types::Payload::Json(text) => Payload::Json(text),
                types::Payload::Text(text) => Payload::Text(text),
                types::Payload::Binary(bytes) => Payload::Binary(bytes),
            },
        }
    }

    fn to_host(decision: Decision) -> types::Decision {
        let proposal = match decision {
            Decision::Ignore(reason) => return types::Decision::Ignore(reason),
            Decision::Propose(proposal) => proposal,
        };
        let patches = proposal.patches.into_iter().map(|patch| types::Patch {
            target: reference(patch.target),
            change: match patch.change {
                Change::Json(operations) => types::Change::JsonPatch(operations.to_string()),
                Change::Merge(object) => types::Change::MergePatch(object.to_string()),
            },
        });
        types::Decision::Propose(types::Proposal {
            patches: patches.collect(),
            title: proposal.title,
            reason: proposal.reason,
        })
    }
}
