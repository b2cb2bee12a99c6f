//! Mode `propose`: one pull request for a plugin and an object, whatever fails on the way and whoever
//! works on it meanwhile.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::harness::fleet::deployment;
use crate::harness::git::git;
use crate::harness::github::{Fault, GitHub, Pull};
use crate::harness::{Fleet, Process, cloudevent, execute, shell_in};
use crate::takeback::{POD, react};

const FILE: &str = "apps/alpine.yaml";

async fn started(fleet: &Fleet) -> (GitHub, Process) {
    let github = GitHub::start(&fleet.bare.path()).await;
    let config = fleet.config_on_github("a", &github, "propose");
    let process = block_in_place(|| Process::start(&config, None));
    (github, process)
}

/// What a pull request brings: its commits over the branch, and its diff.
fn brings(fleet: &Fleet, pull: &Pull) -> (usize, String) {
    let count = fleet.bare.git(&["rev-list", "--count", &format!("main..{}", pull.sha)]);
    let diff = fleet.bare.git(&["diff", "-U0", &format!("{}^", pull.sha), &pull.sha]);
    let changed = diff.lines().filter(|line| line.starts_with(['+', '-']) && !line.contains("apps/"));
    (count.trim().parse().unwrap(), changed.collect::<Vec<_>>().join("\n"))
}

fn branches(fleet: &Fleet) -> Vec<String> {
    let names = fleet.bare.git(&["branch", "--format=%(refname:short)"]);
    names.lines().map(str::to_owned).collect()
}

/// A person works on a branch: `arguments` is how the commit is made.
fn person_pushes(fleet: &Fleet, branch: &str, content: &str, arguments: &[&str]) -> String {
    let (root, clone) = (fleet.bare.root.path(), fleet.bare.root.path().join("person"));
    if clone.exists() {
        std::fs::remove_dir_all(&clone).unwrap();
    }
    git(root, &["clone", "-q", "-b", branch, "desired.git", "person"]);
    std::fs::write(clone.join(FILE), content).unwrap();
    let identity = ["-c", "user.name=p", "-c", "user.email=p@x", "commit", "-qa"];
    git(&clone, &[&identity[..], arguments].concat());
    git(&clone, &["push", "-qf", "origin", &format!("HEAD:{branch}")]);
    git(&clone, &["rev-parse", "HEAD"]).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_opens_a_pull_request_that_tells_its_story() {
    let fleet = Fleet::tutorial();
    let (github, mut process) = started(&fleet).await;
    let reaction = block_in_place(|| react(&mut process, "1", POD));
    assert_eq!(reaction["outcome"], "proposed", "{reaction:#}");
    let pulls = github.pulls();
    let [pull] = pulls.as_slice() else { panic!("{pulls:#?}") };
    assert!(pull.is_open && pull.base == "main" && pull.labels == ["riposte", "scale-to-zero"], "{pull:#?}");
    assert!(
        pull.branch.starts_with("riposte/scale-to-zero/deployment-default-alpine-deployment-"),
        "{pull:#?}"
    );
    assert!(pull.title.starts_with("Scale default/alpine"), "{pull:#?}");
    let (commits, diff) = brings(&fleet, pull);
    assert_eq!((commits, diff.lines().count()), (1, 2), "{diff}");
    assert!(diff.ends_with("+  replicas: 0 # two for the load, one to lose"), "{diff}");
    let message = fleet.bare.git(&["log", "-1", "--format=%B", &pull.sha]);
    assert_eq!(reaction["commit"]["message"].as_str().map(str::trim), Some(message.trim()));
    for trailer in ["Riposte-Event: ", "Riposte-Reaction: ", "Riposte-Plugin: ", "Riposte-Journal: "] {
        let line = message.lines().find(|line| line.starts_with(trailer)).unwrap();
        assert!(pull.body.contains(line), "{line} is not in {}", pull.body);
    }
    for piece in [
        "A shell in alpine-deployment",
        "Terminal shell in container",
        "\"Terminal shell in container\" in default/alpine",
    ] {
        assert!(pull.body.contains(piece), "{piece:?} is not in {}", pull.body);
    }
    assert_eq!(branches(&fleet), ["main", &pull.branch]);
    assert_eq!(fleet.log().len(), 1, "the branch that Flux applies is as it was");
    let known = &reaction["pullRequest"];
    assert_eq!(known["number"], 1);
    assert_eq!(known["url"], "https://github.com/acme/desired/pull/1");
    assert_eq!(known["branch"], pull.branch.as_str());
    assert_eq!(reaction["commit"]["sha"], pull.sha.as_str());
    block_in_place(|| {
        everything_else_tells_of_it(&process, &pull.branch);
        assert_eq!(process.terminate(), Some(0));
        let data = fleet.bare.root.path().join("a");
        execute(&data, "UPDATE pull_requests SET url = 'https://github.com/acme/desired/pull/2'");
        let again = Process::start(&data.with_extension("yaml"), None);
        let audit = again.connect().get("/v1/audit").json();
        assert_eq!(audit["intact"], false, "which pull request it was is evidence: {audit}");
    });
}

/// The list, the metrics, a replay, the command line and the audit.
fn everything_else_tells_of_it(process: &Process, branch: &str) {
    let page = process.connect().get("/v1/events?outcome=proposed").json();
    assert_eq!(page["events"][0]["reactions"][0]["outcome"], "proposed", "{page:#}");
    let metrics = String::from_utf8(process.connect().get("/metrics").body).unwrap();
    assert!(
        metrics.lines().any(|line| line.contains("outcome=\"proposed\"") && line.ends_with(" 1")),
        "{metrics}"
    );
    let replay = process.connect().post_json("/v1/replays", &json!({ "events": [1] })).json();
    assert_eq!(replay["results"][0]["now"]["outcome"], "proposed", "{replay:#}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_riposte"));
    command.args(["events", "show", "1", "--url", &format!("http://{}", process.address)]);
    let shown = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let line = format!("  pull request 1  https://github.com/acme/desired/pull/1  {branch}\n");
    assert!(shown.contains(&line), "{shown}");
    assert_eq!(process.connect().get("/v1/audit").json()["intact"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_pull_request_whatever_becomes_of_the_answers() {
    let bad_gateway = || Fault::AnswerAfter { status: 502, body: "<html>".to_owned() };
    let answer = |status, body: &str| Fault::Answer { status, headers: Vec::new(), body: body.to_owned() };
    let limited =
        Fault::Answer { status: 429, headers: vec![("retry-after", "1".to_owned())], body: "{}".to_owned() };
    let exists = json!({ "message": "Validation Failed", "errors": [{ "message": "A pull request already exists for acme:x." }] });
    let table = [
        ("GET /repos/acme/desired/git/ref/", limited.clone()),
        ("POST /repos/acme/desired/git/refs", Fault::CutBefore),
        ("POST /repos/acme/desired/git/refs", Fault::CutAfter),
        ("createCommitOnBranch", Fault::CutBefore),
        ("createCommitOnBranch", bad_gateway()),
        ("updateRefs", Fault::CutBefore),
        ("updateRefs", Fault::CutAfter),
        ("updateRefs", Fault::SilenceAfter),
        ("GET /repos/acme/desired/pulls", limited),
        ("POST /repos/acme/desired/pulls", Fault::CutBefore),
        ("POST /repos/acme/desired/pulls", Fault::CutAfter),
        ("POST /repos/acme/desired/pulls", bad_gateway()),
        ("POST /repos/acme/desired/pulls", answer(422, &exists.to_string())),
        ("/labels", Fault::CutAfter),
    ];
    for (at, fault) in table {
        let fleet = Fleet::tutorial();
        let (github, mut process) = started(&fleet).await;
        github.next_at(at, fault);
        let reaction = block_in_place(|| react(&mut process, "1", POD));
        assert_eq!(reaction["outcome"], "proposed", "{at}: {reaction:#}");
        assert!(github.met_all(), "{at} was not asked for");
        let pulls = github.pulls();
        assert_eq!(pulls.len(), 1, "{at}: {pulls:#?}");
        assert!(pulls[0].is_open && pulls[0].labels.len() == 2, "{at}: {pulls:#?}");
        assert_eq!(brings(&fleet, &pulls[0]).0, 1, "{at}");
        assert_eq!(branches(&fleet), ["main", &pulls[0].branch], "{at}");
        assert_eq!(reaction["commit"]["sha"], pulls[0].sha.as_str(), "{at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_merged_before_its_answer_came_counts_as_proposed() {
    let fleet = Fleet::tutorial();
    let (github, mut process) = started(&fleet).await;
    github.next_at("POST /repos/acme/desired/pulls", Fault::CutAfter);
    let answer = process.connect().send(&cloudevent("1", &shell_in("default", POD)));
    let reaction = block_in_place(|| {
        process.wait_for_line(|line| line.contains("a commit is tried again later"));
        let pull = github.pulls().remove(0);
        fleet.bare.git(&["update-ref", "refs/heads/main", &pull.sha]);
        assert!(!github.pulls()[0].is_open, "GitHub sees that it is merged");
        process.settled(answer.number())["reactions"][0].clone()
    });
    assert_eq!(reaction["outcome"], "proposed", "{reaction:#}");
    assert_eq!(reaction["pullRequest"]["number"], 1, "{reaction:#}");
    assert_eq!(github.pulls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_event_brings_the_open_pull_request_up_to_date() {
    let fleet = Fleet::tutorial();
    let (github, mut process) = started(&fleet).await;
    let first = block_in_place(|| react(&mut process, "1", POD));
    let before = github.pulls().remove(0);
    let second = block_in_place(|| react(&mut process, "2", POD));
    assert_eq!(second["outcome"], "proposed", "{second:#}");
    assert_eq!(second["commit"]["sha"], first["commit"]["sha"], "a push would throw away the reviews");
    let told = github.pulls().remove(0);
    assert!(told.body != before.body && told.body.ends_with("because of the events 1."), "{}", told.body);

    fleet.person_commits("README.md", "elsewhere\n");
    let third = block_in_place(|| react(&mut process, "3", POD));
    assert_eq!(third["outcome"], "proposed", "{third:#}");
    let pulls = github.pulls();
    let [pull] = pulls.as_slice() else { panic!("{pulls:#?}") };
    assert!(pull.is_open, "it was never without a commit of its own");
    assert_ne!(third["commit"]["sha"], second["commit"]["sha"]);
    assert_eq!(third["commit"]["sha"], pull.sha.as_str());
    assert_eq!(third["commit"]["base"], fleet.bare.git(&["rev-parse", "main"]).trim());
    assert_eq!(brings(&fleet, pull).0, 1);
    assert!(pull.body.ends_with("because of the events 2, 1."), "{}", pull.body);
    assert_eq!(branches(&fleet), ["main", &pull.branch]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_is_moot_is_closed_with_the_reason() {
    let fleet = Fleet::tutorial();
    let (github, mut process) = started(&fleet).await;
    block_in_place(|| react(&mut process, "1", POD));
    let scaled = fleet.bare.git(&["show", &format!("{}:{FILE}", github.pulls()[0].sha)]);
    fleet.person_commits(FILE, &scaled);
    github.next_at("PATCH /repos/acme/desired/pulls", Fault::CutAfter);
    let second = block_in_place(|| react(&mut process, "2", POD));
    assert_eq!(second["outcome"], "unchanged", "{second:#}");
    let pull = github.pulls().remove(0);
    assert!(!pull.is_open && pull.comments.len() == 1, "{pull:#?}");
    assert!(
        pull.comments[0].contains("branch main already is as this pull request proposes it"),
        "{pull:#?}"
    );
    assert_eq!(branches(&fleet), ["main"]);
    assert_eq!(second["pullRequest"]["number"], 1, "{second:#}");
    assert_eq!(second["commit"], Value::Null);
    let asked = github.recorded().len();
    let third = block_in_place(|| react(&mut process, "3", POD));
    assert_eq!((&third["outcome"], &third["pullRequest"]), (&json!("unchanged"), &Value::Null));
    assert_eq!(github.recorded().len(), asked, "GitHub is not asked again");

    // Somebody takes it back: that is proposed anew, in a pull request of its own.
    fleet.person_commits(FILE, &scaled.replace("replicas: 0", "replicas: 4"));
    let fourth = block_in_place(|| react(&mut process, "4", POD));
    assert_eq!((&fourth["outcome"], &fourth["pullRequest"]["number"]), (&json!("proposed"), &json!(2)));
    assert_eq!(github.pulls().iter().filter(|pull| pull.is_open).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_pull_request_leaves_no_branch_behind() {
    let fleet = Fleet::tutorial();
    let (github, mut process) = started(&fleet).await;
    let first = block_in_place(|| react(&mut process, "1", POD));
    fleet.bare.git(&["update-ref", "refs/heads/main", first["commit"]["sha"].as_str().unwrap()]);
    assert!(!github.pulls()[0].is_open, "GitHub sees that it is merged");
    let second = block_in_place(|| react(&mut process, "2", POD));
    assert_eq!(second["outcome"], "unchanged", "{second:#}");
    let reason = second["reason"].as_str().unwrap();
    assert!(reason.ends_with("pull request 1 was closed before"), "{reason}");
    assert_eq!(github.pulls()[0].comments.len(), 0);
    assert_eq!(branches(&fleet), ["main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_pushed_is_left_alone() {
    let added: &[&str] = &["-m", "One more thing"];
    for how in [added, &["--amend", "--no-edit"]] {
        let fleet = Fleet::tutorial();
        let (github, mut process) = started(&fleet).await;
        block_in_place(|| react(&mut process, "1", POD));
        let pull = github.pulls().remove(0);
        let scaled = fleet.bare.git(&["show", &format!("{}:{FILE}", pull.sha)]);
        let theirs = person_pushes(&fleet, &pull.branch, &scaled.replace("replicas: 0", "replicas: 1"), how);
        let second = block_in_place(|| react(&mut process, "2", POD));
        assert_eq!(second["outcome"], "refused", "{how:?}: {second:#}");
        let reason = second["reason"].as_str().unwrap();
        assert!(reason.contains(&pull.branch) && reason.contains(&theirs[..10]), "{reason}");
        assert_eq!(fleet.bare.git(&["rev-parse", &pull.branch]).trim(), theirs, "{how:?}");
        assert_eq!(github.pulls()[0].body, pull.body, "{how:?}");

        fleet.person_commits(FILE, &scaled);
        let third = block_in_place(|| react(&mut process, "3", POD));
        assert_eq!(third["outcome"], "unchanged", "{how:?}: {third:#}");
        assert!(third["reason"].as_str().unwrap().contains("is left open"), "{how:?}: {third:#}");
        assert!(github.pulls()[0].is_open, "{how:?}");
        assert_eq!(fleet.bare.git(&["rev-parse", &pull.branch]).trim(), theirs, "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_in_the_last_moment_is_not_thrown_away() {
    let fleet = Arc::new(Fleet::tutorial());
    let (github, mut process) = started(&fleet).await;
    block_in_place(|| react(&mut process, "1", POD));
    let branch = github.pulls()[0].branch.clone();
    fleet.person_commits("README.md", "elsewhere\n");
    let (theirs, pushed) = (Arc::new(Mutex::new(String::new())), Arc::clone(&fleet));
    let (noted, name) = (Arc::clone(&theirs), branch.clone());
    let push = move || {
        *noted.lock().unwrap() = person_pushes(&pushed, &name, "# theirs\n", &["-m", "By hand"]);
    };
    github.next_at("updateRefs", Fault::Meanwhile(Arc::new(push)));
    let second = block_in_place(|| react(&mut process, "2", POD));
    assert_eq!(second["outcome"], "refused", "{second:#}");
    assert!(second["reason"].as_str().unwrap().starts_with("branch-taken: "), "{second:#}");
    assert_eq!(fleet.bare.git(&["rev-parse", &branch]).trim(), *theirs.lock().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_change_of_the_same_object_is_not_closed_as_moot() {
    const ENTRY: &str = "  - name: rules
    source: bundled:rules
    mode: propose
    grants:
      kinds: [apps/v1/Deployment]
      namespaces: [default]
      fields: [/spec/replicas, /spec/template/spec/automountServiceAccountToken]
    config:
      rules:
        - { name: token, match: { rule: Token read }, action: drop-token }
        - { name: scale, match: { rule: Terminal shell in container }, action: scale-to-zero }
";
    let spec = "    spec:\n      automountServiceAccountToken: false\n";
    let dropped = deployment("a-a").replacen("    spec:\n", spec, 1);
    let fleet = Fleet::with(&[("a.yaml", &dropped)]);
    let github = GitHub::start(&fleet.bare.path()).await;
    let text = std::fs::read_to_string(fleet.config_on_github("a", &github, "propose")).unwrap();
    let head = text.split("  - name: ").next().unwrap();
    let config = fleet.beside("rules.yaml", &format!("{head}{ENTRY}"));
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        let pod = "a-a-77789455d6-m7flp";
        assert_eq!(react(&mut process, "1", pod)["outcome"], "proposed");
        let alert = shell_in("default", pod).replace("Terminal shell in container", "Token read");
        let answer = process.connect().send(&cloudevent("2", &alert));
        let second = process.settled(answer.number())["reactions"][0].clone();
        assert_eq!(
            (&second["outcome"], &second["pullRequest"]),
            (&json!("unchanged"), &Value::Null),
            "{second:#}"
        );
    });
    assert!(github.pulls()[0].is_open, "nobody has scaled it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_of_a_fork_is_not_taken_for_ours() {
    let fleet = Fleet::tutorial();
    let (github, mut process) = started(&fleet).await;
    block_in_place(|| react(&mut process, "1", POD));
    let ours = github.pulls().remove(0);
    let from = "acme/fork-of-desired".to_owned();
    github.add_pull(Pull { number: 2, from, title: "theirs".to_owned(), ..ours });
    let second = block_in_place(|| react(&mut process, "2", POD));
    assert_eq!(second["pullRequest"]["number"], 1, "{second:#}");
    assert_eq!(github.pulls()[1].title, "theirs");
    github.change_pull(1, |pull| pull.is_open = false);
    let third = block_in_place(|| react(&mut process, "3", POD));
    assert_eq!(third["pullRequest"]["number"], 3, "a closed one is not opened again: {third:#}");
    assert_eq!(github.pulls()[1].title, "theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn guardrails_and_grants_hold_for_pull_requests() {
    let fleet = Fleet::with(&[("a.yaml", &deployment("a-a")), ("b.yaml", &deployment("b-b"))]);
    let github = GitHub::start(&fleet.bare.path()).await;
    let text = std::fs::read_to_string(fleet.config_on_github("a", &github, "propose")).unwrap();
    let text = format!("{text}guardrails:\n  commitsMax: 1\n  protectedNamespaces: [shop]\n");
    let config = fleet.beside("guarded.yaml", &text);
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        assert_eq!(react(&mut process, "1", "a-a-77789455d6-m7flp")["outcome"], "proposed");
        let second = react(&mut process, "2", "b-b-77789455d6-m7flp");
        assert_eq!(second["outcome"], "refused", "{second:#}");
        assert!(second["reason"].as_str().unwrap().contains("commitsMax"), "{second:#}");
    });
    assert_eq!(github.pulls().len(), 1);
    assert_eq!(branches(&fleet).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_is_switched_to_proposals_and_back() {
    let fleet = Fleet::with(&[("a.yaml", &deployment("a-a")), ("b.yaml", &deployment("b-b"))]);
    let github = GitHub::start(&fleet.bare.path()).await;
    let config = fleet.config_on_github("a", &github, "enforce");
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        let switch = |process: &Process, mode: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_riposte"));
            command.args(["mode", mode, "scale-to-zero", "--reason", "a trial", "--url"]);
            let said = command.arg(format!("http://{}", process.address)).output().unwrap();
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            String::from_utf8(said.stdout).unwrap()
        };
        let said = switch(&process, "propose");
        assert_eq!(said, "scale-to-zero is in mode propose; the configuration says enforce\n");
        assert_eq!(react(&mut process, "1", "a-a-77789455d6-m7flp")["outcome"], "proposed");
        assert_eq!(process.connect().get("/v1/plugins").json()["plugins"][0]["mode"], "propose");
        switch(&process, "enforce");
        assert_eq!(react(&mut process, "2", "b-b-77789455d6-m7flp")["outcome"], "committed");
    });
    assert_eq!((github.pulls().len(), fleet.log().len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_git_has_no_pull_requests_and_says_so() {
    let fleet = Fleet::tutorial();
    let config = fleet.config_with("plain", "", "propose");
    let run = |arguments: &[&str], config: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riposte"));
        let said = command.args(arguments).arg(config).output().unwrap();
        let words = [said.stdout, said.stderr].concat();
        (said.status.code(), String::from_utf8(words).unwrap())
    };
    let words = "plugin scale-to-zero has mode propose, but the repository is not on GitHub";
    for arguments in [&["check", "--config"][..], &["serve", "--config"]] {
        let (status, said) = block_in_place(|| run(arguments, &config));
        assert_ne!(status, Some(0), "{arguments:?}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    block_in_place(|| {
        let process = Process::start(&fleet.config("a"), None);
        let body = json!({ "mode": "propose", "reason": "a trial" });
        let refused = process.connect().post_json("/v1/plugins/scale-to-zero/mode", &body);
        assert_eq!(refused.status, 409);
        assert!(refused.json()["detail"].as_str().unwrap().contains("plain Git has no pull requests"));
        assert_eq!(process.connect().get("/v1/plugins").json()["plugins"][0]["mode"], "enforce");
    });
}
