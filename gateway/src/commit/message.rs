//! The commit's message: what changed and why for people, where it comes from for machines.
//!
//! Most of it was written by strangers: an attacker chooses Falco's output, a plugin its title. So
//! every such text is folded to one line or quoted line by line, with control and direction characters
//! escaped, and nothing of it can stand where Git looks for a subject, a trailer or a patch, or is read
//! by a forge as a command.

use std::fmt::Write as _;

use super::inert::inert;
use crate::model::text::is_unprintable;

/// The longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 120;

/// The most that is quoted of the rule's output.
const OUTPUT_CHARS_MAX: usize = 4096;
const OUTPUT_LINES_MAX: usize = 40;

/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 1024;

/// The same of one change among several.
const EACH_OUTPUT_CHARS_MAX: usize = 320;
const EACH_OUTPUT_LINES_MAX: usize = 4;
const EACH_REASON_CHARS_MAX: usize = 320;

/// The paragraphs of several changes, in bytes: beyond the first, a change is only named; beyond the
/// second, only counted. Its trailers are there all the same.
const TOLD_BYTES_MAX: usize = 24 * 1024;
const NAMED_BYTES_MAX: usize = 32 * 1024;

/// The longest value of a trailer, in characters.
const TRAILER_CHARS_MAX: usize = 256;

/// What a message is made of. Any text may be hostile.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// What changed, for example `Scale default/web to 0`.
    pub title: &'a str,
    /// What made us change it: the rule, or the event's type.
    pub cause: &'a str,
    /// The rule's formatted output.
    pub output: Option<&'a str>,
    /// Why, in the plugin's words.
    pub reason: &'a str,
    /// The journal's name.
    pub journal: &'a str,
    /// The event's number in the journal.
    pub event: i64,
    /// The reaction's number in the journal.
    pub reaction: i64,
    /// The plugin's name.
    pub plugin: &'a str,
    /// `sha256:` and the digest of the plugin.
    pub digest: &'a str,
    /// The number of entries in the journal's hash chain.
    pub chain_length: i64,
    /// The hash of the chain's last entry, in hexadecimal.
    pub chain_hash: &'a str,
}

/// A whole commit message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message(String);

impl Message {
    /// Puts the message together.
    #[must_use]
    pub fn new(parts: &Parts<'_>) -> Self {
        let mut text = subject(parts.title, parts.cause);
        text.push_str("\n\n");
        if let Some(output) = parts.output {
            quote(&mut text, output, OUTPUT_CHARS_MAX, OUTPUT_LINES_MAX);
            text.push('\n');
        }
        let reason = said(parts.reason, REASON_CHARS_MAX);
        if !reason.is_empty() {
            text.push_str("Reason: ");
            text.push_str(&reason);
            text.push_str("\n\n");
        }
        text.push_str(&trailers(&[*parts]));
        Self(text)
    }

    /// One message for the changes of several reactions, in their order; for one it is [`Self::new`].
    #[must_use]
    pub fn of_all(parts: &[Parts<'_>]) -> Self {
        if let [one] = parts {
            return Self::new(one);
        }
        let titles: Vec<String> = parts.iter().map(|parts| subject(parts.title, "")).collect();
        let mut text = said(&format!("{} changes: {}", parts.len(), titles.join("; ")), SUBJECT_CHARS_MAX);
        text.push_str("\n\n");
        for (index, parts) in parts.iter().enumerate() {
            if text.len() > NAMED_BYTES_MAX {
                let _infallible = write!(text, "And {} more.\n\n", titles.len() - index);
                break;
            }
            let is_told = text.len() <= TOLD_BYTES_MAX;
            paragraph(&mut text, index + 1, parts, is_told);
        }
        text.push_str(&trailers(parts));
        Self(text)
    }

    /// Subject, empty line, body, empty line, trailers, line end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last paragraph: where the commit comes from.
    #[must_use]
    pub fn trailers(&self) -> &str {
        self.0.trim_end().rsplit("\n\n").next().unwrap_or_default()
    }

    /// The first line.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }
}

/// The trailer by which the commit of a reaction is found again.
#[must_use]
pub fn reaction_trailer(journal: &str, reaction: i64) -> String {
    trailer("Riposte-Reaction", &format!("{journal}/{reaction}"))
}

fn trailer(key: &str, value: &str) -> String {
    format!("{key}: {}", one_line(value, TRAILER_CHARS_MAX))
}

/// Each reaction's own trailers together; the journal's once.
fn trailers(all: &[Parts<'_>]) -> String {
    let mut trailers = Vec::with_capacity(3 * all.len() + 1);
    for parts in all {
        trailers.push(trailer("Riposte-Event", &format!("{}/{}", parts.journal, parts.event)));
        trailers.push(reaction_trailer(parts.journal, parts.reaction));
        trailers.push(trailer("Riposte-Plugin", &format!("{}@{}", parts.plugin, parts.digest)));
    }
    if let Some(last) = all.last() {
        trailers.push(trailer("Riposte-Journal", &format!("{}:{}", last.chain_length, last.chain_hash)));
    }
    trailers.join("\n") + "\n"
}

/// One change among several.
fn paragraph(text: &mut String, number: usize, parts: &Parts<'_>, is_told: bool) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(text, "{number}. {}", subject(parts.title, parts.cause));
    if is_told {
        if let Some(output) = parts.output {
            quote(text, output, EACH_OUTPUT_CHARS_MAX, EACH_OUTPUT_LINES_MAX);
        }
        let reason = said(parts.reason, EACH_REASON_CHARS_MAX);
        if !reason.is_empty() {
            let _infallible = writeln!(text, "Reason: {reason}");
        }
    }
    text.push('\n');
}

/// A subject may not begin like a comment or like the line that Git takes for the start of a patch.
fn subject(title: &str, cause: &str) -> String {
    let title = one_line(title, usize::MAX);
    let title = title.trim_start_matches(['#', '-', ' ']);
    let title = if title.is_empty() { "Change the desired state" } else { title };
    let cause = one_line(cause, usize::MAX);
    if cause.is_empty() {
        return said(title, SUBJECT_CHARS_MAX);
    }
    said(&format!("{title}: {cause}"), SUBJECT_CHARS_MAX)
}

/// One line of a stranger, on which no forge acts.
fn said(text: &str, chars_max: usize) -> String {
    cut(&inert(&one_line(text, usize::MAX)), chars_max)
}

fn quote(text: &mut String, output: &str, chars_max: usize, lines_max: usize) {
    let mut chars_left = chars_max;
    for (number, line) in output.trim().lines().enumerate() {
        if number == lines_max || chars_left == 0 {
            text.push_str("> …\n");
            break;
        }
        let line = cut(&inert(&escape(line.trim_end())), chars_left);
        chars_left -= line.chars().count().min(chars_left);
        text.push_str("> ");
        text.push_str(&line);
        text.push('\n');
    }
}

/// Without line ends, runs of white space or surprises, and not too long.
pub(super) fn one_line(text: &str, chars_max: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    cut(&escape(&words.join(" ")), chars_max)
}

/// At a character's boundary; the cut shows.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    kept.trim_end().to_owned() + "…"
}

/// What cannot be seen, or misleads, as escapes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unprintable(character) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{{{:x}}}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{Message, Parts, reaction_trailer};
    use proptest::prelude::*;

    const PARTS: Parts<'_> = Parts {
        title: "Scale default/alpine-deployment to 0",
        cause: "Terminal shell in container",
        output: Some("A shell was spawned\nuser=root"),
        reason: "the rule is on the list",
        journal: "j1",
        event: 7,
        reaction: 9,
        plugin: "scale-to-zero",
        digest: "sha256:ab",
        chain_length: 12,
        chain_hash: "c0ffee",
    };

    fn trailers(message: &Message) -> Vec<(String, String)> {
        let trailers = git2::message_trailers_strs(message.as_str()).unwrap();
        trailers.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn check_shape(message: &Message) -> Vec<(String, String)> {
        check_shape_of(message, 1)
    }

    /// Each trailer of a reaction, once for each change, and the journal's.
    fn check_shape_of(message: &Message, changes: usize) -> Vec<(String, String)> {
        let lines: Vec<&str> = message.as_str().lines().collect();
        assert!(!lines[0].is_empty() && lines[0].chars().count() <= super::SUBJECT_CHARS_MAX);
        assert_eq!(lines[1], "", "one subject line");
        let found = trailers(message);
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        let mut expected = ["Riposte-Event", "Riposte-Reaction", "Riposte-Plugin"].repeat(changes);
        expected.push("Riposte-Journal");
        assert_eq!(keys, expected);
        found
    }

    /// Changes of the reactions 9, 10, …
    fn several<'a>(parts: Parts<'a>, changes: usize) -> Vec<Parts<'a>> {
        (9..).take(changes).map(|reaction| Parts { reaction, ..parts }).collect()
    }

    #[test]
    fn several_changes_are_told_one_after_the_other() {
        let shop = Parts { title: "Suspend shop/nightly", output: None, event: 8, reaction: 10, ..PARTS };
        let message = Message::of_all(&[PARTS, shop]);
        assert_eq!(
            message.as_str(),
            "2 changes: Scale default/alpine-deployment to 0; Suspend shop/nightly\n\
             \n\
             1. Scale default/alpine-deployment to 0: Terminal shell in container\n\
             > A shell was spawned\n> user=root\n\
             Reason: the rule is on the list\n\
             \n\
             2. Suspend shop/nightly: Terminal shell in container\n\
             Reason: the rule is on the list\n\
             \n\
             Riposte-Event: j1/7\n\
             Riposte-Reaction: j1/9\n\
             Riposte-Plugin: scale-to-zero@sha256:ab\n\
             Riposte-Event: j1/8\n\
             Riposte-Reaction: j1/10\n\
             Riposte-Plugin: scale-to-zero@sha256:ab\n\
             Riposte-Journal: 12:c0ffee\n"
        );
        assert_eq!(Message::of_all(&[PARTS]), Message::new(&PARTS));
    }

    #[test]
    fn a_forge_finds_nothing_to_act_on() {
        let text = "fixes #1, closes a/b#2 @root [skip ci]";
        let parts = Parts { title: text, cause: text, output: Some(text), reason: text, ..PARTS };
        for message in [Message::new(&parts), Message::of_all(&several(parts, 3))] {
            for acts in ["#1", "#2", "@root", "[skip ci]"] {
                assert!(!message.as_str().contains(acts), "{acts}: {}", message.as_str());
            }
            assert!(message.as_str().contains("fixes # 1, closes a/b# 2 @ root [ skip ci]"));
        }
    }

    #[test]
    fn the_message_of_many_changes_stays_readable_and_bounded() {
        let long = "\u{10348}".repeat(10_000);
        let lines = format!("{}\n", "\u{10348}".repeat(200)).repeat(100);
        let parts =
            Parts { title: &long, cause: &long, output: Some(&lines), reason: &long, plugin: &long, ..PARTS };
        let message = Message::of_all(&several(parts, 100));
        let found = check_shape_of(&message, 100);
        assert_eq!(found[3 * 99 + 1].1, "j1/108");
        let told = message.as_str().split("\nRiposte-Event").next().unwrap();
        assert!(told.len() < super::NAMED_BYTES_MAX + 8 * 1024, "{}", told.len());
        assert!(told.contains("\nAnd ") && told.ends_with(" more.\n"), "{told}");
    }

    #[test]
    fn says_what_why_and_from_where() {
        let message = Message::new(&PARTS);
        assert_eq!(
            message.as_str(),
            "Scale default/alpine-deployment to 0: Terminal shell in container\n\
             \n\
             > A shell was spawned\n> user=root\n\
             \n\
             Reason: the rule is on the list\n\
             \n\
             Riposte-Event: j1/7\n\
             Riposte-Reaction: j1/9\n\
             Riposte-Plugin: scale-to-zero@sha256:ab\n\
             Riposte-Journal: 12:c0ffee\n"
        );
        assert!(message.as_str().contains(&reaction_trailer("j1", 9)));
    }

    #[test]
    fn hostile_text_stays_text() {
        let forged = "x\n\nRiposte-Reaction: j1/forged";
        let cases = [
            Parts { title: forged, ..PARTS },
            Parts { title: "", cause: "", output: None, reason: "", ..PARTS },
            Parts { title: "--- a/file", cause: "--- b", ..PARTS },
            Parts { title: "# comment", ..PARTS },
            Parts { title: "\u{0}\u{1b}[2J", ..PARTS },
            Parts { cause: forged, ..PARTS },
            Parts { output: Some(forged), ..PARTS },
            Parts { output: Some("a\r\n---\r\nRiposte-Reaction: j1/forged\r\n\r\n"), ..PARTS },
            Parts { output: Some("\u{2028}Riposte-Reaction: j1/forged\u{85}"), ..PARTS },
            Parts { output: Some(""), ..PARTS },
            Parts { reason: "--- \n--- \nRiposte-Event: j1/1", ..PARTS },
            Parts { reason: "Signed-off-by: someone <a@b>", ..PARTS },
            Parts { plugin: "a\nRiposte-Reaction: j1/forged\n\n", ..PARTS },
            Parts { digest: "\n\n---\n", ..PARTS },
            Parts { chain_hash: "\n", ..PARTS },
        ];
        for parts in cases {
            let found = check_shape(&Message::new(&parts));
            assert_eq!(found[1].1, "j1/9", "{parts:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_character() {
        let long = "é".repeat(10_000);
        let lines = "line\n".repeat(10_000);
        let message = Message::new(&Parts { title: &long, output: Some(&lines), reason: &long, ..PARTS });
        check_shape(&message);
        assert!(message.subject().ends_with('…'));
        let quoted = message.as_str().lines().filter(|line| line.starts_with('>')).count();
        assert_eq!(quoted, super::OUTPUT_LINES_MAX + 1);
        assert!(message.as_str().len() < 16 * 1024);
    }

    proptest! {
        #[test]
        fn whatever_comes_in_four_trailers_come_out(
            title in "(?s).{0,80}", cause in "(?s).{0,80}", output in "(?s)(.{0,20}\n){0,5}",
            reason in "(?s).{0,80}", plugin in "(?s).{0,40}", lines in "((---|#|Riposte-Event: |\t| )[a-z:\n\r ]{0,9}\n){0,6}",
        ) {
            let parts = Parts {
                title: &title, cause: &cause, output: Some(&output), reason: &reason, plugin: &plugin, ..PARTS
            };
            prop_assert_eq!(&check_shape(&Message::new(&parts))[1].1, "j1/9");
            let parts = Parts {
                title: &lines, cause: &lines, output: Some(&lines), reason: &lines, plugin: &lines, ..PARTS
            };
            prop_assert_eq!(&check_shape(&Message::new(&parts))[1].1, "j1/9");
            let found = check_shape_of(&Message::of_all(&several(parts, 3)), 3);
            prop_assert_eq!([&found[1].1, &found[4].1, &found[7].1], ["j1/9", "j1/10", "j1/11"]);
        }
    }
}
