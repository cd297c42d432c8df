//! The normalization of one row of logits: ln p(i) = z_i − max z − ln Σ exp(z − max z). The exponentials and their sum are
//! f32, the logarithm and the differences f64.

use crate::simd::{exp, maximum, sum, vectorized};

/// What a row's logits are normalized by. The loss and whoever reports log-probabilities take the same, so that both have
/// the same bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    greatest: f32,
    total: f32,
}

impl Normalization {
    /// Of a row, which is replaced by its exponentials.
    #[inline(always)]
    pub(super) fn of_exponentials(z: &mut [f32]) -> Self {
        let greatest = maximum(z);
        z.iter_mut().for_each(|z| *z = exp(*z - greatest));
        Self { greatest, total: sum(z) }
    }

    /// Of a row.
    pub fn of(z: &[f32]) -> Self {
        of_owned(&mut z.to_vec())
    }

    /// The sum of the row's exponentials.
    #[inline(always)]
    pub(super) fn total(&self) -> f32 {
        self.total
    }

    /// The loss in nats of a token with this logit: what its log-probability is below zero.
    #[inline(always)]
    pub fn loss(&self, z: f32) -> f64 {
        f64::from(self.greatest) - f64::from(z) + f64::from(self.total).ln()
    }
}

vectorized! {
    fn of_owned(z: &mut [f32]) -> Normalization {
        Normalization::of_exponentials(z)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_a_row_are_one_together() {
        let row: Vec<f32> = (0..37).map(|i| ((i * 7) % 11) as f32 - 4.0).collect();
        let normalization = Normalization::of(&row);
        let total: f64 = row.iter().map(|z| (-normalization.loss(*z)).exp()).sum();
        assert!((total - 1.0).abs() < 1e-6, "{total}");
    }
}
