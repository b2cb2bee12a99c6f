//! Blobs, trees, commits and refs of the bare repository, as GitHub's Git Data API makes and moves them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use git2::{Oid, Repository, Signature};
use serde_json::{Value, json};

use super::pulls::{Answer, invalid, not_found, text};

pub(super) fn reference(branch: &str, sha: Oid) -> Value {
    json!({ "ref": format!("refs/heads/{branch}"), "object": { "type": "commit", "sha": sha.to_string() } })
}

/// A branch that may be forced; every other one only goes forward here.
fn is_ours(branch: &str) -> bool {
    branch.starts_with("riposte/")
}

pub(super) fn get_commit(repository: &Repository, sha: &str) -> Answer {
    let found = Oid::from_str(sha).and_then(|oid| repository.find_commit(oid));
    let Ok(commit) = found else { return not_found() };
    let parents: Vec<Value> =
        commit.parent_ids().map(|parent| json!({ "sha": parent.to_string() })).collect();
    let answer = json!({
        "sha": sha,
        "message": commit.message().unwrap().trim_end(),
        "tree": { "sha": commit.tree_id().to_string() },
        "parents": parents,
        "verification": { "verified": true, "reason": "valid" },
    });
    (200, answer)
}

pub(super) fn create_blob(repository: &Repository, body: &Value) -> Answer {
    assert_eq!(body["encoding"], "base64");
    let content = STANDARD.decode(text(&body["content"])).unwrap();
    (201, json!({ "sha": repository.blob(&content).unwrap().to_string() }))
}

/// Entries on top of another tree; one without an id goes.
pub(super) fn create_tree(repository: &Repository, body: &Value) -> Answer {
    let base = Oid::from_str(&text(&body["base_tree"])).and_then(|oid| repository.find_tree(oid));
    let Ok(base) = base else { return not_found() };
    let mut update = git2::build::TreeUpdateBuilder::new();
    for entry in body["tree"].as_array().unwrap() {
        let path = text(&entry["path"]);
        if entry["sha"].is_null() {
            update.remove(path);
            continue;
        }
        let mode = match text(&entry["mode"]).as_str() {
            "100644" => git2::FileMode::Blob,
            "100755" => git2::FileMode::BlobExecutable,
            _ => return invalid("tree.mode is not included in the list"),
        };
        let blob = Oid::from_str(&text(&entry["sha"])).unwrap();
        if repository.find_blob(blob).is_err() {
            return invalid("tree.sha is not a valid blob");
        }
        update.upsert(path, blob, mode);
    }
    (201, json!({ "sha": update.create_updated(repository, &base).unwrap().to_string() }))
}

pub(super) fn create_commit(repository: &Repository, body: &Value) -> Answer {
    let tree = Oid::from_str(&text(&body["tree"])).and_then(|oid| repository.find_tree(oid));
    let Ok(tree) = tree else { return invalid("Tree SHA does not exist") };
    let parents = body["parents"].as_array().unwrap();
    let parents: Result<Vec<_>, _> = parents
        .iter()
        .map(|parent| Oid::from_str(&text(parent)).and_then(|oid| repository.find_commit(oid)))
        .collect();
    let Ok(parents) = parents else { return invalid("Parent SHA does not exist or is not a commit object") };
    let author = Signature::now("the token's owner", "owner@acme.example").unwrap();
    let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
    let made = repository.commit(None, &author, &author, &text(&body["message"]), &tree, &parents).unwrap();
    get_commit_of(repository, made)
}

fn get_commit_of(repository: &Repository, made: Oid) -> Answer {
    (201, get_commit(repository, &made.to_string()).1)
}

pub(super) fn create_ref(repository: &Repository, body: &Value) -> Answer {
    let (name, sha) = (text(&body["ref"]), Oid::from_str(&text(&body["sha"])).unwrap());
    assert!(name.starts_with("refs/heads/riposte/"), "a ref outside of riposte/: {name}");
    if repository.find_commit(sha).is_err() {
        return invalid("Object does not exist");
    }
    match repository.reference(&name, sha, false, "api") {
        Ok(_) => (201, reference(name.trim_start_matches("refs/heads/"), sha)),
        Err(_) => invalid("Reference already exists"),
    }
}

pub(super) fn move_ref(repository: &Repository, branch: &str, body: &Value) -> Answer {
    assert!(is_ours(branch) || body["force"] == false, "a ref outside of riposte/ is forced: {branch}");
    let (sha, name) = (Oid::from_str(&text(&body["sha"])).unwrap(), format!("refs/heads/{branch}"));
    let Ok(head) = repository.refname_to_id(&name) else { return invalid("Reference does not exist") };
    if repository.find_commit(sha).is_err() {
        return invalid("Object does not exist");
    }
    let forward = head == sha || repository.graph_descendant_of(sha, head).unwrap();
    if !forward && body["force"] != true {
        return invalid("Update is not a fast forward");
    }
    match repository.reference_matching(&name, sha, true, head, "api") {
        Ok(_) => (200, reference(branch, sha)),
        Err(_) => invalid("Reference cannot be updated"),
    }
}
