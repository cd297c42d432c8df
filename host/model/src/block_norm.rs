//! The norms of a block on the residual stream and on what is added to it.

/// A norm of a block, [hidden] wide. No family lacks all, and some have all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockNorm {
    /// Of what attention reads.
    AttentionInput,
    /// Of what attention adds.
    AttentionOutput,
    /// Of what the feed-forward network reads.
    MlpInput,
    /// Of what the feed-forward network adds.
    MlpOutput,
}

impl BlockNorm {
    /// All four, in the order of the forward pass.
    pub(crate) const ALL: [Self; 4] = [Self::AttentionInput, Self::AttentionOutput, Self::MlpInput, Self::MlpOutput];

    /// Its index in `ALL`.
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}
