//! From a file to a component that may run: its digest, the wrapping, the imports.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use super::catalog::{Limits, LoadError};
use super::engine::Engine;
use super::wasi;
use crate::model::plugin::Import;

/// The contract, with its version.
pub const CONTRACT: &str = "riposte:plugin@0.1.0";
/// Every interface that a plugin may import beside those of [`wasi`], and what grants it; types come to everyone.
const IMPORTS: [(&str, Option<Import>); 3] = [
    ("riposte:plugin/types@0.1.0", None),
    ("riposte:plugin/log@0.1.0", Some(Import::Log)),
    ("riposte:plugin/desired-state@0.1.0", Some(Import::DesiredState)),
];
/// The fifth byte tells a core module (1) from a component.
const CORE_MODULE_HEAD: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];

/// `sha256:` and the digest of the file, as `sha256sum` prints it.
pub(super) fn digest(bytes: &[u8]) -> String {
    "sha256:".to_owned() + &hexadecimal(&Sha256::digest(bytes))
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, byte| text + &format!("{byte:02x}"))
}

/// Whether the bytes are a core module, which is wrapped into a component.
pub(super) fn is_core_module(bytes: &[u8]) -> bool {
    bytes.starts_with(&CORE_MODULE_HEAD)
}

/// The component that runs: of a core module the wrapped one, of a component itself.
///
/// # Errors
/// What is wrong with a file that is neither, or with a core module that does not follow the contract.
pub fn component_of(file: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if !file.starts_with(&CORE_MODULE_HEAD[..4]) {
        let start = String::from_utf8_lossy(file).chars().take(8).collect::<String>();
        return Err(format!("the file is no WebAssembly: it begins with {start:?}"));
    }
    if is_core_module(file) { wrap(file).map(Cow::Owned) } else { Ok(Cow::Borrowed(file)) }
}

/// The component of a plugin's file, compiled, if `granted` lets it have what it imports.
pub(super) fn component(
    engine: &Engine,
    plugin: &str,
    file: &[u8],
    limits: &Limits,
    granted: &[Import],
) -> Result<Component, LoadError> {
    let component = engine.compiler.component(&engine.wasm, plugin, file, &digest(file), limits)?;
    let (mut unknown, mut withheld) = (Vec::new(), Vec::new());
    for (name, _) in component.component_type().imports(&engine.wasm) {
        let wasi = wasi::is_interface(name).then_some(Some(Import::Wasi));
        let known = IMPORTS.iter().find(|(known, _)| *known == name).map(|(_, import)| *import);
        match known.or(wasi) {
            None => unknown.push(name.to_owned()),
            Some(Some(import)) if !granted.contains(&import) => withheld.push(import.as_str()),
            Some(_) => {}
        }
    }
    // WASI has many interfaces, and is granted as one.
    withheld.dedup();
    let plugin = plugin.to_owned();
    match (&unknown[..], &withheld[..]) {
        ([], []) => Ok(component),
        ([], withheld) => Err(LoadError::WithheldImport { plugin, imports: withheld.join(", ") }),
        (unknown, _) => Err(LoadError::DeniedImport { plugin, imports: unknown.join(", ") }),
    }
}

fn wrap(module: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = wit_component::ComponentEncoder::default();
    let encoded = encoder.validate(true).module(module).and_then(|encoder| encoder.encode());
    encoded.map_err(|error| {
        format!("it is a core module that does not follow the contract {CONTRACT}: {error:#}")
    })
}
