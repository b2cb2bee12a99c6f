//! What we may still ask of GitHub: it limits how much content is made in a minute and in an hour, and
//! tells nobody how much is left.
//!
//! The windows slide, so that no hour has more calls than the limit, wherever it begins. Which calls
//! there were before a restart is in the journal.

use std::collections::VecDeque;

use crate::repository::BudgetConfig;

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// Calls that are left and when they were made.
#[derive(Debug)]
pub struct Budget {
    limits: BudgetConfig,
    /// Calls of the last hour, oldest first: when, and how many.
    spent: VecDeque<(i64, u32)>,
}

/// How many calls are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// In the minute.
    pub minute: u32,
    /// In the hour.
    pub hour: u32,
}

impl Budget {
    /// The longest time that a call is remembered for, in microseconds.
    pub const WINDOW_US: i64 = HOUR_US;

    /// A budget of which this was spent, oldest first: when, in microseconds since 1970, and how many
    /// calls.
    #[must_use]
    pub fn new(limits: BudgetConfig, spent: Vec<(i64, u32)>) -> Self {
        Self { limits, spent: spent.into() }
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &BudgetConfig {
        &self.limits
    }

    /// How many calls are left.
    #[must_use]
    pub fn left(&self, now_us: i64) -> Left {
        let spent = |window_us| -> u32 { self.since(now_us - window_us).map(|(_, calls)| calls).sum() };
        Left {
            minute: self.limits.per_minute.saturating_sub(spent(MINUTE_US)),
            hour: self.limits.per_hour.saturating_sub(spent(HOUR_US)),
        }
    }

    /// When there is room for so many calls: now, or later. More than a whole window has is room once
    /// the window is empty.
    #[must_use]
    pub fn free_at(&self, calls: u32, now_us: i64) -> i64 {
        let windows = [(MINUTE_US, self.limits.per_minute), (HOUR_US, self.limits.per_hour)];
        let free_at = |(window_us, most): (i64, u32)| {
            let mut room = i64::from(most) - i64::from(calls.min(most));
            let mut calls_back = self.spent.iter().rev();
            // Going back, the first call that there is no room beside must have left the window.
            let in_the_way = calls_back.find(|(_, calls)| {
                room -= i64::from(*calls);
                room < 0
            });
            in_the_way.map_or(now_us, |(at_us, _)| at_us + window_us)
        };
        windows.into_iter().map(free_at).max().unwrap_or(now_us).max(now_us)
    }

    /// Notes calls that are about to be made.
    pub fn spend(&mut self, calls: u32, now_us: i64) {
        self.spent.push_back((now_us, calls));
        while self.spent.front().is_some_and(|(at_us, _)| *at_us <= now_us - HOUR_US) {
            self.spent.pop_front();
        }
    }

    fn since(&self, after_us: i64) -> impl Iterator<Item = (i64, u32)> {
        self.spent.iter().copied().filter(move |(at_us, _)| *at_us > after_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000;

    fn budget(per_minute: u32, per_hour: u32, spent: Vec<(i64, u32)>) -> Budget {
        Budget::new(BudgetConfig { per_minute, per_hour }, spent)
    }

    #[test]
    fn room_comes_back_when_calls_leave_a_window() {
        let mut used = budget(2, 3, Vec::new());
        assert_eq!(used.left(0), Left { minute: 2, hour: 3 });
        assert_eq!(used.free_at(1, 5), 5);
        used.spend(1, 0);
        used.spend(1, 10 * S);
        assert_eq!(used.left(10 * S), Left { minute: 0, hour: 1 });
        assert_eq!(used.free_at(1, 10 * S), 60 * S, "when the first has left the minute");
        assert_eq!(used.free_at(2, 10 * S), 3_600 * S, "two do not fit into the hour");
        used.spend(1, 60 * S);
        assert_eq!(used.left(60 * S), Left { minute: 0, hour: 0 });
        assert_eq!(used.free_at(1, 60 * S), 3_600 * S, "when the first has left the hour");
        assert_eq!(used.left(3_600 * S), Left { minute: 2, hour: 1 });
        let restarted = budget(2, 3, vec![(0, 1), (10 * S, 1), (60 * S, 1)]);
        assert_eq!(restarted.free_at(1, 61 * S), 3_600 * S);
    }

    #[test]
    fn more_than_a_window_has_begins_with_an_empty_one() {
        let used = budget(2, 10, vec![(0, 1)]);
        assert_eq!(used.free_at(6, S), 60 * S);
        assert_eq!(budget(2, 10, Vec::new()).free_at(6, S), S);
    }

    proptest! {
        #[test]
        fn no_window_ever_has_more_than_its_limit(
            per_minute in 1..5_u32, per_hour in 1..20_u32, waits in prop::collection::vec(0..90_i64, 1..80),
        ) {
            let (mut used, mut now_us, mut calls) = (budget(per_minute, per_hour, Vec::new()), 0, Vec::new());
            for wait in waits {
                now_us = used.free_at(1, now_us + wait * S);
                used.spend(1, now_us);
                calls.push(now_us);
            }
            for (window_us, most) in [(MINUTE_US, per_minute), (HOUR_US, per_hour)] {
                for from_us in &calls {
                    let within = calls.iter().filter(|at| (*from_us..*from_us + window_us).contains(*at));
                    prop_assert!(within.count() <= usize::try_from(most).unwrap());
                }
            }
        }
    }
}
