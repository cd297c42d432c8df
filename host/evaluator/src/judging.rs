//! Judging: which answers are right, and why the others are errors. A program that answers the same problem twice is
//! judged once; verdicts repeat exactly, so the second run could only say the same.
//!
//! Answers are taken one by one, while others are still drawn. What has to be run waits in a queue that the judge's workers
//! empty meanwhile. It holds no more programs than answers were asked for, so that drawing never waits for judging. When
//! which verdict comes decides nothing of the result.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::error::EvaluatorError;
use super::failed_test::FailedTest;
use super::failures::{WITHOUT_ANSWER, is_of_one_answer};
use super::judged_answer::JudgedAnswer;
use super::sample_record::SampleRecord;
use super::watch::{Watch, Work};
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{AnswerForm, EvaluationProblem};
use hilora_contract::fault::Blame;
use hilora_contract::plugin::Decision;
use hilora_judge::{
    Judge, JudgeError, Judgement, NO_ANSWER, StopAt, Submission, UNDECIDED_MAX, Verdict, calibrated, run_limits,
    tested_code,
};

/// A program that claims to solve a problem.
#[derive(Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) problem: &'a EvaluationProblem,
    pub(crate) code: &'a str,
}

/// Judges each answer by its problem's tests, up to the first that fails. Results are in the answers' order; `None` if
/// the watch ended it early. What the sample record knows is not run.
pub(crate) fn judge_answers(
    judge: &Judge,
    answers: &[Answer<'_>],
    work: Work,
    samples: &mut SampleRecord,
    watch: &Watch<'_>,
) -> Result<Option<Vec<JudgedAnswer>>, EvaluatorError> {
    let samples = Mutex::new(samples);
    let judging = Judging::new(judge, &samples, watch);
    for (number, answer) in answers.iter().enumerate() {
        judging.take(number, *answer)?;
    }
    judging.announce(work);
    judging.run();
    watch.observer.end();
    let Some(mut judged) = judging.finish()? else { return Ok(None) };
    Ok(Some((0..answers.len()).filter_map(|number| judged.remove(&number)).collect()))
}

/// Answers that are judged as they come.
pub(crate) struct Judging<'a> {
    judge: &'a Judge,
    samples: &'a Mutex<&'a mut SampleRecord>,
    watch: &'a Watch<'a>,
    state: Mutex<State<'a>>,
    /// The queue has changed.
    changed: Condvar,
}

struct State<'a> {
    keys: Keys<'a>,
    /// The different programs, by problem and code.
    place_of_program: HashMap<(&'a str, ContentHash), usize>,
    programs: Vec<Program>,
    /// Each answer's program.
    program_of_answer: BTreeMap<usize, usize>,
    /// Programs that have to be run.
    queue: VecDeque<(usize, Submission)>,
    /// Answers of which everything is known.
    done: u64,
    /// Whether the observer is told of them.
    is_announced: bool,
    /// Whether no more answers come.
    is_whole: bool,
    is_abandoned: bool,
    failed: Option<EvaluatorError>,
}

/// One of the different programs.
struct Program {
    key: ContentHash,
    /// The first answer that has it, by its number.
    first: usize,
    judged: Option<JudgedAnswer>,
    /// The judgement, if it says nothing of the program.
    undecided: Option<Judgement>,
}

impl<'a> Judging<'a> {
    pub(crate) fn new(judge: &'a Judge, samples: &'a Mutex<&'a mut SampleRecord>, watch: &'a Watch<'a>) -> Self {
        let state = State {
            keys: Keys::new(judge),
            place_of_program: HashMap::new(),
            programs: Vec::new(),
            program_of_answer: BTreeMap::new(),
            queue: VecDeque::new(),
            done: 0,
            is_announced: false,
            is_whole: false,
            is_abandoned: false,
            failed: None,
        };
        Self { judge, samples, watch, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Takes an answer by its number. What neither another answer nor the sample record tells of its program is run.
    pub(crate) fn take(&self, number: usize, answer: Answer<'a>) -> Result<(), EvaluatorError> {
        let mut state = self.state();
        let program = (answer.problem.text.id.as_str(), ContentHash::of(answer.code.as_bytes()));
        if let Some(place) = state.place_of_program.get(&program).copied() {
            state.program_of_answer.insert(number, place);
            let first = &mut state.programs[place].first;
            *first = number.min(*first);
            self.count(&mut state);
            return Ok(());
        }
        let (key, judged) = {
            let mut samples = lock(self.samples);
            let key = state.keys.of(&answer, &samples);
            match answer.problem.answer_form {
                AnswerForm::Program => (key, samples.judged(key)),
                AnswerForm::Text => (key, Some(read(self.judge, &answer)?)),
            }
        };
        let place = state.programs.len();
        match &judged {
            Some(_) => self.count(&mut state),
            None => state.queue.push_back((place, submission(self.judge, &answer)?)),
        }
        state.programs.push(Program { key, first: number, judged, undecided: None });
        state.place_of_program.insert(program, place);
        state.program_of_answer.insert(number, place);
        self.changed.notify_one();
        Ok(())
    }

    /// Says that no more answers come, and tells the observer how far judging is from now on.
    pub(crate) fn announce(&self, work: Work) {
        let mut state = self.state();
        self.watch.observer.begin(work, state.program_of_answer.len() as u64);
        self.watch.observer.advance(state.done);
        (state.is_announced, state.is_whole) = (true, true);
        // The judge asks for a stop only while programs run, and a few short ones may be through before it does.
        if state.done < state.program_of_answer.len() as u64 && self.watch.stops() {
            state.is_abandoned = true;
        }
        self.changed.notify_all();
    }

    /// Judges nothing more.
    pub(crate) fn abandon(&self) {
        self.state().is_abandoned = true;
        self.changed.notify_all();
    }

    /// Whether it was given up, so that nothing that is drawn would be judged.
    pub(crate) fn has_failed(&self) -> bool {
        self.state().failed.is_some()
    }

    /// Judges what is taken, until no more answers come or it is abandoned.
    pub(crate) fn run(&self) {
        let is_stopped = || {
            // While answers are drawn, who draws them asks the watch, and abandons this.
            let asks = {
                let state = self.state();
                if state.is_abandoned {
                    return true;
                }
                state.is_announced
            };
            let stops = asks && self.watch.stops();
            if stops {
                self.abandon();
            }
            stops
        };
        self.judge.judge_from(&|| self.next(), StopAt::FirstFailure, &is_stopped, &|place, judgement| {
            self.keep(place, judgement);
        });
    }

    /// What was found of each answer, by its number; `None` if it was abandoned.
    pub(crate) fn finish(&self) -> Result<Option<BTreeMap<usize, JudgedAnswer>>, EvaluatorError> {
        lock(self.samples).sync()?;
        let mut state = self.state();
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        let State { programs, program_of_answer, .. } = &*state;
        let mut undecided: Vec<&Program> = programs.iter().filter(|program| program.undecided.is_some()).collect();
        undecided.sort_by_key(|program| program.first);
        if programs.iter().any(|program| program.judged.is_none()) {
            return Ok(None);
        }
        if let Some(first) = undecided.first().filter(|_| undecided.len() > UNDECIDED_MAX) {
            let judgement = first.undecided.as_ref();
            let (failed, detail) = judgement.and_then(Judgement::undecided).unwrap_or((Blame::Ours, "no test was run"));
            let id = judgement.map(|judgement| judgement.id.clone()).unwrap_or_default();
            return Err(EvaluatorError::NotJudged { programs: undecided.len(), id, detail: detail.to_owned(), failed });
        }
        let of_program = |place: usize| programs[place].judged.clone();
        Ok(Some(program_of_answer.iter().filter_map(|(number, place)| Some((*number, of_program(*place)?))).collect()))
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        lock(&self.state)
    }

    /// Counts one more answer of which everything is known.
    fn count(&self, state: &mut State<'a>) {
        state.done += 1;
        if state.is_announced {
            self.watch.observer.advance(1);
        }
    }

    /// The next program to run, waited for.
    fn next(&self) -> Option<(usize, Submission)> {
        let waits = |state: &mut State<'a>| state.queue.is_empty() && !state.is_whole && !state.is_abandoned;
        let mut state = self.changed.wait_while(self.state(), waits).unwrap_or_else(PoisonError::into_inner);
        if state.is_abandoned { None } else { state.queue.pop_front() }
    }

    /// Puts a judgement into the record as it is made. What says nothing of its program is not kept: it is asked again.
    fn keep(&self, place: usize, judgement: Result<Judgement, JudgeError>) {
        let mut state = self.state();
        let kept = judgement.map_err(EvaluatorError::from).and_then(|judgement| {
            let judged = JudgedAnswer::of(&judgement);
            if judgement.is_settled() {
                lock(self.samples).add_judged(state.programs[place].key, &judged)?;
            } else {
                state.programs[place].undecided = Some(judgement);
            }
            state.programs[place].judged = Some(judged);
            self.count(&mut state);
            Ok(())
        });
        // A run that was ended because judging was abandoned is an error of its runner, and nobody's fault.
        if let Err(error) = kept
            && !state.is_abandoned
        {
            (state.failed, state.is_abandoned) = (Some(error), true);
            self.changed.notify_all();
        }
    }
}

/// Holds an answer in words against what is expected: it is read, and nothing runs.
fn read(judge: &Judge, answer: &Answer<'_>) -> Result<JudgedAnswer, EvaluatorError> {
    let problem = answer.problem;
    let checker = judge.checker(&problem.text.id, &problem.checker)?;
    let test = problem.tests.first().ok_or_else(|| EvaluatorError::NoTest { id: problem.text.id.clone() })?;
    let decision = match checker.decide(test, answer.code.as_bytes()) {
        Ok(decision) => decision,
        // What a checker fails on says nothing of the answer.
        Err(error) if is_of_one_answer(&error) => {
            let (verdict, error) = (Verdict::InternalError, Some("not-judged".to_owned()));
            return Ok(JudgedAnswer { verdict, error, failed_test: None });
        }
        Err(error) => return Err(error.into()),
    };
    let Decision::Rejected(why) = decision else {
        return Ok(JudgedAnswer { verdict: Verdict::Accepted, error: None, failed_test: None });
    };
    let (verdict, error) = (Verdict::WrongAnswer, (why == NO_ANSWER).then(|| WITHOUT_ANSWER.to_owned()));
    let outputs = (test.output.as_bytes(), answer.code.as_bytes());
    let mismatch = judge.tells_expected().then(|| checker.mismatch(outputs.0, outputs.1));
    Ok(JudgedAnswer { verdict, error, failed_test: Some(FailedTest { test: 1, detail: why, mismatch }) })
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The record's keys of programs. A problem's tests may be large, so each problem is hashed once.
struct Keys<'a> {
    runner: ContentHash,
    /// Whether outputs of wrong answers are kept: what was found without them does not answer one who asks for them.
    kind: &'static [u8],
    problems: HashMap<&'a str, ContentHash>,
}

impl<'a> Keys<'a> {
    fn new(judge: &Judge) -> Self {
        let kind: &[u8] = if judge.tells_expected() { b"verdict" } else { b"verdict without outputs" };
        Self { runner: judge.runner().identity().content, kind, problems: HashMap::new() }
    }

    fn of(&mut self, answer: &Answer<'a>, samples: &SampleRecord) -> ContentHash {
        let problem = self.problems.entry(&answer.problem.text.id).or_insert_with(|| {
            ContentHash::of(&serde_json::to_vec(answer.problem).expect("plain structs with text keys always serialize"))
        });
        samples.key([self.kind, self.runner.as_bytes(), problem.as_bytes(), answer.code.as_bytes()])
    }
}

fn submission(judge: &Judge, answer: &Answer<'_>) -> Result<Submission, EvaluatorError> {
    let problem = answer.problem;
    Ok(Submission {
        id: problem.text.id.clone(),
        code: tested_code(answer.code, problem.test_code.as_deref()),
        tests: problem.tests.clone(),
        first_test: 0,
        entry_point: problem.entry_point.clone(),
        checker: judge.checker(&problem.text.id, &problem.checker)?,
        limits: calibrated(run_limits(problem.time_limit_ms, problem.memory_limit_bytes), problem.reference_fuel),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failed_test::FailedTest;
    use crate::fakes::{WORK_FUEL, counting_judge, doubling_problem, fake_judge};
    use crate::watch::Subject;
    use hilora_contract::dataset::{ProblemChecker, TestCase};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn an_answer_is_compared_as_its_problem_says() -> Result<(), EvaluatorError> {
        let judged = |problem: &EvaluationProblem| {
            let answer = Answer { problem, code: "double" };
            judge_answers(
                &fake_judge(),
                &[answer],
                Work::Judge(Subject::HeldOut),
                &mut SampleRecord::forgetful(),
                &Watch::SILENT,
            )
        };
        let mut problem = doubling_problem("p");
        let test = TestCase { output: "6.0000001".to_owned(), ..problem.tests[0].clone() };
        problem.tests = [test].into();
        for (checker, verdict) in [("lines", Verdict::WrongAnswer), ("float", Verdict::Accepted)] {
            problem.checker = ProblemChecker::named(checker).expect("it is built in");
            let judged = judged(&problem)?.expect("a silent watch ends nothing early");
            assert_eq!(judged[0].verdict, verdict, "{checker}");
        }
        problem.checker = ProblemChecker::named("absent").expect("it is a plugin's name");
        let error = judged(&problem).expect_err("there is no such checker").to_string();
        assert_eq!(error, "cannot judge `p`: there is no output checker `absent`");
        Ok(())
    }

    #[test]
    fn a_program_may_use_three_times_the_fuel_of_its_problems_reference_solution() -> Result<(), EvaluatorError> {
        for (reference_fuel, verdict) in [
            (None, Verdict::TimeLimit),
            (Some(WORK_FUEL / 3 - 1), Verdict::TimeLimit),
            (Some(WORK_FUEL / 3 + 1), Verdict::Accepted),
        ] {
            let problem = EvaluationProblem { time_limit_ms: Some(1_000), reference_fuel, ..doubling_problem("p") };
            let judged =
                judge(&fake_judge(), &[Answer { problem: &problem, code: "work" }], &mut SampleRecord::forgetful())?;
            assert_eq!(judged[0].verdict, verdict, "{reference_fuel:?}");
        }
        Ok(())
    }

    fn judge(
        judge: &Judge,
        answers: &[Answer<'_>],
        samples: &mut SampleRecord,
    ) -> Result<Vec<JudgedAnswer>, EvaluatorError> {
        let judged = judge_answers(judge, answers, Work::Judge(Subject::HeldOut), samples, &Watch::SILENT)?;
        Ok(judged.expect("a silent watch ends nothing early"))
    }

    #[test]
    fn what_was_judged_is_kept_and_what_the_judge_failed_on_is_not() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let open = || SampleRecord::open(folder.path(), ContentHash::of(b"program"));
        let (problem, other) = (doubling_problem("p"), doubling_problem("q"));
        let answer = |code| Answer { problem: &problem, code };
        let runs = Arc::new(AtomicU64::new(0));
        let counting = counting_judge(&runs);
        let judged = judge(&counting, &[answer("double"), answer("crash"), answer("six")], &mut open()?)?;
        let undecided = FailedTest { test: 1, detail: "signal 9".to_owned(), mismatch: None };
        let (verdict, error) = (Verdict::InternalError, Some("not-judged".to_owned()));
        let undecided = JudgedAnswer { verdict, error, failed_test: Some(undecided) };
        assert_eq!((judged.len(), &judged[1]), (3, &undecided), "one answer ends no evaluation");

        // `double` has two tests and `six` fails at its second; neither is run again.
        let before = runs.load(Ordering::Relaxed);
        let judged = judge(&counting, &[answer("six"), answer("double"), answer("six")], &mut open()?)?;
        assert_eq!(runs.load(Ordering::Relaxed), before);
        let verdicts: Vec<Verdict> = judged.iter().map(|answer| answer.verdict).collect();
        assert_eq!(verdicts, [Verdict::WrongAnswer, Verdict::Accepted, Verdict::WrongAnswer]);
        // What was expected and what came is known, too, unless nobody wants to know it: that is another question.
        let outputs = |answers: &[JudgedAnswer]| {
            let mismatch = answers[0].failed_test.as_ref().and_then(|failed| failed.mismatch.as_ref());
            mismatch.map(|mismatch| (mismatch.expected.from.clone(), mismatch.actual.from.clone()))
        };
        assert_eq!(outputs(&judged), Some(("0".to_owned(), "6".to_owned())));
        let hiding = counting_judge(&runs).telling_expected(false);
        assert_eq!(outputs(&judge(&hiding, &[answer("six")], &mut open()?)?), None);
        // The judge may succeed another time, and another problem's tests are others.
        let asked = runs.load(Ordering::Relaxed);
        assert_eq!(judge(&counting, &[answer("crash")], &mut open()?)?, [undecided]);
        assert_eq!(runs.load(Ordering::Relaxed), asked + 1, "it is asked again");
        // A handful is counted; with more, the others would say little.
        let problems: Vec<EvaluationProblem> = (0..=UNDECIDED_MAX).map(|p| doubling_problem(&p.to_string())).collect();
        let answers: Vec<Answer<'_>> = problems.iter().map(|problem| Answer { problem, code: "crash" }).collect();
        assert_eq!(judge(&counting, &answers[1..], &mut open()?)?.len(), UNDECIDED_MAX);
        let failed = judge(&counting, &answers, &mut open()?).expect_err("one more");
        assert!(matches!(&failed, EvaluatorError::NotJudged { programs, .. } if *programs == UNDECIDED_MAX + 1));
        assert_eq!(judge(&counting, &[Answer { problem: &other, code: "six" }], &mut open()?)?.len(), 1);
        Ok(())
    }

    #[test]
    fn a_watch_ends_judging_between_programs() -> Result<(), EvaluatorError> {
        let problem = doubling_problem("p");
        let watch = Watch { should_stop: &|| true, ..Watch::SILENT };
        let answers = [Answer { problem: &problem, code: "double" }];
        let work = Work::Judge(Subject::HeldOut);
        assert_eq!(judge_answers(&fake_judge(), &answers, work, &mut SampleRecord::forgetful(), &watch)?, None);
        Ok(())
    }
}
