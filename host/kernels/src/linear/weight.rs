//! The weight of a linear layer, in f32, 16 bits or quantized, in the memory of any device.

use candle_core::{Device, Result, Tensor, bail};
use half::{bf16, f16};
use rayon::prelude::*;

use super::coded_matrix::CodedMatrix;
use crate::float8::Float8Matrix;
use crate::integer::IntegerMatrix;
use crate::launch::read;
use crate::matmul::{Dense, RowSource};
use crate::nf4::Nf4Matrix;
use crate::place::Body;

/// A weight matrix in one of its forms.
#[derive(Debug, Clone)]
pub enum Weight {
    /// 32 bits.
    F32(Tensor),
    /// 16 bits, of which 8 are the exponent.
    Bf16(Tensor),
    /// 16 bits, of which 5 are the exponent.
    F16(Tensor),
    /// 4 bits of bitsandbytes, which stand for sixteen values.
    Nf4(Box<Nf4Matrix>),
    /// 4 or 8 bits, evenly spaced.
    Integer(Box<IntegerMatrix>),
    /// 8 bits, floats with scales.
    Float8(Box<Float8Matrix>),
    /// One of these on another device.
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
            Self::Integer(weight) => Ok((weight.rows(), weight.columns())),
            Self::Float8(weight) => Ok((weight.rows(), weight.columns())),
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
            Self::Integer(weight) => weight.bytes(),
            Self::Float8(weight) => weight.bytes(),
            Self::Coded(weight) => weight.bytes(),
        }
    }

    /// The weight in the memory of a device; codes stay codes.
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
            Self::Integer(weight) => Self::Coded(Box::new(CodedMatrix::of_integer(weight, device)?)),
            Self::Float8(weight) => Self::Coded(Box::new(CodedMatrix::of_float8(weight, device)?)),
            Self::Coded(weight) => Self::Coded(weight.clone()),
        })
    }

    /// The tensor of a weight in f32, the only kind that can be trained.
    pub fn dense(&self) -> Option<&Tensor> {
        match self {
            Self::F32(weight) => Some(weight),
            Self::Bf16(_) | Self::F16(_) | Self::Nf4(_) | Self::Integer(_) | Self::Float8(_) | Self::Coded(_) => None,
        }
    }

    /// The device the weight is on.
    pub fn device(&self) -> &Device {
        match self {
            Self::F32(weight) | Self::Bf16(weight) | Self::F16(weight) => weight.device(),
            Self::Nf4(_) | Self::Integer(_) | Self::Float8(_) => &Device::Cpu,
            Self::Coded(weight) => weight.device(),
        }
    }

    /// What computes an operation that has only this weight to ask.
    pub(crate) fn body(&self) -> Body {
        match self {
            Self::F32(weight) | Self::Bf16(weight) | Self::F16(weight) => Body::of(weight),
            // The CPU's body reads codes as they lie in memory, and nothing else does.
            Self::Nf4(_) | Self::Integer(_) | Self::Float8(_) => Body::Cpu,
            Self::Coded(weight) => match Body::on(weight.device()) {
                Body::Cpu | Body::Composite => Body::Composite,
                Body::Cuda => Body::Cuda,
            },
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
            Self::Integer(weight) => Ok(body(&**weight)),
            Self::Float8(weight) => Ok(body(&**weight)),
            Self::Coded(_) => bail!("linear: the weight is laid out for composites"),
        }
    }

    /// Its elements in f32, row by row.
    pub fn widened(&self) -> Result<Vec<f32>> {
        let (rows, columns) = self.dims()?;
        self.with_rows(|source| {
            let mut values = vec![0.0; rows * columns];
            values.par_chunks_mut(columns).enumerate().for_each(|(row, values)| source.read(row, 0, values));
            values
        })
    }
}
