//! Commits by GitHub's Git Data API: when they are made so, and each way in which a step fails.

use std::sync::Arc;

use riposte::model::manifest::CommitSha;
use riposte::repository::{CommitError, FileChange, ProposalBranch, PullRequestDraft, Repository, Retry};
use serde_json::json;
use tempfile::{TempDir, tempdir};

use crate::harness::git::{Bare, change, config, removal};
use crate::harness::github::{Fault, GitHub, REPOSITORY, TOKEN};
use crate::harness::proposal::web;

const MESSAGE: &str = "Scale web to 0: Shell\n\n> output\n\nRiposte-Reaction: j1/r9\n";
const TRAILER: &str = "Riposte-Reaction: j1/r9";
const MOVE: &str = "PATCH /repos/acme/desired/git/refs/heads/main";

struct Scene {
    bare: Arc<Bare>,
    github: GitHub,
    repository: Repository,
    /// Has `run.yaml`, which is executable, and `b.yaml`.
    base: CommitSha,
    _data: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let bare = Bare::new(&[("run.yaml", "a: 1\n"), ("b.yaml", "b: 1\n")]);
        bare.make_executable("run.yaml");
        let (github, data) = (GitHub::start(&bare.path()).await, tempdir().unwrap());
        let input = json!({
            "url": bare.file_url(),
            "auth": { "tokenFile": bare.secret("token", TOKEN) },
            "github": { "apiUrl": github.api_url(), "repository": REPOSITORY },
            "limits": { "fetchMs": 20_000, "commitBytesMax": 64 * 1024 * 1024 },
        });
        let repository = Repository::open(&config(input), data.path()).await.unwrap();
        let base = repository.head().await.unwrap();
        Self { bare: Arc::new(bare), github, repository, base, _data: data }
    }

    async fn commit(&self) -> Result<CommitSha, CommitError> {
        self.repository.commit(&self.base, &change("run.yaml", "a: 2\n"), MESSAGE).await
    }

    /// The last step of each request's path, from the first write on.
    fn sent(&self) -> Vec<String> {
        let steps = self.github.recorded().into_iter();
        steps.map(|request| request.path.split('/').skip(5).take(1).collect()).collect()
    }
}

#[tokio::test]
async fn an_executable_file_stays_executable() {
    let scene = Scene::new().await;
    let files =
        [change("run.yaml", "a: 2\n# ü\n"), change("new/c.yaml", "c: 1\n"), removal("b.yaml")].concat();
    let made = scene.repository.commit(&scene.base, &files, MESSAGE).await.unwrap();
    assert_eq!(scene.repository.head().await.unwrap(), made);
    let listed = scene.bare.git(&["ls-tree", "-r", "--format=%(objectmode) %(path)", "main"]);
    assert_eq!(listed, "100644 new/c.yaml\n100755 run.yaml\n");
    assert_eq!(scene.bare.show("run.yaml"), "a: 2\n# ü\n");
    assert_eq!(scene.bare.git(&["rev-parse", "main^"]).trim(), scene.base.as_str());
    assert_eq!(scene.bare.git(&["log", "-1", "--format=%B", "main"]).trim(), MESSAGE.trim());
    let found = scene.repository.find_commit_with(TRAILER, &scene.base).await.unwrap();
    assert_eq!(found.map(|found| found.sha), Some(made.clone()));
    let steps = ["blobs", "blobs", "trees", "commits", "ref", "refs"];
    assert_eq!(scene.sent(), steps);
    // What the mutation can do goes by the mutation.
    scene.repository.commit(&made, &change("new/c.yaml", "c: 2\n"), MESSAGE).await.unwrap();
    assert_eq!(scene.github.recorded().last().unwrap().path, "/graphql");
    scene.bare.git(&["fsck", "--strict"]);
}

#[tokio::test]
async fn a_server_without_the_mutation_is_asked_for_it_once() {
    let scene = Scene::new().await;
    scene.github.forget_the_mutation();
    let mut base = scene.base.clone();
    let unable = scene.repository.commit(&base, &change("b.yaml", "b: 2\n"), MESSAGE).await.unwrap_err();
    assert_eq!((unable.kind(), unable.retry()), ("no-mutation", Retry::Now), "{unable}");
    for round in 2..4 {
        let files = change("b.yaml", &format!("b: {round}\n"));
        base = scene.repository.commit(&base, &files, MESSAGE).await.unwrap();
        assert_eq!(scene.repository.head().await.unwrap(), base);
    }
    let asked = scene.github.recorded().iter().filter(|request| request.path == "/graphql").count();
    assert_eq!((asked, scene.bare.commits()), (1, 4));
}

#[tokio::test]
async fn a_commit_that_is_too_large_for_the_mutation_is_made_of_its_parts() {
    let scene = Scene::new().await;
    let content = "# a large manifest\n".repeat(31 * 1024 * 1024 / 19 + 1);
    let files = [FileChange { path: "b.yaml".to_owned(), content: Some(content.clone()) }];
    scene.repository.commit(&scene.base, &files, MESSAGE).await.unwrap();
    assert_eq!(scene.sent(), ["blobs", "trees", "commits", "ref", "refs"]);
    assert_eq!(scene.bare.git(&["cat-file", "-s", "main:b.yaml"]).trim(), content.len().to_string());
}

#[tokio::test]
async fn the_branch_moves_from_the_base_and_from_nowhere_else() {
    type Meanwhile = fn(&Bare, &str);
    let ahead: Meanwhile = |bare, _| drop(bare.commit_elsewhere("b.yaml", "b: 2\n"));
    let back: Meanwhile = |bare, _| drop(bare.git(&["update-ref", "refs/heads/main", bare.first.as_str()]));
    let gone: Meanwhile = |bare, _| drop(bare.git(&["update-ref", "-d", "refs/heads/main"]));
    let look = "GET /repos/acme/desired/git/ref/heads/main";
    let cases = [
        ("a push before the look", look, ahead, "head-moved"),
        ("a push after the look", MOVE, ahead, "head-moved"),
        ("taken back before the look", look, back, "head-moved"),
        ("deleted before the look", look, gone, "not-found"),
        ("deleted after the look", MOVE, gone, "not-found"),
    ];
    for (name, step, act, kind) in cases {
        let scene = Scene::new().await;
        let bare = Arc::clone(&scene.bare);
        let before = scene.base.as_str().to_owned();
        scene.github.next_at(step, Fault::Meanwhile(Arc::new(move || act(&bare, &before))));
        let refused = scene.commit().await.expect_err(name);
        assert_eq!(refused.kind(), kind, "{name}: {refused}");
        assert!(scene.github.met_all(), "{name}");
        assert_eq!(scene.bare.git(&["rev-list", "--all", "--grep=^Scale"]), "", "{name}");
    }
}

#[tokio::test]
async fn each_lost_or_refused_step_becomes_its_error() {
    let scene = Scene::new().await;
    let refused = |status: u16, message: &str| Fault::Answer {
        status,
        headers: Vec::new(),
        body: json!({ "message": message, "status": status.to_string() }).to_string(),
    };
    let steps = [
        "POST /repos/acme/desired/git/blobs",
        "POST /repos/acme/desired/git/trees",
        "POST /repos/acme/desired/git/commits",
        "GET /repos/acme/desired/git/ref/heads/main",
        MOVE,
    ];
    for step in steps {
        let (reads, moves) = (step.starts_with("GET"), step == MOVE);
        let cases = [
            (refused(401, "Bad credentials"), "unauthorized"),
            (refused(403, "Resource not accessible by integration"), "forbidden"),
            (refused(403, "You have exceeded a secondary rate limit"), "rate-limited"),
            (refused(404, "Not Found"), "not-found"),
            (refused(429, "Slow down"), "rate-limited"),
            (refused(422, "Something is wrong"), if moves { "protected" } else { "unexpected" }),
            (refused(502, "Unicorn"), if reads { "unreachable" } else { "answer-lost" }),
            (Fault::CutBefore, if reads { "unreachable" } else { "answer-lost" }),
        ];
        for (number, (fault, kind)) in cases.into_iter().enumerate() {
            scene.github.next_at(step, fault);
            let error = scene.commit().await.expect_err(step);
            assert_eq!(error.kind(), kind, "{step} {number}: {error}");
            assert_eq!(scene.bare.commits(), 2, "{step} {number}");
        }
    }
    scene.github.next_at(MOVE, Fault::CutAfter);
    let lost = scene.commit().await.unwrap_err();
    assert_eq!(lost.retry(), Retry::LookFirst);
    assert!(scene.repository.find_commit_with(TRAILER, &scene.base).await.unwrap().is_some());
    assert_eq!(scene.bare.commits(), 3);
}

#[tokio::test]
async fn a_tree_that_is_not_ours_is_not_committed() {
    let scene = Scene::new().await;
    let body = json!({ "sha": scene.base.as_str() }).to_string();
    scene.github.next_at("/git/trees", Fault::Answer { status: 201, headers: Vec::new(), body });
    let refused = scene.commit().await.unwrap_err();
    assert!(refused.to_string().contains("another tree"), "{refused}");
    assert_eq!(scene.bare.commits(), 2);
}

#[tokio::test]
async fn a_pull_request_keeps_a_file_executable_too() {
    let scene = Scene::new().await;
    let draft = PullRequestDraft {
        branch: ProposalBranch::new("p", &[&web()]),
        title: "Scale".to_owned(),
        body: "<!-- r1 -->".to_owned(),
        marker: "<!-- r1 -->".to_owned(),
        labels: Vec::new(),
    };
    let files = change("run.yaml", "a: 2\n");
    let first = scene.repository.propose(&scene.base, &files, MESSAGE, &draft, None).await.unwrap();
    let listed = scene.bare.git(&["ls-tree", draft.branch.as_str(), "run.yaml"]);
    assert!(listed.starts_with("100755 "), "{listed}");
    let again = scene.repository.propose(&scene.base, &files, MESSAGE, &draft, None).await.unwrap();
    assert_eq!(first.commit.sha, again.commit.sha, "and it is known again as ours");
}
