//! How a run ended.

use super::validation::BestStep;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TrainingOutcome {
    /// Steps done, those before a resume included.
    pub steps: usize,
    /// Steps of the whole run.
    pub steps_total: usize,
    /// Whether all steps were done and the output was written.
    pub finished: bool,
    /// The step this process resumed from.
    pub resumed_from: Option<usize>,
    /// The last step's loss.
    pub final_loss: f64,
    /// Indices of the samples that were cut to `max_seq_length`.
    pub samples_cut: Vec<usize>,
    /// Indices of the samples that were left out because no target is among their first `max_seq_length` tokens.
    pub samples_without_targets: Vec<usize>,
    /// Held-out rows that were left out for the same reason.
    pub held_out_without_targets: usize,
    /// Rows of an epoch: samples, or with packing what they were put together into.
    pub rows: usize,
    /// The best measurement; the output is of its step.
    pub best: Option<BestStep>,
    /// Whether the run ended because its patience was used up.
    pub stopped_early: bool,
    /// Number of trained parameters.
    pub trained_parameters: usize,
}
