//! The precision of a run's arithmetic: what the config asks for, and what is computed on this machine.

use serde::Serialize;

use hilora_kernels::processor::has_bf16_products;
use hilora_model::{ComputeDevice, ComputeType};

/// The type of activations and products of a run, and why it was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ComputePrecision {
    /// Whether the config allows bfloat16 (`training.bf16`).
    pub bf16_asked: bool,
    /// What is computed.
    pub computed: ComputeType,
    /// Why.
    pub reason: &'static str,
}

impl ComputePrecision {
    /// The choice for a run: bfloat16 if it is allowed and the device multiplies it, else f32.
    pub fn choose(bf16: bool, device: ComputeDevice) -> Self {
        match device {
            ComputeDevice::Cpu => Self::on_a_processor(bf16, has_bf16_products()),
            ComputeDevice::Cuda if bf16 => Self {
                bf16_asked: true,
                computed: ComputeType::Bf16,
                reason: "training.bf16 is true and the device is CUDA's",
            },
            ComputeDevice::Cuda => Self::on_a_processor(false, false),
        }
    }

    fn on_a_processor(bf16: bool, multiplies_bf16: bool) -> Self {
        let (computed, reason) = match (bf16, multiplies_bf16) {
            (false, _) => (ComputeType::F32, "training.bf16 is false"),
            (true, false) => (ComputeType::F32, "the processor has no AVX512-BF16"),
            (true, true) => (ComputeType::Bf16, "training.bf16 is true and the processor has AVX512-BF16"),
        };
        Self { bf16_asked: bf16, computed, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_computed_where_it_is_asked_for_and_the_machine_can() {
        let computed = |asked, has| ComputePrecision::on_a_processor(asked, has).computed;
        assert_eq!(computed(true, true), ComputeType::Bf16);
        for (asked, has) in [(true, false), (false, true), (false, false)] {
            assert_eq!(computed(asked, has), ComputeType::F32);
        }
        assert_eq!(ComputePrecision::choose(true, ComputeDevice::Cuda).computed, ComputeType::Bf16);
        assert_eq!(ComputePrecision::choose(false, ComputeDevice::Cuda).computed, ComputeType::F32);
    }
}
