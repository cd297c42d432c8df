//! The embedding: y[row] = W[token[row]], with W [vocabulary, width]. Backward: dW[token[row]] += dy[row], in order.
//!
//! A low-rank update of it, y[row] += t[row] Bᵀ with t[row] = α · A[:, token[row]], A [r, vocabulary] and B [width, r],
//! needs columns of A beside what a linear layer does. Backward: dA[:, token[row]] += α · dt[row], in order, but for the
//! token that fills up rows, whose column torch never trains.

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

/// Returns t[row] = α · A[:, token[row]], [tokens, r] in f32.
pub fn columns(tokens: &[u32], a: &Tensor, alpha: f32) -> Result<Scratch> {
    match Body::of(a) {
        Body::Cpu => cpu::columns(tokens, a, alpha),
        Body::Composite | Body::Cuda => composite::columns(tokens, a, alpha),
    }
}

/// Adds the gradient of A to `da`; the column of `padding` gets none.
pub fn backward_columns(tokens: &[u32], padding: Option<u32>, dt: &Tensor, alpha: f32, da: &Tensor) -> Result<()> {
    match Body::of(dt) {
        Body::Cpu => cpu::backward_columns(tokens, padding, dt, alpha, da),
        Body::Composite | Body::Cuda => composite::backward_columns(tokens, padding, dt, alpha, da),
    }
}
