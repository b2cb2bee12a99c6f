//! Asking the journal: a page of events by filter, and one event with all that became of it.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::afterwards::{self, Afterwards, ReactionRow};
use super::event::stored_headers;
use super::pull_request::{self, SettledPullRequest};
use super::{Journal, RecordError};
use crate::model::outcome::Became;

/// Which events to list; an empty filter lists all. Newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// CloudEvents `type`, exact.
    pub event_type: Option<String>,
    /// CloudEvents `source`, exact.
    pub source: Option<String>,
    /// Falco rule, exact.
    pub rule: Option<String>,
    /// Falco priority, exact, in title case.
    pub priority: Option<String>,
    /// The pod's namespace.
    pub namespace: Option<String>,
    /// An outcome of one of its reactions, what became of its commit, or `pending`.
    pub outcome: Option<String>,
    /// A plugin that reacts to it.
    pub plugin: Option<String>,
    /// The request it came in: the events of one batch.
    pub request: Option<i64>,
    /// The repeats of this event.
    pub repeat_of: Option<i64>,
    /// Only repeats, or none.
    pub repeat: Option<bool>,
    /// Only these numbers, when not empty.
    pub seqs: Vec<i64>,
    /// Received at this time or later.
    pub since_us: Option<i64>,
    /// Received before this time.
    pub until_us: Option<i64>,
    /// Only events with a smaller number: where the page before ended.
    pub before_seq: Option<i64>,
}

/// An event in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its number.
    pub seq: i64,
    /// When it was received.
    pub received_us: i64,
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `type`.
    pub event_type: String,
    /// Falco rule.
    pub rule: Option<String>,
    /// Falco priority.
    pub priority: Option<String>,
    /// The pod's namespace.
    pub namespace: Option<String>,
    /// The pod.
    pub pod: Option<String>,
    /// Whether it was routed: its reactions have been made, or it repeats another one and has none.
    pub routed: bool,
    /// The event that it repeats.
    pub repeat_of: Option<i64>,
    /// How many events repeat it.
    pub repeats: i64,
    /// Its reactions, in the order they were made.
    pub reactions: Vec<ReactionRow>,
}

/// One event with everything that became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDetail {
    /// As in a list.
    pub row: EventRow,
    /// CloudEvents `subject`.
    pub subject: Option<String>,
    /// CloudEvents `time`, as sent.
    pub time: Option<String>,
    /// CloudEvents `datacontenttype`, as sent.
    pub datacontenttype: Option<String>,
    /// Extension attributes.
    pub extensions: BTreeMap<String, String>,
    /// The data, byte for byte.
    pub data: Option<Vec<u8>>,
    /// Repeats of one incident share it.
    pub fingerprint: String,
    /// The request it came in.
    pub request: i64,
    /// How it was enveloped.
    pub content_mode: String,
    /// The request's headers, less the credentials.
    pub headers: Vec<(String, String)>,
    /// The reactions.
    pub reactions: Vec<ReactionView>,
}

/// A reaction as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactionView {
    /// Its number.
    pub id: i64,
    /// The plugin's name.
    pub plugin: String,
    /// The replay that made it, 0 for none.
    pub replay_id: i64,
    /// `observe`, `propose` or `enforce`.
    pub mode: String,
    /// `pending`, `proposed` or `settled`.
    pub state: String,
    /// Digest of the plugin that decided.
    pub plugin_digest: Option<String>,
    /// Digest of its configuration.
    pub config_digest: Option<String>,
    /// The commit its look-ups read.
    pub base_commit: Option<String>,
    /// The decision as JSON.
    pub decision: Option<String>,
    /// Fuel used.
    pub fuel: Option<i64>,
    /// The end, if it has come.
    pub outcome: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What was or would have been changed.
    pub diff: Option<String>,
    /// When it was made.
    pub created_us: i64,
    /// When it ended.
    pub settled_us: Option<i64>,
    /// The commit.
    pub commit: Option<CommitView>,
    /// The pull request.
    pub pull_request: Option<SettledPullRequest>,
    /// The reaction that it takes back.
    pub reverts: Option<i64>,
    /// What became of its commit.
    pub afterwards: Afterwards,
    /// Every try.
    pub attempts: Vec<AttemptView>,
}

/// A commit as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitView {
    /// Its id.
    pub sha: String,
    /// The commit it was made on.
    pub base: String,
    /// Its message.
    pub message: String,
    /// When it was recorded.
    pub committed_us: i64,
}

/// A try as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptView {
    /// 1 for the first.
    pub number: i64,
    /// `dispatch` or `commit`.
    pub stage: String,
    /// When it began.
    pub started_us: i64,
    /// When it ended; `None` when the process ended first.
    pub ended_us: Option<i64>,
    /// How it ended.
    pub result: Option<String>,
    /// Why.
    pub detail: Option<String>,
}

fn select(filter: &EventFilter, events_max: u32) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT e.*, (SELECT count(*) FROM events r WHERE r.repeat_of = e.seq) AS repeats FROM events e WHERE 1 = 1",
    );
    let texts = [
        (" AND e.type = ", &filter.event_type),
        (" AND e.source = ", &filter.source),
        (" AND e.rule = ", &filter.rule),
        (" AND e.priority = ", &filter.priority),
        (" AND e.namespace = ", &filter.namespace),
    ];
    for (condition, value) in texts {
        if let Some(value) = value {
            query.push(condition).push_bind(value.clone());
        }
    }
    let numbers = [
        (" AND e.request_id = ", filter.request),
        (" AND e.repeat_of = ", filter.repeat_of),
        (" AND e.received_us >= ", filter.since_us),
        (" AND e.received_us < ", filter.until_us),
        (" AND e.seq < ", filter.before_seq),
    ];
    for (condition, value) in numbers {
        if let Some(value) = value {
            query.push(condition).push_bind(value);
        }
    }
    if let Some(repeat) = filter.repeat {
        query.push(if repeat { " AND e.repeat_of IS NOT NULL" } else { " AND e.repeat_of IS NULL" });
    }
    if filter.outcome.is_some() || filter.plugin.is_some() {
        query.push(" AND EXISTS (SELECT 1 FROM reactions r WHERE r.event_seq = e.seq");
        if let Some(outcome) = &filter.outcome {
            match Became::parse(outcome) {
                Some(became) => query.push(" AND ").push(afterwards::condition(became)),
                None => query.push(" AND coalesce(r.outcome, 'pending') = ").push_bind(outcome.clone()),
            };
        }
        if let Some(plugin) = &filter.plugin {
            query.push(" AND r.plugin = ").push_bind(plugin.clone());
        }
        query.push(")");
    }
    if !filter.seqs.is_empty() {
        query.push(" AND e.seq IN (");
        let mut list = query.separated(", ");
        for seq in &filter.seqs {
            list.push_bind(*seq);
        }
        query.push(")");
    }
    query.push(" ORDER BY e.seq DESC LIMIT ").push_bind(i64::from(events_max));
    query
}

fn event_row(row: &SqliteRow, reactions: Vec<ReactionRow>) -> Result<EventRow, RecordError> {
    Ok(EventRow {
        seq: row.try_get("seq")?,
        received_us: row.try_get("received_us")?,
        id: row.try_get("id")?,
        source: row.try_get("source")?,
        event_type: row.try_get("type")?,
        rule: row.try_get("rule")?,
        priority: row.try_get("priority")?,
        namespace: row.try_get("namespace")?,
        pod: row.try_get("pod")?,
        routed: row.try_get::<Option<i64>, _>("routed_us")?.is_some(),
        repeat_of: row.try_get("repeat_of")?,
        repeats: row.try_get("repeats")?,
        reactions,
    })
}

impl Journal {
    /// A page of events, newest first.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn events(&self, filter: &EventFilter, events_max: u32) -> Result<Vec<EventRow>, RecordError> {
        let rows = select(filter, events_max).build().fetch_all(&self.readers).await?;
        let mut events = Vec::with_capacity(rows.len());
        for row in &rows {
            let reactions = self.reaction_rows(row.try_get("seq")?).await?;
            events.push(event_row(row, reactions)?);
        }
        Ok(events)
    }

    /// One event with its request, reactions, attempts and commits.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn detail(&self, seq: i64) -> Result<Option<EventDetail>, RecordError> {
        let row = sqlx::query(
            "SELECT e.*, r.content_mode, r.headers, \
             (SELECT count(*) FROM events WHERE repeat_of = e.seq) AS repeats FROM events e JOIN requests r ON r.id = e.request_id \
             WHERE e.seq = ?",
        )
        .bind(seq)
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let reactions = self.reactions_where("r.event_seq = ", seq).await?;
        Ok(Some(EventDetail {
            row: event_row(&row, self.reaction_rows(seq).await?)?,
            subject: row.try_get("subject")?,
            time: row.try_get("time")?,
            datacontenttype: row.try_get("datacontenttype")?,
            extensions: serde_json::from_str(row.try_get("extensions")?)
                .map_err(|error| RecordError::Damaged(error.to_string()))?,
            data: row.try_get("data")?,
            fingerprint: row.try_get("fingerprint")?,
            request: row.try_get("request_id")?,
            content_mode: row.try_get("content_mode")?,
            headers: stored_headers(row.try_get("headers")?)?,
            reactions: reactions.into_iter().map(|(_, reaction)| reaction).collect(),
        }))
    }

    /// One reaction, with its event's number.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn reaction(&self, id: i64) -> Result<Option<(i64, ReactionView)>, RecordError> {
        Ok(self.reactions_where("r.id = ", id).await?.pop())
    }

    /// The reactions that a replay made, each with its event's number.
    pub(super) async fn replay_reactions(&self, id: i64) -> Result<Vec<(i64, ReactionView)>, RecordError> {
        self.reactions_where("r.replay_id = ", id).await
    }

    async fn reactions_where(
        &self,
        condition: &'static str,
        number: i64,
    ) -> Result<Vec<(i64, ReactionView)>, RecordError> {
        let rows = QueryBuilder::<Sqlite>::new(
            "SELECT r.*, c.sha, c.base, c.message, c.committed_us, p.number, p.url, p.branch, ",
        )
        .push(afterwards::COLUMNS)
        .push(
            " FROM reactions r LEFT JOIN commits c ON c.reaction_id = r.id \
             LEFT JOIN pull_requests p ON p.reaction_id = r.id ",
        )
        .push(afterwards::TABLES)
        .push(" WHERE ")
        .push(condition)
        .push_bind(number)
        .push(" ORDER BY r.id")
        .build()
        .fetch_all(&self.readers)
        .await?;
        let mut reactions = Vec::with_capacity(rows.len());
        for row in &rows {
            let attempts = self.attempts(row.try_get("id")?).await?;
            reactions.push((row.try_get("event_seq")?, reaction_view(row, attempts)?));
        }
        Ok(reactions)
    }

    async fn attempts(&self, reaction: i64) -> Result<Vec<AttemptView>, RecordError> {
        let rows = sqlx::query("SELECT * FROM attempts WHERE reaction_id = ? ORDER BY number")
            .bind(reaction)
            .fetch_all(&self.readers)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(AttemptView {
                    number: row.try_get("number")?,
                    stage: row.try_get("stage")?,
                    started_us: row.try_get("started_us")?,
                    ended_us: row.try_get("ended_us")?,
                    result: row.try_get("result")?,
                    detail: row.try_get("detail")?,
                })
            })
            .collect()
    }
}

fn reaction_view(row: &SqliteRow, attempts: Vec<AttemptView>) -> Result<ReactionView, RecordError> {
    let commit = match row.try_get::<Option<String>, _>("sha")? {
        Some(sha) => Some(CommitView {
            sha,
            base: row.try_get("base")?,
            message: row.try_get("message")?,
            committed_us: row.try_get("committed_us")?,
        }),
        None => None,
    };
    Ok(ReactionView {
        id: row.try_get("id")?,
        plugin: row.try_get("plugin")?,
        replay_id: row.try_get("replay_id")?,
        mode: row.try_get("mode")?,
        state: row.try_get("state")?,
        plugin_digest: row.try_get("plugin_digest")?,
        config_digest: row.try_get("config_digest")?,
        base_commit: row.try_get("base_commit")?,
        decision: row.try_get("decision")?,
        fuel: row.try_get("fuel")?,
        outcome: row.try_get("outcome")?,
        reason: row.try_get("reason")?,
        diff: row.try_get("diff")?,
        created_us: row.try_get("created_us")?,
        settled_us: row.try_get("settled_us")?,
        commit,
        pull_request: pull_request::stored(row)?,
        reverts: row.try_get("reverts")?,
        afterwards: afterwards::read(row, row.try_get("id")?)?,
        attempts,
    })
}
