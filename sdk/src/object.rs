//! The name of an object of the desired state.

use std::fmt;

/// The name of an object: never a path, the gateway finds the file.
///
/// ```
/// use riposte_sdk::ObjectRef;
///
/// let web = ObjectRef::namespaced("apps/v1", "Deployment", "default", "web");
/// assert_eq!(web.to_string(), "Deployment default/web");
/// assert_eq!(ObjectRef::cluster_wide("v1", "Namespace", "default").to_string(), "Namespace default");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// `None` for an object without a namespace.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl ObjectRef {
    /// An object in a namespace.
    #[must_use]
    pub fn namespaced(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..Self::cluster_wide(api_version, kind, name) }
    }

    /// An object of the whole cluster.
    #[must_use]
    pub fn cluster_wide(api_version: &str, kind: &str, name: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: name.to_owned(),
        }
    }

    /// Whether it is of one of these kinds.
    #[must_use]
    pub fn is_any_of(&self, kinds: &[&str]) -> bool {
        kinds.contains(&self.kind.as_str())
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}
