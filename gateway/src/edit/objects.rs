//! What a text holds: the objects of its documents, and where each of them stands.
//!
//! Pure. Whatever cannot be read with certainty is no object, with the reason.

use std::fmt;

use serde_json::Value;

use super::yaml::documents;

/// Where in its file an object stands, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The document of the stream.
    pub document: usize,
    /// The element of `items`, where the document is a list.
    pub item: Option<usize>,
}

impl From<usize> for Place {
    fn from(document: usize) -> Self {
        Self { document, item: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {}", self.document + 1)?;
        self.item.map_or(Ok(()), |item| write!(f, " item {}", item + 1))
    }
}

impl Place {
    /// The object that stands here.
    pub(crate) fn find(self, documents: &[Value]) -> Option<&Value> {
        let document = documents.get(self.document)?;
        self.item.map_or(Some(document), |item| document.get("items")?.get(item))
    }
}

/// The objects of a file, those of its lists one by one.
///
/// # Errors
/// Why none of them can be taken for what it says.
pub(crate) fn objects(text: &str) -> Result<Vec<(Place, Value)>, String> {
    if text.contains("{{") {
        return Err("it is a template".to_owned());
    }
    let documents = documents(text)?;
    if documents.iter().any(|document| document.get("sops").is_some()) {
        return Err("it is encrypted with SOPS".to_owned());
    }
    let mut found = Vec::new();
    for (document, mut manifest) in documents.into_iter().enumerate() {
        let Some(objects) = items(&mut manifest) else {
            found.push((document.into(), manifest));
            continue;
        };
        for (item, object) in objects.into_iter().enumerate() {
            // The items of a list of one kind may leave both out, and do not say what they are.
            let says = ["apiVersion", "kind"].iter().all(|key| object.get(*key).is_some());
            if !says || is_list(&object) {
                return Err(format!("item {} of its list is no object with a kind of its own", item + 1));
            }
            found.push((Place { document, item: Some(item) }, object));
        }
    }
    Ok(found)
}

/// What the kinds of lists end in.
const LIST: &str = "List";

/// Whether it has objects as items: others have a kind that ends so, too.
fn is_list(manifest: &Value) -> bool {
    let kind = manifest.get("kind").and_then(Value::as_str).unwrap_or_default();
    let of_objects = |items: &Vec<Value>| items.iter().all(|item| item.get("metadata").is_some());
    let items = manifest.get("items").and_then(Value::as_array);
    items.is_some_and(|items| kind == LIST || (kind.ends_with(LIST) && of_objects(items)))
}

/// The objects of a list, as `kubectl get -o yaml` writes it.
fn items(manifest: &mut Value) -> Option<Vec<Value>> {
    let is_list = is_list(manifest);
    let items = manifest.get_mut("items").filter(|_| is_list)?.as_array_mut()?;
    Some(std::mem::take(items))
}
