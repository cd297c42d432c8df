//! The split: which problems are held out.
//!
//! Problems are ordered by the hash of (seed, id) and the first of them are held out, so that the fraction is exact
//! and a problem's side depends on neither the order of the files nor on how often it has solutions. A problem is
//! never on both sides.

use super::Side;
use crate::artifact::ContentHash;

/// How many of `problems` are held out: the nearest whole number, but at least one where anything is to be held out
/// and never all.
pub(super) fn eval_count(problems: usize, eval_fraction: f64) -> usize {
    if eval_fraction <= 0.0 || problems < 2 {
        return 0;
    }
    ((problems as f64 * eval_fraction).round() as usize).clamp(1, problems - 1)
}

/// The side of each problem, in the order of `ids`.
pub(super) fn sides(ids: &[&str], seed: u64, eval_fraction: f64) -> Vec<Side> {
    let key = |id: &str| ContentHash::of_parts([&b"split"[..], &seed.to_le_bytes(), id.as_bytes()]);
    let mut order: Vec<(ContentHash, usize)> = ids.iter().enumerate().map(|(index, id)| (key(id), index)).collect();
    order.sort();
    let mut sides = vec![Side::Train; ids.len()];
    for (_, index) in order.into_iter().take(eval_count(ids.len(), eval_fraction)) {
        sides[index] = Side::Eval;
    }
    sides
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn held_out<'a>(ids: &[&'a str], seed: u64, eval_fraction: f64) -> BTreeSet<&'a str> {
        let sides = sides(ids, seed, eval_fraction);
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
            assert_eq!(held_out(&ids, 7, fraction).len(), expected);
        }
    }

    #[test]
    fn a_side_depends_on_seed_and_names_only() {
        let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let mut reversed = ids;
        reversed.reverse();
        assert_eq!(held_out(&ids, 7, 0.3), held_out(&reversed, 7, 0.3));
        assert!((0..20).any(|seed| held_out(&ids, seed, 0.3) != held_out(&ids, 7, 0.3)));
    }
}
