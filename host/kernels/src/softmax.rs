//! The softmax of one row: p = exp(z − max z) / Σ exp(z − max z), with its log-sum-exp, max z + ln Σ exp(z − max z).

use crate::simd::{exp, maximum, sum, vectorized};

vectorized! {
    /// Turns scores into probabilities in place; returns their log-sum-exp.
    pub fn softmax(row: &mut [f32]) -> f32 {
        let greatest = maximum(row);
        row.iter_mut().for_each(|z| *z = exp(*z - greatest));
        let total = sum(row);
        let inverse = 1.0 / total;
        row.iter_mut().for_each(|z| *z *= inverse);
        greatest + total.ln()
    }
}
