//! Progress: how far preparing is, phase by phase.

/// A part of preparing that can be seen to progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreparePhase {
    /// Rows are read.
    Load,
    /// Programs run against their tests.
    Verify,
    /// Rows get their domains.
    Classify,
    /// Rows are made ready to be compared.
    Compare,
    /// Files are written.
    Write,
}

impl PreparePhase {
    /// Every phase in its order.
    pub const ALL: [Self; 5] = [Self::Load, Self::Verify, Self::Classify, Self::Compare, Self::Write];

    /// The phase in a word, for progress bars.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Verify => "verify",
            Self::Classify => "classify",
            Self::Compare => "compare",
            Self::Write => "write",
        }
    }

    /// What it counts.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Verify => "programs",
            Self::Load | Self::Classify | Self::Compare | Self::Write => "rows",
        }
    }
}

/// How far a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrepareProgress {
    /// The phase.
    pub phase: PreparePhase,
    /// Rows or programs done.
    pub done: u64,
    /// Of how many, as far as is known. It grows while programs are found, and is what was done once a phase has ended.
    pub total: Option<u64>,
}
