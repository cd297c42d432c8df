//! SwiGLU: s = silu(g) · u with silu(g) = g · σ(g), element by element.
//!
//! Backward, in place: dg = ds · u · σ(g) · (1 + g · (1 − σ(g))) replaces g, and du = ds · silu(g) replaces u.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::launch::write;
use super::scratch::Scratch;
use super::simd::{sigmoid, vectorized};

const CHUNK: usize = 1 << 14;

vectorized! {
    fn product_of(gate: &[f32], up: &[f32], product: &mut [f32]) {
        for ((product, gate), up) in product.iter_mut().zip(gate).zip(up) {
            *product = gate * sigmoid(*gate) * up;
        }
    }
}

vectorized! {
    fn gradients_of(ds: &[f32], gate: &mut [f32], up: &mut [f32]) {
        for ((gate, up), ds) in gate.iter_mut().zip(up).zip(ds) {
            let s = sigmoid(*gate);
            let silu = *gate * s;
            (*gate, *up) = (ds * *up * (silu * (1.0 - s) + s), ds * silu);
        }
    }
}

/// Returns s.
pub(crate) fn forward(gate: &Tensor, up: &Tensor) -> Result<Scratch> {
    let product = Scratch::arbitrary(gate.shape(), gate.device())?;
    write("swiglu", [&product], [gate, up], |[product], [gate, up]| {
        (product.par_chunks_mut(CHUNK), gate.par_chunks(CHUNK), up.par_chunks(CHUNK))
            .into_par_iter()
            .for_each(|(product, gate, up)| product_of(gate, up, product));
    })?;
    Ok(product)
}

/// Replaces the gate and its other half by their gradients.
pub(crate) fn backward(ds: &Tensor, gate: &Tensor, up: &Tensor) -> Result<()> {
    write("swiglu backward", [gate, up], [ds], |[gate, up], [ds]| {
        (gate.par_chunks_mut(CHUNK), up.par_chunks_mut(CHUNK), ds.par_chunks(CHUNK))
            .into_par_iter()
            .for_each(|(gate, up, ds)| gradients_of(ds, gate, up));
    })
}
