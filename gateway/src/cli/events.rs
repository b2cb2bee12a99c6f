//! `riposte events list` and `riposte events show`.

use std::io::Write;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use super::CommandError;
use super::client::Connection;
use crate::model::text::inert;

/// Ask the journal for events.
#[derive(Debug, Args)]
pub(super) struct Events {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A page of events, newest first.
    List(Box<List>),
    /// One event with its reactions, attempts, diff and commit.
    Show(Show),
}

/// Filters; what is not given does not filter.
#[derive(Debug, Args)]
pub(super) struct Filters {
    /// CloudEvents `type`.
    #[arg(long = "type")]
    event_type: Option<String>,
    /// CloudEvents `source`.
    #[arg(long)]
    source: Option<String>,
    /// Falco rule.
    #[arg(long)]
    rule: Option<String>,
    /// Falco priority, in title case.
    #[arg(long)]
    priority: Option<String>,
    /// The pod's namespace.
    #[arg(long)]
    namespace: Option<String>,
    /// An outcome, `expired`, `reverted`, `overridden`, or `pending`.
    #[arg(long)]
    outcome: Option<String>,
    /// A plugin that reacted.
    #[arg(long)]
    plugin: Option<String>,
    /// `true` for events that repeat another one, `false` for the others.
    #[arg(long)]
    repeat: Option<bool>,
    /// The repeats of this event.
    #[arg(long)]
    repeat_of: Option<i64>,
    /// Received at this time (RFC 3339) or later.
    #[arg(long)]
    since: Option<String>,
    /// Received before this time (RFC 3339).
    #[arg(long)]
    until: Option<String>,
}

impl Filters {
    /// The filters that were given, by their names in the REST interface.
    pub(super) fn given(&self) -> Vec<(&'static str, Value)> {
        let texts = [
            ("type", &self.event_type),
            ("source", &self.source),
            ("rule", &self.rule),
            ("priority", &self.priority),
            ("namespace", &self.namespace),
            ("outcome", &self.outcome),
            ("plugin", &self.plugin),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let texts = texts.into_iter().map(|(name, value)| (name, value.as_deref().map(Value::from)));
        let more = [("repeat", self.repeat.map(Value::from)), ("repeatOf", self.repeat_of.map(Value::from))];
        texts.chain(more).filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    filters: Filters,
    /// Events a page, 500 at most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// The cursor that the page before ended with.
    #[arg(long)]
    cursor: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    connection: Connection,
    /// The event's number.
    seq: i64,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Events {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        match self.command {
            Command::List(list) => list.run(out).await,
            Command::Show(show) => show.run(out).await,
        }
    }
}

impl List {
    async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &self.limit.to_string());
        for (name, value) in self.filters.given() {
            query.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        if let Some(cursor) = &self.cursor {
            query.append_pair("cursor", cursor);
        }
        let path = format!("/v1/events?{}", query.finish());
        let page = self.connection.ask(Method::GET, &path, None).await?.body;
        if self.json {
            return print_json(out, &page);
        }
        for event in list(&page, "events") {
            writeln!(
                out,
                "{:>6}  {}  {:<9}  {}  {}/{}  {}",
                event["seq"],
                text(event, "received"),
                text(event, "priority"),
                if event["rule"].is_null() { text(event, "type") } else { text(event, "rule") },
                text(event, "namespace"),
                text(event, "pod"),
                became(event),
            )?;
        }
        if let Some(next) = page["next"].as_str() {
            writeln!(out, "more: --cursor {next}")?;
        }
        Ok(())
    }
}

/// What became of an event, in a few words.
fn became(event: &Value) -> String {
    if let Some(first) = event["repeatOf"].as_i64() {
        return format!("repeats {first}");
    }
    let reactions = list(event, "reactions").iter();
    let reactions = reactions.map(|reaction| match reaction["reverts"].as_i64() {
        Some(_) => format!("revert={}", text(reaction, "outcome")),
        None if reaction["became"].is_null() => ended(reaction, "outcome"),
        None => ended(reaction, "became"),
    });
    let mut words: Vec<String> = reactions.collect();
    if words.is_empty() {
        words.push(if event["routed"] == true { "no plugin" } else { "pending" }.to_owned());
    }
    if let Some(repeats) = event["repeats"].as_i64().filter(|repeats| *repeats > 0) {
        words.push(format!("(repeats: {repeats})"));
    }
    words.join(" ")
}

fn ended(reaction: &Value, key: &str) -> String {
    format!("{}={}", text(reaction, "plugin"), text(reaction, key))
}

impl Show {
    async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let path = format!("/v1/events/{}", self.seq);
        let event = self.connection.ask(Method::GET, &path, None).await?.body;
        if self.json { print_json(out, &event) } else { print_event(out, &event) }
    }
}

/// An event for people.
pub(super) fn print_event(out: &mut impl Write, event: &Value) -> Result<(), CommandError> {
    writeln!(out, "event {}  {}  received {}", event["seq"], text(event, "type"), text(event, "received"))?;
    writeln!(out, "  source {}  id {}", text(event, "source"), text(event, "id"))?;
    if !event["rule"].is_null() {
        writeln!(out, "  rule {:?}  priority {}", text(event, "rule"), text(event, "priority"))?;
        writeln!(out, "  pod {}/{}", text(event, "namespace"), text(event, "pod"))?;
    }
    match (event["repeatOf"].as_i64(), event["repeats"].as_i64()) {
        (Some(first), _) => writeln!(out, "  repeats event {first}, and was not dispatched")?,
        (None, Some(repeats)) if repeats > 0 => writeln!(out, "  repeats: {repeats}")?,
        _ => {}
    }
    for reaction in list(event, "reactions") {
        let outcome = reaction["outcome"].as_str().unwrap_or("pending");
        writeln!(
            out,
            "\nreaction {}  {} ({})  {outcome}: {}",
            reaction["id"],
            text(reaction, "plugin"),
            text(reaction, "mode"),
            text(reaction, if reaction["reason"].is_null() { "waitsBecause" } else { "reason" })
        )?;
        print_afterwards(out, reaction)?;
        for attempt in list(reaction, "attempts") {
            writeln!(
                out,
                "  attempt {}  {:<8}  {}  {}  {}",
                attempt["number"],
                text(attempt, "stage"),
                text(attempt, "started"),
                text(attempt, "result"),
                text(attempt, "detail")
            )?;
        }
        let pull_request = &reaction["pullRequest"];
        if pull_request.is_object() {
            let (url, branch) = (text(pull_request, "url"), text(pull_request, "branch"));
            writeln!(out, "  pull request {}  {url}  {branch}", pull_request["number"])?;
        }
        if let Some(sha) = reaction["commit"]["sha"].as_str() {
            writeln!(out, "  commit {sha}\n")?;
            indent(out, reaction["commit"]["message"].as_str().unwrap_or_default())?;
        }
        if let Some(diff) = reaction["diff"].as_str() {
            writeln!(out)?;
            indent(out, diff)?;
        }
    }
    Ok(())
}

/// What the reaction takes back, and what became of its own commit.
fn print_afterwards(out: &mut impl Write, reaction: &Value) -> Result<(), CommandError> {
    if let Some(reverted) = reaction["reverts"].as_i64() {
        writeln!(out, "  takes back reaction {reverted}")?;
    }
    match (reaction["became"].as_str(), reaction["revertedBy"].as_i64(), reaction["expires"].as_str()) {
        (Some("overridden"), ..) => {
            let seen = &reaction["overridden"];
            writeln!(out, "  overridden by a person, seen {} at {}", text(seen, "seen"), text(seen, "head"))?;
        }
        (Some(became), Some(revert), _) => writeln!(out, "  {became} by reaction {revert}")?,
        (None, Some(revert), _) => writeln!(out, "  is being taken back by reaction {revert}")?,
        (None, None, Some(expires)) => writeln!(out, "  expires {expires}")?,
        _ => {}
    }
    Ok(())
}

pub(super) fn indent(out: &mut impl Write, block: &str) -> Result<(), CommandError> {
    for line in block.lines() {
        // A tab moves the rest of its line, as it does in the file.
        let line: Vec<String> = line.split('\t').map(inert).collect();
        writeln!(out, "    {}", line.join("\t"))?;
    }
    Ok(())
}

pub(super) fn print_json(out: &mut impl Write, value: &Value) -> Result<(), CommandError> {
    writeln!(out, "{value:#}")?;
    Ok(())
}

/// A text of the answer, inert; `-` where there is none.
pub(super) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().map_or_else(|| "-".to_owned(), inert)
}

pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}
