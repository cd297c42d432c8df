//! The learning rate's schedule, as transformers defines it: a line from zero over the warm-up, then a cosine, a line
//! or nothing down to zero at the last step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate moves after the warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LearningRateSchedule {
    /// Half a cosine from the peak to zero.
    #[default]
    Cosine,
    /// A line from the peak to zero.
    Linear,
    /// The peak.
    Constant,
}

/// The learning rate's factor of the peak at a step, counted from 0.
pub(crate) fn factor(schedule: LearningRateSchedule, step: usize, warmup: usize, total: usize) -> f64 {
    if step < warmup {
        return step as f64 / warmup as f64;
    }
    let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
    match schedule {
        LearningRateSchedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()).max(0.0),
        LearningRateSchedule::Linear => (1.0 - progress).max(0.0),
        LearningRateSchedule::Constant => 1.0,
    }
}

/// The number of warm-up steps: the product rounded up as it stands in binary. transformers does the same, so 0.07 of
/// 100 steps are 8.
pub(crate) fn warmup_steps(ratio: f64, total: usize) -> usize {
    (total as f64 * ratio).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_transformers() {
        // get_cosine_schedule_with_warmup(optimizer, 3, 20).get_last_lr() for a peak of 2e-3.
        let rate = |step| 2e-3 * factor(LearningRateSchedule::Cosine, step, warmup_steps(0.15, 20), 20);
        assert_eq!(rate(0), 0.0);
        assert!((rate(1) - 0.000_666_666_666_666_666_6).abs() < 1e-12);
        assert!((rate(3) - 2e-3).abs() < 1e-12);
        assert!((rate(4) - 0.001_982_973_099_683_901_7).abs() < 1e-12);
    }

    #[test]
    fn warm_up_is_rounded_up_as_transformers_rounds_it() {
        // math.ceil(total * ratio), which is TrainingArguments.get_warmup_steps(total) for a part of all steps.
        let expected = [(0.07, 100, 8), (0.15, 20, 3), (0.03, 101, 4), (0.29, 100, 29), (0.57, 100, 57), (0.0, 9, 0)];
        for (ratio, total, steps) in expected {
            assert_eq!(warmup_steps(ratio, total), steps, "{ratio} of {total}");
        }
        assert_eq!(warmup_steps(1.0, 9), 9);
    }

    #[test]
    fn ends_at_zero() {
        for schedule in [LearningRateSchedule::Cosine, LearningRateSchedule::Linear] {
            assert!(factor(schedule, 10, 0, 10).abs() < 1e-12);
        }
        assert_eq!(factor(LearningRateSchedule::Constant, 10, 0, 10), 1.0);
    }
}
