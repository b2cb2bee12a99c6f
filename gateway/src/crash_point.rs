//! Named points of the data path where a test can kill the process. A leaf.
//!
//! In a build without the `crash-points` feature, which is every build but the tests', reaching a
//! point does nothing. A test names one in `RIPOSTE_CRASH_POINT`, waits for the line on standard
//! error, and kills the process that stands still there.

/// A point of the path, in the order an event passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// Decoded, not stored.
    Decoded,
    /// Stored, not acknowledged.
    Recorded,
    /// About to make the event's reactions.
    Routing,
    /// The reactions are made.
    Routed,
    /// An attempt is counted, the plugin not called.
    Dispatching,
    /// The plugin has decided, nothing is stored of it.
    Decided,
    /// The decision is stored.
    DecisionRecorded,
    /// A commit attempt is counted.
    Committing,
    /// The proposal is validated, nothing is pushed.
    Validated,
    /// A proposal's commit is made, its branch is not there or not yet at it.
    Staged,
    /// A proposal's branch is at its commit, no pull request is opened.
    BranchMoved,
    /// The repository has the commit or the pull request, the journal does not know.
    Committed,
    /// The outcome is stored.
    OutcomeRecorded,
}

impl CrashPoint {
    /// Every point, in the order an event passes them.
    pub const ALL: [Self; 13] = [
        Self::Decoded,
        Self::Recorded,
        Self::Routing,
        Self::Routed,
        Self::Dispatching,
        Self::Decided,
        Self::DecisionRecorded,
        Self::Committing,
        Self::Validated,
        Self::Staged,
        Self::BranchMoved,
        Self::Committed,
        Self::OutcomeRecorded,
    ];

    /// The name that a test puts into `RIPOSTE_CRASH_POINT`.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Stands still here for ever if this is the named point.
    #[cfg(feature = "crash-points")]
    pub(crate) fn reach(self) {
        use std::io::Write;
        if std::env::var("RIPOSTE_CRASH_POINT").is_ok_and(|named| named == self.name()) {
            let _test_is_gone = writeln!(std::io::stderr(), "crash point reached: {}", self.name());
            // The others go on: whoever stands here has no thread of theirs.
            tokio::task::block_in_place(|| {
                loop {
                    std::thread::park();
                }
            })
        }
    }

    /// Nothing, in this build.
    #[cfg(not(feature = "crash-points"))]
    pub(crate) fn reach(self) {}
}
