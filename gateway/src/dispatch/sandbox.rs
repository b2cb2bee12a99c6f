//! One invocation: a fresh store and instance, the limits around it, the answer read back.

use std::sync::Arc;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};

use super::bindings::riposte::plugin::types as guest;
use super::bindings::{Plugin as Instance, PluginPre};
use super::catalog::{Limits, LoadError};
use super::component::CONTRACT;
use super::description::checked;
use super::engine::Engine;
use super::failure::Failure;
use super::host::{Host, HostLimit, Overdue, from_guest};
use super::wasi::{self, DeniedCall, Wasi};
use crate::model::event::Event;
use crate::model::manifest::ObjectRef;
use crate::model::patch::{Change, Changes, Decision, EXPIRES_AFTER_S_MAX, Patch};
use crate::model::text::cut;
use crate::snapshot::Snapshot;

/// The longest reason of a plugin, in bytes; the rest is cut off.
pub(super) const REASON_BYTES_MAX: usize = 4 << 10;
/// The longest title of a proposal, in bytes.
const TITLE_BYTES_MAX: usize = 256;
/// The longest part of an object's name, in bytes: Kubernetes has no longer one.
const NAME_BYTES_MAX: usize = 253;

/// A line that a plugin logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// What it said, cut at the limit.
    pub message: String,
}

/// A decision and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatched {
    /// The decision.
    pub decision: Decision,
    /// The fuel used: the same for the same inputs.
    pub fuel: u64,
    /// What the plugin logged.
    pub log: Vec<LogLine>,
}

/// One invocation with what it took, whether it came to a decision or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The decision, or why there is none.
    pub answer: Result<Decision, Failure>,
    /// The fuel used; not known of a guest that trapped for another reason than its fuel.
    pub fuel: Option<u64>,
    /// The most linear memory that the guest had, in bytes.
    pub memory_bytes: usize,
    /// What the plugin logged.
    pub log: Vec<LogLine>,
}

/// A call's answer and the state that the guest left behind.
struct Run<T> {
    answer: Result<T, Failure>,
    fuel: Option<u64>,
    host: Host,
}

/// A compiled plugin that can be run, again and again, each time anew.
#[derive(Clone)]
pub(super) struct Sandbox {
    plugin: String,
    pub(super) engine: Engine,
    pub(super) pre: PluginPre<Host>,
    pub(super) limits: Limits,
    /// Whether it imports WASI; what does not pays nothing for it.
    wasi: bool,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Links a component to what the host gives.
    pub(super) fn new(
        plugin: &str,
        engine: &Engine,
        component: &Component,
        limits: Limits,
    ) -> Result<Self, LoadError> {
        Self::linked(plugin, engine, component, limits).map_err(|error| LoadError::Invalid {
            plugin: plugin.to_owned(),
            reason: format!("it does not follow the contract {CONTRACT}: {error:#}"),
        })
    }

    fn linked(
        plugin: &str,
        engine: &Engine,
        component: &Component,
        limits: Limits,
    ) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(&engine.wasm);
        Instance::add_to_linker::<_, HasSelf<_>>(&mut linker, |host: &mut Host| host)?;
        let wasi = wasi::link(&mut linker, component)?;
        let pre = PluginPre::new(linker.instantiate_pre(component)?)?;
        Ok(Self { plugin: plugin.to_owned(), engine: engine.clone(), pre, limits, wasi })
    }

    /// What the plugin says of itself.
    pub(super) fn describe(&self) -> Result<guest::Description, Failure> {
        self.run(None, None, |instance, store| instance.call_describe(store)).answer.and_then(checked)
    }

    /// Whether the plugin accepts a configuration.
    pub(super) fn validate_config(&self, config: &str) -> Result<Result<(), String>, Failure> {
        self.run(None, None, |instance, store| instance.call_validate_config(store, config)).answer
    }

    /// Lets the plugin decide. Blocks for as long as the guest runs.
    pub(super) fn handle(
        &self,
        event: &Event,
        config: &str,
        snapshot: Arc<Snapshot>,
    ) -> Result<Dispatched, Failure> {
        let trial = self.trial(event, config, snapshot);
        Ok(Dispatched { decision: trial.answer?, fuel: trial.fuel.unwrap_or_default(), log: trial.log })
    }

    /// The same, and says what it took also when there is no decision.
    pub(super) fn trial(&self, event: &Event, config: &str, snapshot: Arc<Snapshot>) -> Trial {
        let event = to_guest(event);
        let Run { answer, fuel, host } = self
            .run(Some(&event), Some(snapshot), |instance, store| instance.call_handle(store, &event, config));
        let answer = answer.and_then(|answer| match answer {
            Ok(decision) => read(decision, &self.limits),
            Err(error) => {
                let reason = match error {
                    guest::PluginError::InvalidEvent(reason) => format!("the event is invalid: {reason}"),
                    guest::PluginError::InvalidConfig(reason) => {
                        format!("the configuration is invalid: {reason}")
                    }
                    guest::PluginError::Internal(reason) => reason,
                };
                Err(Failure::PluginError(cut(reason, REASON_BYTES_MAX)))
            }
        });
        Trial { answer, fuel, memory_bytes: host.memory_bytes, log: host.log }
    }

    fn run<T>(
        &self,
        event: Option<&guest::Event>,
        snapshot: Option<Arc<Snapshot>>,
        call: impl FnOnce(&Instance, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Run<T> {
        let mut store = Store::new(&self.engine.wasm, self.host(event, snapshot, self.limits.clone()));
        store.limiter(|host| host);
        store.set_hostcall_fuel(self.limits.host_call_bytes_max);
        // Each tick asks whether the time is over, so that a look-up's time is not the guest's.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|context| {
            context.data().on_time()?;
            Ok(UpdateDeadline::Continue(1))
        });
        let fueled = store.set_fuel(self.limits.fuel);
        let called = fueled
            .and_then(|()| self.pre.instantiate(&mut store))
            .and_then(|instance| call(&instance, &mut store));
        let answer = called.map_err(|error| self.failure(&error, store.data()));
        wasi::end(store.data_mut());
        self.say(&store.data().log);
        // A trap leaves the count where the guest last wrote it down.
        let fuel = match &answer {
            Ok(_) => store.get_fuel().ok().map(|left| self.limits.fuel.saturating_sub(left)),
            Err(Failure::OutOfFuel { fuel }) => Some(*fuel),
            Err(_) => None,
        };
        Run { answer, fuel, host: store.into_data() }
    }

    /// What a fresh instance of the plugin may call.
    pub(super) fn host(
        &self,
        event: Option<&guest::Event>,
        snapshot: Option<Arc<Snapshot>>,
        limits: Limits,
    ) -> Host {
        let mut host = Host::new(snapshot, limits);
        if self.wasi {
            host.wasi = Wasi::of(event);
        }
        host
    }

    /// A plugin's lines are the operator's to read, whether it came to an answer or not.
    fn say(&self, lines: &[LogLine]) {
        for LogLine { level, message } in lines {
            match *level {
                "debug" => tracing::debug!(plugin.name = self.plugin, plugin.says = message, "a plugin says"),
                "info" => tracing::info!(plugin.name = self.plugin, plugin.says = message, "a plugin says"),
                _ => tracing::warn!(plugin.name = self.plugin, level, plugin.says = message, "a plugin says"),
            }
        }
    }

    /// The kind of a failed call. Matched on types, never on texts.
    fn failure(&self, error: &wasmtime::Error, host: &Host) -> Failure {
        if host.memory_exceeded {
            return Failure::Memory { memory_bytes_max: self.limits.memory_bytes_max };
        }
        if host.table_exceeded {
            return Failure::Table { table_elements_max: self.limits.table_elements_max };
        }
        match error.downcast_ref::<Overdue>() {
            Some(Overdue::Guest) => {
                return Failure::CpuDeadline { guest_time_ms: self.limits.guest_time_ms };
            }
            Some(Overdue::Invocation) => {
                return Failure::InvocationTimeout { invocation_ms: self.limits.invocation_ms };
            }
            None => {}
        }
        if let Some(HostLimit(what)) = error.downcast_ref::<HostLimit>() {
            return Failure::HostCalls(what);
        }
        if let Some(DeniedCall(function)) = error.downcast_ref::<DeniedCall>() {
            return Failure::DeniedCall(function.clone());
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Failure::Crowded;
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Failure::OutOfFuel { fuel: self.limits.fuel },
            Some(Trap::UnreachableCodeReached) => match panic_message(&host.log) {
                Some(message) => Failure::Panic(message),
                None => Failure::Trap(Trap::UnreachableCodeReached.to_string()),
            },
            Some(trap) => Failure::Trap(trap.to_string()),
            // What is no trap comes from reading the answer.
            None => Failure::BadOutput(format!("{:#}", error.root_cause())),
        }
    }
}

/// The sdk's panic hook logs before the trap.
fn panic_message(log: &[LogLine]) -> Option<String> {
    let last = log.last().filter(|line| line.level == "error")?;
    last.message.strip_prefix("panic: ").map(str::to_owned)
}

pub(super) fn to_guest(event: &Event) -> guest::Event {
    let data = match event.data() {
        None => guest::Payload::None,
        Some(data) => match std::str::from_utf8(data) {
            Ok(text) if event.data_is_json() => guest::Payload::Json(text.to_owned()),
            Ok(text) => guest::Payload::Text(text.to_owned()),
            Err(_) => guest::Payload::Binary(data.to_vec()),
        },
    };
    let extensions = event.extensions().into_iter();
    let owned = |text: Option<&str>| text.map(str::to_owned);
    guest::Event {
        id: event.id().to_owned(),
        source: event.source().to_owned(),
        event_type: event.event_type().to_owned(),
        subject: owned(event.subject()),
        time: owned(event.time()),
        dataschema: owned(event.dataschema()),
        datacontenttype: owned(event.datacontenttype()),
        extensions: extensions.map(|(name, value)| guest::Attribute { name, value }).collect(),
        data,
    }
}

fn read(decision: guest::Decision, limits: &Limits) -> Result<Decision, Failure> {
    let bad = |reason: String| Err(Failure::BadOutput(reason));
    let proposal = match decision {
        guest::Decision::Ignore(reason) => {
            return if reason.len() > limits.decision_bytes_max {
                bad(format!("a reason is longer than {} bytes", limits.decision_bytes_max))
            } else {
                Ok(Decision::Ignore { reason: cut(reason, REASON_BYTES_MAX) })
            };
        }
        guest::Decision::Propose(proposal) => proposal,
    };
    if proposal.patches.is_empty() || proposal.patches.len() > limits.patches_max {
        return bad(format!(
            "a proposal has from 1 to {} patches, not {}",
            limits.patches_max,
            proposal.patches.len()
        ));
    }
    if proposal.title.trim().is_empty() || proposal.title.chars().any(char::is_control) {
        return bad("a proposal's title is one line that is not empty".to_owned());
    }
    let expires_after_s = proposal.expires_after_s;
    if expires_after_s.is_some_and(|seconds| seconds == 0 || seconds > EXPIRES_AFTER_S_MAX) {
        return bad(format!("a proposal expires after 1 to {EXPIRES_AFTER_S_MAX} seconds, or never"));
    }
    let mut bytes = proposal.title.len() + proposal.reason.len();
    let mut patches = Vec::with_capacity(proposal.patches.len());
    for patch in proposal.patches {
        bytes += match &patch.change {
            guest::Change::JsonPatch(text)
            | guest::Change::MergePatch(text)
            | guest::Change::StrategicMergePatch(text) => text.len(),
            guest::Change::Create(creation) => creation.manifest.len(),
            guest::Change::Delete => 0,
        };
        if bytes > limits.decision_bytes_max {
            return bad(format!("a decision is larger than {} bytes", limits.decision_bytes_max));
        }
        let change = read_change(patch.change)?;
        patches.push(Patch { target: named(patch.target)?, change });
    }
    let (title, reason) = (cut(proposal.title, TITLE_BYTES_MAX), cut(proposal.reason, REASON_BYTES_MAX));
    Ok(Decision::Propose(Changes { patches, title, reason, expires_after_s }))
}

/// An object that can be one: a longer name is no name, and would be told again with every reason
/// against it.
fn named(target: guest::ObjectRef) -> Result<ObjectRef, Failure> {
    let target = from_guest(target);
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let parts = [&target.api_version, &target.kind, &target.name, namespace];
    if parts.iter().any(|part| part.len() > NAME_BYTES_MAX) {
        let reason = format!("a part of an object's name is longer than {NAME_BYTES_MAX} bytes");
        return Err(Failure::BadOutput(reason));
    }
    Ok(target)
}

fn read_change(change: guest::Change) -> Result<Change, Failure> {
    let json = |text: &str, fits: fn(&serde_json::Value) -> bool| {
        let bad = |reason: String| Failure::BadOutput(reason);
        let value =
            serde_json::from_str(text).map_err(|error| bad(format!("a patch is no JSON: {error}")))?;
        let wrong = "a JSON Patch is an array, a merge patch and a manifest are objects";
        if fits(&value) { Ok(value) } else { Err(bad(wrong.to_owned())) }
    };
    Ok(match change {
        guest::Change::JsonPatch(text) => Change::JsonPatch(json(&text, serde_json::Value::is_array)?),
        guest::Change::MergePatch(text) => Change::MergePatch(json(&text, serde_json::Value::is_object)?),
        guest::Change::StrategicMergePatch(text) => {
            Change::StrategicMergePatch(json(&text, serde_json::Value::is_object)?)
        }
        guest::Change::Create(guest::Creation { manifest, beside }) => {
            let manifest = json(&manifest, serde_json::Value::is_object)?;
            Change::Create { manifest, beside: named(beside)? }
        }
        guest::Change::Delete => Change::Delete {},
    })
}
