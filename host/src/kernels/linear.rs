//! The linear layer: y = x Wᵀ + b, with x [rows, in], W [out, in], b [out], y [rows, out].
//!
//! W is dense in f32, bf16 or f16, or in 4 bits (NF4, AWQ); it is widened to f32 while it is packed for the product.
//! Backward: dx += dy W; for trained weights dW += dyᵀ x and db += Σ_rows dy. A frozen weight never gets a gradient product.

use candle_core::{Device, Result, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;

use super::awq::AwqMatrix;
use super::launch::{read, write};
use super::matmul::{Dense, Operand, Packed, RowSource, Start, multiply};
use super::nf4::Nf4Matrix;
use super::simd::vectorized;

/// A weight matrix in one of its forms.
#[derive(Debug, Clone)]
pub(crate) enum Weight {
    /// 32 bits.
    F32(Tensor),
    /// 16 bits, of which 8 are the exponent.
    Bf16(Tensor),
    /// 16 bits, of which 5 are the exponent.
    F16(Tensor),
    /// 4 bits, quantiles of a normal distribution.
    Nf4(Box<Nf4Matrix>),
    /// 4 bits, evenly spaced.
    Awq(Box<AwqMatrix>),
}

/// A dense matrix of 16 bits an element.
struct HalfRows<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
}

impl<T: Copy + Into<f32> + Sync> RowSource for HalfRows<'_, T> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read<'b>(&'b self, row: usize, column: usize, length: usize, buffer: &'b mut [f32]) -> &'b [f32] {
        let start = row * self.columns + column;
        for (target, value) in buffer.iter_mut().zip(&self.values[start..start + length]) {
            *target = (*value).into();
        }
        &buffer[..length]
    }
}

impl Weight {
    /// (out, in).
    pub(crate) fn dims(&self) -> Result<(usize, usize)> {
        match self {
            Self::F32(weight) | Self::Bf16(weight) | Self::F16(weight) => weight.dims2(),
            Self::Nf4(weight) => Ok((weight.rows(), weight.columns())),
            Self::Awq(weight) => Ok((weight.rows(), weight.columns())),
        }
    }

    /// The tensor of a weight in f32, the only kind that can be trained.
    pub(crate) fn dense(&self) -> Option<&Tensor> {
        match self {
            Self::F32(weight) => Some(weight),
            Self::Bf16(_) | Self::F16(_) | Self::Nf4(_) | Self::Awq(_) => None,
        }
    }

    /// The device the weight is on.
    pub(crate) fn device(&self) -> &Device {
        match self {
            Self::F32(weight) | Self::Bf16(weight) | Self::F16(weight) => weight.device(),
            Self::Nf4(_) | Self::Awq(_) => &Device::Cpu,
        }
    }

    /// Lends the weight as rows in f32.
    pub(crate) fn with_rows<R>(&self, body: impl FnOnce(&dyn RowSource) -> R) -> Result<R> {
        let (rows, columns) = self.dims()?;
        match self {
            Self::F32(weight) => {
                read::<f32, 1, _>("linear", [weight], |[values]| body(&Dense::new(values, rows, columns)))
            }
            Self::Bf16(weight) => {
                read::<bf16, 1, _>("linear", [weight], |[values]| body(&HalfRows { values, rows, columns }))
            }
            Self::F16(weight) => {
                read::<f16, 1, _>("linear", [weight], |[values]| body(&HalfRows { values, rows, columns }))
            }
            Self::Nf4(weight) => Ok(body(&**weight)),
            Self::Awq(weight) => Ok(body(&**weight)),
        }
    }

    /// Wᵀ, packed for y = x Wᵀ.
    pub(crate) fn packed_transposed(&self) -> Result<Packed> {
        self.with_rows(|rows| Packed::of_transposed(rows))
    }

    /// W, packed for dx = dy W.
    pub(crate) fn packed(&self) -> Result<Packed> {
        self.with_rows(|rows| Packed::of(rows))
    }
}

/// What y holds before x Wᵀ is added.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Onto<'a> {
    /// Nothing.
    Nothing,
    /// The bias in every row.
    Bias(&'a Tensor),
    /// What it held.
    Existing,
}

/// y = x Wᵀ on top of what `onto` says, for Wᵀ already packed.
pub(crate) fn forward(x: &Tensor, weight: &Packed, onto: Onto<'_>, y: &Tensor) -> Result<()> {
    let ((rows, depth), columns) = (x.dims2()?, y.dims2()?.1);
    let run = |y: &mut [f32], x: &[f32], start: Start<'_>| {
        multiply(Operand::rows_of(x, depth), rows, weight.all(), y, columns, 1.0, start);
    };
    match onto {
        Onto::Nothing => write("linear", [y], [x], |[y], [x]| run(y, x, Start::Zero)),
        Onto::Existing => write("linear", [y], [x], |[y], [x]| run(y, x, Start::Existing)),
        Onto::Bias(bias) => write("linear", [y], [x, bias], |[y], [x, bias]| run(y, x, Start::Row(bias))),
    }
}

/// dx = dy W, or dx += dy W.
pub(crate) fn backward(dy: &Tensor, weight: &Weight, dx: &Tensor, accumulate: bool) -> Result<()> {
    let ((rows, depth), columns) = (dy.dims2()?, dx.dims2()?.1);
    let packed = weight.packed()?;
    let start = if accumulate { Start::Existing } else { Start::Zero };
    write("linear backward", [dx], [dy], |[dx], [dy]| {
        multiply(Operand::rows_of(dy, depth), rows, packed.all(), dx, columns, 1.0, start);
    })
}

/// dW += alpha · dyᵀ x.
pub(crate) fn backward_weight(dy: &Tensor, x: &Tensor, alpha: f32, dw: &Tensor) -> Result<()> {
    let ((rows, outputs), inputs) = (dy.dims2()?, x.dims2()?.1);
    write("linear backward of the weight", [dw], [dy, x], |[dw], [dy, x]| {
        let packed = Packed::of(&Dense::new(x, rows, inputs));
        multiply(Operand::columns_of(dy, outputs), outputs, packed.all(), dw, inputs, alpha, Start::Existing);
    })
}

vectorized! {
    fn column_sums(dy: &[f32], width: usize) -> Vec<f32> {
        let mut sums = vec![0.0f32; width];
        for dy in dy.chunks_exact(width) {
            sums.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
        }
        sums
    }
}

/// db += Σ_rows dy, in a fixed partition of the rows.
pub(crate) fn backward_bias(dy: &Tensor, db: &Tensor) -> Result<()> {
    const ROWS: usize = 64;
    let width = dy.dims2()?.1;
    write("linear backward of the bias", [db], [dy], |[db], [dy]| {
        for sums in dy.par_chunks(ROWS * width).map(|dy| column_sums(dy, width)).collect::<Vec<_>>() {
            db.iter_mut().zip(sums).for_each(|(db, sum)| *db += sum);
        }
    })
}
