//! A contamination: what a training problem shares with one that the model is measured on, so that it is left out.

use super::fate::Skip;
use super::fingerprint::words_in_text;

/// Words in a run that removes a problem.
pub(super) const RUN_WORDS: usize = 13;
/// What a training problem shares with a problem that the model is measured on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contamination {
    /// The name of the set.
    pub(super) set: String,
    /// The problem of that set.
    pub(super) problem: String,
    pub(super) shared: Shared,
}

/// What two problems share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shared {
    /// The statements resemble each other.
    Statement,
    /// This many runs of words.
    Runs {
        count: usize,
        /// The word of the training problem at which the first begins.
        first: usize,
    },
}

impl Contamination {
    /// The reason in words; `statement` is the training problem's.
    pub(super) fn skip(&self, statement: &str) -> Skip {
        let Self { set, problem, shared } = self;
        let what = match shared {
            Shared::Statement => "the statement resembles".to_owned(),
            Shared::Runs { count, first } => {
                let words = words_in_text(statement, *first, RUN_WORDS);
                format!("{count} runs of {RUN_WORDS} words (the first: \"{words}\") stand also in")
            }
        };
        Skip::new("contaminated", format!("{what} `{problem}` of {set}"))
    }
}
