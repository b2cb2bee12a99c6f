//! YAML (and JSON, which is YAML) as data, within limits.
//!
//! A few lines can ask for gigabytes (an anchor with twenty thousand aliases) or for hours (thousands
//! of open brackets). Here a text costs what its length allows. A key that is given twice, a tag of
//! one's own or a number that JSON does not have is refused, because readers differ on them.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The deepest nesting of a manifest.
pub(super) const DEPTH_MAX: usize = 64;
/// How much larger than its text the data may be, in bytes of its strings and in values: what is over
/// comes from aliases.
const EXPANSION_MAX: usize = 10;
const EXPANSION_FREE: usize = 4096;

/// The documents of a YAML stream.
///
/// # Errors
/// Why the text is not to be read, for people.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, String> {
    if nesting(text) > DEPTH_MAX {
        return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
    }
    let left = Cell::new(text.len() * EXPANSION_MAX + EXPANSION_FREE);
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Node { left: &left, depth: 0 }.deserialize(document))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it cannot be read as YAML: {error}"))
}

/// How deep brackets lie in each other at most: parsers take quadratic time on thousands of open
/// ones. Brackets in a text count too; a text is not as deep as that by chance.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Reads one value and what is below it.
#[derive(Clone, Copy)]
struct Node<'a> {
    /// What the rest of the stream may still cost.
    left: &'a Cell<usize>,
    depth: usize,
}

impl<'a> Node<'a> {
    fn spend<E: Error>(self, cost: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(cost).ok_or_else(|| {
            E::custom(format_args!(
                "its aliases make it more than {EXPANSION_MAX} times as large as its text"
            ))
        })?;
        self.left.set(left);
        Ok(())
    }

    fn below<E: Error>(self) -> Result<Node<'a>, E> {
        self.spend(1)?;
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format_args!("it is nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(Node { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has too")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.spend(1).map(|()| Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.spend(1).map(|()| value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.spend(1).map(|()| value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.spend(1).map(|()| value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.spend(1)?;
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("it has a number that is none in JSON"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.spend(value.len() + 1).map(|()| value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.spend(value.len() + 1).map(|()| value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key_seed(below)? {
            let key = key_text(key)?;
            let value = entries.next_value_seed(below)?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("key {key:?} is given twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// A key as Kubernetes' own reader takes it: numbers and booleans are texts there.
fn key_text<E: Error>(key: Value) -> Result<String, E> {
    match key {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        other => Err(E::custom(format_args!("{other} is no key"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::documents;

    #[test]
    fn yaml_becomes_the_data_that_kubernetes_reads() {
        let table = [
            (
                "a: 1\nb: -2\nc: 1.5\nd: true\ne:\nf: '1'\ng: on\n",
                json!({"a": 1, "b": -2, "c": 1.5, "d": true, "e": null, "f": "1", "g": "on"}),
            ),
            ("1: x\ntrue: y\n", json!({"1": "x", "true": "y"})),
            ("a: &x {b: [1, 2]}\nc: *x\n", json!({"a": {"b": [1, 2]}, "c": {"b": [1, 2]}})),
            ("a: !!str 5\n", json!({"a": "5"})),
            ("s: |\n  a: {{{{\n  [[[[\n", json!({"s": "a: {{{{\n[[[[\n"})),
            ("{\"a\": [1, {\"b\": null}]}", json!({"a": [1, {"b": null}]})),
        ];
        for (text, expected) in table {
            assert_eq!(documents(text).as_deref(), Ok(&[expected][..]), "{text}");
        }
        assert_eq!(documents("a: 1\n---\nb: 2\n").map(|found| found.len()), Ok(2));
    }

    #[test]
    fn what_readers_differ_on_or_cannot_afford_is_refused() {
        let bomb = format!("a: &x {}\nb: [{}]\n", "y".repeat(60_000), vec!["*x"; 20_000].join(", "));
        let laughs = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
            let alias = format!("*a{}", level - 1);
            text + &format!("a{level}: &a{level} [{}]\n", vec![alias; 9].join(", "))
        });
        let deep = format!("a: {}1{}\n", "[".repeat(100_000), "]".repeat(100_000));
        let stairs: String = (0..100).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        let table = [
            (bomb.as_str(), "aliases"),
            (&laughs, ""),
            (&deep, "64 levels"),
            (&stairs, "64 levels"),
            ("a: 1\na: 2\n", "twice"),
            ("a: {b: 1, b: 1}\n", "twice"),
            ("a: !mine 1\n", ""),
            ("a: .nan\n", "number"),
            ("? [a, b]\n: 1\n", "no key"),
            ("a: [1\n", ""),
            ("a: *nowhere\n", ""),
        ];
        for (text, words) in table {
            let start: String = text.chars().take(60).collect();
            let refused = documents(text).expect_err(&start);
            assert!(refused.contains(words), "{start}: {refused}");
        }
    }
}
