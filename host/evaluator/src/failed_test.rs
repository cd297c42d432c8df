//! A failed test: why an answer is not right, as a person who reads the record wants to know it. It stands in the record
//! and on the page, and decides nothing.

use serde::{Deserialize, Serialize};

use hilora_contract::dataset::EvaluationProblem;
use hilora_judge::{Judgement, Mismatch, Verdict};

/// The first test that an answer did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedTest {
    /// Which of the problem's tests, from 1.
    pub test: u64,
    /// The exception with its message, the missing module, the limit or the checker's reason; empty where the verdict says
    /// all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What was expected and what came, if it answered wrongly and they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<Mismatch>,
}

impl FailedTest {
    /// That of a judgement, unless it is right.
    pub(crate) fn of(judgement: &Judgement) -> Option<Self> {
        let mut tests = judgement.tests.iter().enumerate();
        let (index, test) = tests.find(|(_, test)| test.verdict != Verdict::Accepted)?;
        Some(Self { test: index as u64 + 1, detail: test.detail.clone(), mismatch: test.mismatch.clone() })
    }

    /// The same of a problem that is tested by code of its own: what such a test returns is a word between it and the host,
    /// which says whether all asserts held, and no answer that the problem asks for.
    pub(crate) fn of_problem(self, problem: &EvaluationProblem) -> Self {
        let Some(mismatch) = self.mismatch.as_ref().filter(|_| problem.test_code.is_some()) else { return self };
        let [expected, came] =
            [&mismatch.expected, &mismatch.actual].map(|side| format!("{}{}", side.before, side.from));
        if !expected.starts_with("\"passed ") {
            return self;
        }
        let detail = match came.trim().trim_matches('"').strip_prefix("failed: ") {
            Some("") => "an assert failed".to_owned(),
            Some(words) => format!("an assert failed: {words}"),
            None => "the test did not run to its end".to_owned(),
        };
        Self { detail, mismatch: None, ..self }
    }
}
