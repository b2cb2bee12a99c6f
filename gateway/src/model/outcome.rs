//! How a reaction ends. Every reaction ends in exactly one of these.

use serde::{Deserialize, Serialize};

/// The word for a reaction's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum OutcomeKind {
    /// The plugin wanted no change.
    Ignored,
    /// The desired state already was as proposed; there is no commit.
    Unchanged,
    /// Would have been committed; the plugin's mode is `observe`.
    Observed,
    /// Proposed by a pull request; the plugin's mode is `propose`.
    Proposed,
    /// Committed to the desired-state repository.
    Committed,
    /// The host did not allow the proposal.
    Refused,
    /// The plugin or the commit failed in a way that trying again does not mend.
    Failed,
    /// Failed each time, as often as the limit allows.
    Exhausted,
}

impl OutcomeKind {
    /// Every outcome.
    pub const ALL: [Self; 8] = [
        Self::Ignored,
        Self::Unchanged,
        Self::Observed,
        Self::Proposed,
        Self::Committed,
        Self::Refused,
        Self::Failed,
        Self::Exhausted,
    ];

    /// The word the journal and the API use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Unchanged => "unchanged",
            Self::Observed => "observed",
            Self::Proposed => "proposed",
            Self::Committed => "committed",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Exhausted => "exhausted",
        }
    }

    /// The outcome of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What became of a commit afterwards. Its outcome stays `committed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// Taken back by the gateway when its time was over.
    Expired,
    /// Taken back because somebody asked the gateway to.
    Reverted,
    /// Taken back by a person in the repository.
    Overridden,
}

impl Became {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Expired, Self::Reverted, Self::Overridden];

    /// The word the API uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Reverted => "reverted",
            Self::Overridden => "overridden",
        }
    }

    /// The one of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|became| became.as_str() == word)
    }
}
