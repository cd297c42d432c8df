//! A training run before it begins: everything that decides it, and the hash of that.

use std::path::{Path, PathBuf};

use super::evaluation::Validation;
use super::learner::{Learner, LearnerOptions};
use super::validation::ValidationMetric;
use super::{TrainingConfig, TrainingError, TrainingMode, TrainingSample};
use hilora_contract::artifact::ContentHash;
use hilora_model::{Adapter, BaseFiles, DeviceChoice, LoraConfig, Model, ModelConfig, ModelError, ModuleToSave};

/// Where the weights come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartingPoint {
    /// A folder of the Hugging Face layout with weights.
    Checkpoint(PathBuf),
    /// A folder with `config.json` (and tokenizer files); the weights are drawn from the run's seed. Mode full only.
    Random(PathBuf),
}

const NO_LORA: &str = "lora: missing, expected the adapter's shape";

/// Everything that decides a training run.
pub struct TrainingRun<'a> {
    /// Where the weights come from.
    pub base: StartingPoint,
    /// The files of the base or, with random weights, of the folder with their configuration: a checkpoint of a run over
    /// others is not resumed from, and nothing is saved once they have changed.
    pub base_files: BaseFiles,
    /// What the adapter that is written calls its base: a folder or an id of the hub.
    pub base_model: Option<&'a str>,
    /// The hash of the program that trains: another build may compute other bits, so it does not go on from this one's
    /// checkpoints.
    pub program: ContentHash,
    /// How it is trained.
    pub config: &'a TrainingConfig,
    /// The adapter's shape; mode full has none.
    pub lora: Option<&'a LoraConfig>,
    /// Keys the order of samples, dropout and new weights.
    pub seed: u64,
    /// What is learned.
    pub samples: &'a [TrainingSample],
    /// What it is measured on while it trains.
    pub validation: Option<Validation<'a>>,
    /// Checkpoints stand here, `step-<n>` each. A run that finds its own checkpoint resumes from the newest.
    pub checkpoints: &'a Path,
    /// The adapter (PEFT layout) or, in mode full, the model (Hugging Face layout) is written here.
    pub output: &'a Path,
}

impl TrainingRun<'_> {
    /// The folder of what it begins from.
    pub(crate) fn folder(&self) -> &Path {
        match &self.base {
            StartingPoint::Checkpoint(folder) | StartingPoint::Random(folder) => folder,
        }
    }

    fn adapter_shape(&self) -> Result<&LoraConfig, TrainingError> {
        self.lora.ok_or_else(|| TrainingError::Config(vec![NO_LORA.to_owned()]))
    }

    /// Everything that is wrong with the run, at once.
    pub(crate) fn check(&self) -> Result<(), TrainingError> {
        let config = self.config;
        let mut problems = config.validate();
        if config.mode != TrainingMode::Full {
            problems.extend(self.lora.map_or_else(|| vec![NO_LORA.to_owned()], LoraConfig::validate));
            let updated = self.lora.and_then(|lora| lora.table_rank(ModuleToSave::EmbedTokens));
            if let (Some(ratio), Some(_)) = (config.loraplus_lr_ratio, updated) {
                problems.push(format!(
                    "training.loraplus_lr_ratio: expected none beside an update of embed_tokens, for which LoRA+ has a rate of \
                     its own, got {ratio}"
                ));
            }
            if matches!(self.base, StartingPoint::Random(_)) {
                problems.push("training.mode: a model with random weights is trained in mode full only".to_owned());
            }
        }
        if let Some(validation) = &self.validation {
            problems.extend(validation.config.validate());
            if validation.config.metric == ValidationMetric::PassAt1 && validation.pass_at_1.is_none() {
                problems.push("validation.metric: pass@1 needs held-out problems, and there are none here".to_owned());
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(TrainingError::Config(problems)) }
    }

    /// A learner as the run begins with it. `on_weight` is told how many matrices of the base are loaded, of how many.
    pub(crate) fn learner(&self, on_weight: &mut dyn FnMut(usize, usize)) -> Result<Learner, TrainingError> {
        let folder = self.folder();
        let model = match &self.base {
            StartingPoint::Random(_) => {
                Model::random(ModelConfig::load(folder)?, self.seed, self.config.device.choose()?)?
            }
            StartingPoint::Checkpoint(_) => self.config.load_base(folder, on_weight)?,
        };
        let model = model.computing_in(self.config.precision()?.computed)?;
        match self.config.mode {
            TrainingMode::Full if model.config().wrapper.is_some() => {
                let got =
                    format!("mode full trains all weights, and {} is a wrapper of several models", folder.display());
                Err(TrainingError::Config(vec![format!("training.mode: {got}; train an adapter (lora, qlora)")]))
            }
            TrainingMode::Full => Learner::full(model, self.seed, &LearnerOptions::of(self.config)),
            TrainingMode::Lora | TrainingMode::Qlora => self.adapter_learner(model),
        }
    }

    /// A learner of a new adapter, or of the one that the configuration names.
    fn adapter_learner(&self, model: Model) -> Result<Learner, TrainingError> {
        let (lora, options) = (self.adapter_shape()?, LearnerOptions::of(self.config));
        match &self.config.init_adapter {
            Some(folder) => {
                let adapter = Adapter::load(folder)?.continued_with(lora)?;
                Learner::of_adapter(model, adapter, self.seed, &options)
            }
            None => Learner::new_adapter(model, lora, self.seed, &options),
        }
    }

    /// The hash of everything that decides the numbers of a run. How often it saves, and how many of the checkpoints it
    /// keeps, does not.
    pub(crate) fn fingerprint(&self) -> Result<ContentHash, TrainingError> {
        let unserializable = |e: serde_json::Error| TrainingError::Defect(format!("the run's fingerprint: {e}"));
        let config = TrainingConfig {
            save_steps: Some(0),
            save_total_limit: 1,
            device: DeviceChoice::Auto,
            ..self.config.clone()
        };
        let held_out = self.validation.map_or(&[][..], |validation| validation.samples);
        let mut parts = vec![
            serde_json::to_vec(&config).map_err(unserializable)?,
            serde_json::to_vec(&self.lora).map_err(unserializable)?,
            self.seed.to_le_bytes().to_vec(),
            self.base_files.hash().as_bytes().to_vec(),
            vec![u8::from(matches!(self.base, StartingPoint::Random(_)))],
            serde_json::to_vec(&self.config.precision()?.computed).map_err(unserializable)?,
            serde_json::to_vec(&self.config.device.choose()?).map_err(unserializable)?,
            serde_json::to_vec(&self.validation.map(|validation| validation.config)).map_err(unserializable)?,
            self.samples.len().to_le_bytes().to_vec(),
        ];
        for sample in self.samples.iter().chain(held_out) {
            parts.push(sample.tokens.iter().flat_map(|token| token.to_le_bytes()).collect());
            parts.push(sample.trained.iter().map(|trained| u8::from(*trained)).collect());
        }
        if let Some(adapter) = &self.config.init_adapter {
            let path = Adapter::weights_path(adapter);
            parts.push(ContentHash::of_file(&path).map_err(|e| ModelError::reading(&path, e))?.as_bytes().to_vec());
        }
        Ok(ContentHash::of_parts(parts.iter().map(Vec::as_slice)))
    }
}
