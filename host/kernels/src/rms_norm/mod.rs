//! Root-mean-square normalization: y = x · rstd · w with rstd = 1 / sqrt(mean(x²) + eps), row by row, or head by head
//! if w is as wide as one of several heads in a row.
//!
//! x, y [rows, heads · width]; w [width]; rstd [rows · heads] is saved. Backward, with g = w · dy:
//! dx += rstd · g − x · rstd³ / width · Σ(g · x), dw += Σ_rows dy · x · rstd.

mod composite;
mod cpu;

use candle_core::{Result, Tensor};

use crate::element::Element;
use crate::place::Body;
use crate::scratch::Scratch;

/// Returns (y, rstd).
pub fn forward<X: Element, Y: Element>(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<(Scratch, Scratch)> {
    match Body::of(x) {
        Body::Cpu => cpu::forward::<X, Y>(x, weight, epsilon),
        Body::Composite | Body::Cuda => composite::forward::<Y>(x, weight, epsilon),
    }
}

/// Adds the gradient of the input to `dx`.
pub fn backward<T: Element>(dy: &Tensor, x: &Tensor, weight: &Tensor, rstd: &Tensor, dx: &Tensor) -> Result<()> {
    match Body::of(x) {
        Body::Cpu => cpu::backward::<T>(dy, x, weight, rstd, dx),
        Body::Composite | Body::Cuda => composite::backward(dy, x, weight, rstd, dx),
    }
}

/// Adds the gradient of the weight to `dw`.
pub fn backward_weight<T: Element>(dy: &Tensor, x: &Tensor, rstd: &Tensor, dw: &Tensor) -> Result<()> {
    match Body::of(x) {
        Body::Cpu => cpu::backward_weight::<T>(dy, x, rstd, dw),
        Body::Composite | Body::Cuda => composite::backward_weight(dy, x, rstd, dw),
    }
}
