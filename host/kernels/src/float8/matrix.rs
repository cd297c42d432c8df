//! A matrix of float8 with scales, read row by row.

use bytes::Bytes;
use half::bf16;

use super::format::Float8;
use crate::element::Element;
use crate::matmul::RowSource;
use crate::scales::Scales;

/// A matrix [rows = out, columns = in]; its bytes may be those of a mapped file.
#[derive(Debug, Clone)]
pub struct Float8Matrix {
    rows: usize,
    columns: usize,
    format: Float8,
    codes: Bytes,
    scales: Scales,
    /// Outputs and inputs that share a scale.
    block: (usize, usize),
    /// Scales of a row of blocks.
    across: usize,
}

impl Float8Matrix {
    /// A matrix from codes row by row and scales, a row of them for each row of blocks.
    pub fn new(
        (rows, columns): (usize, usize),
        format: Float8,
        codes: Bytes,
        scales: Scales,
        block: (usize, usize),
    ) -> Self {
        assert_eq!(codes.len(), rows * columns, "a byte for every element");
        assert!(block.0 > 0 && block.1 > 0, "a block has elements");
        let across = columns.div_ceil(block.1);
        assert_eq!(scales.len(), rows.div_ceil(block.0) * across, "a scale for every block");
        Self { rows, columns, format, codes, scales, block, across }
    }

    /// Number of outputs.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.codes.len() + self.scales.bytes()
    }

    /// What its codes stand for.
    pub(crate) fn format(&self) -> Float8 {
        self.format
    }

    /// The codes, row by row.
    pub(crate) fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// The scales, a row of them for each row of blocks.
    pub(crate) fn scales(&self) -> &Scales {
        &self.scales
    }

    /// Outputs and inputs that share a scale.
    pub(crate) fn block(&self) -> (usize, usize) {
        self.block
    }

    fn values<T: Element>(&self, row: usize, column: usize, target: &mut [T]) {
        let mut done = 0;
        while done < target.len() {
            let at = column + done;
            let length = (self.block.1 - at % self.block.1).min(target.len() - done);
            let scale = self.scales.get(row / self.block.0 * self.across + at / self.block.1);
            let codes = &self.codes[row * self.columns + at..][..length];
            self.format.scaled(codes, scale, &mut target[done..done + length]);
            done += length;
        }
    }
}

impl RowSource for Float8Matrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read(&self, row: usize, column: usize, target: &mut [f32]) {
        self.values(row, column, target);
    }

    fn read_bf16(&self, row: usize, column: usize, target: &mut [bf16]) {
        self.values(row, column, target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_the_scale_of_its_block() {
        let (rows, columns) = (10usize, 70usize);
        let code = |at: usize| (at * 37 % 120) as u8;
        for block in [(10, 70), (1, 70), (4, 32), (1, 16), (128, 128)] {
            let across = columns.div_ceil(block.1);
            let scales: Vec<f32> = (0..rows.div_ceil(block.0) * across).map(|i| 0.5 + i as f32).collect();
            let codes: Vec<u8> = (0..rows * columns).map(code).collect();
            let matrix =
                Float8Matrix::new((rows, columns), Float8::E4m3, codes.into(), Scales::F32(scales.clone()), block);
            for (column, length) in [(0, columns), (5, 40), (31, 2)] {
                let (mut got, mut rounded) = (vec![0.0; length], vec![bf16::ZERO; length]);
                for row in 0..rows {
                    matrix.read(row, column, &mut got);
                    matrix.read_bf16(row, column, &mut rounded);
                    for (i, (got, rounded)) in got.iter().zip(&rounded).enumerate() {
                        let at = column + i;
                        let scale = scales[row / block.0 * across + at / block.1];
                        let expected = Float8::E4m3.widen(code(row * columns + at)) * scale;
                        assert_eq!((*got, *rounded), (expected, bf16::narrow(expected)), "{block:?}, {row}, {at}");
                    }
                }
            }
        }
    }
}
