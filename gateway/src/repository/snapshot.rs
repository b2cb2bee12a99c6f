//! The manifests of one commit.

use std::sync::Arc;

/// One manifest file as the repository holds it.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Relative to the root of the repository, with `/`.
    pub path: String,
    /// The Git blob's id: the same id is the same text.
    pub blob: String,
    /// The whole text, byte for byte.
    pub text: Arc<str>,
}
