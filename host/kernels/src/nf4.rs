//! NF4 with double quantization, byte for byte as bitsandbytes makes it on the CPU.
//!
//! A weight [rows, columns] is flattened row by row into blocks of 64. w ≈ code[nibble] · absmax(block), where
//! absmax(block) = map[c] · nested_absmax(block / 256) + offset: the 16 codes are the quantiles of a normal
//! distribution, `map` is bitsandbytes' signed dynamic map of 256 values, and offset is the mean of all block maxima.
//! The first element of a pair stands in the high nibble. A weight takes 4.13 bits.
//!
//! Quantization happens once, on load or before; nothing here is trained. A matrix that was quantized before may have
//! its maxima in f32 instead, and its bytes may be those of a mapped file.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use bytes::Bytes;
use half::bf16;
use rayon::prelude::*;

use super::element::Element;
use super::matmul::RowSource;
use super::simd::{InstructionSet, instruction_set, vectorized};

/// Elements that share one maximum.
pub const BLOCK: usize = 64;
/// Maxima that share one second-level maximum.
pub const NESTED_BLOCK: usize = 256;
/// Blocks that one thread quantizes at a time.
const QUANTIZED_BLOCKS: usize = 1024;

/// The 16 values of the format.
pub const CODES: [f32; 16] = {
    const BITS: [u32; 16] = [
        0xbf80_0000,
        0xbf32_39b1,
        0xbf06_6b30,
        0xbeca_32a0,
        0xbe91_a24d,
        0xbe3d_353f,
        0xbdba_7871,
        0x0000_0000,
        0x3da2_faff,
        0x3e24_cae3,
        0x3e7c_04dd,
        0x3ead_033a,
        0x3ee1_a4b8,
        0x3f10_07ab,
        0x3f39_13b3,
        0x3f80_0000,
    ];
    let mut codes = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        codes[i] = f32::from_bits(BITS[i]);
        i += 1;
    }
    codes
};

/// bitsandbytes' signed dynamic map: seven decades with 1, 2, 4 … 64 steps, both signs, zero and one.
pub fn dynamic_map() -> [f32; 256] {
    map_of_decades(true)
}

/// bitsandbytes' unsigned dynamic map: seven decades with 2, 4, 8 … 128 steps, zero and one.
pub(crate) fn unsigned_dynamic_map() -> [f32; 256] {
    map_of_decades(false)
}

fn map_of_decades(signed: bool) -> [f32; 256] {
    let mut map = Vec::with_capacity(256);
    for decade in 0..7u32 {
        let points = (1usize << (decade + u32::from(!signed))) + 1;
        let step = (1.0f32 - 0.1) / (points - 1) as f32;
        // The boundaries are torch.linspace's: the first half counted from the start, the second from the end.
        let boundary = |i: usize| {
            if i < points / 2 { step.mul_add(i as f32, 0.1) } else { (-step).mul_add((points - 1 - i) as f32, 1.0) }
        };
        let factor = 10f64.powi(decade as i32 - 6) as f32;
        for i in 0..points - 1 {
            let value = factor * ((boundary(i) + boundary(i + 1)) / 2.0);
            map.push(value);
            map.extend(signed.then_some(-value));
        }
    }
    map.extend([0.0, 1.0]);
    map.sort_by(f32::total_cmp);
    let mut result = [0.0; 256];
    result.copy_from_slice(&map);
    result
}

/// The sum of f32 in the order of torch's CPU kernel: eight lanes by four rows, in cascades of 16.
fn cascade_sum(x: &[f32]) -> f32 {
    const LANES: usize = 8;
    const ROWS: usize = 4;
    const LEVELS: usize = 4;
    let vectors = x.len() / LANES;
    let size = vectors / ROWS;
    let ceil_log2 = |n: usize| if n <= 1 { 0 } else { (n - 1).ilog2() + 1 };
    let power = (ceil_log2(size) / LEVELS as u32).max(4);
    let step = 1usize << power;
    let mut sums = [[[0.0f32; LANES]; ROWS]; LEVELS];
    let add_row = |sums: &mut [[f32; LANES]; ROWS], i: usize| {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum += x[(i * ROWS + row) * LANES + lane];
            }
        }
    };
    let mut i = 0;
    while i + step <= size {
        for _ in 0..step {
            add_row(&mut sums[0], i);
            i += 1;
        }
        for level in 1..LEVELS {
            let below = std::mem::replace(&mut sums[level - 1], [[0.0; LANES]; ROWS]);
            for (sums, below) in sums[level].as_flattened_mut().iter_mut().zip(below.as_flattened()) {
                *sums += below;
            }
            if i & ((step - 1) << (level as u32 * power)) != 0 {
                break;
            }
        }
    }
    while i < size {
        add_row(&mut sums[0], i);
        i += 1;
    }
    let mut rows = sums[0];
    for level in &sums[1..] {
        for (sum, value) in rows.as_flattened_mut().iter_mut().zip(level.as_flattened()) {
            *sum += value;
        }
    }
    let mut lanes = rows[0];
    for vector in size * ROWS..vectors {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += x[vector * LANES + lane];
        }
    }
    for row in &rows[1..] {
        for (sum, value) in lanes.iter_mut().zip(row) {
            *sum += value;
        }
    }
    let rest = x[vectors * LANES..].iter().fold(0.0, |sum, x| sum + x);
    lanes.iter().fold(rest, |sum, x| sum + x)
}

fn absolute_maximum(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |maximum, x| f32::max(maximum, x.abs()))
}

/// The bytes of a quantized matrix, as they stand in a bitsandbytes checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Nf4Bytes {
    /// Two elements a byte.
    pub packed: Vec<u8>,
    /// One index into the dynamic map per block of 64.
    pub absmax: Vec<u8>,
    /// One scale per 256 block maxima.
    pub nested_absmax: Vec<f32>,
    /// The mean of the block maxima.
    pub nested_offset: f32,
}

vectorized! {
    /// Quantizes one block; returns its maximum.
    fn quantize_block(block: &[f32], midpoints: &[f32; 15], packed: &mut [u8]) -> f32 {
        let maximum = absolute_maximum(block);
        let inverse = 1.0 / maximum.max(1e-38);
        let mut scaled = [0.0f32; BLOCK];
        for (scaled, x) in scaled.iter_mut().zip(block) {
            *scaled = (x * inverse).clamp(-1.0, 1.0);
        }
        // How many midpoints lie below, which is the index of the nearest code.
        let mut indices = [0u32; BLOCK];
        for midpoint in midpoints {
            for (index, scaled) in indices.iter_mut().zip(&scaled) {
                *index += u32::from(midpoint < scaled);
            }
        }
        for (i, byte) in packed.iter_mut().enumerate() {
            // An odd element at the very end has nothing beside it.
            let low = if 2 * i + 1 < block.len() { indices[2 * i + 1] } else { 0 };
            *byte = (indices[2 * i] << 4 | low) as u8;
        }
        maximum
    }
}

/// Quantizes a flattened matrix of `length` values. `read` gives those from an index on; it is called from many threads,
/// so that the matrix need not be in memory as f32.
pub fn quantize(length: usize, read: impl Fn(usize, &mut [f32]) + Sync) -> Nf4Bytes {
    let mut midpoints = [0.0; 15];
    for (i, midpoint) in midpoints.iter_mut().enumerate() {
        *midpoint = (CODES[i] + CODES[i + 1]) / 2.0;
    }
    let mut packed = vec![0u8; length.div_ceil(2)];
    let mut maxima = vec![0.0f32; length.div_ceil(BLOCK)];
    let strips =
        packed.par_chunks_mut(QUANTIZED_BLOCKS * BLOCK / 2).zip(maxima.par_chunks_mut(QUANTIZED_BLOCKS)).enumerate();
    strips.for_each_init(Vec::new, |values: &mut Vec<f32>, (strip, (packed, maxima))| {
        let start = strip * QUANTIZED_BLOCKS * BLOCK;
        values.resize((QUANTIZED_BLOCKS * BLOCK).min(length - start), 0.0);
        read(start, values);
        for ((block, packed), maximum) in values.chunks(BLOCK).zip(packed.chunks_mut(BLOCK / 2)).zip(maxima) {
            *maximum = quantize_block(block, &midpoints, packed);
        }
    });
    let nested_offset = cascade_sum(&maxima) / maxima.len() as f32;
    let map = dynamic_map();
    let table = nearest_codes(&map);
    let mut absmax = Vec::with_capacity(maxima.len());
    let mut nested_absmax = Vec::with_capacity(maxima.len().div_ceil(NESTED_BLOCK));
    for block in maxima.chunks(NESTED_BLOCK) {
        let centred: Vec<f32> = block.iter().map(|maximum| maximum - nested_offset).collect();
        let scale = absolute_maximum(&centred);
        nested_absmax.push(scale);
        let inverse = 1.0 / scale.max(f32::MIN_POSITIVE);
        absmax.extend(centred.iter().map(|x| {
            let index = ((x * inverse + 1.0) * 0.5 * 65_535.0 + 0.5).floor();
            table[index.clamp(0.0, 65_535.0) as usize]
        }));
    }
    Nf4Bytes { packed, absmax, nested_absmax, nested_offset }
}

/// For each of 65,536 evenly spaced values of [-1, 1] the index of the nearest code of the map.
pub(crate) fn nearest_codes(map: &[f32; 256]) -> Vec<u8> {
    let mut nearest = 0usize;
    (0..65_536)
        .map(|index| {
            let value = index as f32 * 2.0 / 65_535.0 - 1.0;
            while nearest < 255 && (map[nearest + 1] - value).abs() < (map[nearest] - value).abs() {
                nearest += 1;
            }
            nearest as u8
        })
        .collect()
}

/// The absolute maximum of every block of a matrix.
#[derive(Debug, Clone)]
pub enum BlockMaxima {
    /// In f32.
    Plain(Vec<f32>),
    /// Quantized themselves.
    Nested {
        /// One index into the map per block.
        codes: Bytes,
        /// One scale per 256 blocks.
        absmax: Vec<f32>,
        /// Added to every maximum.
        offset: f32,
        /// What the codes stand for.
        map: Box<[f32; 256]>,
    },
}

/// A quantized matrix.
#[derive(Debug, Clone)]
pub struct Nf4Matrix {
    rows: usize,
    columns: usize,
    packed: Bytes,
    maxima: BlockMaxima,
}

impl Nf4Matrix {
    /// A matrix [rows, columns] that was quantized here.
    pub fn new(bytes: Nf4Bytes, rows: usize, columns: usize) -> Self {
        let maxima = BlockMaxima::Nested {
            codes: bytes.absmax.into(),
            absmax: bytes.nested_absmax,
            offset: bytes.nested_offset,
            map: Box::new(dynamic_map()),
        };
        Self::from_parts(bytes.packed.into(), maxima, rows, columns)
    }

    /// A matrix [rows, columns] from the parts of a checkpoint: two elements a byte, and a maximum per block.
    pub fn from_parts(packed: Bytes, maxima: BlockMaxima, rows: usize, columns: usize) -> Self {
        Self { rows, columns, packed, maxima }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let maxima = match &self.maxima {
            BlockMaxima::Plain(maxima) => maxima.len() * 4,
            BlockMaxima::Nested { codes, absmax, map, .. } => codes.len() + (absmax.len() + map.len()) * 4,
        };
        self.packed.len() + maxima
    }

    /// Two elements a byte, row by row, the first in the high nibble.
    pub(crate) fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// The maxima of all blocks.
    pub(crate) fn maxima(&self) -> &BlockMaxima {
        &self.maxima
    }

    /// What multiplies the codes of a block of 64 elements, counted over the flattened matrix.
    #[inline]
    pub(crate) fn block_maximum(&self, block: usize) -> f32 {
        match &self.maxima {
            BlockMaxima::Plain(maxima) => maxima[block],
            // Two roundings, not one fused: this is how bitsandbytes does it.
            BlockMaxima::Nested { codes, absmax, offset, map } => {
                map[usize::from(codes[block])] * absmax[block / NESTED_BLOCK] + offset
            }
        }
    }

    /// The bytes of elements from `at` on where they are all of a block.
    fn whole_block(&self, at: usize, length: usize) -> Option<&[u8; BLOCK / 2]> {
        let whole = at.is_multiple_of(BLOCK) && length == BLOCK;
        if whole { self.packed()[at / 2..].first_chunk() } else { None }
    }

    /// Hands over block by block: its maximum, the first element, and where its values go.
    fn blocks<T>(&self, row: usize, column: usize, target: &mut [T], mut body: impl FnMut(f32, usize, &mut [T])) {
        let first = row * self.columns + column;
        let mut done = 0;
        while done < target.len() {
            let at = first + done;
            let length = (BLOCK - at % BLOCK).min(target.len() - done);
            body(self.block_maximum(at / BLOCK), at, &mut target[done..done + length]);
            done += length;
        }
    }
}

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

/// `look_up` of a whole block.
fn look_up_block_f32(values: &[f32; 16], bytes: &[u8; BLOCK / 2], target: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if instruction_set() != InstructionSet::Baseline {
        assert_eq!(target.len(), BLOCK, "a whole block");
        // SAFETY: the processor has AVX2, and the target is a block long.
        return unsafe { look_up_block_f32_avx2(values, bytes, target) };
    }
    look_up(values, bytes, 0, target);
}

/// `look_up` of a whole block.
fn look_up_block_bf16(values: &[bf16; 16], bytes: &[u8; BLOCK / 2], target: &mut [bf16]) {
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

impl RowSource for Nf4Matrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read(&self, row: usize, column: usize, target: &mut [f32]) {
        self.blocks(row, column, target, |maximum, at, target| {
            let values = CODES.map(|code| code * maximum);
            match self.whole_block(at, target.len()) {
                Some(bytes) => look_up_block_f32(&values, bytes, target),
                None => look_up(&values, self.packed(), at, target),
            }
        });
    }

    fn read_bf16(&self, row: usize, column: usize, target: &mut [bf16]) {
        self.blocks(row, column, target, |maximum, at, target| {
            let values = CODES.map(|code| bf16::narrow(code * maximum));
            match self.whole_block(at, target.len()) {
                Some(bytes) => look_up_block_bf16(&values, bytes, target),
                None => look_up(&values, self.packed(), at, target),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    fn quantized(values: &[f32]) -> Nf4Bytes {
        quantize(values.len(), |start, target| target.copy_from_slice(&values[start..start + target.len()]))
    }

    #[test]
    fn a_zero_block_packs_to_the_code_of_zero() {
        assert!(quantized(&[0.0; 128]).packed.iter().all(|byte| *byte == 0x77));
    }

    #[test]
    fn a_block_looked_up_at_once_has_the_same_bits() {
        let values: Vec<f32> = (0..64 * 128).map(|i| ((i * 7_919) % 1_009) as f32 / 1_009.0 - 0.5).collect();
        let matrix = Nf4Matrix::new(quantized(&values), 64, 128);
        for row in 0..64 {
            let (mut got, mut rounded) = ([0.0; 128], [bf16::ZERO; 128]);
            matrix.read(row, 0, &mut got);
            matrix.read_bf16(row, 0, &mut rounded);
            for (column, (got, rounded)) in got.iter().zip(rounded).enumerate() {
                let mut one = [0.0];
                // One element is never a whole block.
                matrix.read(row, column, &mut one);
                assert_eq!(got.to_bits(), one[0].to_bits(), "{row}, {column}");
                assert_eq!(rounded.to_bits(), bf16::narrow(one[0]).to_bits(), "{row}, {column}");
            }
        }
    }

    #[test]
    fn dequantizing_is_within_the_widest_gap_of_the_codes() {
        let values: Vec<f32> = (0..64 * 96).map(|i| ((i * 7_919) % 1_009) as f32 / 1_009.0 - 0.5).collect();
        let matrix = Nf4Matrix::new(quantized(&values), 64, 96);
        // A part of a row that begins and ends within blocks.
        let mut got = [0.0; 71];
        for row in 0..64 {
            matrix.read(row, 13, &mut got);
            for (got, expected) in got.iter().zip(&values[row * 96 + 13..]) {
                assert!((got - expected).abs() < 0.5 * 0.16, "{got} {expected}");
            }
        }
    }

    #[test]
    fn the_cascade_sums_everything_once() {
        for length in [1, 7, 31, 32, 33, 600, 5_000] {
            let x: Vec<f32> = (0..length).map(|i| (i % 13) as f32).collect();
            assert_eq!(cascade_sum(&x), x.iter().sum::<f32>());
        }
    }

    /// `tests/oracle/make_reference.py` made the files with bitsandbytes itself.
    #[test]
    fn every_byte_equals_bitsandbytes() -> Result<(), Box<dyn std::error::Error>> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle/qwen2");
        let (packed, model) = (
            std::fs::read(folder.join("nf4_weights.safetensors"))?,
            std::fs::read(folder.join("model/model.safetensors"))?,
        );
        let (packed, model) = (SafeTensors::deserialize(&packed)?, SafeTensors::deserialize(&model)?);
        let floats =
            |bytes: &[u8]| -> Vec<f32> { bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect() };
        let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
        let mut compared = 0;
        for name in packed.names().into_iter().filter(|name| name.ends_with("weight") || *name == "large") {
            let values = if name == "large" {
                let value = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0 - 0.5;
                (0..256 * 160).map(value).collect()
            } else {
                floats(model.tensor(name)?.data())
            };
            let ours = quantized(&values);
            let theirs = |part: &str| packed.tensor(&format!("{name}{part}")).map(|tensor| tensor.data().to_vec());
            assert_eq!(ours.packed, theirs("")?, "{name}");
            assert_eq!(ours.absmax, theirs(".absmax")?, "{name}.absmax");
            assert_eq!(bytes(&ours.nested_absmax), theirs(".nested_absmax")?, "{name}.nested_absmax");
            assert_eq!(bytes(&CODES), theirs(".quant_map")?, "{name}.quant_map");
            assert_eq!(bytes(&dynamic_map()), theirs(".nested_quant_map")?, "{name}.nested_quant_map");
            let state = String::from_utf8(theirs(".quant_state.bitsandbytes__nf4")?)?;
            let offset: f64 =
                serde_json::from_str::<serde_json::Value>(&state)?["nested_offset"].as_f64().ok_or("offset")?;
            assert_eq!(ours.nested_offset.to_bits(), (offset as f32).to_bits(), "{name}: offset {offset}");
            compared += 1;
        }
        assert_eq!(compared, 15);
        Ok(())
    }
}
