//! GitHub, where we use it: `createCommitOnBranch` made for real on a bare repository, the repository
//! itself and its pull requests over REST, and the ways in which all of it fails.
//!
//! Every request is recorded, so that it can be held against GitHub's published contracts.

mod app;
mod objects;
mod pulls;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use app::Apps;
pub(crate) use app::{APP, App, INSTALLATION, public_key};
pub(crate) use pulls::Pull;
use pulls::{NODE_ID, Pulls};

pub(crate) use super::fault::Fault;
use super::fault::{Faults, meet, respond};
use super::http::{Cut, Server};

pub(crate) const TOKEN: &str = "github_pat_t0ken";
pub(crate) const REPOSITORY: &str = "acme/desired";

/// A request as it came.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

/// GitHub's stand-in.
pub(crate) struct GitHub {
    server: Server,
    state: Arc<State>,
}

struct State {
    repository: PathBuf,
    /// Before the paths of the API; `/api/v3` and `/api` for GitHub Enterprise.
    rest: &'static str,
    graphql: &'static str,
    /// As on a GitHub Enterprise server of before.
    lacks_mutation: AtomicBool,
    pulls: Pulls,
    apps: Apps,
    /// By method, path and body in one line.
    faults: Faults,
    recorded: Mutex<Vec<Recorded>>,
}

impl GitHub {
    pub(crate) async fn start(repository: &Path) -> Self {
        Self::start_at(repository, "", "/graphql").await
    }

    /// As a GitHub Enterprise server lays out its addresses.
    pub(crate) async fn start_enterprise(repository: &Path) -> Self {
        Self::start_at(repository, "/api/v3", "/api/graphql").await
    }

    async fn start_at(repository: &Path, rest: &'static str, graphql: &'static str) -> Self {
        let state = Arc::new(State {
            repository: repository.to_owned(),
            pulls: Pulls::new(repository.to_owned()),
            lacks_mutation: AtomicBool::new(false),
            apps: Apps::default(),
            rest,
            graphql,
            faults: Faults::default(),
            recorded: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| {
            let state = Arc::clone(&shared);
            async move { state.answer(&request).await }
        })
        .await;
        Self { server, state }
    }

    pub(crate) fn api_url(&self) -> String {
        format!("{}{}", self.server.origin(), self.state.rest)
    }

    pub(crate) fn next(&self, fault: Fault) {
        self.faults().next_at("", fault);
    }

    /// What the next request meets that has this in its method, path and body.
    pub(crate) fn next_at(&self, piece: &'static str, fault: Fault) {
        self.faults().next_at(piece, fault);
    }

    /// What is wrong with it.
    pub(crate) fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// Whether every fault has been met.
    pub(crate) fn met_all(&self) -> bool {
        self.faults().is_empty()
    }

    /// The pull requests, oldest first, after GitHub has looked at the branches.
    pub(crate) fn pulls(&self) -> Vec<Pull> {
        self.state.pulls.look_at_branches();
        self.state.pulls.all.lock().unwrap().clone()
    }

    /// Changes a pull request as people do on its page.
    pub(crate) fn change_pull(&self, number: usize, change: impl FnOnce(&mut Pull)) {
        change(&mut self.state.pulls.all.lock().unwrap()[number - 1]);
    }

    /// A pull request of somebody else's fork.
    pub(crate) fn add_pull(&self, pull: Pull) {
        self.state.pulls.all.lock().unwrap().push(pull);
    }

    /// From now on it knows no `createCommitOnBranch`, as a server of before.
    pub(crate) fn forget_the_mutation(&self) {
        self.state.lacks_mutation.store(true, Ordering::SeqCst);
    }

    /// The App: to look at, and to change as its owner does.
    pub(crate) fn app(&self) -> MutexGuard<'_, App> {
        self.state.apps.0.lock().unwrap()
    }

    /// Whether Git over https lets in who shows this user name and password.
    pub(crate) fn git_access(&self) -> impl Fn(&str, &str) -> bool + Send + Sync + use<> {
        let state = Arc::clone(&self.state);
        move |user, password| user == "x-access-token" && state.apps.0.lock().unwrap().accepts(password)
    }

    pub(crate) fn recorded(&self) -> Vec<Recorded> {
        self.state.recorded.lock().unwrap().clone()
    }
}

impl State {
    async fn answer(&self, request: &Request<Bytes>) -> Result<Response<Full<Bytes>>, Cut> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let method = request.method().to_string();
        let fault = self.faults.take(&format!("{method} {path} {body}"));
        self.recorded.lock().unwrap().push(Recorded {
            method: method.clone(),
            path: path.clone(),
            query: query.clone(),
            body: body.clone(),
        });
        meet(fault, async { self.carry_out(request, &method, &path, &query, &body) }).await
    }

    fn carry_out(
        &self,
        request: &Request<Bytes>,
        method: &str,
        path: &str,
        query: &str,
        body: &Value,
    ) -> Response<Full<Bytes>> {
        let repository = format!("{}/repos/{REPOSITORY}", self.rest);
        let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let bearer = authorization.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let as_app = self.apps.answer(method, path.strip_prefix(self.rest).unwrap_or(path), bearer, body);
        let (is_app, now_s) = {
            let app = self.apps.0.lock().unwrap();
            (app.accepts(bearer), app.now_s())
        };
        let (status, answer) = if let Some(answer) = as_app {
            answer
        } else if bearer != TOKEN && !is_app {
            (401, json!({ "message": "Bad credentials", "status": "401" }))
        } else if method == "POST" && path == self.graphql {
            (200, self.graphql(request.body(), is_app))
        } else if method == "GET" && path == repository {
            // An App is told no here whatever it may do.
            let permissions = json!({ "push": !is_app });
            let answer = json!({
                "node_id": NODE_ID, "full_name": REPOSITORY, "archived": false, "permissions": permissions,
            });
            (200, answer)
        } else if let Some(path) = path.strip_prefix(&repository) {
            self.pulls.answer(method, path, query, body)
        } else {
            (404, json!({ "message": "Not Found", "status": "404" }))
        };
        respond(status, &[("date", rfc2822(now_s))], answer.to_string())
    }

    fn graphql(&self, body: &[u8], is_app: bool) -> Value {
        let request: Value = serde_json::from_slice(body).unwrap();
        assert!(body.len() < 45_000_000, "GitHub takes no more: {}", body.len());
        if self.lacks_mutation.load(Ordering::SeqCst) {
            let words = "CreateCommitOnBranchInput isn't a defined input type (on $input)";
            return json!({ "errors": [{ "message": words }] });
        }
        let (query, input) = (request["query"].as_str().unwrap(), &request["variables"]["input"]);
        let (mutation, done) = if is_app && self.apps.0.lock().unwrap().contents != "write" {
            ("createCommitOnBranch", Err(("FORBIDDEN", "Resource not accessible by integration".to_owned())))
        } else if query.contains("updateRefs(input: $input)") {
            ("updateRefs", self.pulls.update_refs(input))
        } else {
            assert!(query.contains("createCommitOnBranch(input: $input)"), "{query}");
            let made = self.create_commit(input);
            (
                "createCommitOnBranch",
                made.map(|oid| json!({ "createCommitOnBranch": { "commit": { "oid": oid } } })),
            )
        };
        match done {
            Ok(data) => json!({ "data": data }),
            Err((kind, message)) => json!({
                "data": { mutation: null },
                "errors": [{ "type": kind, "path": [mutation], "message": message }],
            }),
        }
    }

    /// The mutation, on the bare repository, by compare-and-swap.
    fn create_commit(&self, input: &Value) -> Result<String, (&'static str, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let name = text(&input["branch"]["repositoryNameWithOwner"]);
        if name != REPOSITORY {
            return Err(("NOT_FOUND", format!("Could not resolve to a Repository with the name '{name}'.")));
        }
        let repository = git2::Repository::open_bare(&self.repository).unwrap();
        let branch = format!("refs/heads/{}", text(&input["branch"]["branchName"]));
        let expected = git2::Oid::from_str(&text(&input["expectedHeadOid"])).unwrap();
        let stale = || {
            let words = "but it did not.  Pull and try again.";
            ("STALE_DATA", format!("Expected branch to point to \"{expected}\" {words}"))
        };
        let head =
            repository.refname_to_id(&branch).map_err(|_| ("NOT_FOUND", "No such branch".to_owned()))?;
        if head != expected {
            return Err(stale());
        }
        let parent = repository.find_commit(head).unwrap();
        let mut update = git2::build::TreeUpdateBuilder::new();
        for deletion in input["fileChanges"]["deletions"].as_array().into_iter().flatten() {
            update.remove(text(&deletion["path"]));
        }
        for addition in input["fileChanges"]["additions"].as_array().into_iter().flatten() {
            let content = STANDARD.decode(text(&addition["contents"])).unwrap();
            let blob = repository.blob(&content).unwrap();
            update.upsert(text(&addition["path"]), blob, git2::FileMode::Blob);
        }
        let tree = update.create_updated(&repository, &parent.tree().unwrap()).unwrap();
        let tree = repository.find_tree(tree).unwrap();
        let author = git2::Signature::now("the token's owner", "owner@acme.example").unwrap();
        let committer = git2::Signature::now("GitHub", "noreply@github.com").unwrap();
        let message = &input["message"];
        let message =
            format!("{}\n\n{}", text(&message["headline"]), message["body"].as_str().unwrap_or_default());
        let commit = repository.commit(None, &author, &committer, &message, &tree, &[&parent]).unwrap();
        repository.reference_matching(&branch, commit, true, head, "api").map_err(|_| stale())?;
        Ok(commit.to_string())
    }
}

/// As HTTP writes a time.
fn rfc2822(seconds: i64) -> String {
    let time = chrono::DateTime::<chrono::Utc>::from_timestamp(seconds, 0).unwrap();
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
