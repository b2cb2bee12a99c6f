//! From bytes to a component that may run: wrapping, the digest, the imports.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use super::catalog::LoadError;
use super::engine::Engine;
use super::wasi;

/// The contract, with its version.
pub const CONTRACT: &str = "riposte:plugin@0.1.0";
/// Every interface that a plugin may import, beside those of [`wasi`].
const IMPORTS: [&str; 3] =
    ["riposte:plugin/types@0.1.0", "riposte:plugin/log@0.1.0", "riposte:plugin/desired-state@0.1.0"];
/// The fifth byte tells a core module (1) from a component.
const CORE_MODULE_HEAD: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];

/// `sha256:` and the digest of the file, as `sha256sum` prints it.
pub(super) fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// Whether the bytes are a core module, which is wrapped into a component.
pub(super) fn is_core_module(bytes: &[u8]) -> bool {
    bytes.starts_with(&CORE_MODULE_HEAD)
}

/// The component that runs: of a core module the wrapped one, of a component itself.
///
/// # Errors
/// When a core module does not follow the contract.
pub fn component_of<'a>(plugin: &str, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, LoadError> {
    let invalid = |reason: String| LoadError::Invalid { plugin: plugin.to_owned(), reason };
    if !bytes.starts_with(&CORE_MODULE_HEAD[..4]) {
        let start = String::from_utf8_lossy(bytes).chars().take(8).collect::<String>();
        return Err(invalid(format!("the file is no WebAssembly: it begins with {start:?}")));
    }
    if !is_core_module(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    wrap(bytes).map(Cow::Owned).map_err(invalid)
}

/// Compiles a component, or a core module after wrapping it into one.
pub(super) fn compile(engine: &Engine, plugin: &str, bytes: &[u8]) -> Result<Component, LoadError> {
    let component = Component::from_binary(&engine.wasm, &component_of(plugin, bytes)?)
        .map_err(|error| LoadError::Invalid { plugin: plugin.to_owned(), reason: format!("{error:#}") })?;
    let imports = component.component_type();
    let denied: Vec<String> = imports
        .imports(&engine.wasm)
        .map(|(name, _)| name.to_owned())
        .filter(|name| !IMPORTS.contains(&name.as_str()) && !wasi::is_interface(name))
        .collect();
    if denied.is_empty() {
        Ok(component)
    } else {
        Err(LoadError::DeniedImport { plugin: plugin.to_owned(), imports: denied.join(", ") })
    }
}

fn wrap(module: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = wit_component::ComponentEncoder::default();
    let encoded = encoder.validate(true).module(module).and_then(|encoder| encoder.encode());
    encoded.map_err(|error| {
        format!("it is a core module that does not follow the contract {CONTRACT}: {error:#}")
    })
}
