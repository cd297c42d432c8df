//! A matrix as AutoAWQ stores it, in groups of g inputs.
//!
//! `version: gemm`, the transpose of a Hugging Face weight: `X.qweight` i32 [in, out / 8]; `X.qzeros` i32 [in / g, out / 8];
//! `X.scales` f16 [in / g, out]. Nibble n of a word holds output 8 c + [0, 2, 4, 6, 1, 3, 5, 7][n].
//!
//! `version: gemv`: `X.qweight` i32 [out, in / 8]; `X.qzeros` i32 [out, n]; `X.scales` f16 [out, 8 n], with nibbles in their
//! order and n the words that the zero points of a row take, rounded up to 2 for groups of 64 and to 4 for groups of 32.

use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::ModelError;
use super::checkpoint_files::{CheckpointFiles, NOT_THIS_CONFIG, NOT_THIS_GROUP};
use super::stored_integers::{Words, check_multiple, scales};
use hilora_kernels::integer::{CodeWidth, Groups, IntegerCodes, IntegerMatrix, Zeros};

/// How AutoAWQ lays a matrix out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AwqVersion {
    /// Input by input.
    Gemm,
    /// Output by output.
    Gemv,
}

/// Codes in a word.
const WORD: usize = 8;
/// The nibble that holds output 8 c + j of a word.
const NIBBLES: [usize; WORD] = [0, 4, 1, 5, 2, 6, 3, 7];

/// Reads the matrix of a layer; `None` if this checkpoint holds it as floats.
pub(crate) fn read(
    files: &CheckpointFiles,
    name: &str,
    [rows, columns]: [usize; 2],
    version: AwqVersion,
    group_size: Option<usize>,
) -> Result<Option<IntegerMatrix>, ModelError> {
    if files.contains(name) {
        return Ok(None);
    }
    let group = group_size.unwrap_or(columns);
    let stem = name.strip_suffix("weight").unwrap_or(name);
    let part = |part: &str| format!("{stem}{part}");
    let (qweight_name, qzeros_name, scales_name) = (part("qweight"), part("qzeros"), part("scales"));
    let qweight = files.tensor(&qweight_name)?;
    check_multiple(&qweight, "outputs", rows, WORD)?;
    check_multiple(&qweight, "inputs", columns, WORD)?;
    check_multiple(&qweight, "inputs", columns, group)?;
    let groups = columns / group;
    let words = |name: &str, shape, hint| Words::read(files, name, shape, CodeWidth::Four, hint);
    let stored =
        |shape: [usize; 2]| files.tensor(&scales_name)?.of_type(Dtype::F16, "F16")?.of_shape(&shape, NOT_THIS_GROUP);
    let codes =
        |columns, code: &(dyn Fn(usize, usize) -> u8 + Sync)| IntegerCodes::new(CodeWidth::Four, rows, columns, code);
    let (codes, zeros, scales) = match version {
        AwqVersion::Gemm => {
            let across = rows / WORD;
            let qweight = words(&qweight_name, [columns, across], NOT_THIS_CONFIG)?;
            let qzeros = words(&qzeros_name, [groups, across], NOT_THIS_GROUP)?;
            let transposed = |words: &Words, row: usize, column: usize| {
                words.code(column * across + row / WORD, NIBBLES[row % WORD])
            };
            let order = |at: usize| at % groups * rows + at / groups;
            (
                IntegerCodes::new(CodeWidth::Four, rows, columns, |row, column| transposed(&qweight, row, column)),
                codes(groups, &|row, group| transposed(&qzeros, row, group)),
                scales(&stored([groups, rows])?, rows * groups, order)?,
            )
        }
        AwqVersion::Gemv => {
            let multiple = match group {
                32 => 4,
                64 => 2,
                _ => 1,
            };
            let (across, width) = (columns / WORD, groups.div_ceil(WORD).next_multiple_of(multiple));
            let qweight = words(&qweight_name, [rows, across], NOT_THIS_CONFIG)?;
            let qzeros = words(&qzeros_name, [rows, width], NOT_THIS_GROUP)?;
            let order = |at: usize| at / groups * width * WORD + at % groups;
            (
                IntegerCodes::new(CodeWidth::Four, rows, columns, |row, column| {
                    qweight.code(row * across + column / WORD, column % WORD)
                }),
                codes(groups, &|row, group| qzeros.code(row * width + group / WORD, group % WORD)),
                scales(&stored([rows, width * WORD])?, rows * groups, order)?,
            )
        }
    };
    let matrix = IntegerMatrix::new((rows, columns), codes, scales, Zeros::Each(zeros), Groups::Even(group));
    Ok(Some(matrix))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use hilora_kernels::matmul::RowSource;

    /// `tests/oracle/make_reference.py` made the files with the numpy statement in `tests/oracle/awq.py`.
    #[test]
    fn every_element_equals_numpys() -> Result<(), Box<dyn std::error::Error>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle/qwen2");
        let files = CheckpointFiles::open_model(&folder.join("awq"))?;
        let (name, shape) = ("model.layers.1.mlp.down_proj.weight", [64, 128]);
        let matrix = read(&files, name, shape, AwqVersion::Gemm, Some(32))?.ok_or("it is stored as floats")?;
        let reference = CheckpointFiles::open_file(&folder.join("awq.safetensors"))?;
        let expected = reference.floats(&format!("dequantized.{name}"), &shape, "")?;
        // Parts that begin and end within groups, and whole rows.
        for (column, length) in [(0, 128), (5, 40), (31, 2), (96, 32)] {
            let mut got = vec![0.0; length];
            for row in 0..64 {
                matrix.read(row, column, &mut got);
                let start = row * 128 + column;
                assert_eq!(got, expected[start..start + length], "row {row} from {column} on");
            }
        }
        Ok(())
    }
}
