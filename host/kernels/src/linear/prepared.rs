//! A weight made ready for many products.

use candle_core::{DType, Result, Tensor};

use super::composite::dense_of_type;
use super::weight::Weight;
use crate::matmul::Packed;
use crate::place::Body;

/// A weight that y = x Wᵀ is computed with many times.
pub enum Prepared<'a> {
    /// Wᵀ in f32, packed for the CPU's body.
    Packed(Packed),
    /// W [out, in] in f32, for a composite.
    Dense(Tensor),
    /// Widened anew each time: the same numbers in less memory.
    AsItIs(&'a Weight),
}

impl Weight {
    /// The weight made ready for many products in f32; it is widened for good with `widen`, else for each product.
    pub fn prepared(&self, widen: bool) -> Result<Prepared<'_>> {
        if !widen {
            return Ok(Prepared::AsItIs(self));
        }
        Ok(match self.body() {
            Body::Cpu => Prepared::Packed(self.with_rows(|rows| Packed::of_transposed(rows))?),
            Body::Composite | Body::Cuda => Prepared::Dense(dense_of_type(self, DType::F32)?),
        })
    }
}
