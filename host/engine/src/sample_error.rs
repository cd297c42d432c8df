//! What ends one sample, and no other: its own numbers, or its own text.

use hilora_contract::fault::{Blame, Fault};
use hilora_model::ModelError;

/// Why a sample has no next token.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The model's answer is none that a token can be drawn by.
    #[error("the logit of token {token} at position {position} of the completion is {logit}")]
    Logit {
        /// The first token whose logit is no number.
        token: usize,
        /// Tokens of the completion before it.
        position: usize,
        /// NaN, or an infinity.
        logit: f32,
    },
    /// Its text, in which stop strings are looked for, cannot be made.
    #[error(transparent)]
    Text(#[from] ModelError),
}

impl Fault for SampleError {
    fn blame(&self) -> Blame {
        match self {
            Self::Logit { .. } => Blame::User,
            Self::Text(error) => error.blame(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Logit { .. } => {
                vec!["a weight of the base or the adapter is no number, or too large to compute with".to_owned()]
            }
            Self::Text(error) => error.hints(),
        }
    }
}
