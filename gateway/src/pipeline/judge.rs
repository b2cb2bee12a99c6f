//! What each proposal of a burst comes to at the head: in their order, each on top of those before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::block_in_place;

use super::commit::AttemptError;
use super::decide::ended;
use super::{Pipeline, burst::Entry};
use crate::clock;
use crate::dispatch::{Catalog, Plugin};
use crate::model::outcome::OutcomeKind;
use crate::model::plugin::Mode;
use crate::record::{DueReaction, Settlement};
use crate::repository::Snapshot;
use crate::validate::{self, Claims, Draft, Piece, Refusals, Validated, ValidatedChange};

/// What a proposal comes to.
pub(super) enum Verdict {
    /// It is part of the commit.
    Changes(Piece),
    /// It ends so once the commit is made: by what an earlier proposal does.
    Depends(OutcomeKind, String),
    /// It ends so, whatever becomes of the commit.
    Ends(Settlement),
    /// The desired state is as proposed without the commit.
    Unchanged,
    /// It was switched to a mode in which it makes no commit of the branch.
    Aside,
}

/// What a whole burst comes to.
pub(super) struct Judged {
    /// One for each proposal.
    pub(super) verdicts: Vec<Verdict>,
    /// What is to be committed, if anything is.
    pub(super) change: Option<ValidatedChange>,
}

/// What proposals are held against, as of one moment.
pub(super) struct Ground {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) catalog: Arc<Catalog>,
    /// The plugins that have made all the commits that they may, with the words for it.
    spent: BTreeMap<String, Refusals>,
}

impl Pipeline {
    /// The desired state at the head, unless its branch pauses us.
    pub(super) async fn snapshot_to_change(&self) -> Result<Arc<Snapshot>, AttemptError> {
        let snapshot = self.reached(self.repository.snapshot_at_head().await)?;
        // Compare and swap on this head: a file that comes later is in the next one.
        if snapshot.pause().is_some() {
            self.take_up_file().await?;
            return Err(AttemptError::Paused);
        }
        Ok(snapshot)
    }

    /// Whether a plugin may make another commit within the window.
    pub(super) async fn check_window(&self, plugin: &str) -> Result<Result<(), Refusals>, AttemptError> {
        let since_us = clock::now_us() - i64::from(self.guardrails.window_s) * 1_000_000;
        let commits = self.journal.commits_since(plugin, since_us).await?;
        Ok(self.guardrails.check_window(plugin, commits))
    }

    /// The plugin whose grants count, and the mode: what it was when the event was routed, or what it
    /// was switched to, the more careful one. `Err` is why the reaction fails without the plugin.
    pub(super) fn plugin_and_mode<'c>(
        &self,
        catalog: &'c Catalog,
        reaction: &DueReaction,
    ) -> Result<(&'c Plugin, Mode), String> {
        let Some(plugin) = catalog.get(&reaction.plugin) else {
            return Err(format!("plugin {} is no longer configured", reaction.plugin));
        };
        Ok((plugin, reaction.mode.min(self.modes.of(plugin))))
    }

    /// What the proposals are held against by now.
    pub(super) async fn ground(&self, entries: &[Entry]) -> Result<Ground, AttemptError> {
        let (snapshot, catalog) = (self.snapshot_to_change().await?, self.catalog());
        let mut spent = BTreeMap::new();
        for name in entries.iter().map(|entry| &entry.proposal.reaction().plugin) {
            if !spent.contains_key(name) {
                spent.insert(name.clone(), self.check_window(name).await?.err());
            }
        }
        let spent = spent.into_iter().filter_map(|(name, refusals)| Some((name, refusals?))).collect();
        Ok(Ground { snapshot, catalog, spent })
    }

    /// Holds each proposal against what those before it come to. `claims` is what proposals of the same
    /// burst have done that are in the head already.
    pub(super) fn judge(&self, entries: &[Entry], ground: &Ground, claims: &Claims) -> Judged {
        block_in_place(|| {
            let mut draft = Draft::after(&ground.snapshot, claims.clone());
            let verdicts = entries.iter().map(|entry| self.verdict(entry, ground, &mut draft)).collect();
            let change = match draft.finish() {
                Validated::Change(change) => Some(change),
                Validated::Unchanged => None,
            };
            Judged { verdicts, change }
        })
    }

    fn verdict(&self, entry: &Entry, ground: &Ground, draft: &mut Draft<'_>) -> Verdict {
        let reaction = entry.proposal.reaction();
        let plugin = match self.plugin_and_mode(&ground.catalog, reaction) {
            Ok((plugin, Mode::Enforce)) => plugin,
            Ok(_) => return Verdict::Aside,
            Err(reason) => return Verdict::Ends(ended(OutcomeKind::Failed, reason)),
        };
        let joined = self.add(draft, entry, plugin);
        if let Ok(Some(piece)) = joined {
            if let Some(refusals) = ground.spent.get(&reaction.plugin) {
                return Verdict::Ends(ended(OutcomeKind::Refused, refusals.to_string()));
            }
            draft.accept(&entry.name());
            return Verdict::Changes(piece);
        }
        // Is it so without the proposals before it?
        match self.add(&mut Draft::new(&ground.snapshot), entry, plugin) {
            Ok(None) if joined.is_ok() => Verdict::Unchanged,
            Err(refusals) if joined.is_err() => {
                Verdict::Ends(ended(OutcomeKind::Refused, refusals.to_string()))
            }
            _ => match joined {
                Err(refusals) => Verdict::Depends(OutcomeKind::Refused, refusals.to_string()),
                Ok(_) => Verdict::Depends(OutcomeKind::Unchanged, super::UNCHANGED.to_owned()),
            },
        }
    }

    /// What the proposal changes on top of the draft.
    pub(super) fn add(
        &self,
        draft: &mut Draft<'_>,
        entry: &Entry,
        plugin: &Plugin,
    ) -> Result<Option<Piece>, Refusals> {
        let changes = entry.proposal.changes();
        validate::add(draft, changes, plugin.grants(), &self.guardrails, &self.schemas)
    }
}
