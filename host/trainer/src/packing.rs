//! Packing: samples put together into rows of up to `max_seq_length` tokens, by best-fit decreasing.
//!
//! Longest first, each sample goes into the row in which it leaves the least room, or begins a row. Which samples share
//! a row changes no number of any of them: documents are isolated in the model.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Rows of indices into `lengths`, none with more than `capacity` tokens; every length must fit. Equal lengths stay in
/// their order, and so do the rows' samples.
pub(crate) fn best_fit_decreasing(lengths: &[usize], capacity: usize) -> Vec<Vec<usize>> {
    let mut by_length: Vec<usize> = (0..lengths.len()).collect();
    by_length.sort_by_key(|index| Reverse(lengths[*index]));
    let mut rows: Vec<Vec<usize>> = Vec::new();
    // The rows with so much room left; the one that was put there last is taken first.
    let mut rows_with_room: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in by_length {
        let length = lengths[index];
        let tightest = rows_with_room.range(length..).next().map(|(room, _)| *room);
        let (row, room) = match tightest {
            Some(room) => {
                let candidates = rows_with_room.entry(room).or_default();
                let row = candidates.pop().unwrap_or_default();
                if candidates.is_empty() {
                    rows_with_room.remove(&room);
                }
                (row, room)
            }
            None => {
                rows.push(Vec::new());
                (rows.len() - 1, capacity)
            }
        };
        rows[row].push(index);
        rows_with_room.entry(room - length).or_default().push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_row_is_taken() {
        // 9 leaves 1, 7 leaves 3, 6 leaves 4; 4 fits exactly behind 6, 3 behind 7, 1 behind 9.
        assert_eq!(best_fit_decreasing(&[1, 3, 6, 9, 4, 7], 10), [vec![3, 0], vec![5, 1], vec![2, 4]]);
    }

    #[test]
    fn every_sample_is_in_one_row_and_no_row_is_too_long() {
        let lengths: Vec<usize> = (0..500).map(|i| 1 + (i * 7_919) % 97).collect();
        let rows = best_fit_decreasing(&lengths, 100);
        let mut seen: Vec<usize> = rows.iter().flatten().copied().collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
        let tokens: Vec<usize> = rows.iter().map(|row| row.iter().map(|index| lengths[*index]).sum()).collect();
        assert!(tokens.iter().all(|tokens| *tokens <= 100), "{tokens:?}");
        let fewest = lengths.iter().sum::<usize>().div_ceil(100);
        assert!(rows.len() <= fewest + 2, "{} rows, at least {fewest} are needed", rows.len());
    }
}
