//! The linear layer as a composite. A weight in another type than the activations, or
//! quantized, is converted for the product and let go.

use candle_core::{DType, Result, Tensor};

use super::onto::Onto;
use super::weight::Weight;
use crate::composite::{add, widened, write};
use crate::element::Element;
use crate::lora::Inner;

/// The weight [out, in] in a type.
pub(crate) fn dense_of_type(weight: &Weight, dtype: DType) -> Result<Tensor> {
    match weight {
        Weight::F32(weight) | Weight::Bf16(weight) | Weight::F16(weight) => weight.to_dtype(dtype),
        Weight::Coded(weight) => weight.dequantized()?.to_dtype(dtype),
        Weight::Nf4(_) | Weight::Integer(_) | Weight::Float8(_) => {
            candle_core::bail!("linear: the weight was not uploaded")
        }
    }
}

/// What a product is added to.
fn put(product: &Tensor, onto: Onto<'_>, y: &Tensor) -> Result<()> {
    match onto {
        Onto::Nothing => write(y, product),
        Onto::Bias(bias) => write(y, &widened(product)?.broadcast_add(bias)?),
        Onto::Existing => add(y, product),
    }
}

/// y = x Wᵀ + t Bᵀ on top of what `onto` says.
pub(super) fn forward<T: Element>(
    x: &Tensor,
    weight: &Weight,
    update: Option<&Inner<'_>>,
    onto: Onto<'_>,
    y: &Tensor,
) -> Result<()> {
    let product = x.matmul(&dense_of_type(weight, T::DTYPE)?.t()?)?;
    match update {
        None => put(&product, onto, y),
        Some(update) => put(&(widened(&product)? + widened(&update.forward_product::<T>()?)?)?, onto, y),
    }
}

/// dx = dy W + dt A, or dx += ….
pub(super) fn backward<T: Element>(
    dy: &Tensor,
    weight: &Weight,
    update: Option<&Inner<'_>>,
    dx: &Tensor,
    accumulate: bool,
) -> Result<()> {
    let mut product = dy.matmul(&dense_of_type(weight, T::DTYPE)?)?;
    if let Some(update) = update {
        product = (widened(&product)? + widened(&update.backward_product::<T>()?)?)?;
    }
    if accumulate { add(dx, &product) } else { write(dx, &product) }
}

/// dW += alpha · dyᵀ x.
pub(super) fn backward_weight(dy: &Tensor, x: &Tensor, alpha: f32, dw: &Tensor) -> Result<()> {
    add(dw, &(widened(&dy.t()?.matmul(x)?)? * f64::from(alpha))?)
}

/// db += Σ_rows dy.
pub(super) fn backward_bias(dy: &Tensor, db: &Tensor) -> Result<()> {
    add(db, &widened(dy)?.sum(0)?)
}
