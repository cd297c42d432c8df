//! A gated linear unit: s = f(g) · u, element by element. f is x · σ(c(x)) for both functions: of SiLU (SwiGLU) c(x) is x, and
//! of the GELU that is written with a hyperbolic tangent (GeGLU) c(x) is 2 z, because
//! gelu(x) = x · ½ (1 + tanh z) with z = √(2 / π) · (x + 0.044715 x³).
//!
//! Backward, in place, with σ = σ(c(g)): dg = ds · u · (σ + f(g) · (1 − σ) · c′(g)) replaces g, where c′(x) is 1 or
//! 2 √(2 / π) · (1 + 3 · 0.044715 x²), and du = ds · f(g) replaces u.

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

/// The function in a feed-forward network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x · σ(x).
    Silu,
    /// The GELU that is written with a hyperbolic tangent.
    GeluTanh,
}

impl Activation {
    /// Its name in transformers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silu => "silu",
            Self::GeluTanh => "gelu_pytorch_tanh",
        }
    }

    /// Returns s.
    pub fn forward<T: Element>(self, gate: &Tensor, up: &Tensor) -> Result<Scratch> {
        match Body::of(gate) {
            Body::Cpu => cpu::forward::<T>(self, gate, up),
            Body::Composite | Body::Cuda => composite::forward(self, gate, up),
        }
    }

    /// Replaces the gate and its other half by their gradients.
    pub fn backward<T: Element>(self, ds: &Tensor, gate: &Tensor, up: &Tensor) -> Result<()> {
        match Body::of(gate) {
            Body::Cpu => cpu::backward::<T>(self, ds, gate, up),
            Body::Composite | Body::Cuda => composite::backward(self, ds, gate, up),
        }
    }
}
