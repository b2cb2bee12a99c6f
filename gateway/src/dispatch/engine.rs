//! The one WebAssembly engine: its settings, and the thread that ticks its epochs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How long a tick is, in milliseconds: the grain of a guest's time limit.
pub(super) const TICK_MS: u64 = 5;
/// Memory of an instance that stays mapped between events, in bytes.
const KEEP_RESIDENT_BYTES: usize = 512 << 10;
/// Instances at the same time.
pub(super) const INSTANCES_MAX: u32 = 64;
/// Memories of one plugin, and its tables: what one takes, no other one has.
const MEMORIES_MAX: u32 = 4;
/// Modules of one plugin.
const MODULES_MAX: u32 = 16;
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

/// The engine. Cheap to clone; the thread ends with the last clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) wasm: wasmtime::Engine,
    _ticker: Arc<Ticker>,
}

impl Engine {
    /// Makes the engine that serves all plugins.
    ///
    /// # Errors
    /// When the machine cannot give what the settings ask for.
    pub fn new() -> Result<Self, EngineError> {
        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(INSTANCES_MAX)
            .total_core_instances(INSTANCES_MAX * 4)
            .total_memories(INSTANCES_MAX)
            .total_tables(INSTANCES_MAX * 4)
            .max_core_instances_per_component(MODULES_MAX)
            .max_memories_per_component(MEMORIES_MAX)
            .max_tables_per_component(MEMORIES_MAX)
            .max_memory_size(MEMORY_BYTES_CEILING)
            .linear_memory_keep_resident(KEEP_RESIDENT_BYTES);
        let mut config = Config::new();
        config
            .consume_fuel(true)
            .epoch_interruption(true)
            // Two processors may differ in the bits of a NaN; a decision must not.
            .cranelift_nan_canonicalization(true)
            .wasm_relaxed_simd(false)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let wasm =
            wasmtime::Engine::new(&config).map_err(|error| EngineError::Settings(format!("{error:#}")))?;
        let ticker = Arc::new(Ticker::start(wasm.clone())?);
        Ok(Self { wasm, _ticker: ticker })
    }
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
