//! An item of a list: what it is put back by once it has been taken out, and putting it back.
//!
//! Pure. Where the text around it is still there, it comes back to the byte; else beside the items that it
//! stood beside; else at the end of the list. Whatever is written is read again.

use serde_json::Value;

use super::{EditError, Place, edit, read, readable, without};
use crate::model::manifest::ObjectRef;
use crate::model::undo::ListItem;

/// How much text on each side of an item tells where it stood, in lines.
const LINES_AROUND: usize = 3;

/// The text of an item and what it is put back by; `None` of what is the only one of its list, or none.
#[must_use]
pub fn taken(text: &str, place: Place) -> Option<(String, ListItem)> {
    let documents = read(text).ok()?;
    let items = documents.get(place.document)?.get("items")?.as_array()?;
    let index = place.item.filter(|_| items.len() > 1)?;
    let left = without(text, place).ok()??;
    let at = common(text, &left);
    let end = at + text.len().checked_sub(left.len())?;
    let (section, around) = match (text.get(at..end), text.get(end..) == left.get(at..)) {
        (Some(section), true) => (section.to_owned(), around(&left, at)),
        // More was rewritten than it: its text alone cannot be told.
        _ => (String::new(), Default::default()),
    };
    let neighbours = [index.checked_sub(1), Some(index + 1)].map(|index| named(items.get(index?)?));
    Some((section, ListItem { manifest: items[index].clone(), around, neighbours }))
}

/// The text with the item in a list again, and where it stands there; `None` where there is no list.
///
/// # Errors
/// When it could not be written, and nothing else changed.
pub fn put_back(text: &str, section: &str, item: &ListItem) -> Result<Option<(String, Place)>, EditError> {
    let mut expected = read(text)?;
    let Some((document, index)) = home(&expected, item) else { return Ok(None) };
    if let Some(items) = expected[document].get_mut("items").and_then(Value::as_array_mut) {
        items.insert(index, item.manifest.clone());
    }
    let place = Place { document, item: Some(index) };
    let [before, after] = &item.around;
    let around = format!("{before}{after}");
    if let [(at, _)] = text.match_indices(&around).take(2).collect::<Vec<_>>()[..] {
        let (start, end) = text.split_at(at + before.len());
        let written = format!("{start}{section}{end}");
        if read(&written).as_ref() == Ok(&expected) {
            return readable(written).map(|text| Some((text, place)));
        }
    }
    edit(text, document, &expected[document]).map(|text| Some((text, place)))
}

/// The list and the index in it where the item belongs.
fn home(documents: &[Value], item: &ListItem) -> Option<(usize, usize)> {
    let lists = documents.iter().enumerate().filter(|(_, document)| document["kind"] == "List");
    let lists: Vec<(usize, &Vec<Value>)> =
        lists.filter_map(|(number, list)| Some((number, list.get("items")?.as_array()?))).collect();
    let find = |neighbour: &Option<ObjectRef>| {
        let neighbour = neighbour.as_ref()?;
        let is_it = |other: &Value| named(other).as_ref() == Some(neighbour);
        lists.iter().find_map(|(number, items)| Some((*number, items.iter().position(is_it)?)))
    };
    let [previous, next] = &item.neighbours;
    find(next)
        .or_else(|| find(previous).map(|(number, index)| (number, index + 1)))
        .or_else(|| lists.first().map(|(number, items)| (*number, items.len())))
}

/// What an item says of itself.
fn named(item: &Value) -> Option<ObjectRef> {
    let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Some(ObjectRef {
        api_version: text("/apiVersion")?,
        kind: text("/kind")?,
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name")?,
    })
}

/// How far two texts are the same, in bytes.
fn common(one: &str, other: &str) -> usize {
    let same = one.char_indices().zip(other.chars()).find(|((_, left), right)| left != right);
    same.map_or(one.len().min(other.len()), |((at, _), _)| at)
}

/// The lines on both sides of a place.
fn around(text: &str, at: usize) -> [String; 2] {
    let (before, after) = text.split_at(at);
    let mut first: Vec<&str> = before.split_inclusive('\n').rev().take(LINES_AROUND).collect();
    first.reverse();
    [first.concat(), after.split_inclusive('\n').take(LINES_AROUND).collect()]
}
