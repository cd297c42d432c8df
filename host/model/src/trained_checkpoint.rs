//! A model whose weights were all trained, written beside the files of the base that it began as.

use std::fs;
use std::path::Path;

use safetensors::Dtype;

use super::derived_checkpoint::config_of_tables;
use super::{Model, ModelError, StoredType};
use hilora_contract::artifact::write_atomic;

/// Files of a model's folder that are carried over to a model trained from it.
const CARRIED_FILES: [&str; 8] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
];

impl Model {
    /// Writes the weights into `output` in the type that the base's config.json names, and carries its other files over.
    pub fn save_as_trained_from(&self, base: &Path, output: &Path) -> Result<(), ModelError> {
        let dtype = match StoredType::load(base)? {
            StoredType::Bf16 => Dtype::BF16,
            StoredType::F32 | StoredType::F16 => Dtype::F32,
        };
        self.save_weights(output, dtype)?;
        for name in CARRIED_FILES {
            let (from, to) = (base.join(name), output.join(name));
            if from.exists() && from != to {
                let bytes = fs::read(&from).map_err(|e| ModelError::reading(&from, e))?;
                write_atomic(&to, &bytes).map_err(|e| ModelError::writing(&to, e))?;
            }
        }
        if let Some(config) = config_of_tables(base, self.config().tie_word_embeddings)? {
            let path = output.join("config.json");
            write_atomic(&path, format!("{config:#}\n").as_bytes()).map_err(|e| ModelError::writing(&path, e))?;
        }
        Ok(())
    }
}
