//! Columns: x [rows, w₁ + w₂ + …] taken apart into parts [rows, wᵢ], and parts put together again. The one is the other's
//! backward.

mod composite;
mod cpu;

use candle_core::{Result, Tensor};

use crate::element::Element;
use crate::place::Body;
use crate::scratch::Scratch;

/// Returns the parts of x, whose widths are given.
pub fn split<T: Element, const P: usize>(x: &Tensor, widths: [usize; P]) -> Result<[Scratch; P]> {
    let of_width = |width: usize, column: usize| match Body::of(x) {
        Body::Cpu => cpu::part::<T>(x, column, width),
        Body::Composite | Body::Cuda => composite::part(x, column, width),
    };
    let (mut parts, mut column) = (Vec::with_capacity(P), 0);
    for width in widths {
        parts.push(of_width(width, column)?);
        column += width;
    }
    parts.try_into().or_else(|_| candle_core::bail!("columns: expected {P} parts"))
}

/// Returns x, put together from parts that have as many rows.
pub fn join<T: Element, const P: usize>(parts: [&Tensor; P]) -> Result<Scratch> {
    match parts.first().map(|part| Body::of(part)) {
        Some(Body::Cpu) => cpu::join::<T>(&parts),
        Some(Body::Composite | Body::Cuda) => composite::join(&parts),
        None => candle_core::bail!("columns: expected at least one part"),
    }
}
