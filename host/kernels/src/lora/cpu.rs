//! LoRA on the CPU. A and B are packed for the matrix product; in bf16 they are rounded there, and t has a column of zeros
//! if r is odd.

use candle_core::{Result, Tensor};

use super::dropout::Dropout;
use super::factors::{Factors, Inner};
use crate::element::Element;
use crate::launch::{launch, view, write};
use crate::matmul::{Columns, Dense, Factor, Operand, Product, Shape, Start, ZeroExtended, multiply};
use crate::scratch::Scratch;

const NAME: &str = "lora backward";

impl Inner<'_> {
    /// Lends t Bᵀ.
    pub(crate) fn with_forward<T: Element, R>(&self, body: impl FnOnce(Product<'_, T>) -> R) -> Result<R> {
        let (outputs, rank) = self.factors.b.dims2()?;
        let b = view::<f32>("lora", self.factors.b)?;
        let columns = self.factors.columns()?;
        let product = view::<T>("lora", self.product)?;
        let a = Operand::rows_of(&product, columns);
        if rank == columns {
            return Ok(body(Product { a, b: Factor::Transposed(&Dense::new(&b[..], outputs, rank)) }));
        }
        let mut even = vec![0.0; outputs * columns];
        for (even, row) in even.chunks_exact_mut(columns).zip(b.chunks_exact(rank)) {
            even[..rank].copy_from_slice(row);
        }
        Ok(body(Product { a, b: Factor::Transposed(&Dense::new(&even, outputs, columns)) }))
    }

    /// Lends dt A.
    pub(crate) fn with_backward<T: Element, R>(&self, body: impl FnOnce(Product<'_, T>) -> R) -> Result<R> {
        let (rank, inputs) = self.factors.a.dims2()?;
        let a = view::<f32>("lora backward", self.factors.a)?;
        let product = view::<T>("lora backward", self.product)?;
        let rows = Dense::new(&a[..], rank, inputs);
        let b = Factor::Straight(&ZeroExtended::to_even(&rows));
        Ok(body(Product { a: Operand::rows_of(&product, self.factors.columns()?), b }))
    }
}

/// drop(x).
pub(super) fn dropped<T: Element>(dropout: &Dropout, x: &Tensor) -> Result<Scratch> {
    let y = Scratch::of::<T>(x.shape(), x.device())?;
    let x = view::<T>("dropout", x)?;
    launch::<T, 1, _>("dropout", [&y], |[y]| dropout.apply(&x, y, false))?;
    Ok(y)
}

/// t = scale · drop(x) Aᵀ.
pub(super) fn inner<T: Element>(x: &Tensor, factors: Factors<'_>, dropout: Option<&Dropout>) -> Result<Scratch> {
    let ((rows, inputs), rank) = (x.dims2()?, factors.a.dims2()?.0);
    let dropped = dropout.map(|dropout| dropped::<T>(dropout, x)).transpose()?;
    let columns = factors.columns()?;
    let t = Scratch::of::<T>((rows, columns), x.device())?;
    let x = view::<T>("lora", dropped.as_deref().unwrap_or(x))?;
    let a = view::<f32>("lora", factors.a)?;
    launch::<T, 1, _>("lora", [&t], |[t]| {
        if rank < columns {
            t.fill(T::zero());
        }
        let a = Dense::new(&a[..], rank, inputs);
        let product = Product { a: Operand::rows_of(&x, inputs), b: Factor::<T>::Transposed(&a) };
        multiply(&[product], Shape { rows, columns: rank, stride: columns }, t, factors.scale, Start::Zero);
    })?;
    Ok(t)
}

/// Adds the gradients of A and B to `da` and `db`; returns dt.
pub(super) fn backward<T: Element>(
    dy: &Tensor,
    x: &Tensor,
    t: &Tensor,
    factors: Factors<'_>,
    dropout: Option<&Dropout>,
    (da, db): (&Tensor, &Tensor),
) -> Result<Scratch> {
    let (rows, (outputs, rank)) = (x.dims2()?.0, factors.b.dims2()?);
    let columns = factors.columns()?;
    let dt = Scratch::of::<T>((rows, columns), x.device())?;
    let (dy, t, b) = (view::<T>(NAME, dy)?, view::<T>(NAME, t)?, view::<f32>(NAME, factors.b)?);
    let dy_rows = Dense::new(&dy[..], rows, outputs);
    launch::<T, 1, _>(NAME, [&dt], |[dt]| {
        if rank < columns {
            dt.fill(T::zero());
        }
        let b = Dense::new(&b[..], outputs, rank);
        let product = Product { a: Operand::rows_of(&dy, outputs), b: Factor::<T>::Straight(&b) };
        multiply(&[product], Shape { rows, columns: rank, stride: columns }, dt, factors.scale, Start::Zero);
    })?;
    // dBᵀ = tᵀ dy: few rows, which the tile likes better than few columns.
    let transposed = Scratch::arbitrary((rank, outputs), factors.b.device())?;
    launch::<f32, 1, _>(NAME, [&transposed], |[transposed]| {
        let t = Columns::<T>::of(&t, rows, columns, columns);
        let product = Product { a: t.operand(), b: Factor::<T>::Straight(&ZeroExtended::to_even(&dy_rows)) };
        multiply(&[product], Shape::new(rank, outputs), transposed, 1.0, Start::Zero);
    })?;
    write(NAME, [db], [&transposed], |[db], [transposed]| {
        for (r, transposed) in transposed.chunks_exact(outputs).enumerate() {
            db[r..].iter_mut().step_by(rank).zip(transposed).for_each(|(db, value)| *db += value);
        }
    })?;
    backward_a::<T>(&dt, x, factors, dropout, da)?;
    Ok(dt)
}

/// dA += dtᵀ drop(x).
pub(super) fn backward_a<T: Element>(
    dt: &Tensor,
    x: &Tensor,
    factors: Factors<'_>,
    dropout: Option<&Dropout>,
    da: &Tensor,
) -> Result<()> {
    let ((rows, inputs), rank, columns) = (x.dims2()?, factors.a.dims2()?.0, factors.columns()?);
    let dropped = dropout.map(|dropout| dropped::<T>(dropout, x)).transpose()?;
    let x = view::<T>(NAME, dropped.as_deref().unwrap_or(x))?;
    let x_rows = Dense::new(&x[..], rows, inputs);
    let dt_columns = Columns::<T>::of(&view::<T>(NAME, dt)?, rows, columns, columns);
    launch::<f32, 1, _>(NAME, [da], |[da]| {
        let product = Product { a: dt_columns.operand(), b: Factor::<T>::Straight(&ZeroExtended::to_even(&x_rows)) };
        multiply(&[product], Shape::new(rank, inputs), da, 1.0, Start::Existing);
    })
}

/// dx += dt A.
pub(super) fn backward_x<T: Element, X: Element>(update: &Inner<'_>, dx: &Tensor, start: Start<'_>) -> Result<()> {
    let (rows, inputs) = dx.dims2()?;
    launch::<X, 1, _>(NAME, [dx], |[dx]| {
        update.with_backward::<T, _>(|product| {
            multiply(&[product], Shape::new(rows, inputs), dx, 1.0, start);
        })
    })?
}

/// dx += drop(dt A), when dropout stands between the update and the product of the base.
pub(super) fn backward_dropped<T: Element, X: Element>(
    update: &Inner<'_>,
    dropout: &Dropout,
    dx: &Tensor,
) -> Result<()> {
    let before = Scratch::arbitrary(dx.shape(), dx.device())?;
    backward_x::<T, f32>(update, &before, Start::Zero)?;
    add_dropped::<X>(&before, dropout, dx)
}

/// dx += drop(before), for a gradient in f32.
pub(super) fn add_dropped<X: Element>(before: &Tensor, dropout: &Dropout, dx: &Tensor) -> Result<()> {
    let before = view::<f32>("dropout", before)?;
    launch::<X, 1, _>("dropout", [dx], |[dx]| dropout.apply(&before, dx, true))
}
