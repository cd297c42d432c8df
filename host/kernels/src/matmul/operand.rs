//! A of a product, or its transpose, as the tile reads it: where it is, or rows of it laid out beside.

use std::ops::Range;

use super::panels::{Unit, Units, lay_out};
use crate::element::{Element, UnitLayout};
use crate::simd::vectorized;

/// A, or its transpose, by its strides in elements.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a, E = f32> {
    pub(super) values: &'a [E],
    /// From one row to the next.
    row_stride: usize,
    /// From one product of a sum to the next; from one pair of them to the next if pairs stand side by side.
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

    /// Without the first elements of every row, of as many as lie before it in memory.
    pub(crate) fn skip_elements(self, elements: usize) -> Self {
        Self { values: &self.values[elements..], ..self }
    }

    /// Whether the elements of a row follow one another.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn is_row_major(&self) -> bool {
        self.depth_stride == 1 && self.together == 1
    }

    /// A part of a row of a row-major operand.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn row(&self, row: usize, depth: &Range<usize>) -> &'a [E] {
        &self.values[row * self.row_stride + depth.start..][..depth.len()]
    }

    /// Where an element of a row stands.
    pub(super) fn at(&self, row: usize, depth: usize) -> usize {
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

vectorized! {
    /// target[i · step] = values[i].
    fn spread<F: Element, T: Element>(values: &[F], target: &mut [T], step: usize) {
        for (target, value) in target.iter_mut().step_by(step).zip(values) {
            *target = T::narrow(value.widen());
        }
    }
}

/// Some rows of A in the layout of the tile.
pub(super) struct TileRows {
    pub(super) first: *const u8,
    pub(super) row_bytes: usize,
    pub(super) unit_bytes: usize,
}

impl<E: Element> Operand<'_, E> {
    /// Rows of A as a tile reads them: where they are, or laid out in the buffer.
    pub(super) fn rows(&self, row: usize, height: usize, depth: &Range<usize>, buffer: &mut Units) -> TileRows {
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
