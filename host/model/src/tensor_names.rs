//! The names of a model's tensors in a checkpoint.

/// What the names of the blocks' tensors begin with.
pub(crate) const BLOCKS: &str = "model.layers.";
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const NORM: &str = "model.norm.weight";
pub(crate) const HEAD: &str = "lm_head.weight";
pub(crate) const QUERY_NORM: &str = "self_attn.q_norm.weight";
pub(crate) const KEY_NORM: &str = "self_attn.k_norm.weight";

/// The name of a tensor of a block.
pub(crate) fn layer_key(layer: usize, name: &str) -> String {
    format!("model.layers.{layer}.{name}")
}
