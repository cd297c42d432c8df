//! Verifying: every program runs against its problem's tests, and only one that passes all of them is kept.
//!
//! A problem's programs run in the dataset's order until enough have passed. They run in rounds over a whole batch of
//! problems, so that every worker has something to do and the order of results depends on no worker. They are the
//! problem's reference solutions, so they may use more than others, and what the most frugal of them needs is kept: a
//! model's program is measured by it. Where a problem
//! is solved, the programs that failed, and those that the dataset calls incorrect, then run on the other tests, as
//! long as they fail cheaply: what accepts a wrong program is a weak test.
//! What was found of a problem is remembered by the hash of everything that decides it, so that nothing runs twice.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::PrepareError;
use super::deduplicate::normalized_code;
use super::fate::Skip;
use super::fingerprint::{Shingles, Words};
use super::verdict_ledger::VerdictLedger;
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{Problem, ProblemChecker};
use hilora_contract::plugin::{RunLimits, RunnerInfo};
use hilora_judge::{Checker, Judge, JudgeError, Judgement, StopAt, Submission, Verdict, reference_limits, run_limits};

/// What was found of one problem's programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// The programs that passed all tests, by their index among the problem's solutions.
    pub(super) passed: Vec<usize>,
    /// The fuel that the most frugal of them used on its costliest test.
    #[serde(default)]
    pub(super) reference_fuel: Option<u64>,
    /// Programs that ran, the incorrect ones too.
    pub(super) judged: u64,
    /// Solutions that did not run, because one that passed resembles them.
    pub(super) near_duplicates: usize,
    /// How many solutions failed with which verdict.
    pub(super) failed: BTreeMap<Verdict, usize>,
    /// How the first of them failed.
    pub(super) first_failure: Option<String>,
    /// Weak tests: by index, how many programs each accepted that other tests or the dataset refuse.
    pub(super) weak_tests: BTreeMap<usize, u64>,
    /// Programs that the dataset calls incorrect and that all tests accepted.
    pub(super) incorrect_accepted: u64,
    /// The plugin that decided on the outputs, where the problem names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checker: Option<(String, ContentHash)>,
}

/// A program that waits to run.
struct Waiting {
    /// Its index among the problem's solutions.
    solution: usize,
    code: String,
}

/// A program that is known to be wrong and may show which tests are weak.
struct Wrong {
    code: String,
    /// The first test that it has not met.
    from: usize,
    /// Whether the dataset, and no test, says that it is wrong.
    by_dataset: bool,
}

/// A problem whose programs are still being tried.
struct Candidate {
    row: u64,
    problem: Problem,
    checker: Checker,
    key: ContentHash,
    /// Solutions not tried yet, the next one last.
    untried: Vec<Waiting>,
    /// Programs that are wrong.
    wrong: Vec<Wrong>,
    passed: Vec<Shingles>,
    outcome: Outcome,
    /// Whether the outcome was known before.
    known: bool,
}

/// What decides how a problem is verified, beside the problem itself.
#[derive(Debug, Clone)]
pub(super) struct VerifyOptions {
    /// What the runner runs.
    pub(super) runner: RunnerInfo,
    /// How many solutions of a problem are kept.
    pub(super) solutions_max: usize,
    /// How many incorrect programs are run to find weak tests.
    pub(super) incorrect_max: usize,
    /// The hash of whatever judges: the program and the runner.
    pub(super) judged_by: ContentHash,
}

/// Verifies batch after batch.
pub(super) struct Verifier<'a> {
    judge: &'a Judge,
    options: VerifyOptions,
    ledger: VerdictLedger,
    /// Told after every program: programs judged, programs known so far.
    on_done: &'a (dyn Fn(u64, u64) + Sync),
    judged: AtomicU64,
    known: u64,
}

/// A row that needs no run: its index, its identifier and the reason why not.
type Refused = (u64, String, Skip);

/// What verifying makes of a row: a problem and what was found of it, or its identifier and the reason why not.
pub(super) type Verified = Result<(u64, Problem, Outcome), (u64, String, Skip, Outcome)>;

impl<'a> Verifier<'a> {
    pub(super) fn new(
        judge: &'a Judge,
        options: VerifyOptions,
        ledger: VerdictLedger,
        on_done: &'a (dyn Fn(u64, u64) + Sync),
    ) -> Self {
        Self { judge, options, ledger, on_done, judged: AtomicU64::new(0), known: 0 }
    }

    /// The ledger, to be closed.
    pub(super) fn into_ledger(self) -> VerdictLedger {
        self.ledger
    }

    /// One answer per problem, in the same order. Outcomes are durable when this returns.
    pub(super) fn verify(&mut self, problems: Vec<(u64, Problem)>) -> Result<Vec<Verified>, PrepareError> {
        let mut answers: Vec<Result<Candidate, Refused>> =
            problems.into_iter().map(|(row, problem)| self.candidate(row, problem)).collect::<Result<_, _>>()?;
        while self.round(&mut answers)? {}
        self.probe(&mut answers)?;
        // Where the judge itself failed, nothing is known: the next time it is asked again.
        let is_known = |outcome: &Outcome| !outcome.failed.contains_key(&Verdict::InternalError);
        let fresh = answers.iter().flatten().filter(|candidate| !candidate.known && is_known(&candidate.outcome));
        self.ledger.append(fresh.map(|candidate| (candidate.key, &candidate.outcome)))?;
        let settle = |answer: Result<Candidate, Refused>| match answer {
            Ok(candidate) => candidate.settle(),
            Err((row, id, skip)) => Err((row, id, skip, Outcome::default())),
        };
        Ok(answers.into_iter().map(settle).collect())
    }

    /// Refuses what needs no run.
    fn candidate(&mut self, row: u64, problem: Problem) -> Result<Result<Candidate, Refused>, PrepareError> {
        let refuse = |reason, detail: String| Ok(Err((row, problem.text.id.clone(), Skip::new(reason, detail))));
        let language = &self.options.runner.language;
        if let Some(entry_point) = problem.entry_point.as_ref().filter(|name| !self.options.runner.can_call(name)) {
            let detail = format!("the tests call `{entry_point}`, expected a function's name in {language}");
            return refuse("entry-point-not-callable", detail);
        }
        if problem.tests.is_empty() {
            return refuse("no-tests", "there is nothing to verify a program with".to_owned());
        }
        let checker = match self.judge.checker(&problem.text.id, &problem.checker) {
            Ok(checker) => checker,
            Err(JudgeError::UnknownChecker { checker, .. }) => {
                return refuse("no-checker", format!("there is no output checker `{checker}`"));
            }
            Err(error) => return Err(error.into()),
        };
        let mut seen = HashSet::new();
        let solutions = problem.solutions.iter().enumerate();
        let mut untried: Vec<Waiting> = solutions
            .filter(|(_, solution)| solution.language == *language && seen.insert(normalized_code(&solution.code)))
            .map(|(index, solution)| Waiting { solution: index, code: solution.code.clone() })
            .collect();
        if untried.is_empty() {
            return refuse("no-solution", format!("there is no program in {language}"));
        }
        let incorrect = problem.incorrect_solutions.iter().filter(|program| program.language == *language);
        let mut wrong: Vec<Wrong> = incorrect
            .take(self.options.incorrect_max)
            .map(|program| Wrong { code: program.code.clone(), from: 0, by_dataset: true })
            .collect();
        let key = key(&self.options, &problem, &checker, &untried, &wrong);
        let known = self.ledger.find(key);
        if known.is_some() {
            untried.clear();
            wrong.clear();
        }
        untried.reverse();
        let (known, mut outcome) = (known.is_some(), known.unwrap_or_default());
        outcome.checker = match (&problem.checker, &checker) {
            (ProblemChecker::Plugin { name, .. }, Checker::Plugin { checker, .. }) => {
                Some((name.clone(), checker.identity().content))
            }
            _ => None,
        };
        Ok(Ok(Candidate { row, problem, checker, key, untried, wrong, passed: Vec::new(), outcome, known }))
    }

    /// Tries the next programs of every unsettled problem; false where there are none.
    fn round(&mut self, answers: &mut [Result<Candidate, Refused>]) -> Result<bool, PrepareError> {
        let mut submissions = Vec::new();
        let mut owners = Vec::new();
        for (index, candidate) in answers.iter_mut().enumerate() {
            let Ok(candidate) = candidate else { continue };
            for waiting in candidate.next(self.options.solutions_max) {
                let program = format!("#{}", waiting.solution + 1);
                submissions.push(candidate.submission(
                    &program,
                    &waiting.code,
                    0,
                    reference_limits(candidate.limits()),
                ));
                owners.push((index, waiting));
            }
        }
        if submissions.is_empty() {
            return Ok(false);
        }
        self.known += submissions.len() as u64;
        let (known, judged, on_done) = (self.known, &self.judged, self.on_done);
        let count = |_: u64| on_done(judged.fetch_add(1, Ordering::Relaxed) + 1, known);
        let judgements = self.judge.judge_all(&submissions, StopAt::FirstFailure, &count)?;
        for ((owner, waiting), judgement) in owners.into_iter().zip(judgements) {
            if let Ok(candidate) = &mut answers[owner] {
                candidate.enter(waiting, &judgement);
            }
        }
        Ok(true)
    }
}

impl Verifier<'_> {
    /// Runs the wrong programs of the problems that are solved on the tests that they have not met. The tests of a
    /// problem that nothing solves are as likely wrong as weak.
    fn probe(&mut self, answers: &mut [Result<Candidate, Refused>]) -> Result<(), PrepareError> {
        let mut submissions = Vec::new();
        let mut owners = Vec::new();
        for (index, candidate) in answers.iter_mut().enumerate() {
            let Ok(candidate) = candidate else { continue };
            if candidate.outcome.passed.is_empty() {
                continue;
            }
            for wrong in std::mem::take(&mut candidate.wrong) {
                submissions.push(candidate.submission("wrong", &wrong.code, wrong.from, candidate.limits()));
                owners.push((index, wrong));
            }
        }
        let fresh = owners.iter().filter(|(_, wrong)| wrong.by_dataset).count() as u64;
        self.known += fresh;
        let judgements = self.judge.judge_all(&submissions, StopAt::FirstLimit, &|_| {})?;
        for ((owner, wrong), judgement) in owners.into_iter().zip(judgements) {
            if let Ok(candidate) = &mut answers[owner] {
                candidate.enter_wrong(&wrong, &judgement);
            }
        }
        if fresh > 0 {
            (self.on_done)(self.judged.fetch_add(fresh, Ordering::Relaxed) + fresh, self.known);
        }
        Ok(())
    }
}

/// The hash of everything that decides a problem's outcome.
fn key(
    options: &VerifyOptions,
    problem: &Problem,
    checker: &Checker,
    untried: &[Waiting],
    incorrect: &[Wrong],
) -> ContentHash {
    let decides = serde_json::to_vec(&(
        options.judged_by,
        options.solutions_max,
        &problem.entry_point,
        checker.fingerprint(),
        problem.time_limit_ms,
        problem.memory_limit_bytes,
        &*problem.tests,
        untried.iter().map(|waiting| (waiting.solution, &waiting.code)).collect::<Vec<_>>(),
        incorrect.iter().map(|wrong| &wrong.code).collect::<Vec<_>>(),
    ));
    ContentHash::of(&decides.expect("plain values always serialize"))
}

impl Candidate {
    /// The programs to run next: as many as are still wanted.
    fn next(&mut self, solutions_max: usize) -> Vec<Waiting> {
        let wanted = solutions_max.saturating_sub(self.outcome.passed.len());
        let mut next = Vec::new();
        while next.len() < wanted {
            let Some(waiting) = self.untried.pop() else { break };
            let shingles = Words::of_code(&waiting.code).shingles();
            if self.passed.iter().any(|passed| passed.near(&shingles)) {
                self.outcome.near_duplicates += 1;
            } else {
                next.push(waiting);
            }
        }
        next
    }

    /// A program on the problem's tests from the `from`th on.
    fn submission(&self, program: &str, code: &str, from: usize, limits: RunLimits) -> Submission {
        Submission {
            id: format!("{} {program}", self.problem.text.id),
            code: code.to_owned(),
            tests: self.problem.tests.clone(),
            first_test: from,
            entry_point: self.problem.entry_point.clone(),
            checker: self.checker.clone(),
            limits,
        }
    }

    fn limits(&self) -> RunLimits {
        run_limits(self.problem.time_limit_ms, self.problem.memory_limit_bytes)
    }

    /// Enters what was found of a solution.
    fn enter(&mut self, waiting: Waiting, judgement: &Judgement) {
        let outcome = &mut self.outcome;
        outcome.judged += 1;
        if judgement.is_accepted() {
            let shingles = Words::of_code(&waiting.code).shingles();
            // Two of one round may resemble each other: they ran at the same time.
            if self.passed.iter().any(|passed| passed.near(&shingles)) {
                outcome.near_duplicates += 1;
            } else {
                self.passed.push(shingles);
                outcome.passed.push(waiting.solution);
                let fuel = judgement.tests.iter().map(|test| test.fuel).max();
                outcome.reference_fuel = outcome.reference_fuel.into_iter().chain(fuel).min();
            }
            return;
        }
        *outcome.failed.entry(judgement.verdict).or_default() += 1;
        outcome.first_failure.get_or_insert_with(|| failure(judgement));
        self.count_weak(0, judgement);
        let from = judgement.tests.len();
        let cheap = matches!(judgement.verdict, Verdict::WrongAnswer | Verdict::RuntimeError);
        if cheap && from < self.problem.tests.len() {
            self.wrong.push(Wrong { code: waiting.code, from, by_dataset: false });
        }
    }

    /// Enters what was found of a wrong program.
    fn enter_wrong(&mut self, wrong: &Wrong, judgement: &Judgement) {
        if wrong.by_dataset {
            self.outcome.judged += 1;
            self.outcome.incorrect_accepted += u64::from(judgement.is_accepted());
        }
        self.count_weak(wrong.from, judgement);
    }

    /// Counts the tests that accepted a wrong program, the first of which has the index `from`.
    fn count_weak(&mut self, from: usize, judgement: &Judgement) {
        // A program that lacks a module, or that the judge failed on, says nothing of any test.
        if matches!(judgement.verdict, Verdict::Unsupported | Verdict::InternalError) {
            return;
        }
        for (test, report) in (from..).zip(&judgement.tests) {
            if report.verdict == Verdict::Accepted {
                *self.outcome.weak_tests.entry(test).or_default() += 1;
            }
        }
    }

    fn settle(self) -> Verified {
        let Self { row, problem, outcome, .. } = self;
        if !outcome.passed.is_empty() {
            return Ok((row, problem, outcome));
        }
        let failed = &outcome.failed;
        let verdicts: Vec<String> = failed.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        // A program that needs what the runner lacks is not known to be wrong.
        let unsupported = failed.keys().all(|verdict| *verdict == Verdict::Unsupported);
        let reason = if unsupported { "solution-unsupported" } else { "no-solution-passed" };
        let detail = format!(
            "0 of {} programs passed {} tests: {}; the first: {}",
            failed.values().sum::<usize>(),
            problem.tests.len(),
            verdicts.join(", "),
            outcome.first_failure.as_deref().unwrap_or_default()
        );
        Err((row, problem.text.id, Skip::new(reason, detail), outcome))
    }
}

/// Which test stopped a program and how.
fn failure(judgement: &Judgement) -> String {
    let failed = judgement.tests.iter().enumerate().find(|(_, test)| test.verdict != Verdict::Accepted);
    let (index, detail) = failed.map_or((0, ""), |(index, test)| (index, test.detail.as_str()));
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    format!("{} at test {}{detail}", judgement.verdict, index + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fakes::{FakeRunner, problem, problem_with};
    use super::*;
    use hilora_contract::plugin::SolutionRunner;

    fn verify(problems: Vec<Problem>, solutions_max: usize, workers: usize) -> (Vec<Verified>, u64) {
        let judge = Judge::new(Arc::new(FakeRunner), workers);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let ledger = VerdictLedger::open(folder.path()).expect("it is empty");
        let mut verifier = Verifier::new(&judge, options(solutions_max), ledger, &|_, _| {});
        let rows = (0..).zip(problems).collect();
        let verified = verifier.verify(rows).unwrap_or_else(|error| panic!("{error}"));
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
        unchecked.checker = ProblemChecker::named("absent").expect("it is a plugin's name");
        let (verified, judged) = verify(vec![functional, untested, unsolved, unsupported, foreign, unchecked], 1, 1);
        let reasons: Vec<&str> = verified.iter().map(|verified| reason(verified).0).collect();
        assert_eq!(
            reasons,
            [
                "entry-point-not-callable",
                "no-tests",
                "no-solution",
                "solution-unsupported",
                "no-solution",
                "no-checker"
            ]
        );
        assert_eq!(judged, 1);
    }

    #[test]
    fn a_problem_is_verified_with_the_checker_that_it_names() {
        let mut exact = problem_with("a", "Print 1.", &["print(1.0000001)"], &[("", "1")]);
        let mut near = exact.clone();
        exact.checker = ProblemChecker::named("tokens").expect("it is built in");
        near.checker = ProblemChecker::named("float").expect("it is built in");
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
            let ledger = VerdictLedger::open(folder.path())?;
            let mut verifier = Verifier::new(&judge, options(solutions_max), ledger, &count);
            answers.push(verifier.verify(problems())?);
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
            let mut verifier = Verifier::new(&judge, options(1), VerdictLedger::open(folder.path())?, &count);
            let problem = problem_with("a", "s", &["crash"], &[("", "1")]);
            let verified = verifier.verify(vec![(0, problem)])?;
            let expected = "0 of 1 programs passed 1 tests: 1 internal-error; the first: internal-error at test 1 \
                 (the engine's process died: gone)";
            assert_eq!(reason(&verified[0]), ("no-solution-passed", expected));
            assert_eq!(outcome(&verified[0]).weak_tests, BTreeMap::new());
        }
        assert_eq!(runs.into_inner(), 2, "it is asked again");
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
