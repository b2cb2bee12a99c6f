//! What a remote can do to us, each through the whole gateway: the reaction is settled or held with the
//! reason in the interface, and when the remote is well again one commit of it is in the branch, without
//! a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::harness::fault::Fault;
use crate::harness::git::{HttpRemote, PUSH, TOKEN, USER};
use crate::harness::github::{self, GitHub};
use crate::harness::http::Identity;
use crate::harness::{Fleet, Process, cloudevent, fixture, shell_in};

const POD: &str = "alpine-deployment-77789455d6-m7flp";
const LIMITS: &str = "limits: { fetchMs: 1000, retryMs: 200 }";

/// A gateway's repository, and who it is on.
struct Scene {
    fleet: Arc<Fleet>,
    config: PathBuf,
    github: GitHub,
    remote: HttpRemote,
    identity: Identity,
    /// Whether the Git server knows the token still.
    is_known: Arc<AtomicBool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// Through GitHub's API with a token.
    GitHub,
    /// The same as a GitHub App.
    App,
    /// By plain Git over http.
    Git,
    /// The same over https.
    Tls,
}

/// What becomes of the reaction while the fault lasts.
enum Met {
    /// Nothing that anybody would see.
    Settled,
    /// Its attempts say this kind and these words, and are made again.
    Held(&'static str, &'static str),
    /// The server wants us to wait, in words that have these.
    Queued(&'static str),
    /// It waits for its first attempt, with this kind and these words.
    Unread(&'static str, &'static str),
    /// It ends as failed, with this kind and these words.
    Failed(&'static str, &'static str),
}

impl Scene {
    async fn new(on: On) -> Self {
        let fleet = Arc::new(Fleet::tutorial());
        fleet.bare.git(&["config", "http.receivepack", "true"]);
        let github = GitHub::start(&fleet.bare.path()).await;
        let is_known = Arc::new(AtomicBool::new(true));
        let known = Arc::clone(&is_known);
        let identity = Identity::new("keys/tls-localhost.pem");
        let remote = HttpRemote::start_as(
            fleet.bare.root.path(),
            move |user, password| known.load(Ordering::SeqCst) && user == USER && password == TOKEN,
            (on == On::Tls).then(|| identity.clone()),
        )
        .await;
        let config = configured(&fleet, &github, &remote, on);
        Self { fleet, config, github, remote, identity, is_known }
    }

    fn start(&self) -> Process {
        let trusted = ["keys/tls-localhost.pem", "keys/tls-elsewhere.pem"].map(fixture).concat();
        let bundle = self.fleet.beside("trusted.pem", &String::from_utf8(trusted).unwrap());
        Process::start_with(&self.config, &[("SSL_CERT_FILE", bundle.as_path())])
    }

    fn clone_dir(&self) -> PathBuf {
        self.fleet.bare.root.path().join("a/repository.git")
    }

    fn move_main(&self, to: &str) {
        self.fleet.bare.git(&["update-ref", "refs/heads/main", to]);
    }

    /// The branch has a commit of its files without a history.
    fn begin_anew(&self) {
        let identity = ["-c", "user.name=p", "-c", "user.email=p@x"];
        let make = [&identity[..], &["commit-tree", "main^{tree}", "-m", "All anew"]].concat();
        self.move_main(self.fleet.bare.git(&make).trim());
    }

    fn lose_branch(&self) {
        self.fleet.bare.git(&["branch", "-m", "main", "gone"]);
    }

    fn find_branch(&self) {
        self.fleet.bare.git(&["branch", "-m", "gone", "main"]);
    }

    fn damage_clone(&self) {
        let clone = self.clone_dir();
        for entry in std::fs::read_dir(clone.join("objects/pack")).unwrap().flatten() {
            std::fs::remove_file(entry.path()).unwrap();
            std::fs::write(entry.path(), "torn").unwrap();
        }
        std::fs::remove_file(clone.join("HEAD")).unwrap();
    }

    /// How many commits of the branch are a reaction's.
    fn ours(&self) -> usize {
        self.fleet.log().iter().filter(|message| message.contains("\nRiposte-Reaction: ")).count()
    }

    fn graphql(&self, kind: &str, message: &str, headers: &[(&'static str, &str)]) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let body = json!({
            "data": { "createCommitOnBranch": null },
            "errors": [{ "type": kind, "path": ["createCommitOnBranch"], "message": message }],
        });
        let fault = Fault::Answer { status: 200, headers, body: body.to_string() };
        self.github.faults().stand("graphql", fault);
    }

    fn refuse(&self, status: u16, headers: &[(&'static str, &str)], message: &str) {
        self.github.faults().stand("graphql", Fault::refusal(status, headers, message));
    }

    fn refuse_push(&self, status: u16) {
        self.remote.faults().stand(PUSH, Fault::refusal(status, &[], "no"));
    }
}

fn configured(fleet: &Fleet, github: &GitHub, remote: &HttpRemote, on: On) -> PathBuf {
    let text = std::fs::read_to_string(fleet.config_on_github("a", github, "enforce")).unwrap();
    let text = text.replace("limits: { fetchMs: 2000 }", LIMITS);
    let token = fleet.bare.root.path().join("github-token");
    let auth = format!("tokenFile: {}", token.display());
    let on_github =
        format!("github: {{ apiUrl: \"{}\", repository: {} }}", github.api_url(), github::REPOSITORY);
    let url = fleet.bare.file_url();
    for piece in [&auth, &on_github, &url] {
        assert!(text.contains(piece), "{piece} is not in\n{text}");
    }
    let text = match on {
        On::GitHub => text,
        On::App => {
            let key = fleet.bare.secret("app.pem", &String::from_utf8(fixture("keys/app-one.pem")).unwrap());
            text.replace(&auth, &format!("app: {{ id: {}, keyFile: {} }}", github::APP, key.display()))
        }
        On::Git | On::Tls => {
            let token = fleet.bare.secret("git-token", TOKEN);
            let text = text.replace(&auth, &format!("tokenFile: {}, username: {USER}", token.display()));
            let to = remote.url().replace("127.0.0.1", "localhost");
            text.replace(&format!("  {on_github}\n"), "").replace(&url, &to)
        }
    };
    fleet.beside("a.yaml", &text)
}

/// Injects a fault, sends an alert, looks at what becomes of it, heals the remote, and looks again.
async fn through(on: On, inject: fn(&Scene), met: Met, heal: fn(&Scene)) {
    let scene = Scene::new(on).await;
    block_in_place(|| {
        let mut process = scene.start();
        has_read(&process);
        inject(&scene);
        let seq = send(&process, "1");
        let failed = check(&scene, &mut process, seq, &met);
        heal(&scene);
        let seq = if failed { send(&process, "2") } else { seq };
        let reaction = process.settled(seq)["reactions"][0].clone();
        assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
        assert_eq!(scene.ours(), 1, "{:#?}", scene.fleet.log());
        let head = scene.fleet.bare.git(&["rev-parse", "main"]);
        assert_eq!(reaction["commit"]["sha"].as_str(), Some(head.trim()));
        let audit = process.connect().get("/v1/audit").json();
        assert_eq!(audit["intact"], true, "{audit}");
        assert_eq!(process.terminate(), Some(0));
        let journal = std::fs::read(scene.fleet.bare.root.path().join("a/riposte.db")).unwrap();
        for secret in ["ghs_token", TOKEN, github::TOKEN] {
            let is_in = journal.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_in, "{secret} is in the journal");
        }
    });
}

/// What is read at the start is read before anything goes wrong.
fn has_read(process: &Process) {
    let has_read = || {
        let metrics = process.connect().get("/metrics").body;
        String::from_utf8(metrics).unwrap().contains("riposte_repository_reachable 1")
    };
    assert!((0..10_000).any(|_| has_read()), "the repository is never read");
}

fn send(process: &Process, id: &str) -> i64 {
    let answer = process.connect().send(&cloudevent(id, &shell_in("default", POD)));
    assert_eq!(answer.status, 202, "an event is taken whatever the remote does");
    answer.number()
}

fn shown(process: &Process, seq: i64) -> Value {
    process.connect().get(&format!("/v1/events/{seq}")).json()["reactions"][0].clone()
}

/// Whether the reaction has failed.
fn check(scene: &Scene, process: &mut Process, seq: i64, met: &Met) -> bool {
    let says = |text: &Value, kind: &str, words: &str| {
        let text = text.as_str().unwrap_or_default();
        assert!(text.contains(&format!("{kind}: ")) && text.contains(words), "{kind}, {words}: {text}");
    };
    match met {
        Met::Settled => return false,
        Met::Queued(words) => {
            for _ in 0..2 {
                let line = process.wait_for_line(|line| line.contains("the queue of commits waits"));
                assert!(line.contains(words), "{words}: {line}");
            }
            assert!(shown(process, seq)["outcome"].is_null());
        }
        Met::Held(kind, words) => {
            for _ in 0..2 {
                process.wait_for_line(|line| line.contains("a commit is tried again later"));
            }
            let reaction = shown(process, seq);
            assert!(reaction["outcome"].is_null(), "{reaction:#}");
            let attempts = reaction["attempts"].as_array().unwrap();
            let ended =
                attempts.iter().rfind(|attempt| attempt["stage"] == "commit" && !attempt["ended"].is_null());
            says(&ended.unwrap()["detail"], kind, words);
        }
        Met::Unread(kind, words) => {
            process.wait_for_line(|line| line.contains("reactions wait: the desired state cannot be read"));
            says(&shown(process, seq)["waitsBecause"], kind, words);
            let ready = process.connect().get("/readyz");
            let text = String::from_utf8(ready.body).unwrap();
            assert!(ready.status == 200 && text.contains(&format!("cannot be read: {kind}\n")), "{text}");
        }
        Met::Failed(kind, words) => {
            let reaction = process.settled(seq)["reactions"][0].clone();
            assert_eq!(reaction["outcome"], "failed", "{reaction:#}");
            says(&reaction["reason"], kind, words);
            assert_eq!(scene.ours(), 0);
            return true;
        }
    }
    false
}

fn nothing(_: &Scene) {}

fn well(scene: &Scene) {
    scene.github.faults().heal();
    scene.remote.faults().heal();
}

macro_rules! faults {
    ($($name:ident: $on:ident, $inject:expr, $met:expr, $heal:expr;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                through(On::$on, $inject, $met, $heal).await;
            }
        )*
    };
}

faults! {
    none: GitHub, nothing, Met::Settled, nothing;
    none_as_an_app: App, nothing, Met::Settled, nothing;
    none_by_git: Git, nothing, Met::Settled, nothing;
    none_by_git_over_tls: Tls, nothing, Met::Settled, nothing;

    a_stale_head: GitHub,
        |scene| scene.github.next(Fault::Answer {
            status: 200,
            headers: Vec::new(),
            body: json!({ "errors": [{ "type": "STALE_DATA", "message": "Expected branch to point to x" }] })
                .to_string(),
        }),
        Met::Settled, nothing;
    status_401: GitHub,
        |scene| drop(scene.fleet.bare.secret("github-token", "revoked")),
        Met::Held("unauthorized", "Bad credentials"),
        |scene| drop(scene.fleet.bare.secret("github-token", github::TOKEN));
    status_403: GitHub,
        |scene| scene.refuse(403, &[], "Resource not accessible by personal access token"),
        Met::Held("forbidden", "not accessible"), well;
    status_404: GitHub, |scene| scene.refuse(404, &[], "Not Found"), Met::Held("not-found", "acme/desired"), well;
    status_409: GitHub, |scene| scene.refuse(409, &[], "Conflict"), Met::Held("unreachable", "Conflict"), well;
    status_422: GitHub, |scene| scene.refuse(422, &[], "Nonsense"), Met::Failed("unexpected", "Nonsense"), well;
    status_429_with_retry_after: GitHub,
        |scene| scene.refuse(429, &[("retry-after", "1")], "Slow down"), Met::Queued("1 s"), well;
    status_429_until_a_reset: GitHub,
        |scene| scene.refuse(429, &[
            ("date", "Tue, 24 Nov 2026 12:00:00 GMT"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1795521601"),
        ], "API rate limit exceeded"),
        Met::Queued("1 s"), well;
    the_limit_of_graphql: GitHub,
        |scene| scene.graphql("RATE_LIMITED", "API rate limit exceeded", &[
            ("date", "Tue, 24 Nov 2026 12:00:00 GMT"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1795521601"),
        ]),
        Met::Queued("1 s"), well;
    the_secondary_limit: GitHub,
        |scene| scene.refuse(403, &[("retry-after", "1")], "You have exceeded a secondary rate limit"),
        Met::Queued("1 s"), well;
    status_500: GitHub, |scene| scene.refuse(500, &[], "Oops"), Met::Held("answer-lost", "500"), well;
    status_502_as_a_page: GitHub,
        |scene| scene.github.faults().stand("graphql", Fault::Answer {
            status: 502, headers: Vec::new(), body: "<html>Unicorn</html>".to_owned(),
        }),
        Met::Held("answer-lost", "502"), well;
    status_502_after_the_commit: GitHub,
        |scene| scene.github.next(Fault::AnswerAfter { status: 502, body: "<html>".to_owned() }),
        Met::Settled, nothing;
    a_hang_before_the_commit: GitHub,
        |scene| scene.github.faults().stand("graphql", Fault::Silence),
        Met::Held("answer-lost", "no answer in 1000 ms"), well;
    a_hang_after_the_commit: GitHub, |scene| scene.github.next(Fault::SilenceAfter), Met::Settled, nothing;
    a_cut_before_the_commit: GitHub,
        |scene| scene.github.faults().stand("graphql", Fault::CutBefore),
        Met::Held("answer-lost", "not known"), well;
    a_cut_after_the_commit: GitHub, |scene| scene.github.next(Fault::CutAfter), Met::Settled, nothing;
    a_protected_branch: GitHub,
        |scene| scene.graphql("BRANCH_PROTECTION_RULE_VIOLATION", "Changes must be made through a pull request.", &[]),
        Met::Failed("protected", "pull request"), well;
    a_ruleset: GitHub,
        |scene| scene.graphql("FORBIDDEN", "Repository rule violations found", &[]),
        Met::Failed("protected", "rule violations"), well;
    a_moved_repository: GitHub,
        |scene| scene.refuse(307, &[("location", "https://api.github.com/repositories/1/x")], "Moved"),
        Met::Held("moved", "repositories/1"), well;
    an_archived_repository: GitHub,
        |scene| scene.graphql("UNPROCESSABLE", "Repository was archived so is read-only.", &[]),
        Met::Held("forbidden", "archived"), well;

    an_apps_token_that_was_taken_back: App, |scene| scene.github.app().tokens.clear(), Met::Settled, nothing;
    an_app_that_is_suspended: App,
        |scene| {
            let mut app = scene.github.app();
            app.is_suspended = true;
            app.tokens.clear();
        },
        Met::Held("forbidden", "suspended"),
        |scene| scene.github.app().is_suspended = false;

    a_deleted_branch: GitHub, Scene::lose_branch, Met::Unread("not-found", "branch main"), Scene::find_branch;
    another_history: GitHub, Scene::begin_anew, Met::Settled, nothing;
    a_corrupt_clone: GitHub, Scene::damage_clone, Met::Settled, nothing;

    git_status_401: Git,
        |scene| scene.is_known.store(false, Ordering::SeqCst),
        Met::Unread("unauthorized", "not accepted"),
        |scene| scene.is_known.store(true, Ordering::SeqCst);
    git_status_403: Git, |scene| scene.refuse_push(403), Met::Held("forbidden", "403"), well;
    git_status_404: Git, |scene| scene.refuse_push(404), Met::Held("not-found", "desired.git"), well;
    git_status_500: Git, |scene| scene.refuse_push(500), Met::Held("answer-lost", "500"), well;
    git_status_503_of_a_fetch: Git,
        |scene| scene.remote.faults().stand("GET", Fault::refusal(503, &[], "later")),
        Met::Unread("unreachable", "503"), well;
    git_cut_before_the_push: Git,
        |scene| scene.remote.faults().stand(PUSH, Fault::CutBefore), Met::Held("answer-lost", "not known"), well;
    git_cut_after_the_push: Git, |scene| scene.remote.cut_after_push(), Met::Settled, nothing;
    git_hang_before_the_push: Git,
        |scene| scene.remote.faults().stand(PUSH, Fault::Silence), Met::Held("answer-lost", "not known"), well;
    git_hang_after_the_push: Git,
        |scene| scene.remote.faults().next_at(PUSH, Fault::SilenceAfter), Met::Settled, nothing;
    git_hang_of_a_fetch: Git,
        |scene| scene.remote.faults().stand("GET", Fault::Silence), Met::Unread("unreachable", ""), well;
    git_hook_that_declines: Git,
        |scene| scene.fleet.bare.hook(
            "pre-receive",
            "#!/bin/sh\necho 'GitLab: You are not allowed to push code to protected branches.' >&2\nexit 1\n",
        ),
        Met::Failed("protected", "GitLab: You are not allowed"),
        |scene| std::fs::remove_file(scene.fleet.bare.path().join("hooks/pre-receive")).unwrap();
    git_hook_in_trouble: Git,
        |scene| scene.fleet.bare.hook(
            "pre-receive",
            "#!/bin/sh\necho 'GitLab: Internal API unreachable' >&2\nexit 1\n",
        ),
        Met::Held("unreachable", "Internal API unreachable"),
        |scene| std::fs::remove_file(scene.fleet.bare.path().join("hooks/pre-receive")).unwrap();
    git_deleted_branch: Git, Scene::lose_branch, Met::Unread("not-found", "branch main"), Scene::find_branch;
    git_another_history: Git, Scene::begin_anew, Met::Settled, nothing;
    git_corrupt_clone: Git, Scene::damage_clone, Met::Settled, nothing;
    git_another_server: Tls,
        |scene| scene.identity.become_another("keys/tls-elsewhere.pem"),
        Met::Unread("untrusted", ""),
        |scene| scene.identity.become_another("keys/tls-localhost.pem");
}

/// The commit was made, its answer was lost, and a person threw it away before it was looked for: the
/// branch does not have what the alert asks for, so it is committed, and stands there once.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_thrown_away_unseen_is_made_again() {
    let scene = Scene::new(On::GitHub).await;
    let (fleet, first) = (Arc::clone(&scene.fleet), scene.fleet.bare.first.clone());
    scene.github.next(Fault::CutAfterwards(Arc::new(move || {
        fleet.bare.git(&["update-ref", "refs/heads/main", first.as_str()]);
    })));
    block_in_place(|| {
        let mut process = scene.start();
        let seq = send(&process, "1");
        let reaction = process.settled(seq)["reactions"][0].clone();
        assert_eq!((&reaction["outcome"], scene.ours()), (&json!("committed"), 1), "{reaction:#}");
        let attempts = reaction["attempts"].to_string();
        assert!(attempts.contains("answer-lost"), "the journal tells of the first one: {attempts}");
    });
}

/// A commit that is known to have been made is a person's to throw away: it does not come again.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_thrown_away_later_does_not_come_again() {
    for on in [On::GitHub, On::Git] {
        let scene = Scene::new(on).await;
        block_in_place(|| {
            let mut process = scene.start();
            let seq = send(&process, "1");
            assert_eq!(process.settled(seq)["reactions"][0]["outcome"], "committed");
            scene.move_main(scene.fleet.bare.first.as_str());
            scene.fleet.person_commits("notes.md", "gone\n");
            let shop = shell_in("shop", "storefront-77789455d6-m7flp");
            let answer = process.connect().send(&cloudevent("2", &shop));
            process.settled(answer.number());
            assert_eq!(process.settled(seq)["reactions"][0]["outcome"], "committed");
            assert_eq!(scene.ours(), 0, "{:#?}", scene.fleet.log());
        });
    }
}

/// The clone's disk is full for what somebody has pushed, until somebody takes it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_in_the_clone_holds_reactions_and_keeps_nothing() {
    const KIBIBYTES: usize = 3 * 1024;
    let scene = Scene::new(On::Git).await;
    // What is sent takes its time.
    let config = std::fs::read_to_string(&scene.config).unwrap();
    scene.fleet.beside("a.yaml", &config.replace("fetchMs: 1000", "fetchMs: 30000"));
    block_in_place(|| {
        let mut process = Process::start_with_files_up_to(KIBIBYTES, &scene.config);
        has_read(&process);
        let before = scene.fleet.bare.git(&["rev-parse", "main"]).trim().to_owned();
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{state:016x}")
        });
        scene.fleet.person_commits("noise.txt", &noise.take(512 * 1024).collect::<String>());
        let seq = send(&process, "1");
        for _ in 0..2 {
            process.wait_for_line(|line| line.contains("reactions wait: the desired state cannot be read"));
        }
        let because = shown(&process, seq)["waitsBecause"].to_string();
        assert!(
            because.contains("cannot be read: io: ") || because.contains("cannot be read: git: "),
            "{because}"
        );
        scene.move_main(&before);
        let reaction = process.settled(seq)["reactions"][0].clone();
        assert_eq!((&reaction["outcome"], scene.ours()), (&json!("committed"), 1), "{reaction:#}");
        let left = std::fs::read_dir(scene.clone_dir().join("objects/pack")).unwrap().flatten();
        let large = left.filter(|entry| entry.metadata().unwrap().len() > 1024 * 1024);
        assert_eq!(
            large.map(|entry| entry.file_name()).collect::<Vec<_>>(),
            Vec::<std::ffi::OsString>::new()
        );
    });
}
