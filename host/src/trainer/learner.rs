//! A learner: a model, the tensors of it that are trained, and their optimizer state. It takes optimizer steps; which
//! samples make a step, at which learning rate, is decided outside.

use candle_core::Tensor;

use super::batches::{MicroBatch, pack};
use super::optimizer::{Optimizer, overwrite};
use super::{OptimizerKind, TrainingError, TrainingSample};
use crate::kernels::adamw::{self, AdamwStep};
use crate::kernels::in_pool;
use crate::kernels::neftune::Noise;
use crate::kernels::philox::{Purpose, Sequence};
use crate::model::{Adapter, DropoutKey, Gradients, LoraConfig, Model, TrainingPass, Weights};

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
    pub fn new_adapter(model: Model, lora: &LoraConfig, seed: u64) -> Result<Self, TrainingError> {
        let adapter = Adapter::new(lora, model.config(), seed)?;
        Self::of_adapter(model, adapter, seed)
    }

    /// A learner that goes on with an adapter; the optimizer begins anew.
    pub fn of_adapter(model: Model, adapter: Adapter, seed: u64) -> Result<Self, TrainingError> {
        adapter.check_against(&model)?;
        let adapter = adapter.beside(&model)?;
        let gradients = Gradients::Adapter(adapter.zeros_like()?);
        let adapter = Some(adapter);
        let optimizer = Optimizer::new(OptimizerKind::default(), 1.0, &trained(&model, adapter.as_ref()))?;
        Ok(Self { model, adapter, gradients, optimizer, noise_alpha: None, seed, step: 0, micro_batch: 0 })
    }

    /// A learner of all weights, which must be in f32.
    pub fn full(model: Model, seed: u64) -> Result<Self, TrainingError> {
        let gradients = Gradients::Full(Box::new(Weights::zeros(model.config(), model.device())?));
        let optimizer = Optimizer::new(OptimizerKind::default(), 1.0, &trained(&model, None))?;
        Ok(Self { model, adapter: None, gradients, optimizer, noise_alpha: None, seed, step: 0, micro_batch: 0 })
    }

    /// The same learner with another optimizer, which begins anew; by default it is AdamW in 32 bits. B's learning
    /// rate is `loraplus_lr_ratio` times A's.
    pub fn optimized_by(mut self, kind: OptimizerKind, loraplus_lr_ratio: f64) -> Result<Self, TrainingError> {
        self.optimizer = Optimizer::new(kind, loraplus_lr_ratio, &self.trained())?;
        Ok(self)
    }

    /// The same learner with NEFTune's noise of this magnitude on the embeddings of every training step.
    pub fn with_noise(self, neftune_noise_alpha: Option<f64>) -> Self {
        Self { noise_alpha: neftune_noise_alpha, ..self }
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
        let packed: Vec<_> =
            batches.iter().map(|batch| MicroBatch { samples: Vec::new(), documents: pack(batch.iter()) }).collect();
        self.step_packed(&packed, options)
    }

    /// One optimizer step over packed micro-batches, on the pool's threads.
    pub(crate) fn step_packed(
        &mut self,
        batches: &[MicroBatch],
        options: &StepOptions,
    ) -> Result<StepNumbers, TrainingError> {
        in_pool(|| self.step_here(batches, options))
    }

    /// One optimizer step: the loss is the mean over all targets of all micro-batches together.
    fn step_here(&mut self, batches: &[MicroBatch], options: &StepOptions) -> Result<StepNumbers, TrainingError> {
        let target_tokens: usize = batches.iter().map(|batch| batch.documents.targets.len()).sum();
        let tokens = batches.iter().map(|batch| batch.documents.tokens.len()).sum();
        self.step += 1;
        let step = self.step;
        let not_finite = |what: String, value: f64, batches: &[MicroBatch]| {
            let samples = batches.iter().flat_map(|batch| batch.samples.iter().copied()).collect();
            TrainingError::NotFinite { step, what, value, samples }
        };
        let gradients = tensors(&self.gradients);
        for (_, gradient) in &gradients {
            adamw::zero(gradient)?;
        }
        let mut loss = 0.0;
        for batch in batches {
            let how = TrainingPass {
                scale: (1.0 / target_tokens as f64) as f32,
                dropout: Some(DropoutKey { seed: self.seed, micro_batch: self.micro_batch }),
                noise: self.noise_alpha.map(|alpha| Noise { seed: self.seed, micro_batch: self.micro_batch, alpha }),
                checkpointing: options.gradient_checkpointing,
            };
            let of_batch =
                self.model.forward_backward(&batch.documents, self.adapter.as_ref(), how, &self.gradients)?;
            if !of_batch.is_finite() {
                return Err(not_finite("the loss".to_owned(), of_batch, std::slice::from_ref(batch)));
            }
            loss += of_batch;
            self.micro_batch += 1;
        }
        loss /= target_tokens as f64;
        let mut squares = 0.0;
        for (name, gradient) in &gradients {
            let square = adamw::sum_of_squares(gradient)?;
            if !square.is_finite() {
                return Err(not_finite(format!("the gradient's norm of `{name}`"), square.sqrt(), batches));
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
        Ok(StepNumbers { loss, gradient_norm, tokens, target_tokens })
    }

    /// Fails unless a gradient reaches every trained tensor. B is zero in a new adapter and then A's gradient is zero
    /// by arithmetic, so the audit looks at a copy of the adapter whose B is not.
    /// It takes the memory of a training step, and no more.
    pub(crate) fn audit(&self, batch: &MicroBatch, gradient_checkpointing: bool) -> Result<(), TrainingError> {
        let perturbed = self.adapter.as_ref().map(|adapter| self.perturbed(adapter)).transpose()?;
        let how = TrainingPass {
            scale: 1.0 / batch.documents.targets.len() as f32,
            dropout: None,
            noise: None,
            checkpointing: gradient_checkpointing,
        };
        for (_, gradient) in tensors(&self.gradients) {
            adamw::zero(gradient)?;
        }
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
        let copy = adapter.zeros_like()?;
        for (i, ((name, from), (_, to))) in adapter.tensors().zip(copy.tensors()).enumerate() {
            let mut values: Vec<f32> = from.flatten_all()?.to_vec1()?;
            if name.contains("lora_B") {
                let mut numbers = Sequence::new(self.seed, Purpose::Audit, i as u64);
                values.iter_mut().for_each(|x| *x += (numbers.normal() * 0.02) as f32);
            }
            overwrite(to, values)?;
        }
        Ok(copy)
    }
}
