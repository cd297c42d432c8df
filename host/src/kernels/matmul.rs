//! The matrix product: C = start + alpha · A B, with A [rows, depth], B [depth, columns], C [rows, columns], all f32.
//!
//! An element of C is the sum of its products in the order of the depth, fused multiply-add by fused multiply-add, in
//! blocks of 512. It depends on nothing else: not on the number of threads, the number of rows beside it, or the
//! processor's registers. So a sequence decoded alone gets the very bits it gets in a batch, and training is
//! reproducible on any machine. (A general library picks another order for one row than for many.)
//!
//! B is packed into panels of 32 columns; packing is where a frozen weight is widened from 16 or 4 bits.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::simd::{InstructionSet, instruction_set};

/// Columns of a panel.
const PANEL: usize = 32;
/// Products added up before the sum is added to C.
const DEPTH_BLOCK: usize = 512;
/// Rows of the register tile.
const TILE_ROWS: usize = 12;
/// Panels whose block stays in the second-level cache while tiles pass over it.
const PANEL_GROUP: usize = 16;
/// Multiply-adds below which a second thread costs more than it brings.
const PARALLEL_WORK: usize = 1 << 21;

/// A matrix that is read row by row, widened to f32.
pub(crate) trait RowSource: Sync {
    /// Number of rows.
    fn rows(&self) -> usize;
    /// Number of columns.
    fn columns(&self) -> usize;
    /// `length` elements of a row from a column on; `buffer` has room for them.
    fn read<'b>(&'b self, row: usize, column: usize, length: usize, buffer: &'b mut [f32]) -> &'b [f32];
}

/// A dense row-major matrix.
pub(crate) struct Dense<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Elements from one row to the next.
    pub(crate) stride: usize,
}

impl<'a> Dense<'a> {
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { values, rows, columns, stride: columns }
    }
}

impl RowSource for Dense<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read<'b>(&'b self, row: usize, column: usize, length: usize, _buffer: &'b mut [f32]) -> &'b [f32] {
        let start = row * self.stride + column;
        &self.values[start..start + length]
    }
}

/// Free memory of temporary packings.
static POOL: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// B in panels: panel p holds columns 32 p to 32 p + 31, depth by depth, padded with zeros.
pub(crate) struct Packed {
    depth: usize,
    columns: usize,
    panels: Vec<f32>,
}

impl Drop for Packed {
    fn drop(&mut self) {
        POOL.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.panels));
    }
}

impl Packed {
    fn with_panels(depth: usize, columns: usize, pack: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let mut panels = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        panels.resize(columns.div_ceil(PANEL) * PANEL * depth, 0.0);
        if depth > 0 {
            if depth * columns >= 1 << 15 {
                // Each panel is written by one thread, so their order does not matter.
                panels.par_chunks_mut(PANEL * depth).enumerate().for_each(|(panel, values)| pack(panel, values));
            } else {
                panels.chunks_mut(PANEL * depth).enumerate().for_each(|(panel, values)| pack(panel, values));
            }
        }
        Self { depth, columns, panels }
    }

    /// B = W, for W [depth, columns].
    pub(crate) fn of(matrix: &(impl RowSource + ?Sized)) -> Self {
        let (depth, columns) = (matrix.rows(), matrix.columns());
        Self::with_panels(depth, columns, |panel, values| {
            let start = panel * PANEL;
            let width = PANEL.min(columns - start);
            let mut buffer = [0.0; PANEL];
            for (row, target) in values.chunks_exact_mut(PANEL).enumerate() {
                target[..width].copy_from_slice(matrix.read(row, start, width, &mut buffer));
                target[width..].fill(0.0);
            }
        })
    }

    /// B = Wᵀ, for W [columns, depth].
    pub(crate) fn of_transposed(matrix: &(impl RowSource + ?Sized)) -> Self {
        const STRIP: usize = 64;
        let (depth, columns) = (matrix.columns(), matrix.rows());
        Self::with_panels(depth, columns, |panel, values| {
            let start = panel * PANEL;
            let width = PANEL.min(columns - start);
            let mut buffer = [0.0; STRIP];
            for (strip, target) in values.chunks_mut(STRIP * PANEL).enumerate() {
                let length = target.len() / PANEL;
                if width < PANEL {
                    target.fill(0.0);
                }
                for column in 0..width {
                    let source = matrix.read(start + column, strip * STRIP, length, &mut buffer);
                    for (target, value) in target[column..].iter_mut().step_by(PANEL).zip(source) {
                        *target = *value;
                    }
                }
            }
        })
    }

    /// All of B.
    pub(crate) fn all(&self) -> PackedView<'_> {
        PackedView { depth: self.depth, columns: self.columns, panel_depth: self.depth, panels: &self.panels }
    }

    /// The first columns of B.
    pub(crate) fn first_columns(&self, columns: usize) -> PackedView<'_> {
        PackedView { columns: columns.min(self.columns), ..self.all() }
    }

    /// The first rows of B.
    pub(crate) fn first_rows(&self, depth: usize) -> PackedView<'_> {
        PackedView { depth: depth.min(self.depth), ..self.all() }
    }
}

/// A corner of B.
#[derive(Clone, Copy)]
pub(crate) struct PackedView<'a> {
    depth: usize,
    columns: usize,
    /// Rows of the whole B, which a panel holds.
    panel_depth: usize,
    panels: &'a [f32],
}

/// A, or its transpose, by its strides.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) values: &'a [f32],
    /// Elements from one row to the next.
    pub(crate) row_stride: usize,
    /// Elements from one product of a sum to the next.
    pub(crate) depth_stride: usize,
}

impl<'a> Operand<'a> {
    /// Row-major [rows, width].
    pub(crate) fn rows_of(values: &'a [f32], width: usize) -> Self {
        Self { values, row_stride: width, depth_stride: 1 }
    }

    /// The transpose of row-major [depth, width].
    pub(crate) fn columns_of(values: &'a [f32], width: usize) -> Self {
        Self { values, row_stride: 1, depth_stride: width }
    }
}

/// What C holds before the products are added.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Nothing.
    Zero,
    /// What it held.
    Existing,
    /// The same row everywhere.
    Row(&'a [f32]),
}

/// C = start + alpha · A B over all threads; `c` is row-major with `stride` elements from one row to the next.
pub(crate) fn multiply(
    a: Operand<'_>,
    rows: usize,
    b: PackedView<'_>,
    c: &mut [f32],
    stride: usize,
    alpha: f32,
    start: Start<'_>,
) {
    let threads = rayon::current_num_threads();
    if threads == 1 || rows < 2 || rows * b.columns * b.depth < PARALLEL_WORK {
        return multiply_here(a, rows, b, c, stride, alpha, start);
    }
    let jobs = if rows <= 4 * TILE_ROWS * threads { threads } else { 4 * threads };
    let job_rows = rows.div_ceil(jobs).next_multiple_of(if rows > 4 * TILE_ROWS * threads { TILE_ROWS } else { 1 });
    c.par_chunks_mut(job_rows * stride).enumerate().for_each(|(job, c)| {
        let first = job * job_rows;
        if first < rows {
            let a = Operand { values: &a.values[first * a.row_stride..], ..a };
            multiply_here(a, job_rows.min(rows - first), b, c, stride, alpha, start);
        }
    });
}

/// C = start + alpha · A B on this thread.
pub(crate) fn multiply_here(
    a: Operand<'_>,
    rows: usize,
    b: PackedView<'_>,
    c: &mut [f32],
    stride: usize,
    alpha: f32,
    start: Start<'_>,
) {
    let (depth, columns) = (b.depth, b.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(c.len() >= (rows - 1) * stride + columns && stride >= columns, "C is too small for its shape");
    assert!(
        depth == 0 || a.values.len() > (rows - 1) * a.row_stride + (depth - 1) * a.depth_stride,
        "A is too small for its shape"
    );
    if let Start::Row(row) = start {
        assert_eq!(row.len(), columns, "the starting row must be as wide as C");
    }
    let tile = tile_function();
    let tiles = rows.div_ceil(TILE_ROWS);
    for block in (0..depth.max(1)).step_by(DEPTH_BLOCK) {
        let block_depth = DEPTH_BLOCK.min(depth - block);
        for group in (0..columns).step_by(PANEL_GROUP * PANEL) {
            let mut row = 0;
            for index in 0..tiles {
                let height = rows / tiles + usize::from(index < rows % tiles);
                for column in (group..columns.min(group + PANEL_GROUP * PANEL)).step_by(PANEL) {
                    let width = PANEL.min(columns - column);
                    let start = match start {
                        _ if block > 0 => TileStart::Existing,
                        Start::Zero => TileStart::Zero,
                        Start::Existing => TileStart::Existing,
                        Start::Row(values) => TileStart::Row(values[column..].as_ptr()),
                    };
                    let task = Tile {
                        depth: block_depth,
                        a: a.values[row * a.row_stride + block * a.depth_stride..].as_ptr(),
                        row_stride: a.row_stride,
                        depth_stride: a.depth_stride,
                        b: b.panels[column * b.panel_depth + block * PANEL..].as_ptr(),
                        c: c[row * stride + column..].as_mut_ptr(),
                        stride,
                        width,
                        alpha,
                        start,
                    };
                    // SAFETY: the asserts above bound A by (rows, depth), C by (rows, columns) and the starting row by
                    // columns; this tile lies within rows, block and panel; a panel holds 32 floats per depth; the
                    // tile function was chosen for this processor.
                    unsafe { tile(height, &task) };
                }
                row += height;
            }
        }
    }
}

/// Where a tile's sums begin.
#[derive(Clone, Copy)]
enum TileStart {
    Zero,
    Existing,
    Row(*const f32),
}

/// One register tile: up to 12 rows by up to 32 columns of C.
struct Tile {
    depth: usize,
    a: *const f32,
    row_stride: usize,
    depth_stride: usize,
    b: *const f32,
    c: *mut f32,
    stride: usize,
    width: usize,
    alpha: f32,
    start: TileStart,
}

type TileFunction = unsafe fn(usize, &Tile);

fn tile_function() -> TileFunction {
    match instruction_set() {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => tile_avx512,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => tile_avx2,
        InstructionSet::Baseline => tile_baseline,
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

/// # Safety
/// The processor has AVX-512 F; `task` describes readable A, B and writable C for `rows` ≤ 12 rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn tile_avx512(rows: usize, task: &Tile) {
    // SAFETY: the caller's promise is passed on.
    unsafe { if task.width > 16 { by_rows!(rows, wide_avx512, task) } else { by_rows!(rows, narrow_avx512, task) } }
}

#[cfg(target_arch = "x86_64")]
macro_rules! avx512_tile {
    ($name:ident, $vectors:literal) => {
        /// # Safety
        /// As `tile_avx512`, for exactly `ROWS` rows.
        #[target_feature(enable = "avx512f")]
        unsafe fn $name<const ROWS: usize>(task: &Tile) {
            use std::arch::x86_64::*;
            let mut sums = [[_mm512_setzero_ps(); $vectors]; ROWS];
            // SAFETY: the caller promises that A, B and C can be accessed for ROWS rows, `depth` products and
            // `width` columns; the mask keeps the last vector within `width`; a panel always has 32 columns.
            unsafe {
                let (mut a, mut b) = (task.a, task.b);
                for _ in 0..task.depth {
                    let mut row = [_mm512_setzero_ps(); $vectors];
                    for (v, row) in row.iter_mut().enumerate() {
                        *row = _mm512_loadu_ps(b.add(16 * v));
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let factor = _mm512_set1_ps(*a.add(r * task.row_stride));
                        for (sum, row) in sums.iter_mut().zip(row) {
                            *sum = _mm512_fmadd_ps(factor, row, *sum);
                        }
                    }
                    a = a.wrapping_add(task.depth_stride);
                    b = b.add(PANEL);
                }
                let alpha = _mm512_set1_ps(task.alpha);
                let last: __mmask16 = 0xffff >> (16 * $vectors - task.width);
                for (r, sums) in sums.iter().enumerate() {
                    for (v, sum) in sums.iter().enumerate() {
                        let mask = if v + 1 == $vectors { last } else { 0xffff };
                        let target = task.c.add(r * task.stride + 16 * v);
                        let start = match task.start {
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
avx512_tile!(wide_avx512, 2);
#[cfg(target_arch = "x86_64")]
avx512_tile!(narrow_avx512, 1);

/// # Safety
/// The processor has AVX2 and FMA; `task` describes readable A, B and writable C for `rows` rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_avx2(rows: usize, task: &Tile) {
    for first in (0..rows).step_by(AVX2_ROWS) {
        for column in (0..task.width).step_by(16) {
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

/// Rows whose sums, two vectors each, fit in AVX2's 16 registers.
#[cfg(target_arch = "x86_64")]
const AVX2_ROWS: usize = 6;

/// `ROWS` rows from `first` on by up to 16 columns from `column` on.
///
/// # Safety
/// As `tile_avx2`, for rows and columns within the tile.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn columns_avx2<const ROWS: usize>(task: &Tile, first: usize, column: usize) {
    use std::arch::x86_64::*;
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    let mut products = [[0.0f32; 16]; ROWS];
    // SAFETY: the caller promises that A, B and C can be accessed for these rows, `depth` products and `width` columns;
    // a panel always has 32 columns, of which `column`, a multiple of 16 below `width`, begins the last 16 at most.
    unsafe {
        let (mut a, mut b) = (task.a.wrapping_add(first * task.row_stride), task.b.add(column));
        for _ in 0..task.depth {
            let row = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))];
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = _mm256_set1_ps(*a.add(r * task.row_stride));
                sums[0] = _mm256_fmadd_ps(factor, row[0], sums[0]);
                sums[1] = _mm256_fmadd_ps(factor, row[1], sums[1]);
            }
            a = a.wrapping_add(task.depth_stride);
            b = b.wrapping_add(PANEL);
        }
        for (products, sums) in products.iter_mut().zip(sums) {
            _mm256_storeu_ps(products.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(products.as_mut_ptr().add(8), sums[1]);
        }
        for (r, products) in products.iter().enumerate() {
            for (i, product) in products.iter().enumerate().take(task.width - column) {
                let target = task.c.add((first + r) * task.stride + column + i);
                let start = match task.start {
                    TileStart::Zero => 0.0,
                    TileStart::Existing => *target,
                    TileStart::Row(row) => *row.add(column + i),
                };
                *target = task.alpha.mul_add(*product, start);
            }
        }
    }
}

/// # Safety
/// `task` describes readable A, B and writable C for `rows` rows.
unsafe fn tile_baseline(rows: usize, task: &Tile) {
    // SAFETY: the caller's promise is passed on.
    unsafe { tile_portable(rows, task) }
}

/// Rows by rows and 16 columns by 16 columns, in plain Rust that the compiler can vectorize.
///
/// # Safety
/// `task` describes readable A, B and writable C for `rows` rows.
#[inline(always)]
unsafe fn tile_portable(rows: usize, task: &Tile) {
    const ROWS: usize = 4;
    for first in (0..rows).step_by(ROWS) {
        for column in (0..task.width).step_by(16) {
            let mut sums = [[0.0f32; 16]; ROWS];
            let height = ROWS.min(rows - first);
            // SAFETY: the caller promises access to `rows` rows, `depth` products and `width` columns; rows past the
            // last read the last one again; a panel always has 32 columns.
            unsafe {
                for k in 0..task.depth {
                    let b = &*task.b.add(k * PANEL + column).cast::<[f32; 16]>();
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let factor = *task.a.add((first + r.min(height - 1)) * task.row_stride + k * task.depth_stride);
                        for (sum, b) in sums.iter_mut().zip(b) {
                            *sum = factor.mul_add(*b, *sum);
                        }
                    }
                }
                for (r, sums) in sums.iter().enumerate().take(height) {
                    for (i, sum) in sums.iter().enumerate().take(task.width - column) {
                        let target = task.c.add((first + r) * task.stride + column + i);
                        let start = match task.start {
                            TileStart::Zero => 0.0,
                            TileStart::Existing => *target,
                            TileStart::Row(row) => *row.add(column + i),
                        };
                        *target = task.alpha.mul_add(*sum, start);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32).map(|i| ((i.wrapping_mul(2_654_435_761) ^ seed) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
    }

    #[test]
    fn equals_the_sum_of_products() {
        for (rows, depth, columns) in [(1, 1, 1), (3, 5, 7), (13, 600, 33), (25, 64, 16), (40, 513, 80), (12, 0, 4)] {
            let (a, w) = (values(rows * depth, 1), values(columns * depth, 2));
            let bias = values(columns, 3);
            let mut c = vec![f32::NAN; rows * columns];
            let b = Packed::of_transposed(&Dense::new(&w, columns, depth));
            multiply(Operand::rows_of(&a, depth), rows, b.all(), &mut c, columns, 0.5, Start::Row(&bias));
            for row in 0..rows {
                for column in 0..columns {
                    let sum: f64 =
                        (0..depth).map(|k| f64::from(a[row * depth + k]) * f64::from(w[column * depth + k])).sum();
                    let expected = f64::from(bias[column]) + 0.5 * sum;
                    let got = f64::from(c[row * columns + column]);
                    assert!(
                        (got - expected).abs() < 1e-4,
                        "({rows}, {depth}, {columns}) at ({row}, {column}): {got} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_row_alone_has_the_bits_it_has_in_a_batch() {
        let (rows, depth, columns) = (301, 700, 130);
        let (a, w) = (values(rows * depth, 4), values(columns * depth, 5));
        let b = Packed::of(&Dense::new(&w, depth, columns));
        let mut all = vec![0.0; rows * columns];
        multiply(Operand::rows_of(&a, depth), rows, b.all(), &mut all, columns, 1.0, Start::Zero);
        for count in [1, 3, 32] {
            let mut some = vec![0.0; count * columns];
            let tail = &a[(rows - count) * depth..];
            multiply(Operand::rows_of(tail, depth), count, b.all(), &mut some, columns, 1.0, Start::Zero);
            assert_eq!(some, all[(rows - count) * columns..]);
        }
    }

    #[test]
    fn tiles_of_every_instruction_set_have_the_same_bits() {
        let (rows, depth, columns) = (11, 77, 29);
        let (a, w) = (values(rows * depth, 6), values(columns * depth, 7));
        let b = Packed::of(&Dense::new(&w, depth, columns));
        let run = |tile: TileFunction| {
            let mut c = values(rows * columns, 8);
            let task = Tile {
                depth,
                a: a.as_ptr(),
                row_stride: depth,
                depth_stride: 1,
                b: b.panels.as_ptr(),
                c: c.as_mut_ptr(),
                stride: columns,
                width: columns,
                alpha: 0.3,
                start: TileStart::Existing,
            };
            // SAFETY: the task spans exactly the vectors above.
            unsafe { tile(rows, &task) };
            c
        };
        assert_eq!(run(tile_function()), run(tile_baseline));
    }
}
