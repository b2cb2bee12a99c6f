//! From an alert to a proposal: who owns the pod, what is done to it, and why.

use riposte_sdk::Proposal;
use riposte_sdk::prelude::*;

/// What is done to an owner: a title without the cause, and the patches.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Response {
    owner: ObjectRef,
    titles: Vec<String>,
    first: Patch,
    more: Vec<Patch>,
}

impl Response {
    /// A response by its title, one line that says what changes.
    pub fn new(owner: &ObjectRef, title: String, patch: Patch) -> Self {
        Self { owner: owner.clone(), titles: vec![title], first: patch, more: Vec::new() }
    }

    /// Does this and then the other one. What both do is done once.
    pub fn and(mut self, other: Self) -> Self {
        for title in other.titles {
            if !self.titles.contains(&title) {
                self.titles.push(title);
            }
        }
        for patch in [other.first].into_iter().chain(other.more) {
            if self.first != patch && !self.more.contains(&patch) {
                self.more.push(patch);
            }
        }
        self
    }

    /// Why it is proposed: which rule fired, in which pod.
    ///
    /// # Errors
    /// An ignore, when the alert has no rule or names no namespace.
    pub fn cause(&self, alert: &Falco) -> Result<String, Stop> {
        let (rule, namespace) = (alert.rule()?, alert.namespace()?);
        Ok(format!("{rule:?} in {namespace}/{}", alert.pod().unwrap_or(&self.owner.name)))
    }

    /// Proposes it.
    pub fn because(self, cause: String) -> Proposal {
        let first = propose(self.titles.join("; ")).because(cause).with(self.first);
        self.more.into_iter().fold(first, Proposal::with)
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
    let response = response(&context.owner(alert)?)?;
    let cause = response.cause(alert)?;
    response.because(cause).into()
}
