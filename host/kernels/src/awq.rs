//! AutoAWQ's 4-bit format: w[o, i] = (q[i, o] − z[i / g, o]) · s[i / g, o], with o an output, i an input, and g inputs
//! that share a scale and a zero point.
//!
//! The layout is the transpose of a Hugging Face weight: qweight i32 [in, out / 8], qzeros i32 [in / g, out / 8], scales
//! f16 [in / g, out]. Nibble n of a word holds output 8 c + [0, 2, 4, 6, 1, 3, 5, 7][n]. Products are in f32, where
//! AutoAWQ itself rounds to f16. Nothing here is trained, and nothing is made: the format is only read.

use bytes::Bytes;
use half::f16;

use crate::matmul::RowSource;

/// Outputs in a word.
pub const WORD: usize = 8;
/// The shift that brings output 8 c + j of a word to its lowest bits.
pub(crate) const SHIFTS: [u32; WORD] = [0, 16, 4, 20, 8, 24, 12, 28];

/// A quantized matrix [rows = out, columns = in]; its bytes may be those of a mapped file.
#[derive(Debug, Clone)]
pub struct AwqMatrix {
    rows: usize,
    columns: usize,
    group: usize,
    qweight: Bytes,
    qzeros: Bytes,
    scales: Bytes,
}

impl AwqMatrix {
    /// A matrix from its three tensors, little-endian. Rows are a multiple of 8, columns of the group.
    pub fn new((rows, columns): (usize, usize), group: usize, qweight: Bytes, qzeros: Bytes, scales: Bytes) -> Self {
        assert!(rows.is_multiple_of(WORD) && group > 0 && columns.is_multiple_of(group), "not AWQ's shape");
        assert_eq!(qweight.len(), columns * rows / 2, "qweight has four bits an element");
        assert_eq!(qzeros.len(), columns / group * rows / 2, "qzeros has four bits an output and group");
        assert_eq!(scales.len(), columns / group * rows * 2, "scales has 16 bits an output and group");
        Self { rows, columns, group, qweight, qzeros, scales }
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
        self.qweight.len() + self.qzeros.len() + self.scales.len()
    }

    /// Inputs that share a scale and a zero point.
    pub(crate) fn group(&self) -> usize {
        self.group
    }

    /// The words of q, one per eight outputs, input by input.
    pub(crate) fn packed(&self) -> &[[u8; 4]] {
        self.qweight.as_chunks().0
    }

    /// s of a group of inputs and an output.
    #[inline]
    pub(crate) fn scale(&self, group: usize, row: usize) -> f32 {
        let at = 2 * (group * self.rows + row);
        f16::from_le_bytes([self.scales[at], self.scales[at + 1]]).to_f32()
    }

    /// z of a group of inputs and an output.
    #[inline]
    pub(crate) fn zero(&self, group: usize, row: usize) -> u32 {
        let words: &[[u8; 4]] = self.qzeros.as_chunks().0;
        u32::from_le_bytes(words[group * (self.rows / WORD) + row / WORD]) >> SHIFTS[row % WORD] & 15
    }
}

impl RowSource for AwqMatrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read(&self, row: usize, column: usize, target: &mut [f32]) {
        let (words, shift) = (self.rows / WORD, SHIFTS[row % WORD]);
        let last = column + target.len();
        let mut at = column;
        while at < last {
            let group = at / self.group();
            let end = ((group + 1) * self.group()).min(last);
            let (scale, zero) = (self.scale(group, row), self.zero(group, row) as i32);
            // The row's word in the line of each input.
            let packed = self.packed()[at * words + row / WORD..].iter().step_by(words);
            for (word, target) in packed.zip(&mut target[at - column..end - column]) {
                let q = u32::from_le_bytes(*word) >> shift & 15;
                *target = (q as i32 - zero) as f32 * scale;
            }
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    /// `tests/oracle/make_reference.py` made the files with the numpy statement in `tests/oracle/awq.py`.
    #[test]
    fn every_element_equals_numpys() -> Result<(), Box<dyn std::error::Error>> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle/qwen2");
        let (model, reference) =
            (std::fs::read(folder.join("awq/model.safetensors"))?, std::fs::read(folder.join("awq.safetensors"))?);
        let (model, reference) = (SafeTensors::deserialize(&model)?, SafeTensors::deserialize(&reference)?);
        let stem = "model.layers.1.mlp.down_proj";
        let part =
            |part: &str| model.tensor(&format!("{stem}.{part}")).map(|tensor| Bytes::copy_from_slice(tensor.data()));
        let (rows, columns, group) = (64, 128, 32);
        let matrix = AwqMatrix::new((rows, columns), group, part("qweight")?, part("qzeros")?, part("scales")?);
        let expected = reference.tensor(&format!("dequantized.{stem}.weight"))?;
        assert_eq!(expected.shape(), [rows, columns]);
        let expected: Vec<f32> = expected.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        // Parts that begin and end within groups, and whole rows.
        for (column, length) in [(0, columns), (5, 40), (31, 2), (96, 32)] {
            let mut got = vec![0.0; length];
            for row in 0..rows {
                matrix.read(row, column, &mut got);
                let start = row * columns + column;
                assert_eq!(got, expected[start..start + length], "row {row} from {column} on");
            }
        }
        Ok(())
    }
}
