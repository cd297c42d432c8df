//! Where B comes from: a matrix that is read row by row, widened or rounded to the type of the product.

use half::bf16;

use crate::element::{Element, Stored, convert};

/// Elements of a row that share a scale at least, where codes are lent.
pub(crate) const CODE_STRIP: usize = 64;

/// A matrix in 4 bits, of which an element is the value of its code times a scale. All are numbers.
pub struct Codes<'a> {
    /// What the codes stand for.
    pub(crate) values: &'a [f32; 16],
    /// Two codes a byte, row by row, the first in the high nibble.
    pub(crate) packed: &'a [u8],
}

/// A matrix that is read row by row.
pub trait RowSource: Sync {
    /// Number of rows.
    fn rows(&self) -> usize;
    /// Number of columns.
    fn columns(&self) -> usize;
    /// A row from a column on, as much of it as `target` is long.
    fn read(&self, row: usize, column: usize, target: &mut [f32]);

    /// The same, rounded to bf16.
    fn read_bf16(&self, row: usize, column: usize, target: &mut [bf16]) {
        const STRIP: usize = 64;
        let mut values = [0.0; STRIP];
        for (strip, target) in target.chunks_mut(STRIP).enumerate() {
            let values = &mut values[..target.len()];
            self.read(row, column + strip * STRIP, values);
            convert(values, target);
        }
    }

    /// Its codes if it is in memory as such: then `CODE_STRIP` elements of a row, from a multiple of it on, have one scale,
    /// and `scales` says which.
    fn codes(&self) -> Option<Codes<'_>> {
        None
    }

    /// The scales of rows that follow one another, for the elements from a column on.
    fn scales(&self, _first_row: usize, _column: usize, _scales: &mut [f32]) {}

    /// The matrix itself if it is in memory as one: its elements, and how many there are from one row to the next.
    fn stored(&self) -> Option<(Stored<'_>, usize)> {
        None
    }
}

/// A dense row-major matrix.
#[derive(Clone, Copy)]
pub(crate) struct Dense<'a, E = f32> {
    pub(crate) values: &'a [E],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Elements from one row to the next.
    pub(crate) stride: usize,
}

impl<'a, E: Element> Dense<'a, E> {
    /// A matrix whose rows follow one another.
    pub(crate) fn new(values: &'a [E], rows: usize, columns: usize) -> Self {
        Self { values, rows, columns, stride: columns }
    }

    /// A part of a row.
    fn part(&self, row: usize, column: usize, length: usize) -> &'a [E] {
        let start = row * self.stride + column;
        &self.values[start..start + length]
    }
}

impl<E: Element> RowSource for Dense<'_, E> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read(&self, row: usize, column: usize, target: &mut [f32]) {
        convert(self.part(row, column, target.len()), target);
    }

    fn stored(&self) -> Option<(Stored<'_>, usize)> {
        Some((E::stored(self.values), self.stride))
    }

    fn read_bf16(&self, row: usize, column: usize, target: &mut [bf16]) {
        let part = self.part(row, column, target.len());
        match E::stored(part) {
            Stored::Bf16(part) => target.copy_from_slice(part),
            Stored::F32(part) => convert(part, target),
        }
    }
}

/// A source followed by rows of zeros: products in bf16 have an even depth.
pub(crate) struct ZeroExtended<'a> {
    pub(crate) source: &'a dyn RowSource,
    pub(crate) rows: usize,
}

impl<'a> ZeroExtended<'a> {
    /// The source with an even number of rows.
    pub(crate) fn to_even(source: &'a dyn RowSource) -> Self {
        Self { source, rows: source.rows().next_multiple_of(2) }
    }
}

impl RowSource for ZeroExtended<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.source.columns()
    }

    fn read(&self, row: usize, column: usize, target: &mut [f32]) {
        if row < self.source.rows() { self.source.read(row, column, target) } else { target.fill(0.0) }
    }

    fn read_bf16(&self, row: usize, column: usize, target: &mut [bf16]) {
        if row < self.source.rows() { self.source.read_bf16(row, column, target) } else { target.fill(bf16::ZERO) }
    }
}
