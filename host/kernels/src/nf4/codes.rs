//! The constants of the format: its 16 values and the sizes of its blocks.

/// Elements that share one maximum, unless a checkpoint says otherwise.
pub const BLOCK: usize = 64;
/// Maxima that share one second-level maximum.
pub const NESTED_BLOCK: usize = 256;
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
/// The 16 values of FP4, bitsandbytes' other type of 4 bits, in the order of its bit patterns.
pub const FP4_CODES: [f32; 16] = {
    const TWELFTHS: [f32; 8] = [0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0];
    let mut codes = [0.0; 16];
    let mut i = 0;
    while i < 8 {
        codes[i] = TWELFTHS[i] / 12.0;
        codes[i + 8] = -codes[i];
        i += 1;
    }
    codes
};

/// What the codes stand for, and how many of them share a maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockFormat {
    /// The 16 values.
    pub codes: [f32; 16],
    /// Elements of a block, a power of two.
    pub block: usize,
}

impl Default for BlockFormat {
    fn default() -> Self {
        Self { codes: CODES, block: BLOCK }
    }
}
