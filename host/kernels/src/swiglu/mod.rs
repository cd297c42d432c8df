//! SwiGLU: s = silu(g) · u with silu(g) = g · σ(g), element by element.
//!
//! Backward, in place: dg = ds · u · σ(g) · (1 + g · (1 − σ(g))) replaces g, and du = ds · silu(g) replaces u.

mod composite;
mod cpu;

use candle_core::{Result, Tensor};

use crate::element::Element;
use crate::place::Body;
use crate::scratch::Scratch;

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
