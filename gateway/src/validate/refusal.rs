//! Why a proposal is refused.

use std::fmt;

use crate::edit::EditError;
use crate::model::manifest::ObjectRef;
use crate::model::text::cut;
use crate::snapshot::LookupError;

/// The longest of one reason, in bytes: a proposal's own texts are part of it.
const REASON_BYTES_MAX: usize = 1_024;
/// Reasons that are told of one proposal.
const REASONS_TOLD_MAX: usize = 16;

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The kind is not granted.
    #[error("{target}: the plugin has no grant for kind {}/{}", target.api_version, target.kind)]
    Kind {
        /// The object.
        target: ObjectRef,
    },
    /// The namespace is not granted.
    #[error("{target}: the plugin has no grant for this namespace")]
    Namespace {
        /// The object.
        target: ObjectRef,
    },
    /// The name is not granted.
    #[error("{target}: the plugin has no grant for an object of this name")]
    Name {
        /// The object.
        target: ObjectRef,
    },
    /// A label that the grants want is missing.
    #[error("{target}: the plugin has a grant for objects with the label {label}, which it does not have")]
    Label {
        /// The object.
        target: ObjectRef,
        /// The label and the pattern of its value.
        label: String,
    },
    /// The file is not granted.
    #[error("{target}: the plugin has no grant for {path}")]
    Path {
        /// The object.
        target: ObjectRef,
        /// The file that it stands in, or would stand in.
        path: String,
    },
    /// A field is not granted.
    #[error("{target}: the plugin has no grant for {}", told(fields))]
    Field {
        /// The object.
        target: ObjectRef,
        /// The fields, as JSON pointers.
        fields: Vec<String>,
    },
    /// No object may be made.
    #[error("{target}: the plugin has no grant to create objects")]
    CreateGrant {
        /// The object.
        target: ObjectRef,
    },
    /// The object cannot be made so.
    #[error("{target}: {reason}")]
    Create {
        /// The object.
        target: ObjectRef,
        /// Why not.
        reason: String,
    },
    /// No object may be deleted.
    #[error("{target}: the plugin has no grant to delete objects")]
    DeleteGrant {
        /// The object.
        target: ObjectRef,
    },
    /// The object cannot be deleted so.
    #[error("{target}: {reason}")]
    Delete {
        /// The object.
        target: ObjectRef,
        /// Why not.
        reason: String,
    },
    /// Nobody may change it.
    #[error("{target}: {by}")]
    Protected {
        /// The object.
        target: ObjectRef,
        /// What protects it.
        by: String,
    },
    /// The object cannot be pointed at.
    #[error("{target}: {error}")]
    Lookup {
        /// The object.
        target: ObjectRef,
        /// Why.
        error: LookupError,
    },
    /// It would be another object.
    #[error("{target}: a patch may not change {field}")]
    Identity {
        /// The object.
        target: ObjectRef,
        /// The field.
        field: &'static str,
    },
    /// The result breaks the schema of its kind.
    #[error("{target}: {reason}")]
    Schema {
        /// The object.
        target: ObjectRef,
        /// Where and how.
        reason: String,
    },
    /// The result fits the schema and is wrong all the same.
    #[error("{target}: {reason}")]
    Semantics {
        /// The object.
        target: ObjectRef,
        /// What is wrong.
        reason: String,
    },
    /// An API server was asked, and refuses it.
    #[error("{target}: {reason}")]
    DryRun {
        /// The object.
        target: ObjectRef,
        /// The server's words.
        reason: String,
    },
    /// The text cannot be changed so.
    #[error("{target} in {path}: {error}")]
    Edit {
        /// The object.
        target: ObjectRef,
        /// Its file.
        path: String,
        /// Why.
        error: EditError,
    },
    /// An earlier proposal of the same commit wants something else.
    #[error("{target}: {what} by {by}, which comes first in the same commit")]
    Conflict {
        /// The object.
        target: ObjectRef,
        /// Which field, and what is done with it.
        what: String,
        /// The reaction and the plugin that came first.
        by: String,
    },
    /// Somebody has changed what is to be taken back.
    #[error("{target}: {what} was changed since: it was left as {expected}, and is {found}")]
    ChangedSince {
        /// The object.
        target: ObjectRef,
        /// The field, as a JSON pointer with `[name]` for an element of a list, or the object.
        what: String,
        /// What it was left as, as JSON.
        expected: String,
        /// What it is, as JSON.
        found: String,
    },
    /// The object cannot be put back where it was.
    #[error("{target}: it cannot be put back: {reason}")]
    Restore {
        /// The object.
        target: ObjectRef,
        /// Why not.
        reason: String,
    },
    /// The plugin has changed enough for now.
    #[error(
        "plugin {plugin} has made {commits_max} commits within {window_s} s, which is guardrails.commitsMax: look \
         whether it does what it should, then raise the limit or replay what was refused"
    )]
    Window {
        /// The plugin.
        plugin: String,
        /// The limit.
        commits_max: u32,
        /// The window, in seconds.
        window_s: u32,
    },
    /// The plugin has changed enough objects for now.
    #[error(
        "plugin {plugin} would change more than {workloads_max} objects within {window_s} s, which is \
         guardrails.workloadsMax: look whether it does what it should, then raise the limit or replay what was refused"
    )]
    Workloads {
        /// The plugin.
        plugin: String,
        /// The limit.
        workloads_max: u32,
        /// The window, in seconds.
        window_s: u32,
    },
    /// The file would be too large.
    #[error("{path} would be larger than {file_bytes_max} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// The limit.
        file_bytes_max: usize,
    },
}

impl Refusal {
    /// Its place among the reasons: what the plugin may do comes before what is wrong.
    fn rank(&self) -> u8 {
        match self {
            Self::Kind { .. } | Self::Namespace { .. } | Self::Name { .. } => 0,
            Self::CreateGrant { .. } | Self::DeleteGrant { .. } => 0,
            Self::Label { .. } | Self::Path { .. } | Self::Field { .. } => 1,
            Self::Protected { .. } | Self::Window { .. } | Self::Workloads { .. } => 2,
            Self::Lookup { .. } | Self::Identity { .. } => 3,
            Self::Schema { .. } => 4,
            Self::Semantics { .. } => 5,
            Self::Create { .. } | Self::Delete { .. } | Self::Edit { .. } | Self::TooLarge { .. } => 6,
            Self::ChangedSince { .. } | Self::Restore { .. } => 6,
            Self::Conflict { .. } => 7,
            Self::DryRun { .. } => 8,
        }
    }

    /// The kind in kebab-case.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kind { .. } => "grant-kind",
            Self::Namespace { .. } => "grant-namespace",
            Self::Name { .. } => "grant-name",
            Self::Label { .. } => "grant-label",
            Self::Path { .. } => "grant-path",
            Self::Field { .. } => "grant-field",
            Self::CreateGrant { .. } => "grant-create",
            Self::Create { .. } => "create",
            Self::DeleteGrant { .. } => "grant-delete",
            Self::Delete { .. } => "delete",
            Self::Protected { .. } => "protected",
            Self::Lookup { error: LookupError::Unknown, .. } => "unknown-object",
            Self::Lookup { error: LookupError::Ambiguous(_), .. } => "ambiguous-object",
            Self::Lookup { error: LookupError::Uncertain(_), .. } => "uncertain-object",
            Self::Identity { .. } => "identity",
            Self::Schema { .. } => "schema",
            Self::Semantics { .. } => "semantics",
            Self::DryRun { .. } => "dry-run",
            Self::Edit { .. } => "edit",
            Self::Conflict { .. } => "conflict",
            Self::ChangedSince { .. } => "changed-since",
            Self::Restore { .. } => "restore",
            Self::Window { .. } => "too-many-commits",
            Self::Workloads { .. } => "too-many-workloads",
            Self::TooLarge { .. } => "too-large",
        }
    }
}

/// All reasons against one proposal, in the order of their ranks; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals(pub(super) Vec<Refusal>);

impl Refusals {
    pub(super) fn new(reasons: Vec<Refusal>) -> Option<Self> {
        (!reasons.is_empty()).then(|| Self::ranked(reasons))
    }

    /// There is at least one.
    pub(super) fn ranked(mut reasons: Vec<Refusal>) -> Self {
        reasons.sort_by_key(Refusal::rank);
        Self(reasons)
    }

    /// These and more.
    #[must_use]
    pub fn and(mut self, more: Option<Self>) -> Self {
        self.0.extend(more.into_iter().flat_map(|more| more.0));
        self.0.sort_by_key(Refusal::rank);
        self
    }

    /// The reasons.
    #[must_use]
    pub fn reasons(&self) -> &[Refusal] {
        &self.0
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.0.iter().take(REASONS_TOLD_MAX).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", refusal.kind(), cut(refusal.to_string(), REASON_BYTES_MAX))?;
        }
        match self.0.len().saturating_sub(REASONS_TOLD_MAX) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// The first of the fields, and how many more there are.
fn told(fields: &[String]) -> String {
    let told = fields[..fields.len().min(REASONS_TOLD_MAX)].join(", ");
    match fields.len().saturating_sub(REASONS_TOLD_MAX) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}
