//! A linear layer of a block with its adapter beside it, forward and backward.
//!
//! The base is never merged with the adapter: what is trained and evaluated is what would be served.
//!
//! With magnitudes (DoRA) the layer is y = g ⊙ u + b, where u is the product of base and update (`kernels/dora`). Forward
//! keeps u, because the gradient of the magnitudes asks for it.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};

use super::{AdapterModule, Projection};
use hilora_kernels::element::Element;
use hilora_kernels::linear::{self, Onto, Weight};
use hilora_kernels::lora::{self, Dropout, Factors, Inner, PreparedFactors};
use hilora_kernels::scratch::Scratch;
use hilora_kernels::{dora, residual};

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
        self.module.factors()
    }

    /// t = scale · drop(x) Aᵀ.
    pub(crate) fn inner_product<T: Element>(&self, x: &Tensor) -> Result<Scratch> {
        lora::inner::<T>(x, self.factors(), self.dropout.as_ref())
    }

    /// t, ready to be multiplied by B.
    pub(crate) fn inner(&self, t: &'a Tensor) -> Inner<'a> {
        Inner::new(self.factors(), t)
    }

    /// Whether it is more than the product of its factors.
    fn is_plain(&self) -> bool {
        self.module.magnitude.is_none() && self.module.bias.is_none()
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

/// What forward leaves for backward: of a layer with an update, t, and what a DoRA needs beside it.
#[derive(Default)]
pub(crate) struct Saved {
    t: Option<Scratch>,
    dora: Option<SavedDora>,
}

/// What the backward pass of a DoRA needs.
struct SavedDora {
    /// The product of base and update.
    u: Scratch,
    /// The norms of the rows of both weights together.
    norms: Scratch,
    /// The magnitudes by the norms.
    gain: Tensor,
}

impl Linear {
    /// The bias of a layer with an update that may have one, too.
    fn bias_with(&self, update: Option<Update<'_>>) -> Result<Option<Tensor>> {
        let of_update = update.and_then(|update| Some((update.module.bias.as_ref()?, update.module.scale)));
        Ok(match (&self.bias, of_update) {
            (bias, None) => bias.clone(),
            (None, Some((bias, scale))) => Some((bias * f64::from(scale))?),
            (Some(base), Some((bias, scale))) => Some((base + (bias * f64::from(scale))?)?),
        })
    }

    /// Whether a layer's result is added onto another as it is computed.
    pub(crate) fn is_added(&self, update: Option<&Update<'_>>) -> bool {
        self.bias.is_none() && update.is_none_or(Update::is_plain)
    }

    /// y = x Wᵀ + b + update, x and y in T.
    pub(crate) fn forward<T: Element>(&self, x: &Tensor, update: Option<Update<'_>>) -> Result<(Scratch, Saved)> {
        let y = Scratch::of::<T>((x.dims2()?.0, self.weight.dims()?.0), x.device())?;
        let bias = self.bias_with(update)?;
        let onto = bias.as_ref().map_or(Onto::Nothing, Onto::Bias);
        if let Some((update, magnitude)) = update.and_then(|update| Some((update, update.module.magnitude.as_ref()?))) {
            let saved = self.directions::<T>(x, update, magnitude)?;
            if let Some(dora) = &saved.dora {
                match update.dropout {
                    None => dora::forward::<T>(&dora.u, &dora.gain, onto, &y)?,
                    Some(dropout) => {
                        let passed = dora::difference::<T>(x, &*lora::dropped::<T>(x, &dropout)?)?;
                        linear::forward::<T, T>(&passed, &self.weight, None, onto, &y)?;
                        dora::forward::<T>(&dora.u, &dora.gain, Onto::Existing, &y)?;
                    }
                }
            }
            return Ok((y, saved));
        }
        let saved = self.products::<T, T>(x, update, onto, &y)?;
        Ok((y, saved))
    }

    /// y += x Wᵀ + update, x in T, y in f32, for a layer that `is_added`.
    pub(crate) fn forward_onto<T: Element>(&self, x: &Tensor, update: Option<Update<'_>>, y: &Tensor) -> Result<Saved> {
        self.products::<T, f32>(x, update, Onto::Existing, y)
    }

    /// What `forward` leaves for backward, without its result.
    pub(crate) fn saved_of<T: Element>(&self, x: &Tensor, update: Update<'_>) -> Result<Saved> {
        match &update.module.magnitude {
            Some(magnitude) => self.directions::<T>(x, update, magnitude),
            None => Ok(Saved { t: Some(update.inner_product::<T>(x)?), dora: None }),
        }
    }

    /// u = drop(x) Wᵀ + t Bᵀ, and the norms that the magnitudes are divided by.
    fn directions<T: Element>(&self, x: &Tensor, update: Update<'_>, magnitude: &Tensor) -> Result<Saved> {
        let t = update.inner_product::<T>(x)?;
        let norms = dora::norms(&self.weight, update.factors())?;
        let gain = (magnitude / &*norms)?;
        let dropped = update.dropout.map(|dropout| lora::dropped::<T>(x, &dropout)).transpose()?;
        let u = Scratch::of::<T>((x.dims2()?.0, self.weight.dims()?.0), x.device())?;
        let x = dropped.as_deref().unwrap_or(x);
        linear::forward::<T, T>(x, &self.weight, Some(&Inner::new(update.factors(), &t)), Onto::Nothing, &u)?;
        Ok(Saved { t: Some(t), dora: Some(SavedDora { u, norms, gain }) })
    }

    fn products<T: Element, Y: Element>(
        &self,
        x: &Tensor,
        update: Option<Update<'_>>,
        onto: Onto<'_>,
        y: &Tensor,
    ) -> Result<Saved> {
        let t = update.map(|update| update.inner_product::<T>(x)).transpose()?;
        let inner = update.zip(t.as_deref()).map(|(update, t)| Inner::new(update.factors(), t));
        linear::forward::<T, Y>(x, &self.weight, inner.as_ref(), onto, y)?;
        Ok(Saved { t, dora: None })
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
        let (mut inner_gradient, mut du) = (None, None);
        match (gradients, &saved.t) {
            (LinearGradients::Update(update, into), Some(t)) => {
                if let (Some(bias), scale) = (&into.bias, update.module.scale) {
                    let sums = Scratch::zeros::<f32>(bias.shape(), bias.device())?;
                    linear::backward_bias::<T>(dy, &sums)?;
                    residual::forward::<f32>(&sums, scale, bias)?;
                }
                if let (Some(SavedDora { u, norms, gain }), Some(dm)) = (&saved.dora, &into.magnitude) {
                    du = Some(dora::backward::<T>(dy, u, gain, norms, dm)?);
                }
                let (dy, into) = (du.as_deref().unwrap_or(dy), (&into.a, &into.b));
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
            Some(InputGradient::Written(dx)) => self.backward_input::<T, T>(dy, du.as_deref(), inner, dx, false),
            Some(InputGradient::Summed { dx, accumulate }) => {
                self.backward_input::<T, f32>(dy, du.as_deref(), inner, dx, accumulate)
            }
        }
    }

    /// `du` is the gradient of a DoRA's u.
    fn backward_input<T: Element, X: Element>(
        &self,
        dy: &Tensor,
        du: Option<&Tensor>,
        inner: Option<(Inner<'_>, Option<Dropout>)>,
        dx: &Tensor,
        accumulate: bool,
    ) -> Result<()> {
        match inner {
            None => linear::backward::<T, X>(dy, &self.weight, None, dx, accumulate),
            Some((inner, None)) => {
                linear::backward::<T, X>(du.unwrap_or(dy), &self.weight, Some(&inner), dx, accumulate)
            }
            Some((inner, Some(dropout))) if du.is_some() => {
                let through = dora::difference::<T>(du.unwrap_or(dy), dy)?;
                let before = Scratch::arbitrary(dx.shape(), dx.device())?;
                linear::backward::<T, f32>(&through, &self.weight, Some(&inner), &before, false)?;
                linear::backward::<T, X>(dy, &self.weight, None, dx, accumulate)?;
                lora::add_dropped::<X>(&before, &dropout, dx)
            }
            Some((inner, Some(dropout))) => {
                linear::backward::<T, X>(dy, &self.weight, None, dx, accumulate)?;
                lora::backward_dropped::<T, X>(&inner, &dropout, dx)
            }
        }
    }

    /// An update of the layer made ready for many passes.
    pub(crate) fn prepare<'a, T: Element>(&self, update: Update<'a>) -> Result<PreparedUpdate<'a, T>> {
        let gain = |magnitude: &Tensor| magnitude / &*dora::norms(&self.weight, update.factors())?;
        Ok(PreparedUpdate {
            factors: PreparedFactors::new(update.factors())?,
            bias: self.bias_with(Some(update))?,
            gain: update.module.magnitude.as_ref().map(gain).transpose()?,
            plain: update.is_plain(),
        })
    }

    /// Whether a layer's result is added onto another as it is computed.
    pub(crate) fn is_added_with<T>(&self, update: Option<&PreparedUpdate<'_, T>>) -> bool {
        self.bias.is_none() && update.is_none_or(|update| update.plain)
    }

    /// y = x Wᵀ + b + update, x and y in T, for groups of rows that follow one another, each with an update of its own or
    /// none. The product of the base is one; every row has the bits that `forward` gives it.
    pub(crate) fn forward_groups<T: Element>(&self, x: &Tensor, groups: &[UpdatedRows<'_, T>]) -> Result<Scratch> {
        if groups.iter().all(|(_, update)| update.is_none()) {
            return Ok(self.forward::<T>(x, None)?.0);
        }
        let (rows, outputs) = (x.dims2()?.0, self.weight.dims()?.0);
        let sums = Scratch::arbitrary((rows, outputs), x.device())?;
        if groups.iter().all(|(_, update)| update.is_none_or(|update| update.plain)) {
            linear::forward::<T, f32>(
                x,
                &self.weight,
                None,
                self.bias.as_ref().map_or(Onto::Nothing, Onto::Bias),
                &sums,
            )?;
        } else {
            for (rows, update) in groups {
                let bias = match update {
                    None => self.bias.as_ref(),
                    Some(update) if update.gain.is_some() => None,
                    Some(update) => update.bias.as_ref(),
                };
                let start = match bias {
                    Some(bias) => bias.broadcast_as((rows.len(), outputs))?.contiguous()?,
                    None => Tensor::zeros((rows.len(), outputs), DType::F32, x.device())?,
                };
                sums.slice_set(&start, 0, rows.start)?;
            }
            linear::forward::<T, f32>(x, &self.weight, None, Onto::Existing, &sums)?;
        }
        add_updates(x, &sums, groups)?;
        let y = if T::DTYPE == DType::F32 { sums } else { Scratch::converted::<f32, T>(&sums)? };
        for (rows, update) in groups {
            if let Some((gain, bias)) = update.and_then(|update| Some((update.gain.as_ref()?, update.bias.as_ref()))) {
                let y = y.narrow(0, rows.start, rows.len())?;
                let u = Scratch::converted::<T, T>(&y)?;
                dora::forward::<T>(&u, gain, bias.map_or(Onto::Nothing, Onto::Bias), &y)?;
            }
        }
        Ok(y)
    }
}

/// Rows that follow one another, and the update that they have.
pub(crate) type UpdatedRows<'u, T> = (Range<usize>, Option<&'u PreparedUpdate<'u, T>>);

/// y += the update of x for each group of rows, before anything is rounded.
pub(crate) fn add_updates<T: Element>(x: &Tensor, y: &Tensor, groups: &[UpdatedRows<'_, T>]) -> Result<()> {
    for (rows, update) in groups {
        if let Some(update) = update {
            update.add(&x.narrow(0, rows.start, rows.len())?, &y.narrow(0, rows.start, rows.len())?)?;
        }
    }
    Ok(())
}

/// An update of a layer, ready for many passes.
pub(crate) struct PreparedUpdate<'a, T> {
    factors: PreparedFactors<'a, T>,
    /// The layer's and the update's.
    bias: Option<Tensor>,
    /// What a DoRA multiplies the products with.
    gain: Option<Tensor>,
    /// Whether it is no more than the product of its factors.
    plain: bool,
}

impl<T: Element> PreparedUpdate<'_, T> {
    /// y += scale · (x Aᵀ) Bᵀ, in f32 for x in T.
    pub(crate) fn add(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        self.factors.forward(x, y)
    }
}

/// The layers of a block by projection.
pub(crate) type Linears = [Option<Linear>; Projection::ALL.len()];
