//! The proposals of a burst become one commit, and each of their reactions ends with its own part of it.
//!
//! Before a second attempt the branch is searched for each reaction's trailer: the first one may have
//! arrived without its answer. A moved head is met by applying the patches to the new content. What the
//! branch will never take is looked for by halves, so that a good change does not fail by a bad one.

use std::collections::{BTreeMap, BTreeSet};

use super::clusters::{NoCluster, Views};
use super::commit::{AttemptError, Attempted, found_again};
use super::decide::ended;
use super::judge::{Ground, Judged, Verdict};
use super::{Pipeline, UNCHANGED, chain, revert};
use crate::clock;
use crate::commit::{self, Message, reaction_trailer};
use crate::crash_point::CrashPoint;
use crate::model::outcome::OutcomeKind;
use crate::record::{DueReaction, Postponed, Proposal, RecordError, SettledCommit, Settlement, Stage};
use crate::repository::{FoundCommit, Retry};
use crate::snapshot::Snapshot;
use crate::validate::{Claims, Draft, Piece, ValidatedChange};

/// The most proposals that are held against one head together.
const PROPOSALS_MAX: u32 = 500;
/// All of their decisions, in bytes.
const PROPOSALS_BYTES_MAX: usize = 16 << 20;

/// A proposal and the number of the attempt that it is in.
pub(super) struct Entry {
    pub(super) proposal: Proposal,
    /// The cluster of its event, or why there is none.
    cluster: Result<Option<String>, NoCluster>,
    attempt: i64,
}

impl Entry {
    /// The reaction, for people.
    pub(super) fn name(&self) -> String {
        let reaction = self.proposal.reaction();
        format!("reaction {} of plugin {}", reaction.id, reaction.plugin)
    }

    /// The desired state that the proposal is held against.
    pub(super) fn view<'v>(&self, views: &'v Views) -> Result<&'v Snapshot, NoCluster> {
        views.of(self.cluster.as_ref().map_err(Clone::clone)?.as_deref()).map(AsRef::as_ref)
    }

    /// Whose window the guardrails count it in; `None` for a revert, and for one without a cluster.
    pub(super) fn window(&self) -> Option<(String, Option<String>)> {
        let reaction = self.proposal.reaction();
        let cluster = self.cluster.as_ref().ok().filter(|_| reaction.reverts.is_none())?;
        Some((reaction.plugin.clone(), cluster.clone()))
    }

    /// Whether an attempt before this one may have made the commit: attempt 1 was the decision.
    fn may_have_committed(&self) -> bool {
        self.attempt > 2
    }
}

/// What is to be committed, and what hangs on it.
struct Joint {
    change: ValidatedChange,
    members: Vec<(Entry, Member)>,
}

enum Member {
    Changes(Piece),
    Depends(OutcomeKind, String),
}

/// Commits that earlier attempts have made.
#[derive(Default)]
struct Earlier {
    /// How the reactions end, by the places of their entries.
    ends: BTreeMap<usize, Settlement>,
    /// What they have done.
    claims: Claims,
}

impl Pipeline {
    /// Commits what waits, as one commit where that is possible. How many reactions were taken.
    pub(super) async fn commit_burst(&self) -> Result<usize, RecordError> {
        let mut due = self.journal.due_proposals(true, PROPOSALS_MAX).await?;
        due.truncate(usize::try_from(PROPOSALS_MAX).unwrap_or(usize::MAX));
        let (mut taken, mut proposals) = (0, Vec::new());
        let (mut different, mut bytes) = (BTreeSet::new(), 0);
        for reaction in due {
            let Some((proposal, cluster)) = self.to_be_joined(&reaction).await? else {
                taken += 1;
                continue;
            };
            different.insert(proposal.digest());
            bytes += proposal.bytes();
            let is_full = different.len() > usize::try_from(self.coalesce.changes_max).unwrap_or(usize::MAX)
                || bytes > PROPOSALS_BYTES_MAX;
            if is_full && !proposals.is_empty() {
                break;
            }
            proposals.push((proposal, cluster));
        }
        if proposals.is_empty() {
            return Ok(taken);
        }
        proposals.sort_by_key(|(proposal, _)| proposal.reaction().id);
        let ids = proposals.iter().map(|(proposal, _)| proposal.reaction().id).collect();
        let attempts = self.journal.begin_attempts(ids, Stage::Commit).await?;
        CrashPoint::Committing.reach();
        taken += proposals.len();
        let entries = proposals.into_iter().zip(attempts);
        let entry = |((proposal, cluster), attempt)| Entry { proposal, cluster, attempt };
        let mut parts = vec![entries.map(entry).collect::<Vec<Entry>>()];
        while let Some(part) = parts.pop() {
            parts.extend(self.commit_part(part).await?);
        }
        Ok(taken)
    }

    /// The proposal of a reaction and its cluster, unless the reaction is one to be taken alone, and has
    /// been.
    async fn to_be_joined(
        &self,
        reaction: &DueReaction,
    ) -> Result<Option<(Proposal, Result<Option<String>, NoCluster>)>, RecordError> {
        let read = async {
            let proposal = self.journal.proposal(reaction).await?;
            Ok((proposal, self.cluster_of(reaction.event_seq).await?))
        };
        let (proposal, cluster) = match read.await {
            Ok(read) => read,
            Err(error) => {
                self.or_damaged(reaction, Err(error)).await?;
                return Ok(None);
            }
        };
        let is_aside = matches!(self.grants(&self.catalog(), reaction), Ok(None));
        let is_spent = reaction.attempts >= self.limits.attempts_max;
        if is_spent || is_aside {
            let committed = self.commit(reaction).await;
            self.or_damaged(reaction, committed).await?;
            return Ok(None);
        }
        Ok(Some((proposal, cluster)))
    }

    /// Commits a part of a burst, until it is settled or postponed. What is left of it to be tried by
    /// itself, the last first.
    async fn commit_part(&self, mut entries: Vec<Entry>) -> Result<Vec<Vec<Entry>>, RecordError> {
        let claims = match self.earlier(&entries).await {
            Ok(earlier) => {
                entries = self.settle_ended(entries, earlier.ends).await?;
                earlier.claims
            }
            Err(error) => return self.fail(entries, &error).await.map(|()| Vec::new()),
        };
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        for _race in 0..self.limits.races_max {
            let (ground, judged) = match self.judged(&mut entries, &claims).await? {
                Ok(judged) => judged,
                Err(error) => return self.fail(entries, &error).await.map(|()| Vec::new()),
            };
            let Some(joint) = self.settle_judged(entries, judged, &ground).await? else {
                return Ok(Vec::new());
            };
            CrashPoint::Validated.reach();
            match self.send(&joint).await {
                Ok(commit) => {
                    CrashPoint::Committed.reach();
                    return self.settle_joint(joint, commit).await.map(|()| Vec::new());
                }
                Err(AttemptError::Commit(failure)) if failure.retry() == Retry::Now => {
                    self.count_failure("commit", failure.kind());
                    entries = joint.members.into_iter().map(|(entry, _)| entry).collect();
                }
                Err(error) => return self.part_failed(joint, &error).await,
            }
        }
        let races = self.limits.races_max;
        let detail = format!("the branch moved {races} times while the commit was made");
        self.postpone(entries, 0, detail).await.map(|()| Vec::new())
    }

    /// What the entries come to at the head, or what they wait for. Those that an API server refuses end here.
    async fn judged(
        &self,
        entries: &mut Vec<Entry>,
        claims: &Claims,
    ) -> Result<Result<(Ground, Judged), AttemptError>, RecordError> {
        loop {
            let (ground, judged, refused) = match self.judged_once(entries, claims).await {
                Ok(judged) => judged,
                Err(error) => return Ok(Err(error)),
            };
            if refused.is_empty() {
                return Ok(Ok((ground, judged)));
            }
            *entries = self.settle_ended(std::mem::take(entries), refused).await?;
        }
    }

    /// The same, and how those end that an API server refuses.
    async fn judged_once(
        &self,
        entries: &[Entry],
        claims: &Claims,
    ) -> Result<(Ground, Judged, BTreeMap<usize, Settlement>), AttemptError> {
        let ground = self.ground(entries).await?;
        let judged = self.judge(entries, &ground, claims);
        let refused = self.refused_by_server(&judged).await?;
        Ok((ground, judged, refused))
    }

    /// Looks for the commits of earlier attempts.
    async fn earlier(&self, entries: &[Entry]) -> Result<Earlier, AttemptError> {
        let asked: Vec<usize> =
            (0..entries.len()).filter(|index| entries[*index].may_have_committed()).collect();
        if asked.is_empty() {
            return Ok(Earlier::default());
        }
        let trailer = |index: &usize| {
            let proposal = &entries[*index].proposal;
            (reaction_trailer(self.journal.name(), proposal.reaction().id), proposal.base().clone())
        };
        let wanted = asked.iter().map(trailer).collect();
        let found = self.reached(self.repository.find_commits_with(wanted).await)?;
        let mut commits: BTreeMap<String, (FoundCommit, Vec<usize>)> = BTreeMap::new();
        for (index, found) in asked.into_iter().zip(found) {
            let Some(found) = found else { continue };
            commits.entry(found.sha.as_str().to_owned()).or_insert((found, Vec::new())).1.push(index);
        }
        let mut earlier = Earlier::default();
        for (found, indices) in commits.into_values() {
            self.read_again(&found, &indices, entries, &mut earlier).await;
        }
        Ok(earlier)
    }

    /// Makes the reactions' parts of a commit anew, from where it was made; its whole diff where that
    /// cannot be.
    async fn read_again(
        &self,
        found: &FoundCommit,
        indices: &[usize],
        entries: &[Entry],
        earlier: &mut Earlier,
    ) {
        let (base, catalog) = (self.repository.snapshot(&found.base).await.ok(), self.catalog());
        let base = base.map(|base| self.views(base));
        let claims = std::mem::take(&mut earlier.claims);
        let mut draft = base.as_ref().map(|base| Draft::after(&base.whole, claims.clone()));
        for index in indices {
            let entry = &entries[*index];
            let piece = draft.as_mut().and_then(|draft| {
                let grants = self.grants(&catalog, entry.proposal.reaction()).ok()??;
                let view = entry.view(base.as_ref()?).ok()?;
                let piece = self.add(draft, view, entry, &grants).ok()??;
                draft.accept(&entry.name());
                Some(piece)
            });
            let mut settlement = found_again(found.clone());
            settlement.take_back = self.take_back_again(&entry.proposal, found, piece.as_ref()).await;
            settlement.diff = piece.map(|piece| piece.diff().to_owned()).or(settlement.diff);
            earlier.ends.insert(*index, settlement);
        }
        earlier.claims = draft.map_or(claims, Draft::into_claims);
    }

    /// Ends what has an end, what an earlier attempt has committed among it; the entries that are left.
    async fn settle_ended(
        &self,
        entries: Vec<Entry>,
        mut ends: BTreeMap<usize, Settlement>,
    ) -> Result<Vec<Entry>, RecordError> {
        let (mut found, mut left) = (Vec::new(), Vec::new());
        for (index, entry) in entries.into_iter().enumerate() {
            match ends.remove(&index) {
                Some(settlement) => found.push((entry, settlement)),
                None => left.push(entry),
            }
        }
        let newest = found.last().and_then(|(_, settlement)| settlement.commit.clone());
        self.settle_entries(&found).await?;
        if let Some(newest) = newest {
            self.newest_commit.send_replace(Some(newest.sha));
        }
        Ok(left)
    }

    /// Ends what does not hang on the commit; the commit that is to be made, if one is.
    async fn settle_judged(
        &self,
        entries: Vec<Entry>,
        judged: Judged,
        ground: &Ground,
    ) -> Result<Option<Joint>, RecordError> {
        let (mut ends, mut aside, mut members) = (Vec::new(), Vec::new(), Vec::new());
        for (entry, verdict) in entries.into_iter().zip(judged.verdicts) {
            match verdict {
                Verdict::Changes(piece) => members.push((entry, Member::Changes(piece))),
                Verdict::Depends(outcome, reason) => members.push((entry, Member::Depends(outcome, reason))),
                Verdict::Ends(settlement) => ends.push((entry, settlement)),
                Verdict::Aside => aside.push(entry.proposal.reaction().id),
                Verdict::Unchanged => match self.is_unchanged(&entry, ground).await {
                    Ok(settlement) => ends.push((entry, settlement)),
                    Err(error) => self.fail(vec![entry], &error).await?,
                },
            }
        }
        self.settle_entries(&ends).await?;
        self.journal.withdraw_attempts(aside).await?;
        if let Some(change) = judged.change {
            return Ok(Some(Joint { change, members }));
        }
        // There is no commit to wait for: what they hang on is in the branch, or they come to nothing.
        let end = |(entry, member)| match member {
            Member::Changes(_) => (entry, ended(OutcomeKind::Unchanged, UNCHANGED.to_owned())),
            Member::Depends(outcome, reason) => (entry, ended(outcome, reason)),
        };
        self.settle_entries(&members.into_iter().map(end).collect::<Vec<_>>()).await?;
        Ok(None)
    }

    async fn is_unchanged(&self, entry: &Entry, ground: &Ground) -> Result<Settlement, AttemptError> {
        let proposal = &entry.proposal;
        if proposal.reaction().reverts.is_some() {
            return Ok(ended(OutcomeKind::Unchanged, UNCHANGED.to_owned()));
        }
        let view = match entry.view(&ground.views) {
            Ok(view) => view,
            Err((outcome, reason)) => return Ok(ended(outcome, reason)),
        };
        match self.plugin_and_mode(&ground.catalog, proposal.reaction()) {
            Ok((plugin, _)) => self.unchanged(proposal, plugin, view).await,
            Err(reason) => Ok(ended(OutcomeKind::Failed, reason)),
        }
    }

    async fn send(&self, joint: &Joint) -> Result<SettledCommit, AttemptError> {
        let (chain, mut told) = (self.journal.head().await?, Vec::new());
        for (entry, _) in joint.members.iter().filter(|(_, member)| matches!(member, Member::Changes(_))) {
            let seq = entry.proposal.reaction().event_seq;
            let missing = || RecordError::Damaged(format!("event {seq} is missing"));
            let event = self.journal.event(seq).await?.ok_or_else(missing)?;
            told.push((&entry.proposal, event));
        }
        let parts: Vec<_> =
            told.iter().map(|(proposal, event)| self.parts(proposal, event, &chain)).collect();
        let message = Message::of_all(&parts);
        drop(parts);
        drop(told);
        self.not_paused()?;
        self.spend(commit::calls(&self.repository, &joint.change).await?).await?;
        let sha = commit::commit(&self.repository, &joint.change, &message).await?;
        Ok(SettledCommit { sha, base: joint.change.base().clone(), message: message.as_str().to_owned() })
    }

    /// Ends all that is in the commit, or hangs on it, at once.
    async fn settle_joint(&self, joint: Joint, commit: SettledCommit) -> Result<(), RecordError> {
        let sha = commit.sha.clone();
        let ends: Vec<(Entry, Settlement)> = joint
            .members
            .into_iter()
            .map(|(entry, member)| {
                let settlement = match member {
                    Member::Changes(piece) => Settlement {
                        outcome: OutcomeKind::Committed,
                        reason: revert::reason(&entry.proposal, &piece),
                        diff: Some(piece.diff().to_owned()),
                        commit: Some(commit.clone()),
                        pull_request: None,
                        take_back: self.take_back(&entry.proposal, &piece),
                    },
                    Member::Depends(outcome, reason) => {
                        ended(outcome, format!("{reason} (commit {})", sha.short()))
                    }
                };
                (entry, settlement)
            })
            .collect();
        self.settle_entries(&ends).await?;
        self.newest_commit.send_replace(Some(sha));
        // The new head is read beside, so that the next event finds it read.
        self.wake.repository.notify_one();
        Ok(())
    }

    /// The commit was not made. A change that may be at fault is told from the others.
    async fn part_failed(&self, joint: Joint, error: &AttemptError) -> Result<Vec<Vec<Entry>>, RecordError> {
        let is_fault = match error {
            AttemptError::Commit(failure) => failure.retry() == Retry::Never,
            AttemptError::Journal(RecordError::Damaged(_)) => true,
            _ => false,
        };
        let changes: Vec<usize> = (0..joint.members.len())
            .filter(|index| matches!(joint.members[*index].1, Member::Changes(_)))
            .collect();
        let mut entries: Vec<Entry> = joint.members.into_iter().map(|(entry, _)| entry).collect();
        match changes.as_slice() {
            _ if !is_fault => self.fail(entries, error).await.map(|()| Vec::new()),
            [] => self.fail(entries, error).await.map(|()| Vec::new()),
            [only] => {
                let failed = entries.remove(*only);
                self.fail(vec![failed], error).await?;
                Ok(if entries.is_empty() { Vec::new() } else { vec![entries] })
            }
            several => {
                let kind = if let AttemptError::Commit(failure) = error { failure.kind() } else { "journal" };
                self.count_failure("commit", kind);
                tracing::warn!(changes = several.len(), error = %chain(error), "a commit is tried in halves");
                let second = entries.split_off(several[several.len() / 2]);
                Ok(vec![second, entries])
            }
        }
    }

    /// Ends or postpones all of these, as the failure of their commit says.
    async fn fail(&self, entries: Vec<Entry>, error: &AttemptError) -> Result<(), RecordError> {
        if error.is_none() {
            return self.withdraw(entries).await;
        }
        if let AttemptError::Journal(RecordError::Damaged(reason)) = error {
            let settlement = ended(OutcomeKind::Failed, format!("damaged: {reason}"));
            let ends: Vec<_> = entries.into_iter().map(|entry| (entry, settlement.clone())).collect();
            return self.settle_entries(&ends).await;
        }
        if let Some(wait) = error.asks_to_wait() {
            self.attempt_failed(error);
            self.hold_queue(wait, chain(error)).await?;
            return self.withdraw(entries).await;
        }
        match self.attempt_failed(error) {
            Attempted::Settled(settlement) => {
                let ends: Vec<_> = entries.into_iter().map(|entry| (entry, settlement.clone())).collect();
                self.settle_entries(&ends).await
            }
            Attempted::Postponed { after_ms, detail } => self.postpone(entries, after_ms, detail).await,
        }
    }

    /// Postpones them to the same time, so that they meet again; those that had all their attempts end.
    async fn postpone(&self, entries: Vec<Entry>, after_ms: i64, detail: String) -> Result<(), RecordError> {
        let reactions = entries.len();
        tracing::warn!(reactions, detail, "a commit is tried again later");
        let earliest_us = clock::now_us() + after_ms * 1_000;
        let (mut due, mut postponed) = (BTreeMap::new(), Vec::new());
        for entry in entries {
            if entry.attempt >= self.limits.attempts_max {
                self.give_up(&entry.proposal, detail.clone()).await?;
                continue;
            }
            let due_us =
                *due.entry(entry.attempt).or_insert_with(|| self.due_after(entry.attempt).max(earliest_us));
            let reaction = entry.proposal.reaction().id;
            postponed.push(Postponed { reaction, due_us, detail: detail.clone() });
        }
        self.journal.postpone(postponed).await
    }

    /// Nothing was done with these.
    async fn withdraw(&self, entries: Vec<Entry>) -> Result<(), RecordError> {
        let ids = entries.iter().map(|entry| entry.proposal.reaction().id).collect();
        self.journal.withdraw_attempts(ids).await
    }

    async fn settle_entries(&self, ends: &[(Entry, Settlement)]) -> Result<(), RecordError> {
        let ends = ends.iter().map(|(entry, settlement)| (entry.proposal.reaction(), settlement.clone()));
        self.settle_all(ends.collect()).await
    }
}
