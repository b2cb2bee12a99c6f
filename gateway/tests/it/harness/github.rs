//! GitHub, where we use it: `createCommitOnBranch` made for real on a bare repository, the repository
//! itself over REST, and the ways in which both fail.
//!
//! Every request is recorded, so that it can be held against GitHub's published contracts.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use super::http::{Cut, Server};

pub(crate) const TOKEN: &str = "github_pat_t0ken";
pub(crate) const REPOSITORY: &str = "acme/desired";

/// What the next request meets instead of its answer.
#[derive(Clone)]
pub(crate) enum Fault {
    /// This answer; nothing is done.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// The connection is cut; nothing is done.
    CutBefore,
    /// The request is carried out, then the connection is cut.
    CutAfter,
    /// The request is carried out, then this is the answer.
    AnswerAfter { status: u16, body: String },
    /// Somebody does this first; then the request is carried out.
    Meanwhile(Arc<dyn Fn() + Send + Sync>),
    /// No answer ever; nothing is done.
    Silence,
    /// The request is carried out, and there is no answer ever.
    SilenceAfter,
}

/// A request as it came.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) path: String,
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
    faults: Mutex<VecDeque<Fault>>,
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
            rest,
            graphql,
            faults: Mutex::default(),
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
        self.state.faults.lock().unwrap().push_back(fault);
    }

    pub(crate) fn recorded(&self) -> Vec<Recorded> {
        self.state.recorded.lock().unwrap().clone()
    }
}

impl State {
    async fn answer(&self, request: &Request<Bytes>) -> Result<Response<Full<Bytes>>, Cut> {
        let path = request.uri().path().to_owned();
        let body = serde_json::from_slice(request.body()).unwrap_or_default();
        let method = request.method().to_string();
        self.recorded.lock().unwrap().push(Recorded { method: method.clone(), path: path.clone(), body });
        let fault = self.faults.lock().unwrap().pop_front();
        let fault = match fault {
            Some(Fault::Answer { status, headers, body }) => return Ok(respond(status, &headers, body)),
            Some(Fault::CutBefore) => return Err(Cut),
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::Meanwhile(happens)) => {
                happens();
                None
            }
            other => other,
        };
        let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let (status, answer) = if authorization != Some(&format!("Bearer {TOKEN}")) {
            (401, json!({ "message": "Bad credentials", "status": "401" }))
        } else if method == "POST" && path == self.graphql {
            (200, self.graphql(request.body()))
        } else if method == "GET" && path == format!("{}/repos/{REPOSITORY}", self.rest) {
            (200, json!({ "full_name": REPOSITORY, "archived": false, "permissions": { "push": true } }))
        } else {
            (404, json!({ "message": "Not Found", "status": "404" }))
        };
        match fault {
            Some(Fault::CutAfter) => Err(Cut),
            Some(Fault::SilenceAfter) => std::future::pending().await,
            Some(Fault::AnswerAfter { status, body }) => Ok(respond(status, &[], body)),
            _ => Ok(respond(status, &[], answer.to_string())),
        }
    }

    fn graphql(&self, body: &[u8]) -> Value {
        let request: Value = serde_json::from_slice(body).unwrap();
        assert!(request["query"].as_str().unwrap().contains("createCommitOnBranch(input: $input)"));
        match self.create_commit(&request["variables"]["input"]) {
            Ok(oid) => json!({ "data": { "createCommitOnBranch": { "commit": { "oid": oid } } } }),
            Err((kind, message)) => json!({
                "data": { "createCommitOnBranch": null },
                "errors": [{ "type": kind, "path": ["createCommitOnBranch"], "message": message }],
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

fn respond(status: u16, headers: &[(&'static str, String)], body: String) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(Full::from(body)).unwrap()
}
