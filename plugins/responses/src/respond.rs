//! From an alert to a proposal: who owns the pod, what is done to it, and why.

use riposte_sdk::prelude::*;

/// What changes: a title without the cause, and the patch.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Response {
    title: String,
    patch: Patch,
}

impl Response {
    /// A response by its title, one line that says what changes.
    pub fn new(title: String, patch: Patch) -> Self {
        Self { title, patch }
    }
}

/// Proposes a response to the owner of the alert's pod.
///
/// # Errors
/// An ignore, when the owner is not certain or the response is none for it.
pub fn respond(
    alert: &Falco,
    context: &Context,
    response: impl FnOnce(&ObjectRef) -> Result<Response, Stop>,
) -> Answer {
    let (rule, namespace, owner) = (alert.rule()?, alert.namespace()?, context.owner(alert)?);
    let Response { title, patch } = response(&owner)?;
    propose(title)
        .because(format!("{rule:?} in {namespace}/{}", alert.pod().unwrap_or(&owner.name)))
        .with(patch)
        .into()
}
