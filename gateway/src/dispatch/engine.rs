//! The one WebAssembly engine: its settings, its compiler, and the thread that ticks its epochs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::compiler::Compiler;

/// How long a tick is, in milliseconds: the grain of a guest's time limit.
const TICK_MS: u64 = 5;
/// Memory of an instance that stays mapped between events, and so much of its tables, in bytes: giving
/// memory back stops every thread for a moment.
const KEEP_RESIDENT_BYTES: usize = 512 << 10;
/// Instances at the same time.
pub(super) const INSTANCES_MAX: u32 = 64;
/// Memories of one plugin, and its tables: what one takes, no other one has.
const MEMORIES_MAX: u32 = 4;
/// Modules of one plugin; Python's has 38.
const MODULES_MAX: u32 = 48;
/// The largest memory that a plugin's limit may ask for, in bytes.
pub(super) const MEMORY_BYTES_CEILING: usize = 256 << 20;

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused the settings, or the machine lacks address space.
    #[error("wasmtime refused its settings: {0}")]
    Settings(String),
    /// The ticking thread did not start.
    #[error("the epoch thread did not start")]
    Thread(#[from] std::io::Error),
}

/// Where the memory of instances comes from. What a plugin decides does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// From a pool that is reserved at the start: fast, and its size is a limit.
    Pooled,
    /// From the system, each time.
    OnDemand,
}

/// The engine. Cheap to clone; the thread ends with the last clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) wasm: wasmtime::Engine,
    pub(super) compiler: Compiler,
    _ticker: Arc<Ticker>,
}

impl Engine {
    /// Makes the engine that serves all plugins.
    ///
    /// # Errors
    /// When the machine cannot give what the settings ask for.
    pub fn new(compiler: Compiler, allocation: Allocation) -> Result<Self, EngineError> {
        let wasm = wasmtime::Engine::new(&settings(allocation))
            .map_err(|error| EngineError::Settings(format!("{error:#}")))?;
        let ticker = Arc::new(Ticker::start(wasm.clone())?);
        Ok(Self { wasm, compiler, _ticker: ticker })
    }
}

/// The same code and the same decisions for every engine, the compiler's among them.
pub(super) fn settings(allocation: Allocation) -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        // Two processors may differ in the bits of a NaN; a decision must not.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        // Failures are told by their kind, not by where they were.
        .generate_address_map(false)
        .wasm_backtrace_max_frames(None)
        .allocation_strategy(match allocation {
            Allocation::Pooled => InstanceAllocationStrategy::Pooling(pool()),
            Allocation::OnDemand => InstanceAllocationStrategy::OnDemand,
        });
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(INSTANCES_MAX * 8)
        .total_memories(INSTANCES_MAX)
        .total_tables(INSTANCES_MAX * 4)
        .max_core_instances_per_component(MODULES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(MEMORIES_MAX)
        .max_memory_size(MEMORY_BYTES_CEILING)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES);
    pool
}

/// Increments the engine's epoch; joined when it is dropped.
#[derive(Debug)]
struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(TICK_MS));
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _the_thread_never_panics = thread.join().is_err();
        }
    }
}
