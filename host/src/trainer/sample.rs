//! A training sample: token ids, and for each whether the model is trained to predict it.

use serde::{Deserialize, Serialize};

/// One document. Samples never see each other, however they are batched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingSample {
    /// The token ids.
    pub tokens: Vec<u32>,
    /// For each token, whether it is a target. The first token has no past and is never one.
    pub trained: Vec<bool>,
}

impl TrainingSample {
    /// A document all of whose tokens are targets.
    pub fn plain(tokens: Vec<u32>) -> Self {
        let trained = vec![true; tokens.len()];
        Self { tokens, trained }
    }

    /// How many tokens are predicted.
    pub fn targets(&self) -> usize {
        self.trained.iter().skip(1).filter(|trained| **trained).count()
    }
}
