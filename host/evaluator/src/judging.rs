//! Judging: which answers are right, and why the others are errors. A program that answers the same problem twice is
//! judged once; verdicts repeat exactly, so the second run could only say the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use super::error::EvaluatorError;
use super::judged_answer::JudgedAnswer;
use super::sample_record::SampleRecord;
use super::watch::{Watch, Work};
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::EvaluationProblem;
use hilora_contract::fault::Blame;
use hilora_judge::{Judge, Judgement, StopAt, Submission, UNDECIDED_MAX, calibrated, run_limits, tested_code};

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
    watch.observer.begin(work, answers.len() as u64);
    let judged = judge_programs(judge, answers, samples, watch);
    watch.observer.end();
    judged
}

fn judge_programs(
    judge: &Judge,
    answers: &[Answer<'_>],
    samples: &mut SampleRecord,
    watch: &Watch<'_>,
) -> Result<Option<Vec<JudgedAnswer>>, EvaluatorError> {
    let programs = Programs::of(answers);
    let mut keys = Keys::new(judge);
    let keys: Vec<ContentHash> = programs.distinct.iter().map(|program| keys.of(program, samples)).collect();
    let mut judged: Vec<Option<JudgedAnswer>> = keys.iter().map(|key| samples.judged(*key)).collect();
    let unknown: Vec<usize> = (0..judged.len()).filter(|program| judged[*program].is_none()).collect();
    watch.observer.advance((answers.len() - unknown.len()) as u64);
    // The judge asks for a stop only while programs run, and a few short ones may be through before it does.
    if !unknown.is_empty() && watch.stops() {
        return Ok(None);
    }
    let submissions = unknown
        .iter()
        .map(|program| submission(judge, &programs.distinct[*program]))
        .collect::<Result<Vec<Submission>, _>>()?;
    let keeping = Mutex::new(Keeping { samples, failed: None });
    let on_judged = |index: usize, judgement: &Judgement| {
        let mut keeping = keeping.lock().unwrap_or_else(PoisonError::into_inner);
        keeping.keep(keys[unknown[index]], judgement);
        watch.observer.advance(1);
    };
    let is_stopped = || watch.stops() || keeping.lock().unwrap_or_else(PoisonError::into_inner).cannot_write();
    let judgements = judge.judge_until(&submissions, StopAt::FirstFailure, &is_stopped, &on_judged);
    let Keeping { samples, failed } = keeping.into_inner().unwrap_or_else(PoisonError::into_inner);
    samples.sync()?;
    if let Some(error) = failed {
        return Err(error);
    }
    let mut undecided = Vec::new();
    for (program, judgement) in unknown.iter().zip(judgements?) {
        let Some(judgement) = judgement else { return Ok(None) };
        judged[*program] = Some(JudgedAnswer::of(&judgement));
        if !judgement.is_settled() {
            undecided.push(judgement);
        }
    }
    if let Some(first) = undecided.first().filter(|_| undecided.len() > UNDECIDED_MAX) {
        let (failed, detail) = first.undecided().unwrap_or((Blame::Ours, "no test was run"));
        let (id, detail) = (first.id.clone(), detail.to_owned());
        return Err(EvaluatorError::NotJudged { programs: undecided.len(), id, detail, failed });
    }
    let judged: Vec<JudgedAnswer> = judged.into_iter().flatten().collect();
    if judged.len() != programs.distinct.len() {
        return Err(EvaluatorError::Count { what: "judgements", expected: programs.distinct.len(), got: judged.len() });
    }
    Ok(Some(programs.of_answer.into_iter().map(|program| judged[program].clone()).collect()))
}

/// Puts judgements into the record as they are made.
struct Keeping<'a> {
    samples: &'a mut SampleRecord,
    failed: Option<EvaluatorError>,
}

impl Keeping<'_> {
    /// What says nothing of its program is not kept: it is asked again.
    fn keep(&mut self, key: ContentHash, judgement: &Judgement) {
        if judgement.is_settled()
            && let Err(error) = self.samples.add_judged(key, &JudgedAnswer::of(judgement))
        {
            self.failed.get_or_insert(error);
        }
    }

    /// Whether going on would find what cannot be kept.
    fn cannot_write(&self) -> bool {
        self.failed.is_some()
    }
}

/// The different programs among some answers.
struct Programs<'a> {
    distinct: Vec<Answer<'a>>,
    /// The place among them of each answer's program.
    of_answer: Vec<usize>,
}

impl<'a> Programs<'a> {
    fn of(answers: &[Answer<'a>]) -> Self {
        let mut place_of_program: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut distinct = Vec::new();
        let mut of_answer = Vec::with_capacity(answers.len());
        for answer in answers {
            let place = *place_of_program.entry((&answer.problem.text.id, answer.code)).or_insert_with(|| {
                distinct.push(*answer);
                distinct.len() - 1
            });
            of_answer.push(place);
        }
        Self { distinct, of_answer }
    }
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
    use hilora_judge::Verdict;
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
