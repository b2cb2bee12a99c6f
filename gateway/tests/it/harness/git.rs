//! A Git remote: a bare repository, as `file://` or through the real `git http-backend` with Basic
//! authentication.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use riposte::model::manifest::CommitSha;
use riposte::repository::git::init_bare;
use riposte::repository::{Config, FileChange, Repository};
use tempfile::TempDir;

use super::fault::{Fault, Faults, meet};
use super::http::{Identity, Server};

pub(crate) const USER: &str = "riposte";
pub(crate) const TOKEN: &str = "s3cret-token";

/// The request that pushes.
pub(crate) const PUSH: &str = "POST /desired.git/git-receive-pack";

/// A bare repository in a directory of its own, with one commit on `main`.
pub(crate) struct Bare {
    pub(crate) root: TempDir,
    pub(crate) first: CommitSha,
}

impl Bare {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let first = init_bare(&root.path().join("desired.git"), "main", files, "First").unwrap();
        Self { root, first }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join("desired.git")
    }

    pub(crate) fn file_url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// A file below the temporary directory that holds a secret.
    pub(crate) fn secret(&self, name: &str, secret: &str) -> PathBuf {
        let path = self.root.path().join(name);
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        path
    }

    /// Runs the real git on the repository; its output.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(&self.path(), arguments)
    }

    /// The content of a file at the branch's head.
    pub(crate) fn show(&self, path: &str) -> String {
        self.git(&["show", &format!("main:{path}")])
    }

    pub(crate) fn commits(&self) -> usize {
        self.git(&["rev-list", "--count", "main"]).trim().parse().unwrap()
    }

    /// Commits as another person would, behind the gateway's back; again when somebody was faster.
    pub(crate) fn commit_elsewhere(&self, path: &str, content: &str) -> String {
        let clone = self.root.path().join("elsewhere");
        loop {
            if clone.exists() {
                std::fs::remove_dir_all(&clone).unwrap();
            }
            git(self.root.path(), &["clone", "-q", "desired.git", "elsewhere"]);
            std::fs::create_dir_all(clone.join(path).parent().unwrap()).unwrap();
            std::fs::write(clone.join(path), content).unwrap();
            git(&clone, &["add", "-A"]);
            git(&clone, &["-c", "user.name=p", "-c", "user.email=p@x", "commit", "-qm", "By a person"]);
            let mut push = Command::new("git");
            push.current_dir(&clone).args(["push", "-q", "origin", "HEAD:main"]);
            let words = push.output().unwrap();
            if words.status.success() {
                return git(&clone, &["rev-parse", "HEAD"]).trim().to_owned();
            }
            let words = String::from_utf8_lossy(&words.stderr).into_owned();
            assert!(words.contains("rejected") || words.contains("lock"), "{words}");
        }
    }

    /// Commits that a file is executable.
    pub(crate) fn make_executable(&self, path: &str) {
        git(self.root.path(), &["clone", "-q", "desired.git", "modes"]);
        let clone = self.root.path().join("modes");
        git(&clone, &["update-index", "--chmod=+x", path]);
        git(&clone, &["-c", "user.name=p", "-c", "user.email=p@x", "commit", "-qm", "Modes"]);
        git(&clone, &["push", "-q", "origin", "HEAD:main"]);
    }

    pub(crate) fn hook(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path().join("hooks").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").current_dir(directory).args(arguments).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {words}");
    String::from_utf8(output.stdout).unwrap()
}

/// A configuration as a user writes it.
pub(crate) fn config(json: serde_json::Value) -> Config {
    serde_json::from_value(json).unwrap()
}

pub(crate) fn change(path: &str, content: &str) -> Vec<FileChange> {
    vec![FileChange { path: path.to_owned(), content: Some(content.to_owned()) }]
}

pub(crate) fn removal(path: &str) -> Vec<FileChange> {
    vec![FileChange { path: path.to_owned(), content: None }]
}

/// The text of one file at a commit.
pub(crate) async fn text_at(repository: &Repository, commit: &CommitSha, path: &str) -> String {
    repository.snapshot(commit).await.unwrap().text(path).unwrap().to_owned()
}

/// The real `git http-backend` behind HTTP.
pub(crate) struct HttpRemote {
    server: Server,
    scheme: &'static str,
    faults: Arc<Faults>,
}

impl HttpRemote {
    pub(crate) async fn start(root: &Path) -> Self {
        Self::start_for(root, |user, password| user == USER && password == TOKEN).await
    }

    /// Lets in whom `access` says, by user name and password.
    pub(crate) async fn start_for(
        root: &Path,
        access: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::start_as(root, access, None).await
    }

    /// The same behind TLS if there is an identity.
    pub(crate) async fn start_as(
        root: &Path,
        access: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
        identity: Option<Identity>,
    ) -> Self {
        let (root, faults) = (root.to_owned(), Arc::new(Faults::default()));
        let (shared, access) = (Arc::clone(&faults), Arc::new(access));
        let handle = move |request: Request<Bytes>| {
            let (root, faults, access) = (root.clone(), Arc::clone(&shared), Arc::clone(&access));
            async move {
                if !authorization(&request).is_some_and(|(user, password)| access(&user, &password)) {
                    return Ok(unauthorized());
                }
                let fault = faults.take(&format!("{} {}", request.method(), request.uri()));
                let backend = async move {
                    tokio::task::spawn_blocking(move || run_backend(&root, &request)).await.unwrap()
                };
                meet(fault, backend).await
            }
        };
        let scheme = if identity.is_some() { "https" } else { "http" };
        Self { server: Server::start_as(handle, identity).await, scheme, faults }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}/desired.git", self.scheme, self.server.address)
    }

    /// What is wrong with it, by method and address in one line.
    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The next push is made, but its answer is lost.
    pub(crate) fn cut_after_push(&self) {
        self.faults.next_at(PUSH, Fault::CutAfter);
    }

    /// The next push is lost on its way.
    pub(crate) fn cut_before_push(&self) {
        self.faults.next_at(PUSH, Fault::CutBefore);
    }
}

/// The user name and the password of RFC 7617.
fn authorization(request: &Request<Bytes>) -> Option<(String, String)> {
    let basic = request.headers().get("authorization")?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

fn unauthorized() -> Response<Full<Bytes>> {
    let response = Response::builder().status(StatusCode::UNAUTHORIZED);
    response.header("www-authenticate", "Basic realm=\"git\"").body(Full::default()).unwrap()
}

/// RFC 3875, as far as Git uses it.
fn run_backend(root: &Path, request: &Request<Bytes>) -> Response<Full<Bytes>> {
    let header = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", USER)
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", request.uri().path())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", request.body().len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = request.body().clone();
    let writer = std::thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output().unwrap().stdout;
    // The backend may answer without having read everything.
    let _ = writer.join().unwrap();
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Full::from(output[end + 4..].to_vec())).unwrap()
}
