//! A key that may be left out, but not be empty.
//!
//! To serde an `Option` that is `null` is one that was left out. In a match that would drop the
//! condition and widen the rule, where somebody only forgot the value.

use std::borrow::Cow;

use riposte_sdk::prelude::*;
use riposte_sdk::schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

/// A value, if its key is there; its type has `#[serde(default)]`.
#[derive(Debug)]
pub struct Given<T>(Option<T>);

impl<T> Given<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        T::deserialize(from).map(|value| Self(Some(value)))
    }
}

impl<T: JsonSchema> JsonSchema for Given<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
