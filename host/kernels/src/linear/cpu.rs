//! The linear layer on the CPU: all products of a pass are added up by one call of the matrix product.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::onto::Onto;
use super::weight::Weight;
use crate::element::Element;
use crate::launch::{launch, view};
use crate::lora::Inner;
use crate::matmul::{Columns, Dense, Factor, Operand, Product, Shape, Start, ZeroExtended, multiply};
use crate::simd::vectorized;

/// y = x Wᵀ + t Bᵀ on top of what `onto` says: x in T, y in T or f32, and the update of a LoRA if there is one.
pub(super) fn forward<T: Element, Y: Element>(
    x: &Tensor,
    weight: &Weight,
    update: Option<&Inner<'_>>,
    onto: Onto<'_>,
    y: &Tensor,
) -> Result<()> {
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

/// dx = dy W + dt A, or dx += …: dy in T, dx in T or f32, and the part of a LoRA if there is one.
pub(super) fn backward<T: Element, X: Element>(
    dy: &Tensor,
    weight: &Weight,
    update: Option<&Inner<'_>>,
    dx: &Tensor,
    accumulate: bool,
) -> Result<()> {
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
pub(super) fn backward_weight<T: Element>(dy: &Tensor, x: &Tensor, alpha: f32, dw: &Tensor) -> Result<()> {
    const NAME: &str = "linear backward of the weight";
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
pub(super) fn backward_bias<T: Element>(dy: &Tensor, db: &Tensor) -> Result<()> {
    const NAME: &str = "linear backward of the bias";
    const ROWS: usize = 64;
    let width = dy.dims2()?.1;
    let dy = view::<T>(NAME, dy)?;
    launch::<f32, 1, _>(NAME, [db], |[db]| {
        for sums in dy.par_chunks(ROWS * width).map(|dy| column_sums(dy, width)).collect::<Vec<_>>() {
            db.iter_mut().zip(sums).for_each(|(db, sum)| *db += sum);
        }
    })
}
