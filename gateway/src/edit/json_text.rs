//! Changes the text of a JSON manifest, which stays JSON: the same lines and the same indentation.
//!
//! Pure. JSON is YAML, but what is right in YAML (a word without quotes, a block) is not in JSON. The one
//! who calls reads the text again and compares it.

use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::alignment::{Step, aligned};

/// A value, and where it stands.
struct Node {
    span: Range<usize>,
    parts: Parts,
}

enum Parts {
    Object(Vec<Member>),
    Array(Vec<Node>),
    Scalar,
}

/// A member of an object, from its key on.
struct Member {
    key: String,
    start: usize,
    node: Node,
}

/// Whether a text is one JSON object.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The text of a JSON object so that its data is `after`; `None` for more than so many edits.
pub(super) fn write(text: &str, before: &Value, after: &Value, edits_max: usize) -> Option<String> {
    let root = Reader { text, at: 0 }.value();
    let unit = match &root.parts {
        Parts::Object(members) => {
            members.first().map_or("  ", |first| indent_of(&text[root.span.start + 1..first.start]))
        }
        _ => "  ",
    };
    let mut writer = Writer { text, unit, edits: Vec::new() };
    writer.change(&root, before, after, "\n");
    if writer.edits.len() > edits_max {
        return None;
    }
    let mut written = text.to_owned();
    // From the end; of two that begin at one place the insertion comes last, and so first in the text.
    writer.edits.sort_by_key(|(span, _)| (span.start, span.end));
    for (span, new) in writer.edits.into_iter().rev() {
        written.replace_range(span, &new);
    }
    Some(written)
}

/// What stands before the first word of a line.
fn indent_of(space: &str) -> &str {
    space.rsplit('\n').next().unwrap_or_default()
}

/// Reads a text that is known to be JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while self.byte().is_ascii_whitespace() {
            self.at += 1;
        }
    }

    /// Whether another element follows before the end; goes to where it begins.
    fn next(&mut self, end: u8) -> bool {
        self.skip_space();
        if self.byte() == b',' {
            self.at += 1;
            self.skip_space();
        }
        let more = self.at < self.text.len() && self.byte() != end;
        self.at += usize::from(!more);
        more
    }

    fn value(&mut self) -> Node {
        self.skip_space();
        let start = self.at;
        let parts = match self.byte() {
            b'{' => {
                self.at += 1;
                let mut members = Vec::new();
                while self.next(b'}') {
                    let start = self.at;
                    let end = self.scalar();
                    let key = serde_json::from_str(&self.text[start..end]).unwrap_or_default();
                    self.skip_space();
                    // The colon.
                    self.at += 1;
                    members.push(Member { key, start, node: self.value() });
                }
                Parts::Object(members)
            }
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while self.next(b']') {
                    items.push(self.value());
                }
                Parts::Array(items)
            }
            _ => {
                self.scalar();
                Parts::Scalar
            }
        };
        Node { span: start..self.at, parts }
    }

    /// Goes behind a text, a number or a word; where that is.
    fn scalar(&mut self) -> usize {
        if self.byte() == b'"' {
            self.at += 1;
            while self.at < self.text.len() && self.byte() != b'"' {
                self.at += 1 + usize::from(self.byte() == b'\\');
            }
            self.at += 1;
        } else {
            let rest = &self.text[self.at..];
            let ends = |character: char| character.is_ascii_whitespace() || ",:]}".contains(character);
            self.at += rest.find(ends).unwrap_or(rest.len()).max(1);
        }
        self.at = self.at.min(self.text.len());
        self.at
    }
}

/// Collects what is to be written in which place.
struct Writer<'a> {
    text: &'a str,
    /// One level of indentation.
    unit: &'a str,
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Writer<'a> {
    /// `space` is what stands before the value's line, or before its neighbours on one line.
    fn change(&mut self, node: &Node, before: &Value, after: &Value, space: &str) {
        match (&node.parts, before, after) {
            _ if before == after => {}
            (Parts::Object(members), Value::Object(before), Value::Object(after))
                if members.iter().any(|member| after.contains_key(&member.key)) =>
            {
                self.object(node, members, before, after);
            }
            (Parts::Array(items), Value::Array(before), Value::Array(after))
                if !before.is_empty() && !after.is_empty() =>
            {
                self.array(node, items, &aligned(before, after), (before, after));
            }
            _ => self.edits.push((node.span.clone(), self.rendered(after, space))),
        }
    }

    fn object(
        &mut self,
        node: &Node,
        members: &[Member],
        before: &Map<String, Value>,
        after: &Map<String, Value>,
    ) {
        let space = self.space(node, members[0].start);
        let spans: Vec<_> = members.iter().map(|member| member.start..member.node.span.end).collect();
        let stays: Vec<bool> = members.iter().map(|member| after.contains_key(&member.key)).collect();
        self.remove(&spans, &stays);
        for member in members {
            if let (Some(old), Some(new)) = (before.get(&member.key), after.get(&member.key)) {
                self.change(&member.node, old, new, space);
            }
        }
        let Some(last) = stays.iter().rposition(|stays| *stays) else { return };
        let new = after.iter().filter(|(key, _)| !before.contains_key(*key));
        let new = new.map(|(key, value)| {
            format!(",{space}{}: {}", Value::from(key.as_str()), self.rendered(value, space))
        });
        let new: String = new.collect();
        if !new.is_empty() {
            self.edits.push((spans[last].end..spans[last].end, new));
        }
    }

    fn array(&mut self, node: &Node, items: &[Node], steps: &[Step], (before, after): (&[Value], &[Value])) {
        let space = self.space(node, items[0].span.start);
        let spans: Vec<_> = items.iter().map(|item| item.span.clone()).collect();
        let kept =
            |index: usize| steps.iter().any(|step| matches!(step, Step::Keep(old, _) if *old == index));
        let stays: Vec<bool> = (0..items.len()).map(kept).collect();
        self.remove(&spans, &stays);
        for step in steps {
            match *step {
                Step::Keep(old, new) => self.change(&items[old], &before[old], &after[new], space),
                Step::Remove(_) => {}
                Step::Insert(at, new) => {
                    let value = self.rendered(&after[new], space);
                    // Behind the element before it that stays, or else before the first that does.
                    match stays[..at].iter().rposition(|stays| *stays) {
                        Some(last) => self.insert(spans[last].end, format!(",{space}{value}")),
                        None => {
                            let first = stays.iter().position(|stays| *stays).unwrap_or_default();
                            self.insert(spans[first].start, format!("{value},{space}"));
                        }
                    }
                }
            }
        }
    }

    /// What is inserted in one place keeps its order.
    fn insert(&mut self, at: usize, new: String) {
        match self.edits.iter_mut().find(|(span, _)| *span == (at..at)) {
            Some((_, text)) => text.push_str(&new),
            None => self.edits.push((at..at, new)),
        }
    }

    /// Takes away what does not stay, each with one comma. Something stays.
    fn remove(&mut self, spans: &[Range<usize>], stays: &[bool]) {
        for index in (0..spans.len()).filter(|index| !stays[*index]) {
            let span = if stays[..index].contains(&true) {
                spans[index - 1].end..spans[index].end
            } else {
                spans[index].start..spans[index + 1].start
            };
            self.edits.push((span, String::new()));
        }
    }

    /// What stands between a bracket and the first element: a line end and its indentation, or nothing.
    fn space(&self, node: &Node, first: usize) -> &'a str {
        let space = &self.text[node.span.start + 1..first];
        if space.contains('\n') { space } else { " " }
    }

    fn rendered(&self, value: &Value, space: &str) -> String {
        if !space.contains('\n') {
            return value.to_string();
        }
        let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
        let line = |line: &str| {
            let text = line.trim_start_matches(' ');
            self.unit.repeat((line.len() - text.len()) / 2) + text
        };
        pretty.lines().map(line).collect::<Vec<_>>().join(space)
    }
}
