//! Columns on the CPU, copied row by row.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::element::Element;
use crate::launch::{launch, view};
use crate::scratch::Scratch;

/// Rows that one thread copies at a time.
const ROWS: usize = 64;

/// Returns the part of this width from a column on.
pub(super) fn part<T: Element>(x: &Tensor, column: usize, width: usize) -> Result<Scratch> {
    let (rows, stride) = x.dims2()?;
    let part = Scratch::of::<T>((rows, width), x.device())?;
    let x = view::<T>("columns", x)?;
    let x = &*x;
    launch::<T, 1, _>("columns", [&part], |[part]| {
        part.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * stride)).for_each(|(part, x)| {
            for (part, x) in part.chunks_exact_mut(width).zip(x.chunks_exact(stride)) {
                part.copy_from_slice(&x[column..column + width]);
            }
        });
    })?;
    Ok(part)
}

/// Returns x.
pub(super) fn join<T: Element>(parts: &[&Tensor]) -> Result<Scratch> {
    let widths = parts.iter().map(|part| Ok(part.dims2()?.1)).collect::<Result<Vec<_>>>()?;
    let (rows, stride) = (parts[0].dims2()?.0, widths.iter().sum());
    let joined = Scratch::of::<T>((rows, stride), parts[0].device())?;
    let mut column = 0;
    for (part, width) in parts.iter().zip(widths) {
        let part = view::<T>("columns", part)?;
        let part = &*part;
        launch::<T, 1, _>("columns", [&joined], |[joined]| {
            joined.par_chunks_mut(ROWS * stride).zip(part.par_chunks(ROWS * width)).for_each(|(joined, part)| {
                for (joined, part) in joined.chunks_exact_mut(stride).zip(part.chunks_exact(width)) {
                    joined[column..column + width].copy_from_slice(part);
                }
            });
        })?;
        column += width;
    }
    Ok(joined)
}
