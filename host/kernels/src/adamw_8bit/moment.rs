//! A moment in 8 bits: a code for each element, and a maximum for each block of them.

/// Elements that share one maximum.
pub(super) const BLOCK: usize = 256;
/// Smaller tensors keep their moments in 32 bits.
pub const ELEMENTS_MIN: usize = 4096;

/// One moment of a tensor in 8 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment8bit {
    /// A code for each element.
    pub codes: Vec<u8>,
    /// The greatest absolute value of each block.
    pub absmax: Vec<f32>,
}

impl Moment8bit {
    /// A moment of zero.
    pub fn zeros(elements: usize) -> Self {
        Self { codes: vec![0; elements], absmax: vec![0.0; elements.div_ceil(BLOCK)] }
    }
}
