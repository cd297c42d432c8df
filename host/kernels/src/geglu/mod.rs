//! GeGLU: s = gelu(g) · u, element by element, with the GELU that is written with a hyperbolic tangent:
//! gelu(g) = g · ½ (1 + tanh z) = g · σ(2 z), where z = √(2 / π) · (g + 0.044715 g³).
//!
//! Backward, in place, with σ = σ(2 z): dg = ds · u · (σ + g · σ (1 − σ) · 2 z′) replaces g, where
//! z′ = √(2 / π) · (1 + 3 · 0.044715 g²), and du = ds · gelu(g) replaces u.

mod composite;
mod cpu;

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

use candle_core::{Result, Tensor};

use crate::element::Element;
use crate::place::Body;
use crate::scratch::Scratch;

/// 2 √(2 / π).
const TWICE_ROOT: f32 = (FRAC_2_SQRT_PI * SQRT_2) as f32;
const CUBIC: f32 = 0.044_715;

/// Returns s.
pub fn forward<T: Element>(gate: &Tensor, up: &Tensor) -> Result<Scratch> {
    match Body::of(gate) {
        Body::Cpu => cpu::forward::<T>(gate, up),
        Body::Composite | Body::Cuda => composite::forward(gate, up),
    }
}

/// Replaces the gate and its other half by their gradients.
pub fn backward<T: Element>(ds: &Tensor, gate: &Tensor, up: &Tensor) -> Result<()> {
    match Body::of(gate) {
        Body::Cpu => cpu::backward::<T>(ds, gate, up),
        Body::Composite | Body::Cuda => composite::backward(ds, gate, up),
    }
}
