//! What the way from a 202 to the commit costs: `cargo bench --bench commit [-- SECONDS]`.
//!
//! A whole gateway on a repository of 5,000 manifests takes turns with libgit2 alone, which makes the
//! same change of another repository's clone and pushes it. Nothing waits for a burst. The gateway's
//! time begins when its 202 is here and ends when the branch has the commit.

mod measure;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Oid, Repository, Signature};
use riposte::repository::git;
use serde_json::Value;

use measure::{Outcome, Times, in_turns, ratio, say, seconds};

const BRANCH: &str = "main";
const BRANCH_REF: &str = "refs/heads/main";
const ALERT: &str = include_str!("../demo/terminal-shell.json");
/// The workload that the alert is of, which each round has another one for.
const OF_ALERT: &str = "alpine-deployment";
/// Its id, which each round has another one of, too.
const ID_OF_ALERT: &str = "d5671990-71f9-4bda-b72f-7cddf44020a8";
const MANIFESTS: usize = 5_000;
/// Manifests of one folder.
const FOLDER_MANIFESTS: usize = 20;
/// How often the branch is looked at while the gateway commits.
const LOOK: Duration = Duration::from_micros(200);
/// A commit that takes longer is none.
const WAIT_MAX: Duration = Duration::from_secs(20);

fn main() -> Outcome<()> {
    let long = seconds(10);
    let dir = tempfile::tempdir()?;
    let baseline = Baseline::new(dir.path())?;
    let riposte = Riposte::start(dir.path())?;
    let (mut bare, mut gateway) = (Times::default(), Times::default());
    let mut workloads = 0..MANIFESTS;
    in_turns(long, |warm| {
        let workload = workloads.next().ok_or("every workload is at 0 by now: run for less time")?;
        let times = (baseline.change(workload)?, riposte.change(workload)?);
        if warm {
            bare.push(times.0);
            gateway.push(times.1);
        }
        Ok(())
    })?;
    let (bare, gateway) = (bare.sorted(), gateway.sorted());
    say(&format!(
        "one alert, one commit in a repository of {MANIFESTS} manifests, {} times",
        workloads.start
    ))?;
    gateway.show("from the 202 to the commit")?;
    bare.show("commit and push by libgit2 alone")?;
    ratio("gateway to libgit2 at p50", gateway.p50() / bare.p50(), "at most 3")?;
    ratio("p99 to p50 in the gateway", gateway.at(99) / gateway.p50(), "at most 5")
}

/// The desired state, and a clone of it in which libgit2 makes commits.
struct Baseline {
    clone: Repository,
}

impl Baseline {
    fn new(dir: &Path) -> Outcome<Self> {
        let remote = desired_state(dir, "baseline.git")?;
        let clone =
            git2::build::RepoBuilder::new().bare(true).clone(&url(&remote), &dir.join("clone.git"))?;
        Ok(Self { clone })
    }

    /// Scales a workload to 0, commits and pushes.
    fn change(&self, workload: usize) -> Outcome<Duration> {
        let began = Instant::now();
        let parent = self.clone.find_reference(BRANCH_REF)?.peel_to_commit()?;
        let blob = self.clone.blob(manifest(workload).replace("replicas: 3", "replicas: 0").as_bytes())?;
        let mut update = TreeUpdateBuilder::new();
        update.upsert(path(workload), blob, FileMode::Blob);
        let tree = self.clone.find_tree(update.create_updated(&self.clone, &parent.tree()?)?)?;
        let author = Signature::now("riposte", "riposte@localhost")?;
        self.clone.commit(Some(BRANCH_REF), &author, &author, "Scale a workload to 0", &tree, &[&parent])?;
        self.clone.find_remote("origin")?.push(&[format!("{BRANCH_REF}:{BRANCH_REF}")], None)?;
        Ok(began.elapsed())
    }
}

/// A gateway as a process of its own, which ends with the benchmark.
struct Riposte {
    process: Child,
    address: String,
    remote: Repository,
}

impl Riposte {
    fn start(dir: &Path) -> Outcome<Self> {
        let remote = desired_state(dir, "fleet.git")?;
        let config = dir.join("riposte.yaml");
        std::fs::write(&config, configuration(&dir.join("data"), &url(&remote)))?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_riposte"))
            .args(["--log-format", "json", "serve", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = BufReader::new(process.stderr.take().ok_or("no log")?).lines();
        let is_up = |line: &String| line.contains("the gateway is up");
        let up = log.by_ref().map_while(Result::ok).find(is_up).ok_or("the gateway did not start")?;
        // A log that nobody reads would hold up the gateway.
        std::thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        let address = serde_json::from_str::<Value>(&up)?["server.address"].as_str().map(str::to_owned);
        Ok(Self { process, address: address.ok_or("no address")?, remote: Repository::open(remote)? })
    }

    /// Sends an alert of a workload, and waits for the commit from the 202 on.
    fn change(&self, workload: usize) -> Outcome<Duration> {
        let before = self.head()?;
        let id = format!("d5671990-71f9-4bda-b72f-{workload:012}");
        let body = ALERT.replace(OF_ALERT, &name(workload)).replace(ID_OF_ALERT, &id);
        let mut connection = TcpStream::connect(&self.address)?;
        write!(
            connection,
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut status = String::new();
        BufReader::new(connection).read_line(&mut status)?;
        if !status.contains(" 202 ") {
            return Err(format!("the gateway answered {status}").into());
        }
        let acknowledged = Instant::now();
        while self.head()? == before {
            if acknowledged.elapsed() > WAIT_MAX {
                return Err(format!("no commit for {} came", name(workload)).into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(acknowledged.elapsed())
    }

    fn head(&self) -> Outcome<Oid> {
        Ok(self.remote.refname_to_id(BRANCH_REF)?)
    }
}

impl Drop for Riposte {
    fn drop(&mut self) {
        // Ended already, or to be ended now: either is well.
        let _ended = self.process.kill().is_err();
        let _reaped = self.process.wait().is_err();
    }
}

fn configuration(data: &Path, url: &str) -> String {
    format!(
        "server: {{ listen: '127.0.0.1:0' }}
journal: {{ dir: {} }}
repository: {{ url: '{url}' }}
guardrails: {{ commitsMax: {MANIFESTS}, workloadsMax: {MANIFESTS} }}
coalesce: {{ idleMs: 0 }}
plugins:
  - name: scale-to-zero
    source: bundled:scale-to-zero
    mode: enforce
    grants: {{ kinds: [apps/v1/Deployment], namespaces: [default], fields: [/spec/replicas] }}
    config: {{ rules: [Terminal shell in container] }}
",
        data.display()
    )
}

fn desired_state(dir: &Path, called: &str) -> Outcome<PathBuf> {
    let files: Vec<(String, String)> =
        (0..MANIFESTS).map(|number| (path(number), manifest(number))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let bare = dir.join(called);
    git::init_bare(&bare, BRANCH, &files, "The desired state")?;
    Ok(bare)
}

fn url(bare: &Path) -> String {
    format!("file://{}", bare.display())
}

fn name(workload: usize) -> String {
    format!("web-{workload}")
}

fn path(workload: usize) -> String {
    format!("apps/{}/{}.yaml", workload / FOLDER_MANIFESTS, name(workload))
}

fn manifest(workload: usize) -> String {
    let name = name(workload);
    format!(
        "# {name} of the shop
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels:
    app: {name}
spec:
  replicas: 3 # agreed with the shop's team
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
    spec:
      containers:
        - name: web
          image: registry.example/web:1.27
          ports:
            - containerPort: 8080
          resources:
            requests: {{ cpu: 100m, memory: 128Mi }}
"
    )
}
