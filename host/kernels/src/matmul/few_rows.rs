//! Few rows of A by the rows of a source, without panels: a block of the source is transposed in registers where it is
//! multiplied. Packing it would cost more than multiplying it.
//!
//! The sums are those of the tile: every product is added by a fused multiply-add in the order of the depth, and of two
//! bf16 side by side the second before the first. For f32, and for bf16 on processors that do not
//! multiply it.

use std::arch::x86_64::*;
use std::ops::Range;

use half::bf16;

use super::factor::{Factor, Product};
use super::panels::{PANEL, Unit, Units, lay_out};
use super::source::RowSource;
use super::tile::{Tile, store_rows};
use super::unit_square::{LANES, transposed};
use crate::element::{Element, Stored, UnitLayout};
use crate::processor::{InstructionSet, instruction_set};

/// The most rows.
const ROWS: usize = 8;
/// Elements of a row that are laid out beside at a time, where the source is not as the product reads it.
const CHUNK: usize = 128;
/// How far ahead of a row the memory is asked for, in bytes.
const AHEAD: usize = 512;

/// Whether products of this many rows are computed here.
pub(super) fn fits<E: Element>(rows: usize, products: &[Product<'_, E>]) -> bool {
    rows <= ROWS
        && E::layout() != UnitLayout::Pair
        && instruction_set() != InstructionSet::Baseline
        && products.iter().all(|product| matches!(product.b, Factor::Transposed(_)) && product.a.is_row_major())
}

/// A block of depth of a source, as it is multiplied.
struct Block<'a> {
    /// Rows of A, widened and filled up with zeros to whole strips.
    a: &'a [Unit],
    a_stride: usize,
    source: &'a dyn RowSource,
    depth: Range<usize>,
}

/// Computes some rows of C and columns from a panel's first on; `tile` is told C of a panel.
///
/// # Safety
/// What `tile` returns describes writable C for these rows.
pub(super) unsafe fn multiply<E: Element>(
    rows: &Range<usize>,
    columns: &Range<usize>,
    blocks: &[(&Product<'_, E>, Range<usize>)],
    buffer: &mut Units,
    tile: impl Fn(usize, usize) -> Tile,
) {
    let pairs = E::layout() == UnitLayout::Widened;
    let strip = if pairs { 2 * LANES } else { LANES };
    let padded = |depth: &Range<usize>| depth.len().next_multiple_of(strip);
    let a = buffer.room(blocks.iter().map(|(_, depth)| padded(depth) * rows.len()).sum());
    a.fill(0);
    let mut left = &mut *a;
    for (product, depth) in blocks {
        let (block, others) = left.split_at_mut(padded(depth) * rows.len());
        for (row, target) in rows.clone().zip(block.chunks_exact_mut(padded(depth).max(1))) {
            lay_out(product.a.row(row, depth), E::layout(), &mut target[..depth.len()]);
        }
        left = others;
    }
    for first in columns.clone().step_by(PANEL) {
        let width = PANEL.min(columns.end - first);
        let mut left = &*a;
        for (index, (product, depth)) in blocks.iter().enumerate() {
            let (a, others) = left.split_at(padded(depth) * rows.len());
            left = others;
            let Factor::Transposed(source) = product.b else { continue };
            let block = Block { a, a_stride: padded(depth), source, depth: depth.clone() };
            // SAFETY: `fits` has asked the processor; the caller's promise.
            unsafe {
                match (rows.len(), pairs) {
                    (1, false) => panel::<1, false>(&block, first, width, &tile(index, first)),
                    (1, true) => panel::<1, true>(&block, first, width, &tile(index, first)),
                    (2, false) => panel::<2, false>(&block, first, width, &tile(index, first)),
                    (2, true) => panel::<2, true>(&block, first, width, &tile(index, first)),
                    (3, false) => panel::<3, false>(&block, first, width, &tile(index, first)),
                    (3, true) => panel::<3, true>(&block, first, width, &tile(index, first)),
                    (4, false) => panel::<4, false>(&block, first, width, &tile(index, first)),
                    (4, true) => panel::<4, true>(&block, first, width, &tile(index, first)),
                    (5, false) => panel::<5, false>(&block, first, width, &tile(index, first)),
                    (5, true) => panel::<5, true>(&block, first, width, &tile(index, first)),
                    (6, false) => panel::<6, false>(&block, first, width, &tile(index, first)),
                    (6, true) => panel::<6, true>(&block, first, width, &tile(index, first)),
                    (7, false) => panel::<7, false>(&block, first, width, &tile(index, first)),
                    (7, true) => panel::<7, true>(&block, first, width, &tile(index, first)),
                    (_, false) => panel::<8, false>(&block, first, width, &tile(index, first)),
                    (_, true) => panel::<8, true>(&block, first, width, &tile(index, first)),
                }
            }
        }
    }
}

/// 32 rows of the source, a stride apart, from which strips are read.
struct Weights {
    first: *const u8,
    row_bytes: usize,
    /// From a place in a row on, the bytes up to its end, and what lies there of the next 32 rows: what is read later.
    left_bytes: usize,
}

/// A panel of C: start + alpha · A B over one block of depth.
///
/// # Safety
/// The processor has AVX2 and FMA; `tile` describes writable C for `ROWS` rows and `width` columns, and the block has as
/// many rows.
#[target_feature(enable = "avx2,fma")]
unsafe fn panel<const ROWS: usize, const PAIRS: bool>(block: &Block<'_>, first: usize, width: usize, tile: &Tile) {
    let size = if PAIRS { size_of::<bf16>() } else { size_of::<f32>() };
    let strip = if PAIRS { 2 * LANES } else { LANES };
    let mut sums = [[_mm256_setzero_ps(); ROWS]; PANEL / LANES];
    assert!(block.a.len() >= ROWS * block.a_stride && block.a_stride.is_multiple_of(strip), "A is too small");
    let stored = match block.source.stored().filter(|_| width == PANEL) {
        Some((Stored::F32(values), stride)) if !PAIRS => Some((values.as_ptr().cast::<u8>(), values.len(), stride)),
        Some((Stored::Bf16(values), stride)) if PAIRS => Some((values.as_ptr().cast::<u8>(), values.len(), stride)),
        _ => None,
    };
    let whole = match stored {
        Some((values, length, stride)) => {
            let (at, whole) = (first * stride + block.depth.start, block.depth.len() / strip);
            assert!(length >= at + (PANEL - 1) * stride + whole * strip, "B is too small for its shape");
            let weights = Weights {
                first: values.wrapping_add(at * size),
                row_bytes: stride * size,
                left_bytes: (stride - block.depth.start) * size,
            };
            // SAFETY: 32 rows of `whole` strips lie in the source, and as many units in each row of A: asserted above.
            unsafe { add::<ROWS, PAIRS>(block.a.as_ptr().cast(), block.a_stride, &weights, whole, &mut sums) };
            whole * strip
        }
        None => 0,
    };
    if whole < block.depth.len() {
        // SAFETY: the processor has AVX2 and FMA.
        unsafe { add_beside::<ROWS, PAIRS>(block, first, width, whole, &mut sums) };
    }
    let mut rows = [[0.0f32; PANEL]; ROWS];
    for (group, sums) in sums.iter().enumerate() {
        for (row, sum) in rows.iter_mut().zip(sums) {
            // SAFETY: a group has eight columns of a panel.
            unsafe { _mm256_storeu_ps(row.as_mut_ptr().add(group * LANES), *sum) };
        }
    }
    // SAFETY: the caller's promise.
    unsafe { store_rows(tile, 0, 0, &rows) };
}

/// Adds the products from a depth on, through rows that are laid out beside.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
unsafe fn add_beside<const ROWS: usize, const PAIRS: bool>(
    block: &Block<'_>,
    first: usize,
    width: usize,
    from: usize,
    sums: &mut [[__m256; ROWS]; PANEL / LANES],
) {
    let size = if PAIRS { size_of::<bf16>() } else { size_of::<f32>() };
    let strip = if PAIRS { 2 * LANES } else { LANES };
    let mut beside = Beside([0; PANEL * CHUNK]);
    for start in (from..block.depth.len()).step_by(CHUNK) {
        let count = CHUNK.min(block.depth.len() - start);
        let (column, strips) = (block.depth.start + start, count.div_ceil(strip));
        if count < CHUNK {
            beside.0.fill(0);
        }
        for row in 0..width {
            if PAIRS {
                block.source.read_bf16(first + row, column, &mut beside.pairs()[row * CHUNK..row * CHUNK + count]);
            } else {
                block.source.read(first + row, column, &mut beside.floats()[row * CHUNK..row * CHUNK + count]);
            }
        }
        let row_bytes = CHUNK * size;
        let weights = Weights { first: beside.0.as_ptr().cast(), row_bytes, left_bytes: row_bytes };
        // SAFETY: 32 rows of CHUNK elements lie beside, and A has whole strips up to the depth.
        unsafe {
            add::<ROWS, PAIRS>(block.a[start..].as_ptr().cast(), block.a_stride, &weights, strips, sums);
        }
    }
}

/// Rows of a source on their way into the product.
#[repr(C, align(64))]
struct Beside([Unit; PANEL * CHUNK]);

impl Beside {
    fn floats(&mut self) -> &mut [f32] {
        // SAFETY: both are four bytes with the same alignment, and every bit pattern is a float.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len()) }
    }

    fn pairs(&mut self) -> &mut [bf16] {
        // SAFETY: two bf16 are as large as a unit and less aligned, and every bit pattern is a bf16.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 2) }
    }
}

/// Adds the products of strips to the sums of 32 columns: 8 by 8 units are transposed, of one row of the source each.
///
/// # Safety
/// The processor has AVX2 and FMA; 32 rows of `strips` · 32 bytes can be read, and A for as many units.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn add<const ROWS: usize, const PAIRS: bool>(
    a: *const f32,
    a_stride: usize,
    weights: &Weights,
    strips: usize,
    sums: &mut [[__m256; ROWS]; PANEL / LANES],
) {
    let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
    let step = if PAIRS { 2 * LANES } else { LANES };
    for strip in 0..strips {
        let at = strip * 32;
        let mut ahead = at + AHEAD;
        if ahead >= weights.left_bytes {
            // The same rows of the next panel.
            ahead += (PANEL - 1) * weights.row_bytes;
        }
        for (group, sums) in sums.iter_mut().enumerate() {
            let first = weights.first.wrapping_add(group * LANES * weights.row_bytes);
            let mut rows = [_mm256_setzero_si256(); LANES];
            for (i, row) in rows.iter_mut().enumerate() {
                let row_first = first.wrapping_add(i * weights.row_bytes);
                // SAFETY: the caller's promise; a prefetch reads nothing.
                unsafe {
                    *row = _mm256_loadu_si256(row_first.wrapping_add(at).cast());
                    if strip.is_multiple_of(2) {
                        _mm_prefetch::<_MM_HINT_T0>(row_first.wrapping_add(ahead).cast());
                    }
                }
            }
            for (unit, column) in transposed(rows).into_iter().enumerate() {
                if PAIRS {
                    let second = _mm256_castsi256_ps(_mm256_and_si256(column, upper));
                    let first = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(column));
                    for (r, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: the caller's promise.
                        unsafe {
                            let a = a.add(r * a_stride + strip * step + 2 * unit);
                            *sum = _mm256_fmadd_ps(_mm256_broadcast_ss(&*a), second, *sum);
                            *sum = _mm256_fmadd_ps(_mm256_broadcast_ss(&*a.add(1)), first, *sum);
                        }
                    }
                } else {
                    for (r, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: the caller's promise.
                        let a = unsafe { _mm256_broadcast_ss(&*a.add(r * a_stride + strip * step + unit)) };
                        *sum = _mm256_fmadd_ps(a, _mm256_castsi256_ps(column), *sum);
                    }
                }
            }
        }
    }
}
