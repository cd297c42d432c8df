//! GeGLU on the CPU, a chunk of elements after the other.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::{CUBIC, TWICE_ROOT};
use crate::element::Element;
use crate::launch::{launch, view};
use crate::scratch::Scratch;
use crate::simd::{sigmoid, vectorized};

const CHUNK: usize = 1 << 14;

vectorized! {
    fn product_of<T: Element>(gate: &[T], up: &[T], product: &mut [T]) {
        for ((product, gate), up) in product.iter_mut().zip(gate).zip(up) {
            let (gate, up) = (gate.widen(), up.widen());
            let s = sigmoid(gate * (TWICE_ROOT * CUBIC * gate).mul_add(gate, TWICE_ROOT));
            *product = T::narrow(gate * s * up);
        }
    }
}

vectorized! {
    fn gradients_of<T: Element>(ds: &[T], gate: &mut [T], up: &mut [T]) {
        for ((gate, up), ds) in gate.iter_mut().zip(up).zip(ds) {
            let (g, u, ds) = (gate.widen(), up.widen(), ds.widen());
            let s = sigmoid(g * (TWICE_ROOT * CUBIC * g).mul_add(g, TWICE_ROOT));
            let twice_slope = (3.0 * TWICE_ROOT * CUBIC * g).mul_add(g, TWICE_ROOT);
            let gelu = g * s;
            (*gate, *up) = (T::narrow(ds * u * (gelu * (1.0 - s)).mul_add(twice_slope, s)), T::narrow(ds * gelu));
        }
    }
}

/// Returns s.
pub(super) fn forward<T: Element>(gate: &Tensor, up: &Tensor) -> Result<Scratch> {
    let product = Scratch::of::<T>(gate.shape(), gate.device())?;
    let (gate, up) = (view::<T>("geglu", gate)?, view::<T>("geglu", up)?);
    let (gate, up) = (&*gate, &*up);
    launch::<T, 1, _>("geglu", [&product], |[product]| {
        (product.par_chunks_mut(CHUNK), gate.par_chunks(CHUNK), up.par_chunks(CHUNK))
            .into_par_iter()
            .for_each(|(product, gate, up)| product_of(gate, up, product));
    })?;
    Ok(product)
}

/// Replaces the gate and its other half by their gradients.
pub(super) fn backward<T: Element>(ds: &Tensor, gate: &Tensor, up: &Tensor) -> Result<()> {
    let ds = view::<T>("geglu backward", ds)?;
    launch::<T, 2, _>("geglu backward", [gate, up], |[gate, up]| {
        (gate.par_chunks_mut(CHUNK), up.par_chunks_mut(CHUNK), ds.par_chunks(CHUNK))
            .into_par_iter()
            .for_each(|(gate, up, ds)| gradients_of(ds, gate, up));
    })
}
