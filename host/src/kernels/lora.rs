//! LoRA: y += scale · (drop(x) Aᵀ) Bᵀ, with x [rows, in], A [r, in], B [out, r], y [rows, out].
//!
//! t = drop(x) Aᵀ [rows, r] is saved. Backward, with dt = scale · dy B: dB += scale · dyᵀ t, dA += dtᵀ drop(x),
//! dx += drop(dt A). drop zeroes an element with probability p and divides the others by 1 − p; its mask is a function
//! of (seed, step, layer, module, element), so backward draws it again instead of keeping it.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::launch::{read, write};
use super::matmul::{Dense, Operand, Packed, Start, multiply};
use super::philox::{Purpose, key_of, philox};
use super::scratch::Scratch;

/// One module's dropout in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropout {
    /// Probability that an element is zeroed.
    pub(crate) probability: f64,
    /// The run's seed.
    pub(crate) seed: u64,
    /// The micro-batch, counted over the whole run.
    pub(crate) step: u32,
    /// The block's index.
    pub(crate) layer: u32,
    /// The projection's index.
    pub(crate) module: u32,
}

impl Dropout {
    /// y = drop(x), or y += drop(x).
    fn apply(&self, x: &[f32], y: &mut [f32], accumulate: bool) {
        const CHUNK: usize = 4 << 10;
        let key = key_of(self.seed);
        // A word below the threshold zeroes its element.
        let threshold = (self.probability * 4_294_967_296.0) as u32;
        let keep = (1.0 / (1.0 - self.probability)) as f32;
        // Layer and module share a word with the purpose: 20, 4 and 8 bits.
        let place = self.layer << 12 | self.module << 8 | Purpose::Dropout as u32;
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate().for_each(|(chunk, (y, x))| {
            for (four, (y, x)) in y.chunks_mut(4).zip(x.chunks(4)).enumerate() {
                let index = (chunk * CHUNK / 4 + four) as u64;
                let words = philox(key, [index as u32, (index >> 32) as u32, place, self.step]);
                for ((y, x), word) in y.iter_mut().zip(x).zip(words) {
                    let value = if word < threshold { 0.0 } else { x * keep };
                    *y = if accumulate { *y + value } else { value };
                }
            }
        });
    }

    fn dropped(&self, x: &Tensor) -> Result<Scratch> {
        let y = Scratch::arbitrary(x.shape(), x.device())?;
        write("dropout", [&y], [x], |[y], [x]| self.apply(x, y, false))?;
        Ok(y)
    }
}

/// The two factors of one module's update.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factors<'a> {
    pub(crate) a: &'a Tensor,
    pub(crate) b: &'a Tensor,
    pub(crate) scale: f32,
}

/// The two factors, packed for y += scale · (x Aᵀ) Bᵀ.
pub(crate) struct PackedFactors {
    a: Packed,
    b: Packed,
    rank: usize,
    scale: f32,
}

impl PackedFactors {
    pub(crate) fn new(factors: Factors<'_>) -> Result<Self> {
        let ((rank, inputs), (outputs, _)) = (factors.a.dims2()?, factors.b.dims2()?);
        read::<f32, 2, _>("lora", [factors.a, factors.b], |[a, b]| Self {
            a: Packed::of_transposed(&Dense::new(a, rank, inputs)),
            b: Packed::of_transposed(&Dense::new(b, outputs, rank)),
            rank,
            scale: factors.scale,
        })
    }

    /// t = x Aᵀ.
    fn inner(&self, x: &Tensor) -> Result<Scratch> {
        let (rows, inputs) = x.dims2()?;
        let t = Scratch::arbitrary((rows, self.rank), x.device())?;
        write("lora", [&t], [x], |[t], [x]| {
            multiply(Operand::rows_of(x, inputs), rows, self.a.all(), t, self.rank, 1.0, Start::Zero);
        })?;
        Ok(t)
    }

    /// Adds the update to y; returns t.
    pub(crate) fn forward(&self, x: &Tensor, y: &Tensor) -> Result<Scratch> {
        let (rows, outputs) = y.dims2()?;
        let t = self.inner(x)?;
        write("lora", [y], [&t], |[y], [t]| {
            multiply(Operand::rows_of(t, self.rank), rows, self.b.all(), y, outputs, self.scale, Start::Existing);
        })?;
        Ok(t)
    }
}

/// t alone, for a layer whose result is not needed again.
pub(crate) fn inner(x: &Tensor, factors: Factors<'_>, dropout: Option<&Dropout>) -> Result<Scratch> {
    let dropped = dropout.map(|dropout| dropout.dropped(x)).transpose()?;
    PackedFactors::new(factors)?.inner(dropped.as_deref().unwrap_or(x))
}

/// Adds the update to y; returns t.
pub(crate) fn forward(x: &Tensor, factors: Factors<'_>, dropout: Option<&Dropout>, y: &Tensor) -> Result<Scratch> {
    let dropped = dropout.map(|dropout| dropout.dropped(x)).transpose()?;
    PackedFactors::new(factors)?.forward(dropped.as_deref().unwrap_or(x), y)
}

/// Adds the gradients of A and B to `da` and `db`, and that of the input to `dx` where it is asked for.
pub(crate) fn backward(
    dy: &Tensor,
    x: &Tensor,
    t: &Tensor,
    factors: Factors<'_>,
    dropout: Option<&Dropout>,
    (da, db): (&Tensor, &Tensor),
    dx: Option<&Tensor>,
) -> Result<()> {
    let ((rows, inputs), (outputs, rank)) = (x.dims2()?, factors.b.dims2()?);
    let dropped = dropout.map(|dropout| dropout.dropped(x)).transpose()?;
    let x = dropped.as_deref().unwrap_or(x);
    let dt = Scratch::arbitrary((rows, rank), x.device())?;
    write("lora backward", [&dt, da, db], [dy, x, t, factors.b], |[dt, da, db], [dy, x, t, b]| {
        let packed = Packed::of(&Dense::new(b, outputs, rank));
        multiply(Operand::rows_of(dy, outputs), rows, packed.all(), dt, rank, factors.scale, Start::Zero);
        let packed = Packed::of(&Dense::new(t, rows, rank));
        multiply(Operand::columns_of(dy, outputs), outputs, packed.all(), db, rank, factors.scale, Start::Existing);
        let packed = Packed::of(&Dense::new(x, rows, inputs));
        multiply(Operand::columns_of(dt, rank), rank, packed.all(), da, inputs, 1.0, Start::Existing);
    })?;
    let Some(dx) = dx else { return Ok(()) };
    let product = |target: &mut [f32], dt: &[f32], a: &[f32], start: Start<'_>| {
        let packed = Packed::of(&Dense::new(a, rank, inputs));
        multiply(Operand::rows_of(dt, rank), rows, packed.all(), target, inputs, 1.0, start);
    };
    match dropout {
        None => write("lora backward", [dx], [&dt, factors.a], |[dx], [dt, a]| product(dx, dt, a, Start::Existing)),
        Some(dropout) => {
            let before = Scratch::arbitrary((rows, inputs), dx.device())?;
            write("lora backward", [dx, &before], [&dt, factors.a], |[dx, before], [dt, a]| {
                product(before, dt, a, Start::Zero);
                dropout.apply(before, dx, true);
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_keeps_its_share_and_its_mean() {
        let dropout = Dropout { probability: 0.25, seed: 3, step: 9, layer: 1, module: 2 };
        let x = vec![1.0; 1 << 18];
        let mut y = vec![0.0; x.len()];
        dropout.apply(&x, &mut y, false);
        let zeroed = y.iter().filter(|y| **y == 0.0).count() as f64 / y.len() as f64;
        assert!((zeroed - 0.25).abs() < 0.005, "{zeroed}");
        let mut again = vec![0.0; x.len()];
        dropout.apply(&x, &mut again, false);
        assert_eq!(y, again);
        Dropout { step: 10, ..dropout }.apply(&x, &mut again, false);
        assert_ne!(y, again);
    }
}
