//! From Falco Talon's actions to those of the `rules` plugin.
//!
//! Talon acts on a pod, Riposte on the manifest that the pod comes from. Where the two differ, it is
//! said; where an action has no counterpart, what to use instead is.

use std::collections::BTreeSet;

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::talon::Action;

/// What becomes of `kubernetes:terminate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TerminateAs {
    /// Nothing.
    LeaveOut,
    /// The pod's workload goes to no replicas: all of its pods end, and stay so.
    ScaleToZero,
}

/// An action that was taken over.
#[derive(Debug, PartialEq)]
pub(super) struct Taken {
    /// The plugin's `action`.
    pub(super) action: Value,
    /// A further condition of the rule.
    pub(super) only: Option<Value>,
    pub(super) grants: Needed,
    /// How it differs from Talon's.
    pub(super) differs: String,
}

/// What has to be granted.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Needed {
    pub(super) kinds: BTreeSet<String>,
    pub(super) fields: BTreeSet<String>,
    pub(super) create: bool,
}

impl Needed {
    fn new<const KINDS: usize>(kinds: [&str; KINDS], fields: impl IntoIterator<Item = String>) -> Self {
        let kinds = kinds.into_iter().map(str::to_owned).collect();
        Self { kinds, fields: fields.into_iter().collect(), create: false }
    }

    /// These and those.
    pub(super) fn add(&mut self, other: Self) {
        self.kinds.extend(other.kinds);
        self.fields.extend(other.fields);
        self.create |= other.create;
    }
}

/// Whether Talon goes on to the rule's next action.
pub(super) fn goes_on(action: &Action) -> bool {
    const ENDS: [&str; 4] =
        ["kubernetes:terminate", "kubernetes:delete", "kubernetes:sysdig", "kubernetes:tcpdump"];
    action.go_on.unwrap_or(!ENDS.contains(&action.actionner.as_str()))
}

/// Takes an action over, or says why not.
pub(super) fn translate(action: &Action, terminate_as: TerminateAs) -> Result<Taken, String> {
    let parameters = Parameters(&action.parameters);
    match action.actionner.as_str() {
        "kubernetes:terminate" => terminate(&parameters, terminate_as),
        "kubernetes:label" => label(&parameters),
        "kubernetes:networkpolicy" => network_policy(&parameters),
        other => Err(instead_of(other).to_owned()),
    }
}

/// What to use where nothing here has the same meaning.
fn instead_of(actionner: &str) -> &'static str {
    match actionner {
        "kubernetes:annotation" => {
            "annotations alone are no response here; `quarantine` sets them beside a label"
        }
        "calico:networkpolicy" | "cilium:networkpolicy" => {
            "it closes the way to the alert's address only, in a custom resource; \
             `isolate` closes all ways but those it is told"
        }
        "kubernetes:delete" => {
            "deleting an object of the repository is a person's commit, or a plugin of your own"
        }
        "kubernetes:cordon" | "kubernetes:drain" => {
            "a node is no object of the desired state; keep Talon for it"
        }
        "kubernetes:exec"
        | "kubernetes:script"
        | "kubernetes:log"
        | "kubernetes:download"
        | "kubernetes:tcpdump"
        | "kubernetes:sysdig" => {
            "it looks into a running pod, which Riposte never reaches; keep Talon for it"
        }
        "aws:lambda" | "gcp:function" => {
            "Riposte calls nothing but Git and Flux; Falcosidekick can call functions itself"
        }
        _ => "this actionner is not known here",
    }
}

fn terminate(parameters: &Parameters<'_>, terminate_as: TerminateAs) -> Result<Taken, String> {
    parameters.know(&[
        "grace_period_seconds",
        "ignore_daemonsets",
        "ignore_statefulsets",
        "ignore_standalone_pods",
        "min_healthy_replicas",
    ])?;
    if terminate_as == TerminateAs::LeaveOut {
        return Err("the desired state has no pod to end, its workload would make a new one; \
                    --terminate-as scale-to-zero ends all of the workload's pods instead"
            .to_owned());
    }
    if parameters.0.contains_key("min_healthy_replicas") {
        return Err(
            "min_healthy_replicas asks for the state of the cluster, which Riposte does not see".to_owned()
        );
    }
    let spares_stateful_sets = parameters.flag("ignore_statefulsets")?;
    let mut kinds = Needed::new(["apps/v1/Deployment"], ["/spec/replicas".to_owned()]);
    if !spares_stateful_sets {
        kinds.add(Needed::new(["apps/v1/StatefulSet"], []));
    }
    Ok(Taken {
        action: json!("scale-to-zero"),
        only: spares_stateful_sets.then(|| json!({ "not": { "ownerKind": "StatefulSet" } })),
        grants: kinds,
        differs: "all pods of the workload end, not this one, until the commit is reverted; what has no \
                  replicas (a DaemonSet, a Job, a pod of its own) is left alone"
            .to_owned(),
    })
}

fn label(parameters: &Parameters<'_>) -> Result<Taken, String> {
    parameters.know(&["labels", "level"])?;
    match parameters.text("level")? {
        None | Some("" | "pod") => {}
        Some("node") => return Err("a node is no object of the desired state; keep Talon for it".to_owned()),
        Some(other) => return Err(format!("its level {other:?} is not known here")),
    }
    let labels = parameters.texts_by_name("labels")?;
    if let Some((key, _)) = labels.iter().find(|(_, value)| *value == "") {
        return Err(format!("it takes the label {key:?} away, and `quarantine` only sets labels"));
    }
    if labels.is_empty() {
        return Err("it has no label".to_owned());
    }
    let escaped = |key: &String| key.replace('~', "~0").replace('/', "~1");
    let fields = labels.keys().map(|key| format!("/spec/template/metadata/labels/{}", escaped(key)));
    let kinds = ["apps/v1/Deployment", "apps/v1/StatefulSet", "apps/v1/DaemonSet"];
    Ok(Taken {
        grants: Needed::new(kinds, fields),
        action: json!({ "quarantine": { "labels": labels, "annotations": {} } }),
        only: None,
        differs:
            "the label is set in the pod template, so that the workload makes its pods anew: the pod of \
                  the alert ends"
                .to_owned(),
    })
}

fn network_policy(parameters: &Parameters<'_>) -> Result<Taken, String> {
    parameters.know(&["allow_cidr", "allow_namespaces"])?;
    let mut isolate = Map::new();
    isolate.insert("allowIngress".to_owned(), true.into());
    for (talon, own) in [("allow_cidr", "allowCidrs"), ("allow_namespaces", "allowNamespaces")] {
        let texts = parameters.texts(talon)?;
        if !texts.is_empty() {
            isolate.insert(own.to_owned(), texts.into());
        }
    }
    let grants = Needed { create: true, ..Needed::new(["networking.k8s.io/v1/NetworkPolicy"], []) };
    Ok(Taken {
        action: json!({ "isolate": isolate }),
        only: None,
        grants,
        differs: "a policy `isolate-<workload>` in the repository; one that is there with other content is not changed"
            .to_owned(),
    })
}

/// An action's parameters, which Talon reads by their types.
struct Parameters<'a>(&'a Map<String, Value>);

impl Parameters<'_> {
    /// Talon passes over a parameter that it does not know; here it could mean something.
    fn know(&self, known: &[&str]) -> Result<(), String> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => {
                Err(format!("its parameter {key:?} is not known here; there are {}", known.join(", ")))
            }
            None => Ok(()),
        }
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(format!("its parameter {name} is {other}, neither true nor false")),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("its parameter {name} is {other}, which is no text")),
        }
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let list = match self.0.get(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
            Some(_) => None,
        };
        list.ok_or_else(|| format!("its parameter {name} is no list of texts"))
    }

    fn texts_by_name(&self, name: &str) -> Result<Map<String, Value>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(map)) if map.values().all(Value::is_string) => Ok(map.clone()),
            Some(_) => {
                Err(format!("its parameter {name} has to be texts by their names; write \"true\" in quotes"))
            }
        }
    }
}
