//! Usage: what an engine has computed, and what it was spared.

/// Counts since an engine began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Passes over the model.
    pub passes: u64,
    /// Tokens that were computed, prompts' and drawn ones.
    pub computed_tokens: u64,
    /// Tokens of prompts that were found in the cache.
    pub found_tokens: u64,
    /// Sequences that gave their blocks back and were computed anew.
    pub preemptions: u64,
    /// Blocks that were copied because two sequences went on differently in them.
    pub copied_blocks: u64,
}
