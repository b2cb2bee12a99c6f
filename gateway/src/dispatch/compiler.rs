//! Compilation: in a process of its own with limits, because a hostile file can make a compiler take
//! all time and all memory; its result is kept in the cache.
//!
//! The process is this program again, with the command `compile`: the file comes in on standard input
//! and its code goes out on standard output. Nothing is compiled where events are handled.

use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use super::cache::Cache;
use super::catalog::{Limits, LoadError};
use super::component::{component_of, hexadecimal};
use super::engine::{Allocation, EngineError, settings};

/// The command of the program that compiles.
pub const COMMAND: &str = "compile";
/// The status of a compiler that says no; what it says is on standard error.
const REFUSED: i32 = 1;
/// What is told of the words of a compiler that ended badly, in bytes.
const LAST_WORDS_BYTES_MAX: usize = 2_000;

/// How plugins are compiled, and where their code is kept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Compiler {
    program: PathBuf,
    cache: Option<Cache>,
}

impl Compiler {
    /// A compiler that is `program compile`, with a cache in `folder`.
    ///
    /// A cache that cannot be used is said in the log and done without: it only saves time.
    #[must_use]
    pub fn new(program: &Path, folder: Option<&Path>) -> Self {
        let opened = folder.map(|folder| (folder, Cache::open(folder)));
        let cache = opened.and_then(|(folder, cache)| {
            let say = |error: &std::io::Error| {
                let folder = folder.display();
                tracing::warn!(cache.dir = %folder, error = %error, "compiled plugins cannot be kept; each start compiles them");
            };
            cache.inspect_err(say).ok()
        });
        Self { program: program.to_owned(), cache }
    }

    /// The same with the program that runs now, also where its file has been replaced since.
    ///
    /// # Errors
    /// When the system does not tell which program that is.
    pub fn of_this_program(folder: Option<&Path>) -> std::io::Result<Self> {
        let link = Path::new("/proc/self/exe");
        let program = if link.exists() { link.to_owned() } else { std::env::current_exe()? };
        Ok(Self::new(&program, folder))
    }

    /// The code of a plugin's file: the cached one, or one that is compiled now.
    #[expect(unsafe_code, reason = "wasmtime cannot check compiled code; this is the one place that maps it")]
    pub(super) fn component(
        &self,
        engine: &wasmtime::Engine,
        plugin: &str,
        file: &[u8],
        digest: &str,
        limits: &Limits,
    ) -> Result<Component, LoadError> {
        let name = name_of(engine, digest);
        // SAFETY: the cache has checked with its key that the code is what this program once wrote.
        let load = |code: &[u8]| unsafe { Component::deserialize(engine, code) };
        if let Some(component) =
            self.cache.as_ref().and_then(|cache| cache.get(&name)).and_then(|code| load(&code).ok())
        {
            return Ok(component);
        }
        let code = self.compile(plugin, file, limits)?;
        if let Some(cache) = &self.cache {
            cache.put(&name, &code);
        }
        load(&code).map_err(|error| LoadError::Compiler {
            plugin: plugin.to_owned(),
            reason: format!("its code cannot be loaded: {error:#}"),
        })
    }

    fn compile(&self, plugin: &str, file: &[u8], limits: &Limits) -> Result<Vec<u8>, LoadError> {
        let failed = |reason: String| LoadError::Compiler { plugin: plugin.to_owned(), reason };
        let output = self.run(file, limits).map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = &output.stderr[..output.stderr.len().min(LAST_WORDS_BYTES_MAX)];
        let said = String::from_utf8_lossy(said).trim().trim_start_matches("riposte: ").to_owned();
        if output.status.code() == Some(REFUSED) {
            return Err(LoadError::Invalid { plugin: plugin.to_owned(), reason: said });
        }
        Err(failed(reason(output.status, &said, limits)))
    }

    fn run(&self, file: &[u8], limits: &Limits) -> std::io::Result<Output> {
        let mut child = Command::new(&self.program)
            .arg(COMMAND)
            .args(["--cpu-s", &limits.compile_cpu_s.to_string()])
            .args(["--memory-bytes", &limits.compile_memory_bytes_max.to_string()])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // It reads all of it before it writes; one that has ended already tells why by its status.
            let _it_may_have_ended = stdin.write_all(file).is_err();
        }
        child.wait_with_output()
    }
}

/// Why a compiler ended that was not to end so.
fn reason(status: ExitStatus, said: &str, limits: &Limits) -> String {
    let by = |signal: Signal| status.signal() == Some(signal.as_raw());
    if by(Signal::KILL) {
        return "the compiler was killed, as happens when the container's memory limit is too small for it"
            .to_owned();
    }
    if by(Signal::XCPU) {
        let most = limits.compile_cpu_s;
        return format!("it takes more than {most} s to compile; limits.compileCpuS can be raised");
    }
    if by(Signal::ABORT) {
        let most = limits.compile_memory_bytes_max;
        return format!(
            "it takes more than {most} bytes to compile; limits.compileMemoryBytesMax can be raised"
        );
    }
    format!("the compiler ended with {status}: {said}")
}

/// A name for the code of that file on this engine; another program or setting has another one.
fn name_of(engine: &wasmtime::Engine, digest: &str) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let whole = format!("{} {} {digest}", env!("CARGO_PKG_VERSION"), hasher.finish());
    hexadecimal(&Sha256::digest(whole))
}

/// A compiler's process could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The limits could not be set, or the file not be read, or the code not be written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The engine could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The file is no plugin.
    #[error("{0}")]
    Invalid(String),
}

/// What the process does: limits itself, reads a file, writes its code.
///
/// # Errors
/// When the file is no plugin. Beyond the limits the process ends by a signal.
pub fn compile_within(
    cpu_s: u64,
    memory_bytes: u64,
    input: &mut impl Read,
    output: &mut impl Write,
) -> Result<(), CompileError> {
    let limits = [
        (Resource::Cpu, cpu_s),
        (Resource::As, memory_bytes),
        (Resource::Core, 0),
        // It writes no files, and opens none.
        (Resource::Fsize, 0),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit.saturating_add(1)) })
            .map_err(std::io::Error::from)?;
    }
    let mut file = Vec::new();
    input.read_to_end(&mut file)?;
    let invalid = |reason: String| CompileError::Invalid(reason);
    let component = component_of(&file).map_err(invalid)?;
    let engine = wasmtime::Engine::new(&settings(Allocation::OnDemand))
        .map_err(|error| EngineError::Settings(format!("{error:#}")))?;
    let code = engine.precompile_component(&component).map_err(|error| invalid(format!("{error:#}")))?;
    output.write_all(&code)?;
    Ok(output.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_ended_badly_is_told_by_how_it_ended() {
        let limits = Limits { compile_cpu_s: 7, compile_memory_bytes_max: 99, ..Limits::default() };
        let table = [
            (Signal::XCPU.as_raw(), "more than 7 s to compile; limits.compileCpuS"),
            (Signal::ABORT.as_raw(), "more than 99 bytes to compile; limits.compileMemoryBytesMax"),
            (Signal::KILL.as_raw(), "the container's memory limit is too small"),
            (Signal::SEGV.as_raw(), "signal: 11 (SIGSEGV) (core dumped): it said this"),
            (101 << 8, "exit status: 101: it said this"),
        ];
        for (raw, expected) in table {
            let core = if raw == Signal::SEGV.as_raw() { 0x80 } else { 0 };
            let said = reason(ExitStatus::from_raw(raw | core), "it said this", &limits);
            assert!(said.contains(expected), "{raw}: {said}");
        }
    }
}
