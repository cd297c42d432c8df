//! A candidate: a problem whose programs are being tried, and what has been found of them so far.

use std::collections::HashSet;

use super::error::PrepareError;
use super::fate::Skip;
use super::fingerprint::{Shingles, Words};
use super::normal_form::normalized_code;
use super::outcome::Outcome;
use super::verdict_record::VerdictRecord;
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{Problem, ProblemChecker};
use hilora_contract::fault::Blame;
use hilora_contract::plugin::{RunLimits, RunnerInfo};
use hilora_judge::{BrokenTest, Checker, Judge, JudgeError, Judgement, Submission, Verdict, run_limits, tested_code};

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

/// A program that waits to run.
pub(super) struct Waiting {
    /// Its index among the problem's solutions.
    pub(super) solution: usize,
    pub(super) code: String,
}

/// A program that is known to be wrong and may show which tests are weak.
pub(super) struct Wrong {
    pub(super) code: String,
    /// The first test that it has not met.
    pub(super) from: usize,
    /// Whether the dataset, and no test, says that it is wrong.
    pub(super) by_dataset: bool,
}

/// A problem whose programs are still being tried.
pub(super) struct Candidate {
    row: u64,
    problem: Problem,
    checker: Checker,
    /// The hash of everything that decides its outcome.
    pub(super) key: ContentHash,
    /// Solutions not tried yet, the next one last.
    untried: Vec<Waiting>,
    /// Programs that are wrong.
    pub(super) wrong: Vec<Wrong>,
    passed: Vec<Shingles>,
    pub(super) outcome: Outcome,
    /// Whether the outcome was known before.
    pub(super) known: bool,
    /// Why nothing is known of one of its programs: who failed, the machine or a checker, and how.
    pub(super) undecided: Option<(Blame, String)>,
}

/// What verifying makes of a row: a problem and what was found of it, or its identifier and the reason why not.
pub(super) type Verified = Result<(u64, Problem, Outcome), (u64, String, Skip, Outcome)>;

/// The reason of a problem with a test that no program can pass.
pub(super) const BROKEN_TEST: &str = "broken-test";

/// A problem that needs no run: its row, its identifier and the reason.
pub(super) type Refused = (u64, String, Skip);

impl Candidate {
    /// A problem with what is known of it; what needs no run is refused.
    pub(super) fn new(
        row: u64,
        problem: Problem,
        judge: &Judge,
        options: &VerifyOptions,
        record: &mut VerdictRecord,
    ) -> Result<Result<Self, Refused>, PrepareError> {
        let refuse = |reason, detail: String| Ok(Err((row, problem.text.id.clone(), Skip::new(reason, detail))));
        let language = &options.runner.language;
        if let Some(entry_point) = problem.entry_point.as_ref().filter(|name| !options.runner.can_call(name)) {
            let detail = format!("the tests call `{entry_point}`, expected a function's name in {language}");
            return refuse("entry-point-not-callable", detail);
        }
        if problem.tests.is_empty() {
            return refuse("no-tests", "there is nothing to verify a program with".to_owned());
        }
        if let Some(broken) = BrokenTest::among(problem.entry_point.as_deref(), &problem.tests) {
            return refuse(BROKEN_TEST, broken.to_string());
        }
        let checker =
            match judge.checker(&problem.text.id, problem.checker.as_ref().unwrap_or(&ProblemChecker::default())) {
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
            .take(options.incorrect_max)
            .map(|program| Wrong { code: program.code.clone(), from: 0, by_dataset: true })
            .collect();
        let key = key(options, &problem, &checker, &untried, &wrong);
        let known = record.find(key);
        if known.is_some() {
            untried.clear();
            wrong.clear();
        }
        untried.reverse();
        let (known, mut outcome) = (known.is_some(), known.unwrap_or_default());
        outcome.checker = match (&problem.checker, &checker) {
            (Some(ProblemChecker::Plugin { name, .. }), Checker::Plugin { checker, .. }) => {
                Some((name.clone(), checker.identity().content))
            }
            _ => None,
        };
        Ok(Ok(Self { row, problem, checker, key, untried, wrong, passed: Vec::new(), outcome, known, undecided: None }))
    }

    /// The programs to run next, as many as are still wanted.
    pub(super) fn next(&mut self, solutions_max: usize) -> Vec<Waiting> {
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
    pub(super) fn submission(&self, program: &str, code: &str, from: usize, limits: RunLimits) -> Submission {
        Submission {
            id: format!("{} {program}", self.problem.text.id),
            code: tested_code(code, self.problem.test_code.as_deref()),
            tests: self.problem.tests.clone(),
            first_test: from,
            entry_point: self.problem.entry_point.clone(),
            checker: self.checker.clone(),
            limits,
        }
    }

    pub(super) fn limits(&self) -> RunLimits {
        run_limits(self.problem.time_limit_ms, self.problem.memory_limit_bytes)
    }

    /// Enters what was found of a solution.
    pub(super) fn enter(&mut self, waiting: Waiting, judgement: &Judgement) {
        if !self.decides(judgement) {
            return;
        }
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

    /// Whether a judgement says something of its program. Without it nothing is said of the problem: another solution
    /// might take the place of this one, which is right.
    fn decides(&mut self, judgement: &Judgement) -> bool {
        let Some((failed, how)) = judgement.undecided() else { return true };
        self.undecided.get_or_insert_with(|| (failed, how.to_owned()));
        self.untried.clear();
        self.wrong.clear();
        false
    }

    /// Enters what was found of a wrong program.
    pub(super) fn enter_wrong(&mut self, wrong: &Wrong, judgement: &Judgement) {
        if !self.decides(judgement) {
            return;
        }
        if wrong.by_dataset {
            self.outcome.judged += 1;
            self.outcome.incorrect_accepted += u64::from(judgement.is_accepted());
        }
        self.count_weak(wrong.from, judgement);
    }

    /// Counts the tests that accepted a wrong program, the first of which has the index `from`.
    fn count_weak(&mut self, from: usize, judgement: &Judgement) {
        // A program that lacks a module says nothing of any test.
        if judgement.verdict == Verdict::Unsupported {
            return;
        }
        for (test, report) in (from..).zip(&judgement.tests) {
            if report.verdict == Verdict::Accepted {
                *self.outcome.weak_tests.entry(test).or_default() += 1;
            }
        }
    }

    pub(super) fn settle(self) -> Verified {
        let Self { row, problem, outcome, undecided, .. } = self;
        if let Some((failed, why)) = undecided {
            return Err((row, problem.text.id, Skip::not_judged(failed, why), Outcome::default()));
        }
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
        (&problem.entry_point, &problem.test_code),
        checker.fingerprint(),
        problem.time_limit_ms,
        problem.memory_limit_bytes,
        &problem.tests[..],
        untried.iter().map(|waiting| (waiting.solution, &waiting.code)).collect::<Vec<_>>(),
        incorrect.iter().map(|wrong| &wrong.code).collect::<Vec<_>>(),
    ));
    ContentHash::of(&decides.expect("plain values always serialize"))
}
