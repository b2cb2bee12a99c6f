//! `riposte rules import`: Falco Talon's rule files become an entry of `plugins` that uses
//! `bundled:rules`, and a report says what was taken as what and what was left out.
//!
//! Talon runs every rule that matches, so each imported rule has `continue`. Where a rule of Talon ends
//! the search, what stands for it ends it too, and if nothing can stand for it, the rules below it are
//! left out: they would match more than before.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::action::{self, Needed, TerminateAs};
use super::entry::{self, Entry};
use super::matching::{self, Translated, Unmatched};
use super::talon::{self, Action, Rule};
use crate::cli::CommandError;
use crate::model::text::inert;

/// Turn Falco Talon's rule files into an entry of `plugins`.
///
/// The entry goes to standard output, what was left out and why to standard error. The exit status is
/// 1 when no action could be taken over, 2 when a file cannot be read.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// Talon's rule files, in the order in which Talon has them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What becomes of `kubernetes:terminate`.
    #[arg(long, value_enum, default_value = "leave-out")]
    terminate_as: TerminateAs,
    /// Write the entry into this file.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What has been made so far.
#[derive(Default)]
struct Imported {
    /// The plugin's rules, in Talon's order.
    rules: Vec<entry::Rule>,
    names: BTreeSet<String>,
    grants: Needed,
    /// Namespaces that rules name; `None` once a rule names none.
    namespaces: Option<BTreeSet<String>>,
    /// The rule left out that would have ended the search.
    blocked_by: Option<String>,
    report: Vec<String>,
    /// Actions, and those that were taken over.
    actions: usize,
    taken: usize,
}

impl Import {
    pub(super) fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let rules = talon::read(&self.files)?;
        let mut imported = Imported { namespaces: Some(BTreeSet::new()), ..Imported::default() };
        for rule in &rules {
            imported.take(rule, self.terminate_as)?;
        }
        let summary = format!(
            "{} rules with {} actions: {} taken over, {} left out",
            rules.len(),
            imported.actions,
            imported.taken,
            imported.actions - imported.taken
        );
        for line in imported.report.iter().chain([&summary]) {
            writeln!(std::io::stderr(), "{}", inert(line))?;
        }
        if imported.taken == 0 {
            return Err(CommandError::Negative("no action could be taken over".to_owned()));
        }
        let entry = Entry::new(imported.rules, imported.grants, imported.namespaces);
        entry.check()?;
        let files: Vec<String> = self.files.iter().map(|file| inert(&file.display().to_string())).collect();
        let files = files.join(", ");
        let text = format!(
            "# Made by `riposte rules import` of Falco Talon's rules: {files}.\n{}",
            entry.to_yaml()?
        );
        match &self.output {
            None => out.write_all(text.as_bytes())?,
            Some(path) => std::fs::write(path, text).map_err(|error| {
                CommandError::Failed(format!("cannot write {}: {error}", path.display()).into())
            })?,
        }
        Ok(())
    }
}

impl Imported {
    fn take(&mut self, rule: &Rule, terminate_as: TerminateAs) -> Result<(), CommandError> {
        self.actions += rule.actions.len();
        self.report.push(format!("{}: rule {:?}", rule.file.display(), rule.name));
        let reason = match (matching::translate(&rule.when), &self.blocked_by) {
            (Err(Unmatched::Wrong(reason)), _) => {
                let (file, name) = (rule.file.display(), &rule.name);
                return Err(CommandError::Failed(inert(&format!("{file}: rule {name:?}: {reason}")).into()));
            }
            (Err(Unmatched::Never(reason)), _) => format!("it never matches: {reason}"),
            (Err(Unmatched::Inexact(reason)), _) => {
                if rule.go_on == Some(false) && self.blocked_by.is_none() {
                    self.blocked_by = Some(rule.name.clone());
                }
                reason
            }
            (Ok(_), Some(blocker)) => format!(
                "rule {blocker:?} has `continue: false` and is left out, so this one would match more than in Talon"
            ),
            (Ok(translated), None) => {
                self.take_translated(rule, &translated, terminate_as);
                return Ok(());
            }
        };
        self.note(&format!("left out: {reason}"));
        Ok(())
    }

    fn take_translated(&mut self, rule: &Rule, translated: &Translated, terminate_as: TerminateAs) {
        if !rule.notifiers.is_empty() {
            self.note("notifiers: left out; the outcomes are in the journal, the metrics and the commits");
        }
        let before = self.rules.len();
        if rule.dry_run == Some(true) {
            self.note("left out: dry_run, so Talon only logs it; import it alone, for a plugin that stays in observe");
        } else {
            self.take_actions(rule, translated, terminate_as);
        }
        if rule.go_on == Some(false) {
            self.end(rule, translated, before);
        }
    }

    fn take_actions(&mut self, rule: &Rule, translated: &Translated, terminate_as: TerminateAs) {
        let mut ended_by: Option<&Action> = None;
        for action in &rule.actions {
            let what = format!("action {:?} ({})", action.name, action.actionner);
            let result = match ended_by {
                Some(by) => Err(format!("Talon never comes to it: action {:?} ends the rule", by.name)),
                None => action::translate(action, terminate_as),
            };
            match result {
                Err(reason) => self.note(&format!("{what}: left out: {reason}")),
                Ok(taken) => {
                    let kind = match &taken.action {
                        Value::Object(options) => options.keys().next().cloned().unwrap_or_default(),
                        name => name.as_str().unwrap_or_default().to_owned(),
                    };
                    self.note(&format!("{what}: taken as {kind}; {}", taken.differs));
                    self.taken += 1;
                    let when =
                        taken.only.iter().fold(translated.when.clone(), |when, only| when.and(only.clone()));
                    let name = if rule.actions.len() == 1 {
                        rule.name.clone()
                    } else {
                        format!("{}: {}", rule.name, action.name)
                    };
                    self.push(name, when.into_match(), taken.action, true);
                    self.grant(taken.grants, translated);
                }
            }
            if ended_by.is_none() && !action::goes_on(action) {
                ended_by = Some(action);
            }
        }
    }

    /// Ends the search where Talon does: with the rule's last action, or with one that does nothing.
    fn end(&mut self, rule: &Rule, translated: &Translated, before: usize) {
        let when = translated.when.clone().into_match();
        match self.rules[before..].last_mut().filter(|last| last.when == when) {
            Some(last) => last.go_on = false,
            None => self.push(format!("{}: the end", rule.name), when, json!("ignore"), false),
        }
    }

    fn push(&mut self, name: String, when: Value, action: Value, go_on: bool) {
        let mut unique = name.clone();
        for number in 2.. {
            if self.names.insert(unique.clone()) {
                break;
            }
            unique = format!("{name} ({number})");
        }
        self.rules.push(entry::Rule { name: unique, when, action, go_on });
    }

    fn grant(&mut self, needed: Needed, translated: &Translated) {
        self.grants.add(needed);
        match (&mut self.namespaces, &translated.namespaces) {
            (Some(all), Some(named)) => {
                all.extend(named.iter().filter(|name| matching::grantable(name)).cloned());
            }
            (all, _) => *all = None,
        }
    }

    fn note(&mut self, note: &str) {
        self.report.push(format!("  {note}"));
    }
}
