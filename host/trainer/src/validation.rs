//! Validation: what is measured while training, and when enough is enough. The key `validation` of a run's YAML.
//!
//! Every `eval_steps` steps, and after the last one, the held-out rows are measured. The best step's weights become the
//! output, and training ends early once `early_stopping_patience` measurements in a row were no better than the best.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What decides which step is best.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ValidationMetric {
    /// Mean cross-entropy per target token of the held-out rows; less is better.
    #[default]
    #[serde(rename = "eval_loss")]
    EvalLoss,
    /// The share of held-out problems' answers that pass all tests; more is better.
    #[serde(rename = "pass@1")]
    PassAt1,
}

/// The configuration of validation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidationConfig {
    /// Steps between two measurements.
    pub eval_steps: usize,
    /// What decides which step is best.
    #[serde(default)]
    pub metric: ValidationMetric,
    /// How many measurements in a row without a new best end the training; if absent, it goes to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping_patience: Option<usize>,
}

impl ValidationConfig {
    /// Every problem of this configuration.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.eval_steps == 0 {
            problems.push("validation.eval_steps: expected at least 1, got 0".to_owned());
        }
        if self.early_stopping_patience == Some(0) {
            problems.push("validation.early_stopping_patience: expected at least 1, got 0".to_owned());
        }
        problems
    }

    /// Whether a run of `total` steps is measured after `step` of them.
    pub(crate) fn is_due(&self, step: usize, total: usize) -> bool {
        step > 0 && (step.is_multiple_of(self.eval_steps) || step == total)
    }
}

/// The best measurement of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestStep {
    /// The step.
    pub step: usize,
    /// The metric's value there.
    pub value: f64,
}

/// What has been measured so far, as far as it decides what follows. A part of every checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EarlyStopping {
    /// The best measurement.
    pub(crate) best: Option<BestStep>,
    /// Measurements since then.
    pub(crate) evaluations_since_best: usize,
    /// The step of the last measurement.
    pub(crate) last_evaluated: usize,
}

impl EarlyStopping {
    /// Takes a measurement; returns whether it is the best. An equal one is not: the earlier step stays.
    pub(crate) fn observe(&mut self, metric: ValidationMetric, step: usize, value: f64) -> bool {
        self.last_evaluated = step;
        let better = self.best.is_none_or(|best| match metric {
            ValidationMetric::EvalLoss => value < best.value,
            ValidationMetric::PassAt1 => value > best.value,
        });
        if better {
            self.best = Some(BestStep { step, value });
            self.evaluations_since_best = 0;
        } else {
            self.evaluations_since_best += 1;
        }
        better
    }

    /// Whether the patience is used up.
    pub(crate) fn stops(&self, patience: Option<usize>) -> bool {
        patience.is_some_and(|patience| self.evaluations_since_best >= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_counts_measurements_without_a_new_best() {
        let mut state = EarlyStopping::default();
        let seen = [(10, 0.5), (20, 0.7), (30, 0.7), (40, 0.6)];
        let better: Vec<bool> =
            seen.iter().map(|(step, value)| state.observe(ValidationMetric::PassAt1, *step, *value)).collect();
        assert_eq!(better, [true, true, false, false]);
        assert_eq!(state.best, Some(BestStep { step: 20, value: 0.7 }));
        assert!(state.stops(Some(2)) && !state.stops(Some(3)) && !state.stops(None));
        assert!(state.observe(ValidationMetric::PassAt1, 50, 0.8));
        assert!(!state.stops(Some(1)));
        let mut state = EarlyStopping::default();
        assert!(state.observe(ValidationMetric::EvalLoss, 10, 2.0));
        assert!(!state.observe(ValidationMetric::EvalLoss, 20, 2.5));
    }

    #[test]
    fn the_last_step_is_always_measured() {
        let config =
            ValidationConfig { eval_steps: 4, metric: ValidationMetric::EvalLoss, early_stopping_patience: None };
        let due: Vec<usize> = (0..=10).filter(|step| config.is_due(*step, 10)).collect();
        assert_eq!(due, [4, 8, 10]);
    }
}
