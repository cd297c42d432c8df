//! Gated linear units on the CPU, a chunk of elements after the other.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::{Activation, CUBIC, TWICE_ROOT};
use crate::element::Element;
use crate::launch::{launch, view};
use crate::scratch::Scratch;
use crate::simd::{sigmoid, vectorized};

const CHUNK: usize = 1 << 14;

/// x · σ(c(x)), as a type: the loops are compiled for each.
trait Function {
    /// σ(c(x)).
    fn sigmoid(x: f32) -> f32;

    /// Its derivative from x, σ(c(x)) and its value.
    fn slope(x: f32, s: f32, value: f32) -> f32;
}

struct Silu;

impl Function for Silu {
    #[inline(always)]
    fn sigmoid(x: f32) -> f32 {
        sigmoid(x)
    }

    #[inline(always)]
    fn slope(_x: f32, s: f32, value: f32) -> f32 {
        value * (1.0 - s) + s
    }
}

struct GeluTanh;

impl Function for GeluTanh {
    #[inline(always)]
    fn sigmoid(x: f32) -> f32 {
        sigmoid(x * (TWICE_ROOT * CUBIC * x).mul_add(x, TWICE_ROOT))
    }

    #[inline(always)]
    fn slope(x: f32, s: f32, value: f32) -> f32 {
        let twice_slope = (3.0 * TWICE_ROOT * CUBIC * x).mul_add(x, TWICE_ROOT);
        (value * (1.0 - s)).mul_add(twice_slope, s)
    }
}

vectorized! {
    fn product_of<T: Element, F: Function>(gate: &[T], up: &[T], product: &mut [T]) {
        for ((product, gate), up) in product.iter_mut().zip(gate).zip(up) {
            let (gate, up) = (gate.widen(), up.widen());
            *product = T::narrow(gate * F::sigmoid(gate) * up);
        }
    }
}

vectorized! {
    fn gradients_of<T: Element, F: Function>(ds: &[T], gate: &mut [T], up: &mut [T]) {
        for ((gate, up), ds) in gate.iter_mut().zip(up).zip(ds) {
            let (g, u, ds) = (gate.widen(), up.widen(), ds.widen());
            let s = F::sigmoid(g);
            let value = g * s;
            (*gate, *up) = (T::narrow(ds * u * F::slope(g, s, value)), T::narrow(ds * value));
        }
    }
}

/// Returns s.
pub(super) fn forward<T: Element>(activation: Activation, gate: &Tensor, up: &Tensor) -> Result<Scratch> {
    let product_of = match activation {
        Activation::Silu => product_of::<T, Silu>,
        Activation::GeluTanh => product_of::<T, GeluTanh>,
    };
    let product = Scratch::of::<T>(gate.shape(), gate.device())?;
    let (gate, up) = (view::<T>(activation.name(), gate)?, view::<T>(activation.name(), up)?);
    let (gate, up) = (&*gate, &*up);
    launch::<T, 1, _>(activation.name(), [&product], |[product]| {
        (product.par_chunks_mut(CHUNK), gate.par_chunks(CHUNK), up.par_chunks(CHUNK))
            .into_par_iter()
            .for_each(|(product, gate, up)| product_of(gate, up, product));
    })?;
    Ok(product)
}

/// Replaces the gate and its other half by their gradients.
pub(super) fn backward<T: Element>(activation: Activation, ds: &Tensor, gate: &Tensor, up: &Tensor) -> Result<()> {
    let gradients_of = match activation {
        Activation::Silu => gradients_of::<T, Silu>,
        Activation::GeluTanh => gradients_of::<T, GeluTanh>,
    };
    let ds = view::<T>(activation.name(), ds)?;
    launch::<T, 2, _>(activation.name(), [gate, up], |[gate, up]| {
        (gate.par_chunks_mut(CHUNK), up.par_chunks_mut(CHUNK), ds.par_chunks(CHUNK))
            .into_par_iter()
            .for_each(|(gate, up, ds)| gradients_of(ds, gate, up));
    })
}
