//! The split: which problems are held out.
//!
//! What resembles each other stays together: a group of near duplicates is wholly trained on or wholly held out. Groups
//! are ordered by the hash of (seed, the first problem's id), and from the front of that order each group that still
//! fits is held out, so that the fraction is exact as far as the groups' sizes allow. A problem's side depends on
//! neither the order of the files nor on how often it has solutions.

use std::collections::{BTreeMap, HashMap};

use super::entry::{Decision, Entry};
use super::fate::{Side, Skip};
use hilora_contract::artifact::ContentHash;

/// How many of `problems` are held out: the nearest whole number, but at least one if anything is to be held out
/// and never all.
fn eval_count(problems: usize, eval_fraction: f64) -> usize {
    if eval_fraction <= 0.0 || problems < 2 {
        return 0;
    }
    ((problems as f64 * eval_fraction).round() as usize).clamp(1, problems - 1)
}

/// A problem to split: its identifier and the number of its group.
#[derive(Debug, Clone, Copy)]
struct Grouped<'a> {
    id: &'a str,
    group: usize,
}

/// Puts every entry that is left on a side.
pub(super) fn split(entries: &mut [Entry], seed: u64, eval_fraction: f64) {
    let mut places = Vec::new();
    let mut problems = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        if let Decision::Kept { group } = entry.decision {
            places.push(place);
            problems.push(Grouped { id: &entry.id, group });
        }
    }
    let sides = sides(&problems, seed, eval_fraction);
    for (place, side) in places.into_iter().zip(sides) {
        entries[place].decision = Decision::Accepted(side);
    }
}

/// Holds out what is given to be measured on, and nothing else. What is in a group with it (the same question, or a program
/// that resembles one of its) is left out.
pub(super) fn hold_out(entries: &mut [Entry], is_measured: &dyn Fn(&Entry) -> bool) {
    let mut measured: HashMap<usize, String> = HashMap::new();
    for entry in entries.iter().filter(|entry| is_measured(entry)) {
        if let Decision::Kept { group } = entry.decision {
            measured.entry(group).or_insert_with(|| entry.id.clone());
        }
    }
    for entry in entries {
        let Decision::Kept { group } = entry.decision else { continue };
        entry.decision = match (is_measured(entry), measured.get(&group)) {
            (true, _) => Decision::Accepted(Side::Eval),
            (false, None) => Decision::Accepted(Side::Train),
            (false, Some(id)) => {
                let detail = format!("it asks what `{id}` of the evaluation files asks, or is solved alike");
                Decision::Skipped(Skip::new("asks-what-is-measured", detail))
            }
        };
    }
}

/// The side of each problem, in the order given.
fn sides(problems: &[Grouped<'_>], seed: u64, eval_fraction: f64) -> Vec<Side> {
    let key = |id: &str| ContentHash::of_parts([&b"split"[..], &seed.to_le_bytes(), id.as_bytes()]);
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, problem) in problems.iter().enumerate() {
        groups.entry(problem.group).or_default().push(index);
    }
    let mut order: Vec<(ContentHash, Vec<usize>)> = groups
        .into_values()
        .map(|members| {
            let first = members.iter().map(|&index| problems[index].id).min().unwrap_or_default();
            (key(first), members)
        })
        .collect();
    order.sort();
    let mut sides = vec![Side::Train; problems.len()];
    let mut left = eval_count(problems.len(), eval_fraction);
    for (_, members) in order {
        if members.len() <= left {
            left -= members.len();
            members.into_iter().for_each(|index| sides[index] = Side::Eval);
        }
    }
    sides
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn held_out<'a>(ids: &[&'a str], groups: &[usize], seed: u64, eval_fraction: f64) -> BTreeSet<&'a str> {
        let problems: Vec<Grouped<'_>> = ids.iter().zip(groups).map(|(&id, &group)| Grouped { id, group }).collect();
        let sides = sides(&problems, seed, eval_fraction);
        ids.iter().zip(sides).filter(|(_, side)| *side == Side::Eval).map(|(id, _)| *id).collect()
    }

    #[test]
    fn the_fraction_is_exact() {
        for (problems, fraction, expected) in [
            (300, 0.1, 30),
            (10, 0.1, 1),
            (14, 0.1, 1),
            (15, 0.1, 2),
            (3, 0.9, 2),
            (5, 0.01, 1),
            (5, 0.0, 0),
            (1, 0.5, 0),
        ] {
            assert_eq!(eval_count(problems, fraction), expected, "{problems} × {fraction}");
            let ids: Vec<String> = (0..problems).map(|i| format!("p{i}")).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let groups: Vec<usize> = (0..problems).collect();
            assert_eq!(held_out(&ids, &groups, 7, fraction).len(), expected);
        }
    }

    #[test]
    fn a_side_depends_on_seed_and_names_only() {
        let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let groups: Vec<usize> = (0..10).collect();
        let mut reversed = ids;
        reversed.reverse();
        assert_eq!(held_out(&ids, &groups, 7, 0.3), held_out(&reversed, &groups, 7, 0.3));
        assert!((0..20).any(|seed| held_out(&ids, &groups, seed, 0.3) != held_out(&ids, &groups, 7, 0.3)));
    }

    #[test]
    fn what_resembles_stays_together() {
        let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let groups = [0, 1, 0, 2, 3, 0, 4, 5, 6, 7];
        for seed in 0..50 {
            let held_out = held_out(&ids, &groups, seed, 0.4);
            assert_eq!(held_out.len(), 4, "{held_out:?}");
            let together = ["a", "c", "f"].iter().filter(|id| held_out.contains(**id)).count();
            assert!(together == 0 || together == 3, "{held_out:?}");
        }
    }
}
