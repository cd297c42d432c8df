//! The nouns every kind of plugin shares: problems, tests, solutions and skipped rows.

pub use crate::bindings::dataset_loader::hilora::plugin::types::{
    Language, Problem, ProblemText, SkippedRow, Solution, TestCase,
};
