//! Evaluation during training: the held-out rows' loss, and pass@1 if the metric asks for it.

use super::batches::{pack_fitted, passes};
use super::learner::Learner;
use super::sample::FittedSamples;
use super::validation::{BestStep, EarlyStopping, ValidationConfig, ValidationMetric};
use super::{MeasurementError, TrainingError, TrainingSample};
use hilora_contract::fault::Fault;
use hilora_model::{Adapter, Model};

/// Measures pass@1 of a model with an adapter: the share of held-out problems' answers that pass all tests; `None` if it was
/// asked to stop before it knew.
pub type PassAt1<'a> = dyn Fn(&Model, Option<&Adapter>) -> Result<Option<f64>, Box<dyn Fault + Send + Sync>> + 'a;

/// What a run is measured on while it trains.
#[derive(Clone, Copy)]
pub struct Validation<'a> {
    /// When, and what for.
    pub config: &'a ValidationConfig,
    /// The held-out rows.
    pub samples: &'a [TrainingSample],
    /// Measures pass@1; needed if it is the metric.
    pub pass_at_1: Option<&'a PassAt1<'a>>,
}

/// What one measurement found.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct EvaluationReport {
    /// The step after which it was measured.
    pub step: usize,
    /// Mean cross-entropy per target token of the held-out rows, in nats.
    pub eval_loss: f64,
    /// The share of the held-out problems' answers that pass all tests.
    #[serde(rename = "eval_pass@1", skip_serializing_if = "Option::is_none")]
    pub pass_at_1: Option<f64>,
    /// Whether no earlier measurement was as good.
    pub is_best: bool,
    /// The best step so far.
    pub best: BestStep,
}

/// The held-out rows of each pass: micro-batches, of which one with many tokens is several passes, as in training.
pub(crate) fn evaluation_passes<'s>(
    samples: &'s FittedSamples<'_>,
    batch_size: usize,
) -> impl Iterator<Item = &'s [usize]> {
    samples.used.chunks(batch_size).flat_map(|batch| passes(batch, |index| samples.tokens(*index).len()))
}

/// The measurements of one run.
pub(crate) struct Evaluations<'a> {
    validation: &'a Validation<'a>,
    samples: FittedSamples<'a>,
    batch_size: usize,
}

impl<'a> Evaluations<'a> {
    /// Prepares the held-out rows; those that are left without a target are left out, as in training.
    pub(crate) fn new(
        validation: &'a Validation<'a>,
        max_seq_length: usize,
        batch_size: usize,
    ) -> Result<Self, TrainingError> {
        let samples = FittedSamples::new(validation.samples, max_seq_length).map_err(|error| match error {
            TrainingError::Sample { sample, problem } => {
                TrainingError::Sample { sample, problem: format!("of the held-out rows: {problem}") }
            }
            TrainingError::NoSamples { .. } => TrainingError::Config(vec![format!("the held-out rows: {error}")]),
            other => other,
        })?;
        Ok(Self { validation, samples, batch_size })
    }

    /// When it measures, and what for.
    pub(crate) fn config(&self) -> &ValidationConfig {
        self.validation.config
    }

    /// How many held-out rows are left out because no target is among their first tokens.
    pub(crate) fn rows_left_out(&self) -> usize {
        self.samples.without_targets.len()
    }

    /// Measures a learner as it stands; `state` learns of it. `None` if the measurement was asked to stop.
    pub(crate) fn measure(
        &self,
        learner: &Learner,
        state: &mut EarlyStopping,
    ) -> Result<Option<EvaluationReport>, TrainingError> {
        let step = learner.steps();
        let eval_loss = self.loss(learner)?;
        let config = self.config();
        let (value, pass_at_1) = match (config.metric, self.validation.pass_at_1) {
            (ValidationMetric::PassAt1, Some(measure)) => {
                let measured = measure(learner.model(), learner.adapter())
                    .map_err(|error| TrainingError::Measurement { step, source: MeasurementError(error) })?;
                let Some(value) = measured else { return Ok(None) };
                (value, Some(value))
            }
            _ => (eval_loss, None),
        };
        if !value.is_finite() {
            let what = "the measurement of the held-out rows".to_owned();
            return Err(TrainingError::NotFinite { step, what, value, samples: Vec::new() });
        }
        let is_best = state.observe(config.metric, step, value);
        let best = state.best.unwrap_or(BestStep { step, value });
        Ok(Some(EvaluationReport { step, eval_loss, pass_at_1, is_best, best }))
    }

    /// Mean cross-entropy per target token.
    fn loss(&self, learner: &Learner) -> Result<f64, TrainingError> {
        let (mut loss, mut targets) = (0.0, 0);
        for indices in evaluation_passes(&self.samples, self.batch_size) {
            let documents = pack_fitted(&self.samples, indices);
            loss += learner.model().loss(&documents, learner.adapter())?;
            targets += documents.targets.len();
        }
        Ok(loss / targets as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_rows_of_many_tokens_are_several_passes() -> Result<(), TrainingError> {
        let samples: Vec<_> = [900, 900, 400, 3000, 100].map(|n| TrainingSample::plain(vec![7; n])).into();
        let fitted = FittedSamples::new(&samples, 4096)?;
        let passes = |batch_size| evaluation_passes(&fitted, batch_size).collect::<Vec<_>>();
        assert_eq!(passes(5), [&[0, 1][..], &[2], &[3], &[4]]);
        assert_eq!(passes(2), [&[0, 1][..], &[2], &[3], &[4]]);
        assert_eq!(passes(1), [&[0][..], &[1], &[2], &[3], &[4]]);
        Ok(())
    }
}
