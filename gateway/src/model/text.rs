//! Texts that strangers wrote, before they are kept or shown: cut to a length, and made inert.

use std::fmt::Write as _;

/// At most so many bytes of a text, at a character's boundary; a cut shows.
#[must_use]
pub fn cut(mut text: String, bytes_max: usize) -> String {
    const CUT: &str = "…";
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
    text
}

/// On one line, with whatever a terminal or a reader would obey as an escape.
#[must_use]
pub fn inert(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            _ if is_unprintable(character) => {
                let _a_string_takes_all = write!(shown, "\\u{{{:x}}}", u32::from(character)).is_err();
            }
            _ => shown.push(character),
        }
    }
    shown
}

/// Control characters, and those that make text read otherwise than it is: separators, zero widths
/// and changes of direction.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::{cut, inert};

    #[test]
    fn a_text_is_cut_at_a_character_and_shows_it() {
        let table =
            [("", 5, ""), ("short", 5, "short"), ("longer", 5, "lo…"), ("äöü", 5, "ä…"), ("äöü", 0, "…")];
        for (text, bytes_max, expected) in table {
            assert_eq!(cut(text.to_owned(), bytes_max), expected, "{text} {bytes_max}");
        }
    }

    #[test]
    fn nothing_of_a_text_is_obeyed() {
        let table = [
            ("plain ä 水", "plain ä 水"),
            ("two\r\nlines", "two\\r\\nlines"),
            ("\u{1b}[2J\u{9b}31m", "\\u{1b}[2J\\u{9b}31m"),
            ("a\tb\0", "a\\u{9}b\\u{0}"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
        ];
        for (text, expected) in table {
            assert_eq!(inert(text), expected);
        }
    }
}
