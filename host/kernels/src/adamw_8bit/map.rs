//! The maps between a moment's values and its codes: bitsandbytes' dynamic maps, signed and unsigned.

use std::sync::LazyLock;

use crate::dynamic_map::{dynamic_map, nearest_codes, unsigned_dynamic_map};

/// A map of 256 values and the way back to its codes.
pub(super) struct Map {
    pub(super) values: [f32; 256],
    nearest: Vec<u8>,
}

pub(super) static SIGNED: LazyLock<Map> = LazyLock::new(|| Map::new(dynamic_map()));
pub(super) static UNSIGNED: LazyLock<Map> = LazyLock::new(|| Map::new(unsigned_dynamic_map()));

impl Map {
    fn new(values: [f32; 256]) -> Self {
        Self { nearest: nearest_codes(&values), values }
    }

    /// Rounds a block to codes; returns its maximum.
    pub(super) fn quantize(&self, block: &[f32], codes: &mut [u8]) -> f32 {
        let maximum = block.iter().fold(0.0, |maximum: f32, x| maximum.max(x.abs()));
        let inverse = 1.0 / maximum.max(f32::MIN_POSITIVE);
        for (code, x) in codes.iter_mut().zip(block) {
            let index = ((x * inverse + 1.0) * 0.5 * 65_535.0 + 0.5).floor();
            *code = self.nearest[index.clamp(0.0, 65_535.0) as usize];
        }
        maximum
    }
}
