//! Plugins that are changed while the gateway runs: what is good is taken up, what is not changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::guest::{core_module, module};
use crate::harness::{Fleet, Process, cloudevent, shell_in};

const POD: &str = "alpine-deployment-77789455d6-m7flp";
const QUIET: &str = "(i32.const 128)";

/// A volume as Kubernetes mounts it: each file leads through a link that is swapped as a whole.
struct Volume {
    root: PathBuf,
    version: u32,
}

impl Volume {
    fn new(root: &Path, bytes: &[u8]) -> Self {
        let root = root.join("volume");
        fs::create_dir(&root).expect("the volume");
        symlink("..data/guest.wasm", root.join("guest.wasm")).expect("the file");
        let mut volume = Self { root, version: 0 };
        volume.put(bytes);
        volume
    }

    fn put(&mut self, bytes: &[u8]) {
        self.version += 1;
        let version = format!("..version-{}", self.version);
        fs::create_dir(self.root.join(&version)).expect("a version");
        fs::write(self.root.join(&version).join("guest.wasm"), bytes).expect("the file");
        symlink(&version, self.root.join("..data_tmp")).expect("a link");
        fs::rename(self.root.join("..data_tmp"), self.root.join("..data")).expect("the swap");
    }

    fn source(&self) -> String {
        format!("file:{}", self.root.join("guest.wasm").display())
    }
}

fn guest(body: &str) -> Vec<u8> {
    core_module(&module(body, ""))
}

/// Writes the configuration `a` with these plugins instead of its own.
fn configure(fleet: &Fleet, plugins: &Value) -> PathBuf {
    let text = fs::read_to_string(fleet.config("a")).expect("the configuration");
    let start = text.split("plugins:").next().expect("a start");
    fleet.beside("plugins.yaml", &format!("{start}repeats: {{ windowS: 0 }}\nplugins: {plugins}\n"))
}

/// The outcome and reason of an event that the guest gets.
fn decided(process: &mut Process, id: u32) -> (String, String) {
    let event = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nce-specversion: 1.0\r\nce-id: {id}\r\nce-source: /s\r\nce-type: any\r\n\r\n"
    );
    let answer = process.connect().send(event.as_bytes());
    assert_eq!(answer.status, 202);
    let reaction = process.settled(answer.number())["reactions"][0].clone();
    let text = |key: &str| reaction[key].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("reason"))
}

#[test]
fn a_changed_file_is_taken_up_and_a_bad_one_leaves_the_last_good_version() {
    let fleet = Fleet::tutorial();
    let mut volume = Volume::new(fleet.bare.root.path(), &guest(QUIET));
    let config =
        configure(&fleet, &json!([{ "name": "guest", "source": volume.source(), "mode": "observe" }]));
    let mut process = Process::start(&config, None);
    assert_eq!(decided(&mut process, 1), ("ignored".to_owned(), "quiet".to_owned()));
    let digest = |process: &Process| process.connect().get("/v1/plugins").json()["plugins"][0].clone();
    let first = digest(&process);

    volume.put(&guest("unreachable"));
    process.wait_for_line(|line| line.contains("a changed plugin was taken up"));
    assert_eq!(decided(&mut process, 2).0, "failed");
    assert_ne!(digest(&process)["digest"], first["digest"]);

    volume.put(b"no plugin at all");
    process.wait_for_line(|line| line.contains("a changed plugin cannot be loaded"));
    assert_eq!(decided(&mut process, 3).0, "failed", "the version before");
    let stale = digest(&process);
    assert!(stale["staleBecause"].as_str().is_some_and(|reason| reason.contains("guest")), "{stale:#}");
    let ready = process.connect().get("/readyz");
    assert_eq!((ready.status, ready.body.as_slice()), (200, &b"ready\nnot the ones configured: guest\n"[..]));
    let metrics = String::from_utf8(process.connect().get("/metrics").body).expect("text");
    assert!(metrics.contains("riposte_plugins_stale 1"), "{metrics}");

    volume.put(&guest(QUIET));
    process.wait_for_line(|line| line.contains("a changed plugin was taken up"));
    assert_eq!(decided(&mut process, 4).0, "ignored");
    assert!(digest(&process)["staleBecause"].is_null());
    assert_eq!(process.connect().get("/readyz").body, b"ready\n");
}

#[test]
fn a_pinned_file_that_changes_is_not_taken_up() {
    let fleet = Fleet::tutorial();
    let mut volume = Volume::new(fleet.bare.root.path(), &guest(QUIET));
    let entry = json!([{ "name": "guest", "source": volume.source(), "mode": "observe" }]);
    let process = Process::start(&configure(&fleet, &entry), None);
    let digest = process.connect().get("/v1/plugins").json()["plugins"][0]["digest"].clone();
    assert_eq!(process.terminate(), Some(0));
    let entry = json!([{ "name": "guest", "source": volume.source(), "mode": "observe", "digest": digest }]);
    let mut process = Process::start(&configure(&fleet, &entry), None);
    volume.put(&guest("unreachable"));
    process.wait_for_line(|line| line.contains("is pinned"));
    assert_eq!(decided(&mut process, 1).0, "ignored");
}

#[test]
fn the_plugins_of_a_changed_configuration_are_taken_up() {
    let fleet = Fleet::tutorial();
    let entry = |mode: &str| {
        json!([{
            "name": "scale-to-zero", "source": "bundled:scale-to-zero", "mode": mode,
            "grants": { "kinds": ["apps/v1/Deployment"], "namespaces": ["default"], "fields": ["/spec/replicas"] },
            "config": { "rules": ["Terminal shell in container"] },
        }])
    };
    let config = configure(&fleet, &entry("observe"));
    let mut process = Process::start(&config, None);
    let react = |process: &mut Process, id: &str| {
        let seq = process.connect().send(&cloudevent(id, &shell_in("default", POD))).number();
        process.settled(seq)["reactions"].clone()
    };
    assert_eq!(react(&mut process, "1")[0]["outcome"], "observed");

    fleet.beside("plugins.yaml", "plugins: [");
    process.wait_for_line(|line| line.contains("cannot be used; the one before goes on"));
    assert_eq!(react(&mut process, "2")[0]["outcome"], "observed");

    configure(&fleet, &entry("enforce"));
    process.wait_for_line(|line| line.contains("a changed plugin was taken up"));
    assert_eq!(react(&mut process, "3")[0]["outcome"], "committed");

    configure(&fleet, &json!([]));
    process.wait_for_line(|line| line.contains("a plugin is no longer configured"));
    assert_eq!(process.connect().get("/v1/plugins").json()["plugins"], json!([]));
    assert_eq!(react(&mut process, "4"), json!([]));

    let twice = json!([entry("enforce")[0], entry("observe")[0]]);
    configure(&fleet, &twice);
    process.wait_for_line(|line| line.contains("two plugins have this name"));
    let stale =
        |process: &Process| process.connect().get("/v1/plugins").json()["plugins"][0]["staleBecause"].clone();
    assert_eq!(stale(&process), "two plugins have this name; the first one counts");
    assert_eq!(react(&mut process, "5")[0]["outcome"], "unchanged", "it has come back");

    // The second one stays: it is not the one that was loaded.
    configure(&fleet, &entry("observe"));
    process.wait_for_line(|line| line.contains("a changed plugin was taken up"));
    assert_eq!(stale(&process), Value::Null);
    assert_eq!(process.connect().get("/v1/plugins").json()["plugins"][0]["mode"], "observe");
}
