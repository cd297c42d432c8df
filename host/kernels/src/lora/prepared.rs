//! The factors made ready for many small products, in decoding.

use candle_core::{Result, Tensor};

use super::composite;
use super::factors::{Factors, Inner};
use crate::composite::add;
use crate::launch::{read, write};
use crate::matmul::{Dense, Factor, Operand, Packed, Product, Shape, Start, multiply};
use crate::place::Body;
use crate::scratch::Scratch;

/// The two factors, ready for y += scale · (x Aᵀ) Bᵀ in f32.
pub enum PreparedFactors<'a> {
    /// Packed for the CPU's body.
    Packed(PackedFactors),
    /// As they are, for a composite.
    Factors(Factors<'a>),
}

impl<'a> PreparedFactors<'a> {
    /// Packs them if the CPU will read them.
    pub fn new(factors: Factors<'a>) -> Result<Self> {
        Ok(match Body::of(factors.a) {
            Body::Cpu => Self::Packed(PackedFactors::new(factors)?),
            Body::Composite | Body::Cuda => Self::Factors(factors),
        })
    }

    /// Adds the update to y.
    pub fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        match self {
            Self::Packed(factors) => factors.forward(x, y),
            Self::Factors(factors) => {
                let t = composite::inner::<f32>(x, *factors, None)?;
                add(y, &Inner::new(*factors, &t).forward_product::<f32>()?)
            }
        }
    }
}

/// The two factors, packed.
pub struct PackedFactors {
    a: Packed,
    b: Packed,
    rank: usize,
    scale: f32,
}

impl PackedFactors {
    fn new(factors: Factors<'_>) -> Result<Self> {
        let ((rank, inputs), (outputs, _)) = (factors.a.dims2()?, factors.b.dims2()?);
        read::<f32, 2, _>("lora", [factors.a, factors.b], |[a, b]| Self {
            a: Packed::of_transposed(&Dense::new(a, rank, inputs)),
            b: Packed::of_transposed(&Dense::new(b, outputs, rank)),
            rank,
            scale: factors.scale,
        })
    }

    fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        let ((rows, inputs), outputs) = (x.dims2()?, y.dims2()?.1);
        let t = Scratch::arbitrary((rows, self.rank), x.device())?;
        write("lora", [&t], [x], |[t], [x]| {
            let product = Product { a: Operand::rows_of(x, inputs), b: Factor::Packed(self.a.all()) };
            multiply(&[product], Shape::new(rows, self.rank), t, self.scale, Start::Zero);
        })?;
        write("lora", [y], [&t], |[y], [t]| {
            let product = Product { a: Operand::rows_of(t, self.rank), b: Factor::Packed(self.b.all()) };
            multiply(&[product], Shape::new(rows, outputs), y, 1.0, Start::Existing);
        })
    }
}
