//! The command line: the demo, the client commands, `check`.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Fleet, Process, cloudevent, shell_in};

fn riposte(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_riposte")).args(arguments).output().expect("the program runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_demo_shows_an_event_become_a_commit() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().display().to_string();
    let demo = riposte(&["demo", "--once", "--dir", &path]);
    let shown = stdout(&demo);
    assert_eq!(demo.status.code(), Some(0), "{shown}{}", stderr(&demo));
    let changed: Vec<&str> =
        shown.lines().filter(|line| line.starts_with("    -  ") || line.starts_with("    +  ")).collect();
    assert_eq!(
        changed,
        [
            "    -  replicas: 3 # two for the load, one to lose",
            "    +  replicas: 0 # two for the load, one to lose"
        ],
        "{shown}"
    );
    for part in
        ["Scale default/alpine-deployment to 0: Terminal shell in container", "Riposte-Journal:", "times "]
    {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    // The same event again is the one already stored: no second commit, and the demo says so.
    let again = riposte(&["demo", "--once", "--dir", &path]);
    assert_eq!(again.status.code(), Some(0), "{}{}", stdout(&again), stderr(&again));
    let repository = git2::Repository::open_bare(dir.path().join("fleet.git")).expect("the repository");
    let mut walk = repository.revwalk().expect("a walk");
    walk.push_ref("refs/heads/main").expect("the branch");
    assert_eq!(walk.count(), 2);
}

#[test]
fn a_demo_that_has_no_place_names_it() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().display().to_string();
    let demo = riposte(&["demo", "--once", "--dir", &path]);
    assert_eq!(demo.status.code(), Some(2));
    assert!(stderr(&demo).contains(&format!("cannot use {path} for the demo")), "{}", stderr(&demo));
}

#[test]
fn the_journal_is_asked_from_the_command_line() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config("a"), None);
    let body =
        shell_in("default", "alpine-deployment-77789455d6-m7flp").replace("A shell", "A \\u001b[31mshell");
    process.connect().send(&cloudevent("1", &body));
    process.settled(1);
    let url = format!("http://{}", process.address);
    let list = riposte(&["events", "list", "--url", &url, "--outcome", "committed"]);
    assert!(stdout(&list).contains("scale-to-zero=committed"), "{}{}", stdout(&list), stderr(&list));
    let show = riposte(&["events", "show", "1", "--url", &url]);
    assert!(stdout(&show).contains("+  replicas: 0"), "{}", stdout(&show));
    assert!(!stdout(&show).contains('\u{1b}'), "a terminal escape of the event is obeyed");
    let replay = riposte(&["replay", "1", "--base", "head", "--url", &url]);
    assert!(
        stdout(&replay).contains("then committed, now unchanged"),
        "{}{}",
        stdout(&replay),
        stderr(&replay)
    );
    let audit = riposte(&["audit", "--url", &url]);
    assert!(stdout(&audit).contains("is intact: 3 records"), "{}{}", stdout(&audit), stderr(&audit));
    let missing = riposte(&["events", "show", "9", "--url", &url]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("the journal has no event 9"), "{}", stderr(&missing));
}

#[test]
fn every_plugin_is_stopped_by_one_command() {
    let fleet = Fleet::tutorial();
    let process = Process::start(&fleet.config("a"), None);
    let url = format!("http://{}", process.address);
    let stopped = riposte(&["mode", "observe", "--all", "--reason", "look first", "--url", &url]);
    let said = "scale-to-zero is in mode observe; the configuration says enforce\n";
    assert_eq!((stopped.status.code(), stdout(&stopped).as_str()), (Some(0), said), "{}", stderr(&stopped));
    let unknown = riposte(&["mode", "enforce", "nobody", "--reason", "x", "--url", &url]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("there is no plugin \"nobody\""), "{}", stderr(&unknown));
    assert_eq!(
        riposte(&["mode", "observe", "--reason", "x", "--url", &url]).status.code(),
        Some(2),
        "which plugin?"
    );
    assert_eq!(riposte(&["mode", "observe", "a", "--url", &url]).status.code(), Some(2), "and why?");
}

#[test]
fn a_client_without_a_gateway_says_so() {
    let nobody = riposte(&["events", "list", "--url", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).contains("is the gateway up"), "{}", stderr(&nobody));
}

fn check(config: &Path) -> Output {
    riposte(&["check", "--config", &config.display().to_string()])
}

#[test]
fn check_passes_what_serves_and_names_what_does_not() {
    let fleet = Fleet::tutorial();
    let config = fleet.config("a");
    let good = check(&config);
    assert_eq!(good.status.code(), Some(0), "{}{}", stdout(&good), stderr(&good));
    assert!(!stdout(&good).contains("note"), "{}", stdout(&good));
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let table = [
        ("  listen:", "  listne:", "server.listne: there is no such key; did you mean \"listen\"?"),
        ("namespaces:", "namespace:", "plugins[0].grants.namespace: there is no such key"),
        ("mode: enforce", "mode: enforced", "enforced"),
        ("bundled:scale-to-zero", "bundled:scale-to-ten", "scale-to-ten"),
        ("rules: [Terminal", "rulez: [Terminal", "rulez"),
        ("desired.git", "nowhere.git", "repository"),
        ("  listen: 127.0.0.1:0", "  listen: 127.0.0.1:0\n  listen: 127.0.0.1:1", "duplicate"),
        ("journal:", "journal:\n  queueWritesMax: 0", "journal.queueWritesMax is 0"),
        (
            "journal:",
            "clusters: [{name: a, path: apps, match: {exact: {c: a}}}, {name: b, path: no, match: {exact: {c: b}}}]\njournal:",
            "ok     cluster: a: 3 objects\nwrong  cluster: b: nothing is applied from no\n",
        ),
        (
            "journal:",
            "clusters: [{name: a, path: apps, match: {exact: {c: a}}}, {name: a, path: apps/x, match: {exact: {c: b}}}]\njournal:",
            "clusters[0].path \"apps\" has the folder of cluster a",
        ),
        (
            "journal:",
            "clusters: [{name: a, path: ../b, match: {exact: {c: a}}}]\njournal:",
            "inside the repository",
        ),
    ];
    for (from, to, expected) in table {
        let wrong = check(&fleet.beside("wrong.yaml", &text.replacen(from, to, 1)));
        assert_eq!(wrong.status.code(), Some(1), "{to}: {}", stdout(&wrong));
        assert!(stdout(&wrong).contains(expected), "{to}: {}", stdout(&wrong));
    }
    let two =
        "clusters: [{name: a, path: ../b, match: {exact: {c: a}}}]\nrepeats: { windowS: 100000 }\njournal:";
    let two = fleet.beside("two.yaml", &text.replacen("journal:", two, 1));
    let told = |prefix: &str| {
        [
            format!(
                "{prefix}{}: clusters[0].path \"../b\" must be a folder inside the repository\n",
                two.display()
            ),
            format!("{prefix}{}: repeats.windowS is 100000, and 86400 is the most", two.display()),
        ]
    };
    let (wrong, served) = (check(&two), riposte(&["serve", "--config", &two.display().to_string()]));
    assert!(
        told("wrong  configuration: ").iter().all(|line| stdout(&wrong).contains(line)),
        "{}",
        stdout(&wrong)
    );
    assert!(told("riposte: ").iter().all(|line| stderr(&served).contains(line)), "{}", stderr(&served));
    // Fewer grants than a plugin asks for are an operator's right.
    let grants = [
        ("kinds: [apps/v1/Deployment]", "kinds: [Deployment]", None),
        ("fields: [/spec/replicas]", "fields: [/spec]", None),
        ("kinds: [apps/v1/Deployment]", "kinds: [apps/v1beta1/Deployment]", Some("kind apps/v1/Deployment")),
        ("fields: [/spec/replicas]", "fields: [/spec/paused]", Some("field /spec/replicas")),
    ];
    for (from, to, missing) in grants {
        let said = stdout(&check(&fleet.beside("fewer.yaml", &text.replacen(from, to, 1))));
        let note = missing.map(|missing| {
            format!("note   plugin: scale-to-zero asks for grants that it does not have: {missing}\n")
        });
        assert_eq!(said.contains("note   plugin"), note.is_some(), "{to}: {said}");
        assert!(note.is_none_or(|note| said.contains(&note)), "{to}: {said}");
    }
}
