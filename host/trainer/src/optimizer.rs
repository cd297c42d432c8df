//! The optimizer's state: two moments of every trained tensor, and how they are kept.
//!
//! `adamw` keeps both in 32 bits and rounds as torch does. `adamw_8bit` keeps tensors of 4,096 elements and more in 8
//! bits, as bitsandbytes does, but for a trained embedding: transformers and PEFT ask bitsandbytes for 32 bits there, and
//! for 8 in the output layer. The paged kinds of bitsandbytes move states to host memory when a GPU's is full. Here
//! states in 8 bits are in host memory on every device, and those in 32 bits beside their parameters, so the paged kinds
//! are their unpaged selves.

use candle_core::Tensor;

use super::{OptimizerKind, TrainingError};
use hilora_kernels::adamw::{self, AdamwStep, Rounding};
use hilora_kernels::adamw_8bit::{self, ELEMENTS_MIN, Moment8bit};
use hilora_model::ModuleToSave;

/// The two moments of one tensor.
enum Moments {
    /// In 32 bits, with torch's roundings.
    Torch(Tensor, Tensor),
    /// In 32 bits, with bitsandbytes' roundings.
    Bits32(Tensor, Tensor),
    /// In 8 bits.
    Bits8(Moment8bit, Moment8bit),
}

/// A part of the state as a checkpoint holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StateValues {
    /// Elements in 32 bits, or block maxima.
    Floats(Vec<f32>),
    /// Codes in 8 bits.
    Codes(Vec<u8>),
}

/// The state of every trained tensor.
pub(crate) struct Optimizer {
    /// In the order of the trained tensors.
    moments: Vec<(String, Moments)>,
    loraplus_lr_ratio: f64,
}

impl Optimizer {
    /// Zero moments of these tensors. The learning rate of B and of all vectors is `loraplus_lr_ratio` times that of the
    /// others, as PEFT's LoRA+ groups them.
    pub(crate) fn new(
        kind: OptimizerKind,
        loraplus_lr_ratio: f64,
        trained: &[(String, &Tensor)],
    ) -> Result<Self, TrainingError> {
        let moments = trained
            .iter()
            .map(|(name, tensor)| {
                let elements = tensor.elem_count();
                let moments = match kind {
                    OptimizerKind::Adamw => Moments::Torch(tensor.zeros_like()?, tensor.zeros_like()?),
                    OptimizerKind::Adamw8bit | OptimizerKind::PagedAdamw8bit
                        if elements >= ELEMENTS_MIN && !ModuleToSave::EmbedTokens.is_adapter_key(name) =>
                    {
                        Moments::Bits8(Moment8bit::zeros(elements), Moment8bit::zeros(elements))
                    }
                    OptimizerKind::Adamw8bit | OptimizerKind::PagedAdamw8bit | OptimizerKind::PagedAdamw32bit => {
                        Moments::Bits32(tensor.zeros_like()?, tensor.zeros_like()?)
                    }
                };
                Ok((name.clone(), moments))
            })
            .collect::<Result<_, TrainingError>>()?;
        Ok(Self { moments, loraplus_lr_ratio })
    }

    /// Updates every tensor; `trained` and `gradients` are in the order of `new`.
    pub(crate) fn step(
        &mut self,
        task: &AdamwStep,
        trained: &[(String, &Tensor)],
        gradients: &[(String, &Tensor)],
    ) -> Result<(), TrainingError> {
        for (((name, moments), (_, parameter)), (_, gradient)) in self.moments.iter_mut().zip(trained).zip(gradients) {
            let is_faster = name.contains("lora_B") || parameter.rank() == 1;
            let ratio = if is_faster { self.loraplus_lr_ratio } else { 1.0 };
            let task = AdamwStep { learning_rate: task.learning_rate * ratio, ..*task };
            match moments {
                Moments::Torch(first, second) => {
                    adamw::step(&task, Rounding::Torch, parameter, gradient, (first, second))?
                }
                Moments::Bits32(first, second) => {
                    adamw::step(&task, Rounding::Bitsandbytes, parameter, gradient, (first, second))?
                }
                Moments::Bits8(first, second) => adamw_8bit::step(&task, parameter, gradient, first, second)?,
            }
        }
        Ok(())
    }

    /// What the state takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let of = |moments: &Moments| match moments {
            Moments::Torch(first, second) | Moments::Bits32(first, second) => {
                (first.elem_count() + second.elem_count()) * 4
            }
            Moments::Bits8(first, second) => {
                [first, second].iter().map(|moment| moment.codes.len() + moment.absmax.len() * 4).sum()
            }
        };
        self.moments.iter().map(|(_, moments)| of(moments)).sum()
    }

    /// The whole state by name.
    pub(crate) fn state(&self) -> Result<Vec<(String, StateValues)>, TrainingError> {
        let mut state = Vec::new();
        for (name, moments) in &self.moments {
            match moments {
                Moments::Torch(first, second) | Moments::Bits32(first, second) => {
                    for (kind, tensor) in [("first_moment", first), ("second_moment", second)] {
                        let values = StateValues::Floats(tensor.flatten_all()?.to_vec1()?);
                        state.push((format!("{kind}.{name}"), values));
                    }
                }
                Moments::Bits8(first, second) => {
                    for (kind, moment) in [("first_moment", first), ("second_moment", second)] {
                        state.push((format!("{kind}.{name}"), StateValues::Codes(moment.codes.clone())));
                        state.push((format!("{kind}_absmax.{name}"), StateValues::Floats(moment.absmax.clone())));
                    }
                }
            }
        }
        Ok(state)
    }

    /// Takes a state over. `read` gives the values of a name; what has another length or type is refused by its name.
    pub(crate) fn restore(
        &mut self,
        read: &dyn Fn(&str) -> Result<StateValues, TrainingError>,
        refuse: &dyn Fn(String) -> TrainingError,
    ) -> Result<(), TrainingError> {
        let floats = |name: &str, length: usize| match read(name)? {
            StateValues::Floats(values) if values.len() == length => Ok(values),
            _ => Err(refuse(format!("`{name}`: expected {length} values in 32 bits"))),
        };
        let codes = |name: &str, length: usize| match read(name)? {
            StateValues::Codes(values) if values.len() == length => Ok(values),
            _ => Err(refuse(format!("`{name}`: expected {length} values in 8 bits"))),
        };
        for (name, moments) in &mut self.moments {
            match moments {
                Moments::Torch(first, second) | Moments::Bits32(first, second) => {
                    for (kind, tensor) in [("first_moment", first), ("second_moment", second)] {
                        overwrite(tensor, floats(&format!("{kind}.{name}"), tensor.elem_count())?)?;
                    }
                }
                Moments::Bits8(first, second) => {
                    for (kind, moment) in [("first_moment", first), ("second_moment", second)] {
                        let absmax = floats(&format!("{kind}_absmax.{name}"), moment.absmax.len())?;
                        *moment = Moment8bit { codes: codes(&format!("{kind}.{name}"), moment.codes.len())?, absmax };
                    }
                }
            }
        }
        Ok(())
    }
}

/// Replaces a tensor's values in place.
pub(crate) fn overwrite(tensor: &Tensor, values: Vec<f32>) -> Result<(), TrainingError> {
    let values = Tensor::from_vec(values, tensor.shape(), tensor.device())?;
    tensor.slice_set(&values, 0, 0)?;
    Ok(())
}
