//! A GitHub App instead of a token: what its key buys, when it buys again, and what stands in the way.

use riposte::repository::{CommitError, Repository, RepositoryError};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::harness::fixture;
use crate::harness::git::{Bare, HttpRemote, change, config};
use crate::harness::github::{APP, App, Fault, GitHub, INSTALLATION, REPOSITORY, public_key};

const MESSAGE: &str = "Scale web to 0: Shell\n\nRiposte-Reaction: j1/r9\n";
const BUYS: &str = "/access_tokens";

struct Scene {
    bare: Bare,
    github: GitHub,
    data: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
        let github = GitHub::start(&bare.path()).await;
        Self { bare, github, data: tempdir().unwrap() }
    }

    fn key(&self, name: &str) -> std::path::PathBuf {
        self.bare.secret("app.pem", &String::from_utf8(fixture(name)).unwrap())
    }

    fn repository_at(&self, url: &str, app: &Value) -> Repository {
        let input = json!({
            "url": url,
            "auth": { "app": app },
            "github": { "apiUrl": self.github.api_url(), "repository": REPOSITORY },
            "limits": { "fetchMs": 2000 },
        });
        Repository::new(&config(input), self.data.path()).unwrap()
    }

    /// With the first key; the installation is looked up.
    fn repository(&self) -> Repository {
        let key = self.key("keys/app-one.pem");
        self.repository_at(&self.bare.file_url(), &json!({ "id": APP, "keyFile": key }))
    }

    fn asked(&self, piece: &str) -> usize {
        self.github.recorded().iter().filter(|request| request.path.ends_with(piece)).count()
    }

    /// One more commit of `a.yaml`.
    async fn commit(&self, repository: &Repository) -> Result<(), CommitError> {
        let base = repository.head().await?;
        let content = format!("a: {}\n", self.bare.commits() + 1);
        repository.commit(&base, &change("a.yaml", &content), MESSAGE).await.map(drop)
    }
}

#[tokio::test]
async fn a_token_is_bought_once_and_for_this_repository_only() {
    let scene = Scene::new().await;
    let repository = scene.repository();
    for _ in 0..3 {
        scene.commit(&repository).await.unwrap();
    }
    assert_eq!(scene.bare.commits(), 4);
    assert_eq!((scene.asked("/installation"), scene.asked(BUYS)), (1, 1));
    let bought = scene.github.recorded().into_iter().find(|request| request.path.ends_with(BUYS)).unwrap();
    assert_eq!(bought.body, json!({ "repositories": ["desired"] }));
    let shown = format!("{repository:?}");
    assert!(!shown.contains("ghs_") && !shown.contains("PRIVATE"), "{shown}");

    let key = scene.key("keys/app-one.pem");
    let app = json!({ "id": APP, "installationId": INSTALLATION, "keyFile": key });
    scene.commit(&scene.repository_at(&scene.bare.file_url(), &app)).await.unwrap();
    assert_eq!((scene.asked("/installation"), scene.asked(BUYS)), (1, 2), "it was told which");
}

#[tokio::test(flavor = "multi_thread")]
async fn git_reads_over_http_as_the_app_too() {
    let scene = Scene::new().await;
    let remote = HttpRemote::start_for(scene.bare.root.path(), scene.github.git_access()).await;
    let key = scene.key("keys/app-one.pem");
    let repository = scene.repository_at(&remote.url(), &json!({ "id": APP, "keyFile": key }));
    scene.commit(&repository).await.unwrap();
    assert_eq!(scene.asked(BUYS), 1, "Git and the API share a token");
    scene.github.app().tokens.clear();
    scene.commit(&repository).await.unwrap();
    assert_eq!((scene.asked(BUYS), scene.bare.commits()), (2, 3), "one that was taken back is renewed");
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_once_after_it() {
    let scene = Scene::new().await;
    let repository = scene.repository();
    let lives = |seconds| scene.github.app().lifetime_s = seconds;
    // Less than five minutes: it is used, and never again.
    lives(299);
    scene.commit(&repository).await.unwrap();
    let bought = scene.asked(BUYS);
    assert!(bought >= 2, "each use buys one: {bought}");
    lives(3600);
    scene.commit(&repository).await.unwrap();
    scene.commit(&repository).await.unwrap();
    assert_eq!(scene.asked(BUYS), bought + 1);
    // GitHub ends it before it should: the next call is refused, and made again with another one.
    scene.github.app().tokens.iter_mut().for_each(|(_, ends_s)| *ends_s = 0);
    let sent = scene.asked("/graphql");
    scene.commit(&repository).await.unwrap();
    assert_eq!((scene.asked(BUYS), scene.asked("/graphql")), (bought + 2, sent + 2));
    // A second refusal is an answer.
    let refusal = || Fault::Answer {
        status: 401,
        headers: Vec::new(),
        body: json!({ "message": "Bad credentials" }).to_string(),
    };
    scene.github.next_at("graphql", refusal());
    scene.github.next_at("graphql", refusal());
    let refused = scene.commit(&repository).await;
    assert!(
        matches!(refused, Err(CommitError::Repository(RepositoryError::Unauthorized { .. }))),
        "{refused:?}"
    );
    assert!(scene.github.met_all());
    scene.commit(&repository).await.unwrap();
}

#[tokio::test]
async fn a_token_that_lives_still_is_used_while_none_can_be_bought() {
    let scene = Scene::new().await;
    let repository = scene.repository();
    scene.github.app().lifetime_s = 200;
    repository.check().await.unwrap();
    scene.github.app().is_suspended = true;
    scene.commit(&repository).await.unwrap();
    scene.github.app().tokens.clear();
    let refused = scene.commit(&repository).await;
    assert!(refused.unwrap_err().to_string().contains("suspended"));
}

/// What is wrong, how it is brought about, the error's kind, and words of `riposte check`.
type Case = (&'static str, fn(&mut App), &'static str, &'static str);

#[tokio::test]
async fn what_stands_in_the_way_is_told_and_mended_without_a_restart() {
    let cases: [Case; 6] = [
        ("another key", |app| app.keys.clear(), "unauthorized", "auth.app.id"),
        ("a clock that is slow", |app| app.ahead_s = 900, "unauthorized", "clock"),
        ("a clock that is fast", |app| app.ahead_s = -120, "unauthorized", "clock"),
        ("not installed", |app| app.is_installed = false, "not-found", "an installation of the GitHub App"),
        ("suspended", |app| app.is_suspended = true, "forbidden", "suspended"),
        ("too little", |app| app.contents = "read", "forbidden", "Contents: write"),
    ];
    for (name, set, kind, words) in cases {
        let scene = Scene::new().await;
        let repository = scene.repository();
        set(&mut scene.github.app());
        let refused = scene.commit(&repository).await.expect_err(name);
        assert_eq!(refused.kind(), kind, "{name}: {refused}");
        let told = repository.check().await.expect_err(name);
        assert!(told.to_string().contains(words), "{name}: {told}");
        assert_eq!(scene.bare.commits(), 1, "{name}");
        {
            let mut app = scene.github.app();
            app.keys = vec![public_key("keys/app-one.pem")];
            (app.is_installed, app.is_suspended, app.ahead_s, app.contents) = (true, false, 0, "write");
        }
        scene.commit(&repository).await.expect(name);
        if name == "too little" {
            // What a token may do is told when it is bought.
            scene.github.app().tokens.clear();
            scene.commit(&repository).await.expect(name);
        }
        repository.check().await.expect(name);
    }
    let scene = Scene::new().await;
    for ahead_s in [-50, 50] {
        scene.github.app().ahead_s = ahead_s;
        scene.repository().check().await.expect("clocks may differ by less than a minute");
    }
}

#[tokio::test]
async fn the_key_is_read_at_each_renewal() {
    let scene = Scene::new().await;
    let repository = scene.repository();
    scene.commit(&repository).await.unwrap();
    // The owner makes a second key, takes the first one back, and the tokens with it.
    scene.github.app().keys = vec![public_key("keys/app-two.pem")];
    scene.github.app().tokens.clear();
    let refused = scene.commit(&repository).await;
    assert!(
        matches!(refused, Err(CommitError::Repository(RepositoryError::Unauthorized { .. }))),
        "{refused:?}"
    );
    let wrong = [
        ("", "PEM"),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", "RSA"),
        ("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----", "RSA"),
    ];
    for (text, words) in wrong {
        scene.bare.secret("app.pem", text);
        let refused = scene.commit(&repository).await.unwrap_err();
        let source = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
        assert_eq!(refused.kind(), "secret", "{refused:?}");
        assert!(source.contains(words), "{text}: {source}");
    }
    scene.key("keys/app-two.pem");
    scene.commit(&repository).await.unwrap();
    assert_eq!(scene.bare.commits(), 3);
}

#[test]
fn an_app_has_one_place() {
    let app = json!({ "id": 1, "keyFile": "/k" });
    let cases = [
        (json!({ "url": "https://git.example.com/a/b", "auth": { "app": app } }), "on GitHub"),
        (json!({ "url": "ssh://git@github.com/a/b", "auth": { "app": app } }), "tokenFile or app"),
        (
            json!({ "url": "https://github.com/a/b", "auth": { "app": app, "tokenFile": "/t" } }),
            "tokenFile or app",
        ),
    ];
    for (input, words) in cases {
        let refused = Repository::new(&config(input.clone()), std::path::Path::new("/nowhere"));
        assert!(refused.unwrap_err().to_string().contains(words), "{input}");
    }
}
