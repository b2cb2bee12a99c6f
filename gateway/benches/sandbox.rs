//! What the sandbox costs: `cargo bench --bench sandbox [-- SECONDS]`.
//!
//! Every figure is a ratio of two sides that take turns in the same run, so that a noisy machine is
//! noisy for both. Nothing is asserted: it prints, and a person reads.

mod measure;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use riposte::dispatch::{Allocation, Catalog, Compiler, Engine, Plugin, PluginConfig};
use riposte::model::event::{Event, EventParts};
use riposte::repository::{Repository, git};
use riposte::snapshot::Snapshot;
use riposte_sdk::ObjectRef;
use riposte_sdk::testing::{self, Setup};
use scale_to_zero::scale_to_zero;
use serde_json::{Value, json};

use measure::{Outcome, Times, in_turns, ratio, say, seconds};

const BRANCH: &str = "main";
/// What a real Falco said of a shell in a container; 865 bytes.
const ALERT: &str = include_str!("../demo/terminal-shell.json");
const WORKLOAD: &str = include_str!("../demo/apps/alpine.yaml");
const POD: (&str, &str) = ("default", "alpine-deployment-77789455d6-m7flp");
/// Calls of one side before the other has its turn.
const TURN_CALLS: usize = 50;
/// Plugins beside the one that an event is for.
const BYSTANDERS: usize = 99;

fn main() -> Outcome<()> {
    let long = seconds(4);
    let dir = tempfile::tempdir()?;
    let snapshot = desired_state(dir.path())?;
    let compiler =
        || Compiler::new(Path::new(env!("CARGO_BIN_EXE_riposte")), Some(&dir.path().join("compiled")));
    let engine = Engine::new(compiler(), Allocation::Pooled)?;
    let one = load(&engine, 0)?;
    let event = event()?;
    calls(&one.plugins()[0], &event, &snapshot, long)?;
    workers(&one.plugins()[0], &event, &snapshot, long)?;
    bystanders(&one, &load(&engine, BYSTANDERS)?, &event, &snapshot, long)?;
    loads(&engine, long)
}

/// A call in the gateway, in wasmtime alone, and of the same code without WebAssembly.
fn calls(plugin: &Plugin, event: &Event, snapshot: &Arc<Snapshot>, long: Duration) -> Outcome<()> {
    let bare = plugin.bare(event, Arc::clone(snapshot));
    let native = native();
    let mut sides = [Times::default(), Times::default(), Times::default()];
    in_turns(long, |warm| {
        let [gateway, wasmtime, natively] = &mut sides;
        take(gateway, warm, || plugin.handle(event, Arc::clone(snapshot)).is_ok())?;
        take(wasmtime, warm, || bare.call().is_ok())?;
        take(natively, warm, || native.handle(testing::falco(ALERT)).answer.is_ok())
    })?;
    let [gateway, wasmtime, natively] = sides.map(Times::sorted);
    say("scale-to-zero on an alert of 865 bytes: a fresh instance and a call")?;
    gateway.show("in the gateway")?;
    wasmtime.show("wasmtime alone, the same settings")?;
    natively.show("the same code, natively")?;
    ratio("gateway to wasmtime alone at p50", gateway.p50() / wasmtime.p50(), "at most 1.5")?;
    ratio("gateway to native at p50", gateway.p50() / natively.p50(), "at most 8")?;
    ratio("p99 to p50 in the gateway", gateway.at(99) / gateway.p50(), "at most 5")
}

/// One thread and two threads that call the same plugin; and natively, for what the machine gives.
fn workers(plugin: &Plugin, event: &Event, snapshot: &Arc<Snapshot>, long: Duration) -> Outcome<()> {
    let native = native();
    let sandboxed = || plugin.handle(event, Arc::clone(snapshot)).is_ok();
    let natively = || native.handle(testing::falco(ALERT)).answer.is_ok();
    let mut rates = [const { Vec::new() }; 4];
    in_turns(long, |_| {
        let turn = [rate(&sandboxed, 1), rate(&sandboxed, 2), rate(&natively, 1), rate(&natively, 2)];
        rates.iter_mut().zip(turn).for_each(|(rates, rate)| rates.push(rate));
        Ok(())
    })?;
    let [one, two, natively_one, natively_two] = rates.map(median);
    say(&format!("\nworkers: one makes {one:.0} calls a second, two make {two:.0}"))?;
    ratio("two workers to one", two / one, "at least 1.6")?;
    ratio("the same natively", natively_two / natively_one, "what this machine gives")
}

/// Calls a second of so many threads.
fn rate(call: &(impl Fn() -> bool + Sync), threads: usize) -> f64 {
    let run = || {
        let (began, mut count) = (Instant::now(), 0_u32);
        while began.elapsed() < Duration::from_millis(250) {
            count += u32::from(call());
        }
        f64::from(count) / began.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).sum()
    })
}

/// An event for one plugin, alone and among others that it is not for.
fn bystanders(
    one: &Catalog,
    many: &Catalog,
    event: &Event,
    snapshot: &Arc<Snapshot>,
    long: Duration,
) -> Outcome<()> {
    let serve = |catalog: &Catalog| {
        let mut matching = catalog.plugins().iter().filter(|plugin| plugin.matches(event));
        matching.all(|plugin| plugin.handle(event, Arc::clone(snapshot)).is_ok())
    };
    let mut sides = [Times::default(), Times::default()];
    in_turns(long, |warm| {
        let [alone, among] = &mut sides;
        take(alone, warm, || serve(one))?;
        take(among, warm, || serve(many))
    })?;
    let [alone, among] = sides.map(Times::sorted);
    say(&format!("\nan event for one of {} plugins, its subscriptions looked at", BYSTANDERS + 1))?;
    alone.show("one plugin is loaded")?;
    among.show("all are loaded")?;
    ratio("all to one at p50", among.p50() / alone.p50(), "at most 1.2")
}

/// A plugin loaded anew: its file, its code from the cache, its description, its configuration.
fn loads(engine: &Engine, long: Duration) -> Outcome<()> {
    let mut times = Times::default();
    in_turns(long, |warm| take(&mut times, warm, || load(engine, 0).is_ok()))?;
    say("\na plugin whose code is cached")?;
    times.sorted().show("load, in microseconds; the bar is 2,000 µs")
}

fn desired_state(dir: &Path) -> Outcome<Arc<Snapshot>> {
    let bare = dir.join("state.git");
    git::init_bare(&bare, BRANCH, &[("apps/alpine.yaml", WORKLOAD)], "The desired state")?;
    let url = format!("file://{}", bare.display());
    let repository = Repository::new(&serde_json::from_value(json!({ "url": url }))?, dir)?;
    Ok(tokio::runtime::Runtime::new()?.block_on(repository.snapshot_at_head())?)
}

fn event() -> Outcome<Event> {
    Ok(Event::new(EventParts {
        id: "1".to_owned(),
        source: "https://falco.org".to_owned(),
        event_type: "falco.rule.output.v1".to_owned(),
        datacontenttype: Some("application/json".to_owned()),
        data: Some(ALERT.into()),
        ..EventParts::default()
    })?)
}

fn config() -> Value {
    json!({ "rules": ["Terminal shell in container"] })
}

/// The plugin, and so many that wait for other events.
fn load(engine: &Engine, bystanders: usize) -> Outcome<Catalog> {
    let entry = |name: String, subscriptions: Value| -> Outcome<PluginConfig> {
        let source = "bundled:scale-to-zero";
        // A machine that does something else for a while is no failure here.
        let limits = json!({ "guestTimeMs": 10_000, "invocationMs": 10_000 });
        let entry = json!({ "name": name, "source": source, "subscriptions": subscriptions, "config": config(), "limits": limits });
        Ok(serde_json::from_value(entry)?)
    };
    let mut plugins = vec![entry("scale-to-zero".to_owned(), json!([]))?];
    for number in 0..bystanders {
        let others = json!([{ "exact": { "type": "falco.rule.output.v1", "tenant": number.to_string() } }]);
        plugins.push(entry(format!("bystander-{number}"), others)?);
    }
    Catalog::load(engine, &plugins).map_err(|errors| format!("{errors:?}").into())
}

fn native() -> Setup<scale_to_zero> {
    let owner = ObjectRef::namespaced("apps/v1", "Deployment", "default", "alpine-deployment");
    testing::plugin().config(config()).owner(POD.0, POD.1, &owner)
}

/// Takes a turn of one side. A call that fails is no call.
fn take(times: &mut Times, warm: bool, mut call: impl FnMut() -> bool) -> Outcome<()> {
    for _ in 0..TURN_CALLS {
        let called = Instant::now();
        if !black_box(call()) {
            return Err("a call came to no decision".into());
        }
        if warm {
            times.push(called.elapsed());
        }
    }
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}
