//! A segment: a piece of the text that a model reads and learns, with what must be known to tokenize it.

/// How the tokenizer reads a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// Special tokens are recognised.
    Control,
    /// Special tokens' texts stay ordinary text.
    Content,
}

/// A piece of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The text.
    pub text: String,
    /// How the tokenizer reads it.
    pub kind: SegmentKind,
    /// Whether its tokens are targets of the loss.
    pub trained: bool,
}
