//! The look-up of codes: two elements a byte, as the sixteen values of their block.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use half::bf16;

use super::codes::BLOCK;
#[cfg(target_arch = "x86_64")]
use crate::processor::{InstructionSet, instruction_set};

/// Looks up elements from `at` on among the values of their block.
pub(super) fn look_up<T: Copy>(values: &[T; 16], packed: &[u8], at: usize, target: &mut [T]) {
    if at.is_multiple_of(2) {
        let (pairs, rest) = target.as_chunks_mut::<2>();
        let bytes = &packed[at / 2..];
        for (pair, byte) in pairs.iter_mut().zip(bytes) {
            *pair = [values[usize::from(byte >> 4)], values[usize::from(byte & 15)]];
        }
        if let (Some(last), Some(byte)) = (rest.first_mut(), bytes.get(pairs.len())) {
            *last = values[usize::from(byte >> 4)];
        }
    } else if let Some((first, rest)) = target.split_first_mut() {
        *first = values[usize::from(packed[at / 2] & 15)];
        look_up(values, packed, at + 1, rest);
    }
}

/// `look_up` of a whole block.
pub(super) fn look_up_block_f32(values: &[f32; 16], bytes: &[u8; BLOCK / 2], target: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if instruction_set() != InstructionSet::Baseline {
        assert_eq!(target.len(), BLOCK, "a whole block");
        // SAFETY: the processor has AVX2, and the target is a block long.
        return unsafe { look_up_block_f32_avx2(values, bytes, target) };
    }
    look_up(values, bytes, 0, target);
}

/// `look_up` of a whole block.
pub(super) fn look_up_block_bf16(values: &[bf16; 16], bytes: &[u8; BLOCK / 2], target: &mut [bf16]) {
    #[cfg(target_arch = "x86_64")]
    if instruction_set() != InstructionSet::Baseline {
        assert_eq!(target.len(), BLOCK, "a whole block");
        // SAFETY: the processor has AVX2, and the target is a block long.
        return unsafe { look_up_block_bf16_avx2(values, bytes, target) };
    }
    look_up(values, bytes, 0, target);
}

/// Sixteen bytes as 32 nibbles, the high one of each byte first.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn nibbles(bytes: __m128i) -> [__m128i; 2] {
    let mask = _mm_set1_epi8(15);
    let (high, low) = (_mm_and_si128(_mm_srli_epi16::<4>(bytes), mask), _mm_and_si128(bytes, mask));
    [_mm_unpacklo_epi8(high, low), _mm_unpackhi_epi8(high, low)]
}

/// # Safety
/// The processor has AVX2; the target is 64 elements long.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn look_up_block_f32_avx2(values: &[f32; 16], bytes: &[u8; BLOCK / 2], target: &mut [f32]) {
    // SAFETY: sixteen values are two registers of eight; the block's bytes are two of sixteen, and its elements, by the
    // caller's promise, eight of eight.
    unsafe {
        let (lower, upper) = (_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8)));
        let mut target = target.as_mut_ptr();
        for half in bytes.chunks_exact(16) {
            for indices in nibbles(_mm_loadu_si128(half.as_ptr().cast())) {
                for indices in [indices, _mm_unpackhi_epi64(indices, indices)] {
                    let indices = _mm256_cvtepu8_epi32(indices);
                    let first = _mm256_permutevar8x32_ps(lower, indices);
                    let second = _mm256_permutevar8x32_ps(upper, indices);
                    // The fourth bit of an index, as the sign of its lane, says which half of the values it means.
                    let choice = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(indices));
                    _mm256_storeu_ps(target, _mm256_blendv_ps(first, second, choice));
                    target = target.add(8);
                }
            }
        }
    }
}

/// # Safety
/// The processor has AVX2; the target is 64 elements long.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn look_up_block_bf16_avx2(values: &[bf16; 16], bytes: &[u8; BLOCK / 2], target: &mut [bf16]) {
    let low_bytes = values.map(|value| value.to_bits() as u8);
    let high_bytes = values.map(|value| (value.to_bits() >> 8) as u8);
    // SAFETY: sixteen bytes are a register; the block's bytes are two of them, and its elements, by the caller's promise,
    // eight.
    unsafe {
        let low_bytes = _mm_loadu_si128(low_bytes.as_ptr().cast());
        let high_bytes = _mm_loadu_si128(high_bytes.as_ptr().cast());
        let mut target = target.as_mut_ptr().cast::<__m128i>();
        for half in bytes.chunks_exact(16) {
            for indices in nibbles(_mm_loadu_si128(half.as_ptr().cast())) {
                let (low, high) = (_mm_shuffle_epi8(low_bytes, indices), _mm_shuffle_epi8(high_bytes, indices));
                _mm_storeu_si128(target, _mm_unpacklo_epi8(low, high));
                _mm_storeu_si128(target.add(1), _mm_unpackhi_epi8(low, high));
                target = target.add(2);
            }
        }
    }
}
