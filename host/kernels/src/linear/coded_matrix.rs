//! A 4-bit matrix as tensors on a device: NF4 or AWQ, dequantized as a whole for each product.
//!
//! w = v(code) · s for NF4, with v the 16 codes of the format and s the maximum of a block of 64; w = (code − z) · s for
//! AWQ, with z and s of a row's group. Both hold two codes a byte, row by row, the first in the high nibble: AWQ's words
//! are laid out anew on upload. The values have the bits that the CPU's bodies read.

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use crate::awq::{AwqMatrix, SHIFTS, WORD};
use crate::nf4::{BLOCK, BlockMaxima, CODES, NESTED_BLOCK, Nf4Matrix};

/// Rows of one upload of AWQ codes that one thread lays out: two words of them, so that whole bytes are its own.
const LAID_OUT_ROWS: usize = 2 * WORD;

/// A matrix [rows, columns] in 4 bits.
#[derive(Debug, Clone)]
pub struct CodedMatrix {
    rows: usize,
    columns: usize,
    /// u8 [elements / 2], rounded up to whole blocks in NF4.
    packed: Tensor,
    /// What the two codes of a byte stand for, f32 [256, 2].
    pairs: Tensor,
    scales: Scales,
}

/// What turns codes into weights.
#[derive(Debug, Clone)]
enum Scales {
    /// A maximum per block of NF4, f32 [blocks, 1].
    Maxima(Tensor),
    /// The maxima of NF4, quantized themselves.
    NestedMaxima {
        /// u8 [nested blocks · 256].
        codes: Tensor,
        /// f32 [nested blocks, 1].
        absmax: Tensor,
        offset: f64,
        /// f32 [256].
        map: Tensor,
    },
    /// AWQ's, f32 [rows, groups, 1] each.
    Groups { group: usize, scales: Tensor, zeros: Tensor },
}

/// What the two nibbles of every byte stand for.
fn pairs(values: [f32; 16], device: &Device) -> Result<Tensor> {
    let pairs: Vec<f32> = (0..256).flat_map(|byte| [values[byte >> 4], values[byte & 15]]).collect();
    Tensor::from_vec(pairs, (256, 2), device)
}

/// Looks codes up. The indices are u32 because candle takes the greatest u8, 255, for a place that is to be zero.
fn look_up(table: &Tensor, codes: &Tensor) -> Result<Tensor> {
    table.index_select(&codes.to_dtype(DType::U32)?, 0)
}

impl CodedMatrix {
    /// Uploads an NF4 matrix.
    pub(crate) fn of_nf4(matrix: &Nf4Matrix, device: &Device) -> Result<Self> {
        let (rows, columns) = (matrix.rows(), matrix.columns());
        let blocks = (rows * columns).div_ceil(BLOCK);
        let padded = |bytes: &[u8], length: usize| {
            let mut padded = bytes.to_vec();
            padded.resize(length, 0);
            Tensor::from_vec(padded, length, device)
        };
        let scales = match matrix.maxima() {
            BlockMaxima::Plain(maxima) => Scales::Maxima(Tensor::from_slice(maxima, (blocks, 1), device)?),
            BlockMaxima::Nested { codes, absmax, offset, map } => Scales::NestedMaxima {
                codes: padded(codes, absmax.len() * NESTED_BLOCK)?,
                absmax: Tensor::from_slice(absmax, (absmax.len(), 1), device)?,
                offset: f64::from(*offset),
                map: Tensor::from_slice(&map[..], 256, device)?,
            },
        };
        let packed = padded(matrix.packed(), blocks * BLOCK / 2)?;
        Ok(Self { rows, columns, packed, pairs: pairs(CODES, device)?, scales })
    }

    /// Uploads an AWQ matrix.
    pub(crate) fn of_awq(matrix: &AwqMatrix, device: &Device) -> Result<Self> {
        let (rows, columns, group) = (matrix.rows(), matrix.columns(), matrix.group());
        let words = rows / WORD;
        let mut packed = vec![0u8; rows * columns / 2];
        packed.par_chunks_mut(LAID_OUT_ROWS * columns / 2).enumerate().for_each(|(strip, target)| {
            for local in 0..2 * target.len() / columns {
                let row = strip * LAID_OUT_ROWS + local;
                let shift = SHIFTS[row % WORD];
                for (input, word) in matrix.packed()[row / WORD..].iter().step_by(words).enumerate() {
                    let (at, code) = (local * columns + input, (u32::from_le_bytes(*word) >> shift & 15) as u8);
                    target[at / 2] |= if at.is_multiple_of(2) { code << 4 } else { code };
                }
            }
        });
        let groups = columns / group;
        let of_groups = |value: &dyn Fn(usize, usize) -> f32| {
            let values: Vec<f32> = (0..rows).flat_map(|row| (0..groups).map(move |group| value(group, row))).collect();
            Tensor::from_vec(values, (rows, groups, 1), device)
        };
        let scales = Scales::Groups {
            group,
            scales: of_groups(&|group, row| matrix.scale(group, row))?,
            zeros: of_groups(&|group, row| matrix.zero(group, row) as f32)?,
        };
        let count = packed.len();
        let codes = std::array::from_fn(|code| code as f32);
        Ok(Self {
            rows,
            columns,
            packed: Tensor::from_vec(packed, count, device)?,
            pairs: pairs(codes, device)?,
            scales,
        })
    }

    /// (rows, columns).
    pub(crate) fn dims(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let scales = match &self.scales {
            Scales::Maxima(maxima) => vec![maxima],
            Scales::NestedMaxima { codes, absmax, map, .. } => vec![codes, absmax, map],
            Scales::Groups { scales, zeros, .. } => vec![scales, zeros],
        };
        let tensors = [&self.packed, &self.pairs].into_iter().chain(scales);
        tensors.map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes()).sum()
    }

    /// The device that holds it.
    pub(crate) fn device(&self) -> &Device {
        self.packed.device()
    }

    /// The weights in f32, [rows, columns].
    pub(crate) fn dequantized(&self) -> Result<Tensor> {
        let values = look_up(&self.pairs, &self.packed)?;
        let of_blocks = |maxima: &Tensor| {
            let blocks = values.elem_count() / BLOCK;
            let weights = values.reshape((blocks, BLOCK))?.broadcast_mul(&maxima.narrow(0, 0, blocks)?)?;
            weights.flatten_all()?.narrow(0, 0, self.rows * self.columns)?.reshape((self.rows, self.columns))
        };
        match &self.scales {
            Scales::Maxima(maxima) => of_blocks(maxima),
            Scales::NestedMaxima { codes, absmax, offset, map } => {
                // A product and a sum with a rounding each, as bitsandbytes has it.
                let centred = look_up(map, codes)?.reshape(((), NESTED_BLOCK))?.broadcast_mul(absmax)?;
                of_blocks(&centred.affine(1.0, *offset)?.reshape(((), 1))?)
            }
            Scales::Groups { group, scales, zeros } => values
                .reshape((self.rows, self.columns / group, *group))?
                .broadcast_sub(zeros)?
                .broadcast_mul(scales)?
                .reshape((self.rows, self.columns)),
        }
    }
}
