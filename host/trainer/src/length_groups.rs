//! Length groups: an order in which samples of similar length follow each other, as transformers draws it.
//!
//! A random order is cut into groups of up to 50 steps, each group is sorted by falling length, and the longest of all
//! comes first: if memory is short, the first step says so.

use std::cmp::Reverse;

/// The most steps in a group.
const STEPS_MAX: usize = 50;

/// Groups a random order of indices into `lengths`; a step takes `per_step` of them.
pub(crate) fn group_by_length(mut order: Vec<usize>, lengths: &[usize], per_step: usize) -> Vec<usize> {
    let steps = (order.len() / (per_step * 4)).clamp(1, STEPS_MAX);
    let size = steps * per_step;
    for group in order.chunks_mut(size) {
        group.sort_by_key(|index| Reverse(lengths[*index]));
    }
    // The first of the longest, which stands at the head of its group.
    let longest = (0..order.len()).step_by(size).min_by_key(|at| Reverse(lengths[order[*at]]));
    if let Some(longest) = longest {
        order.swap(0, longest);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_transformers() {
        // get_length_grouped_indices([5, 9, 2, 7, 7, 1, 8, 3, 6, 4, 9, 2], batch_size=1) of transformers 5.23, where
        // torch.randperm gives [7, 2, 0, 11, 5, 8, 3, 10, 6, 1, 4, 9].
        let lengths = [5, 9, 2, 7, 7, 1, 8, 3, 6, 4, 9, 2];
        let order = vec![7, 2, 0, 11, 5, 8, 3, 10, 6, 1, 4, 9];
        assert_eq!(group_by_length(order, &lengths, 1), [10, 7, 2, 8, 11, 5, 0, 6, 3, 1, 4, 9]);
    }
}
