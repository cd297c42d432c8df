//! Scales of a quantized matrix, kept in the type that its checkpoint has them in and widened as they are read.

use candle_core::{Device, Result, Tensor};
use half::{bf16, f16};

/// Scales in one of three types.
#[derive(Debug, Clone)]
pub enum Scales {
    /// 32 bits.
    F32(Vec<f32>),
    /// 16 bits, of which 8 are the exponent.
    Bf16(Vec<bf16>),
    /// 16 bits, of which 5 are the exponent.
    F16(Vec<f16>),
}

impl Scales {
    /// Their number.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    /// What they take in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.len() * if matches!(self, Self::F32(_)) { 4 } else { 2 }
    }

    /// One of them.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> f32 {
        match self {
            Self::F32(values) => values[index],
            Self::Bf16(values) => values[index].to_f32(),
            Self::F16(values) => values[index].to_f32(),
        }
    }

    /// All of them on a device, in the type that they are kept in.
    pub(crate) fn uploaded(&self, shape: (usize, usize), device: &Device) -> Result<Tensor> {
        match self {
            Self::F32(values) => Tensor::from_slice(values, shape, device),
            Self::Bf16(values) => Tensor::from_slice(values, shape, device),
            Self::F16(values) => Tensor::from_slice(values, shape, device),
        }
    }
}
