//! A failed test: why an answer is not right, as a person who reads the record wants to know it. It stands in the record
//! and on the page, and decides nothing.

use serde::{Deserialize, Serialize};

use super::evaluation::ProblemOutcome;
use hilora_judge::{Judgement, Mismatch, Verdict};

/// The most bytes of outputs that an evaluation keeps. Beyond that, answers keep the cause alone.
const MISMATCH_BYTES_MAX: usize = 1 << 20;

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

/// Takes the outputs away that are too many for a record. The first answers to all problems come first, then the second
/// ones: every problem keeps an example before one keeps all of its own.
pub(crate) fn bound_mismatches(outcomes: &mut [ProblemOutcome]) {
    bound(outcomes, MISMATCH_BYTES_MAX);
}

fn bound(outcomes: &mut [ProblemOutcome], bytes_max: usize) {
    let mut left = bytes_max;
    let samples = outcomes.iter().map(|outcome| outcome.samples.len()).max().unwrap_or(0);
    for sample in 0..samples {
        for outcome in outcomes.iter_mut() {
            let failed = outcome.samples.get_mut(sample).and_then(|sample| sample.failed_test.as_mut());
            let Some(failed) = failed else { continue };
            let Some(Mismatch { expected, actual }) = &failed.mismatch else { continue };
            let bytes = [expected, actual].iter().map(|side| side.before.len() + side.from.len()).sum();
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => failed.mismatch = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::outcome;

    #[test]
    fn every_problem_keeps_an_example_before_one_keeps_all() {
        let mut outcomes = vec![outcome("a", 0, 2), outcome("b", 1, 2), outcome("c", 0, 2)];
        for sample in outcomes.iter_mut().flat_map(|outcome| &mut outcome.samples) {
            if sample.verdict == Some(Verdict::WrongAnswer) {
                let mismatch = Some(Mismatch::at((b"12345", 0), (b"54321", 0)));
                sample.failed_test = Some(FailedTest { test: 1, detail: String::new(), mismatch });
            }
        }
        let kept = |bytes_max| {
            let mut outcomes = outcomes.clone();
            bound(&mut outcomes, bytes_max);
            let has = |sample: &crate::SampleOutcome| sample.failed_test.as_ref()?.mismatch.as_ref().map(|_| ());
            let samples = outcomes.iter().flat_map(|outcome| &outcome.samples);
            samples.map(|sample| u8::from(has(sample).is_some())).collect::<Vec<u8>>()
        };
        assert_eq!(kept(1_000), [1, 1, 0, 1, 1, 1]);
        assert_eq!(kept(30), [1, 1, 0, 0, 1, 0], "first `a` and `c`, then `a` again");
        assert_eq!(kept(20), [1, 0, 0, 0, 1, 0]);
        assert_eq!(kept(9), [0; 6]);
    }
}
