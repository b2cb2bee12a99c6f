//! Values inside of JSON by their path, with the reason when they are not there.

use serde_json::Value;

use crate::Missing;

/// Looks into JSON by JSON pointers (RFC 6901), for event data and manifests alike.
///
/// What is left out, `null` or empty is [`Missing`], which `?` turns into an ignore with the path.
///
/// ```
/// use riposte_sdk::prelude::*;
/// use serde_json::json;
///
/// # fn main() -> Result<(), Missing> {
/// let audit = json!({
///     "objectRef": { "resource": "pods", "name": "web-0", "apiVersion": "" },
///     "annotations": { "authorization.k8s.io/decision": "allow" },
///     "responseStatus": { "code": 201 },
/// });
/// assert_eq!(audit.text_at("/objectRef/name")?, "web-0");
/// assert_eq!(audit.text_at("/annotations/authorization.k8s.io~1decision")?, "allow");
/// assert_eq!(audit.integer_at::<u16>("/responseStatus/code")?, 201);
/// let missing = audit.text_at("/objectRef/apiVersion").unwrap_err();
/// assert_eq!(missing.to_string(), "/objectRef/apiVersion is missing or empty");
/// # Ok(())
/// # }
/// ```
pub trait At {
    /// The value at a path.
    ///
    /// # Errors
    /// When there is none, or it is `null` or an empty text.
    fn at(&self, path: &str) -> Result<&Value, Missing>;

    /// The text at a path.
    ///
    /// # Errors
    /// As [`At::at`], and when it is no text.
    fn text_at(&self, path: &str) -> Result<&str, Missing> {
        let value = self.at(path)?;
        value.as_str().ok_or_else(|| Missing::new(format!("{path} is no text")))
    }

    /// The integer at a path, exactly; a text of digits is one.
    ///
    /// # Errors
    /// As [`At::at`], and when it is no integer or does not fit into the type.
    fn integer_at<T: TryFrom<i128>>(&self, path: &str) -> Result<T, Missing> {
        integer(self.at(path)?).ok_or_else(|| Missing::new(format!("{path} is no integer that fits")))
    }

    /// The elements of the list at a path.
    ///
    /// # Errors
    /// As [`At::at`], and when it is no list.
    fn list_at(&self, path: &str) -> Result<&[Value], Missing> {
        let list = self.at(path)?.as_array();
        list.map(Vec::as_slice).ok_or_else(|| Missing::new(format!("{path} is no list")))
    }
}

impl At for Value {
    fn at(&self, path: &str) -> Result<&Value, Missing> {
        let found = self.pointer(path).filter(|value| !is_empty(value));
        found.ok_or_else(|| Missing::new(format!("{path} is missing or empty")))
    }
}

/// Whether a value says nothing.
pub(crate) fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

/// An integer without a way through a float, which is exact up to 2^53 only.
pub(crate) fn integer<T: TryFrom<i128>>(value: &Value) -> Option<T> {
    let integer = match value {
        Value::Number(number) => number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    T::try_from(integer?).ok()
}

/// The names of a JSON pointer; the first `/` may be left out.
pub(crate) fn segments(path: &str) -> Vec<String> {
    if path.is_empty() {
        return Vec::new();
    }
    let names = path.strip_prefix('/').unwrap_or(path).split('/');
    names.map(|name| name.replace("~1", "/").replace("~0", "~")).collect()
}
