//! A linear layer of a block with its adapter beside it, forward and backward.
//!
//! The base is never merged with the adapter: what is trained and evaluated is what would be served.

use candle_core::{Result, Tensor};

use super::{AdapterModule, Projection};
use hilora_kernels::element::Element;
use hilora_kernels::linear::{self, Onto, Prepared, Weight};
use hilora_kernels::lora::{self, Dropout, Factors, Inner, PreparedFactors};
use hilora_kernels::scratch::Scratch;

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
    pub(crate) dropout: Option<Dropout>,
}

impl<'a> Update<'a> {
    fn factors(&self) -> Factors<'a> {
        Factors { a: &self.module.a, b: &self.module.b, scale: self.module.scale }
    }

    /// t = scale · drop(x) Aᵀ.
    pub(crate) fn inner_product<T: Element>(&self, x: &Tensor) -> Result<Scratch> {
        lora::inner::<T>(x, self.factors(), self.dropout.as_ref())
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

/// The gradient of a layer's input.
#[derive(Clone, Copy)]
pub(crate) enum InputGradient<'a> {
    /// In the type of activations, written.
    Written(&'a Tensor),
    /// In f32: the sum over all layers that have the same input, of which the first writes and the others add.
    Summed { dx: &'a Tensor, accumulate: bool },
}

/// What forward leaves for backward: t of the adapter.
pub(crate) type Saved = Option<Scratch>;

impl Linear {
    /// y = x Wᵀ + b + update, x and y in T.
    pub(crate) fn forward<T: Element>(&self, x: &Tensor, update: Option<Update<'_>>) -> Result<(Scratch, Saved)> {
        let y = Scratch::of::<T>((x.dims2()?.0, self.weight.dims()?.0), x.device())?;
        let onto = self.bias.as_ref().map_or(Onto::Nothing, Onto::Bias);
        let saved = self.products::<T, T>(x, update, onto, &y)?;
        Ok((y, saved))
    }

    /// y += x Wᵀ + update, x in T, y in f32.
    pub(crate) fn forward_onto<T: Element>(&self, x: &Tensor, update: Option<Update<'_>>, y: &Tensor) -> Result<Saved> {
        self.products::<T, f32>(x, update, Onto::Existing, y)
    }

    fn products<T: Element, Y: Element>(
        &self,
        x: &Tensor,
        update: Option<Update<'_>>,
        onto: Onto<'_>,
        y: &Tensor,
    ) -> Result<Saved> {
        let saved = update.map(|update| update.inner_product::<T>(x)).transpose()?;
        let inner = update.zip(saved.as_deref()).map(|(update, t)| Inner::new(update.factors(), t));
        linear::forward::<T, Y>(x, &self.weight, inner.as_ref(), onto, y)?;
        Ok(saved)
    }

    /// Adds gradients where `gradients` says, and to `dx` (or writes it) if it is given; dy and x are in T.
    pub(crate) fn backward<T: Element>(
        &self,
        dy: &Tensor,
        x: &Tensor,
        saved: &Saved,
        gradients: LinearGradients<'_>,
        dx: Option<InputGradient<'_>>,
    ) -> Result<()> {
        let mut inner_gradient = None;
        match (gradients, saved) {
            (LinearGradients::Update(update, into), Some(t)) => {
                let into = (&into.a, &into.b);
                let dt = lora::backward::<T>(dy, x, t, update.factors(), update.dropout.as_ref(), into)?;
                inner_gradient = Some((update, dt));
            }
            (LinearGradients::Weight(into), _) => {
                if let Weight::F32(dw) = &into.weight {
                    linear::backward_weight::<T>(dy, x, 1.0, dw)?;
                }
                if let Some(db) = &into.bias {
                    linear::backward_bias::<T>(dy, db)?;
                }
            }
            _ => {}
        }
        let inner = inner_gradient.as_ref().map(|(update, dt)| (Inner::new(update.factors(), dt), update.dropout));
        match dx {
            None => Ok(()),
            Some(InputGradient::Written(dx)) => self.backward_input::<T, T>(dy, inner, dx, false),
            Some(InputGradient::Summed { dx, accumulate }) => self.backward_input::<T, f32>(dy, inner, dx, accumulate),
        }
    }

    fn backward_input<T: Element, X: Element>(
        &self,
        dy: &Tensor,
        inner: Option<(Inner<'_>, Option<Dropout>)>,
        dx: &Tensor,
        accumulate: bool,
    ) -> Result<()> {
        match inner {
            None => linear::backward::<T, X>(dy, &self.weight, None, dx, accumulate),
            Some((inner, None)) => linear::backward::<T, X>(dy, &self.weight, Some(&inner), dx, accumulate),
            Some((inner, Some(dropout))) => {
                linear::backward::<T, X>(dy, &self.weight, None, dx, accumulate)?;
                lora::backward_dropped::<T, X>(&inner, &dropout, dx)
            }
        }
    }

    /// The layer made ready for many small products; its weight is widened for good with `widen`.
    pub(crate) fn prepare<'a>(&'a self, update: Option<Update<'a>>, widen: bool) -> Result<PreparedLinear<'a>> {
        let update = update.map(|update| PreparedFactors::new(update.factors())).transpose()?;
        Ok(PreparedLinear { linear: self, weight: self.weight.prepared(widen)?, update })
    }
}

/// A layer for decoding in f32.
pub(crate) struct PreparedLinear<'a> {
    linear: &'a Linear,
    weight: Prepared<'a>,
    update: Option<PreparedFactors<'a>>,
}

impl PreparedLinear<'_> {
    /// Whether it has a bias, which is not added onto what is there already.
    pub(crate) fn has_bias(&self) -> bool {
        self.linear.bias.is_some()
    }

    /// y = x Wᵀ + b + update, or y += … if `onto` is given, in f32.
    pub(crate) fn forward(&self, x: &Tensor, onto: Option<Scratch>) -> Result<Scratch> {
        let bias = self.linear.bias.as_ref();
        let (y, onto) = match onto {
            Some(y) => (y, Onto::Existing),
            None => {
                let y = Scratch::arbitrary((x.dims2()?.0, self.linear.weight.dims()?.0), x.device())?;
                (y, bias.map_or(Onto::Nothing, Onto::Bias))
            }
        };
        linear::forward_prepared(x, &self.weight, onto, &y)?;
        if let Some(update) = &self.update {
            update.forward(x, &y)?;
        }
        Ok(y)
    }
}

/// The layers of a block by projection.
pub(crate) type Linears = [Option<Linear>; Projection::ALL.len()];
