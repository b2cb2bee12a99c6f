//! What a text has to be: exactly this, one of these, or as an operator says.

use std::borrow::Cow;

use regex_lite::{Regex, RegexBuilder};
use riposte_sdk::prelude::*;
use riposte_sdk::schemars::{Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::given::Given;
use crate::glob::Glob;

/// The most that a compiled regex may take: each event compiles the ones that it comes to.
const REGEX_BYTES_MAX: usize = 1 << 16;

/// What a text has to be.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
pub enum Text {
    /// Exactly this.
    Exact(Scalar),
    /// One of these.
    OneOf(Vec<Self>),
    /// As the operators say.
    As(Box<Operators>),
}

/// A text, or a number or a boolean by its text: output fields have all of them.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Value")]
#[schemars(inline, extend("type" = ["string", "number", "boolean"]))]
pub struct Scalar(String);

/// What a text has to be: exactly this, one of a list, or as these operators say, all of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("minProperties" = 1))]
pub struct Operators {
    /// It is this.
    exact: Given<Scalar>,
    /// It begins with this.
    prefix: Given<String>,
    /// It ends with this.
    suffix: Given<String>,
    /// The whole of it is like this: `*` stands for any text, `?` for one character, and `\` makes the
    /// next of them a plain character.
    glob: Given<String>,
    /// A part of it is like this regular expression; `^` and `$` make it the whole.
    regex: Given<String>,
    /// It is one of these.
    #[schemars(length(min = 1))]
    one_of: Given<Vec<Text>>,
}

impl TryFrom<Value> for Scalar {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self(text)),
            Value::Number(_) | Value::Bool(_) => Ok(Self(value.to_string())),
            _ => Err(format!("{value} is no text, number or boolean")),
        }
    }
}

impl TryFrom<Value> for Text {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Array(items) => {
                items.into_iter().map(Self::try_from).collect::<Result<_, _>>().map(Self::OneOf)
            }
            Value::Object(_) => {
                serde_json::from_value(value).map(Self::As).map_err(|error| error.to_string())
            }
            scalar => Scalar::try_from(scalar).map(Self::Exact),
        }
    }
}

impl Text {
    /// Whether it can be used.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Exact(_) => Ok(()),
            Self::OneOf(list) => check_list(list),
            Self::As(operators) => operators.check(),
        }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact.0 == text,
            Self::OneOf(list) => list.iter().any(|one| one.matches(text)),
            Self::As(operators) => operators.match_all(text),
        }
    }

    /// Of a list one element has to match. An object has no text.
    pub(crate) fn matches_value(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.matches(text),
            Value::Array(items) => items.iter().any(|item| self.matches_value(item)),
            Value::Number(_) | Value::Bool(_) => self.matches(&value.to_string()),
            Value::Null | Value::Object(_) => false,
        }
    }
}

impl Operators {
    fn check(&self) -> Result<(), String> {
        if let Some(pattern) = self.glob.get() {
            Glob::read(pattern).map_err(|why| format!("the glob {pattern:?} is wrong: {why}"))?;
        }
        if let Some(pattern) = self.regex.get() {
            compiled(pattern).map_err(|why| {
                let advice = "write a \\ before a character that stands for itself";
                format!("the regex {pattern:?} is wrong: {why}; {advice}")
            })?;
        }
        match self.one_of.get() {
            Some(list) => check_list(list),
            None if self.is_empty() => {
                Err("give one of exact, prefix, suffix, glob, regex, oneOf".to_owned())
            }
            None => Ok(()),
        }
    }

    fn is_empty(&self) -> bool {
        let texts = [&self.prefix, &self.suffix, &self.glob, &self.regex];
        self.exact.get().is_none() && texts.iter().all(|text| text.get().is_none())
    }

    fn match_all(&self, text: &str) -> bool {
        let Self { exact, prefix, suffix, glob, regex, one_of } = self;
        exact.get().is_none_or(|exact| exact.0 == text)
            && prefix.get().is_none_or(|prefix| text.starts_with(prefix))
            && suffix.get().is_none_or(|suffix| text.ends_with(suffix))
            && one_of.get().is_none_or(|list| list.iter().any(|one| one.matches(text)))
            // Both have been checked when the plugin was loaded.
            && glob.get().is_none_or(|glob| Glob::read(glob).is_ok_and(|glob| glob.matches(text)))
            && regex.get().is_none_or(|regex| compiled(regex).is_ok_and(|regex| regex.is_match(text)))
    }
}

/// Its time is linear in the text, whatever the pattern.
fn compiled(pattern: &str) -> Result<Regex, regex_lite::Error> {
    RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build()
}

fn check_list(list: &[Text]) -> Result<(), String> {
    not_empty(list)?;
    list.iter().try_for_each(Text::check)
}

/// An empty list would match nothing, ever.
pub(crate) fn not_empty<T>(list: &[T]) -> Result<(), String> {
    if list.is_empty() {
        return Err("the list is empty; give at least one, or leave the key out".to_owned());
    }
    Ok(())
}

/// The schema of the operators with the two short forms beside them, without alternatives: what is
/// wrong with a value is then said of that value.
impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Operators::json_schema(generator);
        schema.insert("type".to_owned(), json!(["string", "number", "boolean", "array", "object"]));
        schema.insert("minItems".to_owned(), json!(1));
        schema.insert("items".to_owned(), generator.subschema_for::<Self>().to_value());
        schema
    }
}
