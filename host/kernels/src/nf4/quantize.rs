//! Quantization to NF4, with the roundings of bitsandbytes on the CPU.

use rayon::prelude::*;

use super::cascade_sum::cascade_sum;
use super::codes::{BLOCK, CODES, NESTED_BLOCK};
use crate::dynamic_map::{dynamic_map, nearest_codes};
use crate::simd::vectorized;

/// Blocks that one thread quantizes at a time.
const QUANTIZED_BLOCKS: usize = 1024;

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

fn absolute_maximum(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |maximum, x| f32::max(maximum, x.abs()))
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
