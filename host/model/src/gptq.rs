//! A matrix as GPTQ's tools store it, the transpose of a Hugging Face weight, in b = 4 or 8 bits and groups of g inputs.
//!
//! `X.qweight` i32 [in · b / 32, out], a word for 32 / b inputs of an output; `X.qzeros` i32 [groups, out · b / 32], a word
//! for 32 / b outputs of a group; `X.scales` [groups, out]; `X.g_idx` i32 [in], the group of each input, which follow one
//! another without it. Code n of a word has the bits from n · b on. In the first version of the format the zero points are
//! stored less one, each word as a whole: a borrow goes to its neighbour, and adding one brings it back.

use super::ModelError;
use super::checkpoint_files::{CheckpointFiles, NOT_THIS_CONFIG, NOT_THIS_GROUP};
use super::stored_integers::{Words, check_multiple, code_of, codes_per_word, groups, scales};
use hilora_kernels::integer::{CodeWidth, IntegerCodes, IntegerMatrix, Zeros};

/// What config.json says of every matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GptqFormat {
    pub(crate) width: CodeWidth,
    /// `None` is all inputs.
    pub(crate) group_size: Option<usize>,
    /// Whether zero points are stored less one.
    pub(crate) zeros_less_one: bool,
}

/// Reads the matrix of a layer; `None` if this checkpoint holds it as floats.
pub(crate) fn read(
    files: &CheckpointFiles,
    name: &str,
    [rows, columns]: [usize; 2],
    format: GptqFormat,
) -> Result<Option<IntegerMatrix>, ModelError> {
    if files.contains(name) {
        return Ok(None);
    }
    let GptqFormat { width, group_size, zeros_less_one } = format;
    let stem = name.strip_suffix("weight").unwrap_or(name);
    let part = |part: &str| format!("{stem}{part}");
    let (per_word, size) = (codes_per_word(width), group_size.unwrap_or(columns));
    let (count, across) = (columns.div_ceil(size), rows / per_word);
    let qweight_name = part("qweight");
    let tensor = files.tensor(&qweight_name)?;
    check_multiple(&tensor, "inputs", columns, per_word)?;
    check_multiple(&tensor, "outputs", rows, per_word)?;
    let qweight = Words::read(files, &qweight_name, [columns / per_word, rows], width, NOT_THIS_CONFIG)?;
    let qzeros = Words::read(files, &part("qzeros"), [count, across], width, NOT_THIS_GROUP)?;
    let scales_name = part("scales");
    let stored = files.tensor(&scales_name)?.of_shape(&[count, rows], NOT_THIS_GROUP)?;
    let one_each = match (zeros_less_one, width) {
        (false, _) => 0,
        (true, CodeWidth::Four) => 0x1111_1111,
        (true, CodeWidth::Eight) => 0x0101_0101,
    };
    let codes = IntegerCodes::new(width, rows, columns, |row, column| {
        qweight.code(column / per_word * rows + row, column % per_word)
    });
    let zeros = IntegerCodes::new(width, rows, count, |row, group| {
        let word = qzeros.word(group * across + row / per_word).wrapping_add(one_each);
        code_of(word, row % per_word, width)
    });
    let scales = scales(&stored, rows * count, |at| at % count * rows + at / count)?;
    let groups = groups(files, &part("g_idx"), (columns, size, count), NOT_THIS_CONFIG)?;
    Ok(Some(IntegerMatrix::new((rows, columns), codes, scales, Zeros::Each(zeros), groups)))
}
