//! The register tile: up to 12 rows by up to 32 columns of C, start + alpha · A B over one block of depth.
//!
//! Every product is added by a fused multiply-add, so that every instruction set gives the same bits. Of a pair of bf16
//! Intel documents the second to be added before the first (`vdpbf16ps`), and the widened layout has them in that order;
//! but how a processor rounds between the two is its own affair, and it takes numbers below 1.2e-38 for zero.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::panels::{PANEL, Unit};
use crate::element::UnitLayout;
use crate::processor::{InstructionSet, instruction_set};

/// Rows of a tile.
pub(super) const TILE_ROWS: usize = 12;

/// Where a tile's sums begin.
#[derive(Clone, Copy)]
pub(super) enum TileStart {
    Zero,
    Existing,
    Row(*const f32),
}

/// What a tile reads and writes.
pub(super) struct Tile {
    /// Units of depth.
    pub(super) units: usize,
    /// The first unit of the first row of A.
    pub(super) a: *const u8,
    /// Bytes from one row of A to the next.
    pub(super) row_bytes: usize,
    /// Bytes from one unit of a row of A to the next.
    pub(super) unit_bytes: usize,
    pub(super) b: *const Unit,
    pub(super) output: TileOutput,
}

/// Where the sums of a tile go.
pub(super) struct TileOutput {
    pub(super) c: *mut f32,
    /// Elements from one row of C to the next.
    pub(super) stride: usize,
    /// Columns.
    pub(super) width: usize,
    pub(super) alpha: f32,
    pub(super) start: TileStart,
}

/// Computes a tile of some rows.
///
/// # Safety
/// `Tile` describes readable A, B and writable C for this many rows; the processor has the tile's instruction set.
pub(super) type TileFunction = unsafe fn(usize, &Tile);

/// The tile of this processor for operands in a layout.
pub(super) fn tile_function(layout: UnitLayout) -> TileFunction {
    match (layout, instruction_set()) {
        // A pair is the layout of processors that multiply it.
        #[cfg(target_arch = "x86_64")]
        (UnitLayout::Pair, _) => bf16_avx512,
        #[cfg(target_arch = "x86_64")]
        (_, InstructionSet::Avx512) => f32_avx512,
        #[cfg(target_arch = "x86_64")]
        (_, InstructionSet::Avx2) => f32_avx2,
        _ => portable,
    }
}

/// Calls a tile of a constant number of rows.
macro_rules! by_rows {
    ($rows:expr, $tile:ident, $task:expr) => {
        match $rows {
            1 => $tile::<1>($task),
            2 => $tile::<2>($task),
            3 => $tile::<3>($task),
            4 => $tile::<4>($task),
            5 => $tile::<5>($task),
            6 => $tile::<6>($task),
            7 => $tile::<7>($task),
            8 => $tile::<8>($task),
            9 => $tile::<9>($task),
            10 => $tile::<10>($task),
            11 => $tile::<11>($task),
            _ => $tile::<12>($task),
        }
    };
}

/// Tiles in AVX-512, two registers and one register wide, in which `$add` adds the products of a unit.
#[cfg(target_arch = "x86_64")]
macro_rules! avx512_tile {
    ($name:ident, $wide:ident, $narrow:ident, $features:literal, $add:ident) => {
        /// # Safety
        /// The processor has the features above; `task` describes readable A, B and writable C for `rows` ≤ 12 rows.
        #[target_feature(enable = $features)]
        unsafe fn $name(rows: usize, task: &Tile) {
            // SAFETY: the caller's promise is passed on.
            unsafe { if task.output.width > 16 { by_rows!(rows, $wide, task) } else { by_rows!(rows, $narrow, task) } }
        }

        avx512_tile!($wide, 2, $features, $add);
        avx512_tile!($narrow, 1, $features, $add);
    };
    ($name:ident, $vectors:literal, $features:literal, $add:ident) => {
        /// # Safety
        /// As the function that chooses the width, for exactly `ROWS` rows.
        #[target_feature(enable = $features)]
        unsafe fn $name<const ROWS: usize>(task: &Tile) {
            let mut sums = [[_mm512_setzero_ps(); $vectors]; ROWS];
            // SAFETY: the caller promises that A, B and C can be accessed for ROWS rows, `units` of depth and `width`
            // columns; the mask keeps the last vector within `width`; a panel always has 32 columns.
            unsafe {
                let (mut a, mut b) = (task.a, task.b);
                for _ in 0..task.units {
                    let mut row = [_mm512_setzero_si512(); $vectors];
                    for (v, row) in row.iter_mut().enumerate() {
                        *row = _mm512_loadu_si512(b.add(16 * v).cast());
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let factor = _mm512_set1_epi32(a.add(r * task.row_bytes).cast::<i32>().read_unaligned());
                        for (sum, row) in sums.iter_mut().zip(row) {
                            *sum = $add(*sum, factor, row);
                        }
                    }
                    a = a.wrapping_add(task.unit_bytes);
                    b = b.add(PANEL);
                }
                let alpha = _mm512_set1_ps(task.output.alpha);
                let last: __mmask16 = 0xffff >> (16 * $vectors - task.output.width);
                for (r, sums) in sums.iter().enumerate() {
                    for (v, sum) in sums.iter().enumerate() {
                        let mask = if v + 1 == $vectors { last } else { 0xffff };
                        let target = task.output.c.add(r * task.output.stride + 16 * v);
                        let start = match task.output.start {
                            TileStart::Zero => _mm512_setzero_ps(),
                            TileStart::Existing => _mm512_maskz_loadu_ps(mask, target),
                            TileStart::Row(row) => _mm512_maskz_loadu_ps(mask, row.add(16 * v)),
                        };
                        _mm512_mask_storeu_ps(target, mask, _mm512_fmadd_ps(alpha, *sum, start));
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
avx512_tile!(f32_avx512, f32_wide_avx512, f32_narrow_avx512, "avx512f", add_f32);
#[cfg(target_arch = "x86_64")]
avx512_tile!(bf16_avx512, bf16_wide_avx512, bf16_narrow_avx512, "avx512f,avx512bf16", add_bf16);

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn add_f32(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
    _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sum)
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn add_bf16(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
    // SAFETY: both are 512 bits, and every bit pattern is a bf16.
    let (a, b) = unsafe { (std::mem::transmute::<__m512i, __m512bh>(a), std::mem::transmute::<__m512i, __m512bh>(b)) };
    _mm512_dpbf16_ps(sum, a, b)
}

/// Rows whose sums, two vectors each, fit in AVX2's 16 registers.
#[cfg(target_arch = "x86_64")]
const AVX2_ROWS: usize = 6;

/// # Safety
/// The processor has AVX2 and FMA; `task` describes readable A, B and writable C for `rows` rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn f32_avx2(rows: usize, task: &Tile) {
    for first in (0..rows).step_by(AVX2_ROWS) {
        for column in (0..task.output.width).step_by(16) {
            // SAFETY: the caller's promise is passed on: these rows and columns lie within the tile.
            unsafe {
                match AVX2_ROWS.min(rows - first) {
                    1 => columns_avx2::<1>(task, first, column),
                    2 => columns_avx2::<2>(task, first, column),
                    3 => columns_avx2::<3>(task, first, column),
                    4 => columns_avx2::<4>(task, first, column),
                    5 => columns_avx2::<5>(task, first, column),
                    _ => columns_avx2::<AVX2_ROWS>(task, first, column),
                }
            }
        }
    }
}

/// `ROWS` rows from `first` on by up to 16 columns from `column` on.
///
/// # Safety
/// As `f32_avx2`, for rows and columns within the tile.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn columns_avx2<const ROWS: usize>(task: &Tile, first: usize, column: usize) {
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    let mut products = [[0.0f32; 16]; ROWS];
    // SAFETY: the caller promises that A, B and C can be accessed for these rows, `units` of depth and `width` columns;
    // a panel always has 32 columns, of which `column`, a multiple of 16 below `width`, begins the last 16 at most.
    unsafe {
        let (mut a, mut b) = (task.a.wrapping_add(first * task.row_bytes), task.b.add(column).cast::<f32>());
        for _ in 0..task.units {
            let row = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))];
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = _mm256_set1_ps(a.add(r * task.row_bytes).cast::<f32>().read_unaligned());
                sums[0] = _mm256_fmadd_ps(factor, row[0], sums[0]);
                sums[1] = _mm256_fmadd_ps(factor, row[1], sums[1]);
            }
            a = a.wrapping_add(task.unit_bytes);
            b = b.wrapping_add(PANEL);
        }
        for (products, sums) in products.iter_mut().zip(sums) {
            _mm256_storeu_ps(products.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(products.as_mut_ptr().add(8), sums[1]);
        }
        store_rows(&task.output, first, column, &products);
    }
}

/// Rows of sums to C.
///
/// # Safety
/// C and the starting row of `output` can be accessed for these rows and columns.
#[inline(always)]
pub(super) unsafe fn store_rows<const WIDTH: usize>(
    output: &TileOutput,
    first: usize,
    column: usize,
    sums: &[[f32; WIDTH]],
) {
    for (r, sums) in sums.iter().enumerate() {
        for (i, sum) in sums.iter().enumerate().take(output.width - column) {
            // SAFETY: the caller's promise, for row first + r and a column below `width`.
            unsafe {
                let target = output.c.add((first + r) * output.stride + column + i);
                let start = match output.start {
                    TileStart::Zero => 0.0,
                    TileStart::Existing => *target,
                    TileStart::Row(row) => *row.add(column + i),
                };
                *target = output.alpha.mul_add(*sum, start);
            }
        }
    }
}

/// Rows by rows and 16 columns by 16 columns, in plain Rust that the compiler can vectorize.
///
/// # Safety
/// `task` describes readable A, B and writable C for `rows` rows.
unsafe fn portable(rows: usize, task: &Tile) {
    const ROWS: usize = 4;
    for first in (0..rows).step_by(ROWS) {
        let height = ROWS.min(rows - first);
        for column in (0..task.output.width).step_by(16) {
            let mut sums = [[0.0f32; 16]; ROWS];
            // SAFETY: the caller promises access to `rows` rows, `units` of depth and `width` columns; rows past the
            // last read the last one again; a panel always has 32 columns.
            unsafe {
                for unit in 0..task.units {
                    let b = &*task.b.add(unit * PANEL + column).cast::<[f32; 16]>();
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let row = (first + r.min(height - 1)) * task.row_bytes;
                        let a = task.a.add(row + unit * task.unit_bytes).cast::<f32>().read_unaligned();
                        for (sum, b) in sums.iter_mut().zip(b) {
                            *sum = a.mul_add(*b, *sum);
                        }
                    }
                }
                store_rows(&task.output, first, column, &sums[..height]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::has_bf16_products;

    fn values(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32).map(|i| ((i.wrapping_mul(2_654_435_761) ^ seed) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
    }

    fn run(tile: TileFunction, a: &[u8], b: &[Unit], units: usize, (rows, columns): (usize, usize)) -> Vec<f32> {
        let mut c = values(rows * columns, 8);
        let task = Tile {
            units,
            a: a.as_ptr(),
            row_bytes: units * 4,
            unit_bytes: 4,
            b: b.as_ptr(),
            output: TileOutput {
                c: c.as_mut_ptr(),
                stride: columns,
                width: columns,
                alpha: 0.3,
                start: TileStart::Existing,
            },
        };
        assert!(a.len() == rows * units * 4 && b.len() == units * PANEL && columns <= PANEL);
        // SAFETY: the task spans exactly the slices above.
        unsafe { tile(rows, &task) };
        c
    }

    #[test]
    fn tiles_of_every_instruction_set_have_the_same_bits() {
        for (rows, units, columns) in [(11, 77, 29), (12, 64, 32), (1, 5, 3), (5, 9, 16)] {
            let a: Vec<u8> = values(rows * units, 6).iter().flat_map(|x| x.to_le_bytes()).collect();
            let b: Vec<Unit> = values(units * PANEL, 7).iter().map(|x| x.to_bits()).collect();
            let shape = (rows, columns);
            assert_eq!(
                run(tile_function(UnitLayout::Single), &a, &b, units, shape),
                run(portable, &a, &b, units, shape)
            );
        }
    }

    /// A product of pairs is that of the widened layout, up to the rounding between the two of a pair.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_pair_is_the_sum_of_its_widened_halves() {
        if !has_bf16_products() {
            return;
        }
        let (rows, units, columns) = (11, 77, 29);
        let upper = |x: f32| x.to_bits() & 0xffff_0000;
        let pair = |first: f32, second: f32| upper(first) >> 16 | upper(second);
        let (a, b) = (values(rows * units * 2, 6), values(units * PANEL * 2, 7));
        let pairs_a: Vec<u8> = a.as_chunks::<2>().0.iter().flat_map(|[x, y]| pair(*x, *y).to_le_bytes()).collect();
        let widened_a: Vec<u8> =
            a.as_chunks::<2>().0.iter().flat_map(|[x, y]| [upper(*y), upper(*x)]).flat_map(u32::to_le_bytes).collect();
        let (first, second) = b.split_at(units * PANEL);
        let pairs_b: Vec<Unit> = first.iter().zip(second).map(|(x, y)| pair(*x, *y)).collect();
        let widened_b: Vec<Unit> = (0..2 * units)
            .flat_map(|unit| {
                let half = if unit % 2 == 0 { second } else { first };
                half[unit / 2 * PANEL..(unit / 2 + 1) * PANEL].iter().map(|x| upper(*x))
            })
            .collect();
        let shape = (rows, columns);
        let got = run(tile_function(UnitLayout::Pair), &pairs_a, &pairs_b, units, shape);
        let expected = run(portable, &widened_a, &widened_b, 2 * units, shape);
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }
    }
}
