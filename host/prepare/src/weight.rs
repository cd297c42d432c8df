//! Weights: how often the training rows of a source are trained on.
//!
//! Of a source with n training rows and the weight w, each row is trained on ⌊w⌋ times, and the nearest whole number to (w
//! − ⌊w⌋) n of them once more. Those are the first in the order of the SHA-256 of three parts, each preceded by its length
//! in eight bytes: the word `weight`, the seed in eight bytes, and the row's identifier. What is trained on no time is left
//! out and named. A row's number of times depends neither on other sources nor on the order of the files.

use super::entry::{Decision, Entry};
use super::fate::{Side, Skip};
use hilora_contract::artifact::ContentHash;

/// The reason of a row that its source's weight leaves out.
pub(super) const LEFT_OUT: &str = "left-out-by-weight";

/// Decides how often each training row of a source is trained on.
pub(super) fn weigh(entries: &mut [Entry], source: usize, weight: f64, seed: u64) {
    if weight == 1.0 {
        return;
    }
    let is_trained = |entry: &Entry| entry.source == source && entry.decision == Decision::Accepted(Side::Train);
    let mut places: Vec<usize> = (0..entries.len()).filter(|place| is_trained(&entries[*place])).collect();
    let key = |id: &str| ContentHash::of_parts([&b"weight"[..], &seed.to_le_bytes(), id.as_bytes()]);
    places.sort_by_cached_key(|place| key(&entries[*place].id));
    for (rank, place) in places.iter().enumerate() {
        let entry = &mut entries[*place];
        entry.copies = copies(rank, places.len(), weight);
        if entry.copies == 0 {
            let detail = format!("the weight {weight} of its source takes other rows");
            entry.decision = Decision::Skipped(Skip::new(LEFT_OUT, detail));
        }
    }
}

/// How often the row of this rank among so many is trained on.
fn copies(rank: usize, rows: usize, weight: f64) -> usize {
    let once_more = (weight.fract() * rows as f64).round() as usize;
    weight.trunc() as usize + usize::from(rank < once_more)
}

#[cfg(test)]
mod tests {
    use super::super::error::PrepareError;
    use super::super::fakes;
    use super::*;

    fn weighed(rows: usize, weight: f64, seed: u64) -> Result<Vec<usize>, PrepareError> {
        let ids: Vec<String> = (0..rows).map(|row| format!("p{row}")).collect();
        let problems: Vec<(&str, &str, &[&str])> =
            ids.iter().map(|id| (id.as_str(), id.as_str(), &["x"][..])).collect();
        let mut entries = fakes::entries(&problems)?.rows;
        entries.iter_mut().for_each(|entry| entry.decision = Decision::Accepted(Side::Train));
        entries[0].decision = Decision::Accepted(Side::Eval);
        weigh(&mut entries, 0, weight, seed);
        assert_eq!((entries[0].copies, &entries[0].decision), (1, &Decision::Accepted(Side::Eval)), "it is held out");
        weigh(&mut entries, 1, 0.5, seed);
        let copies = |entry: &Entry| match &entry.decision {
            Decision::Accepted(_) => entry.copies,
            Decision::Skipped(skip) => usize::from(skip.reason != LEFT_OUT),
            _ => usize::MAX,
        };
        Ok(entries[1..].iter().map(copies).collect())
    }

    #[test]
    fn a_weight_is_how_often_a_row_is_trained_on() -> Result<(), PrepareError> {
        for (weight, expected) in
            [(1.0, [1; 4]), (2.0, [2; 4]), (0.5, [0, 0, 1, 1]), (2.25, [2, 2, 2, 3]), (0.1, [0; 4])]
        {
            let mut found = weighed(5, weight, 7)?;
            assert_eq!(found, weighed(5, weight, 7)?, "it is the same each time");
            found.sort_unstable();
            assert_eq!(found, expected, "{weight}");
        }
        let of_seed = |seed| weighed(21, 0.5, seed);
        assert!(of_seed(1)? != of_seed(2)?, "another seed takes others");
        assert_eq!(of_seed(3)?.iter().sum::<usize>(), 10);
        Ok(())
    }
}
