//! A plugin's three parts by their texts: the same code for the gateway and for tests.

use crate::{Answer, Context, Event, Plugin, Stop, schemars};

/// Compiles for plugins only.
pub const fn assert_plugin<P: Plugin>() {}

/// JSON Schema of the configuration, as JSON.
pub fn schema<P: Plugin>() -> serde_json::Value {
    schemars::schema_for!(P::Config).to_value()
}

/// Reads a configuration and checks it.
///
/// # Errors
/// What is wrong with it.
pub fn config<P: Plugin>(text: &str) -> Result<P::Config, String> {
    let config = serde_json::from_str(text).map_err(|error| error.to_string())?;
    P::validate(&config)?;
    Ok(config)
}

/// Decides on an event.
///
/// # Errors
/// As the plugin says.
pub fn handle<P: Plugin>(event: Event, config: &str, context: &Context) -> Answer {
    // The gateway let the plugin check it when it was loaded.
    let config = serde_json::from_str(config).map_err(|error| Stop::InvalidConfig(error.to_string()))?;
    P::handle(event, &config, context)
}
