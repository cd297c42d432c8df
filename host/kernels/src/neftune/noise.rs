//! What decides the noise of one micro-batch.

/// The noise of one micro-batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// The run's seed.
    pub seed: u64,
    /// The number of the micro-batch, counted over the whole run.
    pub micro_batch: u32,
    /// The magnitude before it is divided by √(L · d).
    pub alpha: f64,
}
