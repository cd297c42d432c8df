//! A learner: a model, the tensors of it that are trained, and their optimizer state. It takes optimizer steps; which
//! samples make a step, at which learning rate, is decided outside.

use candle_core::Tensor;

use super::batches::{MicroBatch, pack, passes};
use super::optimizer::Optimizer;
use super::{OptimizerKind, TrainingConfig, TrainingError, TrainingSample};
use hilora_kernels::adamw::{self, AdamwStep};
use hilora_kernels::in_pool;
use hilora_kernels::neftune::Noise;
use hilora_kernels::philox::{Purpose, Sequence};
use hilora_model::{Adapter, Checkpointing, DropoutKey, Gradients, LoraConfig, Model, TrainingPass, Weights};

/// The optimizer's constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepOptions {
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Decoupled decay per unit of learning rate.
    pub weight_decay: f64,
    /// The gradient's norm is cut to this.
    pub max_grad_norm: f64,
    /// Whether blocks are computed again in the backward pass.
    pub gradient_checkpointing: bool,
}

/// What one optimizer step measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepNumbers {
    /// Mean cross-entropy per target token over all micro-batches, in nats.
    pub loss: f64,
    /// The gradient's norm before it was cut.
    pub gradient_norm: f64,
    /// Tokens that went through the model.
    pub tokens: usize,
    /// How many of them were targets.
    pub target_tokens: usize,
}

/// How a learner learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnerOptions {
    /// The optimizer.
    pub optim: OptimizerKind,
    /// The learning rate of every B is this many times that of A.
    pub loraplus_lr_ratio: f64,
    /// The magnitude of NEFTune's noise on the embeddings of every training step.
    pub neftune_noise_alpha: Option<f64>,
}

impl LearnerOptions {
    /// What a run's configuration says.
    pub fn of(config: &TrainingConfig) -> Self {
        Self {
            optim: config.optim,
            loraplus_lr_ratio: config.loraplus_lr_ratio.unwrap_or(1.0),
            neftune_noise_alpha: config.neftune_noise_alpha,
        }
    }
}

impl Default for LearnerOptions {
    /// AdamW in 32 bits, one learning rate, no noise.
    fn default() -> Self {
        Self { optim: OptimizerKind::default(), loraplus_lr_ratio: 1.0, neftune_noise_alpha: None }
    }
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// A model in training.
pub struct Learner {
    model: Model,
    adapter: Option<Adapter>,
    gradients: Gradients,
    optimizer: Optimizer,
    /// NEFTune's magnitude.
    noise_alpha: Option<f64>,
    seed: u64,
    step: usize,
    micro_batch: u32,
}

fn trained<'a>(model: &'a Model, adapter: Option<&'a Adapter>) -> Vec<(String, &'a Tensor)> {
    match adapter {
        Some(adapter) => adapter.tensors().collect(),
        None => model.weights.tensors(),
    }
}

fn tensors(of: &Gradients) -> Vec<(String, &Tensor)> {
    match of {
        Gradients::Adapter(adapter) => adapter.tensors().collect(),
        Gradients::Full(weights) => weights.tensors(),
    }
}

impl Learner {
    /// A learner of a new adapter; `seed` keys its first values and its dropout.
    pub fn new_adapter(
        model: Model,
        lora: &LoraConfig,
        seed: u64,
        options: &LearnerOptions,
    ) -> Result<Self, TrainingError> {
        let adapter = model.new_adapter(lora, seed)?;
        Self::of_adapter(model, adapter, seed, options)
    }

    /// A learner that goes on with an adapter; the optimizer begins anew.
    pub fn of_adapter(
        model: Model,
        adapter: Adapter,
        seed: u64,
        options: &LearnerOptions,
    ) -> Result<Self, TrainingError> {
        adapter.check_against(model.config())?;
        let adapter = adapter.to_device(model.device())?;
        let gradients = Gradients::Adapter(Box::new(adapter.zeros_like()?));
        Self::new(model, Some(adapter), gradients, seed, options)
    }

    /// A learner of all weights, which must be in f32.
    pub fn full(model: Model, seed: u64, options: &LearnerOptions) -> Result<Self, TrainingError> {
        let gradients = Gradients::Full(Box::new(Weights::zeros(model.config(), model.device())?));
        Self::new(model, None, gradients, seed, options)
    }

    fn new(
        model: Model,
        adapter: Option<Adapter>,
        gradients: Gradients,
        seed: u64,
        options: &LearnerOptions,
    ) -> Result<Self, TrainingError> {
        let trained = trained(&model, adapter.as_ref());
        let optimizer = Optimizer::new(options.optim, options.loraplus_lr_ratio, &trained)?;
        let noise_alpha = options.neftune_noise_alpha;
        Ok(Self { model, adapter, gradients, optimizer, noise_alpha, seed, step: 0, micro_batch: 0 })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The adapter, unless all weights are trained.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// Optimizer steps taken.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// Number of trained parameters.
    pub fn trained_parameters(&self) -> usize {
        self.trained().iter().map(|(_, tensor)| tensor.elem_count()).sum()
    }

    /// The trained tensors by name, in the order of gradients and moments.
    pub(crate) fn trained(&self) -> Vec<(String, &Tensor)> {
        trained(&self.model, self.adapter.as_ref())
    }

    /// The optimizer's state.
    pub(crate) fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// The optimizer's state, to be restored.
    pub(crate) fn optimizer_mut(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    /// Where a checkpoint left off.
    pub(crate) fn set_progress(&mut self, step: usize, micro_batch: u32) {
        (self.step, self.micro_batch) = (step, micro_batch);
    }

    /// Micro-batches seen, which key dropout.
    pub(crate) fn micro_batches(&self) -> u32 {
        self.micro_batch
    }

    /// One optimizer step over micro-batches of samples.
    pub fn step(
        &mut self,
        batches: &[Vec<TrainingSample>],
        options: &StepOptions,
    ) -> Result<StepNumbers, TrainingError> {
        let packed: Vec<_> = batches
            .iter()
            .flat_map(|batch| passes(batch, |sample| sample.tokens.len()))
            .map(|samples| MicroBatch { samples: Vec::new(), documents: pack(samples.iter()) })
            .collect();
        let numbers = self.step_packed(&packed, options, &mut || false)?;
        numbers.ok_or_else(|| TrainingError::Defect("a step that nobody stops was abandoned".to_owned()))
    }

    /// One optimizer step over packed micro-batches, on the pool's threads: the loss is the mean over all targets of all
    /// micro-batches together. `should_stop` is asked between them; a step that is abandoned leaves everything as it was
    /// before, and gives `None`.
    pub(crate) fn step_packed(
        &mut self,
        batches: &[MicroBatch],
        options: &StepOptions,
        should_stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<StepNumbers>, TrainingError> {
        let (step, micro_batch) = (self.step, self.micro_batch);
        self.step += 1;
        let target_tokens: usize = batches.iter().map(|batch| batch.documents.targets.len()).sum();
        let tokens = batches.iter().map(|batch| batch.documents.tokens.len()).sum();
        in_pool(|| self.forget_gradients())?;
        let mut loss = 0.0;
        for batch in batches {
            if should_stop() {
                // Nothing but gradients has changed, and the next step begins without any.
                (self.step, self.micro_batch) = (step, micro_batch);
                return Ok(None);
            }
            loss += in_pool(|| self.accumulate(batch, target_tokens, options.gradient_checkpointing))?;
        }
        let gradient_norm = in_pool(|| self.update(batches, options))?;
        Ok(Some(StepNumbers { loss: loss / target_tokens as f64, gradient_norm, tokens, target_tokens }))
    }

    fn forget_gradients(&self) -> Result<(), TrainingError> {
        for (_, gradient) in tensors(&self.gradients) {
            adamw::zero(gradient)?;
        }
        Ok(())
    }

    fn not_finite(&self, what: String, value: f64, batches: &[MicroBatch]) -> TrainingError {
        let samples = batches.iter().flat_map(|batch| batch.samples.iter().copied()).collect();
        TrainingError::NotFinite { step: self.step, what, value, samples }
    }

    /// Adds a micro-batch's gradients of the mean over `target_tokens`; returns its summed loss in nats.
    pub(crate) fn accumulate(
        &mut self,
        batch: &MicroBatch,
        target_tokens: usize,
        gradient_checkpointing: bool,
    ) -> Result<f64, TrainingError> {
        let how = TrainingPass {
            scale: (1.0 / target_tokens as f64) as f32,
            dropout: Some(DropoutKey { seed: self.seed, micro_batch: self.micro_batch }),
            noise: self.noise_alpha.map(|alpha| Noise { seed: self.seed, micro_batch: self.micro_batch, alpha }),
            checkpointing: gradient_checkpointing.then(Checkpointing::default),
        };
        let loss = self.model.forward_backward(&batch.documents, self.adapter.as_ref(), how, &self.gradients)?;
        if !loss.is_finite() {
            return Err(self.not_finite("the loss".to_owned(), loss, std::slice::from_ref(batch)));
        }
        self.micro_batch += 1;
        Ok(loss)
    }

    /// Takes the optimizer's step along the gradients of these micro-batches; returns their norm before it was cut.
    pub(crate) fn update(&mut self, batches: &[MicroBatch], options: &StepOptions) -> Result<f64, TrainingError> {
        let gradients = tensors(&self.gradients);
        let mut squares = 0.0;
        for (name, gradient) in &gradients {
            let square = adamw::sum_of_squares(gradient)?;
            if !square.is_finite() {
                return Err(self.not_finite(format!("the gradient's norm of `{name}`"), square.sqrt(), batches));
            }
            squares += square;
        }
        let gradient_norm = squares.sqrt();
        let update = AdamwStep {
            step: self.step,
            learning_rate: options.learning_rate,
            weight_decay: options.weight_decay,
            beta1: BETA1,
            beta2: BETA2,
            epsilon: EPSILON,
            // torch.nn.utils.clip_grad_norm_ adds the same constant.
            gradient_scale: (options.max_grad_norm / (gradient_norm + 1e-6)).min(1.0),
        };
        self.optimizer.step(&update, &trained(&self.model, self.adapter.as_ref()), &gradients)?;
        Ok(gradient_norm)
    }

    /// Fails unless a gradient reaches every trained tensor. B is zero in a new adapter and then A's gradient is zero
    /// by arithmetic (of an embedding it is the other way about), so the audit looks at a copy of the adapter where none is.
    /// It takes the memory of a training step, and no more.
    pub(crate) fn audit(&self, batch: &MicroBatch, gradient_checkpointing: bool) -> Result<(), TrainingError> {
        let perturbed = self.adapter.as_ref().map(|adapter| self.perturbed(adapter)).transpose()?;
        let how = TrainingPass {
            scale: 1.0 / batch.documents.targets.len() as f32,
            dropout: None,
            noise: None,
            checkpointing: gradient_checkpointing.then(Checkpointing::default),
        };
        self.forget_gradients()?;
        self.model.forward_backward(&batch.documents, perturbed.as_ref(), how, &self.gradients)?;
        for (tensor, gradient) in tensors(&self.gradients) {
            let square = adamw::sum_of_squares(gradient)?;
            if square == 0.0 {
                return Err(TrainingError::NoGradient { tensor });
            }
            if !square.is_finite() {
                let what = format!("the gradient's norm of `{tensor}`");
                let samples = batch.samples.clone();
                return Err(TrainingError::NotFinite { step: 0, what, value: square.sqrt(), samples });
            }
        }
        Ok(())
    }

    fn perturbed(&self, adapter: &Adapter) -> Result<Adapter, TrainingError> {
        let mut stream = 0;
        let perturbed = adapter.with_zeros(|b| {
            let mut numbers = Sequence::new(self.seed, Purpose::Audit, stream);
            stream += 1;
            let mut values: Vec<f32> = b.flatten_all()?.to_vec1()?;
            values.iter_mut().for_each(|x| *x += (numbers.normal() * 0.02) as f32);
            Ok(Tensor::from_vec(values, b.shape(), b.device())?)
        })?;
        Ok(perturbed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_model::{small_lora, small_model};
    use hilora_model::{LoraConfig, ModuleNames, ModuleToSave};

    #[test]
    fn the_audit_sees_every_tensor_of_every_kind_of_update() -> Result<(), TrainingError> {
        let tokens: Vec<u32> = (0..12).map(|i| i * 7 % 90).collect();
        let sample = TrainingSample { trained: vec![true; tokens.len()], tokens };
        let batch = MicroBatch { samples: vec![0], documents: pack([&sample].into_iter()) };
        let tables = ModuleNames::Named(["q_proj", "embed_tokens", "lm_head"].map(str::to_owned).to_vec());
        for (lora, trained) in [
            (LoraConfig { target_modules: tables, ..small_lora() }, 8),
            (LoraConfig { use_dora: true, ..small_lora() }, 42),
            (LoraConfig { lora_bias: true, ..small_lora() }, 42),
        ] {
            let learner = Learner::new_adapter(small_model(3)?, &lora, 1, &LearnerOptions::default())?;
            assert_eq!(learner.trained().len(), trained);
            learner.audit(&batch, true)?;
        }
        Ok(())
    }

    #[test]
    fn the_audit_sees_the_gradients_of_tables() -> Result<(), TrainingError> {
        let tokens: Vec<u32> = (0..12).map(|i| i * 7 % 90).collect();
        let sample = TrainingSample { trained: vec![true; tokens.len()], tokens };
        let batch = MicroBatch { samples: vec![0], documents: pack([&sample].into_iter()) };
        let tables = ModuleToSave::ALL.map(ModuleToSave::adapter_key);
        for (module, table) in ModuleToSave::ALL.into_iter().zip(&tables) {
            let lora = LoraConfig { modules_to_save: vec![module], ..small_lora() };
            let learner = Learner::new_adapter(small_model(3)?, &lora, 1, &LearnerOptions::default())?;
            learner.audit(&batch, true)?;
            let gradients = tensors(&learner.gradients);
            let of_tables: Vec<_> = gradients.iter().filter(|(name, _)| tables.contains(name)).collect();
            assert_eq!(of_tables.iter().map(|(name, _)| name).collect::<Vec<_>>(), [table]);
            for (_, gradient) in of_tables {
                assert!(adamw::sum_of_squares(gradient)? > 0.0);
            }
        }
        Ok(())
    }
}
