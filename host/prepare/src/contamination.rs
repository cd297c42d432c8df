//! A contamination: what a training problem shares with one that the model is measured on, so that it is left out.

use std::ops::Range;

use super::boilerplate::RUN_WORDS;
use super::fate::Skip;
use super::fingerprint::words_in_text;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shared {
    /// What is asked resembles.
    Statement,
    /// This many runs of words.
    Runs {
        count: usize,
        /// Where the first stands among the words of the training problem.
        first: Range<usize>,
    },
    /// So many percent of the measured problem's own words, in runs that many training problems have.
    Part { percent: usize },
    /// The whole of a measured problem that is shorter than a run.
    Whole {
        /// Where it stands among the words of the training problem.
        at: Range<usize>,
    },
    /// A program.
    Program,
    /// What is asked in other words.
    Paraphrase {
        /// The cosine of the two.
        percent: usize,
    },
}

impl Contamination {
    /// The reason in words; `asked` is what the training problem asks.
    pub(super) fn skip(&self, asked: &str) -> Skip {
        let Self { set, problem, shared } = self;
        let what = match shared {
            Shared::Statement => "the statement resembles".to_owned(),
            Shared::Runs { count, first } => {
                let words = words_in_text(asked, first.clone());
                format!("{count} runs of {RUN_WORDS} words (the first: \"{words}\") stand also in")
            }
            Shared::Part { percent } => {
                format!("runs of {RUN_WORDS} words hold {percent} % of the words of")
            }
            Shared::Whole { at } => {
                let words = words_in_text(asked, at.clone());
                format!("\"{words}\" is the whole of")
            }
            Shared::Paraphrase { percent } => {
                format!("paraphrases, with a cosine of {}.{:02},", percent / 100, percent % 100)
            }
            Shared::Program => "a program is a solution of".to_owned(),
        };
        Skip::new("contaminated", format!("{what} `{problem}` of {set}"))
    }
}
