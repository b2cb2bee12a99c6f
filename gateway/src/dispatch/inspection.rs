//! What a file says of itself, and what it asks for: read without a configuration.

use wasmtime::component::types::ComponentItem;

use super::bindings::riposte::plugin::types as guest;
use super::catalog::{Limits, LoadError};
use super::component::{component, digest, is_core_module};
use super::engine::Engine;
use super::sandbox::Sandbox;
use super::wasi;
use crate::model::plugin::{Import, RequestedGrants};

/// Stands for all interfaces of WASI, of which a plugin gets nothing.
const WASI: &str = "wasi";

/// A plugin's file, looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Whether it is a core module, which is wrapped into a component when it is loaded.
    pub core_module: bool,
    /// `sha256:…` of the file, as it is pinned and recorded.
    pub digest: String,
    /// The functions it imports, as `interface.function`; all of WASI is `wasi`.
    pub imports: Vec<String>,
    /// Its own name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// The event types it is for.
    pub event_types: Vec<String>,
    /// JSON Schema of its configuration, as JSON text.
    pub config_schema: String,
    /// What it asks to be granted.
    pub grants: RequestedGrants,
}

/// What a plugin asks to be granted, as it says.
pub(super) fn requested(grants: guest::RequestedGrants) -> RequestedGrants {
    let guest::RequestedGrants { kinds, fields, create, delete } = grants;
    RequestedGrants { kinds, fields, create, delete }
}

/// Looks into a plugin's file; `name` stands for it in errors.
///
/// # Errors
/// Why it is no plugin.
pub fn inspect(engine: &Engine, name: &str, bytes: &[u8]) -> Result<Inspection, LoadError> {
    let limits = Limits::default();
    let component = component(engine, name, bytes, &limits, &Import::ALL)?;
    let mut imports = Vec::new();
    for (interface, import) in component.component_type().imports(&engine.wasm) {
        let short = interface.rsplit('/').next().and_then(|last| last.split('@').next()).unwrap_or(interface);
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        if wasi::is_interface(interface) {
            if !imports.iter().any(|import| import == WASI) {
                imports.push(WASI.to_owned());
            }
            continue;
        }
        let functions = instance.exports(&engine.wasm);
        let functions = functions.filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
        imports.extend(functions.map(|(function, _)| format!("{short}.{function}")));
    }
    let sandbox = Sandbox::new(name, engine, &component, limits)?;
    let said =
        sandbox.describe().map_err(|failure| LoadError::Failed { plugin: name.to_owned(), failure })?;
    Ok(Inspection {
        core_module: is_core_module(bytes),
        digest: digest(bytes),
        imports,
        name: said.name,
        version: said.version,
        summary: said.summary,
        event_types: said.event_types,
        config_schema: said.config_schema,
        grants: requested(said.grants),
    })
}
