//! `GET /v1/events`, `/v1/events/{seq}` and its raw body.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};

use super::Problem;
use crate::clock;
use crate::model::outcome::{Became, OutcomeKind};
use crate::pipeline::Pipeline;
use crate::record::{
    Afterwards, AttemptView, CommitView, EventDetail, EventFilter, EventRow, ReactionRow, ReactionView,
    SettledPullRequest,
};

const PAGE_EVENTS_DEFAULT: u32 = 50;
const PAGE_EVENTS_MAX: u32 = 500;

/// Which events to list.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams, utoipa::ToSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Selection {
    /// CloudEvents `type`, exact.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// CloudEvents `source`, exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Falco rule, exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Falco priority, exact, in title case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// The pod's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// An outcome of one of its reactions, what became of its commit, or `pending`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// A plugin that reacted to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The request it came in: the events of one batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<i64>,
    /// The repeats of this event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_of: Option<i64>,
    /// `true` for repeats only, `false` for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<bool>,
    /// Received at this time (RFC 3339) or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Received before this time (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Events a page: 50 unless told, 500 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Selection {
    /// Checks the values.
    pub(super) fn filter(&self) -> Result<(EventFilter, u32), Problem> {
        let time = |name: &str, text: &Option<String>| match text {
            Some(text) => clock::parse_rfc3339(text)
                .map(Some)
                .ok_or_else(|| Problem::parameter(name, format!("{text:?} is not an RFC 3339 time"))),
            None => Ok(None),
        };
        let limit = self.limit.unwrap_or(PAGE_EVENTS_DEFAULT);
        if limit == 0 || limit > PAGE_EVENTS_MAX {
            return Err(Problem::parameter("limit", format!("limit goes from 1 to {PAGE_EVENTS_MAX}")));
        }
        if let Some(outcome) = &self.outcome
            && outcome != "pending"
            && OutcomeKind::parse(outcome).is_none()
            && Became::parse(outcome).is_none()
        {
            return Err(Problem::parameter("outcome", format!("{outcome:?} is not an outcome")));
        }
        let filter = EventFilter {
            event_type: self.event_type.clone(),
            source: self.source.clone(),
            rule: self.rule.clone(),
            priority: self.priority.clone(),
            namespace: self.namespace.clone(),
            outcome: self.outcome.clone(),
            plugin: self.plugin.clone(),
            request: self.request,
            repeat_of: self.repeat_of,
            repeat: self.repeat,
            seqs: Vec::new(),
            since_us: time("since", &self.since)?,
            until_us: time("until", &self.until)?,
            before_seq: self.cursor.as_deref().map(parse_cursor).transpose()?,
        };
        Ok((filter, limit))
    }
}

fn parse_cursor(cursor: &str) -> Result<i64, Problem> {
    let seq = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    seq.and_then(|text| text.strip_prefix("before:")?.parse().ok())
        .ok_or_else(|| Problem::parameter("cursor", "the cursor is not one that this API has given"))
}

/// A page of events, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct EventPage {
    /// The events.
    events: Vec<EventEntry>,
    /// The cursor of the next page, if there is one.
    next: Option<String>,
}

/// An event in a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct EventEntry {
    #[serde(flatten)]
    head: EventHead,
    reactions: Vec<ReactionEntry>,
}

/// What a list and a single event have in common.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventHead {
    seq: i64,
    received: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    rule: Option<String>,
    priority: Option<String>,
    namespace: Option<String>,
    pod: Option<String>,
    /// Whether the plugins it goes to are known; until then `reactions` is empty.
    routed: bool,
    /// The event that reported the incident first: this one was not dispatched.
    repeat_of: Option<i64>,
    /// How many later events repeat this one.
    repeats: i64,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ReactionEntry {
    plugin: String,
    outcome: String,
    /// `expired`, `reverted` or `overridden`: what became of its commit. Absent while it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    became: Option<String>,
    /// The reaction that it takes back; absent where it is no revert.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverts: Option<i64>,
}

impl From<ReactionRow> for ReactionEntry {
    fn from(row: ReactionRow) -> Self {
        let became = row.became.map(|became| became.as_str().to_owned());
        Self { plugin: row.plugin, outcome: row.outcome, became, reverts: row.reverts }
    }
}

impl From<EventRow> for EventEntry {
    fn from(mut row: EventRow) -> Self {
        let reactions = std::mem::take(&mut row.reactions).into_iter();
        Self { reactions: reactions.map(Into::into).collect(), head: row.into() }
    }
}

impl From<EventRow> for EventHead {
    fn from(row: EventRow) -> Self {
        Self {
            seq: row.seq,
            received: clock::rfc3339(row.received_us),
            id: row.id,
            source: row.source,
            event_type: row.event_type,
            rule: row.rule,
            priority: row.priority,
            namespace: row.namespace,
            pod: row.pod,
            routed: row.routed,
            repeat_of: row.repeat_of,
            repeats: row.repeats,
        }
    }
}

/// One event with everything that became of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventView {
    #[serde(flatten)]
    head: EventHead,
    subject: Option<String>,
    time: Option<String>,
    datacontenttype: Option<String>,
    extensions: BTreeMap<String, String>,
    /// The data, when it is JSON: numbers as they were sent.
    #[schema(value_type = Object)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<serde_json::value::RawValue>>,
    /// The data, when it is not JSON.
    #[serde(rename = "data_base64", skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    fingerprint: String,
    request: RequestView,
    reactions: Vec<ReactionDetail>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct RequestView {
    number: i64,
    content_mode: String,
    /// Header names and values in the order they came, less the credentials.
    headers: Vec<(String, String)>,
}

/// One event for one plugin.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReactionDetail {
    id: i64,
    plugin: String,
    /// The replay that made it, if one did.
    replay: Option<i64>,
    mode: String,
    pub(super) state: String,
    /// Why it is not being decided on or committed, while that is not because of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waits_because: Option<String>,
    plugin_digest: Option<String>,
    config_digest: Option<String>,
    base_commit: Option<String>,
    #[schema(value_type = Option<Object>)]
    decision: Option<serde_json::Value>,
    fuel: Option<i64>,
    pub(super) outcome: Option<String>,
    reason: Option<String>,
    diff: Option<String>,
    created: String,
    settled: Option<String>,
    commit: Option<CommitDetail>,
    /// The pull request that proposes the commit, or that was closed because its change is in the branch.
    pull_request: Option<PullRequestDetail>,
    /// The reaction that it takes back; absent where it is no revert.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverts: Option<i64>,
    #[serde(flatten)]
    afterwards: AfterwardsDetail,
    attempts: Vec<AttemptDetail>,
}

/// What became of a reaction's commit; what is not so is absent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct AfterwardsDetail {
    /// `expired`, `reverted` or `overridden`: the commit stands no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    became: Option<String>,
    /// The reaction that takes it back, or has.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverted_by: Option<i64>,
    /// When the gateway takes it back by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    /// Why the gateway cannot take it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    irrevertible: Option<String>,
    /// Where it was seen that a person has taken it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    overridden: Option<OverriddenDetail>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct OverriddenDetail {
    /// The commit of the branch.
    head: String,
    seen: String,
}

impl From<Afterwards> for AfterwardsDetail {
    fn from(afterwards: Afterwards) -> Self {
        Self {
            became: afterwards.became.map(|became| became.as_str().to_owned()),
            reverted_by: afterwards.reverted_by,
            expires: afterwards.expires_us.map(clock::rfc3339),
            irrevertible: afterwards.irrevertible,
            overridden: afterwards
                .overridden
                .map(|seen| OverriddenDetail { head: seen.head, seen: clock::rfc3339(seen.seen_us) }),
        }
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CommitDetail {
    sha: String,
    base: String,
    message: String,
    committed: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PullRequestDetail {
    number: i64,
    url: String,
    /// Its branch.
    branch: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AttemptDetail {
    number: i64,
    stage: String,
    started: String,
    /// Absent when the process ended first.
    ended: Option<String>,
    result: Option<String>,
    detail: Option<String>,
}

impl From<CommitView> for CommitDetail {
    fn from(commit: CommitView) -> Self {
        let committed = clock::rfc3339(commit.committed_us);
        Self { sha: commit.sha, base: commit.base, message: commit.message, committed }
    }
}

impl From<SettledPullRequest> for PullRequestDetail {
    fn from(pull_request: SettledPullRequest) -> Self {
        Self { number: pull_request.number, url: pull_request.url, branch: pull_request.branch }
    }
}

impl From<AttemptView> for AttemptDetail {
    fn from(attempt: AttemptView) -> Self {
        Self {
            number: attempt.number,
            stage: attempt.stage,
            started: clock::rfc3339(attempt.started_us),
            ended: attempt.ended_us.map(clock::rfc3339),
            result: attempt.result,
            detail: attempt.detail,
        }
    }
}

impl From<ReactionView> for ReactionDetail {
    fn from(reaction: ReactionView) -> Self {
        Self {
            id: reaction.id,
            plugin: reaction.plugin,
            replay: (reaction.replay_id != 0).then_some(reaction.replay_id),
            mode: reaction.mode,
            state: reaction.state,
            waits_because: None,
            plugin_digest: reaction.plugin_digest,
            config_digest: reaction.config_digest,
            base_commit: reaction.base_commit,
            decision: reaction.decision.and_then(|decision| serde_json::from_str(&decision).ok()),
            fuel: reaction.fuel,
            outcome: reaction.outcome,
            reason: reaction.reason,
            diff: reaction.diff,
            created: clock::rfc3339(reaction.created_us),
            settled: reaction.settled_us.map(clock::rfc3339),
            commit: reaction.commit.map(Into::into),
            pull_request: reaction.pull_request.map(Into::into),
            reverts: reaction.reverts,
            afterwards: reaction.afterwards.into(),
            attempts: reaction.attempts.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<EventDetail> for EventView {
    fn from(detail: EventDetail) -> Self {
        let is_json = detail.datacontenttype.as_deref().is_none_or(crate::model::event::media_type_is_json);
        let json =
            detail.data.as_deref().filter(|_| is_json).and_then(|data| serde_json::from_slice(data).ok());
        let data_base64 = detail.data.filter(|_| json.is_none()).map(|data| STANDARD.encode(data));
        let request = RequestView {
            number: detail.request,
            content_mode: detail.content_mode,
            headers: detail.headers,
        };
        Self {
            head: detail.row.into(),
            subject: detail.subject,
            time: detail.time,
            datacontenttype: detail.datacontenttype,
            extensions: detail.extensions,
            data: json,
            data_base64,
            fingerprint: detail.fingerprint,
            request,
            reactions: detail.reactions.into_iter().map(Into::into).collect(),
        }
    }
}

/// A page of events, newest first.
#[utoipa::path(get, path = "/v1/events", params(Selection),
    responses((status = 200, body = EventPage), (status = 400, body = Problem)))]
pub(super) async fn list(
    State(pipeline): State<Arc<Pipeline>>,
    selection: Result<Query<Selection>, QueryRejection>,
) -> Result<Json<EventPage>, Problem> {
    let Query(selection) = selection.map_err(|error| Problem::parameter("query", error.body_text()))?;
    let (filter, limit) = selection.filter()?;
    let mut rows = pipeline.journal.events(&filter, limit + 1).await?;
    let full = usize::try_from(limit).is_ok_and(|limit| rows.len() > limit);
    if full {
        rows.pop();
    }
    let last = rows.last().filter(|_| full);
    let next = last.map(|row| URL_SAFE_NO_PAD.encode(format!("before:{}", row.seq)));
    Ok(Json(EventPage { events: rows.into_iter().map(Into::into).collect(), next }))
}

/// One event with its request, reactions, attempts, diffs and commits.
#[utoipa::path(get, path = "/v1/events/{seq}", params(("seq" = i64, Path, description = "The event's number")),
    responses((status = 200, body = EventView), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(pipeline): State<Arc<Pipeline>>,
    seq: Result<Path<i64>, PathRejection>,
) -> Result<Json<EventView>, Problem> {
    let seq = number("seq", seq)?;
    let detail = pipeline.journal.detail(seq).await?.ok_or_else(|| Problem::missing("event", seq))?;
    let mut view = EventView::from(detail);
    view.reactions.iter_mut().for_each(|reaction| reaction.wait_for(&pipeline));
    Ok(Json(view))
}

/// The body that brought the event, byte for byte, inert in a browser.
#[utoipa::path(get, path = "/v1/events/{seq}/raw", params(("seq" = i64, Path, description = "The event's number")),
    responses((status = 200, description = "The request's body", content_type = "application/octet-stream"),
        (status = 404, body = Problem)))]
pub(super) async fn raw(
    State(pipeline): State<Arc<Pipeline>>,
    seq: Result<Path<i64>, PathRejection>,
) -> Result<Response, Problem> {
    let seq = number("seq", seq)?;
    let stored = pipeline.journal.raw(seq).await?.ok_or_else(|| Problem::missing("event", seq))?;
    let content_type = stored.content_type.and_then(|text| HeaderValue::try_from(text).ok());
    let mut response = stored.body.into_response();
    let headers = response.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, content_type.unwrap_or(octets));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    let name = format!("attachment; filename=\"event-{seq}\"");
    if let Ok(disposition) = HeaderValue::try_from(name) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// The number in a path.
pub(super) fn number(name: &str, path: Result<Path<i64>, PathRejection>) -> Result<i64, Problem> {
    path.map(|Path(number)| number)
        .map_err(|_| Problem::parameter(name, format!("{{{name}}} of the path is a whole number")))
}
