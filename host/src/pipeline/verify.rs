//! Verifying: every program runs against its problem's tests, and only one that passes all of them is kept.
//!
//! A problem's programs run in the dataset's order until enough have passed. They run in rounds over a whole batch of
//! problems, so that every worker has something to do and the order of results depends on no worker.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use super::PrepareError;
use super::deduplicate::normalized_code;
use super::fate::Skip;
use crate::dataset::{Language, Problem, ProblemText, TestCase};
use crate::judge::{Judge, Judgement, StopAt, Submission, Verdict, run_limits};

/// A problem with programs that passed all of its tests.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VerifiedProblem {
    pub(super) row: u64,
    pub(super) text: ProblemText,
    pub(super) solutions: Vec<String>,
    pub(super) tests: Vec<TestCase>,
    pub(super) time_limit_ms: Option<u64>,
    pub(super) memory_limit_bytes: Option<u64>,
}

/// A problem whose programs are still being tried.
struct Candidate {
    row: u64,
    problem: Problem,
    /// Programs not tried yet, the next one last.
    untried: Vec<String>,
    tried: usize,
    passed: Vec<String>,
    failed: BTreeMap<Verdict, usize>,
    first_failure: Option<String>,
}

/// Verifies batch after batch.
pub(super) struct Verifier<'a> {
    judge: &'a Judge,
    language: Language,
    solutions_max: usize,
    /// Told after every program: programs judged, programs known so far.
    on_done: &'a (dyn Fn(u64, u64) + Sync),
    judged: AtomicU64,
    known: u64,
}

/// What verifying makes of a row: a problem, or its identifier and the reason why not.
pub(super) type Verified = Result<VerifiedProblem, (u64, String, Skip)>;

impl<'a> Verifier<'a> {
    pub(super) fn new(
        judge: &'a Judge,
        language: Language,
        solutions_max: usize,
        on_done: &'a (dyn Fn(u64, u64) + Sync),
    ) -> Self {
        Self { judge, language, solutions_max, on_done, judged: AtomicU64::new(0), known: 0 }
    }

    /// How many programs have run.
    pub(super) fn programs_judged(&self) -> u64 {
        self.judged.load(Ordering::Relaxed)
    }

    /// One answer per problem, in the same order.
    pub(super) fn verify(&mut self, problems: Vec<(u64, Problem)>) -> Result<Vec<Verified>, PrepareError> {
        let mut answers: Vec<Result<Candidate, (u64, String, Skip)>> =
            problems.into_iter().map(|(row, problem)| self.candidate(row, problem)).collect();
        while self.round(&mut answers)? {}
        Ok(answers.into_iter().map(|answer| answer.and_then(Candidate::settle)).collect())
    }

    /// Refuses what needs no run.
    fn candidate(&self, row: u64, problem: Problem) -> Result<Candidate, (u64, String, Skip)> {
        let refuse = |reason, detail: String| Err((row, problem.text.id.clone(), Skip::new(reason, detail)));
        if let Some(entry_point) = &problem.entry_point {
            let detail = format!("the tests call `{entry_point}`, expected a whole program");
            return refuse("functional-tests-not-supported", detail);
        }
        if problem.tests.is_empty() {
            return refuse("no-tests", "there is nothing to verify a program with".to_owned());
        }
        let mut seen = HashSet::new();
        let mut untried: Vec<String> = problem
            .solutions
            .iter()
            .filter(|solution| solution.language == self.language && seen.insert(normalized_code(&solution.code)))
            .map(|solution| solution.code.clone())
            .collect();
        if untried.is_empty() {
            return refuse("no-solution", format!("there is no program in {}", self.language));
        }
        untried.reverse();
        let (passed, failed) = (Vec::new(), BTreeMap::new());
        Ok(Candidate { row, problem, untried, tried: 0, passed, failed, first_failure: None })
    }

    /// Tries the next programs of every unsettled problem; false where there are none.
    fn round(&mut self, answers: &mut [Result<Candidate, (u64, String, Skip)>]) -> Result<bool, PrepareError> {
        let mut submissions = Vec::new();
        let mut owners = Vec::new();
        for (index, candidate) in answers.iter_mut().enumerate() {
            let Ok(candidate) = candidate else { continue };
            let wanted = self.solutions_max.saturating_sub(candidate.passed.len());
            for _ in 0..wanted {
                let Some(code) = candidate.untried.pop() else { break };
                submissions.push(candidate.submission(code));
                owners.push(index);
            }
        }
        if submissions.is_empty() {
            return Ok(false);
        }
        self.known += submissions.len() as u64;
        let (known, judged, on_done) = (self.known, &self.judged, self.on_done);
        let count = |_: u64| on_done(judged.fetch_add(1, Ordering::Relaxed) + 1, known);
        let judgements = self.judge.judge_all(&submissions, StopAt::FirstFailure, &count)?;
        for ((owner, submission), judgement) in owners.into_iter().zip(submissions).zip(judgements) {
            let Ok(candidate) = &mut answers[owner] else { continue };
            if judgement.is_accepted() {
                candidate.passed.push(submission.code);
            } else {
                *candidate.failed.entry(judgement.verdict).or_default() += 1;
                candidate.first_failure.get_or_insert_with(|| failure(&judgement));
            }
        }
        Ok(true)
    }
}

impl Candidate {
    fn submission(&mut self, code: String) -> Submission {
        self.tried += 1;
        Submission {
            id: format!("{} #{}", self.problem.text.id, self.tried),
            code,
            tests: self.problem.tests.clone(),
            entry_point: None,
            limits: run_limits(self.problem.time_limit_ms, self.problem.memory_limit_bytes),
        }
    }

    fn settle(self) -> Verified {
        let Self { row, problem, tried, passed, failed, first_failure, .. } = self;
        if passed.is_empty() {
            let verdicts: Vec<String> = failed.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
            // A program that needs what the runner lacks is not known to be wrong.
            let unsupported = failed.keys().all(|verdict| *verdict == Verdict::Unsupported);
            let reason = if unsupported { "solution-unsupported" } else { "no-solution-passed" };
            let detail = format!(
                "0 of {tried} programs passed {} tests: {}; the first: {}",
                problem.tests.len(),
                verdicts.join(", "),
                first_failure.unwrap_or_default()
            );
            return Err((row, problem.text.id, Skip::new(reason, detail)));
        }
        Ok(VerifiedProblem {
            row,
            text: problem.text,
            solutions: passed,
            tests: problem.tests,
            time_limit_ms: problem.time_limit_ms,
            memory_limit_bytes: problem.memory_limit_bytes,
        })
    }
}

/// Which test stopped a program and how.
fn failure(judgement: &Judgement) -> String {
    let last = judgement.tests.last().map_or("", |test| test.detail.as_str());
    let detail = if last.is_empty() { String::new() } else { format!(" ({last})") };
    format!("{} at test {}{detail}", judgement.verdict, judgement.tests.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fakes::{FakeRunner, problem, problem_with};
    use super::*;

    fn verify(problems: Vec<Problem>, solutions_max: usize, workers: usize) -> (Vec<Verified>, u64) {
        let judge = Judge::new(Arc::new(FakeRunner), workers);
        let mut verifier = Verifier::new(&judge, Language::Python3, solutions_max, &|_, _| {});
        let rows = (0..).zip(problems).collect();
        let verified = verifier.verify(rows).unwrap_or_else(|error| panic!("{error}"));
        let judged = verifier.programs_judged();
        (verified, judged)
    }

    fn reason(verified: &Verified) -> (&'static str, &str) {
        let (_, _, skip) = verified.as_ref().expect_err("it must be skipped");
        (skip.reason, &skip.detail)
    }

    #[test]
    fn keeps_the_first_programs_that_pass_everything() {
        let programs = ["print(2)", "print(1)", "print(1) ", "echo", "print(1)\nprint(1)"];
        let (verified, judged) = verify(vec![problem_with("a", "Print 1.", &programs, &[("1", "1")])], 1, 1);
        assert_eq!(verified[0].as_ref().map(|problem| problem.solutions.clone()), Ok(vec!["print(1)".to_owned()]));
        assert_eq!(judged, 2, "nothing runs after enough have passed");
        let (verified, judged) = verify(vec![problem_with("a", "Print 1.", &programs, &[("1", "1")])], 9, 1);
        let expected = vec!["print(1)".to_owned(), "echo".to_owned()];
        assert_eq!(verified[0].as_ref().map(|problem| problem.solutions.clone()), Ok(expected));
        assert_eq!(judged, 4, "the same program under another spelling runs once");
    }

    #[test]
    fn one_failed_test_is_enough_to_refuse() {
        let tests = [("1", "1"), ("2", "1")];
        let (verified, _) = verify(vec![problem_with("a", "Print 1.", &["echo", "loop"], &tests)], 1, 2);
        let expected =
            "0 of 2 programs passed 2 tests: 1 wrong-answer, 1 time-limit; the first: wrong-answer at test 2";
        assert_eq!(reason(&verified[0]), ("no-solution-passed", expected));
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        let mut functional = problem("a", "1");
        functional.entry_point = Some("solve".to_owned());
        let untested = problem_with("b", "s", &["print(1)"], &[]);
        let unsolved = problem_with("c", "s", &[], &[("", "1")]);
        let unsupported = problem_with("d", "s", &["import numpy"], &[("", "1")]);
        let (verified, judged) = verify(vec![functional, untested, unsolved, unsupported], 1, 1);
        let reasons: Vec<&str> = verified.iter().map(|verified| reason(verified).0).collect();
        assert_eq!(reasons, ["functional-tests-not-supported", "no-tests", "no-solution", "solution-unsupported"]);
        assert_eq!(judged, 1);
    }

    #[test]
    fn answers_do_not_depend_on_workers() {
        let problems: Vec<Problem> = (0..40)
            .map(|i| {
                problem_with(&format!("p{i}"), "s", &["loop", "echo", "print(3)"], &[(&format!("{}", i % 5), "3")])
            })
            .collect();
        assert_eq!(verify(problems.clone(), 2, 1), verify(problems, 2, 3));
    }
}
