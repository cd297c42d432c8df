//! The configuration of training, under the key `training` of a run's YAML.

use serde::{Deserialize, Serialize};

/// Which weights are trained, over which base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainingMode {
    /// LoRA over a base in NF4.
    Qlora,
    /// LoRA over a base in f32.
    Lora,
    /// All weights.
    Full,
}

/// How the learning rate moves after the warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// The optimizer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW with states in 32 bits.
    #[default]
    Adamw,
}

/// The configuration of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Which weights are trained.
    pub mode: TrainingMode,
    /// How often every sample is seen.
    pub num_epochs: usize,
    /// Samples in one micro-batch.
    pub batch_size: usize,
    /// Micro-batches in one optimizer step.
    #[serde(default = "one")]
    pub gradient_accumulation_steps: usize,
    /// The peak learning rate.
    pub learning_rate: f64,
    /// How the learning rate moves after the warm-up.
    #[serde(default)]
    pub lr_scheduler: LearningRateSchedule,
    /// The part of all steps in which the learning rate climbs from zero.
    #[serde(default)]
    pub warmup_ratio: f64,
    /// Decoupled decay of every trained tensor, per unit of learning rate.
    #[serde(default)]
    pub weight_decay: f64,
    /// The gradient's norm is cut to this.
    #[serde(default = "one_f64")]
    pub max_grad_norm: f64,
    /// Longer samples are left out and counted.
    pub max_seq_length: usize,
    /// Whether blocks are computed again in the backward pass instead of kept.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// The optimizer.
    #[serde(default)]
    pub optim: OptimizerKind,
    /// Steps between two checkpoints; 0 saves only when asked to stop.
    #[serde(default)]
    pub save_steps: usize,
}

fn one() -> usize {
    1
}

fn one_f64() -> f64 {
    1.0
}

impl TrainingConfig {
    /// Every problem of this configuration.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, value) in [
            ("num_epochs", self.num_epochs),
            ("batch_size", self.batch_size),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
        ] {
            if value == 0 {
                problems.push(format!("training.{name}: expected at least 1, got 0"));
            }
        }
        if self.max_seq_length < 2 {
            problems.push(format!("training.max_seq_length: expected at least 2, got {}", self.max_seq_length));
        }
        for (name, value) in [("learning_rate", self.learning_rate), ("max_grad_norm", self.max_grad_norm)] {
            if !(value.is_finite() && value > 0.0) {
                problems.push(format!("training.{name}: expected a positive number, got {value}"));
            }
        }
        if !(0.0..=1.0).contains(&self.warmup_ratio) {
            problems.push(format!("training.warmup_ratio: expected 0 to 1, got {}", self.warmup_ratio));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            problems.push(format!("training.weight_decay: expected at least 0, got {}", self.weight_decay));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = r#""mode":"qlora","num_epochs":1,"batch_size":4,"learning_rate":0.001,"max_seq_length":256"#;

    #[test]
    fn reports_every_problem_at_once() -> Result<(), serde_json::Error> {
        let text = format!(r#"{{{},"warmup_ratio":2,"gradient_accumulation_steps":0}}"#, SMALLEST);
        let config: TrainingConfig = serde_json::from_str(&text)?;
        assert_eq!(
            config.validate(),
            [
                "training.gradient_accumulation_steps: expected at least 1, got 0",
                "training.warmup_ratio: expected 0 to 1, got 2"
            ]
        );
        Ok(())
    }

    #[test]
    fn refuses_a_key_that_nobody_reads() {
        let error = serde_json::from_str::<TrainingConfig>(&format!("{{{SMALLEST},\"lr\":1}}")).unwrap_err();
        assert!(error.to_string().starts_with("unknown field `lr`"), "{error}");
    }
}
