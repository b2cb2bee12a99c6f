//! A pull request's title, body and labels: the commit's story once more, as Markdown.
//!
//! GitHub makes links, mentions, pictures and HTML of Markdown, and notifies whom a text names. So each
//! text of a stranger stands in a code block whose fence is longer than any in it, and the title, which
//! has no blocks, has what would become a link broken by a character without width.

use super::message::{Parts, cut, escape, one_line};
use super::{Message, reaction_trailer};
use crate::repository::{ProposalBranch, PullRequestDraft};

/// The label of every pull request of ours.
const LABEL: &str = "riposte";

/// GitHub's limit, in characters.
const LABEL_CHARS_MAX: usize = 50;

/// The most that a block holds, so that a body of four is below GitHub's 65,536 characters.
const BLOCK_CHARS_MAX: usize = 4_096;

/// A character without width, at which GitHub's links and mentions break.
const BREAK: char = '\u{200b}';

/// The pull request for a change. `earlier` are the events that have proposed it before, newest first.
#[must_use]
pub fn draft(
    branch: ProposalBranch,
    message: &Message,
    parts: &Parts<'_>,
    earlier: &[i64],
) -> PullRequestDraft {
    let marker = marker(parts.journal, parts.reaction);
    let mut body = format!(
        "{marker}\nA plugin of Riposte proposes this change because of a security event. Merging it changes the \
         desired state. Commits of people on this branch are not overwritten.\n"
    );
    let output = parts.output.unwrap_or_default();
    for (heading, text) in [("Cause", parts.cause), ("Reason", parts.reason), ("Output", output)] {
        if !text.trim().is_empty() {
            body.push_str(&format!("\n**{heading}**\n\n{}", block(text)));
        }
    }
    body.push_str(&format!("\n**Where it comes from**\n\n{}", block(message.trailers())));
    if !earlier.is_empty() {
        let numbers: Vec<String> = earlier.iter().map(i64::to_string).collect();
        body.push_str(&format!("\nProposed before because of the events {}.", numbers.join(", ")));
    }
    let plugin = one_line(parts.plugin, LABEL_CHARS_MAX);
    PullRequestDraft {
        branch,
        title: unlinked(message.subject()),
        body: body.trim_end().to_owned(),
        marker,
        labels: vec![LABEL.to_owned(), plugin],
    }
}

/// By which the pull request of a reaction is found again; nobody sees it.
#[must_use]
pub fn marker(journal: &str, reaction: i64) -> String {
    format!("<!-- {} -->", reaction_trailer(journal, reaction))
}

/// What is said when a pull request is closed because there is nothing left to merge.
#[must_use]
pub fn moot(branch: &str, journal: &str, event: i64) -> String {
    let why = format!(
        "branch {branch} already is as this pull request proposes it\nseen at event {journal}/{event}"
    );
    format!("Closed, because there is nothing left to merge:\n\n{}", block(&why))
}

/// A code block, in which GitHub finds nothing.
fn block(text: &str) -> String {
    let lines: Vec<String> = text.trim_end().lines().map(escape).collect();
    let text = cut(&lines.join("\n"), BLOCK_CHARS_MAX);
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    format!("{fence}text\n{text}\n{fence}\n")
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or_default()
}

/// Neither a mention, nor a reference to an issue or a commit, nor an address.
fn unlinked(text: &str) -> String {
    let mut unlinked = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        unlinked.push(character);
        let links = match character {
            '@' | '#' => true,
            ':' => rest.peek() == Some(&'/'),
            // `GH-7` is issue 7.
            '-' => {
                rest.peek().is_some_and(char::is_ascii_digit)
                    && unlinked.to_ascii_lowercase().ends_with("gh-")
            }
            _ => false,
        };
        if links {
            unlinked.push(BREAK);
        }
    }
    unlinked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::ObjectRef;
    use proptest::prelude::*;

    fn of(text: &str) -> PullRequestDraft {
        let parts = Parts {
            title: text,
            cause: text,
            output: Some(text),
            reason: text,
            journal: "j1",
            event: 7,
            reaction: 9,
            reverts: None,
            plugin: text,
            digest: text,
            chain_length: 12,
            chain_hash: "c0ffee",
        };
        let target = ObjectRef {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: None,
            name: "web".to_owned(),
        };
        draft(ProposalBranch::new("p", &[&target]), &Message::new(&parts), &parts, &[6, 4])
    }

    /// What stands outside of code blocks, as CommonMark reads fences.
    fn outside(body: &str) -> String {
        let (mut fence, mut outside) = (None, String::new());
        for line in body.lines() {
            let ticks = line.len() - line.trim_start_matches('`').len();
            match fence {
                None if ticks >= 3 => fence = Some(ticks),
                None => outside.extend([line, "\n"]),
                Some(open) if ticks >= open && line.trim_start_matches('`').trim().is_empty() => fence = None,
                Some(_) => {}
            }
        }
        assert_eq!(fence, None, "a block is not closed: {body}");
        outside
    }

    const PROSE: &str = "<!-- Riposte-Reaction: j1/9 -->\n\
        A plugin of Riposte proposes this change because of a security event. Merging it changes the \
        desired state. Commits of people on this branch are not overwritten.\n\
        \n**Cause**\n\n\n**Reason**\n\n\n**Output**\n\n\n**Where it comes from**\n\n\n\
        Proposed before because of the events 6, 4.\n";

    #[test]
    fn hostile_text_is_no_markdown() {
        let cases = [
            "@acme/everyone look, fixes #1 and acme/desired#2",
            "![](http://evil.example/beacon.png) <img src=x onerror=alert(1)>",
            "```\n@acme\n```",
            "``````````\n@acme/everyone",
            "~~~\n@acme\n~~~\n    @acme",
            "--> @acme <!--",
            "x\r\n```\r@acme\r\n\u{85}```\u{2028}@acme",
        ];
        for case in cases {
            let draft = of(case);
            assert_eq!(outside(&draft.body), PROSE, "{case:?}");
            assert!(draft.body.starts_with(&draft.marker));
            assert!(draft.labels.iter().all(|label| label.chars().count() <= LABEL_CHARS_MAX));
        }
        let title = of("@acme closes #1, see https://github.com/acme/desired/issues/3 or GH-4").title;
        for link in ["@acme", "#1", "://", "GH-4"] {
            assert!(!title.contains(link), "{title}");
        }
        let harmless = "Scale default/alpine-deployment to 0: Terminal shell";
        assert_eq!(unlinked(harmless), harmless);
        let comment = outside(&moot("main\n```\n@acme", "j1", 7));
        assert_eq!(comment, "Closed, because there is nothing left to merge:\n\n");
    }

    #[test]
    fn no_body_is_longer_than_github_takes() {
        for text in ["\u{202e}".repeat(100_000), "`".repeat(100_000), "é\n".repeat(100_000)] {
            let body = of(&text).body;
            assert!(body.chars().count() < 65_536, "{}", body.chars().count());
            assert_eq!(outside(&body), PROSE);
        }
    }

    proptest! {
        #[test]
        fn nothing_leaves_its_block(text in "(?s)([`~@<>#a\n\r -]|.){1,200}[a-z]") {
            let body = of(&text).body;
            prop_assert_eq!(outside(&body), PROSE);
        }
    }
}
