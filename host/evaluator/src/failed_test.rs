//! A failed test: why an answer is not right, as a person who reads the record wants to know it. It stands in the record
//! and on the page, and decides nothing.

use serde::{Deserialize, Serialize};

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
}
