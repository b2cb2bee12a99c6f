//! A desired state that holds what a test puts in.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{At, Missing, ObjectRef};

/// Objects by their names, and who owns which pod.
#[derive(Debug, Clone, Default)]
pub(crate) struct DesiredState {
    objects: BTreeMap<ObjectRef, Value>,
    owners: BTreeMap<(String, String), Vec<ObjectRef>>,
}

impl DesiredState {
    #[track_caller]
    pub(crate) fn add(&mut self, yaml: &str) {
        for document in serde_yaml::Deserializer::from_str(yaml) {
            let manifest = Value::deserialize(document).expect("the desired state is YAML");
            if manifest.is_null() {
                continue;
            }
            let target = name(&manifest).expect("each document is a manifest");
            let before = self.objects.insert(target.clone(), manifest);
            assert!(before.is_none(), "the desired state has {target} twice");
        }
    }

    pub(crate) fn add_owner(&mut self, namespace: &str, pod: &str, owner: &ObjectRef) {
        let owners = self.owners.entry((namespace.to_owned(), pod.to_owned())).or_default();
        owners.push(owner.clone());
    }

    pub(crate) fn get(&self, target: &ObjectRef) -> Option<Value> {
        self.objects.get(target).cloned()
    }

    pub(crate) fn find(&self, kind: &str, namespace: Option<&str>) -> Vec<ObjectRef> {
        let fits = |target: &&ObjectRef| {
            target.kind == kind
                && namespace.is_none_or(|namespace| target.namespace.as_deref() == Some(namespace))
        };
        self.objects.keys().filter(fits).cloned().collect()
    }

    /// The owner, or the candidates.
    pub(crate) fn owner(&self, namespace: &str, pod: &str) -> Result<ObjectRef, Vec<ObjectRef>> {
        match self.owners.get(&(namespace.to_owned(), pod.to_owned())).map(Vec::as_slice) {
            Some([owner]) => Ok(owner.clone()),
            several => Err(several.unwrap_or_default().to_vec()),
        }
    }
}

fn name(manifest: &Value) -> Result<ObjectRef, Missing> {
    Ok(ObjectRef {
        api_version: manifest.text_at("/apiVersion")?.to_owned(),
        kind: manifest.text_at("/kind")?.to_owned(),
        namespace: manifest.text_at("/metadata/namespace").ok().map(str::to_owned),
        name: manifest.text_at("/metadata/name")?.to_owned(),
    })
}
