//! What each proposal of a burst comes to at the head: in their order, each on top of those before it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::block_in_place;

use super::clusters::Views;
use super::commit::AttemptError;
use super::decide::ended;
use super::{Pipeline, burst::Entry};
use crate::clock;
use crate::dispatch::{Catalog, Plugin};
use crate::model::outcome::OutcomeKind;
use crate::model::plugin::{Grants, Mode};
use crate::record::{DueReaction, RecordError, Settlement};
use crate::snapshot::Snapshot;
use crate::validate::{self, Claims, Draft, Piece, Refusals, Validated, ValidatedChange, Window};

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

/// What plugins have done within the guardrails' window, each in each cluster.
type Windows = BTreeMap<(String, Option<String>), Window>;

/// What a whole burst comes to.
pub(super) struct Judged {
    /// One for each proposal.
    pub(super) verdicts: Vec<Verdict>,
    /// What is to be committed, if anything is.
    pub(super) change: Option<ValidatedChange>,
}

/// What proposals are held against, as of one moment.
pub(super) struct Ground {
    pub(super) views: Views,
    pub(super) catalog: Arc<Catalog>,
    /// What the plugins have done within the guardrails' window.
    windows: Windows,
    /// Reactions that a person's word stands against, with it.
    respected: BTreeMap<i64, String>,
}

impl Pipeline {
    /// The desired state at the head, unless its branch pauses us.
    pub(super) async fn snapshot_to_change(&self) -> Result<Arc<Snapshot>, AttemptError> {
        let since = self.since().await?;
        let snapshot = self.reached(self.repository.snapshot_at_head().await)?;
        self.follow(since, &snapshot).await?;
        // Compare and swap on this head: a file that comes later is in the next one.
        if snapshot.pause().is_some() {
            self.take_up_file().await?;
            return Err(AttemptError::Paused);
        }
        Ok(snapshot)
    }

    /// What a plugin has done in a cluster within the guardrails' window, by the journal.
    pub(super) async fn window(&self, plugin: &str, cluster: Option<&str>) -> Result<Window, RecordError> {
        let since_us = clock::now_us() - i64::from(self.guardrails.window_s) * 1_000_000;
        let commits = self.journal.commits_since(plugin, cluster, since_us).await?;
        let most = self.guardrails.workloads_max;
        let objects = self.journal.objects_since(plugin, cluster, since_us, most).await?;
        Ok(Window { commits, workloads: objects.into_iter().collect() })
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
        let (views, catalog) = (self.views(self.snapshot_to_change().await?), self.catalog());
        let (mut windows, mut respected) = (BTreeMap::new(), BTreeMap::new());
        for entry in entries {
            let reaction = entry.proposal.reaction();
            if let Some(key) = entry.window()
                && !windows.contains_key(&key)
            {
                let window = self.window(&key.0, key.1.as_deref()).await?;
                windows.insert(key, window);
            }
            if let Some(reason) = self.respected(reaction).await? {
                respected.insert(reaction.id, reason);
            }
        }
        Ok(Ground { views, catalog, windows, respected })
    }

    /// Holds each proposal against what those before it come to. `claims` is what proposals of the same
    /// burst have done that are in the head already.
    pub(super) fn judge(&self, entries: &[Entry], ground: &Ground, claims: &Claims) -> Judged {
        block_in_place(|| {
            let mut draft = Draft::after(&ground.views.whole, claims.clone());
            let mut windows = ground.windows.clone();
            let mut verdict = |entry| self.verdict(entry, ground, &mut draft, &mut windows);
            let verdicts = entries.iter().map(&mut verdict).collect();
            let change = match draft.finish() {
                Validated::Change(change) => Some(change),
                Validated::Unchanged => None,
            };
            Judged { verdicts, change }
        })
    }

    fn verdict<'g>(
        &self,
        entry: &Entry,
        ground: &'g Ground,
        draft: &mut Draft<'g>,
        windows: &mut Windows,
    ) -> Verdict {
        let reaction = entry.proposal.reaction();
        if let Some(reason) = ground.respected.get(&reaction.id) {
            return Verdict::Ends(ended(OutcomeKind::Ignored, reason.clone()));
        }
        let grants = match self.grants(&ground.catalog, reaction) {
            Ok(Some(grants)) => grants,
            Ok(None) => return Verdict::Aside,
            Err(reason) => return Verdict::Ends(ended(OutcomeKind::Failed, reason)),
        };
        let view = match entry.view(&ground.views) {
            Ok(view) => view,
            Err((outcome, reason)) => return Verdict::Ends(ended(outcome, reason)),
        };
        let joined = self.add(draft, view, entry, &grants);
        let targets = || entry.proposal.changes().patches.iter().map(|patch| &patch.target);
        // A revert is none of the plugin's doing, and has no window.
        let mut window = entry.window().and_then(|key| windows.get_mut(&key));
        let in_window = window
            .as_deref()
            .map_or(Ok(()), |window| self.guardrails.check_window(&reaction.plugin, window, targets()));
        let joined = match (joined, in_window) {
            (Ok(Some(piece)), Ok(())) => {
                draft.accept(&entry.name());
                if let Some(window) = &mut window {
                    window.workloads.extend(targets().cloned());
                }
                return Verdict::Changes(piece);
            }
            (Ok(Some(_)), Err(refusals)) => return refused(&refusals),
            (Err(refusals), in_window) => Err(refusals.and(in_window.err())),
            (Ok(None), _) => Ok(()),
        };
        // Is it so without the proposals before it?
        match (self.add(&mut Draft::new(view), view, entry, &grants), joined) {
            (Ok(None), Ok(())) => Verdict::Unchanged,
            (Err(_), Err(refusals)) => refused(&refusals),
            (_, Err(refusals)) => Verdict::Depends(OutcomeKind::Refused, refusals.to_string()),
            (_, Ok(())) => Verdict::Depends(OutcomeKind::Unchanged, super::UNCHANGED.to_owned()),
        }
    }

    /// What a proposal that commits to the branch is held to; `None` for one that does not. The host's own
    /// reverts are held to no plugin's grants: `validate` gives them what they take back.
    pub(super) fn grants<'c>(
        &self,
        catalog: &'c Catalog,
        reaction: &DueReaction,
    ) -> Result<Option<Cow<'c, Grants>>, String> {
        if reaction.reverts.is_some() {
            return Ok(Some(Cow::Owned(Grants::default())));
        }
        let (plugin, mode) = self.plugin_and_mode(catalog, reaction)?;
        Ok((mode == Mode::Enforce).then(|| Cow::Borrowed(plugin.grants())))
    }

    /// What the API server refuses, if one is to be asked, by the places of their entries. What changes an
    /// object that an earlier one of these changes is not asked for: it is judged anew without that one.
    pub(super) async fn refused_by_server(
        &self,
        judged: &Judged,
    ) -> Result<BTreeMap<usize, Settlement>, AttemptError> {
        let (mut ends, mut objects) = (BTreeMap::new(), BTreeSet::new());
        let Some(dry_run) = &self.dry_run else { return Ok(ends) };
        for (index, verdict) in judged.verdicts.iter().enumerate() {
            let Verdict::Changes(piece) = verdict else { continue };
            if piece.objects().iter().any(|(target, _)| objects.contains(target)) {
                continue;
            }
            if let Err(refusals) = dry_run.check(piece.objects()).await? {
                objects.extend(piece.objects().iter().map(|(target, _)| target.clone()));
                ends.insert(index, ended(OutcomeKind::Refused, refusals.to_string()));
            }
        }
        Ok(ends)
    }

    /// What the proposal changes on top of the draft, in what its cluster has.
    pub(super) fn add<'g>(
        &self,
        draft: &mut Draft<'g>,
        view: &'g Snapshot,
        entry: &Entry,
        grants: &Grants,
    ) -> Result<Option<Piece>, Refusals> {
        draft.see(view);
        validate::add(draft, entry.proposal.changes(), grants, &self.guardrails, &self.schemas)
    }
}

fn refused(refusals: &Refusals) -> Verdict {
    Verdict::Ends(ended(OutcomeKind::Refused, refusals.to_string()))
}
