//! HelmReleases of Flux: which one a pod may come from, where no manifest makes it.
//!
//! Charts are not rendered. What they make begins with the release's name, or with the name that the
//! values give to everything; no more is known here.

use serde_json::Value;

use crate::model::manifest::ObjectRef;

const GROUP: &str = "helm.toolkit.fluxcd.io/";

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) target: ObjectRef,
    /// Where its objects are.
    namespace: String,
    /// How their names begin.
    prefix: String,
}

impl Release {
    /// Whether an object is a HelmRelease.
    pub(super) fn is_one(target: &ObjectRef) -> bool {
        target.kind == "HelmRelease" && target.api_version.starts_with(GROUP)
    }

    /// What its manifest says; of one that is not certain, what it is called.
    pub(super) fn read(target: &ObjectRef, manifest: Option<&Value>) -> Self {
        let text = |pointer: &str| {
            manifest.and_then(|manifest| manifest.pointer(pointer)?.as_str()).filter(|text| !text.is_empty())
        };
        let own = target.namespace.as_deref().unwrap_or("default");
        let elsewhere = text("/spec/targetNamespace");
        let by_default = match elsewhere {
            Some(namespace) => format!("{namespace}-{}", target.name),
            None => target.name.clone(),
        };
        let prefix = text("/spec/values/fullnameOverride").or(text("/spec/releaseName"));
        Self {
            target: target.clone(),
            namespace: elsewhere.unwrap_or(own).to_owned(),
            prefix: prefix.map_or(by_default, str::to_owned),
        }
    }

    /// Whether it could have made a pod.
    pub(super) fn makes(&self, namespace: &str, pod: &str) -> bool {
        self.namespace == namespace
            && pod.strip_prefix(&self.prefix).is_some_and(|rest| rest.len() > 1 && rest.starts_with('-'))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_begin_with_the_name_of_their_release() {
        let target = ObjectRef {
            api_version: "helm.toolkit.fluxcd.io/v2".to_owned(),
            kind: "HelmRelease".to_owned(),
            namespace: Some("apps".to_owned()),
            name: "web".to_owned(),
        };
        let pod = "-77789455d6-m7flp";
        let table = [
            (json!({}), "apps", "web", true),
            (json!({}), "apps", "web-api", true),
            (json!({}), "apps", "website", false),
            (json!({}), "shop", "web", false),
            (json!({ "targetNamespace": "shop" }), "shop", "shop-web", true),
            (json!({ "targetNamespace": "shop" }), "shop", "web", false),
            (json!({ "targetNamespace": "shop", "releaseName": "front" }), "shop", "front-web", true),
            (json!({ "releaseName": "front", "values": { "fullnameOverride": "x" } }), "apps", "x", true),
            (
                json!({ "releaseName": "front", "values": { "fullnameOverride": "x" } }),
                "apps",
                "front",
                false,
            ),
        ];
        for (spec, namespace, name, expected) in table {
            let release = Release::read(&target, Some(&json!({ "spec": spec })));
            assert_eq!(
                release.makes(namespace, &format!("{name}{pod}")),
                expected,
                "{spec} {namespace}/{name}"
            );
        }
        assert!(!Release::read(&target, None).makes("apps", "web-"));
        assert!(Release::read(&target, None).makes("apps", "web-0"));
    }
}
