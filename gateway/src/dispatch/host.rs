//! What a guest may call: the log and look-ups, each counted against a limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

use super::bindings::riposte::plugin::desired_state::{self, ObjectRef as GuestRef, OwnerError};
use super::bindings::riposte::plugin::{log, types};
use super::catalog::Limits;
use super::sandbox::LogLine;
use crate::model::manifest::ObjectRef;
use crate::repository::{OwnerLookupError, Snapshot};

/// The state of one instance.
pub(super) struct Host {
    snapshot: Option<Arc<Snapshot>>,
    limits: Limits,
    pub(super) log: Vec<LogLine>,
    log_bytes: usize,
    lookups: usize,
    /// When nobody waits for the answer any more.
    deadline: Instant,
    /// The linear memory of all of its modules, in bytes.
    pub(super) memory_bytes: usize,
    /// The elements of all of its tables.
    table_elements: usize,
    pub(super) memory_exceeded: bool,
    pub(super) table_exceeded: bool,
}

/// A guest called more than it may.
#[derive(Debug, thiserror::Error)]
#[error("exceeded its limit of {0}")]
pub(super) struct HostLimit(pub(super) &'static str);

/// A guest called when its time was over.
#[derive(Debug, thiserror::Error)]
#[error("its time is over")]
pub(super) struct Late;

impl Host {
    pub(super) fn new(snapshot: Option<Arc<Snapshot>>, limits: Limits) -> Self {
        Self {
            snapshot,
            deadline: Instant::now() + Duration::from_millis(limits.invocation_ms),
            limits,
            log: Vec::new(),
            log_bytes: 0,
            lookups: 0,
            memory_bytes: 0,
            table_elements: 0,
            memory_exceeded: false,
            table_exceeded: false,
        }
    }

    /// Look-ups take the host's time, of which the guest's epoch knows only once it runs again.
    fn look_up(&mut self) -> wasmtime::Result<Option<&Snapshot>> {
        if Instant::now() > self.deadline {
            return Err(Late.into());
        }
        self.lookups += 1;
        if self.lookups > self.limits.lookups_max {
            return Err(HostLimit("look-ups").into());
        }
        Ok(self.snapshot.as_deref())
    }
}

impl types::Host for Host {}

impl log::Host for Host {
    fn emit(&mut self, level: log::Level, mut message: String) -> wasmtime::Result<()> {
        let mut cut = message.len().min(self.limits.log_line_bytes_max);
        while !message.is_char_boundary(cut) {
            cut -= 1;
        }
        message.truncate(cut);
        self.log_bytes += message.len();
        if self.log.len() >= self.limits.log_lines_max || self.log_bytes > self.limits.log_bytes_max {
            return Err(HostLimit("log lines").into());
        }
        let level = match level {
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Warn => "warn",
            log::Level::Error => "error",
        };
        self.log.push(LogLine { level, message });
        Ok(())
    }
}

impl desired_state::Host for Host {
    fn get(&mut self, target: GuestRef) -> wasmtime::Result<Option<String>> {
        let target = from_guest(target);
        let manifest = self.look_up()?.and_then(|snapshot| snapshot.manifest(&target));
        Ok(manifest.map(|manifest| manifest.to_string()))
    }

    fn find(&mut self, kind: String, namespace: Option<String>) -> wasmtime::Result<Vec<GuestRef>> {
        let found = self.look_up()?.map(|snapshot| snapshot.list(&kind, namespace.as_deref()));
        Ok(found.unwrap_or_default().into_iter().map(to_guest).collect())
    }

    fn owner(&mut self, namespace: String, pod: String) -> wasmtime::Result<Result<GuestRef, OwnerError>> {
        let Some(snapshot) = self.look_up()? else { return Ok(Err(OwnerError::Unknown)) };
        Ok(match snapshot.owner(&namespace, &pod) {
            Ok(owner) => Ok(to_guest(owner)),
            Err(OwnerLookupError::Unknown) => Err(OwnerError::Unknown),
            Err(OwnerLookupError::Ambiguous(candidates)) => {
                Err(OwnerError::Ambiguous(candidates.into_iter().map(to_guest).collect()))
            }
        })
    }
}

impl ResourceLimiter for Host {
    // A component may have several modules, and each of them a memory: together they count.
    fn memory_growing(&mut self, now: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.memory_bytes.saturating_add(desired.saturating_sub(now));
        let granted = wanted <= self.limits.memory_bytes_max;
        if granted {
            self.memory_bytes = wanted;
        }
        self.memory_exceeded |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, now: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.table_elements.saturating_add(desired.saturating_sub(now));
        let granted = wanted <= self.limits.table_elements_max;
        if granted {
            self.table_elements = wanted;
        }
        self.table_exceeded |= !granted;
        Ok(granted)
    }
}

pub(super) fn from_guest(target: GuestRef) -> ObjectRef {
    ObjectRef {
        api_version: target.api_version,
        kind: target.kind,
        namespace: target.namespace,
        name: target.name,
    }
}

fn to_guest(target: ObjectRef) -> GuestRef {
    GuestRef {
        api_version: target.api_version,
        kind: target.kind,
        namespace: target.namespace,
        name: target.name,
    }
}
