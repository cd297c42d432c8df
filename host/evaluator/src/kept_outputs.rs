//! Kept outputs: how much of what was expected and what came stands in a record.

use super::evaluation::ProblemOutcome;
use hilora_judge::Mismatch;

/// The most bytes of outputs that an evaluation keeps. Beyond that, answers keep the cause alone.
const MISMATCH_BYTES_MAX: usize = 1 << 20;

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
    use crate::FailedTest;
    use crate::fakes::outcome;
    use hilora_judge::Verdict;

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
