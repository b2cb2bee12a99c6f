//! The responses that the bundled plugins share: from the owner of a pod to a title and patches.
//!
//! Each is one function, so that a plugin of its own and the `rules` plugin cannot differ. A response
//! refuses a kind that Kubernetes would not let change so: one such commit stops everything that is
//! applied with it. None decides whether to respond; the plugins do.

mod config;
mod flux;
mod isolate;
mod marks;
mod respond;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

use riposte_sdk::prelude::*;

pub use config::{Config, FalcoRules};
pub use flux::{FluxKind, FluxObject, suspend_any};
pub use isolate::{Open, isolate};
pub use marks::{Annotations, Labels, Marks};
pub use respond::{Response, respond};

/// Kinds that have `spec.replicas`.
const SCALABLE: [&str; 3] = ["Deployment", "StatefulSet", "ReplicaSet"];

/// Kinds that have `spec.suspend`.
const SUSPENDABLE: [&str; 2] = ["CronJob", "Job"];

/// Kinds that have a pod template which may change. A Job's may not.
const TEMPLATED: [&str; 5] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "CronJob"];

/// The owner goes to no replicas; of a HelmRelease, its `replicaCount` does.
///
/// # Errors
/// An ignore, when it has no replicas.
pub fn scale_to_zero(owner: &ObjectRef, context: &Context) -> Result<Response, Stop> {
    if flux::is_release(owner) {
        return flux::scale_to_zero(owner, context);
    }
    if !owner.is_any_of(&SCALABLE) {
        return ignore!("{owner} has no replicas to scale");
    }
    Ok(Response::new(owner, format!("Scale {} to 0", name(owner)), Patch::scale(owner, 0)))
}

/// The owner starts no more pods. A Job's running ones end; those of a CronJob run to their end. What
/// Flux applies by a HelmRelease or Kustomization stays as it is.
///
/// # Errors
/// An ignore, when it cannot be suspended.
pub fn suspend(owner: &ObjectRef) -> Result<Response, Stop> {
    let title = if flux::is_flux(owner) {
        format!("Suspend {owner}")
    } else if owner.is_any_of(&SUSPENDABLE) {
        format!("Suspend {}", name(owner))
    } else {
        return ignore!("{owner} is no CronJob or Job, which alone can be suspended");
    };
    Ok(Response::new(owner, title, Patch::set(owner, "/spec/suspend", true)))
}

/// The owner's pods get no service account token, whatever the service account says.
///
/// # Errors
/// An ignore, when it has no pod template that may change.
pub fn drop_token(owner: &ObjectRef) -> Result<Response, Stop> {
    let path = format!("{}/spec/automountServiceAccountToken", template(owner)?);
    Ok(Response::new(owner, format!("Drop the token of {}", name(owner)), Patch::set(owner, &path, false)))
}

/// The owner's pods get labels and annotations, for a network policy, say, that selects them.
///
/// Labels that are there already are the end: each other rule would write its own name into an
/// annotation, and so make all pods anew.
///
/// # Errors
/// An ignore, when the owner has them already, or has no pod template that may change.
pub fn quarantine(owner: &ObjectRef, marks: &Marks<'_>, context: &Context) -> Result<Response, Stop> {
    // A pod has no template, and its own labels may change.
    let metadata = match owner.kind.as_str() {
        "Pod" => "/metadata".to_owned(),
        _ => format!("{}/metadata", template(owner)?),
    };
    let manifest = context.get(owner)?;
    if marks.labels.are_in(manifest.pointer(&format!("{metadata}/labels"))) {
        return ignore!("{owner} is quarantined already");
    }
    let patch = Patch::set(owner, &metadata, marks.to_metadata());
    Ok(Response::new(owner, format!("Quarantine {}", name(owner)), patch))
}

/// Where the owner describes its pods.
fn template(owner: &ObjectRef) -> Result<&'static str, Stop> {
    if !owner.is_any_of(&TEMPLATED) {
        return ignore!("{owner} has no pod template that may change");
    }
    Ok(if owner.kind == "CronJob" { "/spec/jobTemplate/spec/template" } else { "/spec/template" })
}

/// `namespace/name`, for titles.
fn name(owner: &ObjectRef) -> String {
    let namespace = owner.namespace.as_deref().unwrap_or_default();
    format!("{namespace}/{}", owner.name)
}
