//! A lost answer: why a request has none, though others have. It is nobody's wrong answer: it is counted apart, by its
//! cause, and asked for again the next time.

use hilora_contract::fault::{Blame, Fault};
use hilora_endpoint::EndpointError;
use hilora_engine::SampleError;

/// What happened in the place of an answer.
#[derive(Debug, thiserror::Error)]
pub enum LostAnswer {
    /// The endpoint failed as often as it was asked.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The model's numbers are none, or its tokens make no text.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

impl LostAnswer {
    /// By which names lost answers are counted.
    pub(crate) const CAUSES: [&str; 2] = ["not-answered", "not-computed"];

    /// By which of them this one is.
    pub(crate) fn cause(&self) -> &'static str {
        let [not_answered, not_computed] = Self::CAUSES;
        match self {
            Self::Endpoint(_) => not_answered,
            Self::Sample(_) => not_computed,
        }
    }
}

impl Fault for LostAnswer {
    fn blame(&self) -> Blame {
        match self {
            Self::Endpoint(error) => error.blame(),
            Self::Sample(error) => error.blame(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Endpoint(error) => error.hints(),
            Self::Sample(error) => error.hints(),
        }
    }
}
