//! An evaluation problem: one row of `data/<specialist>_tests.jsonl`, a held-out problem with the tests that judge
//! a model's answer. No solution stands in it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Attribute, Domain, ProblemChecker, ProblemText, TestCase, shared_tests};

/// What a model's answer to a problem is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerForm {
    /// A program, which is run on every test.
    #[default]
    Program,
    /// The text that it wrote, which the problem's checker holds against the one test's output. Nothing is run.
    Text,
}

impl AnswerForm {
    /// Whether it is the one of a problem that does not say.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A held-out problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationProblem {
    /// What the model is shown.
    pub text: ProblemText,
    /// The domain a classifier gave it.
    pub domain: Domain,
    /// Every test must pass.
    #[serde(with = "shared_tests")]
    pub tests: Arc<[TestCase]>,
    /// The function that the tests call; absent for a whole program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<String>,
    /// Code that is put behind every program and brings the entry point; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_code: Option<String>,
    /// When an output is a right answer; what a called function returns is compared as a JSON value instead.
    #[serde(default, skip_serializing_if = "ProblemChecker::is_default")]
    pub checker: ProblemChecker,
    /// What an answer is.
    #[serde(default, skip_serializing_if = "AnswerForm::is_default")]
    pub answer_form: AnswerForm,
    /// The dataset's own time limit, in milliseconds.
    pub time_limit_ms: Option<u64>,
    /// The dataset's own memory limit, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// The fuel that the most frugal solution that is known to be right used on its costliest test; absent where none
    /// was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_fuel: Option<u64>,
    /// What else the dataset tells; shown to people, never to a model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}
