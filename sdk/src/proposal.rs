//! A proposal: patches, what they change, and why.
//!
//! The steps are types, so a proposal without a reason or without a patch does not compile.

use std::fmt;
use std::time::Duration;

use crate::{Answer, Patch, Stop};

/// The longest that a change may hold, in seconds: 30 days.
const EXPIRES_AFTER_S_MAX: u64 = 2_592_000;

/// Begins a proposal with its title: one line that says what changes, without the cause. It becomes
/// the commit's subject, so control characters turn into spaces.
///
/// ```
/// use riposte_sdk::prelude::*;
///
/// let web = ObjectRef::namespaced("apps/v1", "Deployment", "default", "web");
/// let proposal = propose("Isolate default/web")
///     .because("a shell was opened in it")
///     .with(Patch::scale(&web, 1))
///     .with(Patch::label_pods(&web, "quarantine", "true"));
/// assert_eq!(proposal.patches().len(), 2);
/// ```
///
/// Each step has to be there:
///
/// ```compile_fail,E0599
/// # use riposte_sdk::prelude::*;
/// # let web = ObjectRef::namespaced("apps/v1", "Deployment", "default", "web");
/// propose("Scale default/web to 0").with(Patch::scale(&web, 0)); // and why?
/// ```
pub fn propose(title: impl Into<String>) -> WithoutReason {
    WithoutReason { title: title.into().replace(char::is_control, " ") }
}

/// A proposal that does not say why yet.
#[derive(Debug, Clone)]
#[must_use]
pub struct WithoutReason {
    title: String,
}

impl WithoutReason {
    /// Says why, in a sentence for people.
    pub fn because(self, reason: impl Into<String>) -> WithoutPatch {
        WithoutPatch { title: self.title, reason: reason.into() }
    }
}

/// A proposal that changes nothing yet.
#[derive(Debug, Clone)]
#[must_use]
pub struct WithoutPatch {
    title: String,
    reason: String,
}

impl WithoutPatch {
    /// Adds the first patch.
    pub fn with(self, patch: Patch) -> Proposal {
        Proposal { patches: vec![patch], title: self.title, reason: self.reason, expires_after_s: None }
    }

    /// Adds as many patches as there are.
    ///
    /// # Errors
    /// [`Stop::Ignore`] when there are none.
    ///
    /// ```
    /// use riposte_sdk::prelude::*;
    ///
    /// fn pause_all(context: &Context) -> Answer {
    ///     let paused = context.find("CronJob", "batch").into_iter();
    ///     propose("Suspend the jobs of batch")
    ///         .because("one of them was taken over")
    ///         .with_all(paused.map(|job| Patch::set(&job, "/spec/suspend", true)))
    /// }
    /// ```
    pub fn with_all(self, patches: impl IntoIterator<Item = Patch>) -> Answer {
        let patches: Vec<Patch> = patches.into_iter().collect();
        if patches.is_empty() {
            return Err(Stop::Ignore(format!("there is nothing to patch for {:?}", self.title)));
        }
        Ok(Proposal { patches, title: self.title, reason: self.reason, expires_after_s: None })
    }
}

/// Patches that are made all or none, what they change, and why. [`propose`] begins one.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Proposal {
    patches: Vec<Patch>,
    title: String,
    reason: String,
    expires_after_s: Option<u32>,
}

impl Proposal {
    /// Adds another patch; patches are made in their order.
    pub fn with(mut self, patch: Patch) -> Self {
        self.patches.push(patch);
        self
    }

    /// Lets the gateway take the change back by itself after a time: whole seconds, from one to 30 days;
    /// what is shorter or longer becomes that. A field that somebody has changed meanwhile is left alone.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use riposte_sdk::prelude::*;
    ///
    /// let web = ObjectRef::namespaced("apps/v1", "Deployment", "default", "web");
    /// let proposal = propose("Scale default/web to 0")
    ///     .because("a shell was opened in it")
    ///     .with(Patch::scale(&web, 0))
    ///     .expires_after(Duration::from_secs(900));
    /// assert_eq!(proposal.expires_after_s(), Some(900));
    /// ```
    pub fn expires_after(mut self, time: Duration) -> Self {
        let seconds = time.as_secs().clamp(1, EXPIRES_AFTER_S_MAX);
        self.expires_after_s = u32::try_from(seconds).ok();
        self
    }

    /// After how many seconds it is taken back, if it says so.
    #[must_use]
    pub fn expires_after_s(&self) -> Option<u32> {
        self.expires_after_s
    }

    /// The patches; at least one.
    pub fn patches(&self) -> &[Patch] {
        &self.patches
    }

    /// What changes, on one line.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Patches, title, reason, when it is taken back.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn into_parts(self) -> (Vec<Patch>, String, String, Option<u32>) {
        (self.patches, self.title, self.reason, self.expires_after_s)
    }
}

/// An answer that proposes: `propose("…").because("…").with(patch).into()`.
impl From<Proposal> for Answer {
    fn from(proposal: Proposal) -> Self {
        Ok(proposal)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "propose: {}\nbecause: {}", self.title, self.reason)?;
        if let Some(seconds) = self.expires_after_s {
            write!(f, "\nexpires: after {seconds} s")?;
        }
        self.patches.iter().try_for_each(|patch| write!(f, "\n- {patch}"))
    }
}
