//! Reactions on disk: pending → proposed → settled, an attempt counted before it begins.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::attempt::{Stage, end_attempt};
use super::chain::{ChainHead, append, digest};
use super::pull_request::{self, SettledPullRequest};
use super::revert;
use super::undo::{self, TakeBack};
use super::writer::Write;
use super::{Journal, RecordError};
use crate::clock;
use crate::model::manifest::CommitSha;
use crate::model::outcome::OutcomeKind;
use crate::model::patch::{Changes, Decision};
use crate::model::plugin::{Mode, PluginIdentity};

/// A plugin that an event goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The plugin's name.
    pub plugin: String,
    /// Its mode when the event was routed.
    pub mode: Mode,
}

/// A reaction that waits for its next attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueReaction {
    /// Its number in the journal.
    pub id: i64,
    /// The event it is to.
    pub event_seq: i64,
    /// The plugin.
    pub plugin: String,
    /// What may be done with a proposal.
    pub mode: Mode,
    /// How many attempts have begun.
    pub attempts: i64,
    /// When it was made.
    pub created_us: i64,
    /// The reaction that it takes back.
    pub reverts: Option<i64>,
}

/// A plugin's decision and all that it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Which code with which configuration.
    pub identity: PluginIdentity,
    /// The commit that look-ups read.
    pub base: CommitSha,
    /// The decision.
    pub decision: Decision,
    /// The fuel it used: a checksum for replay.
    pub fuel: u64,
    /// The cluster that it is for, where the repository serves several.
    pub cluster: Option<String>,
}

/// How a reaction ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// The word.
    pub outcome: OutcomeKind,
    /// Why, in a sentence for people.
    pub reason: String,
    /// What was or would have been changed, as a unified diff.
    pub diff: Option<String>,
    /// The commit, for `Committed` and `Proposed`.
    pub commit: Option<SettledCommit>,
    /// The pull request, for `Proposed`, and the one that was closed because the state is `Unchanged`.
    pub pull_request: Option<SettledPullRequest>,
    /// What takes the commit back, for `Committed`.
    pub take_back: Option<TakeBack>,
}

impl Settlement {
    /// An end without a change.
    #[must_use]
    pub fn without_change(outcome: OutcomeKind, reason: String) -> Self {
        Self { outcome, reason, diff: None, commit: None, pull_request: None, take_back: None }
    }
}

/// A commit that the repository has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledCommit {
    /// Its id.
    pub sha: CommitSha,
    /// The commit it was made on.
    pub base: CommitSha,
    /// Its message.
    pub message: String,
}

/// A decision to change something that is on disk, and so may be committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    reaction: DueReaction,
    plugin_digest: String,
    base: CommitSha,
    changes: Changes,
    bytes: usize,
}

impl Proposal {
    /// The reaction it is of.
    #[must_use]
    pub fn reaction(&self) -> &DueReaction {
        &self.reaction
    }

    /// The digest of the plugin that decided.
    #[must_use]
    pub fn plugin_digest(&self) -> &str {
        &self.plugin_digest
    }

    /// The commit that the decision was made from: its own commit can only be a later one.
    #[must_use]
    pub fn base(&self) -> &CommitSha {
        &self.base
    }

    /// The patches.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// By which proposals that change the same in the same way are known.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        changes_digest(&self.changes)
    }

    /// How large it is on disk.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

pub(super) async fn route(
    connection: &mut SqliteConnection,
    seq: i64,
    routes: &[Route],
) -> Result<(), RecordError> {
    let now = clock::now_us();
    for route in routes {
        sqlx::query(
            "INSERT INTO reactions (event_seq, plugin, mode, state, created_us, due_us) \
             VALUES (?, ?, ?, 'pending', ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(seq)
        .bind(&route.plugin)
        .bind(route.mode.as_str())
        .bind(now)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query("UPDATE events SET routed_us = ? WHERE seq = ?")
        .bind(now)
        .bind(seq)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn decide(
    connection: &mut SqliteConnection,
    id: i64,
    decided: &Decided,
) -> Result<ChainHead, RecordError> {
    let decision =
        serde_json::to_string(&decided.decision).map_err(|error| RecordError::Damaged(error.to_string()))?;
    let (result, detail, changes_digest) = match &decided.decision {
        Decision::Ignore { reason } => ("ignored", reason, None),
        Decision::Propose(changes) => ("proposed", &changes.reason, Some(changes_digest(changes))),
    };
    end_attempt(connection, id, result, detail).await?;
    sqlx::query(
        "UPDATE reactions SET state = 'proposed', due_us = created_us, plugin_digest = ?, config_digest = ?, \
         base_commit = ?, decision = ?, fuel = ?, decided_us = ?, changes_digest = ?, \
         cluster = ? WHERE id = ? AND state = 'pending'",
    )
    .bind(&decided.identity.digest)
    .bind(&decided.identity.config_digest)
    .bind(decided.base.as_str())
    .bind(decision)
    .bind(i64::try_from(decided.fuel).unwrap_or(i64::MAX))
    .bind(clock::now_us())
    .bind(changes_digest.map(|digest| digest.to_vec()))
    .bind(&decided.cluster)
    .bind(id)
    .execute(&mut *connection)
    .await?;
    let record = decision_digest(connection, id).await?.ok_or_else(|| missing(id))?;
    let head = append(connection, "decision", id, record).await?;
    if let Decision::Ignore { reason } = &decided.decision {
        settle(connection, id, &Settlement::without_change(OutcomeKind::Ignored, reason.clone())).await?;
    }
    Ok(head)
}

/// By which proposals that change the same in the same way are known.
fn changes_digest(changes: &Changes) -> [u8; 32] {
    let patches = serde_json::to_vec(&changes.patches).unwrap_or_default();
    digest(&[&patches])
}

/// All of these or none.
pub(super) async fn settle_all(
    connection: &mut SqliteConnection,
    ends: &[(i64, Settlement)],
) -> Result<(), RecordError> {
    for (id, settlement) in ends {
        settle(connection, *id, settlement).await?;
    }
    Ok(())
}

async fn settle(
    connection: &mut SqliteConnection,
    id: i64,
    settlement: &Settlement,
) -> Result<(), RecordError> {
    let now = clock::now_us();
    end_attempt(connection, id, settlement.outcome.as_str(), &settlement.reason).await?;
    let settled = sqlx::query(
        "UPDATE reactions SET state = 'settled', outcome = ?, reason = ?, diff = ?, settled_us = ? \
         WHERE id = ? AND state <> 'settled'",
    )
    .bind(settlement.outcome.as_str())
    .bind(&settlement.reason)
    .bind(&settlement.diff)
    .bind(now)
    .bind(id)
    .execute(&mut *connection)
    .await?;
    if settled.rows_affected() != 1 {
        return Err(RecordError::Damaged(format!("reaction {id} is settled already")));
    }
    if let Some(commit) = &settlement.commit {
        sqlx::query(
            "INSERT INTO commits (reaction_id, sha, base, message, committed_us) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(id)
        .bind(commit.sha.as_str())
        .bind(commit.base.as_str())
        .bind(&commit.message)
        .bind(now)
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "INSERT OR IGNORE INTO changed_objects SELECT reactions.id, json_extract(patch.value, '$.target') \
             FROM reactions, json_each(decision, '$.patches') patch WHERE reactions.id = ?",
        )
        .bind(id)
        .execute(&mut *connection)
        .await?;
    }
    if let Some(pull_request) = &settlement.pull_request {
        pull_request::insert(connection, id, pull_request).await?;
    }
    if let Some(take_back) = &settlement.take_back {
        undo::insert(connection, id, take_back, now).await?;
    }
    revert::settled(connection, id, settlement.outcome).await?;
    let record = outcome_digest(connection, id).await?.ok_or_else(|| missing(id))?;
    append(connection, "outcome", id, record).await?;
    Ok(())
}

fn missing(id: i64) -> RecordError {
    RecordError::Damaged(format!("reaction {id} is missing"))
}

/// The digest of a reaction's decision.
pub(super) async fn decision_digest(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<Option<[u8; 32]>, RecordError> {
    const FIELDS: [&str; 6] = ["plugin", "mode", "plugin_digest", "config_digest", "base_commit", "decision"];
    let row = sqlx::query("SELECT * FROM reactions WHERE id = ?").bind(id).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let decision = row_digest(&row, &["id", "event_seq", "replay_id", "fuel"], &FIELDS)?;
    // Other decisions keep the digest that they have in the chain.
    Ok(Some(match revert::evidence(&row)? {
        None => decision,
        Some((reverts, by)) => digest(&[&decision, b"reverts", &reverts.to_be_bytes(), by.as_bytes()]),
    }))
}

/// The digest of a reaction's end.
pub(super) async fn outcome_digest(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<Option<[u8; 32]>, RecordError> {
    const FIELDS: [&str; 6] = ["outcome", "reason", "diff", "sha", "base", "message"];
    let row = sqlx::query(
        "SELECT r.id, r.event_seq, r.settled_us, r.outcome, r.reason, r.diff, c.sha, c.base, c.message, \
         p.number, p.url, p.branch FROM reactions r LEFT JOIN commits c ON c.reaction_id = r.id \
         LEFT JOIN pull_requests p ON p.reaction_id = r.id WHERE r.id = ?",
    )
    .bind(id)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    // Outcomes of before there were pull requests keep the digest that they have in the chain.
    let outcome = if pull_request::stored(&row)?.is_none() {
        row_digest(&row, &["id", "event_seq", "settled_us"], &FIELDS)?
    } else {
        let fields = [&FIELDS[..], &["url", "branch"]].concat();
        row_digest(&row, &["id", "event_seq", "settled_us", "number"], &fields)?
    };
    // And so do those of before commits could be taken back.
    Ok(Some(match undo::evidence(connection, id).await? {
        None => outcome,
        Some(undo) => digest(&[&outcome, &undo]),
    }))
}

fn row_digest(row: &SqliteRow, numbers: &[&str], texts: &[&str]) -> Result<[u8; 32], RecordError> {
    let mut fields = Vec::with_capacity(numbers.len() + texts.len());
    for name in numbers {
        fields.push(row.try_get::<Option<i64>, _>(*name)?.unwrap_or_default().to_be_bytes().to_vec());
    }
    for name in texts {
        fields.push(row.try_get::<Option<&str>, _>(*name)?.unwrap_or_default().as_bytes().to_vec());
    }
    Ok(digest(&fields.iter().map(Vec::as_slice).collect::<Vec<_>>()))
}

fn due(row: &SqliteRow) -> Result<DueReaction, RecordError> {
    Ok(DueReaction {
        id: row.try_get("id")?,
        event_seq: row.try_get("event_seq")?,
        plugin: row.try_get("plugin")?,
        mode: Mode::of(row.try_get("mode")?),
        attempts: row.try_get("attempts")?,
        created_us: row.try_get("created_us")?,
        reverts: row.try_get("reverts")?,
    })
}

/// The first reaction of each plugin, then the second of each: what is in order stays so within a plugin.
fn in_turn(reactions: Vec<DueReaction>) -> Vec<DueReaction> {
    let mut of_plugin: BTreeMap<String, usize> = BTreeMap::new();
    let mut turns: Vec<(usize, DueReaction)> = Vec::with_capacity(reactions.len());
    for reaction in reactions {
        let turn = of_plugin.entry(reaction.plugin.clone()).or_default();
        turns.push((*turn, reaction));
        *turn += 1;
    }
    turns.sort_by_key(|(turn, reaction)| (*turn, reaction.id));
    turns.into_iter().map(|(_, reaction)| reaction).collect()
}

impl Journal {
    /// Makes an event's reactions, one a plugin; the event is then no open work.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn route(&self, seq: i64, routes: Vec<Route>) -> Result<(), RecordError> {
        self.write(|reply| Write::Route(seq, routes, reply)).await
    }

    /// The oldest reactions that wait for a decision and are due: of each plugin at most `each_max`, the
    /// first of each before the second of any. Some plugins, and some reactions, are left out.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn due(
        &self,
        each_max: u32,
        but_for: &[String],
        but: &[i64],
    ) -> Result<Vec<DueReaction>, RecordError> {
        self.due_at(Stage::Dispatch, each_max, but_for, but, None).await
    }

    /// The same of proposals that wait to be committed: those of mode `enforce`, or the others.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn due_proposals(
        &self,
        enforced: bool,
        each_max: u32,
    ) -> Result<Vec<DueReaction>, RecordError> {
        self.due_at(Stage::Commit, each_max, &[], &[], Some(enforced)).await
    }

    async fn due_at(
        &self,
        stage: Stage,
        each_max: u32,
        but_for: &[String],
        but: &[i64],
        enforced: Option<bool>,
    ) -> Result<Vec<DueReaction>, RecordError> {
        // One step along the index a plugin, however many reactions each has.
        const WAITING: &str = "WITH RECURSIVE waiting (plugin) AS ( \
             SELECT min(plugin) FROM reactions WHERE state = ?1 AND state <> 'settled' \
             UNION ALL \
             SELECT (SELECT min(plugin) FROM reactions \
                     WHERE state = ?1 AND state <> 'settled' AND plugin > waiting.plugin) \
             FROM waiting WHERE waiting.plugin IS NOT NULL) \
             SELECT reactions.* FROM waiting JOIN reactions ON reactions.id IN ( \
                 SELECT id FROM reactions WHERE state = ?1 AND state <> 'settled' \
                 AND plugin = waiting.plugin AND due_us <= ?2 AND id NOT IN (SELECT value FROM json_each(?4)) \
                 AND (?6 IS NULL OR (mode = 'enforce') = ?6) ORDER BY id LIMIT ?5) \
             WHERE waiting.plugin NOT IN (SELECT value FROM json_each(?3)) ORDER BY reactions.id";
        let rows = sqlx::query(WAITING)
            .bind(stage.waiting())
            .bind(clock::now_us())
            .bind(serde_json::json!(but_for).to_string())
            .bind(serde_json::json!(but).to_string())
            .bind(each_max)
            .bind(enforced)
            .fetch_all(&self.readers)
            .await?;
        let found: Vec<DueReaction> = rows.iter().map(due).collect::<Result<_, _>>()?;
        Ok(in_turn(found))
    }

    /// Records a decision. One to ignore settles the reaction with it.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn decide(&self, reaction: i64, decided: Decided) -> Result<ChainHead, RecordError> {
        self.write(|reply| Write::Decide(reaction, decided, reply)).await
    }

    /// Ends a reaction, once.
    ///
    /// # Errors
    /// When it is settled already, or the journal does not answer.
    pub async fn settle(&self, reaction: i64, settlement: Settlement) -> Result<(), RecordError> {
        self.settle_all(vec![(reaction, settlement)]).await
    }

    /// Ends several reactions, all of them or none.
    ///
    /// # Errors
    /// When one is settled already, or the journal does not answer.
    pub async fn settle_all(&self, ends: Vec<(i64, Settlement)>) -> Result<(), RecordError> {
        self.write(|reply| Write::Settle(ends, reply)).await
    }

    /// The recorded proposal of a reaction.
    ///
    /// # Errors
    /// When the reaction has no proposal, or the journal does not answer.
    pub async fn proposal(&self, reaction: &DueReaction) -> Result<Proposal, RecordError> {
        let row = sqlx::query("SELECT plugin_digest, base_commit, decision FROM reactions WHERE id = ?")
            .bind(reaction.id)
            .fetch_one(&self.readers)
            .await?;
        let damaged = || RecordError::Damaged(format!("reaction {} has no proposal", reaction.id));
        let text = |name: &str| row.try_get::<Option<&str>, _>(name).map(Option::unwrap_or_default);
        let Ok(Decision::Propose(changes)) = serde_json::from_str(text("decision")?) else {
            return Err(damaged());
        };
        Ok(Proposal {
            reaction: reaction.clone(),
            plugin_digest: text("plugin_digest")?.to_owned(),
            base: CommitSha::parse(text("base_commit")?).map_err(|_| damaged())?,
            bytes: text("decision")?.len(),
            changes,
        })
    }
}
