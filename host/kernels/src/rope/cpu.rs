//! Rotary position embedding on the CPU, row by row.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::element::Element;
use crate::launch::{launch, view};
use crate::simd::vectorized;

/// Rows that one thread turns at a time.
const ROWS: usize = 64;

/// Turns x [rows, heads · d] in place by each row's position, or back if `sign` is −1. The tables are [positions, r / 2].
pub(super) fn turn<T: Element>(
    x: &Tensor,
    positions: &[u32],
    (cosines, sines): (&Tensor, &Tensor),
    head_dim: usize,
    sign: f32,
) -> Result<()> {
    let (width, half) = (x.dims2()?.1, cosines.dims2()?.1);
    let (cosines, sines) = (view::<f32>("rope", cosines)?, view::<f32>("rope", sines)?);
    let (cosines, sines) = (&*cosines, &*sines);
    launch::<T, 1, _>("rope", [x], |[x]| {
        x.par_chunks_mut(ROWS * width)
            .zip(positions.par_chunks(ROWS))
            .for_each(|(x, positions)| turn_rows(x, positions, (cosines, sines), (head_dim, half), sign));
    })
}

vectorized! {
    fn turn_rows<T: Element>(
        x: &mut [T],
        positions: &[u32],
        tables: (&[f32], &[f32]),
        widths: (usize, usize),
        sign: f32,
    ) {
        let ((cosines, sines), (head_dim, half)) = (tables, widths);
        let width = x.len() / positions.len();
        for (row, position) in x.chunks_exact_mut(width).zip(positions) {
            let at = *position as usize * half;
            let (cosines, sines) = (&cosines[at..at + half], &sines[at..at + half]);
            for head in row.chunks_exact_mut(head_dim) {
                let (left, right) = head[..2 * half].split_at_mut(half);
                for (((l, r), c), s) in left.iter_mut().zip(right).zip(cosines).zip(sines) {
                    let s = s * sign;
                    let (x, y) = (l.widen(), r.widen());
                    (*l, *r) = (T::narrow(x * c - y * s), T::narrow(y * c + x * s));
                }
            }
        }
    }
}
