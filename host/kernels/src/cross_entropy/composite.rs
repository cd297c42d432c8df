//! Cross-entropy as a composite, in chunks of as many rows as on the CPU.
//!
//! The logits of bf16 are products of bf16, widened; each row's maximum, sum and target come to the CPU, where the loss is
//! added up in f64.

use candle_core::{Result, Tensor};

use super::Trained;
use super::chunks::chunk_rows;
use crate::composite::{add, widened};
use crate::element::Element;
use crate::linear::{Weight, dense_of_type};
use crate::lora::Inner;
use crate::scratch::Scratch;

/// The exponentials of a chunk's logits, their sums and what the chunk adds to the loss.
struct Chunk {
    /// exp(z − max z), f32 [rows, vocabulary].
    exponentials: Tensor,
    /// Their sums, [rows, 1].
    totals: Tensor,
    /// In nats.
    loss: f64,
}

/// The targets as indices, [rows, 1].
fn targets_of(targets: &[u32], like: &Tensor) -> Result<Tensor> {
    Tensor::from_slice(targets, (targets.len(), 1), like.device())
}

impl Chunk {
    fn new(h: &Tensor, table: &Tensor, update: Option<&Tensor>, targets: &Tensor) -> Result<Self> {
        let logits = widened(&h.matmul(&table.t()?)?)?;
        let logits = match update {
            Some(update) => (logits + widened(update)?)?,
            None => logits,
        };
        let greatest = logits.max_keepdim(1)?;
        let of_targets = logits.gather(targets, 1)?;
        let exponentials = logits.broadcast_sub(&greatest)?.exp()?;
        let totals = exponentials.sum_keepdim(1)?;
        let numbers = Tensor::cat(&[&greatest, &of_targets, &totals], 1)?.to_vec2::<f32>()?;
        let loss = |row: &Vec<f32>| f64::from(row[0]) - f64::from(row[1]) + f64::from(row[2]).ln();
        Ok(Self { exponentials, totals, loss: numbers.iter().map(loss).sum() })
    }
}

/// Some rows of an update, whose inner product has as many as there are targets.
fn part<'a>(update: Option<&Inner<'a>>, first: usize, rows: usize) -> Result<Option<(Inner<'a>, Tensor)>> {
    let part = |update: &Inner<'a>| Result::Ok((*update, update.product().narrow(0, first, rows)?));
    update.map(part).transpose()
}

/// The summed loss in nats, without gradients.
pub(super) fn forward<T: Element>(
    h: &Tensor,
    weight: &Weight,
    update: Option<&Inner<'_>>,
    targets: &[u32],
) -> Result<f64> {
    let table = dense_of_type(weight, T::DTYPE)?;
    let rows = chunk_rows(table.dims2()?.0, targets.len());
    let mut loss = 0.0;
    for (index, targets) in targets.chunks(rows).enumerate() {
        let h = h.narrow(0, index * rows, targets.len())?;
        let part = part(update, index * rows, targets.len())?;
        let added = part.as_ref().map(|(update, t)| update.of(t).forward_product::<T>()).transpose()?;
        loss += Chunk::new(&h, &table, added.as_ref(), &targets_of(targets, &h)?)?.loss;
    }
    Ok(loss)
}

/// The summed loss in nats, and dz W (f32) of a gradient that is scaled by `scale`.
pub(super) fn forward_backward<T: Element>(
    h: &Tensor,
    weight: &Weight,
    update: Option<&Inner<'_>>,
    targets: &[u32],
    scale: f32,
    trained: Trained<'_>,
) -> Result<(f64, Scratch)> {
    let table = dense_of_type(weight, T::DTYPE)?;
    let dh = Scratch::arbitrary(h.shape(), h.device())?;
    let rows = chunk_rows(table.dims2()?.0, targets.len());
    let mut loss = 0.0;
    for (index, targets) in targets.chunks(rows).enumerate() {
        let (first, count) = (index * rows, targets.len());
        let h = h.narrow(0, first, count)?;
        let part = part(update, first, count)?;
        let added = part.as_ref().map(|(update, t)| update.of(t).forward_product::<T>()).transpose()?;
        let targets = targets_of(targets, &h)?;
        let chunk = Chunk::new(&h, &table, added.as_ref(), &targets)?;
        loss += chunk.loss;
        let factors = (chunk.totals.recip()? * f64::from(scale))?;
        let dz = chunk.exponentials.broadcast_mul(&factors)?;
        dz.scatter_add_set(&targets, &Tensor::full(-scale, targets.dims(), h.device())?, 1)?;
        let dz = dz.to_dtype(T::DTYPE)?;
        dh.slice_set(&widened(&dz.matmul(&table)?)?, 0, first)?;
        match (trained, &part) {
            (Trained::Table(dw), _) => add(dw, &dz.t()?.matmul(&h)?)?,
            (Trained::Update { dt, db }, Some((update, t))) => {
                let factors = update.factors();
                let inner = (widened(&dz.matmul(&factors.b.to_dtype(T::DTYPE)?)?)? * f64::from(factors.scale))?;
                dt.slice_set(&inner.to_dtype(T::DTYPE)?, 0, first)?;
                add(db, &widened(&dz)?.t()?.matmul(&widened(t)?)?)?;
            }
            _ => {}
        }
    }
    Ok((loss, dh))
}
