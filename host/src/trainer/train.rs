//! A training run: samples and a configuration in, an adapter or a model out.
//!
//! The same base, samples, configuration and seed give the same bytes, whether the run was stopped and resumed or not.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use super::batches::Batches;
use super::learner::{Learner, StepOptions};
use super::{TrainingConfig, TrainingError, TrainingMode, TrainingSample, checkpoint, schedule};
use crate::artifact::{ContentHash, write_atomic};
use crate::model::{BasePrecision, LoraConfig, Model, ModelConfig, ModelError};

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
    /// How it is trained.
    pub config: &'a TrainingConfig,
    /// The adapter's shape; mode full has none.
    pub lora: Option<&'a LoraConfig>,
    /// Keys the order of samples, dropout and new weights.
    pub seed: u64,
    /// What is learned.
    pub samples: &'a [TrainingSample],
    /// Checkpoints stand here, `step-<n>` each. A run that finds its own checkpoint resumes from the newest.
    pub checkpoints: &'a Path,
    /// The adapter (PEFT layout) or, in mode full, the model (Hugging Face layout) is written here.
    pub output: &'a Path,
}

/// What one optimizer step did.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: usize,
    /// Steps of the whole run.
    pub steps_total: usize,
    /// Mean cross-entropy per target token over the step, in nats.
    pub loss: f64,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// The gradient's norm before it was cut.
    pub gradient_norm: f64,
    /// Tokens that went through the model in this step.
    pub tokens: usize,
    /// How many of them were targets.
    pub target_tokens: usize,
}

/// What the observer of a run asks for after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterStep {
    /// Go on.
    Continue,
    /// Save a checkpoint and return; a later run resumes from it.
    SaveAndStop,
}

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
    /// Indices of the samples that were longer than `max_seq_length` and were left out.
    pub samples_too_long: Vec<usize>,
    /// Number of trained parameters.
    pub trained_parameters: usize,
}

/// Trains. The observer sees every step and may ask to stop.
pub fn train(
    run: &TrainingRun<'_>,
    observer: &mut dyn FnMut(&StepReport) -> AfterStep,
) -> Result<TrainingOutcome, TrainingError> {
    let config = run.config;
    let mut problems = config.validate();
    if config.mode != TrainingMode::Full {
        problems.extend(run.lora.map_or_else(|| vec![NO_LORA.to_owned()], LoraConfig::validate));
        if matches!(run.base, StartingPoint::Random(_)) {
            problems.push("training.mode: a model with random weights is trained in mode full only".to_owned());
        }
    }
    if !problems.is_empty() {
        return Err(TrainingError::Config(problems));
    }
    let batches = Batches::new(run.samples, config, run.seed)?;
    let steps_total = batches.steps();
    let mut learner = run.learner()?;
    let fingerprint = run.fingerprint()?;
    let resumed_from = checkpoint::resume(run.checkpoints, &mut learner, fingerprint)?;
    if resumed_from.is_none() {
        learner.audit(&batches.for_audit())?;
    }
    let warmup = schedule::warmup_steps(config.warmup_ratio, steps_total);
    let mut outcome = TrainingOutcome {
        steps: learner.steps(),
        steps_total,
        finished: false,
        resumed_from,
        final_loss: f64::NAN,
        trained_parameters: learner.trained_parameters(),
        samples_too_long: batches.too_long.clone(),
    };
    for step in learner.steps()..steps_total {
        let options = StepOptions {
            learning_rate: config.learning_rate * schedule::factor(config.lr_scheduler, step, warmup, steps_total),
            weight_decay: config.weight_decay,
            max_grad_norm: config.max_grad_norm,
            gradient_checkpointing: config.gradient_checkpointing,
        };
        let numbers = learner.step_packed(&batches.step(step), &options)?;
        (outcome.steps, outcome.final_loss) = (step + 1, numbers.loss);
        let after = observer(&StepReport {
            step: step + 1,
            steps_total,
            loss: numbers.loss,
            learning_rate: options.learning_rate,
            gradient_norm: numbers.gradient_norm,
            tokens: numbers.tokens,
            target_tokens: numbers.target_tokens,
        });
        let stop = after == AfterStep::SaveAndStop && step + 1 < steps_total;
        if stop || (config.save_steps > 0 && (step + 1) % config.save_steps == 0) {
            checkpoint::save(run.checkpoints, &learner, fingerprint)?;
        }
        if stop {
            return Ok(outcome);
        }
    }
    match learner.adapter() {
        Some(adapter) => adapter.save(run.output)?,
        None => run.save_model(learner.model())?,
    }
    outcome.finished = true;
    Ok(outcome)
}

/// Files of a model's folder that are carried over to a model trained from it.
const CARRIED_FILES: [&str; 8] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
];

impl TrainingRun<'_> {
    fn folder(&self) -> &Path {
        match &self.base {
            StartingPoint::Checkpoint(folder) | StartingPoint::Random(folder) => folder,
        }
    }

    fn adapter_shape(&self) -> Result<&LoraConfig, TrainingError> {
        self.lora.ok_or_else(|| TrainingError::Config(vec![NO_LORA.to_owned()]))
    }

    fn learner(&self) -> Result<Learner, TrainingError> {
        let folder = self.folder();
        match (&self.base, self.config.mode) {
            (StartingPoint::Random(_), _) => {
                Learner::full(Model::random(ModelConfig::load(folder)?, self.seed)?, self.seed)
            }
            (_, TrainingMode::Full) => Learner::full(Model::load(folder, BasePrecision::F32)?, self.seed),
            (_, TrainingMode::Lora) => {
                Learner::new_adapter(Model::load(folder, BasePrecision::F32)?, self.adapter_shape()?, self.seed)
            }
            (_, TrainingMode::Qlora) => {
                Learner::new_adapter(Model::load(folder, BasePrecision::Nf4)?, self.adapter_shape()?, self.seed)
            }
        }
    }

    /// The hash of everything that decides the numbers of a run. How often it saves does not.
    fn fingerprint(&self) -> Result<ContentHash, TrainingError> {
        let unserializable = |e: serde_json::Error| TrainingError::Config(vec![e.to_string()]);
        let config = TrainingConfig { save_steps: 0, ..self.config.clone() };
        let mut parts = vec![
            serde_json::to_vec(&config).map_err(unserializable)?,
            serde_json::to_vec(&self.lora).map_err(unserializable)?,
            self.seed.to_le_bytes().to_vec(),
            vec![u8::from(matches!(self.base, StartingPoint::Random(_)))],
        ];
        for sample in self.samples {
            parts.push(sample.tokens.iter().flat_map(|token| token.to_le_bytes()).collect());
            parts.push(sample.trained.iter().map(|trained| u8::from(*trained)).collect());
        }
        let mut files: Vec<PathBuf> = fs::read_dir(self.folder())
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .map_err(|e| ModelError::file(self.folder(), e))?;
        files.sort();
        for path in files {
            let weights = path.extension().is_some_and(|extension| extension == "safetensors");
            if weights || path.file_name().is_some_and(|name| name == "config.json") {
                let hash = ContentHash::of_file(&path).map_err(|e| ModelError::file(&path, e))?;
                parts.push(hash.to_string().into_bytes());
            }
        }
        Ok(ContentHash::of_parts(parts.iter().map(Vec::as_slice)))
    }

    /// Writes weights in the type that the base's config.json names, and carries the other files over.
    fn save_model(&self, model: &Model) -> Result<(), TrainingError> {
        let config_path = self.folder().join("config.json");
        let text = fs::read_to_string(&config_path).map_err(|e| ModelError::file(&config_path, e))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| ModelError::config(&config_path, e.to_string()))?;
        let name = value.get("dtype").or_else(|| value.get("torch_dtype")).and_then(|name| name.as_str());
        let dtype = if name == Some("bfloat16") { Dtype::BF16 } else { Dtype::F32 };
        model.save_weights(self.output, dtype)?;
        for name in CARRIED_FILES {
            let (from, to) = (self.folder().join(name), self.output.join(name));
            if from.exists() && from != to {
                let bytes = fs::read(&from).map_err(|e| ModelError::file(&from, e))?;
                write_atomic(&to, &bytes).map_err(|e| ModelError::file(&to, e))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::{SMALL_CONFIG, small_lora, small_model};
    use crate::trainer::{LearningRateSchedule, OptimizerKind};

    fn config(mode: TrainingMode) -> TrainingConfig {
        TrainingConfig {
            mode,
            num_epochs: 3,
            batch_size: 3,
            gradient_accumulation_steps: 2,
            learning_rate: 5e-3,
            lr_scheduler: LearningRateSchedule::Cosine,
            warmup_ratio: 0.1,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
            max_seq_length: 40,
            gradient_checkpointing: false,
            optim: OptimizerKind::Adamw,
            save_steps: 2,
        }
    }

    fn samples() -> Vec<TrainingSample> {
        let sample = |i: u32| {
            let tokens: Vec<u32> = (0..12 + i % 20).map(|j| (i * 11 + j * (1 + i % 3)) % 90).collect();
            let trained = (0..tokens.len()).map(|j| j > 4).collect();
            TrainingSample { tokens, trained }
        };
        (0..20).map(sample).collect()
    }

    /// A folder with a small model in the Hugging Face layout.
    fn base() -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("config.json"), SMALL_CONFIG)?;
        small_model(7)?.save_weights(folder.path(), Dtype::F32)?;
        Ok(folder)
    }

    type Losses = Vec<f64>;

    /// Runs until `stop_after` steps were done in this process; returns the losses and the outcome.
    fn run(
        base: &Path,
        config: &TrainingConfig,
        lora: &LoraConfig,
        work: &Path,
        stop_after: usize,
    ) -> Result<(Losses, TrainingOutcome), TrainingError> {
        let samples = samples();
        let run = TrainingRun {
            base: StartingPoint::Checkpoint(base.to_owned()),
            config,
            lora: Some(lora),
            seed: 3,
            samples: &samples,
            checkpoints: &work.join("checkpoints"),
            output: &work.join("output"),
        };
        let mut losses = Vec::new();
        let outcome = train(&run, &mut |report| {
            losses.push(report.loss);
            if losses.len() == stop_after { AfterStep::SaveAndStop } else { AfterStep::Continue }
        })?;
        Ok((losses, outcome))
    }

    fn output(work: &Path, file: &str) -> std::io::Result<Vec<u8>> {
        fs::read(work.join("output").join(file))
    }

    #[test]
    fn a_resumed_run_ends_in_the_same_bytes() -> Result<(), Box<dyn std::error::Error>> {
        let base = base()?;
        let lora = LoraConfig { lora_dropout: 0.1, ..small_lora() };
        for (mode, file) in [
            (TrainingMode::Qlora, "adapter_model.safetensors"),
            (TrainingMode::Lora, "adapter_model.safetensors"),
            (TrainingMode::Full, "model.safetensors"),
        ] {
            let (whole, parts) = (tempfile::tempdir()?, tempfile::tempdir()?);
            let config = config(mode);
            let (losses, outcome) = run(base.path(), &config, &lora, whole.path(), usize::MAX)?;
            assert!(outcome.finished && losses.len() == 12, "{outcome:?}");
            assert!(losses[11] < losses[0] - 0.1, "{mode:?} does not learn: {losses:?}");
            let mut resumed = Vec::new();
            for (stop_after, done) in [(3, 3), (4, 7), (usize::MAX, 12)] {
                let (losses, outcome) = run(base.path(), &config, &lora, parts.path(), stop_after)?;
                assert_eq!(outcome.steps, done);
                resumed.extend(losses);
            }
            assert_eq!(resumed, losses);
            assert_eq!(output(parts.path(), file)?, output(whole.path(), file)?, "{mode:?}");
        }
        Ok(())
    }

    #[test]
    fn checkpointed_blocks_give_the_same_bytes() -> Result<(), Box<dyn std::error::Error>> {
        let base = base()?;
        let lora = LoraConfig { lora_dropout: 0.2, ..small_lora() };
        for (mode, file) in
            [(TrainingMode::Qlora, "adapter_model.safetensors"), (TrainingMode::Full, "model.safetensors")]
        {
            let (kept, again) = (tempfile::tempdir()?, tempfile::tempdir()?);
            let config = config(mode);
            run(base.path(), &config, &lora, kept.path(), usize::MAX)?;
            let config = TrainingConfig { gradient_checkpointing: true, ..config };
            run(base.path(), &config, &lora, again.path(), usize::MAX)?;
            assert_eq!(output(kept.path(), file)?, output(again.path(), file)?, "{mode:?}");
        }
        Ok(())
    }

    #[test]
    fn a_checkpoint_of_another_run_or_a_damaged_one_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        let (base, work) = (base()?, tempfile::tempdir()?);
        let lora = small_lora();
        run(base.path(), &config(TrainingMode::Lora), &lora, work.path(), 3)?;
        let other = TrainingConfig { learning_rate: 1e-3, ..config(TrainingMode::Lora) };
        let error = run(base.path(), &other, &lora, work.path(), 1).err().ok_or("resumed another run")?.to_string();
        assert!(error.contains("a checkpoint of another run"), "{error}");
        let path = work.path().join("checkpoints/step-000003/state.safetensors");
        let mut bytes = fs::read(&path)?;
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        fs::write(&path, bytes)?;
        let same = config(TrainingMode::Lora);
        let error = run(base.path(), &same, &lora, work.path(), 1).err().ok_or("resumed a damaged one")?.to_string();
        assert!(error.contains("damaged: expected the hash"), "{error}");
        Ok(())
    }

    #[test]
    fn a_loss_that_is_no_number_stops_at_its_step() -> Result<(), Box<dyn std::error::Error>> {
        let (base, work) = (base()?, tempfile::tempdir()?);
        let hot = TrainingConfig {
            learning_rate: 1e36,
            lr_scheduler: LearningRateSchedule::Constant,
            warmup_ratio: 0.0,
            ..config(TrainingMode::Full)
        };
        let error = run(base.path(), &hot, &small_lora(), work.path(), usize::MAX).err().ok_or("went on")?;
        assert!(matches!(error, TrainingError::NotFinite { step: 2, .. }), "{error}");
        assert!(!work.path().join("output").exists());
        Ok(())
    }

    #[test]
    fn numbers_do_not_depend_on_the_number_of_threads() -> Result<(), Box<dyn std::error::Error>> {
        let base = base()?;
        let bytes = |threads| -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            pool.install(|| {
                let work = tempfile::tempdir()?;
                run(base.path(), &config(TrainingMode::Full), &small_lora(), work.path(), usize::MAX)?;
                Ok(output(work.path(), "model.safetensors")?)
            })
        };
        let alone = bytes(1).map_err(|e| e.to_string())?;
        assert!(bytes(4).map_err(|e| e.to_string())? == alone);
        Ok(())
    }
}
