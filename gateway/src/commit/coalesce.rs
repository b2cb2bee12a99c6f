//! When a burst of proposals is over and becomes one commit.
//!
//! Times are those of the journal, so that a gateway that was restarted goes on with the same burst. An
//! alert that stands alone waits for `idleMs` and no longer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How proposals are joined into one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Coalesce {
    /// How long no further proposal may come before a burst is committed, in milliseconds; 0 commits what
    /// is there at once.
    pub idle_ms: u32,
    /// How long the first proposal of a burst waits at most, in milliseconds.
    pub wait_max_ms: u32,
    /// Different changes of one commit; 1 makes a commit of each.
    pub changes_max: u32,
}

impl Default for Coalesce {
    fn default() -> Self {
        Self { idle_ms: 1_000, wait_max_ms: 5_000, changes_max: 50 }
    }
}

/// The proposals that wait to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// How many different changes they are, at most.
    pub changes: u64,
    /// Whether one is of a plugin that is urgent.
    pub is_urgent: bool,
    /// When the first was decided, in microseconds since 1970.
    pub first_us: i64,
    /// When the last was decided.
    pub last_us: i64,
}

/// When a burst is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// By now.
    Now,
    /// At this time in microseconds since 1970, if nothing more comes.
    At(i64),
}

impl Coalesce {
    /// The longest wait that can be configured, in milliseconds.
    pub const WAIT_MS_MAX: u32 = 60_000;
    /// The most changes of one commit that can be configured.
    pub const CHANGES_MAX: u32 = 100;

    /// When the burst is over.
    #[must_use]
    pub fn closing(&self, burst: &Burst, now_us: i64) -> Closing {
        let after = |from_us: i64, wait_ms: u32| from_us + i64::from(wait_ms) * 1_000;
        let at_us = after(burst.last_us, self.idle_ms).min(after(burst.first_us, self.wait_max_ms));
        // A clock that was set back must not hold a burst for as long as it was set back.
        let is_over = at_us <= now_us || burst.first_us > now_us;
        if burst.is_urgent || burst.changes >= u64::from(self.changes_max) || is_over {
            Closing::Now
        } else {
            Closing::At(at_us)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000;

    #[test]
    fn a_burst_is_over_when_the_first_of_its_limits_is_reached() {
        let coalesce = Coalesce { idle_ms: 1_000, wait_max_ms: 5_000, changes_max: 50 };
        // First and last proposal, changes, urgent, now; when it is over, in milliseconds.
        let table = [
            ("alone", 0, 0, 1, false, 0, Closing::At(1_000 * MS)),
            ("idle", 0, 0, 1, false, 1_000, Closing::Now),
            ("one more came", 0, 900, 2, false, 1_000, Closing::At(1_900 * MS)),
            ("they keep coming", 0, 4_900, 9, false, 4_901, Closing::At(5_000 * MS)),
            ("for too long", 0, 4_990, 9, false, 5_000, Closing::Now),
            ("many", 0, 0, 50, false, 0, Closing::Now),
            ("urgent", 0, 0, 1, true, 0, Closing::Now),
            ("long ago, before a restart", 0, 0, 1, false, 3_600_000, Closing::Now),
            ("a clock that was set back", 9_000, 9_000, 1, false, 10, Closing::Now),
        ];
        for (name, first, last, changes, is_urgent, now, expected) in table {
            let burst = Burst { changes, is_urgent, first_us: first * MS, last_us: last * MS };
            assert_eq!(coalesce.closing(&burst, now * MS), expected, "{name}");
        }
        let at_once = Coalesce { idle_ms: 0, ..coalesce.clone() };
        let burst = Burst { changes: 1, is_urgent: false, first_us: 7, last_us: 7 };
        assert_eq!(at_once.closing(&burst, 7), Closing::Now);
        let each = Coalesce { changes_max: 1, ..coalesce };
        assert_eq!(each.closing(&burst, 7), Closing::Now);
    }
}
