//! The precision of matrix products: what the config asks for, and what this build computes on this machine.

use serde::Serialize;

/// In which precision matrix products are computed, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ComputePrecision {
    /// Whether the config allows bfloat16 (`training.bf16`).
    bf16_asked: bool,
    /// What is computed.
    computed: &'static str,
    /// Why.
    reason: &'static str,
}

impl ComputePrecision {
    /// The choice for a run. Every kernel computes in f32 today, so that is what a run that allows bfloat16 gets.
    pub fn choose(bf16: bool) -> Self {
        let reason = if bf16 { "no kernel computes in bfloat16" } else { "training.bf16 is false" };
        Self { bf16_asked: bf16, computed: "f32", reason }
    }
}
