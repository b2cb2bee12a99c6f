//! A gateway as a process of its own, that can be asked, ended and killed.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use super::Connection;

/// How long a gateway may say nothing while a test waits for it.
const SILENCE_S_MAX: u64 = 60;

/// The gateway. Dropping it kills the process.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// Lines from before it was up, which nobody has waited for yet.
    early: VecDeque<String>,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts it and waits until it listens. `crash_point` is where it shall stand still.
    pub(crate) fn start(config: &Path, crash_point: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riposte"));
        if let Some(point) = crash_point {
            command.env("RIPOSTE_CRASH_POINT", point);
        }
        Self::spawn(command, config)
    }

    /// Starts it with variables of the environment, each a path.
    pub(crate) fn start_with(config: &Path, environment: &[(&str, &Path)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riposte"));
        command.envs(environment.iter().copied());
        Self::spawn(command, config)
    }

    /// Starts it on a disk that has no room for a file beyond this size.
    pub(crate) fn start_with_files_up_to(kibibytes: usize, config: &Path) -> Self {
        let mut command = Command::new("sh");
        // POSIX counts in units of 512 bytes; without the signal a write fails as on a full disk.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kibibytes * 2);
        command.args(["-c", &script, env!("CARGO_BIN_EXE_riposte")]);
        Self::spawn(command, config)
    }

    fn spawn(mut command: Command, config: &Path) -> Self {
        command.args(["--log-format", "json", "serve", "--config"]).arg(config);
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the gateway starts");
        let stderr = BufReader::new(child.stderr.take().expect("its standard error"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = stderr.lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Self { child, lines, early: VecDeque::new(), address: nowhere };
        let mut early = VecDeque::new();
        let up = loop {
            let line = process.wait_for_line(|_| true);
            if line.contains("the gateway is up") {
                break line;
            }
            early.push_back(line);
        };
        process.early = early;
        let up: Value = serde_json::from_str(&up).expect("a log line is JSON");
        process.address =
            up["server.address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        process
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// The next log line that fits.
    pub(crate) fn wait_for_line(&mut self, fits: impl Fn(&str) -> bool) -> String {
        let mut seen = Vec::new();
        loop {
            let next = self
                .early
                .pop_front()
                .map_or_else(|| self.lines.recv_timeout(Duration::from_secs(SILENCE_S_MAX)), Ok);
            let Ok(line) = next else { panic!("the gateway said nothing more after {seen:#?}") };
            assert!(!line.contains("panicked"), "{line}");
            if fits(&line) {
                return line;
            }
            seen.push(line);
        }
    }

    /// The event with all that became of it, once every reaction has ended. Every change in the
    /// journal is followed by a log line, so each line is a reason to look again.
    pub(crate) fn settled(&mut self, seq: i64) -> Value {
        loop {
            let event = self.connect().get(&format!("/v1/events/{seq}")).json();
            let reactions = event["reactions"].as_array().expect("reactions");
            let open = reactions.iter().any(|reaction| reaction["outcome"].is_null());
            if event["routed"] == true && !open {
                return event;
            }
            self.wait_for_line(|_| true);
        }
    }

    /// As a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it has ended");
    }

    /// SIGTERM, as Kubernetes ends a pod; the exit status.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("the signal is sent");
        assert!(sent.success());
        self.child.wait().expect("it ends").code()
    }
}

/// What an audit finds wrong with the journal of a gateway that is down.
pub(crate) fn audited(config: &Path) -> String {
    let process = Process::start(config, None);
    let audit = process.connect().get("/v1/audit").json();
    assert_eq!(process.terminate(), Some(0));
    audit["reason"].as_str().unwrap_or_default().to_owned()
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, or to be ended now: either is well.
        let _ended = self.child.kill().is_err();
        let _reaped = self.child.wait().is_err();
    }
}
