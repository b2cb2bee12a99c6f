//! What a guest may call: the log and look-ups, each counted against a limit, and its time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

use super::bindings::riposte::plugin::desired_state::{self, ObjectRef as GuestRef, OwnerError};
use super::bindings::riposte::plugin::{log, types};
use super::catalog::Limits;
use super::sandbox::LogLine;
use super::wasi::Wasi;
use crate::model::manifest::ObjectRef;
use crate::snapshot::{OwnerLookupError, Snapshot};

/// The state of one instance.
pub(super) struct Host {
    snapshot: Option<Arc<Snapshot>>,
    pub(super) limits: Limits,
    pub(super) wasi: Wasi,
    began: Instant,
    /// Of the time since, what look-ups took: it is not the guest's.
    looking_up: Duration,
    pub(super) log: Vec<LogLine>,
    log_bytes: usize,
    lookups: usize,
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

/// The time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Overdue {
    /// The guest's own.
    #[error("the guest's time is over")]
    Guest,
    /// That of the whole invocation.
    #[error("the invocation's time is over")]
    Invocation,
}

impl Host {
    pub(super) fn new(snapshot: Option<Arc<Snapshot>>, limits: Limits) -> Self {
        Self {
            snapshot,
            limits,
            began: Instant::now(),
            looking_up: Duration::ZERO,
            wasi: Wasi::default(),
            log: Vec::new(),
            log_bytes: 0,
            lookups: 0,
            memory_bytes: 0,
            table_elements: 0,
            memory_exceeded: false,
            table_exceeded: false,
        }
    }

    /// Whether the guest, or all of the invocation, has had its time.
    pub(super) fn on_time(&self) -> Result<(), Overdue> {
        let whole = self.began.elapsed();
        if whole >= Duration::from_millis(self.limits.invocation_ms) {
            Err(Overdue::Invocation)
        } else if whole.saturating_sub(self.looking_up) >= Duration::from_millis(self.limits.guest_time_ms) {
            Err(Overdue::Guest)
        } else {
            Ok(())
        }
    }

    /// Asks the snapshot, unless the guest has asked too much or the time is over.
    fn look_up<T>(&mut self, ask: impl FnOnce(&Snapshot) -> T) -> wasmtime::Result<Option<T>> {
        self.lookups += 1;
        if self.lookups > self.limits.lookups_max {
            return Err(HostLimit("look-ups").into());
        }
        self.on_time()?;
        let asked = Instant::now();
        let answer = self.snapshot.as_deref().map(ask);
        self.looking_up += asked.elapsed();
        self.on_time()?;
        Ok(answer)
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
        let manifest = self.look_up(|snapshot| snapshot.manifest(&target))?.flatten();
        Ok(manifest.map(|manifest| manifest.to_string()))
    }

    fn find(&mut self, kind: String, namespace: Option<String>) -> wasmtime::Result<Vec<GuestRef>> {
        let found = self.look_up(|snapshot| snapshot.list(&kind, namespace.as_deref()))?;
        Ok(found.unwrap_or_default().into_iter().map(to_guest).collect())
    }

    fn owner(&mut self, namespace: String, pod: String) -> wasmtime::Result<Result<GuestRef, OwnerError>> {
        Ok(match self.look_up(|snapshot| snapshot.owner(&namespace, &pod))? {
            Some(Ok(owner)) => Ok(to_guest(owner)),
            None | Some(Err(OwnerLookupError::Unknown)) => Err(OwnerError::Unknown),
            Some(Err(OwnerLookupError::Ambiguous(candidates))) => {
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
