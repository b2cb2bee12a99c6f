//! Guests written inline: a core module in WebAssembly text, with the contract embedded as a plain
//! build for wasm32 embeds it.
//!
//! The layouts are the canonical ABI's: `handle` takes one pointer, because its parameters are more
//! than sixteen, and returns one to `result<decision, plugin-error>`.

use std::path::{Path, PathBuf};

use riposte::dispatch::{Allocation, Compiler, Engine};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A guest whose `handle` is `body`: it leaves the pointer to its answer. `extra` are more parts of
/// the module. Memory begins with texts at 64, an answer "ignored: quiet" at 128 and
/// a description at 160.
pub(crate) fn module(body: &str, extra: &str) -> String {
    format!(
        r#"(module
  (import "riposte:plugin/log@0.1.0" "emit" (func $emit (param i32 i32 i32)))
  (import "riposte:plugin/desired-state@0.1.0" "find" (func $find (param i32 i32 i32 i32 i32 i32)))
  (memory (export "memory") 4)
  (global $next (mut i32) (i32.const 131072))
  ;; name, version, summary: "guest"; event types: one, "any"; configuration schema: "{{}}";
  ;; no grants.
  (data (i32.const 160) "\40\00\00\00\05\00\00\00\40\00\00\00\05\00\00\00\40\00\00\00\05\00\00\00")
  (data (i32.const 184) "\50\00\00\00\01\00\00\00\48\00\00\00\02\00\00\00")
  (data (i32.const 64) "guest\00\00\00{{}}any\00\00\00\4a\00\00\00\03\00\00\00")
  ;; ok, ignore, "quiet"
  (data (i32.const 128) "\00\00\00\00\00\00\00\00\90\00\00\00\05\00\00\00quiet")
  {extra}
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "describe") (result i32) (i32.const 160))
  (func (export "validate-config") (param i32 i32) (result i32) (i32.const 1024))
  (func $handle (export "handle") (param $event i32) (result i32) (local $count i32)
    {body}))"#
    )
}

/// A guest that proposes to delete one object, whatever the event.
pub(crate) fn deletes(api_version: &str, kind: &str, namespace: &str, name: &str) -> String {
    let mut texts = String::new();
    let [api_version, kind, namespace, name, title, reason] =
        [api_version, kind, namespace, name, "Delete it", "it is not needed"].map(|text| {
            let at = 2304 + texts.len();
            texts.push_str(text);
            [at, text.len()].map(|number| u32::try_from(number).expect("a small number")).to_vec()
        });
    // ok, propose, one patch at 2112, title, reason
    let answer = [vec![0, 1, 2112, 1], title, reason].concat();
    // the target, with some namespace; the fourth change; room for the payload of another one
    let patch = [api_version, kind, vec![1], namespace, name, vec![3], vec![0; 11]].concat();
    let bytes = |words: &[u32]| -> String {
        words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect()
    };
    let extra = format!(
        r#"(data (i32.const 2048) "{}") (data (i32.const 2112) "{}") (data (i32.const 2304) "{texts}")"#,
        bytes(&answer),
        bytes(&patch)
    );
    module("(i32.const 2048)", &extra)
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

/// An engine whose compiler is the program under test; what it compiles is kept from test to test.
pub(crate) fn engine() -> Engine {
    engine_with(Allocation::Pooled)
}

pub(crate) fn engine_with(allocation: Allocation) -> Engine {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let compiler = Compiler::new(Path::new(env!("CARGO_BIN_EXE_riposte")), Some(&folder));
    Engine::new(compiler, allocation).expect("an engine")
}

pub(crate) fn write(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(format!("{name}.wasm"));
    std::fs::write(&path, bytes).expect("the guest is written");
    path
}
