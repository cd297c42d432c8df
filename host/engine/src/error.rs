//! What can go wrong in the engine: a request that cannot be served, a queue that is full, a model that fails.

use hilora_contract::fault::{BadInput, Blame, Fault};
use hilora_model::ModelError;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No more requests may wait; some must end first.
    #[error("{waiting} sequences are waiting, which is as many as may")]
    Full {
        /// How many wait.
        waiting: usize,
    },
    /// A request that can never be served.
    #[error(transparent)]
    Input(#[from] BadInput),
    /// The model or the tokenizer failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The engine's own books do not agree.
    #[error("{0}")]
    Defect(String),
}

impl EngineError {
    /// A request that can never be served.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::Input(BadInput::new(message))
    }

    /// The same, if it is known what would mend it.
    pub(crate) fn input_with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input(BadInput::with_hint(message, hint))
    }
}

impl Fault for EngineError {
    fn blame(&self) -> Blame {
        match self {
            Self::Full { .. } => Blame::Machine,
            Self::Input(problem) => problem.blame(),
            Self::Model(error) => error.blame(),
            Self::Defect(_) => Blame::Ours,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Full { .. } => vec!["ask again when another request has ended".to_owned()],
            Self::Input(problem) => problem.hints(),
            Self::Model(error) => error.hints(),
            Self::Defect(_) => Vec::new(),
        }
    }
}
