//! DoRA: y = g ⊙ u + b with u = x Wᵀ + t Bᵀ and g = m / n, for u and y [rows, out] and b, m and n [out]. The magnitudes m
//! are trained; n are the norms of the rows of W + scale · B A, and no gradient goes through them.
//!
//! Backward: dm += Σ_rows dy ⊙ u / n and du = g ⊙ dy; what is below u is a LoRA's (`lora`, `linear`). With dropout u is made
//! of drop(x), and y = (x − drop(x)) Wᵀ + g ⊙ u + b: the part of the base that dropout takes away passes as it is.

mod composite;
mod cpu;

use candle_core::{Result, Tensor};

use crate::element::Element;
use crate::linear::{Onto, Weight};
use crate::lora::Factors;
use crate::place::Body;
use crate::scratch::Scratch;

/// Returns n: the norms of the rows of W + scale · B A, [out] in f32.
pub fn norms(weight: &Weight, factors: Factors<'_>) -> Result<Scratch> {
    match weight.body() {
        Body::Cpu => cpu::norms(weight, factors),
        Body::Composite | Body::Cuda => composite::norms(weight, factors),
    }
}

/// y = g ⊙ u on top of what `onto` says, u and y in T.
pub fn forward<T: Element>(u: &Tensor, gain: &Tensor, onto: Onto<'_>, y: &Tensor) -> Result<()> {
    match Body::of(u) {
        Body::Cpu => cpu::forward::<T>(u, gain, onto, y),
        Body::Composite | Body::Cuda => composite::forward(u, gain, onto, y),
    }
}

/// Adds the gradient of m to `dm`; returns du.
pub fn backward<T: Element>(dy: &Tensor, u: &Tensor, gain: &Tensor, norms: &Tensor, dm: &Tensor) -> Result<Scratch> {
    match Body::of(dy) {
        Body::Cpu => cpu::backward::<T>(dy, u, gain, norms, dm),
        Body::Composite | Body::Cuda => composite::backward::<T>(dy, u, gain, norms, dm),
    }
}

/// Returns x − y in their type.
pub fn difference<T: Element>(x: &Tensor, y: &Tensor) -> Result<Scratch> {
    match Body::of(x) {
        Body::Cpu => cpu::difference::<T>(x, y),
        Body::Composite | Body::Cuda => composite::difference::<T>(x, y),
    }
}
