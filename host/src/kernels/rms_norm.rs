//! Root-mean-square normalization: y = x · rstd · w with rstd = 1 / sqrt(mean(x²) + eps), row by row, or head by head
//! where w is as wide as one of several heads in a row.
//!
//! x, y [rows, heads · width]; w [width]; rstd [rows · heads] is saved. Backward, with g = w · dy:
//! dx += rstd · g − x · rstd³ / width · Σ(g · x), dw += Σ_rows dy · x · rstd.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::launch::write;
use super::scratch::Scratch;
use super::simd::{dot, vectorized};

/// Rows that one thread takes at a time; also the fixed partition of the sum over rows.
const ROWS: usize = 64;

vectorized! {
    fn forward_rows(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32], rstd: &mut [f32]) {
        let width = weight.len();
        for ((y, rstd), x) in y.chunks_exact_mut(width).zip(rstd).zip(x.chunks_exact(width)) {
            *rstd = 1.0 / (dot(x, x) / width as f32 + epsilon).sqrt();
            for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                *y = x * *rstd * w;
            }
        }
    }
}

vectorized! {
    fn backward_rows(dy: &[f32], x: &[f32], weight: &[f32], rstd: &[f32], dx: &mut [f32]) {
        let width = weight.len();
        let mut g = vec![0.0; width];
        let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact(width)).zip(x.chunks_exact(width)).zip(rstd);
        for (((dx, dy), x), rstd) in rows {
            for ((g, dy), w) in g.iter_mut().zip(dy).zip(weight) {
                *g = dy * w;
            }
            let factor = -(rstd * rstd * rstd) / width as f32 * dot(&g, x);
            for ((dx, g), x) in dx.iter_mut().zip(&g).zip(x) {
                *dx += g.mul_add(*rstd, factor * x);
            }
        }
    }
}

vectorized! {
    fn weight_gradient(dy: &[f32], x: &[f32], rstd: &[f32], width: usize) -> Vec<f32> {
        let mut sums = vec![0.0f32; width];
        for ((dy, x), rstd) in dy.chunks_exact(width).zip(x.chunks_exact(width)).zip(rstd) {
            for ((sum, dy), x) in sums.iter_mut().zip(dy).zip(x) {
                *sum = (dy * rstd).mul_add(*x, *sum);
            }
        }
        sums
    }
}

/// Returns (y, rstd).
pub(crate) fn forward(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<(Scratch, Scratch)> {
    let width = weight.elem_count();
    let rows = x.elem_count() / width;
    let (y, rstd) = (Scratch::arbitrary(x.shape(), x.device())?, Scratch::arbitrary(rows, x.device())?);
    write("rms_norm", [&y, &rstd], [x, weight], |[y, rstd], [x, weight]| {
        (y.par_chunks_mut(ROWS * width), rstd.par_chunks_mut(ROWS), x.par_chunks(ROWS * width))
            .into_par_iter()
            .for_each(|(y, rstd, x)| forward_rows(x, weight, epsilon as f32, y, rstd));
    })?;
    Ok((y, rstd))
}

/// Adds the gradient of the input to `dx`.
pub(crate) fn backward(dy: &Tensor, x: &Tensor, weight: &Tensor, rstd: &Tensor, dx: &Tensor) -> Result<()> {
    let width = weight.elem_count();
    write("rms_norm backward", [dx], [dy, x, weight, rstd], |[dx], [dy, x, weight, rstd]| {
        let inputs = (dy.par_chunks(ROWS * width), x.par_chunks(ROWS * width), rstd.par_chunks(ROWS));
        (dx.par_chunks_mut(ROWS * width), inputs.0, inputs.1, inputs.2)
            .into_par_iter()
            .for_each(|(dx, dy, x, rstd)| backward_rows(dy, x, weight, rstd, dx));
    })
}

/// Adds the gradient of the weight to `dw`.
pub(crate) fn backward_weight(dy: &Tensor, x: &Tensor, rstd: &Tensor, dw: &Tensor) -> Result<()> {
    let width = dw.elem_count();
    write("rms_norm backward of the weight", [dw], [dy, x, rstd], |[dw], [dy, x, rstd]| {
        let partial: Vec<_> = (dy.par_chunks(ROWS * width), x.par_chunks(ROWS * width), rstd.par_chunks(ROWS))
            .into_par_iter()
            .map(|(dy, x, rstd)| weight_gradient(dy, x, rstd, width))
            .collect();
        for sums in partial {
            dw.iter_mut().zip(sums).for_each(|(dw, sum)| *dw += sum);
        }
    })
}
