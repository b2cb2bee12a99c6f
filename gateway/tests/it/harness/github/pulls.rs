//! Pull requests, labels and comments over REST, and `updateRefs`, on the bare repository.
//!
//! What GitHub does by itself is done too: a pull request whose branch goes, or stands at a commit of its
//! base, is closed.

use std::path::PathBuf;
use std::sync::Mutex;

use git2::{Oid, Repository};
use serde_json::{Value, json};

use super::{REPOSITORY, objects};

pub(super) const NODE_ID: &str = "R_kgDOdesired";
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// A pull request.
#[derive(Debug, Clone)]
pub(crate) struct Pull {
    pub(crate) number: usize,
    pub(crate) is_open: bool,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) branch: String,
    pub(crate) base: String,
    /// Where the branch is, or was when it was closed.
    pub(crate) sha: String,
    pub(crate) labels: Vec<String>,
    pub(crate) comments: Vec<String>,
    /// The repository that the branch is in.
    pub(crate) from: String,
}

/// All of them, and the repository that they are of.
pub(super) struct Pulls {
    repository: PathBuf,
    pub(super) all: Mutex<Vec<Pull>>,
}

pub(super) type Answer = (u16, Value);

impl Pulls {
    pub(super) fn new(repository: PathBuf) -> Self {
        Self { repository, all: Mutex::default() }
    }

    /// The answer to a request below `/repos/acme/desired`.
    pub(super) fn answer(&self, method: &str, path: &str, query: &str, body: &Value) -> Answer {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let repository = self.open_repository();
        match (method, parts.as_slice()) {
            ("GET", ["git", "ref", "heads", branch @ ..]) => self.get_ref(&branch.join("/")),
            ("GET", ["git", "commits", sha]) => objects::get_commit(&repository, sha),
            ("POST", ["git", "blobs"]) => objects::create_blob(&repository, body),
            ("POST", ["git", "trees"]) => objects::create_tree(&repository, body),
            ("POST", ["git", "commits"]) => objects::create_commit(&repository, body),
            ("POST", ["git", "refs"]) => objects::create_ref(&repository, body),
            ("PATCH", ["git", "refs", "heads", branch @ ..]) => {
                let moved = objects::move_ref(&repository, &branch.join("/"), body);
                self.look_at_branches();
                moved
            }
            ("GET", ["pulls"]) => self.list(query),
            ("POST", ["pulls"]) => self.open(body),
            ("PATCH", ["pulls", number]) => self.edit(number, body),
            ("POST", ["issues", number, "labels"]) => self.label(number, body),
            ("POST", ["issues", number, "comments"]) => self.comment(number, body),
            _ => not_found(),
        }
    }

    fn open_repository(&self) -> Repository {
        Repository::open_bare(&self.repository).unwrap()
    }

    fn head(&self, branch: &str) -> Option<Oid> {
        self.open_repository().refname_to_id(&format!("refs/heads/{branch}")).ok()
    }

    fn get_ref(&self, branch: &str) -> Answer {
        self.head(branch).map_or_else(not_found, |head| (200, objects::reference(branch, head)))
    }

    /// The mutation: all or nothing.
    pub(super) fn update_refs(&self, input: &Value) -> Result<Value, (&'static str, String)> {
        if input["repositoryId"] != NODE_ID {
            return Err(("NOT_FOUND", "Could not resolve to a node with that global id".to_owned()));
        }
        let repository = self.open_repository();
        let updates = input["refUpdates"].as_array().unwrap();
        for update in updates {
            let name = text(&update["name"]);
            assert!(name.starts_with("refs/heads/riposte/"), "a ref outside of riposte/: {name}");
            let is =
                repository.refname_to_id(&name).map_or_else(|_| NOTHING.to_owned(), |oid| oid.to_string());
            if update["beforeOid"] != is.as_str() {
                return Err(("UNPROCESSABLE", format!("{name} is not where it was")));
            }
        }
        for update in updates {
            let (name, after) = (text(&update["name"]), text(&update["afterOid"]));
            if after == NOTHING {
                repository.find_reference(&name).unwrap().delete().unwrap();
            } else {
                repository.reference(&name, Oid::from_str(&after).unwrap(), true, "api").unwrap();
            }
        }
        self.look_at_branches();
        Ok(json!({ "updateRefs": { "clientMutationId": null } }))
    }

    /// What GitHub does after each push.
    pub(super) fn look_at_branches(&self) {
        let repository = self.open_repository();
        for pull in self.all.lock().unwrap().iter_mut().filter(|pull| pull.is_open && pull.from == REPOSITORY)
        {
            match (self.head(&pull.branch), self.head(&pull.base)) {
                (Some(head), Some(base)) => {
                    pull.sha = head.to_string();
                    pull.is_open = head != base && !repository.graph_descendant_of(base, head).unwrap();
                }
                _ => pull.is_open = false,
            }
        }
    }

    fn list(&self, query: &str) -> Answer {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let value = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let all = self.all.lock().unwrap();
        let fits = |pull: &&Pull| {
            let owner = pull.from.split('/').next().unwrap();
            let state = match value("state").unwrap_or("open") {
                "open" => pull.is_open,
                "closed" => !pull.is_open,
                _ => true,
            };
            state && value("head").is_none_or(|head| head == format!("{owner}:{}", pull.branch))
        };
        (200, all.iter().rev().filter(fits).map(shown).collect())
    }

    fn open(&self, body: &Value) -> Answer {
        let (branch, base) = (text(&body["head"]), text(&body["base"]));
        let (Some(head), Some(onto)) = (self.head(&branch), self.head(&base)) else {
            return validation(&format!("head or base is invalid: {branch}, {base}"));
        };
        let mut all = self.all.lock().unwrap();
        if all
            .iter()
            .any(|pull| pull.is_open && pull.branch == branch && pull.base == base && pull.from == REPOSITORY)
        {
            return validation(&format!("A pull request already exists for acme:{branch}."));
        }
        if head == onto || self.open_repository().graph_descendant_of(onto, head).unwrap() {
            return validation(&format!("No commits between {base} and {branch}"));
        }
        let pull = Pull {
            number: all.len() + 1,
            is_open: true,
            title: text(&body["title"]),
            body: text(&body["body"]),
            branch,
            base,
            sha: head.to_string(),
            labels: Vec::new(),
            comments: Vec::new(),
            from: REPOSITORY.to_owned(),
        };
        let answer = shown(&pull);
        all.push(pull);
        (201, answer)
    }

    fn edit(&self, number: &str, body: &Value) -> Answer {
        self.with(number, |pull| {
            for (name, field) in [("title", &mut pull.title), ("body", &mut pull.body)] {
                if let Some(text) = body[name].as_str() {
                    text.clone_into(field);
                }
            }
            pull.is_open &= body["state"] != "closed";
            (200, shown(pull))
        })
    }

    fn label(&self, number: &str, body: &Value) -> Answer {
        self.with(number, |pull| {
            for label in body["labels"].as_array().unwrap() {
                if !pull.labels.contains(&text(label)) {
                    pull.labels.push(text(label));
                }
            }
            (200, pull.labels.iter().map(|name| json!({ "name": name })).collect())
        })
    }

    fn comment(&self, number: &str, body: &Value) -> Answer {
        self.with(number, |pull| {
            pull.comments.push(text(&body["body"]));
            (201, json!({ "id": pull.comments.len(), "body": body["body"] }))
        })
    }

    fn with(&self, number: &str, work: impl FnOnce(&mut Pull) -> Answer) -> Answer {
        let mut all = self.all.lock().unwrap();
        let found = all.iter_mut().find(|pull| pull.number.to_string() == number);
        found.map_or_else(not_found, work)
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text is missing: {value}")).to_owned()
}

fn shown(pull: &Pull) -> Value {
    json!({
        "number": pull.number,
        "html_url": format!("https://github.com/{REPOSITORY}/pull/{}", pull.number),
        "state": if pull.is_open { "open" } else { "closed" },
        "title": pull.title,
        "body": pull.body,
        "labels": pull.labels.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "head": { "ref": pull.branch, "sha": pull.sha, "repo": { "full_name": pull.from } },
        "base": { "ref": pull.base },
    })
}

pub(super) fn not_found() -> Answer {
    (404, json!({ "message": "Not Found", "status": "404" }))
}

pub(super) fn invalid(message: &str) -> Answer {
    (422, json!({ "message": message, "status": "422" }))
}

fn validation(message: &str) -> Answer {
    let error = json!({ "resource": "PullRequest", "code": "custom", "message": message });
    (422, json!({ "message": "Validation Failed", "errors": [error], "status": "422" }))
}
