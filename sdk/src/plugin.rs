//! What a plugin is. The attribute `#[plugin]` writes all of this.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Answer, Context, Event, Grants};

/// What a plugin is.
///
/// [`#[plugin]`](macro@crate::plugin) implements it for a function. By hand it is as good:
///
/// ```
/// use riposte_sdk::prelude::*;
/// use riposte_sdk::{NoConfig, Plugin};
///
/// struct Calm;
///
/// impl Plugin for Calm {
///     const NAME: &'static str = "calm";
///     const VERSION: &'static str = "0.1.0";
///     const SUMMARY: &'static str = "One replica is enough";
///     const EVENT_TYPES: &'static [&'static str] = &["falco.rule.output.v1"];
///     type Config = NoConfig;
///
///     fn handle(event: Event, _: &NoConfig, context: &Context) -> Answer {
///         let owner = context.owner(&Falco::from_event(event)?)?;
///         propose(format!("Calm {owner} down")).because("too noisy").with(Patch::scale(&owner, 1)).into()
///     }
/// }
///
/// riposte_sdk::export!(Calm);
/// ```
pub trait Plugin {
    /// Its name.
    const NAME: &'static str;
    /// Its version, usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// What it does, in a sentence.
    const SUMMARY: &'static str;
    /// The CloudEvents types it is for, where the operator configures no subscription.
    const EVENT_TYPES: &'static [&'static str];
    /// What it asks to be granted; nothing, unless it says so.
    const GRANTS: Grants = Grants::NONE;
    /// Its configuration: any type with `#[derive(Deserialize, JsonSchema)]`.
    ///
    /// The JSON Schema that the gateway checks it by has what the type and its attributes say:
    /// documentation, defaults, bounds.
    ///
    /// ```
    /// use riposte_sdk::prelude::*;
    /// use riposte_sdk::testing;
    /// use serde::Deserialize;
    ///
    /// /// Which alerts count
    /// #[derive(Deserialize, JsonSchema)]
    /// #[serde(rename_all = "camelCase", deny_unknown_fields)]
    /// struct Config {
    ///     /// Falco rules, by their exact names.
    ///     #[schemars(length(min = 1))]
    ///     rules: Vec<String>,
    ///     /// Replicas that stay.
    ///     #[serde(default)]
    ///     #[schemars(range(max = 3))]
    ///     replicas_min: u32,
    /// }
    ///
    /// /// Calms
    /// #[plugin(on = "falco.rule.output.v1")]
    /// fn calm(_alert: Falco, config: &Config) -> Answer {
    ///     ignore!("{} rules, {} replicas", config.rules.len(), config.replicas_min)
    /// }
    ///
    /// let schema = testing::schema::<calm>();
    /// assert_eq!(schema["properties"]["rules"]["minItems"], 1);
    /// assert_eq!(schema["properties"]["replicasMin"]["default"], 0);
    /// assert_eq!(schema["properties"]["replicasMin"]["description"], "Replicas that stay.");
    /// assert_eq!(schema["additionalProperties"], false);
    /// ```
    ///
    /// The derive writes paths that begin with `schemars`, which the prelude has. Without the prelude:
    /// `use riposte_sdk::schemars::{self, JsonSchema};`.
    type Config: DeserializeOwned + JsonSchema;

    /// Checks what the type of the configuration cannot say.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    fn validate(_config: &Self::Config) -> Result<(), String> {
        Ok(())
    }

    /// Decides on an event.
    ///
    /// # Errors
    /// Why there is no proposal. "Nothing to do" is [`Stop::Ignore`](crate::Stop::Ignore).
    fn handle(event: Event, config: &Self::Config, context: &Context) -> Answer;
}

/// The configuration of a plugin that has none: any setting is an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Makes a type the plugin of its crate; [`#[plugin]`](macro@crate::plugin) does it too. A crate has
/// one plugin.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        // For every target, so that what is no plugin shows before the build for wasm32.
        const _: () = $crate::run::assert_plugin::<$plugin>();

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::Guest for Exported {
                fn describe() -> $crate::bindings::Description {
                    $crate::guest::describe::<$plugin>()
                }

                fn validate_config(config: String) -> Result<(), String> {
                    $crate::guest::validate_config::<$plugin>(&config)
                }

                fn handle(
                    event: $crate::bindings::Event,
                    config: String,
                ) -> Result<$crate::bindings::Decision, $crate::bindings::PluginError> {
                    $crate::guest::handle::<$plugin>(event, &config)
                }
            }

    $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };
    };
}
