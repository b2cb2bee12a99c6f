//! An API server that is asked for dry runs, and speaks what a real one has answered.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use super::Fleet;
use super::http::{Cut, Server};

/// What is answered to a change: a status, and a body.
pub(crate) type Answer = (u16, Value);

/// A request, its token, and its body.
pub(crate) type Asked = (String, Option<String>, Value);

/// An API server; nothing is ever stored in it.
pub(crate) struct ApiServer {
    server: Server,
    seen: Arc<Mutex<Vec<Asked>>>,
}

impl ApiServer {
    /// One that gives these answers, one a request that changes something, the last one for ever.
    pub(crate) async fn answering(answers: Vec<Answer>) -> Self {
        let answers = Mutex::new(answers);
        Self::judging(move |_| {
            let mut answers = answers.lock().unwrap();
            if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
        })
        .await
    }

    /// One that answers a request that changes something by what the object would be. Status 0 is no answer.
    pub(crate) async fn judging(judge: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (judge, sink) = (Arc::new(judge), Arc::clone(&seen));
        let server = Server::start(move |request: Request<Bytes>| {
            let (judge, sink) = (Arc::clone(&judge), Arc::clone(&sink));
            async move {
                let sent = serde_json::from_slice(request.body()).unwrap_or_default();
                // As a real one does, of a look-up too.
                let is_typed = request.headers().contains_key("content-type");
                let (status, body) = match request.method().as_str() {
                    method if is_typed != (method == "PATCH") => {
                        (415, json!({ "message": "415: Unsupported Media Type" }))
                    }
                    "GET" => discovery(request.uri().path()),
                    _ => judge(&sent),
                };
                let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
                let shown = format!("{} {}", request.method(), request.uri());
                sink.lock().unwrap().push((shown, header("authorization").map(str::to_owned), sent));
                if status == 0 {
                    return Err(Cut);
                }
                let response = Response::builder().status(status).header("content-type", "application/json");
                Ok(response.body(Full::from(body.to_string())).unwrap())
            }
        })
        .await;
        Self { server, seen }
    }

    /// A kubeconfig for it, with more about the user.
    pub(crate) fn kubeconfig(&self, fleet: &Fleet, user: &Value) -> PathBuf {
        kubeconfig(fleet, &json!({ "server": self.origin() }), user)
    }

    pub(crate) fn origin(&self) -> String {
        self.server.origin()
    }

    /// What it was asked, oldest first.
    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }
}

/// A kubeconfig for this cluster and user.
pub(crate) fn kubeconfig(fleet: &Fleet, cluster: &Value, user: &Value) -> PathBuf {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here", "preferences": {},
        "contexts": [
            { "name": "elsewhere", "context": { "cluster": "none", "user": "none" } },
            { "name": "here", "context": { "cluster": "one", "user": "riposte" } },
        ],
        "clusters": [{ "name": "one", "cluster": cluster }],
        "users": [{ "name": "riposte", "user": user }],
    });
    fleet.beside("kubeconfig", &serde_yaml::to_string(&config).unwrap())
}

fn discovery(path: &str) -> Answer {
    let resource = |name: &str, kind: &str, namespaced: bool| json!({ "name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["patch"] });
    let (group, resources) = match path {
        "/apis/apps/v1" => {
            let scale = resource("deployments/scale", "Deployment", true);
            ("apps/v1", vec![scale, resource("deployments", "Deployment", true)])
        }
        "/api/v1" => ("v1", vec![resource("namespaces", "Namespace", false), resource("pods", "Pod", true)]),
        _ => return (404, json!("404 page not found\n")),
    };
    (
        200,
        json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": resources }),
    )
}

/// A refusal in its form.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code,
    });
    (code, body)
}

/// What it says of an object that it takes.
pub(crate) fn fine() -> Answer {
    (200, json!({ "kind": "Deployment", "apiVersion": "apps/v1", "metadata": { "name": "web" } }))
}
