//! A training run: samples and a configuration in, an adapter or a model out.
//!
//! The same base, samples, configuration and seed give the same bytes, whether the run was stopped and resumed or not.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use super::audit::packed_equals_alone;
use super::batches::{Batches, pack_fitted};
use super::checkpoint::Checkpoints;
use super::evaluation::{EvaluationReport, Evaluations, Validation};
use super::learner::{Learner, StepOptions};
use super::sample::FittedSamples;
use super::validation::{BestStep, EarlyStopping, ValidationMetric};
use super::{TrainingConfig, TrainingError, TrainingMode, TrainingSample, schedule};
use hilora_contract::artifact::{ContentHash, write_atomic};
use hilora_kernels::scratch;
use hilora_model::{Adapter, DeviceChoice, LoraConfig, Model, ModelConfig, ModelError};

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
    /// The hash of the base's files: a checkpoint of a run over other weights is not resumed from.
    pub base_hash: ContentHash,
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

/// What comes before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preparation {
    /// The base is read, and quantized where it is not yet.
    LoadingBase,
    /// The run's own samples go through the model.
    Audit,
}

/// Sees a run as it goes.
pub trait TrainingObserver {
    /// So many of so many parts of what comes before the first step are done; 0 where it begins.
    fn preparing(&mut self, what: Preparation, done: usize, total: usize) {
        let _ = (what, done, total);
    }

    /// The run begins after `step` steps, 0 where it resumed from no checkpoint. `warnings` say which checkpoints were
    /// damaged and passed over.
    fn begun(&mut self, step: usize, steps_total: usize, warnings: &[String]) {
        let _ = (step, steps_total, warnings);
    }

    /// A step was taken.
    fn stepped(&mut self, report: &StepReport) -> AfterStep;

    /// The held-out rows were measured.
    fn evaluated(&mut self, report: &EvaluationReport) {
        let _ = report;
    }
}

impl<F: FnMut(&StepReport) -> AfterStep> TrainingObserver for F {
    fn stepped(&mut self, report: &StepReport) -> AfterStep {
        self(report)
    }
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

/// The hash of a base's `config.json` and weights.
pub fn hash_of_base(folder: &Path) -> Result<ContentHash, TrainingError> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(|e| ModelError::file(folder, e))?;
    files.sort();
    let mut hashes = Vec::new();
    for path in files {
        let is_weights = path.extension().is_some_and(|extension| extension == "safetensors");
        if is_weights || path.file_name().is_some_and(|name| name == "config.json") {
            hashes.push(ContentHash::of_file(&path).map_err(|e| ModelError::file(&path, e))?);
        }
    }
    Ok(ContentHash::of_parts(hashes.iter().map(ContentHash::as_bytes)))
}

/// Trains. The observer sees every step and may ask to stop.
pub fn train(run: &TrainingRun<'_>, observer: &mut dyn TrainingObserver) -> Result<TrainingOutcome, TrainingError> {
    let config = run.config;
    run.check()?;
    let samples = FittedSamples::new(run.samples, config.max_seq_length)?;
    let batches = Batches::new(&samples, config, run.seed);
    let steps_total = batches.steps();
    let evaluations = run
        .validation
        .as_ref()
        .map(|validation| Evaluations::new(validation, config.max_seq_length, config.batch_size))
        .transpose()?;
    let mut learner = run.learner(&mut |done, total| observer.preparing(Preparation::LoadingBase, done, total))?;
    check_samples(learner.model(), &samples)?;
    let checkpoints = Checkpoints::new(run.checkpoints, run.fingerprint()?, config.save_total_limit);
    let resumed = checkpoints.resume(&mut learner)?;
    if resumed.step.is_none() {
        observer.preparing(Preparation::Audit, 0, 2);
        learner.audit(&batches.for_gradient_audit(), config.gradient_checkpointing)?;
        observer.preparing(Preparation::Audit, 1, 2);
        packed_equals_alone(&learner, &samples, &batches.for_isolation_audit())?;
        observer.preparing(Preparation::Audit, 2, 2);
    }
    observer.begun(learner.steps(), steps_total, &resumed.damaged);
    let mut progress = RunInProgress {
        run,
        batches,
        learner,
        checkpoints,
        evaluations,
        early_stopping: resumed.early_stopping,
        steps_total,
        last_loss: f64::NAN,
    };
    let stopped = progress.go_on(observer)?;
    let mut outcome = TrainingOutcome {
        steps: progress.learner.steps(),
        steps_total,
        finished: false,
        resumed_from: resumed.step,
        final_loss: progress.last_loss,
        trained_parameters: progress.learner.trained_parameters(),
        rows: progress.batches.rows(),
        best: progress.early_stopping.best,
        stopped_early: progress.is_out_of_patience(),
        held_out_without_targets: progress.evaluations.as_ref().map_or(0, Evaluations::rows_left_out),
        samples_cut: samples.cut.clone(),
        samples_without_targets: samples.without_targets.clone(),
    };
    if stopped == Ended::OnRequest {
        return Ok(outcome);
    }
    progress.restore_best()?;
    match progress.learner.adapter() {
        Some(adapter) => adapter.save(run.output)?,
        None => run.save_model(progress.learner.model())?,
    }
    outcome.finished = true;
    Ok(outcome)
}

/// Refuses a token or a length that the model cannot take, before the first step meets it.
fn check_samples(model: &Model, samples: &FittedSamples<'_>) -> Result<(), TrainingError> {
    for sample in &samples.used {
        model
            .check(&pack_fitted(samples, &[*sample]))
            .map_err(|error| TrainingError::Sample { sample: *sample, problem: error.to_string() })?;
    }
    Ok(())
}

/// Why the steps ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// All were taken, or the patience was used up.
    Finished,
    /// The observer asked for it, and a checkpoint was saved.
    OnRequest,
}

/// A run that has begun.
struct RunInProgress<'a> {
    run: &'a TrainingRun<'a>,
    batches: Batches<'a>,
    learner: Learner,
    checkpoints: Checkpoints<'a>,
    evaluations: Option<Evaluations<'a>>,
    early_stopping: EarlyStopping,
    steps_total: usize,
    last_loss: f64,
}

impl RunInProgress<'_> {
    /// Takes the steps that are left.
    fn go_on(&mut self, observer: &mut dyn TrainingObserver) -> Result<Ended, TrainingError> {
        // A run that was stopped at a step that is measured has the measurement before it.
        if self.measure_if_due(observer)? {
            self.save()?;
        }
        while self.learner.steps() < self.steps_total && !self.is_out_of_patience() {
            let step = self.learner.steps() + 1;
            let after = observer.stepped(&self.step()?);
            if after == AfterStep::SaveAndStop && step < self.steps_total {
                self.save()?;
                return Ok(Ended::OnRequest);
            }
            let is_best = self.measure_if_due(observer)?;
            let save_steps = self.run.config.save_steps;
            if is_best || (save_steps > 0 && step.is_multiple_of(save_steps)) {
                self.save()?;
            }
        }
        Ok(Ended::Finished)
    }

    fn step(&mut self) -> Result<StepReport, TrainingError> {
        let (config, step) = (self.run.config, self.learner.steps());
        let warmup = config.warmup(self.steps_total);
        let options = StepOptions {
            learning_rate: config.learning_rate * schedule::factor(config.lr_scheduler, step, warmup, self.steps_total),
            weight_decay: config.weight_decay,
            max_grad_norm: config.max_grad_norm,
            gradient_checkpointing: config.gradient_checkpointing,
        };
        let numbers = self.learner.step_packed(&self.batches.step(step), &options)?;
        self.last_loss = numbers.loss;
        Ok(StepReport {
            step: step + 1,
            steps_total: self.steps_total,
            loss: numbers.loss,
            learning_rate: options.learning_rate,
            gradient_norm: numbers.gradient_norm,
            tokens: numbers.tokens,
            target_tokens: numbers.target_tokens,
        })
    }

    /// Measures where this step is to be measured and was not; returns whether it is the best.
    fn measure_if_due(&mut self, observer: &mut dyn TrainingObserver) -> Result<bool, TrainingError> {
        let Some(evaluations) = &self.evaluations else { return Ok(false) };
        let step = self.learner.steps();
        if !evaluations.config().is_due(step, self.steps_total) || self.early_stopping.last_evaluated == step {
            return Ok(false);
        }
        let report = evaluations.measure(&self.learner, &mut self.early_stopping)?;
        observer.evaluated(&report);
        Ok(report.is_best)
    }

    fn is_out_of_patience(&self) -> bool {
        let patience = self.evaluations.as_ref().and_then(|e| e.config().early_stopping_patience);
        self.early_stopping.stops(patience)
    }

    fn save(&self) -> Result<(), TrainingError> {
        // A checkpoint is put together in memory: in the place of a step's results, not beside them.
        scratch::let_go();
        self.checkpoints.save(&self.learner, &self.early_stopping)
    }

    /// Gives the learner the weights of the best step, where another than the last was measured as such.
    fn restore_best(&mut self) -> Result<(), TrainingError> {
        match self.early_stopping.best {
            Some(best) if best.step != self.learner.steps() => {
                self.checkpoints.restore_best(best.step, &mut self.learner)
            }
            _ => Ok(()),
        }
    }
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

    /// Everything that is wrong with the run, at once.
    fn check(&self) -> Result<(), TrainingError> {
        let config = self.config;
        let mut problems = config.validate();
        if config.mode != TrainingMode::Full {
            problems.extend(self.lora.map_or_else(|| vec![NO_LORA.to_owned()], LoraConfig::validate));
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

    fn learner(&self, on_weight: &mut dyn FnMut(usize, usize)) -> Result<Learner, TrainingError> {
        let folder = self.folder();
        let model = match &self.base {
            StartingPoint::Random(_) => {
                Model::random(ModelConfig::load(folder)?, self.seed, self.config.device.choose()?)?
            }
            StartingPoint::Checkpoint(_) => self.config.load_base(folder, on_weight)?,
        };
        let model = model.computing_in(self.config.precision()?.computed)?;
        let learner = match self.config.mode {
            TrainingMode::Full => Learner::full(model, self.seed)?,
            TrainingMode::Lora | TrainingMode::Qlora => self.adapter_learner(model)?,
        };
        let learner = learner.optimized_by(self.config.optim, self.config.loraplus_lr_ratio.unwrap_or(1.0))?;
        Ok(learner.with_noise(self.config.neftune_noise_alpha))
    }

    /// A learner of a new adapter, or of the one that the configuration names.
    fn adapter_learner(&self, model: Model) -> Result<Learner, TrainingError> {
        let lora = self.adapter_shape()?;
        match &self.config.init_adapter {
            Some(folder) => Learner::of_adapter(model, Adapter::load(folder)?.continued_with(lora)?, self.seed),
            None => Learner::new_adapter(model, lora, self.seed),
        }
    }

    /// The hash of everything that decides the numbers of a run. How often it saves, and how many of the checkpoints it
    /// keeps, does not.
    fn fingerprint(&self) -> Result<ContentHash, TrainingError> {
        let unserializable = |e: serde_json::Error| TrainingError::Config(vec![e.to_string()]);
        let config =
            TrainingConfig { save_steps: 0, save_total_limit: 1, device: DeviceChoice::Auto, ..self.config.clone() };
        let held_out = self.validation.map_or(&[][..], |validation| validation.samples);
        let mut parts = vec![
            serde_json::to_vec(&config).map_err(unserializable)?,
            serde_json::to_vec(&self.lora).map_err(unserializable)?,
            self.seed.to_le_bytes().to_vec(),
            self.base_hash.as_bytes().to_vec(),
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
            let path = adapter.join("adapter_model.safetensors");
            parts.push(ContentHash::of_file(&path).map_err(|e| ModelError::file(&path, e))?.as_bytes().to_vec());
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
