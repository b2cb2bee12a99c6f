//! One change to one object.
//!
//! The builders write the changes of the contract. Whether the result is valid, and
//! allowed, is the gateway's to judge.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use crate::ObjectRef;
use crate::pointer::segments;

/// One change to one object.
///
/// ```
/// use riposte_sdk::prelude::*;
/// use serde_json::json;
///
/// let web = ObjectRef::namespaced("apps/v1", "Deployment", "default", "web");
/// let image = "/spec/template/spec/containers/0/image";
/// let patches = [
///     Patch::scale(&web, 0),
///     Patch::set(&web, "/spec/paused", true),
///     Patch::set(&web, image, "nginx:1.29"),
///     Patch::remove(&web, "/spec/template/spec/hostNetwork"),
///     Patch::label(&web, "quarantine", "true"),
///     Patch::annotate(&web, "riposte.dev/why", "a shell"),
///     Patch::label_pods(&web, "quarantine", "true"),
///     Patch::annotate_pods(&web, "riposte.dev/why", "a shell"),
///     Patch::merge(&web, json!({ "spec": { "strategy": { "type": "Recreate" } } })),
///     Patch::strategic_merge(&web, json!({ "spec": { "template": { "spec": { "volumes": [
///         { "name": "scratch", "emptyDir": { "sizeLimit": "1Gi" } },
///     ] } } } })),
///     Patch::json(&web, [Operation::test(image, "nginx:1.28"), Operation::replace(image, "nginx:1.29")]),
///     Patch::delete(&web),
/// ];
/// assert_eq!(patches[0].to_string(), r#"merge Deployment default/web {"spec":{"replicas":0}}"#);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a patch does something in a proposal only"]
pub struct Patch {
    /// The object.
    pub target: ObjectRef,
    /// The change.
    pub change: Change,
}

/// Three patch languages, a new object, and the end of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// RFC 6902, JSON Patch.
    Json(Vec<Operation>),
    /// RFC 7396, a merge patch.
    Merge(Value),
    /// A merge patch that knows the lists of Kubernetes' own kinds.
    StrategicMerge(Value),
    /// A new object, beside another one.
    Create {
        /// The manifest.
        manifest: Value,
        /// The object whose folder, and kustomization, it shares.
        beside: ObjectRef,
    },
    /// The object goes.
    Delete,
}

impl Patch {
    /// Sets `spec.replicas`.
    pub fn scale(target: &ObjectRef, replicas: u32) -> Self {
        Self::set(target, "/spec/replicas", replicas)
    }

    /// Sets what is at a path, written as a JSON pointer.
    ///
    /// Objects on the way are made if they are not there. An object as the value is merged into the
    /// one that is there, and `null` removes. A number in the path is an index into a list: then
    /// everything before the last segment has to be there, and `-` as the last one appends.
    pub fn set(target: &ObjectRef, path: &str, value: impl Into<Value>) -> Self {
        let (names, value) = (segments(path), value.into());
        if !through_list(&names) {
            return Self::merged(target, &names, value);
        }
        // An element is replaced; to add at its index would insert another one before it.
        let is_element = names.last().is_some_and(|last| is_index(last) && last != "-");
        let operation =
            if is_element { Operation::replace(path, value) } else { Operation::add(path, value) };
        Self::json(target, [operation])
    }

    /// Removes what is at a path, written as a JSON pointer. Through a list it has to be there.
    pub fn remove(target: &ObjectRef, path: &str) -> Self {
        let names = segments(path);
        if through_list(&names) {
            return Self::json(target, [Operation::remove(path)]);
        }
        Self::merged(target, &names, Value::Null)
    }

    /// Sets a label of the object. Its pods do not get it, see [`Patch::label_pods`].
    pub fn label(target: &ObjectRef, key: &str, value: &str) -> Self {
        Self::merged(target, &path(&["metadata", "labels", key]), value.into())
    }

    /// Sets an annotation of the object.
    pub fn annotate(target: &ObjectRef, key: &str, value: &str) -> Self {
        Self::merged(target, &path(&["metadata", "annotations", key]), value.into())
    }

    /// Sets a label of the pods that the object makes, which makes them anew.
    pub fn label_pods(target: &ObjectRef, key: &str, value: &str) -> Self {
        Self::merged(target, &pods(target, &["metadata", "labels", key]), value.into())
    }

    /// Sets an annotation of the pods that the object makes, which makes them anew.
    pub fn annotate_pods(target: &ObjectRef, key: &str, value: &str) -> Self {
        Self::merged(target, &pods(target, &["metadata", "annotations", key]), value.into())
    }

    /// Operations after RFC 6902, made in their order; if one fails, none is made.
    pub fn json(target: &ObjectRef, operations: impl IntoIterator<Item = Operation>) -> Self {
        Self { target: target.clone(), change: Change::Json(operations.into_iter().collect()) }
    }

    /// Merges an object into the manifest, after RFC 7396: lists are replaced, `null` removes.
    ///
    /// The gateway refuses what is no object.
    pub fn merge(target: &ObjectRef, object: Value) -> Self {
        Self { target: target.clone(), change: Change::Merge(object) }
    }

    /// Merges an object into the manifest as Kubernetes' types say: elements of containers, their
    /// environment, volumes and other lists that have a key are found by it, changed in their
    /// places, or added at the end.
    ///
    /// `"$patch": "delete"` beside the key takes an element away, `{"$patch": "replace"}` as an
    /// element replaces the list. Other lists, and all lists of custom kinds, are replaced as by
    /// [`Patch::merge`]. The gateway refuses an element without its key.
    ///
    /// ```
    /// use riposte_sdk::prelude::*;
    /// use serde_json::json;
    ///
    /// let web = ObjectRef::namespaced("apps/v1", "Deployment", "default", "web");
    /// let container = json!({ "name": "web", "env": [{ "name": "DEBUG", "$patch": "delete" }] });
    /// let pod = json!({ "spec": { "containers": [container] } });
    /// let patch = Patch::strategic_merge(&web, json!({ "spec": { "template": pod } }));
    /// assert!(patch.to_string().starts_with("strategic merge Deployment default/web {"));
    /// ```
    pub fn strategic_merge(target: &ObjectRef, object: Value) -> Self {
        Self { target: target.clone(), change: Change::StrategicMerge(object) }
    }

    /// Makes a new object, in a file of its own beside the file of another object of its namespace;
    /// where a kustomization lists that one, it lists the new one too.
    ///
    /// What is there already with the same content is left alone, so always propose the same text.
    ///
    /// ```
    /// use riposte_sdk::prelude::*;
    /// use serde_json::json;
    ///
    /// let web = ObjectRef::namespaced("apps/v1", "Deployment", "default", "web");
    /// let patch = Patch::create(&web, json!({
    ///     "apiVersion": "networking.k8s.io/v1",
    ///     "kind": "NetworkPolicy",
    ///     "metadata": { "name": "isolate-web" },
    ///     "spec": { "podSelector": { "matchLabels": { "app": "web" } }, "policyTypes": ["Ingress"] },
    /// }));
    /// assert_eq!(patch.target.to_string(), "NetworkPolicy default/isolate-web");
    /// ```
    pub fn create(beside: &ObjectRef, mut manifest: Value) -> Self {
        if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("namespace".to_owned(), json!(beside.namespace));
        }
        let text =
            |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let target = ObjectRef {
            api_version: text("/apiVersion"),
            kind: text("/kind"),
            namespace: beside.namespace.clone(),
            name: text("/metadata/name"),
        };
        Self { target, change: Change::Create { manifest, beside: beside.clone() } }
    }

    /// Deletes an object: its document goes from its file. A file without another document goes
    /// too, and is no longer listed in a kustomization.
    ///
    /// An object that is not there is gone already, and nothing happens. No other patch of the
    /// proposal may be of the object.
    ///
    /// ```
    /// use riposte_sdk::prelude::*;
    /// use riposte_sdk::testing;
    ///
    /// /// Ends the isolation of what an alert is about
    /// #[plugin(on = "falco.rule.output.v1", grants(kinds = ["networking.k8s.io/v1/NetworkPolicy"], delete))]
    /// fn release(alert: Falco, context: &Context) -> Answer {
    ///     let policies = context.find("NetworkPolicy", alert.namespace()?).into_iter();
    ///     let ours = policies.filter(|policy| policy.name.starts_with("isolate-"));
    ///     propose("End the isolation").because(alert.rule()?).with_all(ours.map(|policy| Patch::delete(&policy)))
    /// }
    ///
    /// let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy,
    ///                metadata: {name: isolate-web, namespace: default}}";
    /// let alert = r#"{"rule": "All clear", "output_fields": {"k8s.ns.name": "default"}}"#;
    /// let decided = testing::plugin::<release>().desired_state(policy).handle(testing::falco(alert));
    /// assert!(decided.to_string().ends_with("- delete NetworkPolicy default/isolate-web"));
    /// ```
    pub fn delete(target: &ObjectRef) -> Self {
        Self { target: target.clone(), change: Change::Delete }
    }

    /// A merge patch that sets one value.
    fn merged(target: &ObjectRef, path: &[String], value: Value) -> Self {
        let around = |value, name: &String| json!({ (name.as_str()): value });
        Self::merge(target, path.iter().rev().fold(value, around))
    }
}

/// One operation of a JSON Patch.
///
/// Paths are JSON pointers: a `/` inside of a name is written `~1`, a `~` is `~0`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    op: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

impl Operation {
    /// Fails, and with it the whole proposal, unless this value is at the path.
    #[must_use]
    pub fn test(path: &str, value: impl Into<Value>) -> Self {
        Self::new("test", path, Some(value.into()))
    }

    /// Adds a member, or replaces it; into a list it inserts, and `-` appends.
    #[must_use]
    pub fn add(path: &str, value: impl Into<Value>) -> Self {
        Self::new("add", path, Some(value.into()))
    }

    /// Replaces what is there.
    #[must_use]
    pub fn replace(path: &str, value: impl Into<Value>) -> Self {
        Self::new("replace", path, Some(value.into()))
    }

    /// Removes what is there.
    #[must_use]
    pub fn remove(path: &str) -> Self {
        Self::new("remove", path, None)
    }

    fn new(op: &'static str, path: &str, value: Option<Value>) -> Self {
        let path =
            if path.is_empty() || path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Self { op, path, value }
    }
}

impl fmt::Display for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.change {
            Change::Json(operations) => write!(f, "json {} {}", self.target, json!(operations)),
            Change::Merge(object) => write!(f, "merge {} {object}", self.target),
            Change::StrategicMerge(object) => write!(f, "strategic merge {} {object}", self.target),
            Change::Create { manifest, beside } => {
                write!(f, "create {} beside {beside} {manifest}", self.target)
            }
            Change::Delete => write!(f, "delete {}", self.target),
        }
    }
}

/// Where an object describes its pods.
fn pods(target: &ObjectRef, below: &[&str]) -> Vec<String> {
    let template: &[&str] = match target.kind.as_str() {
        "Pod" => &[],
        "CronJob" => &["spec", "jobTemplate", "spec", "template"],
        _ => &["spec", "template"],
    };
    path(&[template, below].concat())
}

fn path(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn is_index(segment: &str) -> bool {
    segment == "-" || (!segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A merge patch can only replace a whole list.
fn through_list(segments: &[String]) -> bool {
    segments.iter().any(|segment| is_index(segment))
}
