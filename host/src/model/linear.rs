//! A linear layer of a block with its adapter beside it, forward and backward.
//!
//! The base is never merged with the adapter: what is trained and evaluated is what would be served.

use candle_core::{Result, Tensor};

use super::{AdapterModule, Projection};
use crate::kernels::linear::{self, Onto, Weight};
use crate::kernels::lora::{self, Dropout, Factors, PackedFactors};
use crate::kernels::matmul::Packed;
use crate::kernels::scratch::Scratch;

/// A weight and its bias.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) weight: Weight,
    pub(crate) bias: Option<Tensor>,
}

/// The adapter's part of a layer in one training step.
#[derive(Clone, Copy)]
pub(crate) struct Update<'a> {
    pub(crate) module: &'a AdapterModule,
    pub(crate) scale: f32,
    pub(crate) dropout: Option<Dropout>,
}

impl Update<'_> {
    fn factors(&self) -> Factors<'_> {
        Factors { a: &self.module.a, b: &self.module.b, scale: self.scale }
    }

    /// t = drop(x) Aᵀ.
    pub(crate) fn inner_product(&self, x: &Tensor) -> Result<Scratch> {
        lora::inner(x, self.factors(), self.dropout.as_ref())
    }
}

/// Where a layer's gradients are added.
#[derive(Clone, Copy)]
pub(crate) enum LinearGradients<'a> {
    /// To nothing: neither weight nor adapter is trained.
    None,
    /// To the adapter's factors.
    Update(Update<'a>, &'a AdapterModule),
    /// To weight and bias.
    Weight(&'a Linear),
}

/// What forward leaves for backward: t of the adapter.
pub(crate) type Saved = Option<Scratch>;

impl Linear {
    /// y = x Wᵀ + b + update, or y += … where `onto` is given.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        update: Option<Update<'_>>,
        onto: Option<Scratch>,
    ) -> Result<(Scratch, Saved)> {
        let packed = self.weight.packed_transposed()?;
        let y = self.base_forward(x, &packed, onto)?;
        let saved = update.map(|u| lora::forward(x, u.factors(), u.dropout.as_ref(), &y)).transpose()?;
        Ok((y, saved))
    }

    fn base_forward(&self, x: &Tensor, packed: &Packed, onto: Option<Scratch>) -> Result<Scratch> {
        match onto {
            Some(y) => {
                linear::forward(x, packed, Onto::Existing, &y)?;
                Ok(y)
            }
            None => {
                let y = Scratch::arbitrary((x.dims2()?.0, self.weight.dims()?.0), x.device())?;
                linear::forward(x, packed, self.bias.as_ref().map_or(Onto::Nothing, Onto::Bias), &y)?;
                Ok(y)
            }
        }
    }

    /// Adds gradients where `gradients` says, and to `dx` (or writes it, unless `accumulate`) where it is given.
    pub(crate) fn backward(
        &self,
        dy: &Tensor,
        x: &Tensor,
        saved: &Saved,
        gradients: LinearGradients<'_>,
        dx: Option<(&Tensor, bool)>,
    ) -> Result<()> {
        if let Some((dx, accumulate)) = dx {
            linear::backward(dy, &self.weight, dx, accumulate)?;
        }
        match (gradients, saved) {
            (LinearGradients::Update(update, into), Some(t)) => {
                let into = (&into.a, &into.b);
                lora::backward(dy, x, t, update.factors(), update.dropout.as_ref(), into, dx.map(|(dx, _)| dx))?;
            }
            (LinearGradients::Weight(into), _) => {
                if let Weight::F32(dw) = &into.weight {
                    linear::backward_weight(dy, x, 1.0, dw)?;
                }
                if let Some(db) = &into.bias {
                    linear::backward_bias(dy, db)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The layer packed for many small products.
    pub(crate) fn prepare(&self, update: Option<Update<'_>>) -> Result<PreparedLinear<'_>> {
        let update = update.map(|update| PackedFactors::new(update.factors())).transpose()?;
        Ok(PreparedLinear { linear: self, packed: self.weight.packed_transposed()?, update })
    }
}

/// A layer whose weights are widened and packed once, for decoding.
pub(crate) struct PreparedLinear<'a> {
    linear: &'a Linear,
    packed: Packed,
    update: Option<PackedFactors>,
}

impl PreparedLinear<'_> {
    /// y = x Wᵀ + b + update, or y += … where `onto` is given.
    pub(crate) fn forward(&self, x: &Tensor, onto: Option<Scratch>) -> Result<Scratch> {
        let y = self.linear.base_forward(x, &self.packed, onto)?;
        if let Some(update) = &self.update {
            update.forward(x, &y)?;
        }
        Ok(y)
    }
}

/// The seven layers of a block by projection.
pub(crate) type Linears = [Linear; Projection::ALL.len()];
