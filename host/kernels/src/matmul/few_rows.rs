//! Few rows of A by the rows of a source, without panels: a chunk of the source is laid out in the first-level cache, and
//! multiplied by all rows before the next. So a weight is read and dequantized once for all rows of a pass, and nothing of
//! it is written to memory.
//!
//! The sums are those of the tile: every product is added by a fused multiply-add in the order of the depth, and of two
//! bf16 side by side the second before the first. For f32, and for bf16 on processors that do not
//! multiply it.

use std::arch::x86_64::*;
use std::ops::Range;

use super::chunk::{COLUMNS, Chunk, ChunkSource, DEPTH};
use super::factor::{Factor, Product};
use super::panels::{Unit, Units, lay_out};
use super::tile::{TileOutput, store_rows};
use crate::element::{Element, UnitLayout};
use crate::processor::{InstructionSet, instruction_set};

/// The most rows: those of more do not stay in the second-level cache.
const ROWS: usize = 64;
/// Rows whose sums, two vectors each, fit in the registers.
const ROWS_TOGETHER: usize = 6;
/// Floats of a vector.
const LANES: usize = 8;
/// Between rows of A, so that they do not fight for few sets of the first-level cache.
const PADDING: usize = 16;

/// Whether products of this many rows are computed here.
pub(super) fn fits<E: Element>(rows: usize, products: &[Product<'_, E>]) -> bool {
    rows <= ROWS
        && E::layout() != UnitLayout::Pair
        && instruction_set() != InstructionSet::Baseline
        && products.iter().all(|product| matches!(product.b, Factor::Transposed(_)) && product.a.is_row_major())
}

/// Computes some rows of C and columns; `output` is told a block of depth and columns, and says where its sums go.
///
/// # Safety
/// What `output` returns describes writable C for these rows and columns.
pub(super) unsafe fn multiply<E: Element>(
    rows: &Range<usize>,
    columns: &Range<usize>,
    blocks: &[(&Product<'_, E>, Range<usize>)],
    buffer: &mut Units,
    output: impl Fn(usize, Range<usize>) -> TileOutput,
) {
    let layout = E::layout();
    let units_of = |depth: &Range<usize>| (depth.len() + PADDING) * rows.len();
    let (sums_units, a_units) = (COLUMNS * rows.len(), blocks.iter().map(|(_, depth)| units_of(depth)).sum::<usize>());
    let room = buffer.room(Chunk::UNITS + sums_units + a_units);
    let (chunk, room) = room.split_at_mut(Chunk::UNITS);
    let (sums, a) = room.split_at_mut(sums_units);
    let mut chunk = Chunk::of(chunk);
    let mut left = &mut *a;
    for (product, depth) in blocks {
        let (block, others) = left.split_at_mut(units_of(depth));
        for (row, target) in rows.clone().zip(block.chunks_exact_mut(depth.len() + PADDING)) {
            lay_out(product.a.row(row, depth), layout, &mut target[..depth.len()]);
        }
        left = others;
    }
    for first in columns.clone().step_by(COLUMNS) {
        let columns = first..columns.end.min(first + COLUMNS);
        let mut left = &*a;
        for (index, (product, depth)) in blocks.iter().enumerate() {
            let (a, others) = left.split_at(units_of(depth));
            left = others;
            let Factor::Transposed(source) = product.b else { continue };
            // SAFETY: `fits` has asked the processor.
            let source = unsafe { ChunkSource::new(source, layout, &columns, depth) };
            sums.fill(0);
            for start in (0..depth.len()).step_by(DEPTH) {
                let count = DEPTH.min(depth.len() - start);
                let block = Block { a: &a[start..], a_stride: depth.len() + PADDING, depth: count };
                // SAFETY: `fits` has asked the processor.
                unsafe {
                    chunk.fill(&source, start, count);
                    block.add(&chunk, columns.len(), sums);
                }
            }
            // SAFETY: `fits` has asked the processor; the caller's promise.
            unsafe { store(&output(index, columns.clone()), floats(sums)) };
        }
    }
}

/// Rows of sums to C.
///
/// # Safety
/// The processor has AVX2 and FMA; `output` describes writable C for as many rows.
#[target_feature(enable = "avx2,fma")]
unsafe fn store(output: &TileOutput, sums: &[[f32; COLUMNS]]) {
    // SAFETY: the caller's promise.
    unsafe { store_rows(output, 0, 0, sums) };
}

/// How many rows are multiplied next, so that ten sums or more are under way wherever that can be: a processor begins two
/// of them in each cycle, and each takes five.
fn next_rows(left: usize) -> usize {
    match left {
        8 | 10 => 5,
        7 => 4,
        _ => left.min(ROWS_TOGETHER),
    }
}

/// Rows of sums.
fn floats(sums: &[Unit]) -> &[[f32; COLUMNS]] {
    // SAFETY: a float is as large and as aligned as a unit, and every bit pattern is one.
    unsafe { std::slice::from_raw_parts(sums.as_ptr().cast(), sums.len() / COLUMNS) }
}

/// Rows of A beside a chunk.
struct Block<'a> {
    /// From the chunk's first depth on.
    a: &'a [Unit],
    a_stride: usize,
    /// Of the chunk.
    depth: usize,
}

impl Block<'_> {
    /// Adds the products with a chunk to the sums, of which each row has as many as a chunk has columns.
    ///
    /// # Safety
    /// The processor has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add(&self, chunk: &Chunk<'_>, columns: usize, sums: &mut [Unit]) {
        let rows = sums.len() / COLUMNS;
        assert!(self.depth <= DEPTH && columns <= COLUMNS, "a chunk is larger than it can be");
        assert!(self.a.len() >= (rows - 1) * self.a_stride + self.depth, "A is too small");
        let mut row = 0;
        while row < rows {
            let height = next_rows(rows - row);
            let a = self.a[row * self.a_stride..].as_ptr().cast();
            let sums = sums[row * COLUMNS..].as_mut_ptr().cast();
            // SAFETY: rows `row` to `row + height` lie in A and in the sums, which is asserted above.
            unsafe {
                match height {
                    1 => self.add_rows::<1, 8>(a, chunk, columns, sums),
                    2 => self.add_rows::<2, 4>(a, chunk, columns, sums),
                    3 => self.add_rows::<3, 4>(a, chunk, columns, sums),
                    4 => self.add_rows::<4, 2>(a, chunk, columns, sums),
                    5 => self.add_rows::<5, 2>(a, chunk, columns, sums),
                    _ => self.add_rows::<ROWS_TOGETHER, 2>(a, chunk, columns, sums),
                }
            }
            row += height;
        }
    }

    /// The same for a constant number of rows, as many vectors of columns at a time.
    ///
    /// # Safety
    /// The processor has AVX2 and FMA; `ROWS` rows of A and of sums can be accessed.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add_rows<const ROWS: usize, const VECTORS: usize>(
        &self,
        a: *const f32,
        chunk: &Chunk<'_>,
        columns: usize,
        sums: *mut f32,
    ) {
        for column in (0..columns).step_by(VECTORS * LANES) {
            let mut registers = [[_mm256_setzero_ps(); VECTORS]; ROWS];
            // SAFETY: the caller's promise; `VECTORS` divides a chunk's columns, and its depth is at least this.
            unsafe {
                for (r, registers) in registers.iter_mut().enumerate() {
                    for (v, register) in registers.iter_mut().enumerate() {
                        *register = _mm256_loadu_ps(sums.add(r * COLUMNS + column + v * LANES));
                    }
                }
                let b = chunk.first().add(column);
                for depth in 0..self.depth {
                    let b = b.add(depth * COLUMNS);
                    let mut row = [_mm256_setzero_ps(); VECTORS];
                    for (v, row) in row.iter_mut().enumerate() {
                        *row = _mm256_loadu_ps(b.add(v * LANES));
                    }
                    for (r, registers) in registers.iter_mut().enumerate() {
                        let factor = _mm256_broadcast_ss(&*a.add(r * self.a_stride + depth));
                        for (register, row) in registers.iter_mut().zip(row) {
                            *register = _mm256_fmadd_ps(factor, row, *register);
                        }
                    }
                }
                for (r, registers) in registers.iter().enumerate() {
                    for (v, register) in registers.iter().enumerate() {
                        _mm256_storeu_ps(sums.add(r * COLUMNS + column + v * LANES), *register);
                    }
                }
            }
        }
    }
}
