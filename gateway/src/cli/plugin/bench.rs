//! `riposte plugin bench`: what a plugin takes of its limits, and what the gateway's sandbox takes
//! beside the same guest in wasmtime alone.
//!
//! The two take turns in the same run, so a noisy machine is noisy for both.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::case::Case;
use super::folder::{Subject, load};
use super::scene::Scene;
use super::{cannot, engine, no, of_limit, read};
use crate::cli::CommandError;
use crate::model::text::inert;

/// Calls of one side before the other one has its turn.
const TURN_CALLS: usize = 50;

/// Measure a plugin against its limits, and the gateway against wasmtime alone.
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(flatten)]
    subject: Subject,
    /// A Falco alert or a structured CloudEvent, as JSON; that of the first case that changes something
    /// unless told.
    #[arg(short, long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// A folder with the manifests of the desired state; that of the case unless told.
    #[arg(long, value_name = "DIR")]
    repo: Option<PathBuf>,
    /// How long to measure.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// The times of one side's calls; sorted once all are there.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Bench {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let case = if self.event.is_none() { telling(&self.subject.path)? } else { None };
        let (event, config, state) = match (&self.event, &case) {
            (Some(event), _) => (read(event)?, None, None),
            (None, Some(case)) => (case.event()?, case.config()?, case.state()),
            (None, None) => {
                return Err(cannot("there is no case to take an event from; give one with --event"));
            }
        };
        let (engine, settings) = (engine()?, self.subject.prepare(config)?);
        let began = Instant::now();
        let plugin = load(&engine, &settings)?;
        let loaded = began.elapsed();
        let scene = Scene::open(plugin, event, self.repo.clone().or(state).as_deref()).await?;
        let verdict = scene.verdict().await?;
        writeln!(out, "event     {}", inert(&verdict.line()))?;
        let Ok(_) = &verdict.trial.answer else { return Err(no("a plugin that fails cannot be measured")) };
        let limits = scene.plugin().limits();
        let (fuel, memory) = (verdict.trial.fuel.unwrap_or_default(), verdict.trial.memory_bytes as u64);
        writeln!(out, "fuel      {}", of_limit(fuel, limits.fuel, ""))?;
        writeln!(out, "memory    {}", of_limit(memory, limits.memory_bytes_max as u64, " bytes"))?;
        writeln!(
            out,
            "load      {:.1} ms (read, wrap, compile, ask about itself and its configuration)",
            ms(loaded)
        )?;
        let (gateway, wasmtime) = measure(&scene, Duration::from_secs(self.seconds)).await?;
        writeln!(out, "\na fresh instance and a call         p50         p99      a second")?;
        gateway.show(out, "in the gateway")?;
        wasmtime.show(out, "wasmtime alone, the same settings")?;
        let ratio = ms(gateway.percentile(50)) / ms(wasmtime.percentile(50));
        writeln!(out, "ratio at p50                   {ratio:>8.2}")?;
        scene.close().await
    }
}

/// The first case that changes something, or else the first one.
fn telling(plugin: &Path) -> Result<Option<Case>, CommandError> {
    let mut cases = Case::all(plugin)?;
    let at = cases.iter().position(Case::changes_something).unwrap_or_default();
    Ok((!cases.is_empty()).then(|| cases.swap_remove(at)))
}

/// Calls the plugin as the gateway does and its guest in wasmtime alone, in turns.
async fn measure(scene: &Scene, long: Duration) -> Result<(Times, Times), CommandError> {
    let (plugin, event, snapshot) = (scene.plugin(), scene.event.event(), &scene.snapshot);
    let bare = plugin.bare(event, Arc::clone(snapshot));
    let (mut gateway, mut wasmtime) = (Times::default(), Times::default());
    let began = Instant::now();
    // The first turn of each warms it up.
    for turn in 0_u64.. {
        if turn > 1 && began.elapsed() >= long {
            break;
        }
        for _ in 0..TURN_CALLS {
            let called = Instant::now();
            let answer = plugin.handle(event, Arc::clone(snapshot));
            gateway.0.push(called.elapsed());
            answer.map_err(|failure| no(format!("the plugin failed ({}): {failure}", failure.kind())))?;
        }
        for _ in 0..TURN_CALLS {
            let called = Instant::now();
            let answer = bare.call();
            wasmtime.0.push(called.elapsed());
            answer.map_err(|reason| no(format!("the plugin failed in wasmtime alone: {reason}")))?;
        }
        if turn == 0 {
            (gateway, wasmtime) = (Times::default(), Times::default());
        }
    }
    gateway.0.sort_unstable();
    wasmtime.0.sort_unstable();
    Ok((gateway, wasmtime))
}

impl Times {
    /// The time that so many of a hundred calls did not exceed.
    fn percentile(&self, percent: usize) -> Duration {
        let at = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(at).copied().unwrap_or_default()
    }

    fn show(&self, out: &mut impl Write, what: &str) -> Result<(), CommandError> {
        let total: Duration = self.0.iter().sum();
        let calls = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let a_second = f64::from(calls) / total.as_secs_f64();
        let (p50, p99) = (ms(self.percentile(50)) * 1e3, ms(self.percentile(99)) * 1e3);
        writeln!(out, "  {what:<34}{p50:>8.1} µs {p99:>8.1} µs {a_second:>11.0}")?;
        Ok(())
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
