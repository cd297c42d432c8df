//! The two factors of an update, and the product of one of them that waits for the other.

use candle_core::{Result, Tensor};

/// The two factors of one module's update.
#[derive(Debug, Clone, Copy)]
pub struct Factors<'a> {
    /// A, [rank, in].
    pub a: &'a Tensor,
    /// B, [out, rank].
    pub b: &'a Tensor,
    /// What multiplies the update: alpha / rank, or alpha / √rank.
    pub scale: f32,
}

impl Factors<'_> {
    /// Columns of t.
    pub(crate) fn columns(&self) -> Result<usize> {
        Ok(self.a.dims2()?.0.next_multiple_of(2))
    }
}

/// t or dt, ready to be multiplied by B or A beside the product of the base.
#[derive(Clone, Copy)]
pub struct Inner<'a> {
    pub(super) factors: Factors<'a>,
    pub(super) product: &'a Tensor,
}

impl<'a> Inner<'a> {
    /// Of what `inner` or `backward` returned.
    pub fn new(factors: Factors<'a>, product: &'a Tensor) -> Self {
        Self { factors, product }
    }

    /// The factors.
    pub(crate) fn factors(&self) -> Factors<'a> {
        self.factors
    }

    /// t or dt.
    pub(crate) fn product(&self) -> &'a Tensor {
        self.product
    }

    /// The same factors with another product.
    pub(crate) fn of<'b>(&self, product: &'b Tensor) -> Inner<'b>
    where
        'a: 'b,
    {
        Inner { factors: self.factors, product }
    }
}
