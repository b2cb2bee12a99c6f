//! Which elements of a list are still there in another one.
//!
//! Pure. A list that got one element more, and in which another one changed, is not written anew: what
//! both have keeps its lines. It decides how a text is written, never what it says.

use serde_json::Value;

/// The most pairs of elements that are compared, beyond those that both ends share.
const PAIRS_MAX: usize = 250_000;

/// The fields by which elements of Kubernetes' lists are told apart.
const NAMES: [&str; 8] =
    ["name", "key", "mountPath", "containerPort", "port", "devicePath", "ip", "topologyKey"];

/// What becomes of the elements, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The old element stays, and is the new one from now on.
    Keep(usize, usize),
    /// The old element goes.
    Remove(usize),
    /// The new element comes before this old one.
    Insert(usize, usize),
}

/// The steps from one list to another.
pub(super) fn aligned(before: &[Value], after: &[Value]) -> Vec<Step> {
    let head = before.iter().zip(after).take_while(|(old, new)| old == new).count();
    let (old, new) = (&before[head..], &after[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let mut steps: Vec<Step> = (0..head).map(|index| Step::Keep(index, index)).collect();
    let mut from = (0, 0);
    for anchor in common(old, new).into_iter().chain([(old.len(), new.len())]) {
        between(&mut steps, (head + from.0, head + from.1), (head + anchor.0, head + anchor.1));
        if anchor.0 < old.len() {
            steps.push(Step::Keep(head + anchor.0, head + anchor.1));
        }
        from = (anchor.0 + 1, anchor.1 + 1);
    }
    let ends = (before.len() - tail, after.len() - tail);
    steps.extend((0..tail).map(|index| Step::Keep(ends.0 + index, ends.1 + index)));
    steps
}

/// Between two elements that both have: one in the place of another, then what is left.
fn between(steps: &mut Vec<Step>, from: (usize, usize), to: (usize, usize)) {
    let both = (to.0 - from.0).min(to.1 - from.1);
    steps.extend((0..both).map(|index| Step::Keep(from.0 + index, from.1 + index)));
    steps.extend((from.0 + both..to.0).map(Step::Remove));
    steps.extend((from.1 + both..to.1).map(|new| Step::Insert(to.0, new)));
}

/// The longest row of pairs that are alike; none where it would take too long to find.
fn common(old: &[Value], new: &[Value]) -> Vec<(usize, usize)> {
    if old.len().saturating_mul(new.len()) > PAIRS_MAX {
        return Vec::new();
    }
    let width = new.len() + 1;
    // How many pairs can still be made from here on.
    let mut left = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            let skipped = left[(i + 1) * width + j].max(left[i * width + j + 1]);
            let paired = if alike(&old[i], &new[j]) { left[(i + 1) * width + j + 1] + 1 } else { 0 };
            left[i * width + j] = skipped.max(paired);
        }
    }
    let (mut pairs, mut i, mut j) = (Vec::new(), 0, 0);
    while i < old.len() && j < new.len() {
        let here = left[i * width + j];
        if alike(&old[i], &new[j]) && here == left[(i + 1) * width + j + 1] + 1 {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if left[(i + 1) * width + j] == here {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// Whether two elements are one: equal, or called the same.
fn alike(old: &Value, new: &Value) -> bool {
    let (Value::Object(left), Value::Object(right)) = (old, new) else { return old == new };
    let named = NAMES.iter().find_map(|name| Some((left.get(*name)?, right.get(*name)?)));
    named.map_or_else(|| old == new, |(left, right)| left == right)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_both_have_stays() {
        use Step::{Insert, Keep, Remove};
        let table = [
            (json!([1, 2, 3]), json!([1, 2, 3]), vec![Keep(0, 0), Keep(1, 1), Keep(2, 2)]),
            (json!([1, 2, 3]), json!([1, 3]), vec![Keep(0, 0), Remove(1), Keep(2, 1)]),
            (json!([1, 3]), json!([1, 2, 3]), vec![Keep(0, 0), Insert(1, 1), Keep(1, 2)]),
            (json!([1, 2, 3]), json!([2, 3, 4]), vec![Remove(0), Keep(1, 0), Keep(2, 1), Insert(3, 2)]),
            (json!([1, 2, 3]), json!([1, 9, 3]), vec![Keep(0, 0), Keep(1, 1), Keep(2, 2)]),
            (
                json!([{"name": "a", "x": 1}, {"name": "b"}]),
                json!([{"name": "a", "x": 2}, {"name": "b"}, {"name": "c"}]),
                vec![Keep(0, 0), Keep(1, 1), Insert(2, 2)],
            ),
            (
                json!([{"name": "a"}, {"name": "b", "x": 1}]),
                json!([{"name": "b", "x": 2}]),
                vec![Remove(0), Keep(1, 0)],
            ),
            (json!([]), json!([1]), vec![Insert(0, 0)]),
        ];
        for (before, after, expected) in table {
            let (Value::Array(old), Value::Array(new)) = (&before, &after) else { panic!("{before}") };
            assert_eq!(aligned(old, new), expected, "{before} to {after}");
        }
    }

    #[test]
    fn lists_that_are_too_long_to_compare_are_written_in_order() {
        let list = |name: &str| (0..1_000).map(|index| json!(format!("{name}{index}"))).collect::<Vec<_>>();
        let steps = aligned(&list("a"), &list("b"));
        assert_eq!(steps, (0..1_000).map(|index| Step::Keep(index, index)).collect::<Vec<_>>());
    }
}
