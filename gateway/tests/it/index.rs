//! The index of the repository: what it has after any commits is what a fresh look finds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use proptest::prelude::*;
use riposte::repository::Repository;
use riposte::snapshot::{LookupError, Snapshot};
use serde_json::json;
use tempfile::tempdir;

use crate::harness::fleet::deployment;
use crate::harness::git::{Bare, config};
use crate::harness::proposal::deployment_in;

type Files = BTreeMap<String, String>;

/// Makes a commit of exactly these files.
fn commit(bare: &Bare, files: &Files) {
    let data = |text: &str| format!("data {}\n{text}\n", text.len());
    let mut stream = "commit refs/heads/main\ncommitter p <p@x> 0 +0000\n".to_owned() + &data("Next");
    stream += "from refs/heads/main^0\ndeleteall\n";
    for (path, text) in files {
        write!(stream, "M 100644 inline {path}\n{}", data(text)).unwrap();
    }
    let mut import = Command::new("git");
    import.current_dir(bare.path()).args(["fast-import", "--quiet"]).stdin(Stdio::piped());
    let mut import = import.spawn().unwrap();
    import.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success(), "{stream}");
}

const FILE_BYTES_MAX: usize = 600;

async fn open(bare: &Bare, data: &std::path::Path) -> Repository {
    let limits = json!({ "fileBytesMax": FILE_BYTES_MAX });
    Repository::open(&config(json!({ "url": bare.file_url(), "limits": limits })), data).await.unwrap()
}

/// What a gateway that begins here finds.
async fn fresh(bare: &Bare) -> Arc<Snapshot> {
    let data = tempdir().unwrap();
    open(bare, data.path()).await.snapshot_at_head().await.unwrap()
}

/// What a commit does.
#[derive(Debug, Clone)]
enum Step {
    Write { path: &'static str, text: String },
    Remove { path: prop::sample::Index },
    Move { path: prop::sample::Index, to: &'static str },
    MoveFolder { from: &'static str, to: &'static str },
}

impl Step {
    fn take(&self, files: &mut Files) {
        let picked = |index: &prop::sample::Index| files.keys().nth(index.index(files.len().max(1))).cloned();
        match self {
            Self::Write { path, text } => put(files, path, text.clone()),
            Self::Remove { path } => {
                picked(path).map(|path| files.remove(&path));
            }
            Self::Move { path, to } => {
                if let Some(text) = picked(path).and_then(|path| files.remove(&path)) {
                    put(files, to, text);
                }
            }
            Self::MoveFolder { from, to } => {
                let moved: Vec<_> = files.keys().filter(|path| path.starts_with(from)).cloned().collect();
                for path in moved {
                    let text = files.remove(&path).unwrap();
                    put(files, &path.replacen(from, to, 1), text);
                }
            }
        }
    }
}

/// A file takes the place of a folder of its name, and the other way round.
fn put(files: &mut Files, path: &str, text: String) {
    let below =
        |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    files.retain(|other, _| !below(path, other) && !below(other, path));
    files.insert(path.to_owned(), text);
}

fn a_path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "web.yaml",
        "apps/web.yaml",
        "apps/web.yaml/web.yaml",
        "apps/db/db.yaml",
        "apps/db/kustomization.yaml",
        "apps/kustomization.yaml",
        "apps/kustomization.yml",
        "over/kustomization.yaml",
        "kustomization.yaml",
        "flux.yaml",
        "apps/patch.yaml",
        "notes.md",
    ])
}

fn flux(path: &str, source: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: a}}\n\
         spec: {{path: {path}, sourceRef: {{name: {source}}}, targetNamespace: flux}}\n"
    )
}

fn a_text() -> impl Strategy<Value = String> {
    let kustomization = |words: &str, resources: &str| format!("{words}resources: [{resources}]\n");
    let kustomizations = (
        prop::sample::select(vec![
            "",
            "namespace: shop\n",
            "namespace: kube-system\n",
            "namePrefix: a-\n",
            "patches: [{path: patch.yaml}]\n",
            "kind: Component\n",
        ]),
        prop::sample::select(vec![
            "",
            "web.yaml",
            "web.yaml, db",
            "../apps",
            "apps",
            "db.yaml",
            "../apps/db",
        ]),
    );
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
                      metadata: {name: a.b.dev}\nspec: {group: b.dev, names: {kind: A}}\n";
    let others = [
        deployment("web"),
        deployment("db"),
        format!("{}---\n{}", "kind: A\napiVersion: v1\nmetadata: {name: a}\n", definition),
        format!("apiVersion: v1\nkind: List\nitems:\n- {}", deployment("web").replace('\n', "\n  ")),
        flux("./apps", "theirs"),
        flux("./", "ours"),
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: theirs}\n".to_owned(),
        "- {op: remove, path: /spec/template}\n".to_owned(),
        "kind: A\napiVersion: v1\nmetadata: {name: web}\n$patch: delete\n".to_owned(),
        "a: {{ .Values.a }}\n".to_owned(),
        "kind: [\n".to_owned(),
        format!("# {}\n", "large ".repeat(200)),
        String::new(),
    ];
    prop_oneof![
        prop::sample::select(others.to_vec()),
        kustomizations.prop_map(move |(words, resources)| kustomization(words, resources)),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    let folders = || prop::sample::select(vec!["apps/", "apps/db/", "over/", "new/"]);
    prop_oneof![
        6 => (a_path(), a_text()).prop_map(|(path, text)| Step::Write { path, text }),
        1 => any::<prop::sample::Index>().prop_map(|path| Step::Remove { path }),
        1 => (any::<prop::sample::Index>(), a_path()).prop_map(|(path, to)| Step::Move { path, to }),
        1 => (folders(), folders()).prop_map(|(from, to)| Step::MoveFolder { from, to }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn after_any_commits_it_has_what_a_fresh_look_finds(
        commits in prop::collection::vec(prop::collection::vec(a_step(), 1..6), 2..7),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bare = Bare::new(&[]);
            let data = tempdir().unwrap();
            let repository = open(&bare, data.path()).await;
            let mut files = Files::new();
            for steps in commits {
                steps.iter().for_each(|step| step.take(&mut files));
                commit(&bare, &files);
                let kept = repository.snapshot_at_head().await.unwrap();
                let fresh = fresh(&bare).await;
                assert_eq!(format!("{kept:?}"), format!("{fresh:?}"), "after {steps:?}: {files:#?}");
            }
        });
    }
}

fn files(list: &[(&str, &str)]) -> Files {
    list.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test]
async fn what_did_not_change_is_shared_and_what_was_moved_is_not_read_again() {
    let (bare, data) = (Bare::new(&[]), tempdir().unwrap());
    let repository = open(&bare, data.path()).await;
    let text = |snapshot: &Snapshot, path: &str| {
        let found = snapshot.files().find(|file| file.path == path);
        found.map(|file| Arc::clone(&file.text)).expect("the file")
    };
    let web = deployment("web");
    commit(&bare, &files(&[("a/web.yaml", &web), ("b/db.yaml", &deployment("db"))]));
    let before = repository.snapshot_at_head().await.unwrap();
    commit(&bare, &files(&[("c/d/web.yaml", &web), ("b/db.yaml", &deployment("db")), ("x.yaml", "")]));
    let after = repository.snapshot_at_head().await.unwrap();
    assert!(Arc::ptr_eq(&text(&before, "b/db.yaml"), &text(&after, "b/db.yaml")), "unchanged");
    assert!(Arc::ptr_eq(&text(&before, "a/web.yaml"), &text(&after, "c/d/web.yaml")), "moved");
    assert_eq!(before.text("x.yaml"), None, "a snapshot never changes");
    assert_eq!(after.text("a/web.yaml"), None);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_left_out_alone() {
    let bare = Bare::new(&[]);
    let large = format!("# {}\n", "x".repeat(FILE_BYTES_MAX));
    let table = [
        (
            "large.yaml",
            large.as_str(),
            "large.yaml: it is larger than repository.limits.fileBytesMax = 600 bytes",
        ),
        ("a/kustomization.yaml", &large, "a/kustomization.yaml: it is larger than"),
        ("a/kustomization.yaml", "namespace: kube-system # {{\n", "a/kustomization.yaml: it is a template"),
    ];
    for (path, text, words) in table {
        commit(
            &bare,
            &files(&[("a/b/web.yaml", &deployment("web")), ("web.yaml", &deployment("db")), (path, text)]),
        );
        let snapshot = fresh(&bare).await;
        let skipped: Vec<String> =
            snapshot.skipped().iter().map(|(path, reason)| format!("{path}: {reason}")).collect();
        assert!(skipped.iter().any(|skipped| skipped.starts_with(words)), "{skipped:?}");
        // What a kustomization that is not read gives to the files below it is not known.
        let below = snapshot.locate(&deployment_in("default", "web")).map(|found| found.path);
        if path.starts_with("a/") {
            assert_eq!(below, Err(LookupError::Unknown), "{path}");
            let words =
                format!("a/b/web.yaml: a kustomization that is left out may apply it: {path}: it is ");
            assert!(skipped.iter().any(|skipped| skipped.starts_with(&words)), "{skipped:?}");
        } else {
            assert_eq!(below, Ok("a/b/web.yaml".to_owned()));
            let may_have = snapshot.may_have(&deployment_in("elsewhere", "web"));
            assert_eq!(may_have.map(|(path, _)| path), Some("large.yaml"), "nobody knows what is in it");
        }
        assert_eq!(snapshot.files().len(), 3);
    }
}
