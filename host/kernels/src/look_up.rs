//! The look-up of 4-bit codes: two elements a byte, as sixteen values that belong to a block or a group of them.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use half::bf16;

use crate::element::Element;

#[cfg(target_arch = "x86_64")]
use crate::processor::{InstructionSet, instruction_set};

/// Elements that a step of the vector look-up takes.
#[cfg(target_arch = "x86_64")]
const CHUNK: usize = 32;

/// Looks up elements from `at` on among the values of their block.
fn look_up<T: Copy>(values: &[T; 16], packed: &[u8], at: usize, target: &mut [T]) {
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

/// `look_up` by vector instructions, as far as they go: 32 elements at a time from an even one on.
macro_rules! look_up_by_vectors {
    ($name:ident, $element:ty, $avx2:ident) => {
        /// Looks up elements from `at` on.
        #[inline]
        pub(crate) fn $name(values: &[$element; 16], packed: &[u8], at: usize, target: &mut [$element]) {
            #[cfg(target_arch = "x86_64")]
            if at.is_multiple_of(2) && target.len() >= CHUNK && instruction_set() != InstructionSet::Baseline {
                let (chunks, rest) = target.as_chunks_mut::<CHUNK>();
                let bytes = packed[at / 2..].as_chunks::<{ CHUNK / 2 }>().0;
                assert!(bytes.len() >= chunks.len(), "a byte for every two elements");
                // SAFETY: the processor has AVX2.
                unsafe { $avx2(values, &bytes[..chunks.len()], chunks) };
                if rest.is_empty() {
                    return;
                }
                return look_up(values, packed, at + chunks.len() * CHUNK, rest);
            }
            look_up(values, packed, at, target);
        }
    };
}

look_up_by_vectors!(look_up_f32, f32, look_up_f32_avx2);
look_up_by_vectors!(look_up_bf16, bf16, look_up_bf16_avx2);

/// Sixteen bytes as 32 nibbles, the high one of each byte first.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn nibbles(bytes: __m128i) -> [__m128i; 2] {
    let mask = _mm_set1_epi8(15);
    let (high, low) = (_mm_and_si128(_mm_srli_epi16::<4>(bytes), mask), _mm_and_si128(bytes, mask));
    [_mm_unpacklo_epi8(high, low), _mm_unpackhi_epi8(high, low)]
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn look_up_f32_avx2(values: &[f32; 16], bytes: &[[u8; CHUNK / 2]], target: &mut [[f32; CHUNK]]) {
    // SAFETY: sixteen values are two registers of eight; sixteen bytes are one, and 32 elements are four of eight.
    unsafe {
        let (lower, upper) = (_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8)));
        for (bytes, target) in bytes.iter().zip(target) {
            let mut target = target.as_mut_ptr();
            for indices in nibbles(_mm_loadu_si128(bytes.as_ptr().cast())) {
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

/// Looks up elements from `at` on among `codes` · `scale`, rounded.
#[inline]
pub(crate) fn look_up_scaled_bf16(codes: &[f32; 16], scale: f32, packed: &[u8], at: usize, target: &mut [bf16]) {
    #[cfg(target_arch = "x86_64")]
    if instruction_set() != InstructionSet::Baseline {
        // SAFETY: the processor has AVX2.
        return look_up_bf16(&unsafe { scaled_avx2(codes, scale) }, packed, at, target);
    }
    look_up_bf16(&codes.map(|code| bf16::narrow(code * scale)), packed, at, target);
}

/// `codes` · `scale`, rounded as `Element::narrow` does.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn scaled_avx2(codes: &[f32; 16], scale: f32) -> [bf16; 16] {
    let scale = _mm256_set1_ps(scale);
    let rounded = |codes: __m256| {
        let value = _mm256_mul_ps(codes, scale);
        let bits = _mm256_castps_si256(value);
        let upper = _mm256_srli_epi32::<16>(bits);
        let half = _mm256_add_epi32(_mm256_set1_epi32(0x7fff), _mm256_and_si256(upper, _mm256_set1_epi32(1)));
        let nearest = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, half));
        let quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
        let is_nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(value, value));
        _mm256_blendv_epi8(nearest, quiet, is_nan)
    };
    let mut values = [bf16::ZERO; 16];
    // SAFETY: sixteen floats are two registers of eight, and sixteen bf16 are one.
    unsafe {
        let (first, second) = (_mm256_loadu_ps(codes.as_ptr()), _mm256_loadu_ps(codes.as_ptr().add(8)));
        // Registers are packed half by half.
        let halves = _mm256_packus_epi32(rounded(first), rounded(second));
        _mm256_storeu_si256(values.as_mut_ptr().cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(halves));
    }
    values
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn look_up_bf16_avx2(values: &[bf16; 16], bytes: &[[u8; CHUNK / 2]], target: &mut [[bf16; CHUNK]]) {
    // SAFETY: sixteen values are two registers of eight, sixteen bytes are one, and 32 elements are four of eight.
    unsafe {
        let first = _mm_loadu_si128(values.as_ptr().cast());
        let second = _mm_loadu_si128(values.as_ptr().add(8).cast());
        let byte = _mm_set1_epi16(0xff);
        let low_bytes = _mm_packus_epi16(_mm_and_si128(first, byte), _mm_and_si128(second, byte));
        let high_bytes = _mm_packus_epi16(_mm_srli_epi16::<8>(first), _mm_srli_epi16::<8>(second));
        for (bytes, target) in bytes.iter().zip(target) {
            let mut target = target.as_mut_ptr().cast::<__m128i>();
            for indices in nibbles(_mm_loadu_si128(bytes.as_ptr().cast())) {
                let (low, high) = (_mm_shuffle_epi8(low_bytes, indices), _mm_shuffle_epi8(high_bytes, indices));
                _mm_storeu_si128(target, _mm_unpacklo_epi8(low, high));
                _mm_storeu_si128(target.add(1), _mm_unpackhi_epi8(low, high));
                target = target.add(2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_codes_are_rounded_as_elements_are() {
        let mut state = 7u32;
        let mut number = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from_bits(state ^ state >> 13)
        };
        for _ in 0..20_000 {
            let (codes, scale): ([f32; 16], f32) = (std::array::from_fn(|_| number()), number());
            let packed: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
            let mut got = [bf16::ZERO; 16];
            look_up_scaled_bf16(&codes, scale, &packed, 0, &mut got);
            for (got, code) in got.iter().zip(codes) {
                let expected = bf16::narrow(code * scale);
                assert!(*got == expected || (got.is_nan() && expected.is_nan()), "{code} · {scale}: {got} {expected}");
            }
        }
    }
}
