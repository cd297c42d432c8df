//! Squares of units, which are transposed in registers.

use std::arch::x86_64::*;

/// Rows that are transposed at a time, and how many units of each.
pub(super) const LANES: usize = 8;

/// Eight rows of eight units as eight columns.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn transposed(r: [__m256i; LANES]) -> [__m256i; LANES] {
    // Pairs of units, pairs of pairs, then halves of registers.
    let mut a = r;
    for i in 0..4 {
        a[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    let mut b = a;
    for i in 0..2 {
        b[4 * i] = _mm256_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 1] = _mm256_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 2] = _mm256_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
        b[4 * i + 3] = _mm256_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
    }
    let mut c = b;
    for i in 0..4 {
        c[i] = _mm256_permute2x128_si256::<0x20>(b[i], b[4 + i]);
        c[4 + i] = _mm256_permute2x128_si256::<0x31>(b[i], b[4 + i]);
    }
    c
}

/// Four rows of four units as four columns, in both halves of the registers.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn quarters_transposed(r: [__m256i; 4]) -> [__m256i; 4] {
    let (a, b) = (_mm256_unpacklo_epi32(r[0], r[1]), _mm256_unpackhi_epi32(r[0], r[1]));
    let (c, d) = (_mm256_unpacklo_epi32(r[2], r[3]), _mm256_unpackhi_epi32(r[2], r[3]));
    [_mm256_unpacklo_epi64(a, c), _mm256_unpackhi_epi64(a, c), _mm256_unpacklo_epi64(b, d), _mm256_unpackhi_epi64(b, d)]
}
