//! Extraction: the program in a completion, as a formatter finds it. A formatter that fails on one completion ends nothing,
//! because no answer of a model may end the measurement of all others; many failures are an error (`failures`).

use hilora_contract::plugin::{PluginError, PromptFormatter};

use super::failures::{Failures, is_of_one_answer};

/// What a formatter found in a completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extraction {
    /// A program.
    Found(String),
    /// Nothing.
    None,
    /// It failed on it.
    Failed,
}

impl Extraction {
    /// The program.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Found(text) => Some(text),
            Self::None | Self::Failed => None,
        }
    }
}

/// Finds the programs in a number of completions.
pub struct Extractor<'a> {
    formatter: &'a dyn PromptFormatter,
    failures: Failures,
}

impl<'a> Extractor<'a> {
    /// For so many completions; the formatter may fail on a few of them.
    pub fn new(formatter: &'a dyn PromptFormatter, completions: usize) -> Self {
        Self { formatter, failures: Failures::of(completions) }
    }

    /// The program in the next completion.
    pub fn extract(&mut self, completion: &str) -> Result<Extraction, PluginError> {
        match self.formatter.extract_solution(completion) {
            Ok(Some(text)) => Ok(Extraction::Found(text)),
            Ok(None) => Ok(Extraction::None),
            Err(error) if is_of_one_answer(&error) && self.failures.tolerates() => {
                tracing::warn!("{error}; the completion counts as an error");
                Ok(Extraction::Failed)
            }
            Err(error) => Err(error),
        }
    }
}
