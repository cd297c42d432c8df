//! A LoRA adapter in PEFT's layout.

use std::path::Path;

use super::{LoraConfig, Model, ModelError};

/// The two factors of one linear layer's update.
pub struct AdapterModule;

/// A LoRA adapter.
pub struct Adapter {
    pub(crate) config: LoraConfig,
}

impl Adapter {
    /// Loads `adapter_config.json` and `adapter_model.safetensors` from a folder.
    pub fn load(_folder: &Path) -> Result<Self, ModelError> {
        unimplemented!()
    }

    /// Writes PEFT's two files into a folder.
    pub fn save(&self, _folder: &Path) -> Result<(), ModelError> {
        unimplemented!()
    }

    /// Checks every tensor's shape against a model.
    pub fn check_against(&self, _model: &Model) -> Result<(), ModelError> {
        unimplemented!()
    }

    /// The adapter's configuration.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }
}
