//! Cross-entropy fused with the output layer, in chunks of rows: loss = Σ_rows (logsumexp(z) − z[target]) with
//! z = h Wᵀ, h [rows, width], W [vocabulary, width].
//!
//! The gradient dz = (softmax(z) − onehot(target)) · scale replaces z in place, and dh = dz W and dW += dzᵀ h are taken
//! chunk by chunk: all logits together never exist. Rows are those that predict a target; the caller gathers them.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::launch::write;
use super::linear::Weight;
use super::matmul::{Dense, Operand, Packed, Start, multiply};
use super::scratch::Scratch;
use super::simd::{exp, maximum, sum, vectorized};

/// Rows of a chunk.
const CHUNK: usize = 256;

/// The summed loss in nats, and the gradient of h scaled by `scale`; dW is added to `dw` where it is given.
pub(crate) fn forward_backward(
    h: &Tensor,
    weight: &Weight,
    targets: &[u32],
    scale: f32,
    dw: Option<&Tensor>,
) -> Result<(f64, Scratch)> {
    let ((rows, width), (vocabulary, _)) = (h.dims2()?, weight.dims()?);
    let dh = Scratch::arbitrary((rows, width), h.device())?;
    let (transposed, straight) = (weight.packed_transposed()?, weight.packed()?);
    let chunk_rows = CHUNK.min(rows);
    let logits = Scratch::arbitrary((chunk_rows, vocabulary), h.device())?;
    let mut loss = 0.0;
    let mut run = |dh: &mut [f32], logits: &mut [f32], h: &[f32], mut dw: Option<&mut [f32]>| {
        let chunks =
            h.chunks(chunk_rows * width).zip(dh.chunks_mut(chunk_rows * width)).zip(targets.chunks(chunk_rows));
        for ((h, dh), targets) in chunks {
            let count = targets.len();
            let logits = &mut logits[..count * vocabulary];
            multiply(Operand::rows_of(h, width), count, transposed.all(), logits, vocabulary, 1.0, Start::Zero);
            let losses: Vec<f64> = logits
                .par_chunks_mut(vocabulary)
                .zip(targets)
                .map(|(z, target)| row(z, *target as usize, scale))
                .collect();
            loss += losses.iter().sum::<f64>();
            multiply(Operand::rows_of(logits, vocabulary), count, straight.all(), dh, width, 1.0, Start::Zero);
            if let Some(dw) = dw.as_deref_mut() {
                let packed = Packed::of(&Dense::new(h, count, width));
                let dz = Operand::columns_of(logits, vocabulary);
                multiply(dz, vocabulary, packed.all(), dw, width, 1.0, Start::Existing);
            }
        }
    };
    match dw {
        Some(dw) => {
            write("cross-entropy", [&dh, &logits, dw], [h], |[dh, logits, dw], [h]| run(dh, logits, h, Some(dw)))?
        }
        None => write("cross-entropy", [&dh, &logits], [h], |[dh, logits], [h]| run(dh, logits, h, None))?,
    }
    Ok((loss, dh))
}

vectorized! {
    /// The loss of one row; its logits become their gradient.
    fn row(z: &mut [f32], target: usize, scale: f32) -> f64 {
        let greatest = maximum(z);
        let of_target = z[target];
        z.iter_mut().for_each(|z| *z = exp(*z - greatest));
        let total = sum(z);
        let factor = scale / total;
        z.iter_mut().for_each(|z| *z *= factor);
        z[target] -= scale;
        f64::from(greatest) - f64::from(of_target) + f64::from(total).ln()
    }
}
