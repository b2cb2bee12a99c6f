//! Guests written inline: a core module in WebAssembly text, with the contract embedded as a plain
//! build for wasm32 embeds it.
//!
//! The layouts are the canonical ABI's: `handle` takes one pointer, because its parameters are more
//! than sixteen, and returns one to `result<decision, plugin-error>`.

use std::path::{Path, PathBuf};

use riposte::dispatch::{Allocation, Compiler, Engine};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A guest in its parts, each WebAssembly text. What is not changed makes a guest that ignores every
/// event: "quiet". Memory begins with texts at 64,
/// that answer at 128 and a description at 160.
pub(crate) struct Guest {
    /// Imports beside those of `emit` and `find`.
    pub(crate) imports: String,
    /// Memories: the first one is the guest's.
    pub(crate) memory: &'static str,
    /// The body of `describe`: it leaves a pointer.
    pub(crate) describe: String,
    /// The body of `validate-config`: the same.
    pub(crate) validate_config: String,
    /// The body of `handle`: the same. `$event` is its argument, `$count` a free local.
    pub(crate) handle: String,
    /// The body of `cabi_realloc`: it leaves a pointer. `$at` is a free local.
    pub(crate) realloc: String,
    /// More parts of the module.
    pub(crate) extra: String,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            imports: String::new(),
            memory: r#"(memory (export "memory") 4)"#,
            describe: "(i32.const 160)".to_owned(),
            validate_config: "(i32.const 1024)".to_owned(),
            handle: "(i32.const 128)".to_owned(),
            realloc: "(local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8))) \
                      (global.set $next (i32.add (local.get $at) (local.get $size))) (local.get $at)"
                .to_owned(),
            extra: String::new(),
        }
    }
}

impl Guest {
    /// One that answers with what an image holds.
    pub(crate) fn answering(image: &Image) -> Self {
        Self { memory: WIDE, handle: image.pointer(), extra: image.data(), ..Self::default() }
    }

    /// One that says of itself what an image holds.
    pub(crate) fn describing(image: &Image) -> Self {
        Self { memory: WIDE, describe: image.pointer(), extra: image.data(), ..Self::default() }
    }

    /// The module.
    pub(crate) fn text(&self) -> String {
        let Self { imports, memory, describe, validate_config, handle, realloc, extra } = self;
        format!(
            r#"(module
  (import "riposte:plugin/log@0.1.0" "emit" (func $emit (param i32 i32 i32)))
  (import "riposte:plugin/desired-state@0.1.0" "find" (func $find (param i32 i32 i32 i32 i32 i32)))
  {imports}
  {memory}
  (global $next (mut i32) (i32.const 131072))
  ;; name, version, summary: "guest"; event types: one, "any"; configuration schema: "{{}}";
  ;; no grants.
  (data (i32.const 160) "\40\00\00\00\05\00\00\00\40\00\00\00\05\00\00\00\40\00\00\00\05\00\00\00")
  (data (i32.const 184) "\50\00\00\00\01\00\00\00\48\00\00\00\02\00\00\00")
  (data (i32.const 64) "guest\00\00\00{{}}any\00\00\00\4a\00\00\00\03\00\00\00")
  ;; ok, ignore, "quiet"
  (data (i32.const 128) "\00\00\00\00\00\00\00\00\90\00\00\00\05\00\00\00quiet")
  {extra}
  (func $realloc (export "cabi_realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32)
    (result i32) (local $at i32)
    {realloc})
  (func $describe (export "describe") (result i32) {describe})
  (func $validate (export "validate-config") (param i32 i32) (result i32) {validate_config})
  (func $handle (export "handle") (param $event i32) (result i32) (local $count i32)
    {handle}))"#
        )
    }

    /// Its bytes as cargo leaves them.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        core_module(&self.text())
    }
}

const WIDE: &str = r#"(memory (export "memory") 64)"#;
/// Where an image lies: above what the host writes for an event.
const IMAGE_AT: u32 = 1 << 20;

/// Values as the canonical ABI lays them into memory, ready to be pointed at.
#[derive(Default)]
pub(crate) struct Image {
    bytes: Vec<u8>,
    root: u32,
}

/// A patch of an image: its target, the number of its case, its text.
pub(crate) struct Laid<'a> {
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: &'a str,
    /// 0 a JSON Patch, 1 a merge patch, 2 a new object beside Deployment default/alpine-deployment,
    /// 3 the end of the object, 4 a strategic merge patch.
    pub(crate) case: u32,
    pub(crate) text: &'a str,
}

impl Image {
    /// An answer that proposes these patches.
    pub(crate) fn proposal(patches: &[Laid<'_>], title: &str, reason: &str) -> Self {
        Self::expiring(patches, title, reason, None)
    }

    /// The same, taken back by the gateway after so many seconds.
    pub(crate) fn expiring(
        patches: &[Laid<'_>],
        title: &str,
        reason: &str,
        expires_after_s: Option<u32>,
    ) -> Self {
        let mut image = Self::default();
        let beside = Laid {
            api_version: "apps/v1",
            kind: "Deployment",
            namespace: Some("default"),
            name: "alpine-deployment",
            case: 0,
            text: "",
        };
        let mut laid = Vec::new();
        for patch in patches {
            laid.extend(image.object(patch));
            laid.push(patch.case);
            laid.extend(image.text(patch.text));
            laid.extend(image.object(&beside));
        }
        let list = [image.place(&laid), u32::try_from(patches.len()).expect("a small number")];
        let (title, reason) = (image.text(title), image.text(reason));
        let expires = expires_after_s.map_or([0, 0], |seconds| [1, seconds]);
        image.root = image.place(&[&[0, 1][..], &list, &title, &reason, &expires].concat());
        image
    }

    /// An answer that cannot decide: `internal` with this reason.
    pub(crate) fn error(reason: &str) -> Self {
        let mut image = Self::default();
        let reason = image.text(reason);
        image.root = image.place(&[&[1, 2][..], &reason].concat());
        image
    }

    /// An answer that ignores the event.
    pub(crate) fn ignore(reason: &str) -> Self {
        let mut image = Self::default();
        let reason = image.text(reason);
        image.root = image.place(&[&[0, 0][..], &reason].concat());
        image
    }

    /// A refusal of a configuration.
    pub(crate) fn wrong_config(reason: &str) -> Self {
        let mut image = Self::default();
        let reason = image.text(reason);
        image.root = image.place(&[&[1][..], &reason].concat());
        image
    }

    /// A description; it asks for no grants.
    pub(crate) fn description(name: &str, event_types: &[&str], config_schema: &str) -> Self {
        let mut image = Self::default();
        let (name, schema) = (image.text(name), image.text(config_schema));
        let types: Vec<u32> = event_types.iter().flat_map(|text| image.text(text)).collect();
        let types = [image.place(&types), u32::try_from(event_types.len()).expect("a small number")];
        image.root = image.place(&[&[name, name, name, types, schema].concat()[..], &[0; 5]].concat());
        image
    }

    fn object(&mut self, laid: &Laid<'_>) -> Vec<u32> {
        let namespace = laid.namespace.map_or([0, 0, 0], |text| {
            let [at, length] = self.text(text);
            [1, at, length]
        });
        let (api_version, kind, name) =
            (self.text(laid.api_version), self.text(laid.kind), self.text(laid.name));
        [&api_version[..], &kind, &namespace, &name].concat()
    }

    fn text(&mut self, text: &str) -> [u32; 2] {
        let at = IMAGE_AT + u32::try_from(self.bytes.len()).expect("a small image");
        self.bytes.extend(text.as_bytes());
        [at, u32::try_from(text.len()).expect("a small text")]
    }

    fn place(&mut self, words: &[u32]) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let at = IMAGE_AT + u32::try_from(self.bytes.len()).expect("a small image");
        self.bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        at
    }

    /// The expression that leaves the pointer to it.
    pub(crate) fn pointer(&self) -> String {
        format!("(i32.const {})", self.root)
    }

    /// The part of a module that holds it.
    pub(crate) fn data(&self) -> String {
        let bytes: String = self.bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!("(data (i32.const {IMAGE_AT}) \"{bytes}\")")
    }
}

/// A guest whose `handle` is `body`. `extra` are more parts of the module.
pub(crate) fn module(body: &str, extra: &str) -> String {
    Guest { handle: body.to_owned(), extra: extra.to_owned(), ..Guest::default() }.text()
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
    // ok, propose, one patch at 2112, title, reason, no end of it
    let answer = [vec![0, 1, 2112, 1], title, reason, vec![0, 0]].concat();
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
