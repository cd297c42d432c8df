//! Root-mean-square normalization on the CPU, in blocks of rows.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::element::{Element, convert};
use crate::launch::{launch, view};
use crate::scratch::Scratch;
use crate::simd::{dot, vectorized};

/// Rows that one thread takes at a time; also the fixed partition of the sum over rows.
const ROWS: usize = 64;

vectorized! {
    fn forward_rows<X: Element, Y: Element>(x: &[X], weight: &[f32], epsilon: f32, y: &mut [Y], rstd: &mut [f32]) {
        let width = weight.len();
        let mut values = vec![0.0; width];
        for ((y, rstd), x) in y.chunks_exact_mut(width).zip(rstd).zip(x.chunks_exact(width)) {
            convert(x, &mut values);
            *rstd = 1.0 / (dot(&values, &values) / width as f32 + epsilon).sqrt();
            for ((y, x), w) in y.iter_mut().zip(&values).zip(weight) {
                *y = Y::narrow(x * *rstd * w);
            }
        }
    }
}

vectorized! {
    fn backward_rows<T: Element>(dy: &[T], x: &[T], weight: &[f32], rstd: &[f32], dx: &mut [T]) {
        let width = weight.len();
        let (mut g, mut values) = (vec![0.0; width], vec![0.0; width]);
        let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact(width)).zip(x.chunks_exact(width)).zip(rstd);
        for (((dx, dy), x), rstd) in rows {
            convert(x, &mut values);
            for ((g, dy), w) in g.iter_mut().zip(dy).zip(weight) {
                *g = dy.widen() * w;
            }
            let factor = -(rstd * rstd * rstd) / width as f32 * dot(&g, &values);
            for ((dx, g), x) in dx.iter_mut().zip(&g).zip(&values) {
                *dx = T::narrow(dx.widen() + g.mul_add(*rstd, factor * x));
            }
        }
    }
}

vectorized! {
    fn weight_gradient<T: Element>(dy: &[T], x: &[T], rstd: &[f32], width: usize) -> Vec<f32> {
        let mut sums = vec![0.0f32; width];
        for ((dy, x), rstd) in dy.chunks_exact(width).zip(x.chunks_exact(width)).zip(rstd) {
            for ((sum, dy), x) in sums.iter_mut().zip(dy).zip(x) {
                *sum = (dy.widen() * rstd).mul_add(x.widen(), *sum);
            }
        }
        sums
    }
}

/// Returns (y, rstd).
pub(super) fn forward<X: Element, Y: Element>(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<(Scratch, Scratch)> {
    let width = weight.elem_count();
    let rows = x.elem_count() / width;
    let (y, rstd) = (Scratch::of::<Y>(x.shape(), x.device())?, Scratch::arbitrary(rows, x.device())?);
    let (x, weight) = (view::<X>("rms_norm", x)?, view::<f32>("rms_norm", weight)?);
    let (x, weight) = (&*x, &*weight);
    launch::<Y, 1, _>("rms_norm", [&y], |[y]| {
        launch::<f32, 1, _>("rms_norm", [&rstd], |[rstd]| {
            (y.par_chunks_mut(ROWS * width), rstd.par_chunks_mut(ROWS), x.par_chunks(ROWS * width))
                .into_par_iter()
                .for_each(|(y, rstd, x)| forward_rows(x, weight, epsilon as f32, y, rstd));
        })
    })??;
    Ok((y, rstd))
}

/// Adds the gradient of the input to `dx`.
pub(super) fn backward<T: Element>(dy: &Tensor, x: &Tensor, weight: &Tensor, rstd: &Tensor, dx: &Tensor) -> Result<()> {
    const NAME: &str = "rms_norm backward";
    let width = weight.elem_count();
    let (dy, x) = (view::<T>(NAME, dy)?, view::<T>(NAME, x)?);
    let (weight, rstd) = (view::<f32>(NAME, weight)?, view::<f32>(NAME, rstd)?);
    let weight = &*weight;
    launch::<T, 1, _>(NAME, [dx], |[dx]| {
        let inputs = (dy.par_chunks(ROWS * width), x.par_chunks(ROWS * width), rstd.par_chunks(ROWS));
        (dx.par_chunks_mut(ROWS * width), inputs.0, inputs.1, inputs.2)
            .into_par_iter()
            .for_each(|(dx, dy, x, rstd)| backward_rows(dy, x, weight, rstd, dx));
    })
}

/// Adds the gradient of the weight to `dw`.
pub(super) fn backward_weight<T: Element>(dy: &Tensor, x: &Tensor, rstd: &Tensor, dw: &Tensor) -> Result<()> {
    const NAME: &str = "rms_norm backward of the weight";
    let width = dw.elem_count();
    let (dy, x, rstd) = (view::<T>(NAME, dy)?, view::<T>(NAME, x)?, view::<f32>(NAME, rstd)?);
    launch::<f32, 1, _>(NAME, [dw], |[dw]| {
        let partial: Vec<_> = (dy.par_chunks(ROWS * width), x.par_chunks(ROWS * width), rstd.par_chunks(ROWS))
            .into_par_iter()
            .map(|(dy, x, rstd)| weight_gradient(dy, x, rstd, width))
            .collect();
        for sums in partial {
            dw.iter_mut().zip(sums).for_each(|(dw, sum)| *dw += sum);
        }
    })
}
