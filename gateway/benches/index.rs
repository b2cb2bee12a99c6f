//! What the index costs: `cargo bench --bench index [-- MANIFESTS]`.
//!
//! The baseline is what nobody can avoid: to read each blob once and to parse each text once. Nothing is
//! asserted: it prints, and a person reads.

mod measure;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use git2::{ObjectType, Oid, TreeWalkMode, TreeWalkResult};
use riposte::edit;
use riposte::repository::{Config, FileChange, Repository, git};
use riposte::snapshot::Snapshot;
use serde_json::json;

use measure::{Outcome, ratio, say};

/// Files that a commit touches.
const TOUCHED: usize = 10;
/// Commits after the first one.
const COMMITS: usize = 50;
/// How often the whole is read; the median counts.
const ROUNDS: usize = 3;
/// Manifests of a folder, which has a kustomization.
const FOLDER: usize = 20;

fn main() -> Outcome<()> {
    // Cargo adds `--bench`.
    let manifests = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dir = tempfile::tempdir()?;
    let bare = dir.path().join("desired.git");
    let files = files(manifests);
    let given: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    git::init_bare(&bare, "main", &given, "First")?;
    packed(&bare)?;
    runtime.block_on(run(dir.path(), &bare, manifests))
}

async fn run(dir: &Path, bare: &Path, manifests: usize) -> Outcome<()> {
    let config: Config = serde_json::from_value(json!({ "url": format!("file://{}", bare.display()) }))?;
    let (mut baselines, mut colds) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Opening fetches: what is left is to read.
        let data = dir.join(round.to_string());
        let repository = Repository::open(&config, &data).await?;
        let head = repository.head().await?;
        baselines.push(timed(|| baseline(&data.join("repository.git"), head.as_str()))?);
        let began = Instant::now();
        let snapshot = repository.snapshot(&head).await?;
        colds.push(began.elapsed());
        black_box(snapshot);
    }
    let (baseline, cold) = (median(baselines), median(colds));
    let repository = Repository::open(&config, &dir.join("kept")).await?;
    let memory_before = resident_kib()?;
    let mut newest = repository.snapshot_at_head().await?;
    let (mut changes, mut memory_first) = (Vec::new(), 0);
    for commit in 0..COMMITS {
        let next = repository.commit(newest.commit(), &touched(&newest, commit), "Next").await?;
        repository.head().await?;
        let began = Instant::now();
        // A snapshot of a commit that is here already: no fetch is in it.
        let snapshot = repository.snapshot(&next).await?;
        changes.push(began.elapsed());
        black_box(snapshot);
        newest = repository.snapshot_at_head().await?;
        if commit == 0 {
            memory_first = resident_kib()?;
        }
    }
    let memory_last = resident_kib()?;
    let change = median(changes);
    let objects = newest.objects();
    say(&format!("{manifests} manifests, {objects} objects; medians of {ROUNDS} and of {COMMITS}"))?;
    say(&format!("  each blob read, each text parsed once    {:>10.1} ms", ms(baseline)))?;
    say(&format!("  the first snapshot                       {:>10.1} ms", ms(cold)))?;
    say(&format!("  one after a commit of {TOUCHED} files           {:>10.1} ms", ms(change)))?;
    ratio("first snapshot to baseline", ms(cold) / ms(baseline), "at most 1.5")?;
    ratio("after a commit to first snapshot, in %", 100.0 * ms(change) / ms(cold), "at most 2")?;
    say(&format!(
        "  memory after 1 commit, and after {COMMITS}      {} and {} KiB",
        memory_first - memory_before,
        memory_last - memory_before
    ))
}

/// Deployments with a Service each, and a kustomization in each folder.
fn files(manifests: usize) -> Vec<(String, String)> {
    let manifest = |number: usize| (path(number), text(number, 3));
    let kustomization = |folder: usize| {
        let listed = (folder * FOLDER..(folder + 1) * FOLDER).filter(|number| *number < manifests);
        let listed: String = listed.map(|number| format!("  - app-{number}.yaml\n")).collect();
        (
            format!("apps/team-{folder}/kustomization.yaml"),
            format!("namespace: team-{folder}\nresources:\n{listed}"),
        )
    };
    (0..manifests).map(manifest).chain((0..manifests.div_ceil(FOLDER)).map(kustomization)).collect()
}

fn path(number: usize) -> String {
    format!("apps/team-{}/app-{number}.yaml", number / FOLDER)
}

fn text(number: usize, replicas: usize) -> String {
    let deployment = include_str!("../demo/apps/alpine.yaml");
    let named = deployment.replace("alpine-deployment", &format!("app-{number}"));
    named.replace("replicas: 3", &format!("replicas: {replicas}"))
}

/// The baseline: every blob of the commit, as data.
fn baseline(clone: &Path, commit: &str) -> Outcome<()> {
    let repository = git2::Repository::open_bare(clone)?;
    let tree = repository.find_commit(Oid::from_str(commit)?)?.tree()?;
    let mut blobs = Vec::new();
    tree.walk(TreeWalkMode::PreOrder, |_, entry| {
        if entry.kind() == Some(ObjectType::Blob) {
            blobs.push(entry.id());
        }
        TreeWalkResult::Ok
    })?;
    for blob in blobs {
        black_box(edit::read(std::str::from_utf8(repository.find_blob(blob)?.content())?)?);
    }
    Ok(())
}

/// Other replicas in files all over the repository.
fn touched(snapshot: &Arc<Snapshot>, commit: usize) -> Vec<FileChange> {
    let manifests = snapshot.files().len() * FOLDER / (FOLDER + 1);
    let number = |index: usize| (commit * TOUCHED + index) * 7919 % manifests;
    let change = |index: usize| {
        let number = number(index);
        FileChange { path: path(number), content: Some(text(number, commit + 4)) }
    };
    (0..TOUCHED).map(change).collect()
}

/// As a server has it.
fn packed(bare: &Path) -> Outcome<()> {
    let status = std::process::Command::new("git").current_dir(bare).args(["gc", "-q"]).status()?;
    if status.success() { Ok(()) } else { Err("git gc failed".into()) }
}

fn timed(work: impl FnOnce() -> Outcome<()>) -> Outcome<Duration> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What the process has in memory.
fn resident_kib() -> Outcome<i64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
