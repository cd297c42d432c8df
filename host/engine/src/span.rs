//! A span: consecutive tokens of a sequence that one pass computes.

/// Which rows of logits a span asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitRows {
    /// None.
    None,
    /// The last token's.
    Last,
    /// All.
    All,
}

/// Consecutive tokens of a sequence.
#[derive(Debug, Clone, Copy)]
pub struct Span<'s> {
    /// The tokens; at least one.
    pub tokens: &'s [u32],
    /// How many tokens of the sequence the cache holds already.
    pub start: usize,
    /// The sequence's blocks in order, enough for all of them.
    pub blocks: &'s [u32],
    /// Which adapter.
    pub adapter: Option<usize>,
    /// The logits that are asked for.
    pub logits: LogitRows,
}
