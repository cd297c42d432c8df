//! The families of models that are computed. What their blocks differ in is data of the configuration; a family decides
//! what its `config.json` means, above all what holds where a key is missing.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BlockNorm, Projection};
use hilora_kernels::glu::Activation;

/// A family of models, by its name in a `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Qwen2, Qwen2.5 and QwQ.
    Qwen2,
    /// Qwen3, the dense models.
    Qwen3,
    /// Llama, and what calls itself so.
    Llama,
    /// Mistral, the dense models.
    Mistral,
    /// Seed-OSS.
    #[serde(rename = "seed_oss")]
    SeedOss,
    /// InternLM3.
    InternLm3,
    /// SmolLM3, some of whose blocks have no rotary embedding.
    SmolLm3,
    /// Granite 3 and the dense models after it, with factors on embedding, scores, residuals and logits.
    Granite,
    /// Phi-3, Phi-3.5 and Phi-4, with fused layers.
    Phi3,
    /// OLMo 2, which normalizes what a block adds, and all queries or keys of a token together.
    Olmo2,
    /// OLMo 3, most of whose blocks have windows.
    Olmo3,
    /// Gemma 3, with four norms a block, most of which have windows.
    #[serde(rename = "gemma3_text")]
    Gemma3,
}

/// What a norm of queries and keys is as wide as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryKeyNorm {
    /// A head: each is normalized by itself.
    Head,
    /// All heads together.
    Projection,
}

impl Architecture {
    /// Every family, in the order that errors name them.
    pub(crate) const ALL: [Self; 12] = [
        Self::Qwen2,
        Self::Qwen3,
        Self::Llama,
        Self::Mistral,
        Self::SeedOss,
        Self::InternLm3,
        Self::SmolLm3,
        Self::Granite,
        Self::Phi3,
        Self::Olmo2,
        Self::Olmo3,
        Self::Gemma3,
    ];

    /// Its name in a `config.json`.
    pub(crate) fn model_type(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::SeedOss => "seed_oss",
            Self::InternLm3 => "internlm3",
            Self::SmolLm3 => "smollm3",
            Self::Granite => "granite",
            Self::Phi3 => "phi3",
            Self::Olmo2 => "olmo2",
            Self::Olmo3 => "olmo3",
            Self::Gemma3 => "gemma3_text",
        }
    }

    /// The linear layers of a block.
    pub(crate) fn projections(self) -> &'static [Projection] {
        if self == Self::Phi3 { &Projection::FUSED } else { &Projection::SEPARATE }
    }

    /// The name of a norm of a block in a checkpoint; `None` if its blocks lack it.
    pub(crate) fn norm_name(self, norm: BlockNorm) -> Option<&'static str> {
        match (self, norm) {
            (Self::Olmo2 | Self::Olmo3, BlockNorm::AttentionInput | BlockNorm::MlpInput) => None,
            (_, BlockNorm::AttentionInput) => Some("input_layernorm.weight"),
            (Self::Gemma3, BlockNorm::MlpInput) => Some("pre_feedforward_layernorm.weight"),
            (_, BlockNorm::MlpInput) => Some("post_attention_layernorm.weight"),
            (Self::Olmo2 | Self::Olmo3 | Self::Gemma3, BlockNorm::AttentionOutput) => {
                Some("post_attention_layernorm.weight")
            }
            (Self::Olmo2 | Self::Olmo3 | Self::Gemma3, BlockNorm::MlpOutput) => {
                Some("post_feedforward_layernorm.weight")
            }
            (_, BlockNorm::AttentionOutput | BlockNorm::MlpOutput) => None,
        }
    }

    /// What is added to the weight of every norm.
    pub(crate) fn norm_offset(self) -> f64 {
        if self == Self::Gemma3 { 1.0 } else { 0.0 }
    }

    /// Whether queries and keys are normalized, and over what.
    pub(crate) fn query_key_norm(self) -> Option<QueryKeyNorm> {
        match self {
            Self::Qwen3 | Self::Gemma3 => Some(QueryKeyNorm::Head),
            Self::Olmo2 | Self::Olmo3 => Some(QueryKeyNorm::Projection),
            _ => None,
        }
    }

    /// The function in its feed-forward network.
    pub(crate) fn activation(self) -> Activation {
        if self == Self::Gemma3 { Activation::GeluTanh } else { Activation::Silu }
    }

    /// Whether the factor on the embedding belongs to the table: it has the table's type then, and noise on the embedding
    /// is not multiplied.
    pub(crate) fn scales_its_table(self) -> bool {
        self == Self::Gemma3
    }

    /// A whole number of transformers' class where the key is missing. For older families of this list, whose files name
    /// them all, a missing one is an error.
    pub(crate) fn default_count(self, field: &str) -> Option<usize> {
        Some(match (self, field) {
            (Self::Phi3, "vocab_size") => 32_064,
            (Self::Phi3, "hidden_size") => 3_072,
            (Self::Phi3, "intermediate_size") => 8_192,
            (Self::Phi3, "max_position_embeddings") => 4_096,
            (Self::Olmo2 | Self::Olmo3, "vocab_size") => 50_304,
            (Self::Olmo2 | Self::Olmo3, "hidden_size") => 4_096,
            (Self::Olmo2 | Self::Olmo3, "intermediate_size") => 11_008,
            (Self::Olmo2 | Self::Olmo3, "max_position_embeddings") => 2_048,
            (Self::Phi3 | Self::Olmo2 | Self::Olmo3, "num_hidden_layers" | "num_attention_heads") => 32,
            (Self::Gemma3, "vocab_size") => 262_208,
            (Self::Gemma3, "hidden_size") => 2_304,
            (Self::Gemma3, "intermediate_size") => 9_216,
            (Self::Gemma3, "max_position_embeddings") => 131_072,
            (Self::Gemma3, "num_hidden_layers") => 26,
            (Self::Gemma3, "num_attention_heads") => 8,
            _ => return None,
        })
    }

    /// The key and value heads of transformers' class where the key is missing; `None` is as many as there are queries.
    pub(crate) fn default_key_value_heads(self) -> Option<usize> {
        match self {
            Self::Qwen2 | Self::Qwen3 => Some(32),
            Self::Mistral | Self::SeedOss => Some(8),
            Self::SmolLm3 | Self::Gemma3 => Some(4),
            Self::Llama | Self::InternLm3 | Self::Granite | Self::Phi3 | Self::Olmo2 | Self::Olmo3 => None,
        }
    }

    /// The width of a head where the key is missing; `None` is the hidden size by the heads.
    pub(crate) fn default_head_dim(self) -> Option<usize> {
        match self {
            Self::Qwen3 | Self::SeedOss => Some(128),
            Self::Gemma3 => Some(256),
            _ => None,
        }
    }

    /// The base of the rotary frequencies where nothing says it.
    pub(crate) fn default_rope_theta(self) -> f64 {
        match self {
            Self::SmolLm3 => 2e6,
            Self::Olmo3 => 5e5,
            Self::Gemma3 => 1e6,
            _ => 1e4,
        }
    }

    /// What is added to a mean square where nothing says it.
    pub(crate) fn default_rms_norm_eps(self) -> f64 {
        if matches!(self, Self::Phi3 | Self::Olmo2 | Self::Olmo3) { 1e-5 } else { 1e-6 }
    }

    /// Whether the embeddings are tied where nothing says it.
    pub(crate) fn ties_by_default(self) -> bool {
        matches!(self, Self::SmolLm3 | Self::Gemma3)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model_type())
    }
}
