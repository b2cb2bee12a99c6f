//! A value of a manifest together with its place, so that each finding says where it is.

use serde_json::{Map, Value};

/// A value and the steps to it. A field that is `null` is absent, as it is to an API server.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    value: &'a Value,
    place: String,
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value, place: String::new() }
    }

    /// A JSON pointer; `/` for the whole.
    pub(super) fn place(&self) -> &str {
        if self.place.is_empty() { "/" } else { &self.place }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// A field of an object.
    pub(super) fn get(&self, field: &str) -> Option<Node<'a>> {
        let value = self.value.as_object()?.get(field).filter(|value| !value.is_null())?;
        Some(self.below(value, field))
    }

    /// A field of a field of an object, and so on.
    pub(super) fn at(&self, fields: &[&str]) -> Option<Node<'a>> {
        fields.iter().try_fold(self.clone(), |node, field| node.get(field))
    }

    fn below(&self, value: &'a Value, step: &str) -> Node<'a> {
        let step = step.replace('~', "~0").replace('/', "~1");
        Node { value, place: format!("{}/{step}", self.place) }
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.get(field).is_some()
    }

    /// The items of a list that a field may have.
    pub(super) fn items(&self, field: &str) -> Vec<Node<'a>> {
        self.get(field).map(|list| list.list()).unwrap_or_default()
    }

    /// The items of a list.
    pub(super) fn list(&self) -> Vec<Node<'a>> {
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().enumerate().map(|(index, item)| self.below(item, &index.to_string())).collect()
    }

    /// The fields of an object that a field may have.
    pub(super) fn entries(&self, field: &str) -> Vec<(&'a str, Node<'a>)> {
        self.get(field).map(|object| object.fields()).unwrap_or_default()
    }

    /// The fields of an object.
    pub(super) fn fields(&self) -> Vec<(&'a str, Node<'a>)> {
        let fields = self.value.as_object().into_iter().flat_map(Map::iter);
        let present = fields.filter(|(_, value)| !value.is_null());
        present.map(|(field, value)| (field.as_str(), self.below(value, field))).collect()
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    pub(super) fn text_of(&self, field: &str) -> Option<&'a str> {
        self.value.get(field)?.as_str()
    }

    pub(super) fn number(&self) -> Option<i64> {
        self.value.as_i64()
    }

    pub(super) fn number_of(&self, field: &str) -> Option<i64> {
        self.value.get(field)?.as_i64()
    }

    pub(super) fn is(&self, field: &str, value: bool) -> bool {
        self.value.get(field) == Some(&Value::Bool(value))
    }
}
