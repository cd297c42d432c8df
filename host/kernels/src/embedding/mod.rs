//! The embedding: y[row] = W[token[row]], with W [vocabulary, width]. Backward: dW[token[row]] += dy[row], in order.

mod composite;
mod cpu;

use candle_core::{Result, Tensor};

use crate::linear::Weight;
use crate::place::Body;
use crate::scratch::Scratch;

/// Returns y [tokens, width]. Every token must be below the vocabulary's size.
pub fn forward(tokens: &[u32], weight: &Weight) -> Result<Scratch> {
    match weight.body() {
        Body::Cpu => cpu::forward(tokens, weight),
        Body::Composite | Body::Cuda => composite::forward(tokens, weight),
    }
}

/// Adds the gradient of the table to `dw`.
pub fn backward(tokens: &[u32], dy: &Tensor, dw: &Tensor) -> Result<()> {
    match Body::of(dy) {
        Body::Cpu => cpu::backward(tokens, dy, dw),
        Body::Composite | Body::Cuda => composite::backward(tokens, dy, dw),
    }
}

/// Copies some rows: y[i] = x[rows[i]].
pub fn gather(x: &Tensor, rows: &[usize]) -> Result<Scratch> {
    match Body::of(x) {
        Body::Cpu => cpu::gather(x, rows),
        Body::Composite | Body::Cuda => composite::gather(x, rows),
    }
}

/// The transpose of `gather`: y[rows[i]] = x[i], zero elsewhere.
pub fn scatter(x: &Tensor, rows: &[usize], count: usize) -> Result<Scratch> {
    match Body::of(x) {
        Body::Cpu => cpu::scatter(x, rows, count),
        Body::Composite | Body::Cuda => composite::scatter(x, rows, count),
    }
}
