//! The linear layer: y = x Wᵀ + b, with x [rows, in], W [out, in], b [out], y [rows, out].
//!
//! W is dense in f32, bf16 or f16, or in 4 bits (NF4, AWQ); it is converted to the type of x while it is packed for the
//! product. Backward: dx += dy W; for trained weights dW += dyᵀ x and db += Σ_rows dy. A frozen weight never gets a
//! gradient product.

use candle_core::{DType, Device, Result, Tensor, bail};
use half::{bf16, f16};
use rayon::prelude::*;

use super::awq::AwqMatrix;
use super::composite::coded_matrix::CodedMatrix;
use super::composite::{self, serves_weight};
use super::element::Element;
use super::launch::{launch, read, view};
use super::lora::Inner;
use super::matmul::{
    Columns, Dense, Factor, Operand, Packed, Product, RowSource, Shape, Start, ZeroExtended, multiply,
};
use super::nf4::Nf4Matrix;
use super::simd::vectorized;

/// A weight matrix in one of its forms.
#[derive(Debug, Clone)]
pub enum Weight {
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
    /// Either of these on another device.
    Coded(Box<CodedMatrix>),
}

/// A dense matrix in f16.
struct F16Rows<'a> {
    values: &'a [f16],
    rows: usize,
    columns: usize,
}

impl RowSource for F16Rows<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read(&self, row: usize, column: usize, target: &mut [f32]) {
        let start = row * self.columns + column;
        for (target, value) in target.iter_mut().zip(&self.values[start..]) {
            *target = value.to_f32();
        }
    }
}

impl Weight {
    /// (out, in).
    pub fn dims(&self) -> Result<(usize, usize)> {
        match self {
            Self::F32(weight) | Self::Bf16(weight) | Self::F16(weight) => weight.dims2(),
            Self::Nf4(weight) => Ok((weight.rows(), weight.columns())),
            Self::Awq(weight) => Ok((weight.rows(), weight.columns())),
            Self::Coded(weight) => Ok(weight.dims()),
        }
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F32(weight) | Self::Bf16(weight) | Self::F16(weight) => {
                weight.elem_count() * weight.dtype().size_in_bytes()
            }
            Self::Nf4(weight) => weight.bytes(),
            Self::Awq(weight) => weight.bytes(),
            Self::Coded(weight) => weight.bytes(),
        }
    }

    /// The weight in the memory of a device; 4 bits stay 4 bits.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if device.is_cpu() { Ok(self.clone()) } else { self.uploaded(device) }
    }

    /// The weight as composites read it.
    pub fn uploaded(&self, device: &Device) -> Result<Self> {
        Ok(match self {
            Self::F32(weight) => Self::F32(weight.to_device(device)?),
            Self::Bf16(weight) => Self::Bf16(weight.to_device(device)?),
            Self::F16(weight) => Self::F16(weight.to_device(device)?),
            Self::Nf4(weight) => Self::Coded(Box::new(CodedMatrix::of_nf4(weight, device)?)),
            Self::Awq(weight) => Self::Coded(Box::new(CodedMatrix::of_awq(weight, device)?)),
            Self::Coded(weight) => Self::Coded(weight.clone()),
        })
    }

    /// The tensor of a weight in f32, the only kind that can be trained.
    pub fn dense(&self) -> Option<&Tensor> {
        match self {
            Self::F32(weight) => Some(weight),
            Self::Bf16(_) | Self::F16(_) | Self::Nf4(_) | Self::Awq(_) | Self::Coded(_) => None,
        }
    }

    /// The device the weight is on.
    pub fn device(&self) -> &Device {
        match self {
            Self::F32(weight) | Self::Bf16(weight) | Self::F16(weight) => weight.device(),
            Self::Nf4(_) | Self::Awq(_) => &Device::Cpu,
            Self::Coded(weight) => weight.device(),
        }
    }

    /// Lends the weight as rows in f32.
    pub fn with_rows<R>(&self, body: impl FnOnce(&dyn RowSource) -> R) -> Result<R> {
        let (rows, columns) = self.dims()?;
        match self {
            Self::F32(weight) => {
                read::<f32, 1, _>("linear", [weight], |[values]| body(&Dense::new(values, rows, columns)))
            }
            Self::Bf16(weight) => {
                read::<bf16, 1, _>("linear", [weight], |[values]| body(&Dense::new(values, rows, columns)))
            }
            Self::F16(weight) => {
                read::<f16, 1, _>("linear", [weight], |[values]| body(&F16Rows { values, rows, columns }))
            }
            Self::Nf4(weight) => Ok(body(&**weight)),
            Self::Awq(weight) => Ok(body(&**weight)),
            Self::Coded(_) => bail!("linear: the weight is laid out for composites"),
        }
    }

    /// The weight made ready for many products in f32; it is widened for good with `widen`, else for each product.
    pub fn prepared(&self, widen: bool) -> Result<Prepared<'_>> {
        if !widen {
            return Ok(Prepared::AsItIs(self));
        }
        if serves_weight(self) {
            return Ok(Prepared::Dense(composite::linear::dense_of_type(self, DType::F32)?));
        }
        Ok(Prepared::Packed(self.with_rows(|rows| Packed::of_transposed(rows))?))
    }
}

/// A weight that y = x Wᵀ is computed with many times.
pub enum Prepared<'a> {
    /// Wᵀ in f32, packed for the CPU's body.
    Packed(Packed),
    /// W [out, in] in f32, for a composite.
    Dense(Tensor),
    /// Widened anew each time: the same numbers in less memory.
    AsItIs(&'a Weight),
}

/// What y holds before x Wᵀ is added.
#[derive(Debug, Clone, Copy)]
pub enum Onto<'a> {
    /// Nothing.
    Nothing,
    /// The bias in every row.
    Bias(&'a Tensor),
    /// What it held.
    Existing,
}

/// y = x Wᵀ on top of what `onto` says, in f32 for W made ready before.
pub fn forward_prepared(x: &Tensor, weight: &Prepared<'_>, onto: Onto<'_>, y: &Tensor) -> Result<()> {
    let weight = match weight {
        Prepared::Packed(weight) => weight,
        Prepared::Dense(weight) => return composite::linear::forward_dense(x, weight, onto, y),
        Prepared::AsItIs(weight) => return forward::<f32, f32>(x, weight, None, onto, y),
    };
    let depth = x.dims2()?.1;
    let x = view::<f32>("linear", x)?;
    let product = Product { a: Operand::rows_of(&x, depth), b: Factor::Packed(weight.all()) };
    forward_products::<f32, f32>(&[product], onto, y)
}

/// y = x Wᵀ + t Bᵀ on top of what `onto` says: x in T, y in T or f32, and the update of a LoRA where there is one.
pub fn forward<T: Element, Y: Element>(
    x: &Tensor,
    weight: &Weight,
    update: Option<&Inner<'_>>,
    onto: Onto<'_>,
    y: &Tensor,
) -> Result<()> {
    if composite::serves(x) {
        return composite::linear::forward::<T>(x, weight, update, onto, y);
    }
    let depth = x.dims2()?.1;
    let x = view::<T>("linear", x)?;
    weight.with_rows(|rows| {
        let product = Product { a: Operand::rows_of(&x, depth), b: Factor::<T>::Transposed(rows) };
        match update {
            None => forward_products::<T, Y>(&[product], onto, y),
            Some(update) => update.with_forward(|update| forward_products::<T, Y>(&[product, update], onto, y))?,
        }
    })?
}

/// The products of a forward pass, on top of what `onto` says.
fn forward_products<T: Element, Y: Element>(products: &[Product<'_, T>], onto: Onto<'_>, y: &Tensor) -> Result<()> {
    let (rows, columns) = y.dims2()?;
    let shape = Shape::new(rows, columns);
    let bias = match onto {
        Onto::Bias(bias) => Some(view::<f32>("linear", bias)?),
        Onto::Nothing | Onto::Existing => None,
    };
    let start = match (&bias, onto) {
        (Some(bias), _) => Start::Row(bias),
        (None, Onto::Existing) => Start::Existing,
        (None, _) => Start::Zero,
    };
    launch::<Y, 1, _>("linear", [y], |[y]| multiply(products, shape, y, 1.0, start))
}

/// dx = dy W + dt A, or dx += …: dy in T, dx in T or f32, and the part of a LoRA where there is one.
pub fn backward<T: Element, X: Element>(
    dy: &Tensor,
    weight: &Weight,
    update: Option<&Inner<'_>>,
    dx: &Tensor,
    accumulate: bool,
) -> Result<()> {
    if composite::serves(dy) {
        return composite::linear::backward::<T>(dy, weight, update, dx, accumulate);
    }
    let depth = dy.dims2()?.1;
    let (rows, columns) = dx.dims2()?;
    let start = if accumulate { Start::Existing } else { Start::Zero };
    let dy = view::<T>("linear backward", dy)?;
    weight.with_rows(|source| {
        let product = Product { a: Operand::rows_of(&dy, depth), b: Factor::<T>::Straight(source) };
        let run = |products: &[Product<'_, T>]| {
            launch::<X, 1, _>("linear backward", [dx], |[dx]| {
                multiply(products, Shape::new(rows, columns), dx, 1.0, start);
            })
        };
        match update {
            None => run(&[product]),
            Some(update) => update.with_backward(|update| run(&[product, update]))?,
        }
    })?
}

/// dW += alpha · dyᵀ x, in f32 for dy and x in T.
pub fn backward_weight<T: Element>(dy: &Tensor, x: &Tensor, alpha: f32, dw: &Tensor) -> Result<()> {
    const NAME: &str = "linear backward of the weight";
    if composite::serves(dy) {
        return composite::linear::backward_weight(dy, x, alpha, dw);
    }
    let ((rows, outputs), inputs) = (dy.dims2()?, x.dims2()?.1);
    let (dy, x) = (view::<T>(NAME, dy)?, view::<T>(NAME, x)?);
    let dy = Columns::<T>::of(&dy, rows, outputs, outputs);
    let x = Dense::new(&x[..], rows, inputs);
    let product = Product { a: dy.operand(), b: Factor::<T>::Straight(&ZeroExtended::to_even(&x)) };
    launch::<f32, 1, _>(NAME, [dw], |[dw]| {
        multiply(&[product], Shape::new(outputs, inputs), dw, alpha, Start::Existing);
    })
}

vectorized! {
    fn column_sums<T: Element>(dy: &[T], width: usize) -> Vec<f32> {
        let mut sums = vec![0.0f32; width];
        for dy in dy.chunks_exact(width) {
            sums.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy.widen());
        }
        sums
    }
}

/// db += Σ_rows dy, in a fixed partition of the rows.
pub fn backward_bias<T: Element>(dy: &Tensor, db: &Tensor) -> Result<()> {
    const NAME: &str = "linear backward of the bias";
    const ROWS: usize = 64;
    if composite::serves(dy) {
        return composite::linear::backward_bias(dy, db);
    }
    let width = dy.dims2()?.1;
    let dy = view::<T>(NAME, dy)?;
    launch::<f32, 1, _>(NAME, [db], |[db]| {
        for sums in dy.par_chunks(ROWS * width).map(|dy| column_sums(dy, width)).collect::<Vec<_>>() {
            db.iter_mut().zip(sums).for_each(|(db, sum)| *db += sum);
        }
    })
}
