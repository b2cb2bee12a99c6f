//! What every bundled plugin is held to: its `plugin.yaml` is an entry of the configuration that loads
//! and grants what the plugin proposes, and an owner that is not certain is left alone.
//!
//! The functions panic on what is wrong; they are for tests.

use riposte_sdk::testing::{self, Decided, Setup};
use riposte_sdk::{Change, Event, ObjectRef, Plugin};
use serde::Deserialize;
use serde_json::{Value, json};

/// The pod of [`alert`], in the namespace `default`.
pub const POD: &str = "web-77789455d6-m7flp";

/// An alert of the rule `Shell` on [`POD`].
#[must_use]
pub fn alert() -> Event {
    alert_with(&format!(r#"{{"k8s.ns.name":"default","k8s.pod.name":"{POD}"}}"#))
}

/// An alert of the rule `Shell` with these output fields, written as JSON.
#[must_use]
pub fn alert_with(fields: &str) -> Event {
    testing::falco(&format!(r#"{{"rule":"Shell","priority":"Warning","output_fields":{fields}}}"#))
}

/// An object `default/web`, of a kind like `apps/v1/Deployment`.
///
/// # Panics
/// On a kind without its API version.
#[must_use]
#[track_caller]
pub fn web(kind: &str) -> ObjectRef {
    let (api_version, kind) = kind.rsplit_once('/').expect("apiVersion/Kind");
    ObjectRef::namespaced(api_version, kind, "default", "web")
}

/// The whole text of what is decided on [`alert`] when an object of that kind owns the pod.
#[track_caller]
pub fn decide<P: Plugin>(setup: Setup<P>, kind: &str) -> String {
    let web = web(kind);
    let manifest = format!(
        "{{apiVersion: {}, kind: {}, metadata: {{name: web, namespace: default}}}}",
        web.api_version, web.kind
    );
    setup.desired_state(&manifest).owner("default", POD, &web).handle(alert()).to_string()
}

/// Holds a plugin that acts on the rule `Shell` to leave alone what it cannot be certain of.
///
/// # Panics
/// When it proposes something, or its reason does not say why not.
#[track_caller]
pub fn assert_careful<P: Plugin>(setup: impl Fn() -> Setup<P>) {
    let two = || ["apps/v1/Deployment", "batch/v1/CronJob"].map(web);
    let ambiguous = || two().iter().fold(setup(), |setup, owner| setup.owner("default", POD, owner));
    let of_pod = format!(r#"{{"k8s.ns.name":"default","k8s.pod.name":"{POD}"}}"#);
    let table = [
        (alert_with("{}"), setup(), "names no namespace"),
        (alert_with("null"), setup(), "names no namespace"),
        (alert_with(r#"{"k8s.ns.name":null,"k8s.pod.name":null}"#), setup(), "names no namespace"),
        (alert_with(r#"{"k8s.ns.name":"<NA>","k8s.pod.name":"<NA>"}"#), setup(), "names no namespace"),
        (alert_with(r#"{"k8s.ns.name":["default"],"k8s.pod.name":7}"#), setup(), "names no namespace"),
        (alert_with(r#"{"k8s.ns.name":"default","k8s.pod.name":"<NA>"}"#), setup(), "names no pod"),
        (alert_with(r#"{"k8s.ns.name":"default","k8s.pod.name":"../web"}"#), setup(), "no object that makes"),
        (alert_with(&of_pod), setup(), "no object that makes such a pod"),
        (alert_with(&of_pod), ambiguous(), "several objects could have made the pod"),
        (testing::falco("{}"), setup(), "the alert "),
        (testing::falco(r#"{"rule":"<NA>"}"#), setup(), "the alert "),
    ];
    for (event, setup, expected) in table {
        let (decided, data) = (setup.handle(event.clone()).to_string(), event.data);
        assert!(decided.starts_with("ignore: ") && decided.contains(expected), "{data:?}: {decided}");
    }
    for data in ["[]", "7", r#"{"rule":["Shell"]}"#, r#"{"rule":"Shell","output_fields":[]}"#, "{"] {
        let decided = setup().handle(testing::falco(data)).to_string();
        assert!(decided.starts_with("invalid event: "), "{data}: {decided}");
    }
}

/// One entry of the gateway's `plugins`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    name: String,
    source: String,
    mode: String,
    subscriptions: Vec<Value>,
    grants: Grants,
    config: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grants {
    kinds: Vec<String>,
    namespaces: Vec<String>,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    create: bool,
    #[serde(default)]
    delete: bool,
}

impl Entry {
    /// Reads an entry of a plugin and holds it to what can be known without a gateway.
    ///
    /// # Panics
    /// When it would not load, or would do more than observe.
    #[must_use]
    #[track_caller]
    pub fn read<P: Plugin>(yaml: &str) -> Self {
        let entry: Self = serde_yaml::from_str(yaml).expect("an entry of `plugins`");
        assert_eq!((entry.name.as_str(), entry.mode.as_str()), (P::NAME, "observe"));
        assert_eq!(entry.source, format!("bundled:{}", P::NAME));
        let subscribed = P::EVENT_TYPES.iter().map(|name| json!({ "exact": { "type": name } }));
        assert_eq!(entry.subscriptions, subscribed.collect::<Vec<_>>());
        assert!(!entry.grants.namespaces.is_empty(), "a namespace has to be granted");
        assert_eq!(entry.setup::<P>().validate(), Ok(()));
        entry
    }

    /// A test of the plugin with the entry's configuration.
    pub fn setup<P: Plugin>(&self) -> Setup<P> {
        testing::plugin::<P>().config(self.config.clone())
    }

    /// Holds each field that a proposal changes, and each object that comes or goes, against the grants.
    ///
    /// # Panics
    /// When nothing is proposed, or the grants do not cover it.
    #[track_caller]
    pub fn assert_grants(&self, decided: &Decided) {
        let proposal = decided.answer.as_ref().expect("a proposal");
        for patch in proposal.patches() {
            let kind = format!("{}/{}", patch.target.api_version, patch.target.kind);
            assert!(self.grants.kinds.contains(&kind), "{kind} is not granted");
            let mut fields = Vec::new();
            match &patch.change {
                Change::Merge(object) | Change::StrategicMerge(object) => leaves(object, "", &mut fields),
                Change::Create { .. } => assert!(self.grants.create, "new objects are not granted"),
                Change::Delete => assert!(self.grants.delete, "deleting is not granted"),
                Change::Json(operations) => {
                    let paths = operations.iter().map(|operation| json!(operation)["path"].take());
                    fields.extend(paths.filter_map(|path| path.as_str().map(str::to_owned)));
                }
            }
            for field in fields {
                assert!(self.grants.fields.contains(&field), "{field} is not granted");
            }
        }
    }
}

fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    let Some(object) = value.as_object() else { return found.push(path.to_owned()) };
    for (key, child) in object {
        leaves(child, &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), found);
    }
}
