//! The configuration of training, under the key `training` of a run's YAML. Keys are those of transformers and TRL if
//! they have one.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ComputePrecision;
use super::optimizer_kind::OptimizerKind;
use super::schedule::{LearningRateSchedule, warmup_steps};
use hilora_model::{BasePrecision, ComputeType, DeviceChoice, Model, ModelError};

/// Which weights are trained, over which base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrainingMode {
    /// LoRA over a base in NF4.
    #[default]
    Qlora,
    /// LoRA over a base in bf16 if that is computed, else in f32.
    Lora,
    /// All weights.
    Full,
}

/// The configuration of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Which weights are trained.
    #[serde(default)]
    pub mode: TrainingMode,
    /// How often every sample is seen.
    pub num_epochs: usize,
    /// Optimizer steps of the whole run, fewer or more than `num_epochs` would give: it ends within an epoch, or goes on
    /// into further ones. Warm-up and schedule run over these steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<usize>,
    /// Samples in one micro-batch; with `packing`, packed rows.
    pub batch_size: usize,
    /// Micro-batches in one optimizer step.
    #[serde(default = "one")]
    pub gradient_accumulation_steps: usize,
    /// The peak learning rate.
    pub learning_rate: f64,
    /// LoRA+: the learning rate of every B is this many times that of A.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loraplus_lr_ratio: Option<f64>,
    /// NEFTune: noise of this magnitude on the embeddings in training, divided by the root of tokens times width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neftune_noise_alpha: Option<f64>,
    /// How the learning rate moves after the warm-up.
    #[serde(default)]
    pub lr_scheduler: LearningRateSchedule,
    /// The part of all steps in which the learning rate climbs from zero; 0 if neither this nor `warmup_steps` is
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_ratio: Option<f64>,
    /// The steps in which the learning rate climbs from zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<usize>,
    /// Decoupled decay of every trained tensor, per unit of learning rate.
    #[serde(default)]
    pub weight_decay: f64,
    /// The gradient's norm is cut to this.
    #[serde(default = "one_f64")]
    pub max_grad_norm: f64,
    /// Longer samples are cut to their first tokens; if no target is left they are left out and counted.
    pub max_seq_length: usize,
    /// Whether samples are put together into rows of up to `max_seq_length` tokens; they never see each other.
    #[serde(default)]
    pub packing: bool,
    /// Whether samples of similar length make a step.
    #[serde(default)]
    pub group_by_length: bool,
    /// Whether every epoch draws a new order; without, samples are taken as they stand.
    #[serde(default = "yes")]
    pub shuffle: bool,
    /// Whether blocks are computed again in the backward pass instead of kept.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// The optimizer.
    #[serde(default)]
    pub optim: OptimizerKind,
    /// Whether activations may be in bfloat16; if the device does not multiply them they are in f32. The run's
    /// environment.json says which it was.
    #[serde(default)]
    pub bf16: bool,
    /// Where the run computes: `auto` takes CUDA if this program was built with it and a device is there, else the CPU.
    #[serde(default, skip_serializing_if = "DeviceChoice::is_auto")]
    pub device: DeviceChoice,
    /// An adapter in PEFT's layout that the run goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_adapter: Option<PathBuf>,
    /// Steps between two checkpoints; 0 saves only the best and when asked to stop. If absent, a checkpoint is saved
    /// whenever ten minutes have passed since the last one, so that a kill costs no more than that and one step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save_steps: Option<usize>,
    /// How many checkpoints are kept; the best counts and is never removed.
    #[serde(default = "two")]
    pub save_total_limit: usize,
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn one_f64() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

impl TrainingConfig {
    /// Every problem of this configuration.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, value) in [
            ("num_epochs", self.num_epochs),
            ("batch_size", self.batch_size),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
            ("save_total_limit", self.save_total_limit),
            ("max_steps", self.max_steps.unwrap_or(1)),
        ] {
            if value == 0 {
                problems.push(format!("training.{name}: expected at least 1, got 0"));
            }
        }
        if self.max_seq_length < 2 {
            problems.push(format!("training.max_seq_length: expected at least 2, got {}", self.max_seq_length));
        }
        for (name, value) in [
            ("learning_rate", self.learning_rate),
            ("max_grad_norm", self.max_grad_norm),
            ("loraplus_lr_ratio", self.loraplus_lr_ratio.unwrap_or(1.0)),
            ("neftune_noise_alpha", self.neftune_noise_alpha.unwrap_or(1.0)),
        ] {
            if !(value.is_finite() && value > 0.0) {
                problems.push(format!("training.{name}: expected a positive number, got {value}"));
            }
        }
        match (self.warmup_ratio, self.warmup_steps) {
            (Some(_), Some(_)) => problems
                .push("training.warmup_ratio and training.warmup_steps: expected one of them, got both".to_owned()),
            (Some(ratio), None) if !(0.0..=1.0).contains(&ratio) => {
                problems.push(format!("training.warmup_ratio: expected 0 to 1, got {ratio}"));
            }
            _ => {}
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            problems.push(format!("training.weight_decay: expected at least 0, got {}", self.weight_decay));
        }
        if self.group_by_length && self.packing {
            problems.push("training.group_by_length: expected false with packing, whose rows are full".to_owned());
        }
        if self.group_by_length && !self.shuffle {
            problems.push("training.group_by_length: expected false with shuffle: false, got true".to_owned());
        }
        if self.mode == TrainingMode::Full {
            for (name, given) in
                [("loraplus_lr_ratio", self.loraplus_lr_ratio.is_some()), ("init_adapter", self.init_adapter.is_some())]
            {
                if given {
                    problems.push(format!("training.{name}: expected none in mode full, which has no adapter"));
                }
            }
        }
        problems
    }

    /// How the base is held: what was trained over is what is measured. In mode lora it is in the type that is computed.
    pub fn base_precision(&self) -> Result<BasePrecision, ModelError> {
        Ok(match (self.mode, self.precision()?.computed) {
            (TrainingMode::Qlora, _) => BasePrecision::Nf4,
            (TrainingMode::Lora, ComputeType::Bf16) => BasePrecision::Bf16,
            (TrainingMode::Lora, ComputeType::F32) | (TrainingMode::Full, _) => BasePrecision::F32,
        })
    }

    /// What the run computes in, on the device that it gets.
    pub fn precision(&self) -> Result<ComputePrecision, ModelError> {
        Ok(ComputePrecision::choose(self.bf16, self.device.choose()?))
    }

    /// Loads the base as the run holds it, on the device that it gets. `on_weight` is told how many matrices of how many
    /// are there.
    pub fn load_base(&self, folder: &Path, on_weight: &mut dyn FnMut(usize, usize)) -> Result<Model, ModelError> {
        Model::load_on(folder, self.base_precision()?, self.device.choose()?, on_weight)
    }

    /// The number of warm-up steps among `total`.
    pub(crate) fn warmup(&self, total: usize) -> usize {
        self.warmup_steps.unwrap_or_else(|| warmup_steps(self.warmup_ratio.unwrap_or_default(), total))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const SMALLEST: &str = r#""num_epochs":1,"batch_size":4,"learning_rate":0.001,"max_seq_length":256"#;

    /// The smallest configuration, with these keys beside it.
    pub(crate) fn config_with(keys: &str) -> TrainingConfig {
        serde_json::from_str(&format!("{{{SMALLEST}{}{keys}}}", if keys.is_empty() { "" } else { "," }))
            .expect("a test's configuration is one")
    }

    #[test]
    fn a_warm_up_is_given_in_one_way() {
        assert_eq!(config_with("").warmup(100), 0);
        assert_eq!(config_with(r#""warmup_ratio":0.03"#).warmup(101), 4);
        assert_eq!(config_with(r#""warmup_steps":7"#).warmup(101), 7);
        let both = config_with(r#""warmup_steps":7,"warmup_ratio":0.0"#).validate();
        assert_eq!(both, ["training.warmup_ratio and training.warmup_steps: expected one of them, got both"]);
    }

    #[test]
    fn optimizers_have_the_names_that_transformers_gives_them() {
        let kind = |name: &str| config_with(&format!("\"optim\":\"{name}\"")).optim;
        assert_eq!(kind("adamw"), OptimizerKind::Adamw);
        assert_eq!(kind("adamw_8bit"), OptimizerKind::Adamw8bit);
        assert_eq!(kind("paged_adamw_8bit"), OptimizerKind::PagedAdamw8bit);
        assert_eq!(kind("paged_adamw_32bit"), OptimizerKind::PagedAdamw32bit);
    }

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
