//! The matrix product: C = start + alpha · (A₁ B₁ + A₂ B₂ + …), with A [rows, depth], B [depth, columns] and C [rows,
//! columns]. A and B are both f32 or both bf16; sums are f32, and C is f32 or rounded to bf16 once, at the end.
//!
//! An element of C is the sum of its products in the order of the depth, fused multiply-add by fused multiply-add, in
//! blocks of 512. It depends on nothing else: not on the number of threads, the number of rows beside it, or the
//! processor's registers. So a sequence decoded alone gets the very bits it gets in a batch, and training is
//! reproducible on any machine. (A general library picks another order for one row than for many.)
//!
//! B comes from a source that is packed block by block where it is multiplied, by the thread that multiplies it: a
//! frozen weight in 4 bits is never widened as a whole.

mod panels;
mod source;
mod tile;

use std::cell::RefCell;
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use self::panels::{Orientation, PANEL, Part, Unit, Units, lay_out, pack};
use self::tile::{TILE_ROWS, Tile, TileStart, tile_function};
use crate::element::{Element, UnitLayout};

pub(crate) use self::panels::{Packed, PackedView};
pub use self::source::RowSource;
pub(crate) use self::source::{Dense, ZeroExtended, convert};
pub use self::tile::has_bf16_products;

/// Products added up before the sum is added to C.
const DEPTH_BLOCK: usize = 512;
/// Panels whose block stays in the second-level cache while tiles pass over it.
const PANEL_GROUP: usize = 16;
/// Multiply-adds below which a second thread costs more than it brings.
const PARALLEL_WORK: usize = 1 << 21;

/// A, or its transpose, by its strides in elements.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a, E = f32> {
    values: &'a [E],
    /// From one row to the next.
    row_stride: usize,
    /// From one product of a sum to the next; from one pair of them to the next where pairs stand side by side.
    depth_stride: usize,
    /// Products that stand side by side.
    together: usize,
}

impl<'a, E: Element> Operand<'a, E> {
    /// Row-major [rows, depth], with `stride` elements from one row to the next.
    pub(crate) fn rows_of(values: &'a [E], stride: usize) -> Self {
        Self { values, row_stride: stride, depth_stride: 1, together: 1 }
    }

    /// Without its first rows.
    pub(crate) fn skip_rows(self, rows: usize) -> Self {
        Self { values: &self.values[rows * self.row_stride..], ..self }
    }

    /// Where an element of a row stands.
    fn at(&self, row: usize, depth: usize) -> usize {
        row * self.row_stride + depth / self.together * self.depth_stride + depth % self.together
    }
}

/// The transpose of a matrix as an operand: rows of the matrix stand side by side as the depth of a product wants them.
pub(crate) struct Columns<E> {
    values: Vec<E>,
    width: usize,
}

impl<E: Element> Columns<E> {
    /// Of rows [depth, width], `stride` elements apart. The depth is filled up with zeros to an even number.
    pub(crate) fn of<F: Element>(rows: &[F], depth: usize, width: usize, stride: usize) -> Self {
        let even = depth.next_multiple_of(2);
        let mut values = vec![E::zero(); even * width];
        for (index, target) in values.chunks_exact_mut(width * E::TOGETHER).enumerate() {
            for together in 0..E::TOGETHER {
                let row = index * E::TOGETHER + together;
                if row < depth {
                    spread(&rows[row * stride..row * stride + width], &mut target[together..], E::TOGETHER);
                }
            }
        }
        Self { values, width }
    }

    /// The operand [width, depth].
    pub(crate) fn operand(&self) -> Operand<'_, E> {
        Operand {
            values: &self.values,
            row_stride: E::TOGETHER,
            depth_stride: E::TOGETHER * self.width,
            together: E::TOGETHER,
        }
    }
}

crate::simd::vectorized! {
    /// target[i · step] = values[i].
    fn spread<F: Element, T: Element>(values: &[F], target: &mut [T], step: usize) {
        for (target, value) in target.iter_mut().step_by(step).zip(values) {
            *target = T::narrow(value.widen());
        }
    }
}

/// B: a source, as it is or transposed, or panels that were packed before.
#[derive(Clone, Copy)]
pub(crate) enum Factor<'a, E = f32> {
    /// The source is [depth, columns].
    Straight(&'a dyn RowSource),
    /// The source is [columns, depth].
    Transposed(&'a dyn RowSource),
    /// Packed.
    Packed(PackedView<'a, E>),
}

impl<E: Element> Factor<'_, E> {
    fn depth(&self) -> usize {
        match self {
            Self::Straight(source) => source.rows(),
            Self::Transposed(source) => source.columns(),
            Self::Packed(view) => view.depth,
        }
    }

    fn columns(&self) -> usize {
        match self {
            Self::Straight(source) => source.columns(),
            Self::Transposed(source) => source.rows(),
            Self::Packed(view) => view.columns,
        }
    }
}

/// One of the products that are added up.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a, E = f32> {
    pub(crate) a: Operand<'a, E>,
    pub(crate) b: Factor<'a, E>,
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

/// C, row-major.
pub enum Output<'a> {
    /// Kept as it is added up.
    F32(&'a mut [f32]),
    /// Rounded at the end.
    Bf16(&'a mut [bf16]),
}

/// C by its first element, so that threads can write different parts of it.
#[derive(Clone, Copy)]
enum RawOutput {
    F32(*mut f32),
    Bf16(*mut bf16),
}

/// One call: what every thread reads, and C.
struct Call<'a, E> {
    products: &'a [Product<'a, E>],
    c: RawOutput,
    /// Elements from one row of C to the next.
    stride: usize,
    alpha: f32,
    start: Start<'a>,
}

// SAFETY: what is shared is only read, but for C, of which `multiply` gives each thread another part.
unsafe impl<E: Element> Sync for Call<'_, E> {}

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
    pub(crate) fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns, stride: columns }
    }
}

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

/// C = start + alpha · Σ A B, over all threads.
pub(crate) fn multiply<E: Element, C: Element>(
    products: &[Product<'_, E>],
    shape: Shape,
    c: &mut [C],
    alpha: f32,
    start: Start<'_>,
) {
    let threads = rayon::current_num_threads();
    let depth: usize = products.iter().map(|product| product.b.depth()).sum();
    if threads == 1 || shape.rows * shape.columns * depth < PARALLEL_WORK {
        return multiply_here(products, shape, c, alpha, start);
    }
    let panels = shape.columns.div_ceil(PANEL);
    if panels >= 2 * threads {
        // Each thread packs the columns that it multiplies. As many jobs for every thread, all of about one size.
        let jobs = panels.div_ceil(PANEL_GROUP).next_multiple_of(threads);
        return with_call(products, shape, c, alpha, start, |call| {
            (0..jobs).into_par_iter().for_each(|job| {
                let part = |job: usize| (job * panels / jobs * PANEL).min(shape.columns);
                // SAFETY: jobs have different columns.
                unsafe { call.run(0..shape.rows, part(job)..part(job + 1)) };
            });
        });
    }
    // Few columns: B is packed once, and each thread takes some of the rows.
    let packed: Vec<Option<Packed<E>>> = products
        .iter()
        .map(|product| match product.b {
            Factor::Straight(source) => Some(Packed::of(source)),
            Factor::Transposed(source) => Some(Packed::of_transposed(source)),
            Factor::Packed(_) => None,
        })
        .collect();
    let products: Vec<Product<'_, E>> = products
        .iter()
        .zip(&packed)
        .map(|(product, packed)| Product {
            a: product.a,
            b: packed.as_ref().map_or(product.b, |packed| Factor::Packed(packed.all())),
        })
        .collect();
    let jobs = if shape.rows <= 4 * TILE_ROWS * threads { threads } else { 4 * threads };
    let unit = if jobs > threads { TILE_ROWS } else { 1 };
    let rows = shape.rows.div_ceil(jobs).next_multiple_of(unit);
    with_call(&products, shape, c, alpha, start, |call| {
        (0..jobs).into_par_iter().for_each(|job| {
            let part = |job: usize| (job * rows).min(shape.rows);
            // SAFETY: jobs have different rows.
            unsafe { call.run(part(job)..part(job + 1), 0..shape.columns) };
        });
    });
}

/// C = start + alpha · Σ A B, on this thread.
pub(crate) fn multiply_here<E: Element, C: Element>(
    products: &[Product<'_, E>],
    shape: Shape,
    c: &mut [C],
    alpha: f32,
    start: Start<'_>,
) {
    with_call(products, shape, c, alpha, start, |call| {
        let group = PANEL_GROUP * PANEL;
        for first in (0..shape.columns).step_by(group) {
            // SAFETY: nobody else has this call.
            unsafe { call.run(0..shape.rows, first..shape.columns.min(first + group)) };
        }
    });
}

/// Checks that everything is as large as its shape says, and hands over the call.
fn with_call<E: Element, C: Element>(
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
    unsafe fn run(&self, rows: Range<usize>, columns: Range<usize>) {
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

    /// The blocks of depth, product after product; one without depth where there is none, which sets C to its start.
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
                let start = match self.start {
                    _ if !step.first => TileStart::Existing,
                    Start::Zero => TileStart::Zero,
                    Start::Existing => TileStart::Existing,
                    Start::Row(values) => TileStart::Row(values[columns.start + column..].as_ptr()),
                };
                let task = Tile {
                    units: step.depth.len() / E::layout().elements(),
                    a: a.first,
                    row_bytes: a.row_bytes,
                    unit_bytes: a.unit_bytes,
                    b: step.panels[panel * step.panel_units * PANEL..].as_ptr(),
                    c: step.target.wrapping_add(row * step.stride + column),
                    stride: step.stride,
                    width: PANEL.min(columns.len() - column),
                    alpha: self.alpha,
                    start,
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

    /// Rounds the sums of some rows into C, where C is bf16.
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

crate::simd::vectorized! {
    fn round(from: &[f32], to: &mut [bf16]) {
        convert(from, to);
    }
}

/// Some rows of A in the layout of the tile.
struct TileRows {
    first: *const u8,
    row_bytes: usize,
    unit_bytes: usize,
}

impl<E: Element> Operand<'_, E> {
    /// Rows of A as a tile reads them: where they are, or laid out in the buffer.
    fn rows(&self, row: usize, height: usize, depth: &Range<usize>, buffer: &mut Units) -> TileRows {
        /// Rows so far apart, or a multiple of it, fight for few sets of the first-level cache.
        const CONFLICTING_BYTES: usize = 1024;
        let layout = E::layout();
        let (size, together) = (size_of::<E>(), self.together == layout.elements());
        let conflicting = self.together == 1 && (self.row_stride * size).is_multiple_of(CONFLICTING_BYTES);
        if depth.is_empty() || (layout != UnitLayout::Widened && !conflicting) {
            let stride = if together { self.depth_stride } else { layout.elements() };
            return TileRows {
                first: self.values.as_ptr().wrapping_add(self.at(row, depth.start)).cast(),
                row_bytes: self.row_stride * size,
                unit_bytes: stride * size,
            };
        }
        let units = depth.len() / layout.elements();
        let width = units + 16;
        let rows = buffer.room(height * width);
        for (i, target) in rows.chunks_exact_mut(width).enumerate() {
            let (target, first) = (&mut target[..units], self.at(row + i, depth.start));
            if self.together == 1 {
                lay_out(&self.values[first..first + depth.len()], layout, target);
            } else {
                // Pairs stand side by side, one from each of two rows of what is transposed; here they are widened.
                for (pair, target) in target.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    let at = first + pair * self.depth_stride;
                    *target = [self.values[at + 1].widen().to_bits(), self.values[at].widen().to_bits()];
                }
            }
        }
        TileRows { first: rows.as_ptr().cast(), row_bytes: width * size_of::<Unit>(), unit_bytes: size_of::<Unit>() }
    }
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

impl<'a, E: Element> Factor<'a, E> {
    /// The panels of a part of B, and how many units of depth each of them holds.
    fn block<'b>(&self, columns: &Range<usize>, depth: &Range<usize>, buffer: &'b mut Units) -> (&'b [Unit], usize)
    where
        'a: 'b,
    {
        let (source, orientation) = match self {
            Self::Straight(source) => (*source, Orientation::Straight),
            Self::Transposed(source) => (*source, Orientation::Transposed),
            Self::Packed(view) => {
                let at = columns.start * view.panel_units + depth.start / E::layout().elements() * PANEL;
                return (&view.panels[at..], view.panel_units);
            }
        };
        let part = Part { columns: columns.clone(), depth: depth.clone() };
        let panels = buffer.room(part.units_total::<E>());
        pack::<E>(source, orientation, &part, panels);
        (panels, depth.len() / E::layout().elements())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<E: Element>(count: usize, seed: u32) -> Vec<E> {
        let value = |i: u32| ((i.wrapping_mul(2_654_435_761) ^ seed) >> 8) as f32 / 8_388_608.0 - 1.0;
        (0..count as u32).map(|i| E::narrow(value(i))).collect()
    }

    /// Two products, one straight and one transposed, held against sums in f64.
    fn equals_the_sum_of_products<E: Element>() {
        for (rows, depth, columns) in
            [(1, 2, 1), (3, 6, 7), (13, 600, 33), (25, 64, 16), (40, 514, 80), (300, 700, 130)]
        {
            let (a, w): (Vec<E>, Vec<E>) = (values(rows * depth, 1), values(columns * depth, 2));
            let (t, u): (Vec<E>, Vec<E>) = (values(4 * rows, 3), values(4 * columns, 4));
            let bias: Vec<f32> = values(columns, 5);
            let transposed_a = Columns::<E>::of(&t, 4, rows, rows);
            let (w_rows, u_rows) = (Dense::new(&w, columns, depth), Dense::new(&u, 4, columns));
            let products = [
                Product { a: Operand::rows_of(&a, depth), b: Factor::Transposed(&w_rows) },
                Product { a: transposed_a.operand(), b: Factor::Straight(&u_rows) },
            ];
            let shape = Shape::new(rows, columns);
            let (mut wide, mut narrow) = (vec![f32::NAN; rows * columns], vec![bf16::NAN; rows * columns]);
            multiply(&products, shape, &mut wide[..], 0.5, Start::Row(&bias));
            multiply(&products, shape, &mut narrow[..], 0.5, Start::Row(&bias));
            for row in 0..rows {
                for column in 0..columns {
                    let of = |x: &E| f64::from(x.widen());
                    let first: f64 = (0..depth).map(|k| of(&a[row * depth + k]) * of(&w[column * depth + k])).sum();
                    let second: f64 = (0..4).map(|k| of(&t[k * rows + row]) * of(&u[k * columns + column])).sum();
                    let expected = f64::from(bias[column]) + 0.5 * (first + second);
                    let got = f64::from(wide[row * columns + column]);
                    let place = format!("({rows}, {depth}, {columns}) at ({row}, {column}): {got} {expected}");
                    assert!((got - expected).abs() < 1e-4, "{place}");
                    assert_eq!(narrow[row * columns + column], bf16::narrow(got as f32), "{place}");
                }
            }
        }
    }

    #[test]
    fn equals_the_sum_of_products_in_f32_and_in_bf16() {
        equals_the_sum_of_products::<f32>();
        equals_the_sum_of_products::<bf16>();
    }

    #[test]
    fn existing_sums_are_added_to() {
        let (a, w): (Vec<bf16>, Vec<bf16>) = (values(5 * 8, 1), values(8 * 40, 2));
        let w = Dense::new(&w, 8, 40);
        let product = [Product { a: Operand::rows_of(&a, 8), b: Factor::Straight(&w) }];
        let (mut wide, mut narrow) = (vec![2.0f32; 200], vec![bf16::narrow(2.0); 200]);
        multiply(&product, Shape::new(5, 40), &mut wide[..], 1.0, Start::Existing);
        multiply(&product, Shape::new(5, 40), &mut narrow[..], 1.0, Start::Existing);
        let mut fresh = vec![0.0f32; 200];
        multiply(&product, Shape::new(5, 40), &mut fresh[..], 1.0, Start::Zero);
        for ((wide, narrow), fresh) in wide.iter().zip(&narrow).zip(&fresh) {
            assert_eq!(*wide, 1.0f32.mul_add(*fresh, 2.0));
            assert_eq!(*narrow, bf16::narrow(*wide));
        }
    }

    fn a_row_alone_has_the_bits_it_has_in_a_batch<E: Element>() {
        let (rows, depth, columns) = (301, 700, 130);
        let (a, w): (Vec<E>, Vec<E>) = (values(rows * depth, 4), values(columns * depth, 5));
        let w = Dense::new(&w, depth, columns);
        let packed = Packed::<E>::of(&w);
        let run = |a: &[E], rows: usize, b: Factor<'_, E>| {
            let mut c = vec![0.0f32; rows * columns];
            multiply(
                &[Product { a: Operand::rows_of(a, depth), b }],
                Shape::new(rows, columns),
                &mut c[..],
                1.0,
                Start::Zero,
            );
            c
        };
        let all = run(&a, rows, Factor::Straight(&w));
        for count in [1, 3, 32] {
            let tail = &a[(rows - count) * depth..];
            for b in [Factor::Straight(&w as &dyn RowSource), Factor::Packed(packed.all())] {
                assert_eq!(run(tail, count, b), all[(rows - count) * columns..]);
            }
        }
    }

    #[test]
    fn a_row_alone_has_the_bits_it_has_in_a_batch_in_f32_and_in_bf16() {
        a_row_alone_has_the_bits_it_has_in_a_batch::<f32>();
        a_row_alone_has_the_bits_it_has_in_a_batch::<bf16>();
    }
}
