//! A quantized matrix as tensors on a device, dequantized as a whole for each product.
//!
//! w = v(code) · s for NF4, with v the 16 codes of the format and s the maximum of a block; w = (code − z) · s for
//! integers, with z and s of a row's group; w = v(code) · s for float8, with v its numbers and s of a block. Codes are laid
//! out as in the CPU's memory, and the values have the bits that the CPU's bodies read.

use candle_core::{DType, Device, Result, Shape, Tensor};

use crate::float8::Float8Matrix;
use crate::integer::{CodeWidth, Groups, IntegerMatrix, Zeros};
use crate::nf4::{BlockMaxima, NESTED_BLOCK, Nf4Matrix};

/// A matrix [rows, columns] in 4 or 8 bits.
#[derive(Debug, Clone)]
pub struct CodedMatrix {
    rows: usize,
    columns: usize,
    /// u8 [bytes], rounded up to whole blocks in NF4.
    packed: Tensor,
    /// What the code or the two codes of a byte stand for, f32 [256, codes].
    values: Tensor,
    scales: Scales,
}

/// What turns codes into weights.
#[derive(Debug, Clone)]
enum Scales {
    /// A maximum per block of NF4, f32 [blocks, 1].
    Maxima { maxima: Tensor, block: usize },
    /// The maxima of NF4, quantized themselves.
    NestedMaxima {
        block: usize,
        /// u8 [nested blocks · 256].
        codes: Tensor,
        /// f32 [nested blocks, 1].
        absmax: Tensor,
        offset: f64,
        /// f32 [256].
        map: Tensor,
    },
    /// Those of integers, [rows, groups], and their zero points in u8, of the same shape or one for all.
    Groups { scales: Tensor, zeros: Tensor, group: InputGroup },
    /// Those of float8, [blocks down, blocks across], and the block of each row and column if there is more than one.
    Blocks { scales: Tensor, rows: Option<Tensor>, columns: Option<Tensor> },
}

/// Where the scale of an input is.
#[derive(Debug, Clone)]
enum InputGroup {
    /// All groups are of this size.
    Size(usize),
    /// The group of each input, u32 [columns].
    Map(Tensor),
}

/// What every byte stands for.
fn single(values: [f32; 256], device: &Device) -> Result<Tensor> {
    Tensor::from_slice(&values, (256, 1), device)
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
        let block = matrix.format().block;
        let blocks = (rows * columns).div_ceil(block);
        let padded = |bytes: &[u8], length: usize| {
            let mut padded = bytes.to_vec();
            padded.resize(length, 0);
            Tensor::from_vec(padded, length, device)
        };
        let scales = match matrix.maxima() {
            BlockMaxima::Plain(maxima) => {
                Scales::Maxima { maxima: Tensor::from_slice(maxima, (blocks, 1), device)?, block }
            }
            BlockMaxima::Nested { codes, absmax, offset, map } => Scales::NestedMaxima {
                block,
                codes: padded(codes, absmax.len() * NESTED_BLOCK)?,
                absmax: Tensor::from_slice(absmax, (absmax.len(), 1), device)?,
                offset: f64::from(*offset),
                map: Tensor::from_slice(&map[..], 256, device)?,
            },
        };
        let packed = padded(matrix.packed(), blocks * block / 2)?;
        Ok(Self { rows, columns, packed, values: pairs(matrix.format().codes, device)?, scales })
    }

    /// Uploads a matrix of integers.
    pub(crate) fn of_integer(matrix: &IntegerMatrix, device: &Device) -> Result<Self> {
        let (rows, columns, groups) = (matrix.rows(), matrix.columns(), matrix.group_count());
        let u8s = |bytes: &[u8]| Tensor::from_slice(bytes, bytes.len(), device);
        let values = match matrix.codes().width() {
            CodeWidth::Four => pairs(std::array::from_fn(|code| code as f32), device)?,
            CodeWidth::Eight => single(std::array::from_fn(|code| code as f32), device)?,
        };
        let scales = Scales::Groups {
            scales: matrix.scales().uploaded((rows, groups), device)?,
            zeros: match matrix.zeros() {
                Zeros::Same(zero) => u8s(&[*zero])?.reshape((1, 1))?,
                Zeros::Each(zeros) => {
                    let each: Vec<u8> = (0..zeros.len()).map(|at| zeros.get(at)).collect();
                    u8s(&each)?.reshape((rows, groups))?
                }
            },
            group: match matrix.groups() {
                Groups::Even(size) if size * groups == columns => InputGroup::Size(*size),
                Groups::Even(size) => {
                    InputGroup::Map(Tensor::from_iter((0..columns).map(|column| (column / size) as u32), device)?)
                }
                Groups::Map(map) => InputGroup::Map(Tensor::from_slice(map, columns, device)?),
            },
        };
        Ok(Self { rows, columns, packed: u8s(matrix.codes().bytes())?, values, scales })
    }

    /// Uploads a matrix of float8.
    pub(crate) fn of_float8(matrix: &Float8Matrix, device: &Device) -> Result<Self> {
        let (rows, columns, block) = (matrix.rows(), matrix.columns(), matrix.block());
        let (down, across) = (rows.div_ceil(block.0), columns.div_ceil(block.1));
        let map = |blocks: usize, length: usize, size: usize| {
            (blocks > 1).then(|| Tensor::from_iter((0..length).map(|at| (at / size) as u32), device)).transpose()
        };
        let scales = Scales::Blocks {
            scales: matrix.scales().uploaded((down, across), device)?,
            rows: map(down, rows, block.0)?,
            columns: map(across, columns, block.1)?,
        };
        let values = single(std::array::from_fn(|code| matrix.format().widen(code as u8)), device)?;
        let packed = Tensor::from_slice(matrix.codes(), rows * columns, device)?;
        Ok(Self { rows, columns, packed, values, scales })
    }

    /// (rows, columns).
    pub(crate) fn dims(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let scales = match &self.scales {
            Scales::Maxima { maxima, .. } => vec![maxima],
            Scales::NestedMaxima { codes, absmax, map, .. } => vec![codes, absmax, map],
            Scales::Groups { scales, zeros, group: InputGroup::Size(_) } => vec![scales, zeros],
            Scales::Groups { scales, zeros, group: InputGroup::Map(map) } => vec![scales, zeros, map],
            Scales::Blocks { scales, rows, columns } => [scales].into_iter().chain(rows).chain(columns).collect(),
        };
        let tensors = [&self.packed, &self.values].into_iter().chain(scales);
        tensors.map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes()).sum()
    }

    /// The device that holds it.
    pub(crate) fn device(&self) -> &Device {
        self.packed.device()
    }

    /// The weights in f32, [rows, columns].
    pub(crate) fn dequantized(&self) -> Result<Tensor> {
        let values = look_up(&self.values, &self.packed)?;
        let of_blocks = |maxima: &Tensor, block: usize| {
            let blocks = values.elem_count() / block;
            let weights = values.reshape((blocks, block))?.broadcast_mul(&maxima.narrow(0, 0, blocks)?)?;
            weights.flatten_all()?.narrow(0, 0, self.rows * self.columns)?.reshape((self.rows, self.columns))
        };
        match &self.scales {
            Scales::Maxima { maxima, block } => of_blocks(maxima, *block),
            Scales::NestedMaxima { block, codes, absmax, offset, map } => {
                // A product and a sum with a rounding each, as bitsandbytes has it.
                let centred = look_up(map, codes)?.reshape(((), NESTED_BLOCK))?.broadcast_mul(absmax)?;
                of_blocks(&centred.affine(1.0, *offset)?.reshape(((), 1))?, *block)
            }
            Scales::Groups { scales, zeros, group } => {
                let values = values.flatten_all()?.narrow(0, 0, self.rows * self.columns)?;
                let (scales, zeros) = (scales.to_dtype(DType::F32)?, zeros.to_dtype(DType::F32)?);
                let (shape, scales, zeros) = match group {
                    InputGroup::Size(size) => {
                        let shape = (self.rows, self.columns / size, *size);
                        (Shape::from(shape), scales.unsqueeze(2)?, zeros.unsqueeze(2)?)
                    }
                    InputGroup::Map(map) => {
                        let zeros = if zeros.dim(1)? > 1 { zeros.index_select(map, 1)? } else { zeros };
                        (Shape::from((self.rows, self.columns)), scales.index_select(map, 1)?, zeros)
                    }
                };
                let weights = values.reshape(shape)?.broadcast_sub(&zeros)?.broadcast_mul(&scales)?;
                weights.reshape((self.rows, self.columns))
            }
            Scales::Blocks { scales, rows, columns } => {
                let mut scales = scales.to_dtype(DType::F32)?;
                if let Some(rows) = rows {
                    scales = scales.index_select(rows, 0)?;
                }
                if let Some(columns) = columns {
                    scales = scales.index_select(columns, 1)?;
                }
                values.reshape((self.rows, self.columns))?.broadcast_mul(&scales)
            }
        }
    }
}
