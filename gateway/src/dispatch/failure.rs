//! How a plugin can fail, by kind.

/// A plugin that came to no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It used more fuel than its limit.
    #[error("used all of its {fuel} fuel")]
    OutOfFuel {
        /// The limit.
        fuel: u64,
    },
    /// It ran longer than its limit.
    #[error("ran for {guest_time_ms} ms without an end")]
    CpuDeadline {
        /// The limit.
        guest_time_ms: u64,
    },
    /// The whole invocation, host calls among it, took longer than its limit.
    #[error("did not answer within {invocation_ms} ms")]
    InvocationTimeout {
        /// The limit.
        invocation_ms: u64,
    },
    /// It wanted more memory than its limit.
    #[error("wanted more than {memory_bytes_max} bytes of memory")]
    Memory {
        /// The limit.
        memory_bytes_max: usize,
    },
    /// It wanted a table larger than its limit.
    #[error("wanted a table of more than {table_elements_max} elements")]
    Table {
        /// The limit.
        table_elements_max: usize,
    },
    /// Too many plugins run at the same time; this one is not to blame.
    #[error("all instances of the engine are in use")]
    Crowded,
    /// It panicked; the sdk's hook has said why.
    #[error("{0}")]
    Panic(String),
    /// It trapped.
    #[error("{0}")]
    Trap(String),
    /// It called a function that no plugin is given.
    #[error("called {0}, which no plugin is given")]
    DeniedCall(String),
    /// It logged or looked up more than its limit.
    #[error("exceeded its limit of {0}")]
    HostCalls(&'static str),
    /// Its answer is no decision.
    #[error("{0}")]
    BadOutput(String),
    /// It says that it cannot decide.
    #[error("{0}")]
    PluginError(String),
}

impl Failure {
    /// The kind in kebab-case, for the journal and the metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OutOfFuel { .. } => "out-of-fuel",
            Self::CpuDeadline { .. } => "cpu-deadline",
            Self::InvocationTimeout { .. } => "invocation-timeout",
            Self::Memory { .. } => "memory",
            Self::Table { .. } => "table",
            Self::Crowded => "crowded",
            Self::Panic(_) => "panic",
            Self::Trap(_) => "trap",
            Self::DeniedCall(_) => "denied-call",
            Self::HostCalls(_) => "host-calls",
            Self::BadOutput(_) => "bad-output",
            Self::PluginError(_) => "plugin-error",
        }
    }

    /// Whether another try may end differently: only time can, everything else is determined.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::CpuDeadline { .. } | Self::InvocationTimeout { .. } | Self::Crowded)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wasmtime::Store;
    use wasmtime::component::Component;

    use super::super::catalog::{BUNDLED, Limits};
    use super::super::compiler::Compiler;
    use super::super::component::component_of;
    use super::super::engine::{Allocation, Engine, INSTANCES_MAX};
    use super::super::host::Host;
    use super::super::sandbox::Sandbox;

    #[test]
    fn an_engine_without_a_free_place_is_no_fault_of_the_plugin() {
        let compiler = Compiler::new(Path::new("/nowhere"), None);
        let engine = Engine::new(compiler, Allocation::Pooled).expect("an engine");
        let (name, file) = BUNDLED[0];
        let component = component_of(file).and_then(|component| {
            Component::from_binary(&engine.wasm, &component).map_err(|error| error.to_string())
        });
        let limits = Limits { guest_time_ms: 60_000, invocation_ms: 60_000, ..Limits::default() };
        let sandbox =
            Sandbox::new(name, &engine, &component.expect("a component"), limits).expect("a sandbox");
        let taken: Vec<Store<Host>> = (0..INSTANCES_MAX)
            .map(|_| {
                let mut store = Store::new(&engine.wasm, Host::new(None, Limits::default()));
                store.set_epoch_deadline(u64::MAX / 2);
                store.set_fuel(u64::MAX).expect("fuel");
                sandbox.pre.instantiate(&mut store).expect("a place");
                store
            })
            .collect();
        let crowded = sandbox.describe().expect_err("no place is left");
        assert_eq!((crowded.kind(), crowded.is_transient()), ("crowded", true), "{crowded:?}");
        drop(taken);
        assert!(sandbox.describe().is_ok(), "the places are free again");
    }
}
