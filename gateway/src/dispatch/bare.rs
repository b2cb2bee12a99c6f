//! A plugin's guest without the sandbox: what wasmtime alone takes, for a benchmark to stand beside.
//!
//! The engine is the same, and so are the guest's code, the event and the desired state. What is left
//! out is all that makes it safe: the limits, the time, the reading of the answer.

use std::sync::Arc;

use wasmtime::Store;

use super::bindings::riposte::plugin::types as guest;
use super::catalog::Limits;
use super::sandbox::{Sandbox, to_guest};
use crate::model::event::Event;
use crate::snapshot::Snapshot;

/// A guest that is ready to be called, each time in a fresh instance.
pub struct Bare {
    sandbox: Sandbox,
    event: guest::Event,
    config: String,
    snapshot: Arc<Snapshot>,
}

impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bare").field("sandbox", &self.sandbox).finish_non_exhaustive()
    }
}

impl Bare {
    pub(super) fn new(sandbox: Sandbox, event: &Event, config: String, snapshot: Arc<Snapshot>) -> Self {
        Self { sandbox, event: to_guest(event), config, snapshot }
    }

    /// Calls it once, without any limit.
    ///
    /// # Errors
    /// What wasmtime says: the guest trapped, or answered what cannot be read.
    pub fn call(&self) -> Result<(), String> {
        let snapshot = Some(Arc::clone(&self.snapshot));
        let host = self.sandbox.host(Some(&self.event), snapshot, Limits::default());
        let mut store = Store::new(&self.sandbox.engine.wasm, host);
        store.set_epoch_deadline(u64::MAX / 2);
        let called = store
            .set_fuel(u64::MAX)
            .and_then(|()| self.sandbox.pre.instantiate(&mut store))
            .and_then(|instance| instance.call_handle(&mut store, &self.event, &self.config));
        called.map(drop).map_err(|error| format!("{error:#}"))
    }
}
