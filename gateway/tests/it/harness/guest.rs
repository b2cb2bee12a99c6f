//! Guests written inline: a core module in WebAssembly text, with the contract embedded as a plain
//! build for wasm32 embeds it.
//!
//! The layouts are the canonical ABI's: `handle` takes one pointer, because its parameters are more
//! than sixteen, and returns one to `result<decision, plugin-error>`.

use std::path::{Path, PathBuf};

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A guest whose `handle` is `body`: it leaves the pointer to its answer. `extra` are more parts of
/// the module. Memory begins with a description at 16 and an answer "ignored: quiet" at 128.
pub(crate) fn module(body: &str, extra: &str) -> String {
    format!(
        r#"(module
  (import "riposte:plugin/log@0.1.0" "emit" (func $emit (param i32 i32 i32)))
  (import "riposte:plugin/desired-state@0.1.0" "find" (func $find (param i32 i32 i32 i32 i32 i32)))
  (memory (export "memory") 4)
  (global $next (mut i32) (i32.const 131072))
  ;; name, version, summary: "guest"; event types: one, "any"; configuration schema: "{{}}".
  (data (i32.const 16) "\40\00\00\00\05\00\00\00\40\00\00\00\05\00\00\00\40\00\00\00\05\00\00\00")
  (data (i32.const 40) "\50\00\00\00\01\00\00\00\48\00\00\00\02\00\00\00")
  (data (i32.const 64) "guest\00\00\00{{}}any\00\00\00\4a\00\00\00\03\00\00\00")
  ;; ok, ignore, "quiet"
  (data (i32.const 128) "\00\00\00\00\00\00\00\00\90\00\00\00\05\00\00\00quiet")
  {extra}
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "describe") (result i32) (i32.const 16))
  (func (export "validate-config") (param i32 i32) (result i32) (i32.const 1024))
  (func $handle (export "handle") (param $event i32) (result i32) (local $count i32)
    {body}))"#
    )
}

/// The bytes of a module as a plain `cargo build --target wasm32-unknown-unknown` leaves them.
pub(crate) fn core_module(text: &str) -> Vec<u8> {
    embedded(text, None)
}

/// The same for the world `guest` of another document, which includes the contract's.
pub(crate) fn core_module_of(text: &str, document: &str) -> Vec<u8> {
    embedded(text, Some(document))
}

fn embedded(text: &str, document: Option<&str>) -> Vec<u8> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/wit");
    let mut resolve = Resolve::default();
    let (contract, _) = resolve.push_dir(&wit).expect("the contract parses");
    let (package, world) = match document {
        None => (contract, "plugin"),
        Some(document) => (resolve.push_str("guest.wit", document).expect("the document parses"), "guest"),
    };
    let world = resolve.select_world(&[package], Some(world)).expect("the world");
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .expect("it is embedded");
    module
}

/// The same as a component, as other toolchains build it.
pub(crate) fn component(text: &str) -> Vec<u8> {
    let mut encoder = wit_component::ComponentEncoder::default();
    let encoded = encoder.validate(true).module(&core_module(text)).and_then(|encoder| encoder.encode());
    encoded.unwrap_or_else(|error| panic!("{error:#}\n{text}"))
}

pub(crate) fn write(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(format!("{name}.wasm"));
    std::fs::write(&path, bytes).expect("the guest is written");
    path
}
