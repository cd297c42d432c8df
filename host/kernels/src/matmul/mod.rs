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

mod source;

mod operand;
mod panels;
#[cfg(target_arch = "x86_64")]
mod unit_square;

mod factor;

mod tile;

#[cfg(target_arch = "x86_64")]
mod chunk;
#[cfg(target_arch = "x86_64")]
mod few_rows;

mod call;
#[cfg(test)]
mod tests;

use rayon::prelude::*;

use self::call::with_call;
use self::tile::TILE_ROWS;
use crate::element::Element;

pub(crate) use self::call::{DEPTH_BLOCK, Shape, Start};
pub(crate) use self::factor::{Factor, Product};
pub(crate) use self::operand::{Columns, Operand};
pub(crate) use self::panels::{PANEL, Packed, PackedView};
pub(crate) use self::source::{CODE_STRIP, Dense, ZeroExtended};
pub use self::source::{Codes, RowSource};

/// Panels whose block stays in the second-level cache while tiles pass over it.
const PANEL_GROUP: usize = 16;
/// Rows whose multiply-adds take about as long as it takes to read B.
const READING_ROWS: usize = 4;
/// Multiply-adds below which a second thread costs more than it brings.
const PARALLEL_WORK: usize = 1 << 21;

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
    // Of few rows the reading of B is most of the work.
    if threads == 1 || shape.rows.max(READING_ROWS) * shape.columns * depth < PARALLEL_WORK {
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
