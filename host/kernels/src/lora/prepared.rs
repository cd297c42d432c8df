//! The factors made ready for many passes of few rows.

use candle_core::{Result, Tensor};

use super::composite;
use super::factors::{Factors, Inner};
use crate::composite::add;
use crate::element::Element;
use crate::launch::{launch, read, view};
use crate::matmul::{Dense, Factor, Operand, Packed, Product, Shape, Start, multiply};
use crate::place::Body;
use crate::scratch::Scratch;

/// The two factors, ready for y += scale · (x Aᵀ) Bᵀ with x in T and y in f32. On the CPU, after the product of the base in
/// f32, a row of y has the sums of the pass that adds up both (`linear::forward`).
pub struct PreparedFactors<'a, T>(Kept<'a, T>);

enum Kept<'a, T> {
    /// Packed for the CPU's body.
    Packed(PackedFactors<T>),
    /// As they are, for a composite.
    Factors(Factors<'a>),
}

impl<'a, T: Element> PreparedFactors<'a, T> {
    /// Packs them if the CPU will read them.
    pub fn new(factors: Factors<'a>) -> Result<Self> {
        Ok(Self(match Body::of(factors.a) {
            Body::Cpu => Kept::Packed(PackedFactors::new(factors)?),
            Body::Composite | Body::Cuda => Kept::Factors(factors),
        }))
    }

    /// Adds the update to y.
    pub fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        match &self.0 {
            Kept::Packed(factors) => factors.forward(x, y),
            Kept::Factors(factors) => {
                let t = composite::inner::<T>(x, *factors, None)?;
                add(y, &Inner::new(*factors, &t).forward_product::<T>()?)
            }
        }
    }
}

/// The two factors, packed.
struct PackedFactors<T> {
    a: Packed<T>,
    /// Of as many rows as t has columns.
    b: Packed<T>,
    rank: usize,
    columns: usize,
    scale: f32,
}

impl<T: Element> PackedFactors<T> {
    fn new(factors: Factors<'_>) -> Result<Self> {
        let ((rank, inputs), (outputs, _)) = (factors.a.dims2()?, factors.b.dims2()?);
        let columns = factors.columns()?;
        read::<f32, 2, _>("lora", [factors.a, factors.b], |[a, b]| {
            let mut even = vec![0.0; outputs * columns];
            for (even, row) in even.chunks_exact_mut(columns).zip(b.chunks_exact(rank)) {
                even[..rank].copy_from_slice(row);
            }
            Self {
                a: Packed::of_transposed(&Dense::new(a, rank, inputs)),
                b: Packed::of_transposed(&Dense::new(&even, outputs, columns)),
                rank,
                columns,
                scale: factors.scale,
            }
        })
    }

    fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        let ((rows, inputs), outputs) = (x.dims2()?, y.dims2()?.1);
        let t = Scratch::of::<T>((rows, self.columns), x.device())?;
        let x = view::<T>("lora", x)?;
        launch::<T, 1, _>("lora", [&t], |[t]| {
            if self.rank < self.columns {
                t.fill(T::zero());
            }
            let product = Product { a: Operand::rows_of(&x, inputs), b: Factor::Packed(self.a.all()) };
            let shape = Shape { rows, columns: self.rank, stride: self.columns };
            multiply(&[product], shape, t, self.scale, Start::Zero);
        })?;
        let t = view::<T>("lora", &t)?;
        launch::<f32, 1, _>("lora", [y], |[y]| {
            let product = Product { a: Operand::rows_of(&t, self.columns), b: Factor::Packed(self.b.all()) };
            multiply(&[product], Shape::new(rows, outputs), y, 1.0, Start::Existing);
        })
    }
}
