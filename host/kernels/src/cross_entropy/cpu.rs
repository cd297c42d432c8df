//! Cross-entropy on the CPU: a chunk after the other, each by all threads.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::Trained;
use super::chunks::chunk_rows;
use super::normalization::Normalization;
use crate::element::{Element, UnitLayout};
use crate::launch::{View, launch, view};
use crate::linear::Weight;
use crate::lora::Inner;
use crate::matmul::{Columns, Dense, Factor, Operand, Product, RowSource, Shape, Start, ZeroExtended, multiply};
use crate::scratch::Scratch;
use crate::simd::vectorized;

const NAME: &str = "cross-entropy";

/// z = h Wᵀ + t Bᵀ of some rows.
fn logits_of<T: Element>(
    h: &[T],
    table: &dyn RowSource,
    update: Option<Product<'_, T>>,
    rows: usize,
    logits: &mut [f32],
) {
    let (vocabulary, width) = (table.rows(), table.columns());
    let product = Product { a: Operand::rows_of(h, width), b: Factor::<T>::Transposed(table) };
    let shape = Shape::new(rows, vocabulary);
    match update {
        None => multiply(&[product], shape, logits, 1.0, Start::Zero),
        Some(update) => multiply(&[product, update], shape, logits, 1.0, Start::Zero),
    }
}

/// The product t Bᵀ without its first rows.
fn skip<'a, T: Element>(update: Option<Product<'a, T>>, rows: usize) -> Option<Product<'a, T>> {
    update.map(|update| Product { a: update.a.skip_rows(rows), ..update })
}

/// Lends t Bᵀ if there is an update.
fn with_update<T: Element, R>(
    update: Option<&Inner<'_>>,
    body: impl FnOnce(Option<Product<'_, T>>) -> Result<R>,
) -> Result<R> {
    match update {
        None => body(None),
        Some(update) => update.with_forward::<T, _>(|product| body(Some(product)))?,
    }
}

/// The summed loss in nats, without gradients: the bits of `forward_backward`'s.
pub(super) fn forward<T: Element>(
    h: &Tensor,
    weight: &Weight,
    update: Option<&Inner<'_>>,
    targets: &[u32],
) -> Result<f64> {
    let (width, vocabulary) = (h.dims2()?.1, weight.dims()?.0);
    let chunk_rows = chunk_rows(vocabulary, targets.len());
    let logits = Scratch::arbitrary((chunk_rows, vocabulary), h.device())?;
    let h = view::<T>(NAME, h)?;
    weight.with_rows(|table| {
        with_update::<T, _>(update, |update| {
            launch::<f32, 1, _>(NAME, [&logits], |[logits]| {
                let mut loss = 0.0;
                for (index, (h, targets)) in h.chunks(chunk_rows * width).zip(targets.chunks(chunk_rows)).enumerate() {
                    let logits = &mut logits[..targets.len() * vocabulary];
                    logits_of(h, table, skip(update, index * chunk_rows), targets.len(), logits);
                    let rows = logits.par_chunks_mut(vocabulary).zip(targets);
                    let losses: Vec<f64> = rows.map(|(z, target)| exponentials(z, *target as usize).0).collect();
                    loss += losses.iter().sum::<f64>();
                }
                loss
            })
        })
    })?
}

/// The gradients that a chunk of rows adds to or writes.
enum ChunkGradients<'m, T> {
    Nothing,
    Table(&'m mut [f32]),
    Update { dt: &'m mut [T], db: &'m mut [f32] },
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
    let ((rows, width), (vocabulary, _)) = (h.dims2()?, weight.dims()?);
    let dh = Scratch::arbitrary((rows, width), h.device())?;
    let chunk_rows = chunk_rows(vocabulary, rows);
    let logits = Scratch::arbitrary((chunk_rows, vocabulary), h.device())?;
    // The gradients are the left factor of a product whose depth is the vocabulary, and in bf16 a depth is even.
    let stride = if T::layout() == UnitLayout::Single { vocabulary } else { vocabulary.next_multiple_of(2) };
    let gradients = Scratch::of::<T>((chunk_rows, stride), h.device())?;
    let h = view::<T>(NAME, h)?;
    let inner = update.map(|update| InnerRows::<T>::new(update)).transpose()?;
    let mut loss = 0.0;
    weight.with_rows(|table| {
        with_update::<T, _>(update, |update| {
            let mut chunk = |first: usize,
                             h: &[T],
                             dh: &mut [f32],
                             targets: &[u32],
                             trained: ChunkGradients<'_, T>|
             -> Result<()> {
                let count = targets.len();
                let size = count * vocabulary;
                let losses: Vec<f64> = launch::<f32, 1, _>(NAME, [&logits], |[logits]| {
                    logits_of(h, table, skip(update, first), count, &mut logits[..size]);
                    launch::<T, 1, _>(NAME, [&gradients], |[gradients]| {
                        logits[..size]
                            .par_chunks_mut(vocabulary)
                            .zip(gradients.par_chunks_mut(stride))
                            .zip(targets)
                            .map(|((z, dz), target)| {
                                let (dz, filling) = dz.split_at_mut(vocabulary);
                                filling.fill(T::zero());
                                row(z, dz, *target as usize, scale)
                            })
                            .collect()
                    })
                })??;
                loss += losses.iter().sum::<f64>();
                let gradients = view::<T>(NAME, &gradients)?;
                let even: &dyn RowSource = if stride == vocabulary { table } else { &ZeroExtended::to_even(table) };
                let dz = Operand::rows_of(&gradients, stride);
                let backward = Product { a: dz, b: Factor::<T>::Straight(even) };
                multiply(&[backward], Shape::new(count, width), dh, 1.0, Start::Zero);
                let columns = || Columns::<T>::of(&gradients[..count * stride], count, vocabulary, stride);
                match (trained, &inner) {
                    (ChunkGradients::Table(dw), _) => {
                        let (dz, h) = (columns(), Dense::new(h, count, width));
                        let h = ZeroExtended::to_even(&h);
                        let product = Product { a: dz.operand(), b: Factor::<T>::Straight(&h) };
                        multiply(&[product], Shape::new(vocabulary, width), dw, 1.0, Start::Existing);
                    }
                    (ChunkGradients::Update { dt, db }, Some(inner)) => {
                        inner.backward(dz, &columns(), (first, count), stride > vocabulary, (dt, db));
                    }
                    _ => {}
                }
                Ok(())
            };
            launch::<f32, 1, _>(NAME, [&dh], |[dh]| {
                let chunks =
                    h.chunks(chunk_rows * width).zip(dh.chunks_mut(chunk_rows * width)).zip(targets.chunks(chunk_rows));
                for (index, ((h, dh), targets)) in chunks.enumerate() {
                    let first = index * chunk_rows;
                    match trained {
                        Trained::Nothing => chunk(first, h, dh, targets, ChunkGradients::Nothing)?,
                        Trained::Table(dw) => launch::<f32, 1, _>(NAME, [dw], |[dw]| {
                            chunk(first, h, dh, targets, ChunkGradients::Table(dw))
                        })??,
                        Trained::Update { dt, db } => launch::<T, 1, _>(NAME, [dt], |[dt]| {
                            launch::<f32, 1, _>(NAME, [db], |[db]| {
                                chunk(first, h, dh, targets, ChunkGradients::Update { dt, db })
                            })?
                        })??,
                    }
                }
                Result::Ok(())
            })?
        })
    })??;
    Ok((loss, dh))
}

/// What the backward pass reads of an update: t, row by row, and B.
struct InnerRows<'a, T> {
    t: View<'a, T>,
    b: View<'a, f32>,
    rank: usize,
    /// Columns of t, of which the last is zeros if the rank is odd.
    columns: usize,
    scale: f32,
}

impl<'a, T: Element> InnerRows<'a, T> {
    fn new(update: &Inner<'a>) -> Result<Self> {
        let factors = update.factors();
        let (t, b) = (view::<T>(NAME, update.product())?, view::<f32>(NAME, factors.b)?);
        Ok(Self { t, b, rank: factors.b.dims2()?.1, columns: factors.columns()?, scale: factors.scale })
    }

    /// dt = scale · dz B of some rows, and dB += dzᵀ t; dz has one column of zeros more than B has rows if it is
    /// `filled`.
    fn backward(
        &self,
        dz: Operand<'_, T>,
        transposed: &Columns<T>,
        (first, count): (usize, usize),
        filled: bool,
        (dt, db): (&mut [T], &mut [f32]),
    ) {
        let (rank, columns, vocabulary) = (self.rank, self.columns, self.b.len() / self.rank);
        let rows = first * columns..(first + count) * columns;
        let dt = &mut dt[rows.clone()];
        if rank < columns {
            dt.fill(T::zero());
        }
        let b = Dense::new(&self.b[..], vocabulary, rank);
        let even = ZeroExtended::to_even(&b);
        let b: &dyn RowSource = if filled { &even } else { &b };
        let product = Product { a: dz, b: Factor::<T>::Straight(b) };
        multiply(&[product], Shape { rows: count, columns: rank, stride: columns }, dt, self.scale, Start::Zero);
        let t = Dense { values: &self.t[rows], rows: count, columns: rank, stride: columns };
        let product = Product { a: transposed.operand(), b: Factor::<T>::Straight(&ZeroExtended::to_even(&t)) };
        multiply(&[product], Shape::new(vocabulary, rank), db, 1.0, Start::Existing);
    }
}

vectorized! {
    /// The loss of one row, and the sum of the exponentials that replace its logits.
    fn exponentials(z: &mut [f32], target: usize) -> (f64, f32) {
        let of_target = z[target];
        let normalization = Normalization::of_exponentials(z);
        (normalization.loss(of_target), normalization.total())
    }
}

vectorized! {
    /// The loss of one row, and the gradients of its logits.
    fn row<T: Element>(z: &mut [f32], dz: &mut [T], target: usize, scale: f32) -> f64 {
        let (loss, total) = exponentials(z, target);
        let factor = scale / total;
        for (dz, z) in dz.iter_mut().zip(z.iter()) {
            *dz = T::narrow(*z * factor);
        }
        dz[target] = T::narrow(z[target] * factor - scale);
        loss
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use half::bf16;

    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7_919 + seed * 31) % 1_009) as f32 / 1_009.0 - 0.5).collect()
    }

    /// The loss and both gradients of a table in bf16.
    fn numbers<T: Element>(table: &[f32], vocabulary: usize, width: usize) -> Result<(f64, Vec<f32>, Vec<f32>)> {
        let (rows, device) = (5, Device::Cpu);
        let table = Tensor::from_slice(table, (vocabulary, width), &device)?.to_dtype(candle_core::DType::BF16)?;
        let h =
            Tensor::from_vec(values(rows * width, 2), (rows, width), &device)?.to_dtype(candle_core::DType::BF16)?;
        let h = h.to_dtype(T::DTYPE)?;
        let dw = Tensor::zeros((vocabulary, width), candle_core::DType::F32, &device)?;
        let targets = [0, 3, vocabulary as u32 - 1, 1, 2];
        let (loss, dh) = forward_backward::<T>(&h, &Weight::Bf16(table), None, &targets, 0.2, Trained::Table(&dw))?;
        Ok((loss, dh.flatten_all()?.to_vec1()?, dw.flatten_all()?.to_vec1()?))
    }

    #[test]
    fn an_odd_vocabulary_has_the_gradients_of_an_even_one_in_bf16() -> Result<()> {
        let (vocabulary, width) = (67, 32);
        let table = values(vocabulary * width, 1);
        let (loss, dh, dw) = numbers::<bf16>(&table, vocabulary, width)?;
        let (expected, expected_dh, expected_dw) = numbers::<f32>(&table, vocabulary, width)?;
        assert!((loss - expected).abs() < 1e-4 * expected, "{loss} {expected}");
        for (got, expected) in [(dh, expected_dh), (dw, expected_dw)] {
            let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
            let distance = norm(&mut got.iter().zip(&expected).map(|(got, expected)| got - expected));
            // Gradients of logits are rounded to bf16, by 2^-9 each.
            assert!(distance < 4e-3 * norm(&mut expected.iter().copied()), "{distance}");
        }
        Ok(())
    }
}
