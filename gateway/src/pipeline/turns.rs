//! Whose turn it is to decide. Pure.
//!
//! Each plugin has a lane. The next place goes to the plugin that has the fewest running, and among
//! those to the one that has waited longest: a plugin with a long backlog, or one that uses all of its
//! time, holds up itself and costs another at most the end of one invocation.

use std::collections::{BTreeMap, VecDeque};

use crate::record::DueReaction;

/// The reactions that wait for a decision, and those that are being decided.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lanes: BTreeMap<String, Lane>,
    /// Counts the turns.
    turn: u64,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<DueReaction>,
    running: Vec<i64>,
    last_turn: u64,
}

impl Turns {
    /// Reactions join the ends of their lanes.
    pub(super) fn join(&mut self, due: Vec<DueReaction>) {
        for reaction in due {
            self.lanes.entry(reaction.plugin.clone()).or_default().waiting.push_back(reaction);
        }
    }

    /// The reaction that is decided next.
    pub(super) fn next(&mut self) -> Option<DueReaction> {
        let lanes = self.lanes.values_mut().filter(|lane| !lane.waiting.is_empty());
        let lane = lanes.min_by_key(|lane| (lane.running.len(), lane.last_turn))?;
        let reaction = lane.waiting.pop_front()?;
        self.turn += 1;
        lane.last_turn = self.turn;
        lane.running.push(reaction.id);
        Some(reaction)
    }

    /// A place is free again. Whether the plugin's lane is empty now.
    pub(super) fn ended(&mut self, plugin: &str, reaction: i64) -> bool {
        let Some(lane) = self.lanes.get_mut(plugin) else { return true };
        lane.running.retain(|id| *id != reaction);
        lane.waiting.is_empty()
    }

    /// Nobody of these plugins waits here any longer: the journal still has them.
    pub(super) fn leave(&mut self, plugins: &[String]) {
        for plugin in plugins {
            if let Some(lane) = self.lanes.get_mut(plugin) {
                lane.waiting.clear();
            }
        }
    }

    /// Nobody waits here any longer.
    pub(super) fn leave_all(&mut self) {
        self.lanes.values_mut().for_each(|lane| lane.waiting.clear());
    }

    /// The plugins that need none from the journal.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &String> {
        self.lanes.iter().filter(|(_, lane)| !lane.waiting.is_empty()).map(|(plugin, _)| plugin)
    }

    /// The reactions that are being decided.
    pub(super) fn running(&self) -> Vec<i64> {
        self.lanes.values().flat_map(|lane| lane.running.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use crate::model::plugin::Mode;
    use crate::record::DueReaction;

    fn due(plugin: &str, ids: std::ops::Range<i64>) -> Vec<DueReaction> {
        let reaction = |id| DueReaction {
            id,
            event_seq: id,
            plugin: plugin.to_owned(),
            mode: Mode::Observe,
            attempts: 0,
            created_us: 0,
            reverts: None,
        };
        ids.map(reaction).collect()
    }

    #[test]
    fn a_backlog_holds_up_nobody_else() {
        let mut turns = Turns::default();
        turns.join(due("slow", 0..100));
        for id in 0..4 {
            assert_eq!(turns.next().map(|reaction| reaction.id), Some(id), "all places are the slow one's");
        }
        turns.join(due("good", 100..110));
        assert_eq!(turns.waiting().collect::<Vec<_>>(), ["good", "slow"]);
        for (ended, next) in
            [("slow", "good"), ("good", "good"), ("slow", "good"), ("slow", "slow"), ("good", "good")]
        {
            let running = turns.lanes[ended].running[0];
            turns.ended(ended, running);
            assert_eq!(turns.next().map(|reaction| reaction.plugin).as_deref(), Some(next), "after {ended}");
        }
    }

    #[test]
    fn equals_take_turns_and_who_leaves_waits_in_the_journal() {
        let mut turns = Turns::default();
        for plugin in ["a", "b", "c"] {
            turns.join(due(plugin, 0..3));
        }
        let order: Vec<String> =
            (0..6).filter_map(|_| turns.next()).map(|reaction| reaction.plugin).collect();
        assert_eq!(order, ["a", "b", "c", "a", "b", "c"]);
        turns.leave(&["a".to_owned(), "absent".to_owned()]);
        assert_eq!(turns.waiting().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(turns.running().len(), 6);
        assert!(!turns.ended("b", 0), "one of b waits");
        assert!(turns.ended("a", 0), "none of a waits");
        turns.leave_all();
        assert_eq!(turns.next(), None);
    }
}
