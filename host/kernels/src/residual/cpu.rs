//! The residual stream on the CPU, a chunk of elements after the other.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::element::Element;
use crate::launch::{launch, view};
use crate::scratch::Scratch;
use crate::simd::vectorized;

const CHUNK: usize = 1 << 14;

vectorized! {
    fn add_scaled<T: Element>(x: &[T], alpha: f32, y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = x.widen().mul_add(alpha, *y);
        }
    }
}

vectorized! {
    fn scaled<T: Element>(dy: &[f32], alpha: f32, dx: &mut [T]) {
        for (dx, dy) in dx.iter_mut().zip(dy) {
            *dx = T::narrow(dy * alpha);
        }
    }
}

/// y += α · x.
pub(super) fn forward<T: Element>(x: &Tensor, alpha: f32, y: &Tensor) -> Result<()> {
    let x = view::<T>("residual", x)?;
    launch::<f32, 1, _>("residual", [y], |[y]| {
        (y.par_chunks_mut(CHUNK), x.par_chunks(CHUNK)).into_par_iter().for_each(|(y, x)| add_scaled(x, alpha, y));
    })
}

/// Returns dx.
pub(super) fn backward<T: Element>(dy: &Tensor, alpha: f32) -> Result<Scratch> {
    let dx = Scratch::of::<T>(dy.shape(), dy.device())?;
    let dy = view::<f32>("residual backward", dy)?;
    launch::<T, 1, _>("residual backward", [&dx], |[dx]| {
        (dx.par_chunks_mut(CHUNK), dy.par_chunks(CHUNK)).into_par_iter().for_each(|(dx, dy)| scaled(dy, alpha, dx));
    })?;
    Ok(dx)
}
