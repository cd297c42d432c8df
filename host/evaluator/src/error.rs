//! What can go wrong while a model is measured.

use std::path::PathBuf;

use hilora_contract::plugin::{PluginError, PluginIdentity};
use hilora_judge::JudgeError;
use hilora_model::ModelError;

/// An error of the evaluator.
#[derive(Debug, thiserror::Error)]
pub enum EvaluatorError {
    /// The formatter failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The model or its tokenizer failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The judge failed.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// There is nothing to measure on.
    #[error(
        "there are no evaluation problems\nhint: a run's `data/<specialist>_tests.jsonl` holds them; look at its manifest for what became of each row"
    )]
    NoProblems,
    /// There is nothing to learn from or to copy.
    #[error("expected at least {expected} training examples, got {got}")]
    TooFewExamples {
        /// The least that is needed.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A problem has no test, so every answer to it would be right.
    #[error("evaluation problem `{id}` has no test")]
    NoTest {
        /// The problem.
        id: String,
    },
    /// Two problems share an identifier, so their answers could not be told apart.
    #[error("two evaluation problems have the id `{id}`")]
    DuplicateProblem {
        /// The identifier.
        id: String,
    },
    /// Something answered fewer or more items than it was asked for.
    #[error("{what}: expected {expected}, got {got}")]
    Count {
        /// What was counted.
        what: String,
        /// How many were asked for.
        expected: usize,
        /// How many came.
        got: usize,
    },
    /// A stop sequence is no token of the model.
    #[error("{formatter} ends a completion at `{stop}`, which is no token of this model's tokenizer")]
    UnknownStop {
        /// The formatter.
        formatter: PluginIdentity,
        /// The stop sequence.
        stop: String,
    },
    /// The judge itself failed on a program; a rate that counts it would not be the model's.
    #[error("the judge failed on an answer to `{id}`: {detail}")]
    JudgeFailed {
        /// The problem.
        id: String,
        /// What happened.
        detail: String,
    },
    /// Two measurements are not of the same problems with the same number of samples.
    #[error("the two evaluations do not match: {what}: expected {expected}, got {got}")]
    Mismatch {
        /// What differs.
        what: String,
        /// The base's.
        expected: String,
        /// The adapter's.
        got: String,
    },
    /// A file of a measurement cannot be read or written.
    #[error("cannot {doing} {path}: {message}", path = path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What was wrong.
        message: String,
    },
}
