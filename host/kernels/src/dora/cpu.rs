//! DoRA on the CPU, in blocks of rows.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::element::Element;
use crate::launch::{launch, view};
use crate::linear::{Onto, Weight};
use crate::lora::Factors;
use crate::scratch::Scratch;
use crate::simd::{add_scaled, dot, vectorized};

/// Rows that one thread takes at a time; also the fixed partition of the sum over rows.
const ROWS: usize = 64;

vectorized! {
    /// The norm of a row of W + scale · B A, whose first summand `row` holds.
    fn norm(row: &mut [f32], b: &[f32], a: &[f32], scale: f32) -> f32 {
        for (b, a) in b.iter().zip(a.chunks_exact(row.len())) {
            add_scaled(row, scale * b, a);
        }
        dot(row, row).sqrt()
    }
}

vectorized! {
    fn forward_rows<T: Element>(u: &[T], gain: &[f32], bias: Option<&[f32]>, accumulate: bool, y: &mut [T]) {
        let width = gain.len();
        for (y, u) in y.chunks_exact_mut(width).zip(u.chunks_exact(width)) {
            match bias {
                Some(bias) => {
                    for (((y, u), gain), bias) in y.iter_mut().zip(u).zip(gain).zip(bias) {
                        *y = T::narrow(u.widen().mul_add(*gain, *bias));
                    }
                }
                None => {
                    for ((y, u), gain) in y.iter_mut().zip(u).zip(gain) {
                        let start = if accumulate { y.widen() } else { 0.0 };
                        *y = T::narrow(u.widen().mul_add(*gain, start));
                    }
                }
            }
        }
    }
}

vectorized! {
    /// Σ_rows dy ⊙ u; writes g ⊙ dy.
    fn backward_rows<T: Element>(dy: &[T], u: &[T], gain: &[f32], du: &mut [T]) -> Vec<f32> {
        let width = gain.len();
        let mut sums = vec![0.0f32; width];
        for ((du, dy), u) in du.chunks_exact_mut(width).zip(dy.chunks_exact(width)).zip(u.chunks_exact(width)) {
            for ((((sum, du), dy), u), gain) in sums.iter_mut().zip(du).zip(dy).zip(u).zip(gain) {
                *sum = dy.widen().mul_add(u.widen(), *sum);
                *du = T::narrow(dy.widen() * gain);
            }
        }
        sums
    }
}

vectorized! {
    fn subtract<T: Element>(x: &[T], y: &[T], difference: &mut [T]) {
        for ((difference, x), y) in difference.iter_mut().zip(x).zip(y) {
            *difference = T::narrow(x.widen() - y.widen());
        }
    }
}

/// Returns the norms of the rows of W + scale · B A.
pub(super) fn norms(weight: &Weight, factors: Factors<'_>) -> Result<Scratch> {
    const NAME: &str = "dora norms";
    let ((outputs, inputs), rank) = (weight.dims()?, factors.a.dims2()?.0);
    let norms = Scratch::arbitrary(outputs, weight.device())?;
    let (a, b) = (view::<f32>(NAME, factors.a)?, view::<f32>(NAME, factors.b)?);
    let (a, b) = (&*a, &*b);
    weight.with_rows(|source| {
        launch::<f32, 1, _>(NAME, [&norms], |[norms]| {
            norms.par_chunks_mut(ROWS).enumerate().for_each(|(block, norms)| {
                let mut row = vec![0.0; inputs];
                for (index, target) in norms.iter_mut().enumerate() {
                    let output = block * ROWS + index;
                    source.read(output, 0, &mut row);
                    *target = norm(&mut row, &b[output * rank..(output + 1) * rank], a, factors.scale);
                }
            });
        })
    })??;
    Ok(norms)
}

/// y = g ⊙ u on top of what `onto` says.
pub(super) fn forward<T: Element>(u: &Tensor, gain: &Tensor, onto: Onto<'_>, y: &Tensor) -> Result<()> {
    const NAME: &str = "dora";
    let (u, gain) = (view::<T>(NAME, u)?, view::<f32>(NAME, gain)?);
    let (gain, accumulate) = (&*gain, matches!(onto, Onto::Existing));
    let bias = match onto {
        Onto::Bias(bias) => Some(view::<f32>(NAME, bias)?),
        Onto::Nothing | Onto::Existing => None,
    };
    let bias = bias.as_deref();
    launch::<T, 1, _>(NAME, [y], |[y]| {
        (y.par_chunks_mut(ROWS * gain.len()), u.par_chunks(ROWS * gain.len()))
            .into_par_iter()
            .for_each(|(y, u)| forward_rows(u, gain, bias, accumulate, y));
    })
}

/// Adds the gradient of m to `dm`; returns du.
pub(super) fn backward<T: Element>(
    dy: &Tensor,
    u: &Tensor,
    gain: &Tensor,
    norms: &Tensor,
    dm: &Tensor,
) -> Result<Scratch> {
    const NAME: &str = "dora backward";
    let du = Scratch::of::<T>(dy.shape(), dy.device())?;
    let (dy, u) = (view::<T>(NAME, dy)?, view::<T>(NAME, u)?);
    let (gain, norms) = (view::<f32>(NAME, gain)?, view::<f32>(NAME, norms)?);
    let gain = &*gain;
    let block = ROWS * gain.len();
    let sums: Vec<Vec<f32>> = launch::<T, 1, _>(NAME, [&du], |[du]| {
        (du.par_chunks_mut(block), dy.par_chunks(block), u.par_chunks(block))
            .into_par_iter()
            .map(|(du, dy, u)| backward_rows(dy, u, gain, du))
            .collect()
    })?;
    launch::<f32, 1, _>(NAME, [dm], |[dm]| {
        for sums in sums {
            dm.iter_mut().zip(sums).zip(norms.iter()).for_each(|((dm, sum), norm)| *dm += sum / norm);
        }
    })?;
    Ok(du)
}

/// Returns x − y.
pub(super) fn difference<T: Element>(x: &Tensor, y: &Tensor) -> Result<Scratch> {
    const NAME: &str = "dora difference";
    const CHUNK: usize = 1 << 14;
    let difference = Scratch::of::<T>(x.shape(), x.device())?;
    let (x, y) = (view::<T>(NAME, x)?, view::<T>(NAME, y)?);
    launch::<T, 1, _>(NAME, [&difference], |[difference]| {
        (difference.par_chunks_mut(CHUNK), x.par_chunks(CHUNK), y.par_chunks(CHUNK))
            .into_par_iter()
            .for_each(|(difference, x, y)| subtract(x, y, difference));
    })?;
    Ok(difference)
}
