//! What a rule can ask about an alert.

use std::cell::OnceCell;

use riposte_sdk::prelude::*;

/// An alert, and the owner of its pod once a rule has asked for it.
pub(crate) struct Facts<'a> {
    pub(crate) alert: &'a Falco,
    pub(crate) context: &'a Context,
    owner: OnceCell<Result<ObjectRef, Stop>>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(alert: &'a Falco, context: &'a Context) -> Self {
        Self { alert, context, owner: OnceCell::new() }
    }

    /// The owner of the pod, or why there is none. A look-up counts, so it is made once.
    pub(crate) fn owner(&self) -> Result<ObjectRef, Stop> {
        self.owner.get_or_init(|| self.context.owner(self.alert).map_err(Stop::from)).clone()
    }

    /// The kind of the owner, if that is certain.
    pub(crate) fn owner_kind(&self) -> Option<String> {
        self.owner().ok().map(|owner| owner.kind)
    }
}
