//! The residual stream: y += α · x, with y in f32 and x in the type of activations, both [rows, width]. Backward:
//! dx = α · dy.

mod composite;
mod cpu;

use candle_core::{Result, Tensor};

use crate::element::Element;
use crate::place::Body;
use crate::scratch::Scratch;

/// y += α · x.
pub fn forward<T: Element>(x: &Tensor, alpha: f32, y: &Tensor) -> Result<()> {
    match Body::of(y) {
        Body::Cpu => cpu::forward::<T>(x, alpha, y),
        Body::Composite | Body::Cuda => composite::forward(x, alpha, y),
    }
}

/// Returns dx in the type of x.
pub fn backward<T: Element>(dy: &Tensor, alpha: f32) -> Result<Scratch> {
    match Body::of(dy) {
        Body::Cpu => cpu::backward::<T>(dy, alpha),
        Body::Composite | Body::Cuda => composite::backward::<T>(dy, alpha),
    }
}
