//! Rotary position embedding as a composite; the turn is computed in f32.

use candle_core::{Result, Tensor};

use crate::composite::{indices, widened, write};

/// Turns x [rows, heads · d] in place by each row's position, or back if `sign` is −1. The tables are [positions,
/// r / 2].
pub(super) fn turn(
    x: &Tensor,
    positions: &[u32],
    (cosines, sines): (&Tensor, &Tensor),
    head_dim: usize,
    sign: f32,
) -> Result<()> {
    let (count, width) = x.dims2()?;
    let half = cosines.dims2()?.1;
    let positions = indices(positions.iter().map(|position| *position as usize), x)?;
    // [rows, 1, r / 2], the same for every head.
    let cosines = cosines.index_select(&positions, 0)?.unsqueeze(1)?;
    let sines = (sines.index_select(&positions, 0)?.unsqueeze(1)? * f64::from(sign))?;
    let heads = widened(x)?.reshape((count, width / head_dim, head_dim))?;
    let (left, right) = (heads.narrow(2, 0, half)?, heads.narrow(2, half, half)?);
    let turned_left = (left.broadcast_mul(&cosines)? - right.broadcast_mul(&sines)?)?;
    let turned_right = (right.broadcast_mul(&cosines)? + left.broadcast_mul(&sines)?)?;
    let mut columns = vec![turned_left, turned_right];
    if 2 * half < head_dim {
        columns.push(heads.narrow(2, 2 * half, head_dim - 2 * half)?);
    }
    write(x, &Tensor::cat(&columns, 2)?)
}
