//! HelmReleases and Kustomizations of Flux: which one a pod comes from, as far as that can be told.
//!
//! A chart's or a kustomization's objects are often not in the repository, so no pod's name tells. An
//! operator can name the object, or Falco can: Flux labels what it applies.

use riposte_sdk::prelude::*;
use serde::Deserialize;

use crate::{Response, suspend};

/// Where an alert has the labels of what a pod comes from, the surest first. Flux labels the objects
/// that it applies, not the pods that these make.
const LABELS: [&str; 3] = ["k8smeta.deployment.label", "k8smeta.pod.label", "k8s.pod.label"];

/// A kind of Flux that can be suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum FluxKind {
    /// What helm-controller installs.
    HelmRelease,
    /// What kustomize-controller applies.
    Kustomization,
}

/// An object of Flux, in whatever version the desired state has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FluxObject {
    /// Its kind.
    pub kind: FluxKind,
    /// Its own namespace, which need not be that of its pods.
    #[schemars(length(min = 1))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
}

impl FluxKind {
    const ALL: [Self; 2] = [Self::HelmRelease, Self::Kustomization];

    fn name(self) -> &'static str {
        match self {
            Self::HelmRelease => "HelmRelease",
            Self::Kustomization => "Kustomization",
        }
    }

    fn group(self) -> &'static str {
        match self {
            Self::HelmRelease => "helm.toolkit.fluxcd.io",
            Self::Kustomization => "kustomize.toolkit.fluxcd.io",
        }
    }

    /// Whether an object is of this kind. Kustomize's own files are of a `Kustomization` too.
    fn has(self, object: &ObjectRef) -> bool {
        let group = object.api_version.split('/').next();
        object.kind == self.name() && group == Some(self.group())
    }
}

/// Whether an object is a HelmRelease.
pub(crate) fn is_release(object: &ObjectRef) -> bool {
    FluxKind::HelmRelease.has(object)
}

/// A HelmRelease's `replicaCount` goes to 0, where its values have one: most charts read it so.
pub(crate) fn scale_to_zero(release: &ObjectRef, context: &Context) -> Result<Response, Stop> {
    const COUNT: &str = "/spec/values/replicaCount";
    let manifest = context.get(release)?;
    if manifest.pointer("/spec/values/autoscaling/enabled").is_some_and(|enabled| enabled == true) {
        return ignore!("the pod comes from {release}, whose values leave its replicas to an autoscaler");
    }
    if manifest.pointer(COUNT).is_none_or(|count| !count.is_u64()) {
        let values = manifest.pointer("/spec/values").and_then(|values| values.as_object());
        let names: Vec<&str> =
            values.into_iter().flat_map(|values| values.keys()).map(String::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return ignore!(
            "the pod comes from {release}, which has no replicaCount in its values; it has: {names}"
        );
    }
    Ok(Response::new(release, format!("Scale {release} to 0"), Patch::set(release, COUNT, 0)))
}

/// Whether an object is one of Flux that can be suspended.
pub(crate) fn is_flux(object: &ObjectRef) -> bool {
    FluxKind::ALL.iter().any(|kind| kind.has(object))
}

impl FluxObject {
    /// The object in the desired state.
    fn find(&self, context: &Context) -> Result<ObjectRef, Stop> {
        let Self { kind, namespace, name } = self;
        let mut found = context.find(kind.name(), namespace.as_str());
        found.retain(|object| object.name == *name && kind.has(object));
        match found.len() {
            0 => ignore!("the desired state has no {} {namespace}/{name}", kind.name()),
            1 => Ok(found.remove(0)),
            _ => ignore!("the desired state has several versions of {} {namespace}/{name}", kind.name()),
        }
    }

    /// The object that Flux's labels in an alert name.
    fn labelled(alert: &Falco) -> Result<Self, Stop> {
        for kind in FluxKind::ALL {
            for labels in LABELS {
                let label = |key: &str| alert.text(&format!("{labels}[{}/{key}]", kind.group()));
                if let (Ok(name), Ok(namespace)) = (label("name"), label("namespace")) {
                    return Ok(Self { kind, namespace: namespace.to_owned(), name: name.to_owned() });
                }
            }
        }
        ignore!(
            "the alert has no label of Flux: output fields {0}[{1}/name] and …/namespace are missing or <NA>",
            LABELS[0],
            FluxKind::HelmRelease.group()
        )
    }
}

/// Suspends `object` if there is one, else the CronJob or Job that owns the pod, else, `by_labels`, what
/// Flux's labels in the alert name.
///
/// # Errors
/// An ignore, when none of these is certain.
pub fn suspend_any(
    object: Option<&FluxObject>,
    owner: impl FnOnce() -> Result<ObjectRef, Stop>,
    by_labels: bool,
    alert: &Falco,
    context: &Context,
) -> Result<Response, Stop> {
    if let Some(object) = object {
        return suspend(&object.find(context)?);
    }
    let owner = owner().and_then(|owner| match is_release(&owner) {
        // Its name alone is no reason to keep it from all upgrades.
        true => ignore!("the pod comes from {owner}, and nothing says that it shall be suspended"),
        false => suspend(&owner),
    });
    match owner {
        Err(Stop::Ignore(reason)) if by_labels => match FluxObject::labelled(alert) {
            Err(Stop::Ignore(unlabelled)) => ignore!("{reason}; {unlabelled}"),
            labelled => suspend(&labelled?.find(context)?),
        },
        decided => decided,
    }
}
