//! Verifying: every program runs against its problem's tests, and only one that passes all of them is kept.
//!
//! A problem's programs run in the dataset's order until enough have passed. They run in rounds over a whole batch of
//! problems, so that every worker has something to do and the order of results depends on no worker. They are the
//! problem's reference solutions, so they may use more than others, and what the most frugal of them needs is kept: a
//! model's program is measured by it.
//!
//! If a problem is solved, the programs that failed, and those that the dataset calls incorrect, then run on the other
//! tests as long as they fail cheaply: a test that accepts a wrong program is weak.
//!
//! What was found of a problem is remembered by the hash of everything that decides it, so that nothing runs twice.

use std::sync::atomic::{AtomicU64, Ordering};

use super::candidate::{Candidate, Refused, Verified, VerifyOptions};
use super::error::PrepareError;
use super::outcome::Outcome;
use super::verdict_record::VerdictRecord;
use hilora_contract::dataset::Problem;
use hilora_judge::{Judge, StopAt, reference_limits};

/// Verifies batch after batch.
pub(super) struct Verifier<'a> {
    judge: &'a Judge,
    options: VerifyOptions,
    record: VerdictRecord,
    /// Whether to stop.
    stop: &'a (dyn Fn() -> bool + Sync),
    /// Told after every program: programs judged, programs known so far.
    on_done: &'a (dyn Fn(u64, u64) + Sync),
    judged: AtomicU64,
    known: u64,
}

impl<'a> Verifier<'a> {
    pub(super) fn new(
        judge: &'a Judge,
        options: VerifyOptions,
        record: VerdictRecord,
        stop: &'a (dyn Fn() -> bool + Sync),
        on_done: &'a (dyn Fn(u64, u64) + Sync),
    ) -> Self {
        Self { judge, options, record, stop, on_done, judged: AtomicU64::new(0), known: 0 }
    }

    /// The record, to be closed.
    pub(super) fn into_record(self) -> VerdictRecord {
        self.record
    }

    /// One answer per problem, in the same order; `None` once it was asked to stop. Outcomes are durable when this
    /// returns.
    pub(super) fn verify(&mut self, problems: Vec<(u64, Problem)>) -> Result<Option<Vec<Verified>>, PrepareError> {
        let Self { judge, options, record, .. } = self;
        let candidate = |(row, problem)| Candidate::new(row, problem, judge, options, record);
        let mut answers: Vec<Result<Candidate, Refused>> =
            problems.into_iter().map(candidate).collect::<Result<_, _>>()?;
        loop {
            match self.round(&mut answers)? {
                Round::Ran => {}
                Round::NothingLeft => break,
                Round::Stopped => return Ok(None),
            }
        }
        if let Round::Stopped = self.probe(&mut answers)? {
            return Ok(None);
        }
        // What the machine kept from being judged is asked again the next time.
        let fresh = answers.iter().flatten().filter(|candidate| !candidate.known && candidate.undecided.is_none());
        self.record.append(fresh.map(|candidate| (candidate.key, &candidate.outcome)))?;
        let settle = |answer: Result<Candidate, Refused>| match answer {
            Ok(candidate) => candidate.settle(),
            Err((row, id, skip)) => Err((row, id, skip, Outcome::default())),
        };
        Ok(Some(answers.into_iter().map(settle).collect()))
    }

    /// Tries the next programs of every unsettled problem.
    fn round(&mut self, answers: &mut [Result<Candidate, Refused>]) -> Result<Round, PrepareError> {
        let mut submissions = Vec::new();
        let mut owners = Vec::new();
        for (index, candidate) in answers.iter_mut().enumerate() {
            let Ok(candidate) = candidate else { continue };
            let limits = reference_limits(candidate.limits());
            for waiting in candidate.next(self.options.solutions_max) {
                let program = format!("#{}", waiting.solution + 1);
                submissions.push(candidate.submission(&program, &waiting.code, 0, limits));
                owners.push((index, waiting));
            }
        }
        if submissions.is_empty() {
            return Ok(Round::NothingLeft);
        }
        if (self.stop)() {
            return Ok(Round::Stopped);
        }
        self.known += submissions.len() as u64;
        let (known, judged, on_done) = (self.known, &self.judged, self.on_done);
        let count = |_: usize, _: &_| on_done(judged.fetch_add(1, Ordering::Relaxed) + 1, known);
        let judgements = self.judge.judge_until(&submissions, StopAt::FirstFailure, &self.stop, &count)?;
        for ((owner, waiting), judgement) in owners.into_iter().zip(judgements) {
            let Some(judgement) = judgement else { return Ok(Round::Stopped) };
            if let Ok(candidate) = &mut answers[owner] {
                candidate.enter(waiting, &judgement);
            }
        }
        Ok(Round::Ran)
    }

    /// Runs the wrong programs of the problems that are solved on the tests that they have not met. The tests of a
    /// problem that nothing solves are as likely wrong as weak.
    fn probe(&mut self, answers: &mut [Result<Candidate, Refused>]) -> Result<Round, PrepareError> {
        let mut submissions = Vec::new();
        let mut owners = Vec::new();
        for (index, candidate) in answers.iter_mut().enumerate() {
            let Ok(candidate) = candidate else { continue };
            if candidate.outcome.passed.is_empty() || candidate.undecided.is_some() {
                continue;
            }
            for wrong in std::mem::take(&mut candidate.wrong) {
                submissions.push(candidate.submission("wrong", &wrong.code, wrong.from, candidate.limits()));
                owners.push((index, wrong));
            }
        }
        let fresh = owners.iter().filter(|(_, wrong)| wrong.by_dataset).count() as u64;
        self.known += fresh;
        let judgements = self.judge.judge_until(&submissions, StopAt::FirstLimit, &self.stop, &|_, _| {})?;
        for ((owner, wrong), judgement) in owners.into_iter().zip(judgements) {
            let Some(judgement) = judgement else { return Ok(Round::Stopped) };
            if let Ok(candidate) = &mut answers[owner] {
                candidate.enter_wrong(&wrong, &judgement);
            }
        }
        if fresh > 0 {
            (self.on_done)(self.judged.fetch_add(fresh, Ordering::Relaxed) + fresh, self.known);
        }
        Ok(Round::NothingLeft)
    }
}

/// How a round over a batch ended.
enum Round {
    /// Programs ran; others may be left.
    Ran,
    /// There is nothing more to run.
    NothingLeft,
    /// It was asked to stop.
    Stopped,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::fakes::{FakeRunner, problem, problem_with};
    use super::*;
    use hilora_contract::artifact::ContentHash;
    use hilora_contract::dataset::ProblemChecker;
    use hilora_contract::plugin::SolutionRunner;

    fn verify(problems: Vec<Problem>, solutions_max: usize, workers: usize) -> (Vec<Verified>, u64) {
        let judge = Judge::new(Arc::new(FakeRunner), workers);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let record = VerdictRecord::open(folder.path()).expect("it is empty");
        let mut verifier = Verifier::new(&judge, options(solutions_max), record, &|| false, &|_, _| {});
        let rows = (0..).zip(problems).collect();
        let verified = verifier.verify(rows).unwrap_or_else(|error| panic!("{error}")).expect("nobody stops it");
        let judged = verified.iter().map(|verified| outcome(verified).judged).sum();
        (verified, judged)
    }

    fn options(solutions_max: usize) -> VerifyOptions {
        let judged_by = ContentHash::of(b"fake");
        let runner = FakeRunner.describe().expect("the fake says what it is");
        VerifyOptions { runner, solutions_max, incorrect_max: 2, judged_by }
    }

    fn outcome(verified: &Verified) -> &Outcome {
        match verified {
            Ok((_, _, outcome)) | Err((_, _, _, outcome)) => outcome,
        }
    }

    fn passed(verified: &Verified) -> &[usize] {
        &outcome(verified).passed
    }

    fn reason(verified: &Verified) -> (&'static str, &str) {
        let (_, _, skip, _) = verified.as_ref().expect_err("it must be skipped");
        (skip.reason, &skip.detail)
    }

    #[test]
    fn keeps_the_first_programs_that_pass_everything() {
        let programs = ["print(2)", "print(1)", "print(1) ", "echo", "print(1)\nprint(1)"];
        let (verified, judged) = verify(vec![problem_with("a", "Print 1.", &programs, &[("1", "1")])], 1, 1);
        assert_eq!(passed(&verified[0]), [1]);
        assert_eq!(judged, 2, "nothing runs after enough have passed");
        let (verified, judged) = verify(vec![problem_with("a", "Print 1.", &programs, &[("1", "1")])], 9, 1);
        assert_eq!(passed(&verified[0]), [1, 3]);
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
        functional.entry_point = Some("solve()".to_owned());
        let untested = problem_with("b", "s", &["print(1)"], &[]);
        let unsolved = problem_with("c", "s", &[], &[("", "1")]);
        let unsupported = problem_with("d", "s", &["import numpy"], &[("", "1")]);
        let mut foreign = problem("e", "1");
        foreign.solutions[0].language = "cobol".parse().expect("it is a language's name");
        let mut unchecked = problem("f", "1");
        unchecked.checker = Some(ProblemChecker::named("absent").expect("it is a plugin's name"));
        let mut broken = problem_with("g", "s", &["print(1)"], &[("x y", "1")]);
        broken.entry_point = Some("solve".to_owned());
        let (verified, judged) =
            verify(vec![functional, untested, unsolved, unsupported, foreign, unchecked, broken], 1, 1);
        let reasons: Vec<&str> = verified.iter().map(|verified| reason(verified).0).collect();
        assert_eq!(
            reasons,
            [
                "entry-point-not-callable",
                "no-tests",
                "no-solution",
                "solution-unsupported",
                "no-solution",
                "no-checker",
                "broken-test"
            ]
        );
        assert_eq!(judged, 1);
    }

    #[test]
    fn a_problem_is_verified_with_the_checker_that_it_names() {
        let mut exact = problem_with("a", "Print 1.", &["print(1.0000001)"], &[("", "1")]);
        let mut near = exact.clone();
        exact.checker = Some(ProblemChecker::named("tokens").expect("it is built in"));
        near.checker = Some(ProblemChecker::named("float").expect("it is built in"));
        let (verified, judged) = verify(vec![exact, near], 1, 1);
        assert_eq!((passed(&verified[0]).len(), passed(&verified[1]).len()), (0, 1));
        assert_eq!(judged, 2, "another checker is another question");
    }

    #[test]
    fn a_test_that_accepts_a_wrong_program_is_weak() {
        let tests = [("1", "1"), ("2", "1"), ("1", "1")];
        let mut weak = problem_with("a", "Print 1.", &["echo", "print(1)"], &tests);
        weak.incorrect_solutions = problem_with("a", "", &["print(1)", "loop"], &[]).solutions;
        let (verified, judged) = verify(vec![weak], 1, 2);
        let outcome = outcome(&verified[0]);
        // `echo` passes tests 1 and 3; the incorrect `print(1)` passes all three; `loop` stops at the first.
        assert_eq!(outcome.weak_tests, BTreeMap::from([(0, 2), (1, 1), (2, 2)]));
        assert_eq!((outcome.incorrect_accepted, judged), (1, 4));
    }

    #[test]
    fn nothing_that_is_known_runs_again() -> Result<(), PrepareError> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let judge = Judge::new(Arc::new(FakeRunner), 1);
        let runs = AtomicU64::new(0);
        let count = |_, _| _ = runs.fetch_add(1, Ordering::Relaxed);
        let problems = || (0..).zip([problem("a", "1"), problem_with("b", "s", &["echo"], &[("1", "2")])]).collect();
        let mut answers = Vec::new();
        for solutions_max in [1, 1, 2] {
            let record = VerdictRecord::open(folder.path())?;
            let mut verifier = Verifier::new(&judge, options(solutions_max), record, &|| false, &count);
            answers.push(verifier.verify(problems())?.expect("nobody stops it"));
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(runs.into_inner(), 4, "another limit of solutions is another question");
        Ok(())
    }

    #[test]
    fn the_most_frugal_program_that_passes_measures_the_problem() {
        let programs = ["print(1)\nprint", "loop", "echo", "print(1)"];
        let tests = [("1", "1"), ("1    ", "1"), ("1", "1")];
        let (verified, _) = verify(vec![problem_with("a", "Print 1.", &programs, &tests)], 9, 2);
        assert_eq!(passed(&verified[0]), [0, 2, 3]);
        // The costliest test of `echo`; `loop` was stopped after less.
        assert_eq!(outcome(&verified[0]).reference_fuel, Some(4 + 5));
        let (verified, _) = verify(vec![problem_with("a", "Print 1.", &programs, &tests)], 1, 2);
        assert_eq!(outcome(&verified[0]).reference_fuel, Some(14 + 5), "of the programs that are kept");
        let (verified, _) = verify(vec![problem_with("a", "Print 1.", &["loop"], &tests)], 1, 2);
        assert_eq!(outcome(&verified[0]).reference_fuel, None);
    }

    #[test]
    fn what_the_judge_failed_on_is_not_known() -> Result<(), PrepareError> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let judge = Judge::new(Arc::new(FakeRunner), 1);
        let runs = AtomicU64::new(0);
        let count = |_, _| _ = runs.fetch_add(1, Ordering::Relaxed);
        for _ in 0..2 {
            let record = VerdictRecord::open(folder.path())?;
            let mut verifier = Verifier::new(&judge, options(1), record, &|| false, &count);
            // What comes after it is right, but it might have been right itself.
            let problem = problem_with("a", "s", &["echo", "crash", "print(1)"], &[("", "1")]);
            let verified = verifier.verify(vec![(0, problem)])?.expect("nobody stops it");
            assert_eq!(reason(&verified[0]), ("not-judged", "gone"));
            assert_eq!(outcome(&verified[0]).weak_tests, BTreeMap::new());
        }
        assert_eq!(runs.into_inner(), 4, "it is asked again");
        Ok(())
    }

    #[test]
    fn a_stop_leaves_what_was_found_before() -> Result<(), PrepareError> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let judge = Judge::new(Arc::new(FakeRunner), 1);
        let stopped = AtomicU64::new(0);
        let stop = || stopped.load(Ordering::Relaxed) == 1;
        let runs = AtomicU64::new(0);
        let count = |_, _| _ = runs.fetch_add(1, Ordering::Relaxed);
        let mut verifier = Verifier::new(&judge, options(1), VerdictRecord::open(folder.path())?, &stop, &count);
        assert!(verifier.verify(vec![(0, problem("a", "1"))])?.is_some());
        stopped.store(1, Ordering::Relaxed);
        assert!(verifier.verify(vec![(1, problem("b", "2"))])?.is_none());
        stopped.store(0, Ordering::Relaxed);
        runs.store(0, Ordering::Relaxed);
        let mut verifier = Verifier::new(&judge, options(1), VerdictRecord::open(folder.path())?, &stop, &count);
        assert!(verifier.verify(vec![(0, problem("a", "1")), (1, problem("b", "2"))])?.is_some());
        assert_eq!(runs.into_inner(), 1, "only the one that was not finished");
        Ok(())
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
