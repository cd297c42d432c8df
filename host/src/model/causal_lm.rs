//! A causal language model.

use std::path::Path;

use super::{ModelConfig, ModelError};

/// How the frozen weights are held in memory. Arithmetic is in f32 over all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BasePrecision {
    /// 32 bits.
    F32,
    /// 16 bits, rounded to nearest even on load.
    Bf16,
    /// 4 bits with double quantization, exactly as bitsandbytes makes them.
    Nf4,
}

/// A frozen language model.
pub struct Model {
    pub(crate) config: ModelConfig,
}

impl Model {
    /// Loads a folder of the Hugging Face layout: `config.json` and safetensors, sharded or not.
    pub fn load(_folder: &Path, _precision: BasePrecision) -> Result<Self, ModelError> {
        unimplemented!()
    }

    /// The model's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }
}
