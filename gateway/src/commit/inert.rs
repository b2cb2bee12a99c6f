//! Takes from a text what a forge acts on: it would close issues, tell people, or run no checks, because
//! an attacker has worded an alert so.
//!
//! A space is put where the forge's pattern ends, so that a person still reads what was written.

/// What stands before the number of an issue or of a merge request.
const BEFORE_NUMBER: [&str; 8] =
    ["#", "!", "gh-", "/issues/", "/pull/", "/pulls/", "/merge_requests/", "/work_items/"];

/// What a bracket begins by which a commit asks for no checks.
const NO_CHECKS: [&str; 8] =
    ["skip ci", "skip-ci", "skip actions", "ci skip", "ci-skip", "no ci", "no-ci", "actions skip"];

/// The text, in which a forge finds no reference, no mention and no command.
pub(super) fn inert(text: &str) -> String {
    let mut inert = String::with_capacity(text.len());
    let mut previous = ' ';
    for (at, character) in text.char_indices() {
        if character.is_ascii_digit() && !previous.is_ascii_digit() && is_before_number(&text[..at]) {
            inert.push(' ');
        }
        inert.push(character);
        let rest = &text[at + character.len_utf8()..];
        let acts = match character {
            '@' => !is_word(previous) && rest.starts_with(is_word),
            '[' => NO_CHECKS.iter().any(|words| begins(rest, words)),
            _ => false,
        };
        if acts {
            inert.push(' ');
        }
        previous = character;
    }
    inert
}

fn is_before_number(text: &str) -> bool {
    let ends = |words: &str| {
        let from = text.len().checked_sub(words.len());
        from.and_then(|from| text.get(from..)).is_some_and(|end| end.eq_ignore_ascii_case(words))
    };
    BEFORE_NUMBER.iter().any(|words| ends(words))
}

fn begins(text: &str, words: &str) -> bool {
    text.get(..words.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(words))
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_forge_acts_on_is_broken_and_read_still() {
        let table = [
            ("fixes #1", "fixes # 1"),
            ("Closes acme/fleet#23, resolves GH-7", "Closes acme/fleet# 23, resolves GH- 7"),
            ("fix https://github.com/a/b/issues/45", "fix https://github.com/a/b/issues/ 45"),
            (
                "see https://gitlab.com/a/b/-/merge_requests/6 and !6",
                "see https://gitlab.com/a/b/-/merge_requests/ 6 and ! 6",
            ),
            ("@root and (@acme/ops), @_x", "@ root and (@ acme/ops), @ _x"),
            ("deploy [skip ci] [CI SKIP]", "deploy [ skip ci] [ CI SKIP]"),
            // Not acted on, and so left alone.
            ("mail root@example.com, app@sha256:ab", "mail root@example.com, app@sha256:ab"),
            ("port 80, # comment, a[0], 10#", "port 80, # comment, a[0], 10#"),
            ("user=root cmdline=sh -c \"id\" @ 3", "user=root cmdline=sh -c \"id\" @ 3"),
        ];
        for (text, expected) in table {
            assert_eq!(inert(text), expected);
            assert_eq!(inert(expected), expected, "twice is once");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_left_to_act_on(text in "(?s)[@#!a-z0-9 /\\[\\]é-]{0,40}|.{0,40}") {
            let inert = inert(&text);
            let characters: Vec<char> = inert.chars().collect();
            for pair in characters.windows(2) {
                prop_assert!(!(matches!(pair[0], '#' | '!') && pair[1].is_ascii_digit()), "{}", inert);
            }
            for three in characters.windows(3) {
                let mentions = three[1] == '@' && !is_word(three[0]) && is_word(three[2]);
                prop_assert!(!mentions, "{}", inert);
            }
            let without = |text: &str| text.replace(' ', "");
            prop_assert_eq!(without(&inert), without(&text), "only spaces were added");
        }
    }
}
