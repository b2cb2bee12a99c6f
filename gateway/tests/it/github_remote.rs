//! The repository over GitHub's API: each way in which GitHub answers, and the error that it becomes.

use std::time::Duration;

use riposte::model::manifest::ObjectRef;
use riposte::repository::{
    Closing, CommitError, ProposalBranch, PullRequestDraft, Repository, RepositoryError, Retry,
};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::harness::git::{Bare, change, config, removal};
use crate::harness::github::{APP, Fault, GitHub, REPOSITORY, TOKEN};

const MESSAGE: &str = "Scale web to 0: Shell\n\n> output\n\nRiposte-Reaction: j1/r9\n";
const TRAILER: &str = "Riposte-Reaction: j1/r9";

async fn open(bare: &Bare, github: &GitHub, data: &TempDir) -> Repository {
    let input = json!({
        "url": bare.file_url(),
        "auth": { "tokenFile": bare.secret("token", TOKEN) },
        "github": { "apiUrl": github.api_url(), "repository": REPOSITORY },
        "limits": { "fetchMs": 2000 },
    });
    Repository::open(&config(input), data.path()).await.unwrap()
}

fn answer(status: u16, headers: &[(&'static str, &str)], body: Value) -> Fault {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Fault::Answer { status, headers, body: body.to_string() }
}

fn graphql_error(kind: &str, message: &str) -> Value {
    json!({
        "data": { "createCommitOnBranch": null },
        "errors": [{ "type": kind, "path": ["createCommitOnBranch"], "message": message }],
    })
}

/// The variant's name, without its fields.
fn variant(error: &CommitError) -> String {
    let shown = match error {
        CommitError::Repository(error) => format!("{error:?}"),
        error => format!("{error:?}"),
    };
    shown.split([' ', '(', '{']).next().unwrap().to_owned()
}

#[tokio::test]
async fn commits_files_in_one_call() {
    let bare = Bare::new(&[("apps/web.yaml", "a: 1\n")]);
    let cases = [GitHub::start(&bare.path()).await, GitHub::start_enterprise(&bare.path()).await];
    let data = tempdir().unwrap();
    let mut base = bare.first.clone();
    for (round, github) in cases.iter().enumerate() {
        let repository = open(&bare, github, &data).await;
        let content = format!("a: {}\n# ü\n", round + 2);
        let made = repository.commit(&base, &change("apps/web.yaml", &content), MESSAGE).await.unwrap();
        assert_eq!(repository.head().await.unwrap(), made);
        assert_eq!(bare.show("apps/web.yaml"), content);
        assert_eq!(bare.git(&["log", "-1", "--format=%B", "main"]).trim(), MESSAGE.trim());
        assert_eq!(bare.git(&["rev-parse", "main^"]).trim(), base.as_str());
        assert_eq!(
            repository.find_commit_with(TRAILER, &base).await.unwrap().map(|found| found.sha),
            Some(made.clone())
        );
        let said = repository.check().await.unwrap();
        assert!(said.contains("GitHub"), "{said}");
        let late = repository.commit(&base, &change("apps/web.yaml", "a: 9\n"), MESSAGE).await;
        assert!(matches!(late, Err(CommitError::HeadMoved { .. })), "{late:?}");
        let same = repository.commit(&made, &change("apps/web.yaml", &content), MESSAGE).await;
        assert!(matches!(same, Err(CommitError::Unchanged)), "{same:?}");
        base = made;
    }
}

/// An answer, the error's name, whether to try again, and a piece of the error's text.
type Case = (Fault, &'static str, Retry, &'static str);

fn statuses() -> Vec<Case> {
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    let message = |text: &str| json!({ "message": text, "status": "403" });
    let secondary = "You have exceeded a secondary rate limit.";
    let dated = [
        ("date", "Tue, 24 Nov 2026 12:00:00 GMT"),
        ("x-ratelimit-remaining", "0"),
        // 2026-11-24T12:02:05Z.
        ("x-ratelimit-reset", "1795521725"),
    ];
    vec![
        (answer(401, &[], message("Bad credentials")), "Unauthorized", after(60), "Bad credentials"),
        (
            answer(403, &[], message("Resource not accessible by personal access token")),
            "Forbidden",
            after(60),
            "Resource not accessible",
        ),
        (answer(403, &[("retry-after", "7")], message(secondary)), "RateLimited", after(7), "7 s"),
        (answer(403, &[], message(secondary)), "RateLimited", after(60), "60 s"),
        (answer(429, &[("retry-after", "9")], message(secondary)), "RateLimited", after(9), "9 s"),
        (answer(429, &[], message("no")), "RateLimited", after(60), "60 s"),
        (answer(403, &dated, message("API rate limit exceeded")), "RateLimited", after(125), "125 s"),
        (answer(429, &[("retry-after", "999999")], message("no")), "RateLimited", after(3600), "3600 s"),
        (answer(404, &[], message("Not Found")), "NotFound", after(60), REPOSITORY),
        (
            answer(307, &[("location", "https://api.github.com/repositories/1/x")], json!({})),
            "Moved",
            after(60),
            "repositories/1",
        ),
        (answer(422, &[], message("Unprocessable")), "Unexpected", Retry::Never, "Unprocessable"),
        (answer(500, &[], json!({})), "Unknown", Retry::LookFirst, "500"),
        (
            Fault::Answer { status: 502, headers: vec![], body: "<html>Unicorn</html>".to_owned() },
            "Unknown",
            Retry::LookFirst,
            "502",
        ),
        (
            Fault::Answer { status: 200, headers: vec![], body: "<html>".to_owned() },
            "Unknown",
            Retry::LookFirst,
            "not JSON",
        ),
        (Fault::CutBefore, "Unknown", Retry::LookFirst, "not known"),
        (Fault::Silence, "Unknown", Retry::LookFirst, "2000 ms"),
    ]
}

fn graphql_errors() -> Vec<Case> {
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    let error = |kind: &str, message: &str| answer(200, &[], graphql_error(kind, message));
    let dated = [
        ("date", "Tue, 24 Nov 2026 12:00:00 GMT"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1795521725"),
    ];
    let stale = "Expected branch to point to \"0\" but it did not.  Pull and try again.";
    let limited = graphql_error("RATE_LIMITED", "API rate limit exceeded");
    vec![
        (error("STALE_DATA", stale), "HeadMoved", Retry::Now, "main"),
        (
            error("UNPROCESSABLE", "Ref refs/heads/main is at 1 but expected 2"),
            "HeadMoved",
            Retry::Now,
            "main",
        ),
        (
            error("BRANCH_PROTECTION_RULE_VIOLATION", "Changes must be made through a pull request."),
            "Protected",
            Retry::Never,
            "pull request",
        ),
        (
            error("FORBIDDEN", "Repository rule violations found"),
            "Protected",
            Retry::Never,
            "rule violations",
        ),
        (
            error("FORBIDDEN", "Resource not accessible by integration"),
            "Forbidden",
            after(60),
            "not accessible",
        ),
        (error("NOT_FOUND", "Could not resolve"), "NotFound", after(60), "Could not resolve"),
        (error("UNPROCESSABLE", "A path was invalid"), "Unexpected", Retry::Never, "A path"),
        (answer(200, &dated, limited), "RateLimited", after(125), "125 s"),
        (
            answer(
                200,
                &[("retry-after", "5")],
                graphql_error("", "You have exceeded a secondary rate limit"),
            ),
            "RateLimited",
            after(5),
            "5 s",
        ),
        (
            error("", "Something went wrong while executing your query."),
            "Unknown",
            Retry::LookFirst,
            "went wrong",
        ),
        (answer(200, &[], json!({})), "Unknown", Retry::LookFirst, "neither"),
    ]
}

#[tokio::test]
async fn each_refusal_becomes_its_error_and_is_sent_once() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let github = GitHub::start(&bare.path()).await;
    let data = tempdir().unwrap();
    let repository = open(&bare, &github, &data).await;
    for (number, (fault, name, retry, words)) in statuses().into_iter().chain(graphql_errors()).enumerate() {
        let before = github.recorded().len();
        github.next(fault);
        let refused = repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await;
        let error = refused.expect_err("a fault is no commit");
        assert_eq!((variant(&error).as_str(), error.retry()), (name, retry), "case {number}: {error:?}");
        assert!(error.to_string().contains(words), "case {number}: {error}");
        assert_eq!(github.recorded().len(), before + 1, "case {number} was sent once");
        assert_eq!(bare.commits(), 1, "case {number}");
    }
    repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await.unwrap();
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_and_not_made_again() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let github = GitHub::start(&bare.path()).await;
    let data = tempdir().unwrap();
    let repository = open(&bare, &github, &data).await;
    let mut base = bare.first.clone();
    let faults = [Fault::CutAfter, Fault::AnswerAfter { status: 502, body: "<html>".to_owned() }];
    for (round, fault) in faults.into_iter().enumerate() {
        let (message, trailer) =
            (MESSAGE.replace("r9", &format!("r{round}")), TRAILER.replace("r9", &format!("r{round}")));
        assert_eq!(repository.find_commit_with(&trailer, &base).await.unwrap(), None);
        github.next(fault);
        let lost =
            repository.commit(&base, &change("a.yaml", &format!("a: {}\n", round + 2)), &message).await;
        assert!(matches!(&lost, Err(error) if error.retry() == Retry::LookFirst), "{lost:?}");
        let found = repository.find_commit_with(&trailer, &base).await.unwrap().expect("the commit was made");
        assert_eq!(bare.git(&["rev-parse", "main"]).trim(), found.sha.as_str());
        base = found.sha;
    }
    assert_eq!(bare.commits(), 3);
    assert_eq!(github.recorded().len(), 2, "nothing is sent twice");
}

#[tokio::test]
async fn nothing_was_sent_when_github_is_away() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let input = json!({
        "url": bare.file_url(),
        "auth": { "tokenFile": bare.secret("token", TOKEN) },
        "github": { "apiUrl": format!("http://{closed}"), "repository": REPOSITORY },
    });
    let data = tempdir().unwrap();
    let repository = Repository::open(&config(input), data.path()).await.unwrap();
    let away = repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await;
    assert!(
        matches!(away, Err(CommitError::Repository(RepositoryError::Unreachable { .. }))),
        "a commit that was never sent needs no search: {away:?}"
    );
}

#[tokio::test]
async fn a_rotated_token_is_used_at_once_and_never_shown() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let github = GitHub::start(&bare.path()).await;
    let data = tempdir().unwrap();
    let repository = open(&bare, &github, &data).await;
    bare.secret("token", "revoked");
    let refused = repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await;
    assert!(
        matches!(refused, Err(CommitError::Repository(RepositoryError::Unauthorized { .. }))),
        "{refused:?}"
    );
    bare.secret("token", "two\nlines");
    let refused = repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await;
    assert!(
        matches!(refused, Err(CommitError::Repository(RepositoryError::Unauthorized { .. }))),
        "{refused:?}"
    );
    bare.secret("token", TOKEN);
    repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await.unwrap();
    assert!(!format!("{repository:?}").contains(TOKEN));
}

#[tokio::test]
async fn a_check_names_what_stands_in_the_way() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let github = GitHub::start(&bare.path()).await;
    let data = tempdir().unwrap();
    let repository = open(&bare, &github, &data).await;
    let cases = [
        (answer(200, &[], json!({ "archived": true })), "archived"),
        (answer(200, &[], json!({ "permissions": { "push": false } })), "Contents: write"),
        (answer(301, &[("location", "https://x/repositories/1")], json!({})), "repositories/1"),
        (answer(404, &[], json!({ "message": "Not Found" })), REPOSITORY),
        (answer(500, &[], json!({})), "500"),
        (Fault::CutBefore, "cannot be reached"),
    ];
    for (fault, words) in cases {
        github.next(fault);
        let error = repository.check().await.unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

fn drafted() -> PullRequestDraft {
    let target = ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: Some("default".to_owned()),
        name: "web".to_owned(),
    };
    PullRequestDraft {
        branch: ProposalBranch::new("p", &[&target]),
        title: "Scale".to_owned(),
        body: "<!-- r1 -->".to_owned(),
        marker: "<!-- r1 -->".to_owned(),
        labels: vec!["riposte".to_owned()],
    }
}

/// Each step that can be refused, and what an answer of GitHub becomes there.
#[tokio::test]
async fn each_refusal_of_a_step_becomes_its_error() {
    const STEPS: [&str; 6] = [
        "GET /repos/acme/desired/git/ref/",
        "POST /repos/acme/desired/git/refs",
        "createCommitOnBranch",
        "updateRefs",
        "GET /repos/acme/desired/pulls",
        "POST /repos/acme/desired/pulls",
    ];
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let github = GitHub::start(&bare.path()).await;
    let data = tempdir().unwrap();
    let open_at = |api_url: String| {
        let input = json!({
            "url": bare.file_url(),
            "auth": { "tokenFile": bare.secret("token", TOKEN) },
            "github": { "apiUrl": api_url, "repository": REPOSITORY },
            "limits": { "fetchMs": 2000 },
        });
        Repository::new(&config(input), data.path()).unwrap()
    };
    let repository = open_at(github.api_url());
    repository.head().await.unwrap();
    let (files, draft) = (change("a.yaml", "a: 2\n"), drafted());
    let propose =
        || repository.propose(&bare.first, &files, "Scale\n\nRiposte-Reaction: j/1\n", &draft, None);
    let refused = |status, message: &str| Fault::Answer {
        status,
        headers: Vec::new(),
        body: json!({ "message": message, "status": status.to_string() }).to_string(),
    };
    for step in STEPS {
        let writes = !step.starts_with("GET");
        let statuses = [
            (401, "Bad credentials", "unauthorized"),
            (403, "Resource not accessible by personal access token", "forbidden"),
            (403, "You have exceeded a secondary rate limit", "rate-limited"),
            (404, "Not Found", "not-found"),
            (422, "Something is wrong", if step == "updateRefs" { "answer-lost" } else { "unexpected" }),
            (429, "Slow down", "rate-limited"),
            (503, "Unicorn", if writes { "answer-lost" } else { "unreachable" }),
        ];
        for (status, message, kind) in statuses {
            // Without the branch there is nothing at this address: that is no error.
            if status == 404 && step.ends_with("git/ref/") {
                continue;
            }
            github.next_at(step, refused(status, message));
            let error = propose().await.expect_err(step);
            assert_eq!(error.kind(), kind, "{step} {status} {message}: {error}");
            bare.git(&["for-each-ref", "--format=%(refname)", "refs/heads/riposte"]).lines().for_each(
                |name| {
                    bare.git(&["update-ref", "-d", name]);
                },
            );
        }
    }
    github.next_at(STEPS[1], refused(422, "Repository rule violations found"));
    assert!(matches!(propose().await, Err(CommitError::Protected { .. })));
    github.next_at("/labels", refused(403, "Resource not accessible by integration"));
    let proposed = propose().await.unwrap();
    assert_eq!(proposed.pull_request.number, 1, "labels are no condition");
    assert_eq!(github.pulls()[0].labels.len(), 0);
    // GitHub Enterprise has its API elsewhere.
    let enterprise = GitHub::start_enterprise(&bare.path()).await;
    let there = open_at(enterprise.api_url());
    let proposed = there
        .propose(&bare.first, &change("a.yaml", "a: 3\n"), "Scale\n\nA: b\n", &draft, None)
        .await
        .unwrap();
    assert_eq!(enterprise.pulls()[0].sha, proposed.commit.sha.as_str());
}

/// Opened, brought up to date over a branch that an earlier attempt left, found, closed.
async fn every_request_of_a_pull_request(bare: &Bare, github: &GitHub, repository: &Repository) {
    let before = github.recorded().len();
    let draft = drafted();
    let mut base = repository.head().await.unwrap();
    let first = repository.propose(&base, &change("a.yaml", "a: 3\n"), MESSAGE, &draft, None).await.unwrap();
    bare.commit_elsewhere("c.yaml", "c: 1\n");
    base = repository.head().await.unwrap();
    let staging = format!("refs/heads/{}.next", draft.branch.as_str());
    bare.git(&["update-ref", &staging, first.commit.sha.as_str()]);
    let next = PullRequestDraft { title: "Scale web again".to_owned(), ..draft.clone() };
    let second = repository.propose(&base, &change("a.yaml", "a: 3\n"), MESSAGE, &next, None).await.unwrap();
    assert_eq!(first.pull_request, second.pull_request);
    let found = repository.find_pull_request(&draft.branch, &draft.marker).await.unwrap().unwrap();
    assert_eq!((found.is_open, found.commit.unwrap().sha), (true, second.commit.sha));
    let closing = repository.close_pull_request(&draft.branch, "It is moot.", None).await.unwrap();
    assert_eq!(closing, Closing::Closed);
    let sent: std::collections::BTreeSet<String> = github.recorded()[before..]
        .iter()
        .map(|request| {
            let path: Vec<&str> = request.path.split('/').skip(4).take(3).collect();
            format!("{} {}", request.method, path.join("/").trim_end_matches(|c: char| c.is_ascii_hexdigit()))
        })
        .collect();
    let expected = [
        "GET ",
        "GET git/commits/",
        "GET git/ref/heads",
        "GET pulls",
        "PATCH git/refs/heads",
        "PATCH pulls/",
        "POST ",
        "POST git/refs",
        "POST issues/1/comments",
        "POST issues/1/labels",
        "POST pulls",
    ];
    assert_eq!(sent.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

/// A commit of its parts, one of which goes, by an App.
async fn every_request_of_an_app_and_of_parts(bare: &Bare, github: &GitHub) {
    let key = String::from_utf8(crate::harness::fixture("keys/app-one.pem")).unwrap();
    let input = json!({
        "url": bare.file_url(),
        "auth": { "app": { "id": APP, "keyFile": bare.secret("app.pem", &key) } },
        "github": { "apiUrl": github.api_url(), "repository": REPOSITORY },
    });
    let data = tempdir().unwrap();
    let repository = Repository::open(&config(input), data.path()).await.unwrap();
    github.forget_the_mutation();
    let base = repository.head().await.unwrap();
    let files = [change("parts.yaml", "p: 1\n"), removal("c.yaml")].concat();
    let unable = repository.commit(&base, &files, MESSAGE).await.unwrap_err();
    assert_eq!(unable.kind(), "no-mutation", "{unable}");
    repository.commit(&base, &files, MESSAGE).await.unwrap();
}

/// CI holds these against the contracts that GitHub publishes.
#[tokio::test]
async fn our_requests_are_written_down_for_the_contract_check() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n"), ("b.yaml", "b: 1\n")]);
    let github = GitHub::start(&bare.path()).await;
    let data = tempdir().unwrap();
    let repository = open(&bare, &github, &data).await;
    repository.check().await.unwrap();
    let made = repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await.unwrap();
    repository.head().await.unwrap();
    repository.commit(&made, &removal("b.yaml"), MESSAGE).await.unwrap();
    let recorded = github.recorded();
    let sent: Vec<_> =
        recorded.iter().map(|request| (request.method.as_str(), request.path.as_str())).collect();
    assert_eq!(sent, [("GET", "/repos/acme/desired"), ("POST", "/graphql"), ("POST", "/graphql")]);
    let input = |request: usize| &recorded[request].body["variables"]["input"];
    let added = json!({ "additions": [{ "path": "a.yaml", "contents": "YTogMgo=" }] });
    assert_eq!(input(1)["fileChanges"], added);
    assert_eq!(input(1)["expectedHeadOid"], bare.first.as_str());
    assert_eq!(input(2)["fileChanges"], json!({ "deletions": [{ "path": "b.yaml" }] }));
    assert_eq!(bare.git(&["ls-tree", "-r", "--name-only", "main"]), "a.yaml\n");
    every_request_of_a_pull_request(&bare, &github, &repository).await;
    every_request_of_an_app_and_of_parts(&bare, &github).await;
    let recorded = github.recorded();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("github-requests.json");
    std::fs::write(path, serde_json::to_string_pretty(&recorded).unwrap()).unwrap();
}
