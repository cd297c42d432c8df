//! A matrix of integers as compressed-tensors stores it (`pack-quantized`), in b = 4 or 8 bits.
//!
//! `X.weight_packed` i32 [out, in · b / 32], rounded up; `X.weight_scale` [out, groups], or one for the whole matrix;
//! `X.weight_shape` i64 [2]; `X.weight_zero_point` i32 [out · b / 32, groups] if it is not symmetric, packed along the
//! outputs, or i8 [out, groups]; `X.weight_g_idx` i32 [in], the group of each input, which follow one another without it.
//! Codes and zero points are signed and stored with 2^(b − 1) added; code n of a word has the bits from n · b on.

use safetensors::Dtype;

use super::ModelError;
use super::checkpoint_files::{CheckpointFiles, NOT_THIS_CONFIG, NOT_THIS_GROUP};
use super::stored_integers::{Words, codes_per_word, groups, scales};
use hilora_kernels::integer::{CodeWidth, IntegerCodes, IntegerMatrix, Zeros};

/// What config.json says of every matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedFormat {
    pub(crate) width: CodeWidth,
    /// `None` is all inputs.
    pub(crate) group_size: Option<usize>,
    /// Whether there are no zero points.
    pub(crate) symmetric: bool,
}

/// Reads the matrix of a layer; `None` if this checkpoint holds it as floats.
pub(crate) fn read(
    files: &CheckpointFiles,
    name: &str,
    [rows, columns]: [usize; 2],
    format: PackedFormat,
) -> Result<Option<IntegerMatrix>, ModelError> {
    if files.contains(name) {
        return Ok(None);
    }
    let PackedFormat { width, group_size, symmetric } = format;
    let part = |part: &str| format!("{name}_{part}");
    let (per_word, size) = (codes_per_word(width), group_size.unwrap_or(columns));
    let (count, across) = (columns.div_ceil(size), columns.div_ceil(per_word));
    let packed = Words::read(files, &part("packed"), [rows, across], width, NOT_THIS_CONFIG)?;
    let shape_name = part("shape");
    if files.contains(&shape_name) {
        let tensor = files.tensor(&shape_name)?;
        let shape: Vec<i64> = match tensor.dtype {
            Dtype::I64 => tensor.bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
            Dtype::I32 => tensor.bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect(),
            _ => return Err(tensor.wrong_type("I64 or I32")),
        };
        if shape != [rows as i64, columns as i64] {
            return Err(tensor.wrong(&format!("expected {:?}, got {shape:?}", [rows, columns])));
        }
    }
    let scale_name = part("scale");
    let stored = files.tensor(&scale_name)?;
    let of_matrix = count == 1 && stored.shape.iter().product::<usize>() == 1;
    let stored = if of_matrix { stored } else { stored.of_shape(&[rows, count], NOT_THIS_GROUP)? };
    let scales = scales(&stored, rows * count, |at| if of_matrix { 0 } else { at })?;
    let zero_name = part("zero_point");
    let zeros = if symmetric {
        Zeros::Same(1 << (width.bits() - 1))
    } else {
        Zeros::Each(zeros(files, &zero_name, (rows, count), width)?)
    };
    let codes = IntegerCodes::new(width, rows, columns, |row, column| {
        packed.code(row * across + column / per_word, column % per_word)
    });
    let groups = groups(files, &part("g_idx"), (columns, size, count), NOT_THIS_CONFIG)?;
    Ok(Some(IntegerMatrix::new((rows, columns), codes, scales, zeros, groups)))
}

fn zeros(
    files: &CheckpointFiles,
    name: &str,
    (rows, count): (usize, usize),
    width: CodeWidth,
) -> Result<IntegerCodes, ModelError> {
    let tensor = files.tensor(name)?;
    if tensor.dtype == Dtype::I8 {
        let bytes = tensor.of_shape(&[rows, count], NOT_THIS_GROUP)?.bytes;
        let offset = 1u8 << (width.bits() - 1);
        return Ok(IntegerCodes::new(width, rows, count, |row, group| {
            bytes[row * count + group].wrapping_add(offset) & (u8::MAX >> (8 - width.bits()))
        }));
    }
    let per_word = codes_per_word(width);
    let words = Words::read(files, name, [rows.div_ceil(per_word), count], width, NOT_THIS_GROUP)?;
    Ok(IntegerCodes::new(width, rows, count, |row, group| words.code(row / per_word * count + group, row % per_word)))
}
