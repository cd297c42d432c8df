//! Precision: how the frozen weights are held, and what is computed in.

/// How the frozen weights are held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BasePrecision {
    /// 32 bits.
    F32,
    /// 16 bits, rounded to nearest even on load.
    Bf16,
    /// The blocks' linear layers in 4 bits with double quantization, exactly as bitsandbytes makes them; a checkpoint
    /// that is quantized already stays as it is. All else keeps the checkpoint's type.
    Nf4,
}

/// The type of activations and of the factors of every product; sums are in f32. What bitsandbytes calls
/// `bnb_4bit_compute_dtype`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComputeType {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the memory, and twice the speed on a processor that multiplies them.
    Bf16,
}
