//! Rotary position embedding as a composite; the turn is computed in f32.

use candle_core::{Result, Tensor};

use crate::composite::{indices, widened, write};

/// Turns x [rows, heads · d] in place by each row's position, or back if `sign` is −1. The tables are [positions,
/// d / 2].
pub(super) fn turn(x: &Tensor, positions: &[u32], (cosines, sines): (&Tensor, &Tensor), sign: f32) -> Result<()> {
    let (count, width) = x.dims2()?;
    let half = cosines.dims2()?.1;
    let positions = indices(positions.iter().map(|position| *position as usize), x)?;
    // [rows, 1, d / 2], the same for every head.
    let cosines = cosines.index_select(&positions, 0)?.unsqueeze(1)?;
    let sines = (sines.index_select(&positions, 0)?.unsqueeze(1)? * f64::from(sign))?;
    let heads = widened(x)?.reshape((count, width / (2 * half), 2, half))?;
    let (left, right) = (heads.narrow(2, 0, 1)?.squeeze(2)?, heads.narrow(2, 1, 1)?.squeeze(2)?);
    let turned_left = (left.broadcast_mul(&cosines)? - right.broadcast_mul(&sines)?)?;
    let turned_right = (right.broadcast_mul(&cosines)? + left.broadcast_mul(&sines)?)?;
    write(x, &Tensor::stack(&[turned_left, turned_right], 2)?)
}
