//! A matrix as AutoAWQ stores it (`version: gemm`): the transpose of a Hugging Face weight, in groups of g inputs.
//!
//! `X.qweight` i32 [in, out / 8]; `X.qzeros` i32 [in / g, out / 8]; `X.scales` f16 [in / g, out]. Nibble n of a word holds
//! output 8 c + [0, 2, 4, 6, 1, 3, 5, 7][n].

use half::f16;
use safetensors::Dtype;

use super::ModelError;
use super::checkpoint::{NOT_THIS_CONFIG, NOT_THIS_GROUP};
use super::checkpoint_files::CheckpointFiles;
use hilora_kernels::integer::{CodeWidth, Groups, IntegerCodes, IntegerMatrix, Zeros};
use hilora_kernels::scales::Scales;

/// Outputs in a word.
const WORD: usize = 8;
/// The shift that brings output 8 c + j of a word to its lowest bits.
const SHIFTS: [u32; WORD] = [0, 16, 4, 20, 8, 24, 12, 28];

/// Reads the matrix of a layer; `None` if this checkpoint holds it as floats.
pub(crate) fn read(
    files: &CheckpointFiles,
    name: &str,
    [rows, columns]: [usize; 2],
    group_size: Option<usize>,
) -> Result<Option<IntegerMatrix>, ModelError> {
    if files.contains(name) {
        return Ok(None);
    }
    let group = group_size.unwrap_or(columns);
    let stem = name.strip_suffix("weight").unwrap_or(name);
    let names = [format!("{stem}qweight"), format!("{stem}qzeros"), format!("{stem}scales")];
    let [qweight, qzeros, scales] = names.each_ref().map(|name| files.tensor(name));
    let qweight = qweight?.of_type(Dtype::I32, "I32")?;
    if !rows.is_multiple_of(WORD) || !columns.is_multiple_of(group) {
        return Err(qweight.wrong(&format!(
            "AWQ needs outputs in multiples of {WORD} and inputs in multiples of the group {group}, got {:?}",
            [rows, columns]
        )));
    }
    let (words, groups) = (rows / WORD, columns / group);
    let qweight = qweight.of_shape(&[columns, words], NOT_THIS_CONFIG)?;
    let qzeros = qzeros?.of_type(Dtype::I32, "I32")?.of_shape(&[groups, words], NOT_THIS_GROUP)?;
    let scales = scales?.of_type(Dtype::F16, "F16")?.of_shape(&[groups, rows], NOT_THIS_GROUP)?;
    let transposed = |packed: &[u8], columns: usize| {
        let packed: &[[u8; 4]] = packed.as_chunks().0;
        IntegerCodes::new(CodeWidth::Four, rows, columns, |row, column| {
            (u32::from_le_bytes(packed[column * words + row / WORD]) >> SHIFTS[row % WORD] & 15) as u8
        })
    };
    let stored: &[[u8; 2]] = scales.bytes.as_chunks().0;
    let scale = |at: usize| f16::from_le_bytes(stored[at % groups * rows + at / groups]);
    Ok(Some(IntegerMatrix::new(
        (rows, columns),
        transposed(&qweight.bytes, columns),
        Scales::F16((0..rows * groups).map(scale).collect()),
        Zeros::Each(transposed(&qzeros.bytes, groups)),
        Groups::Even(group),
    )))
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
        let matrix = read(&files, name, shape, Some(32))?.ok_or("it is stored as floats")?;
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
