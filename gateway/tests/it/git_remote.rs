//! The repository over plain Git: `file://`, and the real `git http-backend` over `http://`.

use std::sync::Arc;
use std::time::Duration;

use riposte::model::manifest::CommitSha;
use riposte::repository::{CommitError, FileChange, Repository, RepositoryError, Retry};
use riposte::snapshot::Snapshot;
use serde_json::json;
use tempfile::tempdir;

use crate::harness::git::{Bare, HttpRemote, TOKEN, USER, change, config, removal, text_at};

const MESSAGE: &str = "Scale web to 0: Shell\n\nBody\n\nRiposte-Reaction: j1/r9\n";

async fn open(bare: &Bare, data: &std::path::Path) -> Repository {
    Repository::open(&config(json!({ "url": bare.file_url() })), data).await.unwrap()
}

async fn open_http(
    bare: &Bare,
    remote: &HttpRemote,
    data: &std::path::Path,
    token: &str,
) -> Result<Repository, RepositoryError> {
    let token_file = bare.secret("token", token);
    let auth = json!({ "tokenFile": token_file, "username": USER });
    Repository::open(&config(json!({ "url": remote.url(), "auth": auth })), data).await
}

#[tokio::test]
async fn reads_manifests_and_nothing_else() {
    let bare = Bare::new(&[
        ("apps/web.yaml", "kind: A\n"),
        ("apps/deep/er.yml", "kind: B\n"),
        ("apps/list.json", "{}"),
        ("apps/README.md", "no"),
        ("other/x.yaml", "kind: C\n"),
    ]);
    let clone = bare.root.path().join("links");
    crate::harness::git::git(bare.root.path(), &["clone", "-q", "desired.git", "links"]);
    std::os::unix::fs::symlink("/etc/passwd", clone.join("apps/passwd.yaml")).unwrap();
    let git = |arguments: &[&str]| crate::harness::git::git(&clone, arguments);
    git(&["add", "-A"]);
    git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},apps/module.yaml", bare.first)]);
    git(&["-c", "user.name=p", "-c", "user.email=p@x", "commit", "-qm", "Links"]);
    git(&["push", "-q", "origin", "HEAD:main"]);

    let cases = [
        ("", vec!["apps/deep/er.yml", "apps/list.json", "apps/web.yaml", "other/x.yaml"]),
        ("/apps/", vec!["apps/deep/er.yml", "apps/list.json", "apps/web.yaml"]),
        ("apps/deep", vec!["apps/deep/er.yml"]),
    ];
    for (path, expected) in cases {
        let data = tempdir().unwrap();
        let config = config(json!({ "url": bare.file_url(), "path": path }));
        let repository = Repository::open(&config, data.path()).await.unwrap();
        let snapshot = repository.snapshot_at_head().await.unwrap();
        let paths: Vec<&str> = snapshot.files().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, expected, "below {path:?}");
        bare.commit_elsewhere("notes.md", &format!("below {path:?}\n"));
        let again = repository.snapshot_at_head().await.unwrap();
        let text = |snapshot: &Snapshot| {
            snapshot.files().find(|file| file.path == "apps/deep/er.yml").map(|file| Arc::clone(&file.text))
        };
        let shared = text(&snapshot).zip(text(&again)).is_some_and(|(a, b)| Arc::ptr_eq(&a, &b));
        assert!(shared, "an unchanged file is not read twice");
    }
}

#[tokio::test]
async fn every_limit_is_named_when_it_is_exceeded() {
    let bare = Bare::new(&[("a.yaml", "0123456789"), ("b.yaml", "0123456789")]);
    let cases = [("filesMax", 1), ("totalBytesMax", 19)];
    for (name, max) in cases {
        let data = tempdir().unwrap();
        let config = config(json!({ "url": bare.file_url(), "limits": { name: max } }));
        let repository = Repository::open(&config, data.path()).await.unwrap();
        match repository.snapshot(&bare.first).await {
            Err(RepositoryError::TooLarge { limit, max: found, .. }) => {
                assert_eq!((limit, found), (name, max))
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    for (name, max) in [("fetchBytesMax", 1)] {
        let data = tempdir().unwrap();
        let config = config(json!({ "url": bare.file_url(), "limits": { name: max } }));
        let refused = Repository::open(&config, data.path()).await;
        assert!(
            matches!(refused, Err(RepositoryError::TooLarge { limit, .. }) if limit == name),
            "{refused:?}"
        );
    }
    let data = tempdir().unwrap();
    let config = config(json!({ "url": bare.file_url(), "limits": { "commitBytesMax": 3 } }));
    let repository = Repository::open(&config, data.path()).await.unwrap();
    let refused = repository.commit(&bare.first, &change("a.yaml", "four"), MESSAGE).await;
    assert!(matches!(refused, Err(CommitError::TooLarge { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_what_is_right() {
    let cases = [
        (json!({ "url": "git@github.com:o/r.git" }), "ssh://git@host/owner/name"),
        (json!({ "url": "https://u:p@example.com/r.git" }), "must not hold a user"),
        (json!({ "url": "https://t0ken@example.com/r.git" }), "must not hold a user"),
        (json!({ "url": "ftp://example.com/r.git" }), "scheme"),
        (json!({ "url": "ssh://git@example.com/r.git" }), "sshKeyFile"),
        (json!({ "url": "ssh://git@example.com/r.git", "auth": { "sshKeyFile": "/k" } }), "knownHostsFile"),
        (json!({ "url": "ssh://git@example.com/r.git", "auth": { "tokenFile": "/t" } }), "knownHostsFile"),
        (json!({ "url": "https://example.com/r.git", "branch": "a..b" }), "branch"),
        (json!({ "url": "https://example.com/r.git", "path": "../x" }), "path"),
        (json!({ "url": "https://github.com/owner/name" }), "tokenFile"),
        (json!({ "url": "https://github.com/owner", "auth": { "tokenFile": "/t" } }), "owner/name"),
    ];
    for (input, expected) in cases {
        let data = tempdir().unwrap();
        let refused = Repository::open(&config(input.clone()), data.path()).await;
        let Err(error @ RepositoryError::Config { .. }) = refused else { panic!("{input}: {refused:?}") };
        assert!(error.to_string().contains(expected), "{input}: {error}");
        assert!(!error.to_string().contains("t0ken"), "{error}");
    }
    let keys = json!({ "sshKeyFile": "/k", "knownHostsFile": "/h" });
    let ssh = config(json!({ "url": "ssh://git@github.com/owner/name", "auth": keys }));
    assert!(Repository::new(&ssh, tempdir().unwrap().path()).is_ok(), "a Git server like any other");
    let unknown =
        serde_json::from_value::<riposte::repository::Config>(json!({ "url": "file:///x", "brunch": "a" }));
    assert!(unknown.unwrap_err().to_string().contains("brunch"));
}

#[tokio::test]
async fn commits_only_onto_the_base() {
    let bare = Bare::new(&[("run.yaml", "a: 1\n"), ("b.yaml", "b: 1\n")]);
    let remote = HttpRemote::start(bare.root.path()).await;
    let data = [tempdir().unwrap(), tempdir().unwrap()];
    let local = open(&bare, data[0].path()).await;
    let http = open_http(&bare, &remote, data[1].path(), TOKEN).await.unwrap();
    let mut base = bare.first.clone();
    for (round, repository) in [&local, &http].into_iter().enumerate() {
        repository.head().await.unwrap();
        let content = format!("a: {}\n", round + 2);
        let made = repository.commit(&base, &change("run.yaml", &content), MESSAGE).await.unwrap();
        assert_eq!(bare.show("run.yaml"), content);
        assert_eq!(bare.git(&["rev-parse", "main^"]).trim(), base.as_str());
        assert_eq!(
            bare.git(&["log", "-1", "--format=%an <%ae>%n%B", "main"]),
            format!("riposte <riposte@localhost>\n{MESSAGE}\n")
        );
        assert_eq!(bare.git(&["diff", "--name-only", "main^", "main"]), "run.yaml\n");
        assert_eq!(repository.head().await.unwrap(), made);

        let late = repository.commit(&base, &change("run.yaml", "a: 9\n"), MESSAGE).await;
        assert!(
            matches!(&late, Err(error @ CommitError::HeadMoved { .. }) if error.retry() == Retry::Now),
            "{late:?}"
        );
        let same = repository.commit(&made, &change("run.yaml", &content), MESSAGE).await;
        assert!(matches!(same, Err(CommitError::Unchanged)), "{same:?}");
        assert_eq!(bare.show("run.yaml"), content);
        base = made;
    }
}

#[tokio::test]
async fn a_head_that_went_back_is_not_brought_forward_again() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let remote = HttpRemote::start(bare.root.path()).await;
    let taken_back = CommitSha::parse(&bare.commit_elsewhere("a.yaml", "a: 2\n")).unwrap();
    let data = [tempdir().unwrap(), tempdir().unwrap()];
    let repositories =
        [open(&bare, data[0].path()).await, open_http(&bare, &remote, data[1].path(), TOKEN).await.unwrap()];
    bare.git(&["update-ref", "refs/heads/main", bare.first.as_str()]);
    for repository in &repositories {
        let refused = repository.commit(&taken_back, &change("a.yaml", "a: 3\n"), MESSAGE).await;
        assert!(matches!(refused, Err(CommitError::HeadMoved { .. })), "{refused:?}");
        assert_eq!(bare.git(&["rev-parse", "main"]).trim(), bare.first.as_str());
    }
}

#[tokio::test]
async fn file_modes_are_kept_and_bad_paths_refused() {
    let bare = Bare::new(&[("dir/a.yaml", "a: 1\n")]);
    let clone = bare.root.path().join("modes");
    crate::harness::git::git(bare.root.path(), &["clone", "-q", "desired.git", "modes"]);
    let git = |arguments: &[&str]| crate::harness::git::git(&clone, arguments);
    std::os::unix::fs::symlink("dir/a.yaml", clone.join("link.yaml")).unwrap();
    git(&["add", "-A"]);
    git(&["update-index", "--chmod=+x", "dir/a.yaml"]);
    git(&["-c", "user.name=p", "-c", "user.email=p@x", "commit", "-qm", "Modes"]);
    git(&["push", "-q", "origin", "HEAD:main"]);
    let data = tempdir().unwrap();
    let repository = open(&bare, data.path()).await;
    let base = repository.head().await.unwrap();
    for path in ["../x.yaml", "/x.yaml", "a//b.yaml", ".git/config", "dir/.GIT/x", "link.yaml", "dir", ""] {
        let refused = repository.commit(&base, &change(path, "x"), MESSAGE).await;
        assert!(matches!(refused, Err(CommitError::BadPath { .. })), "{path:?}: {refused:?}");
    }
    let files = [
        FileChange { path: "dir/a.yaml".to_owned(), content: Some("a: 2\n".to_owned()) },
        FileChange { path: "new/b.yaml".to_owned(), content: Some("b: 1\n".to_owned()) },
    ];
    repository.commit(&base, &files, MESSAGE).await.unwrap();
    assert!(bare.git(&["ls-tree", "main", "dir/a.yaml"]).starts_with("100755 blob"));
    assert!(bare.git(&["ls-tree", "main", "new/b.yaml"]).starts_with("100644 blob"));
    assert!(bare.git(&["ls-tree", "main", "link.yaml"]).starts_with("120000 blob"));
    bare.git(&["fsck", "--strict"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_goes_leaves_no_empty_folder() {
    let files =
        [("a/b/c.yaml", "c: 1\n"), ("a/b/d.yaml", "d: 1\n"), ("e.yaml", "e: 1\n"), ("g/h.yaml", "h: 1\n")];
    let bare = Bare::new(&files);
    let remote = HttpRemote::start(bare.root.path()).await;
    let data = [tempdir().unwrap(), tempdir().unwrap()];
    let ways =
        [open(&bare, data[0].path()).await, open_http(&bare, &remote, data[1].path(), TOKEN).await.unwrap()];
    let left = [&["a", "a/b", "a/b/d.yaml", "e.yaml", "g", "g/h.yaml"][..], &["e.yaml", "g", "g/h.yaml"][..]];
    for ((repository, left), path) in ways.iter().zip(left).zip(["a/b/c.yaml", "a/b/d.yaml"]) {
        let base = repository.head().await.unwrap();
        for wrong in ["a/b/z.yaml", "a/b", "../x.yaml", "e.yaml/x"] {
            let refused = repository.commit(&base, &removal(wrong), MESSAGE).await;
            assert!(matches!(refused, Err(CommitError::BadPath { .. })), "{wrong}: {refused:?}");
        }
        let made = repository.commit(&base, &removal(path), MESSAGE).await.unwrap();
        let listed = bare.git(&["ls-tree", "-rt", "--name-only", "main"]);
        assert_eq!(listed.lines().collect::<Vec<_>>(), left);
        assert_eq!(repository.head().await.unwrap(), made);
        assert!(repository.snapshot(&made).await.unwrap().text(path).is_none());
        let late = repository.commit(&base, &removal(path), MESSAGE).await;
        assert!(matches!(late, Err(CommitError::HeadMoved { .. })), "{late:?}");
    }
    let repository = &ways[0];
    let base = repository.head().await.unwrap();
    let moved = [change("g/k.yaml", "h: 1\n"), removal("g/h.yaml")].concat();
    repository.commit(&base, &moved, MESSAGE).await.unwrap();
    assert_eq!(bare.git(&["ls-tree", "-r", "--name-only", "main"]), "e.yaml\ng/k.yaml\n");
    bare.git(&["fsck", "--strict"]);
}

/// Appends lines one commit a line, again from the new head whenever another writer was faster.
async fn append(repository: Repository, writer: usize, lines: usize) {
    for line in 0..lines {
        let mut tries = 0;
        loop {
            tries += 1;
            assert!(tries < 500, "writer {writer} never wins");
            let base = repository.head().await.unwrap();
            let text = text_at(&repository, &base, "log.yaml").await + &format!("# {writer}/{line}\n");
            match repository.commit(&base, &change("log.yaml", &text), MESSAGE).await {
                Ok(_) => break,
                Err(CommitError::HeadMoved { .. }) => {}
                // The lock of the branch was taken at that moment.
                Err(CommitError::Repository(RepositoryError::Unreachable { .. })) => {}
                Err(error) => panic!("writer {writer}: {error:?}"),
            }
        }
    }
}

async fn check_race(bare: &Bare, repositories: [Repository; 2]) {
    const LINES: usize = 8;
    let [one, two] = repositories;
    let writers = [tokio::spawn(append(one, 0, LINES)), tokio::spawn(append(two, 1, LINES))];
    for writer in writers {
        writer.await.unwrap();
    }
    let text = bare.show("log.yaml");
    for writer in 0..2 {
        for line in 0..LINES {
            assert_eq!(text.matches(&format!("# {writer}/{line}\n")).count(), 1, "{text}");
        }
    }
    assert_eq!(bare.commits(), 1 + 2 * LINES);
    assert_eq!(bare.git(&["rev-list", "--count", "--merges", "main"]).trim(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_lose_no_update() {
    let bare = Bare::new(&[("log.yaml", "")]);
    let data = [tempdir().unwrap(), tempdir().unwrap()];
    check_race(&bare, [open(&bare, data[0].path()).await, open(&bare, data[1].path()).await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_over_http_lose_no_update() {
    let bare = Bare::new(&[("log.yaml", "")]);
    let remote = HttpRemote::start(bare.root.path()).await;
    let data = [tempdir().unwrap(), tempdir().unwrap()];
    let one = open_http(&bare, &remote, data[0].path(), TOKEN).await.unwrap();
    let two = open_http(&bare, &remote, data[1].path(), TOKEN).await.unwrap();
    check_race(&bare, [one, two]).await;
}

#[tokio::test]
async fn a_hook_that_declines_is_quoted_and_final() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    // As Gitea says it, with lines around it that say nothing.
    let words = "printf 'error:\\n\\nerror: no deploys on Friday\\nask again\\nerror:\\n'";
    bare.hook("pre-receive", &format!("#!/bin/sh\n{words} >&2\nexit 1\n"));
    let remote = HttpRemote::start(bare.root.path()).await;
    let data = tempdir().unwrap();
    let repository = open_http(&bare, &remote, data.path(), TOKEN).await.unwrap();
    let refused = repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await;
    let Err(error @ CommitError::Protected { .. }) = refused else { panic!("{refused:?}") };
    let said = error.to_string();
    assert!(said.ends_with("pre-receive hook declined: error: no deploys on Friday ask again"), "{said}");
    assert_eq!(error.retry(), Retry::Never);
    assert_eq!(bare.git(&["rev-parse", "main"]).trim(), bare.first.as_str());
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_never_committed_twice() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let remote = HttpRemote::start(bare.root.path()).await;
    let data = tempdir().unwrap();
    let repository = open_http(&bare, &remote, data.path(), TOKEN).await.unwrap();
    let trailer = "Riposte-Reaction: j1/r9";
    for (cut, made) in
        [(HttpRemote::cut_before_push as fn(&HttpRemote), false), (HttpRemote::cut_after_push, true)]
    {
        cut(&remote);
        let lost = repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await;
        assert!(
            matches!(&lost, Err(error @ CommitError::Unknown { .. }) if error.retry() == Retry::LookFirst),
            "{lost:?}"
        );
        let found = repository.find_commit_with(trailer, &bare.first).await.unwrap();
        assert_eq!(found.is_some(), made);
        assert_eq!(repository.find_commit_with("Riposte-Reaction: j1/r", &bare.first).await.unwrap(), None);
    }
    assert_eq!(bare.commits(), 2);
}

#[tokio::test]
async fn the_search_for_a_commit_ends_at_the_base_and_at_its_limit() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let data = tempdir().unwrap();
    let config = config(json!({ "url": bare.file_url(), "limits": { "walkCommitsMax": 2 } }));
    let repository = Repository::open(&config, data.path()).await.unwrap();
    let trailer = "Riposte-Reaction: j1/r9";
    let ours = repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await.unwrap();
    bare.commit_elsewhere("a.yaml", "a: 3\n");
    assert_eq!(
        repository.find_commit_with(trailer, &bare.first).await.unwrap().map(|found| found.sha),
        Some(ours.clone())
    );
    assert_eq!(repository.find_commit_with(trailer, &ours).await.unwrap(), None, "a base is not searched");
    bare.commit_elsewhere("a.yaml", "a: 4\n");
    let far = repository.find_commit_with(trailer, &bare.first).await;
    assert!(matches!(far, Err(RepositoryError::TooLarge { limit: "walkCommitsMax", .. })), "{far:?}");
}

#[tokio::test]
async fn credentials_are_read_at_each_use_and_never_shown() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let remote = HttpRemote::start(bare.root.path()).await;
    let data = tempdir().unwrap();
    let refused = open_http(&bare, &remote, data.path(), "old-token").await;
    let Err(error @ RepositoryError::Unauthorized { .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(60)));
    let repository = open_http(&bare, &remote, data.path(), TOKEN).await.unwrap();
    assert!(!format!("{repository:?} {error:?}").contains(TOKEN));
    bare.secret("token", "revoked");
    assert!(matches!(repository.head().await, Err(RepositoryError::Unauthorized { .. })));
    bare.secret("token", TOKEN);
    repository.head().await.unwrap();
    std::fs::remove_file(bare.root.path().join("token")).unwrap();
    assert!(matches!(repository.head().await, Err(RepositoryError::Secret { .. })));
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let remote = HttpRemote::start(bare.root.path()).await;
    let data = tempdir().unwrap();
    let token_file = bare.secret("token", TOKEN);
    let auth = json!({ "tokenFile": token_file, "username": USER });
    let cases = [
        json!({ "url": format!("{}x", bare.file_url()) }),
        json!({ "url": bare.file_url(), "branch": "nope" }),
        json!({ "url": remote.url() + "x", "auth": auth }),
        json!({ "url": remote.url(), "auth": auth, "branch": "nope" }),
    ];
    for input in cases {
        let refused = Repository::open(&config(input.clone()), data.path()).await;
        assert!(matches!(refused, Err(RepositoryError::NotFound { .. })), "{input}: {refused:?}");
    }
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let away =
        Repository::open(&config(json!({ "url": format!("http://{closed}/r.git") })), data.path()).await;
    assert!(matches!(away, Err(RepositoryError::Unreachable { .. })), "{away:?}");

    let repository = open_http(&bare, &remote, data.path(), TOKEN).await.unwrap();
    let unknown = CommitSha::parse(&"ab".repeat(20)).unwrap();
    let files = repository.snapshot(&unknown).await;
    assert!(matches!(files, Err(RepositoryError::NotFound { .. })), "{files:?}");
    bare.git(&["update-ref", "-d", "refs/heads/main"]);
    let refused = repository.commit(&bare.first, &change("a.yaml", "a: 2\n"), MESSAGE).await;
    assert!(matches!(refused, Err(CommitError::Repository(RepositoryError::NotFound { .. }))), "{refused:?}");
    assert!(matches!(repository.head().await, Err(RepositoryError::NotFound { .. })));
}

/// What happens to the clone's directory.
type Damage = fn(&std::path::Path);

#[tokio::test]
async fn a_damaged_clone_is_made_anew() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n"), ("b.yaml", "b: 1\n")]);
    let damages: [(&str, Damage); 5] = [
        ("no HEAD", |clone| std::fs::remove_file(clone.join("HEAD")).unwrap()),
        ("a broken configuration", |clone| std::fs::write(clone.join("config"), "[core\n\"").unwrap()),
        ("no objects", |clone| std::fs::remove_dir_all(clone.join("objects")).unwrap()),
        ("a lock left behind", |clone| std::fs::write(clone.join("refs/riposte/head.lock"), "").unwrap()),
        ("torn packs", |clone| {
            for entry in std::fs::read_dir(clone.join("objects/pack")).unwrap().flatten() {
                if entry.path().extension().is_some_and(|end| end == "pack") {
                    std::fs::remove_file(entry.path()).unwrap();
                    std::fs::write(entry.path(), "torn").unwrap();
                }
            }
        }),
    ];
    for (name, damage) in damages {
        let data = tempdir().unwrap();
        let repository = open(&bare, data.path()).await;
        let head = repository.head().await.unwrap();
        damage(&data.path().join("repository.git"));
        let again = open(&bare, data.path()).await;
        assert_eq!(again.head().await.unwrap(), head, "{name}");
        assert_eq!(again.snapshot(&head).await.unwrap().files().count(), 2, "{name}");
        assert_eq!(repository.head().await.unwrap(), head, "{name}");
        damage(&data.path().join("repository.git"));
        let new = bare.commit_elsewhere("c.yaml", &format!("# {name}\n"));
        assert_eq!(repository.head().await.unwrap().as_str(), new, "{name}");
        bare.git(&["update-ref", "refs/heads/main", bare.first.as_str()]);
    }
}

#[tokio::test]
async fn a_clone_that_has_gathered_too_many_files_is_made_anew() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    for (folder, end, files, is_anew) in [
        ("objects/pack", ".pack", 400, false),
        ("objects/pack", ".pack", 501, true),
        ("objects/17", "", 190, false),
        ("objects/17", "", 200, true),
    ] {
        let data = tempdir().unwrap();
        let repository = open(&bare, data.path()).await;
        let head = repository.head().await.unwrap();
        let gathered = data.path().join("repository.git").join(folder);
        std::fs::create_dir_all(&gathered).unwrap();
        for number in 0..files {
            std::fs::write(gathered.join(format!("{number:038}{end}")), "").unwrap();
        }
        assert_eq!(repository.head().await.unwrap(), head);
        let is_gone = !gathered.join(format!("{:038}{end}", 0)).exists();
        assert_eq!(is_gone, is_anew, "{files} files in {folder}");
        assert_eq!(repository.snapshot(&head).await.unwrap().files().count(), 1);
    }
}

#[tokio::test]
async fn a_check_says_what_can_be_done() {
    let bare = Bare::new(&[("a.yaml", "a: 1\n")]);
    let remote = HttpRemote::start(bare.root.path()).await;
    let data = tempdir().unwrap();
    let said = open_http(&bare, &remote, data.path(), TOKEN).await.unwrap().check().await.unwrap();
    assert!(said.contains("branch main") && said.contains("writable"), "{said}");
    bare.git(&["config", "http.receivepack", "false"]);
    let repository = open_http(&bare, &remote, data.path(), TOKEN).await.unwrap();
    let refused = repository.check().await;
    assert!(matches!(refused, Err(RepositoryError::Forbidden { .. })), "{refused:?}");

    let worktree = bare.root.path().join("worktree");
    crate::harness::git::git(bare.root.path(), &["clone", "-q", "desired.git", "worktree"]);
    let config = config(json!({ "url": format!("file://{}", worktree.display()) }));
    let repository = Repository::open(&config, tempdir().unwrap().path()).await.unwrap();
    assert!(matches!(repository.check().await, Err(RepositoryError::Forbidden { .. })));
}
