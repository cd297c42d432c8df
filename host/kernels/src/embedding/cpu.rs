//! The embedding and the moving of rows on the CPU.

use candle_core::{Result, Tensor};

use crate::launch::write;
use crate::linear::Weight;
use crate::scratch::Scratch;

/// Returns y [tokens, width]. Every token must be below the vocabulary's size.
pub(super) fn forward(tokens: &[u32], weight: &Weight) -> Result<Scratch> {
    let width = weight.dims()?.1;
    let y = Scratch::arbitrary((tokens.len(), width), weight.device())?;
    weight.with_rows(|rows| {
        write("embedding", [&y], [], |[y], []| {
            for (y, token) in y.chunks_exact_mut(width).zip(tokens) {
                rows.read(*token as usize, 0, y);
            }
        })
    })??;
    Ok(y)
}

/// Adds the gradient of the table to `dw`.
pub(super) fn backward(tokens: &[u32], dy: &Tensor, dw: &Tensor) -> Result<()> {
    let width = dy.dims2()?.1;
    write("embedding backward", [dw], [dy], |[dw], [dy]| {
        for (dy, token) in dy.chunks_exact(width).zip(tokens) {
            let start = *token as usize * width;
            dw[start..start + width].iter_mut().zip(dy).for_each(|(dw, dy)| *dw += dy);
        }
    })
}

/// Copies some rows: y[i] = x[rows[i]].
pub(super) fn gather(x: &Tensor, rows: &[usize]) -> Result<Scratch> {
    let width = x.dims2()?.1;
    let y = Scratch::arbitrary((rows.len(), width), x.device())?;
    write("gather", [&y], [x], |[y], [x]| {
        for (y, row) in y.chunks_exact_mut(width).zip(rows) {
            y.copy_from_slice(&x[row * width..(row + 1) * width]);
        }
    })?;
    Ok(y)
}

/// The transpose of `gather`: y[rows[i]] = x[i], zero elsewhere.
pub(super) fn scatter(x: &Tensor, rows: &[usize], count: usize) -> Result<Scratch> {
    let width = x.dims2()?.1;
    let y = Scratch::zeros::<f32>((count, width), x.device())?;
    write("scatter", [&y], [x], |[y], [x]| {
        for (x, row) in x.chunks_exact(width).zip(rows) {
            y[row * width..(row + 1) * width].copy_from_slice(x);
        }
    })?;
    Ok(y)
}

/// Returns t[row] = α · A[:, token[row]].
pub(super) fn columns(tokens: &[u32], a: &Tensor, alpha: f32) -> Result<Scratch> {
    let (rank, vocabulary) = a.dims2()?;
    let t = Scratch::arbitrary((tokens.len(), rank), a.device())?;
    write("embedding columns", [&t], [a], |[t], [a]| {
        for (t, token) in t.chunks_exact_mut(rank).zip(tokens) {
            let column = a[*token as usize..].iter().step_by(vocabulary);
            t.iter_mut().zip(column).for_each(|(t, a)| *t = alpha * a);
        }
    })?;
    Ok(t)
}

/// dA[:, token[row]] += α · dt[row].
pub(super) fn backward_columns(
    tokens: &[u32],
    padding: Option<u32>,
    dt: &Tensor,
    alpha: f32,
    da: &Tensor,
) -> Result<()> {
    let (rank, vocabulary) = da.dims2()?;
    write("embedding columns backward", [da], [dt], |[da], [dt]| {
        for (dt, token) in dt.chunks_exact(rank).zip(tokens).filter(|(_, token)| Some(**token) != padding) {
            let column = da[*token as usize..].iter_mut().step_by(vocabulary);
            column.zip(dt).for_each(|(da, dt)| *da += alpha * dt);
        }
    })
}
