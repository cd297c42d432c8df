//! The judge: runs submissions on their tests over a number of threads and gives the judgements in input order.

use std::panic;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use super::broken_test::BrokenTest;
use super::checker::Checker;
use super::mismatch::Mismatch;
use super::submission::Submission;
use super::verdict::Verdict;
use hilora_contract::dataset::{Language, ProblemChecker, TestCase};
use hilora_contract::fault::{Blame, Fault};
use hilora_contract::plugin::{
    Decision, OutputCheckers, PluginError, RunReport, RunnerInfo, SolutionRunner, Termination,
};

/// The most characters of a program's own words that a report repeats.
const DETAIL_CHARACTERS_MAX: usize = 300;
/// How often a stop request is asked for while programs run.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// What happened on one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestReport {
    /// The verdict on this test.
    pub verdict: Verdict,
    /// The exception, exit code, module, limit or a checker's reason, for a person. Empty where the verdict says all.
    pub detail: String,
    /// Who failed, if nothing is known of the program: the machine or a checker.
    pub failed: Option<Blame>,
    /// The program's exit code; `None` where it did not come to its end.
    pub exit_code: Option<u8>,
    /// The type of the exception that nobody caught.
    pub exception: Option<String>,
    /// Instructions used, in fuel units: the same in every run of the same program on the same input.
    pub fuel: u64,
    /// The most linear memory there was, in bytes.
    pub memory_bytes: u64,
    /// Thread CPU time, in microseconds. A measurement: it differs from run to run.
    pub cpu_time_us: u64,
    /// Wall-clock time, in microseconds. A measurement, too.
    pub wall_time_us: u64,
    /// What it wrote to standard output, in bytes, up to the limit.
    pub stdout_bytes: u64,
    /// What was expected and what came, on the first few tests with a wrong answer.
    pub mismatch: Option<Mismatch>,
}

/// What is said of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The submission's.
    pub id: String,
    /// `Accepted` where every test is; else the first test's verdict that is not.
    pub verdict: Verdict,
    /// The tests that ran, in order.
    pub tests: Vec<TestReport>,
}

impl Judgement {
    /// Whether the program solves the problem, as far as the tests tell.
    pub fn is_accepted(&self) -> bool {
        self.verdict == Verdict::Accepted
    }

    /// Whether it is a fact about the program. It is none if a run was ended by the machine or a checker failed: asked
    /// again, the program may get a verdict.
    pub fn is_settled(&self) -> bool {
        self.verdict != Verdict::InternalError && self.undecided().is_none()
    }

    /// The first test that was not decided: who failed, and how, for a person.
    pub fn undecided(&self) -> Option<(Blame, &str)> {
        self.tests.iter().find_map(|test| Some((test.failed?, test.detail.as_str())))
    }
}

/// On how many tests of a program it is kept what was expected and what came: the first that it answers wrongly.
pub const MISMATCHES_MAX: usize = 3;

/// The most programs of a batch, a preparation or a measurement that the machine or a checker may keep from being judged:
/// with more, what was counted over the others would say little, and it ends with an error.
pub const UNDECIDED_MAX: usize = 5;

/// When a submission that has failed is not run on further tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopAt {
    /// At the first test that it does not pass: enough to know that it is wrong.
    FirstFailure,
    /// At the first limit or lacking module: every test that costs no more than the program itself is run, so that one
    /// sees which tests let it pass.
    FirstLimit,
    /// Never.
    End,
}

impl StopAt {
    fn stops(self, verdict: Verdict) -> bool {
        match self {
            Self::FirstFailure => verdict != Verdict::Accepted,
            Self::FirstLimit => !matches!(verdict, Verdict::Accepted | Verdict::WrongAnswer | Verdict::RuntimeError),
            Self::End => false,
        }
    }
}

/// Why nothing could be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The runner cannot call a function of this name.
    #[error("cannot judge `{submission}`: the runner cannot call `{entry_point}` in {language}")]
    EntryPoint {
        /// The submission's id.
        submission: String,
        /// The function that the tests call.
        entry_point: String,
        /// The runner's language.
        language: Language,
    },
    /// No plugin has the name of the checker.
    #[error("cannot judge `{submission}`: there is no output checker `{checker}`")]
    UnknownChecker {
        /// The submission's id.
        submission: String,
        /// The checker that its problem names.
        checker: ProblemChecker,
    },
    /// The runner does not say what it runs, or a checker cannot be opened.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The runner failed before or beside the program.
    #[error("cannot judge `{submission}`, test {test}: {error}")]
    Runner {
        /// The submission's id.
        submission: String,
        /// The test's index, from 0.
        test: usize,
        /// What went wrong.
        #[source]
        error: PluginError,
    },
}

impl Fault for JudgeError {
    fn blame(&self) -> Blame {
        match self {
            Self::EntryPoint { .. } | Self::UnknownChecker { .. } => Blame::User,
            Self::Plugin(error) | Self::Runner { error, .. } => error.blame(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::EntryPoint { .. } => Vec::new(),
            Self::UnknownChecker { .. } => {
                vec![
                    "expected `lines`, `tokens`, `float`, `decimals`, `answer`, or the name of an output checker under plugins/"
                        .to_owned(),
                ]
            }
            Self::Plugin(error) | Self::Runner { error, .. } => error.hints(),
        }
    }
}

/// Judges submissions with one runner.
pub struct Judge {
    runner: Arc<dyn SolutionRunner>,
    workers: usize,
    checkers: Arc<dyn OutputCheckers>,
    tells_expected: bool,
    info: OnceLock<RunnerInfo>,
}

impl Judge {
    /// A judge that runs at most `workers` programs at once; at least one. It knows the built-in checkers.
    pub fn new(runner: Arc<dyn SolutionRunner>, workers: usize) -> Self {
        let none = |_: &str| Ok(None);
        let checkers = Arc::new(none);
        Self { runner, workers: workers.max(1), checkers, tells_expected: true, info: OnceLock::new() }
    }

    /// The same judge with output checkers that problems can name.
    pub fn with_checkers(self, checkers: Arc<dyn OutputCheckers>) -> Self {
        Self { checkers, ..self }
    }

    /// The same judge, which keeps of a wrong answer what was expected and what came, or nothing of both.
    pub fn telling_expected(self, tells_expected: bool) -> Self {
        Self { tells_expected, ..self }
    }

    /// Whether it keeps of a wrong answer what was expected and what came.
    pub fn tells_expected(&self) -> bool {
        self.tells_expected
    }

    /// The runner.
    pub fn runner(&self) -> &dyn SolutionRunner {
        &*self.runner
    }

    /// What the runner says of itself; it is asked once.
    pub fn runner_info(&self) -> Result<&RunnerInfo, PluginError> {
        match self.info.get() {
            Some(info) => Ok(info),
            None => self.runner.describe().map(|info| self.info.get_or_init(|| info)),
        }
    }

    /// The checker that the problem of this submission names.
    pub fn checker(&self, submission: &str, checker: &ProblemChecker) -> Result<Checker, JudgeError> {
        Checker::of(checker, &*self.checkers)?.ok_or_else(|| {
            let (submission, checker) = (submission.to_owned(), checker.clone());
            JudgeError::UnknownChecker { submission, checker }
        })
    }

    /// When the submission's output is a right answer.
    fn comparison(&self, submission: &Submission) -> Result<Checker, JudgeError> {
        let Some(entry_point) = &submission.entry_point else { return Ok(submission.checker.clone()) };
        let info = self.runner_info()?;
        if info.can_call(entry_point) {
            return Ok(Checker::JsonValue);
        }
        let (submission, entry_point) = (submission.id.clone(), entry_point.clone());
        Err(JudgeError::EntryPoint { submission, entry_point, language: info.language.clone() })
    }

    /// Judges one submission on the calling thread.
    pub fn judge(&self, submission: &Submission, stop_at: StopAt) -> Result<Judgement, JudgeError> {
        let checker = self.comparison(submission)?;
        let entry_point = submission.entry_point.as_deref();
        let mut tests = Vec::with_capacity(submission.tests_to_run().len());
        let mut mismatches_left = if self.tells_expected { MISMATCHES_MAX } else { 0 };
        for (index, test) in submission.tests.iter().enumerate().skip(submission.first_test) {
            let run = self
                .runner
                .run(&submission.code, entry_point, test.input.as_bytes(), &submission.limits)
                .map_err(|error| JudgeError::Runner { submission: submission.id.clone(), test: index, error })?;
            let mut report = test_report(&run, test, &checker);
            // Asked of failures alone, because it takes as long as comparing. What no program can pass is no program's fault.
            if report.verdict != Verdict::Accepted
                && entry_point.is_some()
                && let Some(broken) = BrokenTest::of(index, test)
            {
                report.verdict = Verdict::InternalError;
                report.failed = Some(Blame::User);
                report.detail = broken.to_string();
            }
            if !self.tells_expected
                && matches!(checker, Checker::Plugin { .. })
                && report.verdict == Verdict::WrongAnswer
            {
                // What a plugin says may repeat what was expected.
                report.detail.clear();
            }
            if report.verdict == Verdict::WrongAnswer && mismatches_left > 0 {
                mismatches_left -= 1;
                report.mismatch = Some(checker.mismatch(test.output.as_bytes(), &run.stdout));
            }
            let verdict = report.verdict;
            tests.push(report);
            if stop_at.stops(verdict) {
                break;
            }
        }
        let verdict = match tests.iter().map(|test| test.verdict).find(|verdict| *verdict != Verdict::Accepted) {
            Some(failure) => failure,
            None if tests.is_empty() => Verdict::InternalError,
            None => Verdict::Accepted,
        };
        Ok(Judgement { id: submission.id.clone(), verdict, tests })
    }

    /// Judges all of them, in input order however many threads there are. `on_done` is told how many are done.
    ///
    /// The first error in input order ends everything: it is not the submissions' fault.
    pub fn judge_all(
        &self,
        submissions: &[Submission],
        stop_at: StopAt,
        on_done: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Judgement>, JudgeError> {
        let done = AtomicU64::new(0);
        let on_judged = |_: usize, _: &Judgement| on_done(done.fetch_add(1, Ordering::Relaxed) + 1);
        let judged = self.judge_until(submissions, stop_at, &|| false, &on_judged)?;
        Ok(judged.into_iter().flatten().collect())
    }

    /// Judges them until `is_stopped` says so, which the calling thread asks it many times a second. Then nothing more is
    /// begun, the runner ends what is under way, and what was not judged to its end is `None`. `on_judged` is told of each
    /// judgement with its index as soon as it is made, by the thread that made it.
    pub fn judge_until(
        &self,
        submissions: &[Submission],
        stop_at: StopAt,
        is_stopped: &dyn Fn() -> bool,
        on_judged: &(dyn Fn(usize, &Judgement) + Sync),
    ) -> Result<Vec<Option<Judgement>>, JudgeError> {
        // A few short programs would be done before the first time that it is asked.
        if is_stopped() {
            return Ok(submissions.iter().map(|_| None).collect());
        }
        let slots: Vec<Mutex<Option<Result<Judgement, JudgeError>>>> =
            submissions.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let ended = AtomicBool::new(false);
        let workers = self.workers.min(submissions.len());
        let work = || {
            while !ended.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(submission) = submissions.get(index) else { break };
                let judged = self.judge(submission, stop_at);
                match &judged {
                    Ok(judgement) => on_judged(index, judgement),
                    Err(_) => ended.store(true, Ordering::Relaxed),
                }
                *slots[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(judged);
            }
        };
        let stopped = self.work_until(workers, &work, is_stopped, &|| ended.store(true, Ordering::Relaxed));
        let judged = slots.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
        if stopped {
            // A run that was ended is an error of its runner, and nobody's fault.
            return Ok(judged.map(|judged| judged.and_then(Result::ok)).collect());
        }
        // Indices are handed out in order, so every slot before the first error is filled.
        judged.map(Option::transpose).collect()
    }

    /// Judges what `next` gives, which waits for it where there is none yet and answers `None` once there will be none.
    /// `on_judged` is told of each judgement by the name that `next` gave it. Once `is_stopped` says so, which the calling
    /// thread asks it many times a second, the runner ends what is under way; what it says of that is nobody's fault, and
    /// `next` is to answer `None`.
    pub fn judge_from<N>(
        &self,
        next: &(dyn Fn() -> Option<(N, Submission)> + Sync),
        stop_at: StopAt,
        is_stopped: &dyn Fn() -> bool,
        on_judged: &(dyn Fn(N, Result<Judgement, JudgeError>) + Sync),
    ) {
        let work = || {
            while let Some((name, submission)) = next() {
                on_judged(name, self.judge(&submission, stop_at));
            }
        };
        self.work_until(self.workers, &work, is_stopped, &|| {});
    }

    /// Works on this many threads until all of them are through; whether it was stopped before. `stop` is to end the work.
    fn work_until(
        &self,
        workers: usize,
        work: &(dyn Fn() + Sync),
        is_stopped: &dyn Fn() -> bool,
        stop: &dyn Fn(),
    ) -> bool {
        let working = Working { threads: Mutex::new(workers), changed: Condvar::new() };
        let work = || {
            let _leaves = Leaves(&working);
            work();
        };
        let mut stopped = false;
        thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            while working.any_after(STOP_INTERVAL) {
                stopped = stopped || is_stopped();
                if stopped {
                    stop();
                    // Told again until all threads are here: one of them may just have begun a run.
                    self.runner.stop();
                }
            }
            for thread in threads {
                if let Err(panicked) = thread.join() {
                    panic::resume_unwind(panicked);
                }
            }
        });
        stopped
    }
}

/// The threads that still judge.
struct Working {
    threads: Mutex<usize>,
    changed: Condvar,
}

impl Working {
    /// Whether any is left, asked at the latest after this time, and at once when the last one leaves.
    fn any_after(&self, at_most: Duration) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(threads, at_most, |threads| *threads > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 > 0
    }
}

/// Counts a thread out when it ends, however it ends.
struct Leaves<'a>(&'a Working);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.changed.notify_all();
    }
}

/// What is said of one run. A checker that cannot decide is not the program's fault.
fn test_report(report: &RunReport, test: &TestCase, checker: &Checker) -> TestReport {
    let (verdict, failed, words) = match &report.termination {
        Termination::Exited(0) => match checker.decide(test, &report.stdout) {
            Ok(Decision::Accepted) => (Verdict::Accepted, None, String::new()),
            Ok(Decision::Rejected(why)) => (Verdict::WrongAnswer, None, why),
            Err(error) => (Verdict::InternalError, Some(error.blame()), error.to_string()),
        },
        stopped => {
            let verdict = Verdict::of(stopped);
            let failed = (verdict == Verdict::InternalError).then_some(Blame::Machine);
            (verdict, failed, detail(stopped))
        }
    };
    let exit_code = match report.termination {
        Termination::Exited(code) => Some(code),
        Termination::Raised { .. } | Termination::Unsupported { .. } => Some(1),
        Termination::LimitExceeded(_)
        | Termination::OutputLimitExceeded
        | Termination::Trapped { .. }
        | Termination::Unfinished { .. } => None,
    };
    let exception = match &report.termination {
        Termination::Raised { exception, .. } => Some(exception.chars().take(DETAIL_CHARACTERS_MAX).collect()),
        _ => None,
    };
    TestReport {
        verdict,
        failed,
        detail: words.chars().take(DETAIL_CHARACTERS_MAX).collect(),
        exit_code,
        exception,
        fuel: report.fuel,
        memory_bytes: report.memory_bytes,
        cpu_time_us: report.cpu_time_us,
        wall_time_us: report.wall_time_us,
        stdout_bytes: report.stdout.len() as u64,
        mismatch: None,
    }
}

fn detail(termination: &Termination) -> String {
    match termination {
        Termination::Exited(0) => String::new(),
        Termination::Exited(code) => format!("exit code {code}"),
        Termination::Raised { exception, message } if message.is_empty() => exception.clone(),
        Termination::Raised { exception, message } => format!("{exception}: {message}"),
        Termination::Unsupported { module } => format!("no module `{module}`"),
        Termination::LimitExceeded(limit) => limit.to_string(),
        Termination::OutputLimitExceeded => String::new(),
        Termination::Trapped { message } => format!("trap: {message}"),
        Termination::Unfinished { message } => message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::FakeRunner;

    fn judge(workers: usize) -> Judge {
        Judge::new(Arc::new(FakeRunner::new()), workers)
    }

    fn submission(id: &str, code: &str, tests: &[(&str, &str)]) -> Submission {
        let test =
            |(input, output): &(&str, &str)| TestCase { input: (*input).to_owned(), output: (*output).to_owned() };
        Submission {
            id: id.to_owned(),
            code: code.to_owned(),
            tests: tests.iter().map(test).collect(),
            first_test: 0,
            entry_point: None,
            checker: Checker::default(),
            limits: super::super::run_limits(None, None),
        }
    }

    #[test]
    fn judgements_come_in_input_order_with_any_number_of_threads() -> Result<(), JudgeError> {
        let submissions: Vec<Submission> = (0..20)
            .map(|i| submission(&i.to_string(), "echo", &[(if i % 3 == 0 { "slow" } else { "x" }, "x")]))
            .collect();
        let one = judge(1).judge_all(&submissions, StopAt::FirstFailure, &|_| {})?;
        let done = AtomicU64::new(0);
        let four =
            judge(4).judge_all(&submissions, StopAt::FirstFailure, &|_| _ = done.fetch_add(1, Ordering::Relaxed))?;
        assert_eq!(one, four);
        assert_eq!(done.into_inner(), 20);
        assert!(four.iter().enumerate().all(|(i, judgement)| judgement.id == i.to_string()));
        assert!(four.iter().enumerate().all(|(i, judgement)| judgement.is_accepted() == (i % 3 != 0)));
        Ok(())
    }

    #[test]
    fn stops_at_the_first_failure_only_where_asked() -> Result<(), JudgeError> {
        let wrong = submission("a", "echo", &[("1", "1"), ("2", "3"), ("4", "4")]);
        assert_eq!(judge(1).judge(&wrong, StopAt::FirstFailure)?.tests.len(), 2);
        let whole = judge(1).judge(&wrong, StopAt::End)?;
        assert_eq!((whole.tests.len(), whole.verdict), (3, Verdict::WrongAnswer));
        Ok(())
    }

    #[test]
    fn the_first_few_wrong_answers_are_kept_with_what_was_expected() -> Result<(), JudgeError> {
        let tests = [("1", "1"), ("2", "20"), ("3", "4"), ("slow", "fast"), ("5", "6"), ("7", "8")];
        let wrong = submission("a", "echo", &tests);
        let outputs = |judgement: &Judgement| -> Vec<Option<(String, String)>> {
            let side = |mismatch: &Mismatch| (mismatch.expected.to_string(), mismatch.actual.to_string());
            judgement.tests.iter().map(|test| test.mismatch.as_ref().map(side)).collect()
        };
        let pair = |expected: &str, actual: &str| Some((expected.to_owned(), actual.to_owned()));
        let judged = judge(1).judge(&wrong, StopAt::End)?;
        assert_eq!(outputs(&judged), [None, pair("20", "2"), pair("4", "3"), pair("fast", "slow"), None, None]);
        // A failure of another kind tells its cause alone, and one who wants none gets none.
        let failed = judge(1).judge(&submission("b", "fail", &tests), StopAt::FirstFailure)?;
        assert_eq!((outputs(&failed), failed.tests[0].detail.as_str()), (vec![None], "ValueError: no"));
        assert_eq!(outputs(&judge(1).telling_expected(false).judge(&wrong, StopAt::End)?), vec![None; 6]);
        Ok(())
    }

    #[test]
    fn tests_before_the_first_are_passed_over() -> Result<(), JudgeError> {
        let mut wrong = submission("a", "echo", &[("1", "2"), ("2", "2"), ("4", "4")]);
        wrong.first_test = 1;
        let judged = judge(1).judge(&wrong, StopAt::FirstFailure)?;
        assert_eq!((judged.tests.len(), judged.verdict), (2, Verdict::Accepted));
        wrong.first_test = 3;
        assert_eq!(judge(1).judge(&wrong, StopAt::FirstFailure)?.verdict, Verdict::InternalError);
        Ok(())
    }

    #[test]
    fn nothing_is_accepted_without_a_test() -> Result<(), JudgeError> {
        assert_eq!(
            judge(1).judge(&submission("a", "echo", &[]), StopAt::FirstFailure)?.verdict,
            Verdict::InternalError
        );
        Ok(())
    }

    #[test]
    fn what_cannot_be_called_or_checked_is_an_error_that_names_the_submission() -> Result<(), JudgeError> {
        let mut called = submission("a", "echo", &[("[1, 2]", "[1,2]")]);
        called.entry_point = Some("f".to_owned());
        assert!(judge(1).judge(&called, StopAt::End)?.is_accepted(), "as a JSON value");
        called.tests = [TestCase { input: "1".to_owned(), output: "None".to_owned() }].into();
        let judged = judge(1).judge(&called, StopAt::End)?;
        assert_eq!((judged.verdict, judged.is_settled()), (Verdict::InternalError, false));
        assert_eq!(judged.tests[0].detail, "test 1 calls a function, and its output is no JSON value");
        called.entry_point = Some("f()".to_owned());
        let error = judge(1).judge(&called, StopAt::End).expect_err("it is no function's name").to_string();
        assert_eq!(error, "cannot judge `a`: the runner cannot call `f()` in python3");
        let absent = ProblemChecker::Plugin { name: "absent".to_owned(), options: serde_json::Map::new() };
        let error = judge(1).checker("a", &absent).expect_err("there is no such plugin").to_string();
        assert_eq!(error, "cannot judge `a`: there is no output checker `absent`");
        Ok(())
    }

    #[test]
    fn the_exception_is_told() -> Result<(), JudgeError> {
        let judged = judge(1).judge(&submission("a", "fail", &[("1", "1")]), StopAt::FirstFailure)?;
        assert_eq!((judged.verdict, &judged.tests[0].detail[..]), (Verdict::RuntimeError, "ValueError: no"));
        Ok(())
    }

    #[test]
    fn a_request_to_stop_ends_what_is_under_way_and_keeps_what_is_done() -> Result<(), JudgeError> {
        let programs = ["echo", "wait", "echo", "wait", "echo"];
        let submissions = programs.map(|code| submission(code, code, &[("1", "1")]));
        let told = Mutex::new(Vec::new());
        let on_judged = |index, _: &Judgement| told.lock().unwrap_or_else(PoisonError::into_inner).push(index);
        let begun = std::time::Instant::now();
        let is_stopped = || begun.elapsed() > Duration::from_millis(100);
        let judged = judge(2).judge_until(&submissions, StopAt::End, &is_stopped, &on_judged)?;
        let done: Vec<bool> = judged.iter().map(Option::is_some).collect();
        assert_eq!(done, [true, false, true, false, false]);
        assert_eq!(told.into_inner().unwrap_or_else(PoisonError::into_inner), [0, 2]);
        assert!(begun.elapsed() < Duration::from_secs(5));
        Ok(())
    }

    #[test]
    fn what_the_host_or_a_clock_of_the_machine_decided_is_not_settled() -> Result<(), JudgeError> {
        for (code, settled) in [("echo", true), ("fail", true), ("crash", false), ("late", false)] {
            let judgement = judge(1).judge(&submission("a", code, &[("1", "1")]), StopAt::End)?;
            let failed = judgement.undecided().map(|(failed, _)| failed);
            let expected = (!settled).then_some(Blame::Machine);
            assert_eq!((judgement.is_settled(), failed), (settled, expected), "{code}");
        }
        Ok(())
    }

    #[test]
    fn a_broken_runner_is_an_error_that_names_the_submission() {
        let submissions = [submission("a", "echo", &[("1", "1")]), submission("b", "broken", &[("1", "1")])];
        let error = judge(2).judge_all(&submissions, StopAt::FirstFailure, &|_| {}).expect_err("the runner is broken");
        assert!(error.to_string().contains("`b`"), "{error}");
    }
}
