//! The two tables outside the blocks, of which an adapter may hold a trained copy or a low-rank update.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tensor_names::{EMBEDDING, HEAD};

/// A table outside the blocks of which an adapter may hold a trained copy or a low-rank update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModuleToSave {
    /// The embedding.
    #[serde(alias = "model.embed_tokens")]
    EmbedTokens,
    /// The output layer.
    LmHead,
}

impl ModuleToSave {
    /// Both.
    pub const ALL: [Self; 2] = [Self::EmbedTokens, Self::LmHead];

    /// Its index in `ALL`.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The name of its weight [vocabulary, width] in a checkpoint.
    pub(crate) fn weight_key(self) -> &'static str {
        match self {
            Self::EmbedTokens => EMBEDDING,
            Self::LmHead => HEAD,
        }
    }

    /// Its name in transformers' model.
    pub(crate) fn module_name(self) -> &'static str {
        match self {
            Self::EmbedTokens => "model.embed_tokens",
            Self::LmHead => "lm_head",
        }
    }

    /// PEFT's name of its trained copy over a text model.
    pub fn adapter_key(self) -> String {
        format!("base_model.model.{}", self.weight_key())
    }

    /// Whether this is PEFT's name of its trained copy, whatever the base is part of.
    pub fn is_adapter_key(self, name: &str) -> bool {
        name.strip_suffix(&format!(".{self}.weight")).is_some_and(|start| start.starts_with("base_model.model"))
    }
}

impl fmt::Display for ModuleToSave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmbedTokens => "embed_tokens",
            Self::LmHead => "lm_head",
        })
    }
}
