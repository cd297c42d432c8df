//! Integers as checkpoints hold them: words of 32 bits with codes in them, scales in 16 or 32 bits, and the group of each
//! input. Every format brings them into the one layout of `hilora_kernels::integer`.

use bytes::Bytes;
use half::{bf16, f16};
use safetensors::Dtype;

use super::ModelError;
use super::checkpoint_files::{CheckpointFiles, StoredTensor};
use hilora_kernels::integer::{CodeWidth, Groups};
use hilora_kernels::scales::Scales;

/// Bits of a word.
const WORD_BITS: usize = 32;

/// Codes of a word.
pub(crate) fn codes_per_word(width: CodeWidth) -> usize {
    WORD_BITS / width.bits()
}

/// Words of 32 bits, of which code n of width w has the bits from n · w on.
pub(crate) struct Words {
    bytes: Bytes,
    width: CodeWidth,
}

impl Words {
    /// Reads a tensor of words, which must have the expected shape.
    pub(crate) fn read(
        files: &CheckpointFiles,
        name: &str,
        shape: [usize; 2],
        width: CodeWidth,
        hint: &'static str,
    ) -> Result<Self, ModelError> {
        let bytes = files.tensor(name)?.of_type(Dtype::I32, "I32")?.of_shape(&shape, hint)?.bytes;
        Ok(Self { bytes, width })
    }

    /// A word.
    #[inline]
    pub(crate) fn word(&self, at: usize) -> u32 {
        let words: &[[u8; 4]] = self.bytes.as_chunks().0;
        u32::from_le_bytes(words[at])
    }

    /// Code n of a word.
    #[inline]
    pub(crate) fn code(&self, at: usize, n: usize) -> u8 {
        code_of(self.word(at), n, self.width)
    }
}

/// Code n of a word.
#[inline]
pub(crate) fn code_of(word: u32, n: usize, width: CodeWidth) -> u8 {
    let bits = width.bits();
    (word >> (n * bits)) as u8 & (u8::MAX >> (8 - bits))
}

/// `count` scales of a tensor, the n-th of which stands there at `order(n)`. A scale that is not finite is refused.
pub(crate) fn scales(
    tensor: &StoredTensor<'_>,
    count: usize,
    order: impl Fn(usize) -> usize,
) -> Result<Scales, ModelError> {
    let (pairs, fours) = (tensor.bytes.as_chunks::<2>().0, tensor.bytes.as_chunks::<4>().0);
    let read = match tensor.dtype {
        Dtype::F32 => Scales::F32((0..count).map(|n| f32::from_le_bytes(fours[order(n)])).collect()),
        Dtype::BF16 => Scales::Bf16((0..count).map(|n| bf16::from_le_bytes(pairs[order(n)])).collect()),
        Dtype::F16 => Scales::F16((0..count).map(|n| f16::from_le_bytes(pairs[order(n)])).collect()),
        _ => return Err(tensor.wrong_type("F32, BF16 or F16")),
    };
    let not_finite = match &read {
        Scales::F32(values) => values.iter().position(|value| !value.is_finite()),
        Scales::Bf16(values) => values.iter().position(|value| !value.is_finite()),
        Scales::F16(values) => values.iter().position(|value| !value.is_finite()),
    };
    match not_finite {
        Some(n) => Err(tensor.wrong(&format!("element {}: expected a finite scale, got another number", order(n)))),
        None => Ok(read),
    }
}

/// The group of each input, of which there are `count`, as a tensor names it (act-order). Groups that follow one another
/// in this size need no map.
pub(crate) fn groups(
    files: &CheckpointFiles,
    name: &str,
    (columns, size, count): (usize, usize, usize),
    hint: &'static str,
) -> Result<Groups, ModelError> {
    if !files.contains(name) {
        return Ok(Groups::Even(size));
    }
    let tensor = files.tensor(name)?.of_type(Dtype::I32, "I32")?.of_shape(&[columns], hint)?;
    let stored: Vec<i32> = tensor.bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect();
    let in_order = stored.iter().enumerate().all(|(input, group)| usize::try_from(*group) == Ok(input / size));
    // A map that was never filled.
    if in_order || stored.iter().all(|group| *group == -1) {
        return Ok(Groups::Even(size));
    }
    let group = |(input, group): (usize, &i32)| match u32::try_from(*group) {
        Ok(group) if (group as usize) < count => Ok(group),
        _ => Err(tensor.wrong(&format!("input {input}: expected a group from 0 to {}, got {group}", count - 1))),
    };
    Ok(Groups::Map(stored.iter().enumerate().map(group).collect::<Result<_, _>>()?))
}

/// Refuses a layer that does not consist of whole words.
pub(crate) fn check_multiple(tensor: &StoredTensor<'_>, what: &str, size: usize, of: usize) -> Result<(), ModelError> {
    if size.is_multiple_of(of) {
        return Ok(());
    }
    Err(tensor.wrong(&format!("expected {what} in multiples of {of}, got {size}")))
}
