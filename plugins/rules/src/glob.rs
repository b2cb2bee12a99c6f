//! Globs: `*` stands for any text, `?` for one character, and a `\` makes the next one plain.
//!
//! Nothing else has a meaning. What has one in a shell is refused, for it would match nothing here.

/// A glob, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Glob(Vec<Part>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    AnyText,
    AnyChar,
    Plain(char),
}

impl Glob {
    /// Reads a pattern, or says what is wrong with it.
    pub(crate) fn read(pattern: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = pattern.chars();
        while let Some(character) = rest.next() {
            parts.push(match character {
                '*' => Part::AnyText,
                '?' => Part::AnyChar,
                '[' | '{' => {
                    let instead = format!("write \\{character} for the character itself");
                    return Err(format!("a glob has no {character}…; {instead}, or use a list or a regex"));
                }
                '\\' => match rest.next() {
                    Some(plain @ ('*' | '?' | '[' | '{' | '\\')) => Part::Plain(plain),
                    _ => {
                        return Err(
                            "a \\ stands before *, ?, [, { or \\ only; write \\\\ for itself".to_owned()
                        );
                    }
                },
                plain => Part::Plain(plain),
            });
        }
        Ok(Self(parts))
    }

    /// Whether the whole text is like it, in steps of at most text times pattern.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let (parts, text) = (&self.0, text.chars().collect::<Vec<_>>());
        let (mut part, mut at) = (0, 0);
        // Behind the last `*`, and up to where the text is its.
        let mut last: Option<(usize, usize)> = None;
        while at < text.len() {
            match parts.get(part) {
                Some(Part::AnyText) => {
                    part += 1;
                    last = Some((part, at));
                    continue;
                }
                Some(Part::AnyChar) => part += 1,
                Some(Part::Plain(plain)) if *plain == text[at] => part += 1,
                _ => {
                    // An earlier `*` cannot help: whatever it could take, the last one can.
                    let Some((behind, end)) = last.as_mut() else { return false };
                    *end += 1;
                    (part, at) = (*behind, *end);
                    continue;
                }
            }
            at += 1;
        }
        parts[part..].iter().all(|rest| *rest == Part::AnyText)
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn stars_question_marks_and_nothing_else() {
        let table = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "any / text\n", true),
            ("web-*", "web-", true),
            ("web-*", "web", false),
            ("*-web", "a-web-web", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("*a?c*", "xxabaacx", true),
            ("?", "ä", true),
            ("?", "", false),
            ("??", "a", false),
            (r"\*\?\[\{\\", r"*?[{\", true),
            (r"a\*", "ab", false),
            ("a]}", "a]}", true),
            ("A", "a", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(Glob::read(pattern).unwrap().matches(text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn what_means_something_elsewhere_is_refused() {
        let table = [
            ("[ab]*", r"write \[ for"),
            ("{a,b}", r"write \{ for"),
            (r"a\", r"a \ stands before"),
            (r"\d+", r"a \ stands before"),
        ];
        for (pattern, expected) in table {
            let refused = Glob::read(pattern).expect_err(pattern);
            assert!(refused.contains(expected), "{pattern:?}: {refused}");
        }
    }

    #[test]
    fn many_stars_are_no_trap() {
        let (pattern, text) = ("*a".repeat(50) + "b", "a".repeat(20_000));
        assert!(!Glob::read(&pattern).unwrap().matches(&text));
    }
}
