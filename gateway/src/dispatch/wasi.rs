//! A WASI that has nothing, for the toolchains that always ask for one.
//!
//! Nothing here may read the machine's clock, randomness, files, environment or network, and no call
//! may block: what a guest is told comes from the event alone, so the same inputs still give the same
//! decision. What is not in [`answer`] ends the guest by the function's name.

use std::time::Duration;

use chrono::DateTime;
use sha2::{Digest, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, Resource, ResourceAny, ResourceType, Val};
use wasmtime::{AsContextMut, StoreContextMut};

use super::bindings::riposte::plugin::log::{self, Host as _};
use super::bindings::riposte::plugin::types as guest;
use super::host::{Host, HostLimit};

/// Handles that a guest may hold at once.
const HANDLES_MAX: u32 = 1_024;
/// Random bytes of one call.
const RANDOM_BYTES_MAX: usize = 64 << 10;
/// Bytes that a guest may write to its output in one call.
const WRITE_BYTES_MAX: u64 = 4 << 10;
/// What a handle of the two outputs stands for; every other handle stands for nothing.
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// A guest called what no plugin is given.
#[derive(Debug, thiserror::Error)]
#[error("called {0}, which no plugin is given")]
pub(super) struct DeniedCall(pub(super) String);

/// The one type of all handles: streams, pollables, errors.
struct Handle;

/// What an instance sees of WASI: its time, its randomness, and its output so far.
#[derive(Debug, Default)]
pub(super) struct Wasi {
    /// Since 1970, when the event happened.
    event: Duration,
    /// What the guest has waited for since; time passes in no other way.
    waited: Duration,
    seed: [u8; 32],
    /// Blocks of random bytes that were given out.
    blocks: u64,
    handles: u32,
    /// Lines of the two outputs that have no end yet.
    lines: [Vec<u8>; 2],
}

/// Whether an import is an interface of WASI 0.2.
pub(super) fn is_interface(import: &str) -> bool {
    let version = import.strip_prefix("wasi:").and_then(|rest| rest.split_once("@0.2."));
    version.is_some_and(|(_, patch)| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Gives the component what it imports of WASI; whether it imports any.
pub(super) fn link(linker: &mut Linker<Host>, component: &Component) -> wasmtime::Result<bool> {
    let engine = linker.engine().clone();
    let mut imported = false;
    for (interface, import) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        if !is_interface(interface) {
            continue;
        }
        imported = true;
        let mut linked = linker.instance(interface)?;
        for (name, item) in instance.exports(&engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let function = function(interface, name);
                    linked.func_new(name, move |store, _, arguments, results| {
                        call(store, &function, arguments, results)
                    })?;
                }
                ComponentItem::Resource(_) => {
                    linked.resource(name, ResourceType::host::<Handle>(), |mut store, _| {
                        let wasi = &mut store.data_mut().wasi;
                        wasi.handles = wasi.handles.saturating_sub(1);
                        Ok(())
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(imported)
}

/// `wasi:cli/exit#exit`: a function's name, whatever the version.
fn function(interface: &str, name: &str) -> String {
    let interface = interface.split_once('@').map_or(interface, |(interface, _)| interface);
    format!("{interface}#{name}")
}

fn call(
    mut store: StoreContextMut<'_, Host>,
    function: &str,
    arguments: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let answer = answer(&mut store, function, arguments)?;
    match (results.first_mut(), answer) {
        (Some(result), Some(answer)) => *result = answer,
        (None, None) => {}
        _ => return Err(DeniedCall(function.to_owned()).into()),
    }
    Ok(())
}

/// What a function answers; `None` where it answers nothing.
fn answer(
    store: &mut StoreContextMut<'_, Host>,
    function: &str,
    arguments: &[Val],
) -> wasmtime::Result<Option<Val>> {
    let handles = release(store, arguments)?;
    let wasi = &mut store.data_mut().wasi;
    Ok(Some(match function {
        "wasi:cli/environment#get-environment"
        | "wasi:cli/environment#get-arguments"
        | "wasi:filesystem/preopens#get-directories" => Val::List(Vec::new()),
        "wasi:cli/environment#initial-cwd"
        | "wasi:cli/terminal-stdin#get-terminal-stdin"
        | "wasi:cli/terminal-stdout#get-terminal-stdout"
        | "wasi:cli/terminal-stderr#get-terminal-stderr" => Val::Option(None),
        "wasi:clocks/wall-clock#now" => datetime(wasi.event.saturating_add(wasi.waited)),
        "wasi:clocks/wall-clock#resolution" => datetime(Duration::from_nanos(1)),
        "wasi:clocks/monotonic-clock#now" => Val::U64(nanoseconds(wasi.waited)),
        "wasi:clocks/monotonic-clock#resolution" => Val::U64(1),
        // Whoever waits finds that the time is over already.
        "wasi:clocks/monotonic-clock#subscribe-duration" => {
            wasi.waited = wasi.waited.saturating_add(Duration::from_nanos(number(arguments)));
            open(store, 0)?
        }
        "wasi:clocks/monotonic-clock#subscribe-instant" => {
            wasi.waited = wasi.waited.max(Duration::from_nanos(number(arguments)));
            open(store, 0)?
        }
        "wasi:random/random#get-random-bytes" | "wasi:random/insecure#get-insecure-random-bytes" => {
            let bytes = wasi.random(number(arguments))?;
            Val::List(bytes.into_iter().map(Val::U8).collect())
        }
        "wasi:random/random#get-random-u64" | "wasi:random/insecure#get-insecure-random-u64" => {
            Val::U64(wasi.random_number())
        }
        "wasi:random/insecure-seed#insecure-seed" => {
            Val::Tuple(vec![Val::U64(wasi.random_number()), Val::U64(wasi.random_number())])
        }
        "wasi:cli/stdin#get-stdin"
        | "wasi:io/streams#[method]input-stream.subscribe"
        | "wasi:io/streams#[method]output-stream.subscribe" => open(store, 0)?,
        "wasi:cli/stdout#get-stdout" => open(store, STDOUT)?,
        "wasi:cli/stderr#get-stderr" => open(store, STDERR)?,
        "wasi:io/streams#[method]output-stream.check-write" => done(Some(Val::U64(WRITE_BYTES_MAX))),
        "wasi:io/streams#[method]output-stream.write"
        | "wasi:io/streams#[method]output-stream.blocking-write-and-flush" => {
            write(store.data_mut(), &handles, arguments)?;
            done(None)
        }
        "wasi:io/streams#[method]output-stream.flush"
        | "wasi:io/streams#[method]output-stream.blocking-flush" => done(None),
        "wasi:io/streams#[method]input-stream.read"
        | "wasi:io/streams#[method]input-stream.blocking-read"
        | "wasi:io/streams#[method]input-stream.skip"
        | "wasi:io/streams#[method]input-stream.blocking-skip" => {
            Val::Result(Err(Some(Box::new(Val::Variant("closed".to_owned(), None)))))
        }
        "wasi:io/poll#[method]pollable.ready" => Val::Bool(true),
        "wasi:io/poll#[method]pollable.block" => return Ok(None),
        "wasi:io/poll#poll" => Val::List((0..).zip(&handles).map(|(index, _)| Val::U32(index)).collect()),
        _ => return Err(DeniedCall(function.to_owned()).into()),
    }))
}

fn done(answer: Option<Val>) -> Val {
    Val::Result(Ok(answer.map(Box::new)))
}

fn datetime(since_1970: Duration) -> Val {
    Val::Record(vec![
        ("seconds".to_owned(), Val::U64(since_1970.as_secs())),
        ("nanoseconds".to_owned(), Val::U32(since_1970.subsec_nanos())),
    ])
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The number that a function of one argument was given.
fn number(arguments: &[Val]) -> u64 {
    match arguments {
        [Val::U64(number)] => *number,
        _ => 0,
    }
}

/// Lends the guest a new handle.
fn open(store: &mut StoreContextMut<'_, Host>, stands_for: u32) -> wasmtime::Result<Val> {
    let wasi = &mut store.data_mut().wasi;
    wasi.handles += 1;
    if wasi.handles > HANDLES_MAX {
        return Err(HostLimit("open handles").into());
    }
    let handle = Resource::<Handle>::new_own(stands_for);
    Ok(Val::Resource(ResourceAny::try_from_resource(handle, store.as_context_mut())?))
}

/// Gives the handles of a call back, as every call must; what they stand for.
fn release(store: &mut StoreContextMut<'_, Host>, arguments: &[Val]) -> wasmtime::Result<Vec<u32>> {
    let mut handles = Vec::new();
    for argument in arguments {
        let one = std::slice::from_ref(argument);
        for value in if let Val::List(list) = argument { list } else { one } {
            let Val::Resource(handle) = value else { continue };
            handles.push(handle.try_into_resource::<Handle>(store.as_context_mut())?.rep());
        }
    }
    Ok(handles)
}

/// Logs the lines that have come to their end.
fn write(host: &mut Host, handles: &[u32], arguments: &[Val]) -> wasmtime::Result<()> {
    let [_, Val::List(bytes)] = arguments else { return Ok(()) };
    for byte in bytes {
        match (byte, handles) {
            (Val::U8(b'\n'), [output]) => end_line(host, *output)?,
            (Val::U8(byte), [output]) => {
                let bytes_max = host.limits.log_line_bytes_max;
                let line = host.wasi.line(*output);
                if line.len() < bytes_max {
                    line.push(*byte);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn end_line(host: &mut Host, output: u32) -> wasmtime::Result<()> {
    let line = std::mem::take(host.wasi.line(output));
    let level = if output == STDERR { log::Level::Warn } else { log::Level::Info };
    host.emit(level, String::from_utf8_lossy(&line).into_owned())
}

/// Logs what has been written since the last end of a line, once the guest is done.
pub(super) fn end(host: &mut Host) {
    for output in [STDOUT, STDERR] {
        if !host.wasi.line(output).is_empty() {
            let _the_log_is_full = end_line(host, output).is_err();
        }
    }
}

impl Wasi {
    /// That of an instance that sees this event; without one it is 1970.
    pub(super) fn of(event: Option<&guest::Event>) -> Self {
        let Some(event) = event else { return Self::default() };
        let time = event.time.as_deref().and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        let time = time.and_then(|time| {
            let seconds = u64::try_from(time.timestamp()).ok()?;
            Some(Duration::new(seconds, time.timestamp_subsec_nanos()))
        });
        let seed = Sha256::new().chain_update(&event.source).chain_update([0]).chain_update(&event.id);
        Self { event: time.unwrap_or_default(), seed: seed.finalize().into(), ..Self::default() }
    }

    fn random(&mut self, bytes: u64) -> Result<Vec<u8>, HostLimit> {
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= RANDOM_BYTES_MAX);
        let bytes = bytes.ok_or(HostLimit("random bytes"))?;
        let mut random = Vec::with_capacity(bytes);
        while random.len() < bytes {
            let block = self.block();
            random.extend_from_slice(&block[..block.len().min(bytes - random.len())]);
        }
        Ok(random)
    }

    fn random_number(&mut self) -> u64 {
        self.block().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn block(&mut self) -> [u8; 32] {
        self.blocks += 1;
        Sha256::new().chain_update(self.seed).chain_update(self.blocks.to_le_bytes()).finalize().into()
    }

    fn line(&mut self, output: u32) -> &mut Vec<u8> {
        let [stdout, stderr] = &mut self.lines;
        if output == STDERR { stderr } else { stdout }
    }
}
