//! The plan of a run: what it will take in memory and time on this machine, from its configuration and its rows, before
//! a base is loaded.
//!
//! Weights, adapter and optimizer are counted; results of a pass and all times come from a short calibration. The peak is
//! that of the largest micro-batch, of an audit before the first step, or of a measurement of held-out rows.

use serde::Serialize;

use super::audit::ROWS as AUDITED_ROWS;
use super::batches::Batches;
use super::calibration::{Calibrated, Calibration};
use super::evaluation::{Validation, evaluation_passes};
use super::sample::FittedSamples;
use super::validation::ValidationMetric;
use super::{TrainingConfig, TrainingError, TrainingSample};
use hilora_kernels::cross_entropy;
use hilora_model::{Checkpointing, ComputeDevice, ComputeType, LoraConfig, ModelConfig, ModuleToSave, StoredType};

/// What the threads' buffers and the allocator take beside everything that is counted: found by comparing plans with
/// what runs took.
const UNCOUNTED_BYTES: u64 = 32 << 20;

/// What is planned.
pub struct PlanRequest<'a> {
    /// The base's shape.
    pub model: &'a ModelConfig,
    /// The type of the base's floats.
    pub stored: StoredType,
    /// Bytes of a quantized base's blocks, if its files are there; else config.json says what they take.
    pub block_bytes: Option<u64>,
    /// How it is trained.
    pub training: &'a TrainingConfig,
    /// The type of activations and products.
    pub compute: ComputeType,
    /// The adapter's shape.
    pub lora: &'a LoraConfig,
    /// Keys the order of the rows.
    pub seed: u64,
    /// The rows.
    pub samples: &'a [TrainingSample],
    /// What it is measured on while it trains.
    pub validation: Option<Validation<'a>>,
    /// Bytes that the process takes before the base is loaded, the rows included.
    pub process_bytes: u64,
}

/// What a run will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingPlan {
    /// Rows of an epoch.
    pub rows: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Tokens of all steps.
    pub tokens: usize,
    /// Tokens of the largest micro-batch.
    pub largest_micro_batch: usize,
    /// Trained parameters.
    pub trained_parameters: u64,
    /// The type of activations and products.
    pub compute: ComputeType,
    /// Whether blocks are computed again instead of kept.
    pub gradient_checkpointing: bool,
    /// Memory at the peak.
    pub memory: MemoryPlan,
    /// Time.
    pub time: TimePlan,
}

/// Bytes at the peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryPlan {
    /// The program, its plugins, the tokenizer and the rows.
    pub process: u64,
    /// The blocks' weights.
    pub blocks: u64,
    /// Embedding and output layer.
    pub tables: u64,
    /// The adapter and its gradients.
    pub adapter: u64,
    /// The optimizer's state.
    pub optimizer: u64,
    /// What a pass computes and keeps.
    pub activations: u64,
    /// All of them.
    pub total: u64,
}

/// Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TimePlan {
    /// What the calibration took.
    pub calibration: f64,
    /// A step, the mean over the run.
    pub step: f64,
    /// Tokens of a second of training.
    pub tokens_per_second: f64,
    /// One evaluation's loss; pass@1 is not in it, since how long answers are nobody knows before.
    pub evaluation: Option<f64>,
    /// All steps and evaluations.
    pub total: f64,
    /// Whether measurements of pass@1 come on top of that.
    pub without_pass_at_1: bool,
}

/// The tokens, targets and documents of a micro-batch.
struct MicroBatchShape {
    tokens: usize,
    targets: usize,
    /// Tokens of each document.
    documents: Vec<usize>,
}

impl MicroBatchShape {
    fn of(samples: &FittedSamples<'_>, indices: &[usize]) -> Self {
        let documents: Vec<usize> = indices.iter().map(|index| samples.tokens(*index).len()).collect();
        let targets = indices.iter().map(|index| samples.targets(*index)).sum();
        Self { tokens: documents.iter().sum(), targets, documents }
    }
}

/// Plans a run. `on_part` is told of the calibration's progress, `CALIBRATION_PARTS` times.
pub fn plan(request: &PlanRequest<'_>, on_part: &mut (dyn FnMut() + Send)) -> Result<TrainingPlan, TrainingError> {
    let training = request.training;
    if training.device.choose()? != ComputeDevice::Cpu {
        let problem = "training.device: a plan is measured on the CPU; add `--device cpu` for what it takes there";
        return Err(TrainingError::Config(vec![problem.to_owned()]));
    }
    let samples = FittedSamples::new(request.samples, training.max_seq_length)?;
    let batches = Batches::new(&samples, training, request.seed);
    let steps: Vec<Vec<MicroBatchShape>> = (0..batches.steps())
        .map(|step| batches.samples_of(step).iter().map(|batch| MicroBatchShape::of(&samples, batch)).collect())
        .collect();
    let micro_batches = || steps.iter().flatten();
    let no_samples = || TrainingError::Config(vec!["training: there is no step".to_owned()]);
    let largest = micro_batches().max_by_key(|batch| (batch.tokens, batch.targets)).ok_or_else(no_samples)?;
    let calibrated = Calibrated {
        model: request.model,
        stored: request.stored,
        compute: request.compute,
        lora: request.lora,
        training,
        largest: (largest.tokens, largest.targets),
        longest: micro_batches().flat_map(|batch| &batch.documents).copied().max().unwrap_or(0),
    };
    let calibration = calibrated.measure(on_part)?;
    let costs = Costs { request, calibration: &calibration };

    let audited = batches.for_gradient_audit();
    let isolation = batches.for_isolation_audit();
    let isolation = (isolation.tokens(&samples), isolation.samples.len());
    let held_out = request.validation.map(|validation| costs.validation_bytes(&validation)).transpose()?;
    let beside = costs.isolation_bytes(isolation).max(held_out.unwrap_or(0.0));
    let memory = costs.memory(largest, &MicroBatchShape::of(&samples, &audited.samples), beside);
    let training_seconds: f64 = micro_batches().map(|batch| costs.pass_seconds(batch)).sum::<f64>()
        + steps.len() as f64 * calibration.update.of_layers(request.model.num_hidden_layers);
    let tokens = micro_batches().map(|batch| batch.tokens).sum();
    let evaluation = request.validation.map(|validation| costs.evaluation_seconds(&validation)).transpose()?;
    let evaluations = request
        .validation
        .map_or(0, |validation| (1..=steps.len()).filter(|step| validation.config.is_due(*step, steps.len())).count());
    let time = TimePlan {
        calibration: calibration.seconds,
        step: training_seconds / steps.len() as f64,
        tokens_per_second: tokens as f64 / training_seconds,
        evaluation,
        total: training_seconds + evaluation.unwrap_or(0.0) * evaluations as f64,
        without_pass_at_1: request
            .validation
            .is_some_and(|validation| validation.config.metric == ValidationMetric::PassAt1),
    };
    Ok(TrainingPlan {
        rows: batches.rows(),
        steps: steps.len(),
        tokens,
        largest_micro_batch: largest.tokens,
        trained_parameters: costs.parameters() as u64,
        compute: request.compute,
        gradient_checkpointing: training.gradient_checkpointing,
        memory,
        time,
    })
}

/// How often `plan` tells of its progress.
pub const CALIBRATION_PARTS: u64 = Calibrated::PARTS;

/// A calibration put to use.
struct Costs<'a> {
    request: &'a PlanRequest<'a>,
    calibration: &'a Calibration,
}

impl Costs<'_> {
    fn layers(&self) -> usize {
        self.request.model.num_hidden_layers
    }

    fn parameters(&self) -> f64 {
        let of_tables = ModuleToSave::ALL.into_iter().map(|module| self.saved_rows(module) + self.updated_rows(module));
        self.calibration.parameters.of_layers(self.layers()) + of_tables.sum::<f64>()
    }

    /// Parameters of a trained copy of a table that the skeleton's short vocabulary lacks.
    fn saved_rows(&self, module: ModuleToSave) -> f64 {
        let of_token = if self.request.lora.saves(module) { self.request.model.hidden_size } else { 0 };
        (self.tokens_lacking() * of_token) as f64
    }

    /// Parameters of a table's update that it lacks.
    fn updated_rows(&self, module: ModuleToSave) -> f64 {
        (self.tokens_lacking() * self.request.lora.table_rank(module).unwrap_or(0)) as f64
    }

    /// Tokens of the model that are not in the skeleton's vocabulary.
    fn tokens_lacking(&self) -> usize {
        self.request.model.vocab_size - self.calibration.vocabulary
    }

    /// Bytes of the optimizer's state.
    fn optimizer_bytes(&self) -> f64 {
        // A copy of the embedding has it in 32 bits whatever the optimizer.
        let of_others = if self.request.training.optim.is_8bit() { 2.0 } else { 8.0 };
        let updated: f64 = ModuleToSave::ALL.into_iter().map(|module| self.updated_rows(module)).sum();
        self.calibration.optimizer.of_layers(self.layers())
            + 8.0 * self.saved_rows(ModuleToSave::EmbedTokens)
            + of_others * (self.saved_rows(ModuleToSave::LmHead) + updated)
    }

    /// Seconds of a pass with gradients.
    fn pass_seconds(&self, batch: &MicroBatchShape) -> f64 {
        let Calibration { pass, head, vocabulary, attention, .. } = *self.calibration;
        let model = self.request.model;
        let squares: f64 = batch.documents.iter().map(|length| (*length as f64).powi(2)).sum();
        // A chunk of rows costs what it costs once, whatever their number.
        let chunks = batch.targets.div_ceil(cross_entropy::chunk_rows(model.vocab_size, batch.targets).max(1));
        let rows = head.at(batch.targets) - head.at(0);
        // A third product if the table is trained.
        let products = if self.request.lora.saves(ModuleToSave::LmHead) { 1.5 } else { 1.0 };
        let whole = products * model.vocab_size as f64 / vocabulary as f64;
        let of_head = (chunks as f64 * head.at(0) + rows) * whole;
        let blocks = pass.at(batch.tokens, self.layers()) + self.layers() as f64 * attention * squares;
        // Of each segment, all blocks but the last are computed once more.
        let again = self.layers() - self.layers().div_ceil(self.segment(batch));
        blocks * (1.0 + self.calibration.loss_share * again as f64 / self.layers() as f64) + of_head
    }

    /// Bytes of a block's input.
    fn input_bytes(&self, batch: &MicroBatchShape) -> usize {
        batch.tokens * self.request.model.hidden_size * size_of::<f32>()
    }

    /// Every how many blocks an input is kept.
    fn segment(&self, batch: &MicroBatchShape) -> usize {
        let checkpointing = self.request.training.gradient_checkpointing.then(Checkpointing::default);
        checkpointing.map_or(1, |checkpointing| checkpointing.segment(self.layers(), self.input_bytes(batch)))
    }

    /// Seconds of one measurement of the held-out rows' loss.
    fn evaluation_seconds(&self, validation: &Validation<'_>) -> Result<f64, TrainingError> {
        let training = self.request.training;
        let samples = FittedSamples::new(validation.samples, training.max_seq_length)?;
        let passes = evaluation_passes(&samples, training.batch_size).map(|batch| MicroBatchShape::of(&samples, batch));
        Ok(passes.map(|batch| self.pass_seconds(&batch) * self.calibration.loss_share).sum())
    }

    /// Bytes of the results of a pass without gradients.
    fn loss_bytes(&self, tokens: usize, logits: usize) -> f64 {
        self.calibration.loss_results.at(tokens) + (logits * size_of::<f32>()) as f64
    }

    /// Bytes of the largest measurement of held-out rows. What is cached of answers for pass@1 depends on how long
    /// they are.
    fn validation_bytes(&self, validation: &Validation<'_>) -> Result<f64, TrainingError> {
        let (training, vocabulary) = (self.request.training, self.request.model.vocab_size);
        let samples = FittedSamples::new(validation.samples, training.max_seq_length)?;
        let passes = evaluation_passes(&samples, training.batch_size).map(|batch| MicroBatchShape::of(&samples, batch));
        let bytes = passes.map(|pass| {
            let rows = cross_entropy::chunk_rows(vocabulary, pass.targets);
            self.loss_bytes(pass.tokens, rows * vocabulary)
        });
        Ok(bytes.fold(0.0, f64::max))
    }

    /// Bytes of the audit that holds packed samples, with this many tokens, against each alone.
    fn isolation_bytes(&self, (tokens, samples): (usize, usize)) -> f64 {
        // The logits of some rows of each, on their way out of the pool and as a list, packed and alone.
        self.loss_bytes(tokens, 3 * samples * AUDITED_ROWS * self.request.model.vocab_size)
    }

    /// Bytes of the results of a pass.
    fn activation_bytes(&self, batch: &MicroBatchShape) -> f64 {
        let model = self.request.model;
        let heads = model.heads();
        // Attention's gradients are gathered in f32 before they are placed.
        let gathered = batch.tokens * (heads.queries + 2 * heads.keys) * heads.dim * size_of::<f32>();
        let logits = match self.request.compute {
            ComputeType::F32 => cross_entropy::chunk_bytes::<f32>(model.vocab_size, batch.targets),
            ComputeType::Bf16 => cross_entropy::chunk_bytes::<half::bf16>(model.vocab_size, batch.targets),
        };
        let not_kept = self.layers() - Checkpointing::inputs(self.layers(), self.segment(batch));
        let results = self.calibration.results.at(batch.tokens, self.layers());
        results + (gathered + logits) as f64 - (not_kept * self.input_bytes(batch)) as f64
    }

    /// `beside` is what passes without gradients take.
    fn memory(&self, largest: &MicroBatchShape, audited: &MicroBatchShape, beside: f64) -> MemoryPlan {
        let model = self.request.model;
        let parameters = self.parameters();
        // The audit looks at an adapter with another B.
        let of_audit = self.activation_bytes(audited) + 4.0 * parameters / 2.0;
        let kinds = if model.sliding_rope_parameters.is_some() { 2 } else { 1 };
        let rope = kinds * model.max_position_embeddings * model.rotary_dim * size_of::<f32>();
        let tables = if model.tie_word_embeddings { 1 } else { 2 };
        let tables = tables * model.vocab_size * model.hidden_size * self.calibration.table_element_bytes + rope;
        let mut plan = MemoryPlan {
            process: self.request.process_bytes + UNCOUNTED_BYTES,
            blocks: self
                .request
                .block_bytes
                .unwrap_or_else(|| self.calibration.weights.of_layers(self.layers()) as u64),
            tables: tables as u64,
            adapter: (8.0 * parameters) as u64,
            optimizer: self.optimizer_bytes() as u64,
            activations: self.activation_bytes(largest).max(of_audit).max(beside) as u64,
            total: 0,
        };
        plan.total = plan.process + plan.blocks + plan.tables + plan.adapter + plan.optimizer + plan.activations;
        plan
    }
}
