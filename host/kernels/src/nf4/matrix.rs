//! A quantized matrix, read row by row.

use bytes::Bytes;
use half::bf16;

use super::codes::{BlockFormat, NESTED_BLOCK};
use super::quantize::Nf4Bytes;
use crate::dynamic_map::dynamic_map;
use crate::look_up::{look_up_f32, look_up_scaled_bf16};
use crate::matmul::{CODE_STRIP, Codes, RowSource};

/// The absolute maximum of every block of a matrix.
#[derive(Debug, Clone)]
pub enum BlockMaxima {
    /// In f32.
    Plain(Vec<f32>),
    /// Quantized themselves.
    Nested {
        /// One index into the map per block.
        codes: Bytes,
        /// One scale per 256 blocks.
        absmax: Vec<f32>,
        /// Added to every maximum.
        offset: f32,
        /// What the codes stand for.
        map: Box<[f32; 256]>,
    },
}

/// A quantized matrix.
#[derive(Debug, Clone)]
pub struct Nf4Matrix {
    format: BlockFormat,
    rows: usize,
    columns: usize,
    packed: Bytes,
    maxima: BlockMaxima,
    /// Whether all values and maxima are numbers.
    finite: bool,
}

impl BlockMaxima {
    /// Whether all are numbers.
    fn is_finite(&self) -> bool {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        match self {
            Self::Plain(maxima) => finite(maxima),
            Self::Nested { absmax, offset, map, .. } => finite(absmax) && finite(&map[..]) && offset.is_finite(),
        }
    }
}

impl Nf4Matrix {
    /// A matrix [rows, columns] that was quantized here.
    pub fn new(bytes: Nf4Bytes, rows: usize, columns: usize) -> Self {
        let maxima = BlockMaxima::Nested {
            codes: bytes.absmax.into(),
            absmax: bytes.nested_absmax,
            offset: bytes.nested_offset,
            map: Box::new(dynamic_map()),
        };
        Self::from_parts(BlockFormat::default(), bytes.packed.into(), maxima, rows, columns)
    }

    /// A matrix [rows, columns] from the parts of a checkpoint: two elements a byte, and a maximum per block.
    pub fn from_parts(format: BlockFormat, packed: Bytes, maxima: BlockMaxima, rows: usize, columns: usize) -> Self {
        assert!(format.block.is_power_of_two() && format.block > 1, "a block is a power of two");
        let finite = maxima.is_finite() && format.codes.iter().all(|code| code.is_finite());
        Self { format, rows, columns, packed, maxima, finite }
    }

    /// What its codes stand for.
    pub(crate) fn format(&self) -> &BlockFormat {
        &self.format
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let maxima = match &self.maxima {
            BlockMaxima::Plain(maxima) => maxima.len() * 4,
            BlockMaxima::Nested { codes, absmax, map, .. } => codes.len() + (absmax.len() + map.len()) * 4,
        };
        self.packed.len() + maxima
    }

    /// Two elements a byte, row by row, the first in the high nibble.
    pub(crate) fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// The maxima of all blocks.
    pub(crate) fn maxima(&self) -> &BlockMaxima {
        &self.maxima
    }

    /// What multiplies the codes of a block, counted over the flattened matrix.
    #[inline]
    pub(crate) fn block_maximum(&self, block: usize) -> f32 {
        match &self.maxima {
            BlockMaxima::Plain(maxima) => maxima[block],
            // Two roundings, not one fused: this is how bitsandbytes does it.
            BlockMaxima::Nested { codes, absmax, offset, map } => {
                map[usize::from(codes[block])] * absmax[block / NESTED_BLOCK] + offset
            }
        }
    }

    /// Hands over block by block: its maximum, the first element, and where its values go.
    fn blocks<T>(&self, row: usize, column: usize, target: &mut [T], mut body: impl FnMut(f32, usize, &mut [T])) {
        // A shift, where a division would be felt: this is done for every block of every product.
        let (first, block, shift) =
            (row * self.columns + column, self.format.block, self.format.block.trailing_zeros());
        let mut done = 0;
        while done < target.len() {
            let at = first + done;
            let length = (block - (at & (block - 1))).min(target.len() - done);
            body(self.block_maximum(at >> shift), at, &mut target[done..done + length]);
            done += length;
        }
    }
}

impl RowSource for Nf4Matrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn codes(&self) -> Option<Codes<'_>> {
        let in_strips = self.columns.is_multiple_of(CODE_STRIP) && self.format.block >= CODE_STRIP;
        (in_strips && self.finite).then(|| Codes { values: &self.format.codes, packed: &self.packed })
    }

    fn scales(&self, first_row: usize, column: usize, scales: &mut [f32]) {
        let shift = self.format.block.trailing_zeros();
        let blocks = (first_row..).map(|row| (row * self.columns + column) >> shift);
        scales.iter_mut().zip(blocks).for_each(|(scale, block)| *scale = self.block_maximum(block));
    }

    fn read(&self, row: usize, column: usize, target: &mut [f32]) {
        self.blocks(row, column, target, |maximum, at, target| {
            look_up_f32(&self.format.codes.map(|code| code * maximum), self.packed(), at, target);
        });
    }

    fn read_bf16(&self, row: usize, column: usize, target: &mut [bf16]) {
        self.blocks(row, column, target, |maximum, at, target| {
            look_up_scaled_bf16(&self.format.codes, maximum, self.packed(), at, target);
        });
    }
}
