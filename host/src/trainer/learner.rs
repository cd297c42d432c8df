//! A learner: a model, the tensors of it that are trained, and their optimizer state. It takes optimizer steps; which
//! samples make a step, at which learning rate, is decided outside.

use candle_core::Tensor;

use super::batches::pack;
use super::{TrainingError, TrainingSample};
use crate::kernels::adamw::{self, AdamwStep};
use crate::kernels::in_pool;
use crate::kernels::philox::{Purpose, Sequence};
use crate::model::{Adapter, DropoutKey, Gradients, LoraConfig, Model, PackedDocuments, TrainingPass, Weights};

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
    first_moments: Gradients,
    second_moments: Gradients,
    seed: u64,
    step: usize,
    micro_batch: u32,
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
        let zeros = || Ok::<_, TrainingError>(Gradients::Adapter(adapter.zeros_like()?));
        let (gradients, first_moments, second_moments) = (zeros()?, zeros()?, zeros()?);
        let adapter = Some(adapter);
        Ok(Self { model, adapter, gradients, first_moments, second_moments, seed, step: 0, micro_batch: 0 })
    }

    /// A learner of all weights, which must be in f32.
    pub fn full(model: Model, seed: u64) -> Result<Self, TrainingError> {
        let zeros = || Ok::<_, TrainingError>(Gradients::Full(Box::new(Weights::zeros(model.config())?)));
        let (gradients, first_moments, second_moments) = (zeros()?, zeros()?, zeros()?);
        Ok(Self { model, adapter: None, gradients, first_moments, second_moments, seed, step: 0, micro_batch: 0 })
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
        match &self.adapter {
            Some(adapter) => adapter.tensors().collect(),
            None => self.model.weights.tensors(),
        }
    }

    /// The optimizer's two moments of every trained tensor.
    pub(crate) fn moments(&self) -> [Vec<(String, &Tensor)>; 2] {
        [tensors(&self.first_moments), tensors(&self.second_moments)]
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
        let packed: Vec<_> = batches.iter().map(|batch| pack(batch.iter())).collect();
        self.step_packed(&packed, options)
    }

    /// One optimizer step over packed micro-batches, on the pool's threads.
    pub(crate) fn step_packed(
        &mut self,
        batches: &[PackedDocuments],
        options: &StepOptions,
    ) -> Result<StepNumbers, TrainingError> {
        in_pool(|| self.step_here(batches, options))
    }

    /// One optimizer step: the loss is the mean over all targets of all micro-batches together.
    fn step_here(&mut self, batches: &[PackedDocuments], options: &StepOptions) -> Result<StepNumbers, TrainingError> {
        let target_tokens: usize = batches.iter().map(|batch| batch.targets.len()).sum();
        let tokens = batches.iter().map(|batch| batch.tokens.len()).sum();
        self.step += 1;
        let not_finite = |what: String, value: f64| TrainingError::NotFinite { step: self.step, what, value };
        let gradients = tensors(&self.gradients);
        for (_, gradient) in &gradients {
            adamw::zero(gradient)?;
        }
        let mut loss = 0.0;
        for batch in batches {
            let how = TrainingPass {
                scale: (1.0 / target_tokens as f64) as f32,
                dropout: Some(DropoutKey { seed: self.seed, micro_batch: self.micro_batch }),
                checkpointing: options.gradient_checkpointing,
            };
            loss += self.model.forward_backward(batch, self.adapter.as_ref(), how, &self.gradients)?;
            self.micro_batch += 1;
        }
        loss /= target_tokens as f64;
        if !loss.is_finite() {
            return Err(not_finite("the loss".to_owned(), loss));
        }
        let mut squares = 0.0;
        for (name, gradient) in &gradients {
            let square = adamw::sum_of_squares(gradient)?;
            if !square.is_finite() {
                return Err(not_finite(format!("the gradient's norm of `{name}`"), square.sqrt()));
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
        let (first, second) = (tensors(&self.first_moments), tensors(&self.second_moments));
        for ((((_, parameter), (_, gradient)), (_, first)), (_, second)) in
            self.trained().into_iter().zip(gradients).zip(first).zip(second)
        {
            adamw::step(&update, parameter, gradient, first, second)?;
        }
        Ok(StepNumbers { loss, gradient_norm, tokens, target_tokens })
    }

    /// Fails unless a gradient reaches every trained tensor. B is zero in a new adapter and then A's gradient is zero
    /// by arithmetic, so the audit looks at a copy of the adapter whose B is not.
    pub(crate) fn audit(&self, batch: &PackedDocuments) -> Result<(), TrainingError> {
        let perturbed = self.adapter.as_ref().map(|adapter| self.perturbed(adapter)).transpose()?;
        let how = TrainingPass { scale: 1.0 / batch.targets.len() as f32, dropout: None, checkpointing: false };
        for (_, gradient) in tensors(&self.gradients) {
            adamw::zero(gradient)?;
        }
        self.model.forward_backward(batch, perturbed.as_ref(), how, &self.gradients)?;
        for (tensor, gradient) in tensors(&self.gradients) {
            let square = adamw::sum_of_squares(gradient)?;
            if square == 0.0 {
                return Err(TrainingError::NoGradient { tensor });
            }
            if !square.is_finite() {
                let what = format!("the gradient's norm of `{tensor}`");
                return Err(TrainingError::NotFinite { step: 0, what, value: square.sqrt() });
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

/// Replaces a tensor's values in place.
pub(crate) fn overwrite(tensor: &Tensor, values: Vec<f32>) -> Result<(), TrainingError> {
    let values = Tensor::from_vec(values, tensor.shape(), tensor.device())?;
    tensor.slice_set(&values, 0, 0)?;
    Ok(())
}
