//! What a product is added to.

use candle_core::Tensor;

/// What y holds before x Wᵀ is added.
#[derive(Debug, Clone, Copy)]
pub enum Onto<'a> {
    /// Nothing.
    Nothing,
    /// The bias in every row.
    Bias(&'a Tensor),
    /// What it held.
    Existing,
}
