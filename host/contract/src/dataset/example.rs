//! An example: one row of a specialist's training or evaluation file (`data/<specialist>_{train,eval}.jsonl`).

use serde::{Deserialize, Serialize};

use super::Domain;

/// A solved problem. The fields and their order are the file format; a row has exactly these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The statement.
    pub problem: String,
    /// How one gets to the solution; `null` where nobody wrote it down.
    pub reasoning: Option<String>,
    /// A program that passed every test.
    pub solution: String,
    /// The domain a classifier gave it.
    pub domain: Domain,
    /// The dataset's own word for how hard it is; `null` where it has none.
    pub difficulty: Option<String>,
}

impl Example {
    /// Whether somebody wrote down how one gets to the solution.
    pub fn has_reasoning(&self) -> bool {
        self.reasoning.as_deref().is_some_and(|text| !text.trim().is_empty())
    }
}
