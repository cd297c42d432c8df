//! Codes of 4 or 8 bits, row by row.

use rayon::prelude::*;

/// Rows that one thread lays out at a time: an even number, so that whole bytes are its own, and as many as a cache line of
/// words holds outputs in the formats that stand column by column.
const STRIP: usize = 16;

/// The bits of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeWidth {
    /// Two codes a byte, the first in the high nibble.
    Four,
    /// One code a byte.
    Eight,
}

impl CodeWidth {
    /// Bits of a code.
    pub fn bits(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }
}

/// A matrix of codes, flattened row by row.
#[derive(Debug, Clone)]
pub struct IntegerCodes {
    width: CodeWidth,
    count: usize,
    bytes: Vec<u8>,
}

impl IntegerCodes {
    /// Codes [rows, columns] of a function of row and column, which is called from many threads.
    pub fn new(width: CodeWidth, rows: usize, columns: usize, code: impl Fn(usize, usize) -> u8 + Sync) -> Self {
        let count = rows * columns;
        let mut bytes = vec![0u8; (count * width.bits()).div_ceil(8)];
        let strip_bytes = (STRIP * columns * width.bits() / 8).max(1);
        bytes.par_chunks_mut(strip_bytes).enumerate().for_each(|(strip, target)| {
            let first = strip * STRIP;
            let height = STRIP.min(rows - first);
            for column in 0..columns {
                for local in 0..height {
                    let (at, code) = (local * columns + column, code(first + local, column));
                    match width {
                        CodeWidth::Four => target[at / 2] |= if at.is_multiple_of(2) { code << 4 } else { code & 15 },
                        CodeWidth::Eight => target[at] = code,
                    }
                }
            }
        });
        Self { width, count, bytes }
    }

    /// Bits of a code.
    pub(crate) fn width(&self) -> CodeWidth {
        self.width
    }

    /// Their number.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// As they stand.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// One of them.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> u8 {
        match self.width {
            CodeWidth::Four => self.bytes[at / 2] >> (4 * (1 - at % 2)) & 15,
            CodeWidth::Eight => self.bytes[at],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_where_it_is_read() {
        for width in [CodeWidth::Four, CodeWidth::Eight] {
            for (rows, columns) in [(1, 1), (3, 5), (16, 8), (17, 7), (40, 9), (33, 64)] {
                let code = |row: usize, column: usize| ((row * 31 + column * 7) % (1 << width.bits())) as u8;
                let codes = IntegerCodes::new(width, rows, columns, code);
                assert_eq!(codes.bytes().len(), (rows * columns * width.bits()).div_ceil(8));
                for at in 0..rows * columns {
                    assert_eq!(codes.get(at), code(at / columns, at % columns), "{rows} x {columns}, at {at}");
                }
            }
        }
    }
}
