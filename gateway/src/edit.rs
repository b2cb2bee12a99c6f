//! Changes the text of a manifest so that its data becomes what a patch makes of it.
//!
//! What the patch has changed in the data is written into the text, value by value, so that comments, blank
//! lines, quotes and other documents stay as they are. The text is read again and compared with the data: an
//! edit that is not faithful is an error, never a commit.

mod alignment;
mod json_text;
pub mod list_item;
mod objects;
mod patch;
mod strategic;
mod yaml;

use std::cell::Cell;
use std::str::FromStr;

use serde_json::{Map, Value};
use yaml_edit::{Document, Mapping, Sequence, YamlFile};

pub use objects::Place;
pub(crate) use objects::objects;
pub use patch::{differences, patched};
pub use strategic::strategic_merge;
pub(crate) use yaml::documents;

use crate::model::text::is_unprintable;
use alignment::{Step, aligned};

/// Values that one patch sets, adds or takes away in a text: each costs time with the size of the list or
/// object that it is in.
const EDITS_MAX: usize = 500;

/// A text that cannot be changed as wished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// The patch does not fit the manifest.
    #[error("the patch does not apply: {0}")]
    Patch(String),
    /// A form of YAML that is not edited.
    #[error("the file cannot be edited in place: {0}")]
    Unsupported(String),
    /// What is written there makes the whole file one that is not read.
    #[error("the edited file could not be read again: {0}")]
    Lost(String),
    /// Kustomizations stand in the way.
    #[error("it cannot be written for this object alone: {0}")]
    Overlay(String),
    /// The written text would say something else than the patch.
    #[error("the edited text would not say what the patch says; change the file by hand")]
    NotFaithful,
}

/// The text of a new file with one object.
///
/// # Errors
/// When the text would not say what the manifest says.
pub fn written(manifest: &Value) -> Result<String, EditError> {
    let mut text = String::new();
    block(manifest, 0, &mut text);
    // The object's own keys stand at the left edge, without the line that a key would have before it.
    let lines = text.trim_start_matches('\n').lines();
    let text: String = lines.map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect();
    if documents(&text).as_deref() == Ok(std::slice::from_ref(manifest)) {
        readable(text)
    } else {
        Err(EditError::NotFaithful)
    }
}

/// A text that the next snapshot would leave out takes all of its objects out of the gateway's sight.
fn readable(text: String) -> Result<String, EditError> {
    objects(&text).map(drop).map_err(EditError::Lost)?;
    Ok(text)
}

/// The documents of a text as data.
///
/// # Errors
/// When it cannot be read.
pub fn read(text: &str) -> Result<Vec<Value>, EditError> {
    documents(text).map_err(EditError::Unreadable)
}

/// Rewrites one document of a stream, or one item of a list, so that its data is `after`, and no line that
/// need not change.
///
/// # Errors
/// When the text has a form that cannot be edited safely.
pub fn edit(text: &str, place: impl Into<Place>, after: &Value) -> Result<String, EditError> {
    let Place { document, item } = place.into();
    let before = read(text)?;
    let mut expected = before.clone();
    let changed = expected.get_mut(document).and_then(|whole| match item {
        None => Some(whole),
        Some(item) => whole.get_mut("items")?.get_mut(item),
    });
    changed.ok_or_else(gone)?.clone_from(after);
    if expected == before {
        return Ok(text.to_owned());
    }
    let written = write(text, document, &before[document], &expected[document])?;
    if documents(&written).as_ref() == Ok(&expected) {
        readable(written)
    } else {
        Err(EditError::NotFaithful)
    }
}

fn gone() -> EditError {
    EditError::Unreadable("the document is gone".to_owned())
}

/// The text without one document of a stream, or without one item of a list; `None` when nothing else is in
/// it. A list without items goes too.
///
/// The document goes from its `---` line to the next one, with the comments between them. Comments
/// above the first `---` line are the file's and stay. A file that begins without such a line does so
/// afterwards too.
///
/// # Errors
/// When the documents cannot be told apart with certainty.
pub fn without(text: &str, place: impl Into<Place>) -> Result<Option<String>, EditError> {
    let Place { document, item } = place.into();
    let mut left = read(text)?;
    let whole = left.get_mut(document).ok_or_else(gone)?;
    if let Some(item) = item {
        let items = whole.get_mut("items").and_then(Value::as_array_mut).ok_or_else(gone)?;
        if item >= items.len() {
            return Err(gone());
        } else if items.len() > 1 {
            items.remove(item);
            return edit(text, document, whole).map(Some);
        }
    }
    left.remove(document);
    if left.iter().all(Value::is_null) {
        return Ok(None);
    }
    let mut parts = parts(text);
    let unmarked = !is_blank(parts[0]);
    let index = if unmarked { document } else { document + 1 };
    if index < parts.len() {
        parts.remove(index);
    }
    if unmarked && index == 0 {
        let (marker, rest) = parts[0].split_once('\n').unwrap_or((parts[0], ""));
        if marker.trim_end() == "---" {
            parts[0] = rest;
        }
    }
    let rest = parts.concat();
    if documents(&rest).as_ref() == Ok(&left) { Ok(Some(rest)) } else { Err(EditError::NotFaithful) }
}

/// The text of one document of a stream, from its `---` line on where it has one.
#[must_use]
pub fn section(text: &str, document: usize) -> Option<&str> {
    let parts = parts(text);
    let unmarked = !is_blank(parts[0]);
    parts.get(if unmarked { document } else { document + 1 }).copied()
}

/// The text with a further document at its end.
///
/// # Errors
/// When it would not say what the document says by itself, and what it said before.
pub fn with(text: &str, section: &str) -> Result<String, EditError> {
    let mut expected = read(text)?;
    expected.extend(read(section)?);
    let (end, mark) = (if text.ends_with('\n') { "" } else { "\n" }, "---\n");
    let mark = if section.starts_with("---") { "" } else { mark };
    let written = format!("{text}{end}{mark}{section}");
    if documents(&written).as_ref() == Ok(&expected) {
        readable(written)
    } else {
        Err(EditError::NotFaithful)
    }
}

/// A stream in parts: what is above the first `---` line, then from each such line to the next.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        if line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        {
            parts.push(&text[begin..at]);
            begin = at;
        }
        at += line.len();
    }
    parts.push(&text[begin..]);
    parts
}

/// Whether it has comments and directives alone.
fn is_blank(part: &str) -> bool {
    let said = part.lines().map(|line| line.trim_start_matches('\u{feff}').trim_start());
    said.into_iter().all(|line| line.is_empty() || line.starts_with(['#', '%']))
}

fn write(text: &str, document: usize, before: &Value, after: &Value) -> Result<String, EditError> {
    if json_text::is_json(text) {
        return json_text::write(text, before, after, EDITS_MAX).ok_or_else(too_many);
    }
    let parsed = YamlFile::from_str(text).map_err(|error| EditError::Unreadable(error.to_string()))?;
    let part = parsed.documents().nth(document);
    if let (Value::Array(before), Value::Array(after)) = (before, after) {
        let root = part.and_then(|part| part.as_sequence());
        let root = root.ok_or_else(|| EditError::Unsupported("its list cannot be found".to_owned()))?;
        write_sequence(&root, before, after, &Edits(Cell::new(EDITS_MAX)))?;
        return Ok(parsed.to_string());
    }
    let root = part.and_then(|part| part.as_mapping());
    let root = root.ok_or_else(|| EditError::Unsupported("its documents cannot be told apart".to_owned()))?;
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return Err(EditError::Unsupported("the document is no mapping".to_owned()));
    };
    write_mapping(&root, before, after, &Edits(Cell::new(EDITS_MAX)))?;
    Ok(parsed.to_string())
}

fn too_many() -> EditError {
    EditError::Unsupported(format!("it would take more than {EDITS_MAX} edits"))
}

/// How many may still be made.
struct Edits(Cell<usize>);

impl Edits {
    fn take(&self) -> Result<(), EditError> {
        self.0.set(self.0.get().checked_sub(1).ok_or_else(too_many)?);
        Ok(())
    }
}

fn write_mapping(
    mapping: &Mapping,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    edits: &Edits,
) -> Result<(), EditError> {
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        edits.take()?;
        mapping.remove(key.as_str());
    }
    for (key, value) in after {
        match (before.get(key), value) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) if !old.is_empty() => {
                let child = mapping.get_mapping(key.as_str()).ok_or_else(|| inner(key))?;
                write_mapping(&child, old, new, edits)?;
            }
            (Some(Value::Array(old)), Value::Array(new)) if !old.is_empty() && !new.is_empty() => {
                let child = mapping.get_sequence(key.as_str()).ok_or_else(|| inner(key))?;
                write_sequence(&child, old, new, edits)?;
            }
            (_, new) => {
                edits.take()?;
                set(mapping, key, new)?;
            }
        }
    }
    Ok(())
}

fn inner(key: &str) -> EditError {
    EditError::Unsupported(format!("{key:?} is an alias or has a tag"))
}

/// Elements that both lists have stay where they are, and one that is still called the same is changed
/// in place.
fn write_sequence(
    sequence: &Sequence,
    before: &[Value],
    after: &[Value],
    edits: &Edits,
) -> Result<(), EditError> {
    // From the end, so that what is before keeps its index.
    for step in aligned(before, after).into_iter().rev() {
        match step {
            Step::Keep(old, new) if before[old] == after[new] => {}
            Step::Keep(old, new) => {
                let child = sequence.get(old);
                match (&before[old], &after[new], child.as_ref().and_then(|child| child.as_mapping())) {
                    (Value::Object(old), Value::Object(new), Some(mapping)) => {
                        write_mapping(mapping, old, new, edits)?;
                    }
                    (_, value, _) => {
                        edits.take()?;
                        with_node(value, |node| {
                            sequence.set(old, node);
                        })?;
                    }
                }
            }
            Step::Remove(old) => {
                edits.take()?;
                sequence.remove(old);
            }
            Step::Insert(at, new) => {
                edits.take()?;
                with_node(&after[new], |node| sequence.insert(at, node))?;
            }
        }
    }
    Ok(())
}

fn set(mapping: &Mapping, key: &str, value: &Value) -> Result<(), EditError> {
    with_node(value, |node| {
        mapping.set(key, node);
    })
}

/// Hands over the value as a YAML node of the form it shall have in the file.
fn with_node(value: &Value, put: impl FnOnce(yaml_edit::YamlNode)) -> Result<(), EditError> {
    let mut text = String::new();
    block(value, 0, &mut text);
    let wrapped = Document::from_str(&format!("node:{text}\n"));
    let node = wrapped.ok().and_then(|document| document.get("node"));
    put(node.ok_or_else(|| EditError::Unsupported("the new value has no YAML form".to_owned()))?);
    Ok(())
}

/// Block style, with strings in double quotes unless every reader takes them for strings.
fn block(value: &Value, indent: usize, text: &mut String) {
    let pad = "  ".repeat(indent + 1);
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, child) in object {
                text.push('\n');
                text.push_str(&pad);
                text.push_str(&scalar(&Value::from(key.as_str())));
                text.push(':');
                block(child, indent + 1, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                text.push('\n');
                text.push_str(&pad);
                text.push('-');
                block_item(item, indent + 1, text);
            }
        }
        Value::String(lines) if is_block(lines) => {
            text.push_str(if lines.ends_with('\n') { " |" } else { " |-" });
            for line in lines.trim_end_matches('\n').split('\n') {
                text.push('\n');
                if !line.is_empty() {
                    text.push_str(&pad);
                    text.push_str(line);
                }
            }
        }
        other => {
            text.push(' ');
            text.push_str(&scalar(other));
        }
    }
}

/// Whether a text of several lines reads as it is: a patch in a kustomization, say.
fn is_block(text: &str) -> bool {
    let lines = text.strip_suffix('\n').unwrap_or(text);
    let plain = |line: &str| !line.ends_with(' ') && !line.contains(is_unprintable);
    text.matches('\n').count() > 1
        && !lines.starts_with([' ', '\n'])
        && !lines.ends_with('\n')
        && lines.split('\n').all(plain)
}

/// An element of a list: a mapping's first key stands on the line of the dash.
fn block_item(item: &Value, indent: usize, text: &mut String) {
    let mut inner = String::new();
    block(item, indent, &mut inner);
    text.push(' ');
    text.push_str(inner.trim_start());
}

/// A scalar on one line. JSON's strings and empty collections are YAML's too.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether YAML 1.1 and 1.2 readers alike take the bare word for a string.
fn is_plain(text: &str) -> bool {
    const OTHERS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|character| character.is_ascii_alphanumeric() || "-./".contains(character))
        && !OTHERS.contains(&text.to_ascii_lowercase().as_str())
}
