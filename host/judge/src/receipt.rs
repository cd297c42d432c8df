//! A receipt: what a judgement was made of. Two judgements with one receipt say the same, but for measurements of time.

use serde::{Deserialize, Serialize};

use super::submission::Submission;
use hilora_contract::artifact::ContentHash;
use hilora_contract::plugin::RunLimits;

/// Everything that decides a judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The hash of the code.
    pub code: ContentHash,
    /// The hash of every test's input and output.
    pub tests: ContentHash,
    /// What the tests call, if they call a function.
    pub entry_point: Option<String>,
    /// The checker's name, or the hash of its plugin.
    pub checker: String,
    /// The hash of the runner's component.
    pub runner: ContentHash,
    /// The limits of each run.
    pub limits: RunLimits,
}

impl Receipt {
    /// The receipt of a submission that this runner runs.
    pub fn of(submission: &Submission, runner: ContentHash) -> Self {
        let tests = submission.tests_to_run().iter();
        Self {
            code: ContentHash::of(submission.code.as_bytes()),
            tests: ContentHash::of_parts(tests.flat_map(|test| [test.input.as_bytes(), test.output.as_bytes()])),
            entry_point: submission.entry_point.clone(),
            checker: submission.checker.fingerprint(),
            runner,
            limits: submission.limits,
        }
    }
}
