//! One call of the product: what every thread reads, and the part of C that one thread computes, tile by tile.

use std::cell::RefCell;
use std::ops::Range;

use half::bf16;

use super::factor::Product;
#[cfg(target_arch = "x86_64")]
use super::few_rows;
use super::operand::Operand;
use super::panels::{PANEL, Unit, Units};
use super::tile::{TILE_ROWS, Tile, TileOutput, TileStart, tile_function};
use crate::element::{Element, Output, UnitLayout, convert};
use crate::simd::vectorized;

/// Products added up before the sum is added to C.
pub(crate) const DEPTH_BLOCK: usize = 512;

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

/// The shape of C and its stride.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Elements from one row of C to the next.
    pub(crate) stride: usize,
}

impl Shape {
    /// Rows that follow one another.
    #[inline]
    pub(crate) fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns, stride: columns }
    }
}

/// C by its first element, so that threads can write different parts of it.
#[derive(Clone, Copy)]
enum RawOutput {
    F32(*mut f32),
    Bf16(*mut bf16),
}

/// One call: what every thread reads, and C.
pub(super) struct Call<'a, E> {
    products: &'a [Product<'a, E>],
    c: RawOutput,
    /// Elements from one row of C to the next.
    stride: usize,
    alpha: f32,
    start: Start<'a>,
}

// SAFETY: what is shared is only read, but for C, of which `multiply` gives each thread another part.
unsafe impl<E: Element> Sync for Call<'_, E> {}

/// What a thread keeps from one product to the next.
#[derive(Default)]
struct Buffers {
    /// A block of B.
    panels: Units,
    /// Rows of A in the layout of the tile.
    rows: Units,
    /// Sums of which C is rounded.
    sums: Vec<f32>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// One block of depth on its way into a part of C.
struct BlockStep<'a, E> {
    a: Operand<'a, E>,
    depth: Range<usize>,
    panels: &'a [Unit],
    /// Units of depth that a panel holds.
    panel_units: usize,
    target: *mut f32,
    stride: usize,
    first: bool,
    last: bool,
}

/// Checks that everything is as large as its shape says, and hands over the call.
pub(super) fn with_call<E: Element, C: Element>(
    products: &[Product<'_, E>],
    shape: Shape,
    c: &mut [C],
    alpha: f32,
    start: Start<'_>,
    body: impl FnOnce(&Call<'_, E>),
) {
    let Shape { rows, columns, stride } = shape;
    if rows == 0 || columns == 0 {
        return;
    }
    let (c, length) = match C::output(c) {
        Output::F32(c) => (RawOutput::F32(c.as_mut_ptr()), c.len()),
        Output::Bf16(c) => (RawOutput::Bf16(c.as_mut_ptr()), c.len()),
    };
    assert!(length >= (rows - 1) * stride + columns && stride >= columns, "C is too small for its shape");
    for Product { a, b } in products {
        assert!(b.columns() == columns, "B has {} columns, C has {columns}", b.columns());
        let depth = b.depth();
        assert!(depth == 0 || a.values.len() > a.at(rows - 1, depth - 1), "A is too small for its shape");
        assert!(
            depth.is_multiple_of(2) || E::layout() == UnitLayout::Single,
            "the depth of a product in bf16 is even, got {depth}"
        );
    }
    if let Start::Row(row) = start {
        assert_eq!(row.len(), columns, "the starting row must be as wide as C");
    }
    body(&Call { products, c, stride, alpha, start });
}

impl<E: Element> Call<'_, E> {
    /// Computes a part of C.
    ///
    /// # Safety
    /// The part lies in C, begins at a panel's first column, and nobody else accesses it.
    pub(super) unsafe fn run(&self, rows: Range<usize>, columns: Range<usize>) {
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        BUFFERS.with_borrow_mut(|Buffers { panels: block, rows: a_rows, sums }| {
            // Sums in f32: C itself, or a buffer beside it.
            let (target, stride) = match self.c {
                // SAFETY: the part begins within C.
                RawOutput::F32(c) => (unsafe { c.add(rows.start * self.stride + columns.start) }, self.stride),
                RawOutput::Bf16(_) => {
                    sums.resize(rows.len() * columns.len(), 0.0);
                    (sums.as_mut_ptr(), columns.len())
                }
            };
            let blocks: Vec<(&Product<'_, E>, Range<usize>)> = self.blocks();
            #[cfg(target_arch = "x86_64")]
            if few_rows::fits(rows.len(), self.products) {
                if matches!(self.start, Start::Existing) {
                    // SAFETY: the caller's promise; `target` has room for the part.
                    unsafe { self.widen(rows.start, rows.len(), &columns, target) };
                }
                let output = |index: usize, part: Range<usize>| TileOutput {
                    c: target.wrapping_add(part.start - columns.start),
                    stride,
                    width: part.len(),
                    alpha: self.alpha,
                    start: self.tile_start(index == 0, part.start),
                };
                // SAFETY: the caller's promise: these columns lie in the part.
                unsafe { few_rows::multiply(&rows, &columns, &blocks, a_rows, output) };
                // SAFETY: the caller's promise; `target` holds the sums.
                unsafe { self.round(rows.start, rows.len(), &columns, target) };
                return;
            }
            for (index, (product, depth)) in blocks.iter().enumerate() {
                let (panels, panel_units) = product.b.block(&columns, depth, block);
                let step = BlockStep {
                    a: product.a,
                    depth: depth.clone(),
                    panels,
                    panel_units,
                    target,
                    stride,
                    first: index == 0,
                    last: index + 1 == blocks.len(),
                };
                // SAFETY: the caller's promise; `target` has room for the part with its stride.
                unsafe { self.tiles(&rows, &columns, &step, a_rows) };
            }
        });
    }

    /// The blocks of depth, product after product; one without depth if there is none, which sets C to its start.
    fn blocks(&self) -> Vec<(&Product<'_, E>, Range<usize>)> {
        let mut blocks = Vec::new();
        for product in self.products {
            let depth = product.b.depth();
            for start in (0..depth.max(usize::from(blocks.is_empty()))).step_by(DEPTH_BLOCK) {
                blocks.push((product, start.min(depth)..depth.min(start + DEPTH_BLOCK)));
            }
        }
        blocks
    }

    /// Where the sums of a panel begin: with what C is to hold, in the first block of depth.
    fn tile_start(&self, first: bool, column: usize) -> TileStart {
        match self.start {
            _ if !first => TileStart::Existing,
            Start::Zero => TileStart::Zero,
            Start::Existing => TileStart::Existing,
            Start::Row(values) => TileStart::Row(values[column..].as_ptr()),
        }
    }

    /// Adds one block of depth to all tiles of a part.
    ///
    /// # Safety
    /// As `run`; `step.target` has room for the part.
    unsafe fn tiles(&self, rows: &Range<usize>, columns: &Range<usize>, step: &BlockStep<'_, E>, buffer: &mut Units) {
        let tile = tile_function(E::layout());
        let tiles = rows.len().div_ceil(TILE_ROWS);
        let mut row = 0;
        for index in 0..tiles {
            let height = rows.len() / tiles + usize::from(index < rows.len() % tiles);
            if step.first && matches!((self.c, self.start), (RawOutput::Bf16(_), Start::Existing)) {
                // SAFETY: the caller's promise.
                unsafe { self.widen(rows.start + row, height, columns, step.target.add(row * step.stride)) };
            }
            let a = step.a.rows(rows.start + row, height, &step.depth, buffer);
            for (panel, column) in (0..columns.len()).step_by(PANEL).enumerate() {
                let start = self.tile_start(step.first, columns.start + column);
                let task = Tile {
                    units: step.depth.len() / E::layout().elements(),
                    a: a.first,
                    row_bytes: a.row_bytes,
                    unit_bytes: a.unit_bytes,
                    b: step.panels[panel * step.panel_units * PANEL..].as_ptr(),
                    output: TileOutput {
                        c: step.target.wrapping_add(row * step.stride + column),
                        stride: step.stride,
                        width: PANEL.min(columns.len() - column),
                        alpha: self.alpha,
                        start,
                    },
                };
                // SAFETY: `with_call` has bounded A by (rows, depth), C by (rows, columns) and the starting row by the
                // columns; this tile lies within them; a panel holds 32 units per unit of depth; the tile function was
                // chosen for this processor.
                unsafe { tile(height, &task) };
            }
            if step.last {
                // SAFETY: the caller's promise.
                unsafe { self.round(rows.start + row, height, columns, step.target.wrapping_add(row * step.stride)) };
            }
            row += height;
        }
    }

    /// Rounds the sums of some rows into C, if C is bf16.
    ///
    /// # Safety
    /// Rows and columns lie in C, nobody else accesses them, and `sums` holds them with their width as the stride.
    unsafe fn round(&self, first: usize, height: usize, columns: &Range<usize>, sums: *const f32) {
        let RawOutput::Bf16(c) = self.c else { return };
        for row in 0..height {
            // SAFETY: the caller's promise.
            let (target, sums) = unsafe {
                (
                    std::slice::from_raw_parts_mut(c.add((first + row) * self.stride + columns.start), columns.len()),
                    std::slice::from_raw_parts(sums.add(row * columns.len()), columns.len()),
                )
            };
            round(sums, target);
        }
    }

    /// Widens some rows of a C in bf16 into sums.
    ///
    /// # Safety
    /// As `round`, with sums that nobody else accesses.
    unsafe fn widen(&self, first: usize, height: usize, columns: &Range<usize>, sums: *mut f32) {
        let RawOutput::Bf16(c) = self.c else { return };
        for row in 0..height {
            // SAFETY: the caller's promise.
            let (target, values) = unsafe {
                (
                    std::slice::from_raw_parts_mut(sums.add(row * columns.len()), columns.len()),
                    std::slice::from_raw_parts(c.add((first + row) * self.stride + columns.start), columns.len()),
                )
            };
            convert(values, target);
        }
    }
}

vectorized! {
    fn round(from: &[f32], to: &mut [bf16]) {
        convert(from, to);
    }
}
