//! What a rule can ask about an alert.

use std::cell::OnceCell;

use riposte_sdk::prelude::*;

/// An alert, and the owner of its pod once a rule has asked for it.
pub(crate) struct Facts<'a> {
    pub(crate) alert: &'a Falco,
    context: &'a Context,
    owner_kind: OnceCell<Option<String>>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(alert: &'a Falco, context: &'a Context) -> Self {
        Self { alert, context, owner_kind: OnceCell::new() }
    }

    /// The kind of the owner, if that is certain. A look-up counts, so it is made once.
    pub(crate) fn owner_kind(&self) -> Option<&str> {
        let look_up = || self.context.owner(self.alert).ok().map(|owner| owner.kind);
        self.owner_kind.get_or_init(look_up).as_deref()
    }
}
