//! The evaluator: draws answers to held-out problems, has them judged, and makes an evaluation of it.
//!
//! Drawing and judging follow each other, each with a clock of its own. Both look into the sample record first and add to
//! it what they find as they find it.

use super::completion::{Completion, CompletionEnd};
use super::config::EvaluationConfig;
use super::error::EvaluatorError;
use super::evaluation::{Evaluation, ProblemOutcome, SampleOutcome, check_problems};
use super::failed_test::bound_mismatches;
use super::failures::{FORMATTER_FAILED, Failures, is_of_one_answer};
use super::generator::{CompletionSink, Generator, SampleRequest};
use super::judging::{Answer, judge_answers};
use super::sample_record::SampleRecord;
use super::sampling::{prompts, stream};
use super::watch::{Subject, Watch, Work};
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{EvaluationProblem, ProblemText, Segment, SegmentKind};
use hilora_contract::plugin::PromptFormatter;
use hilora_judge::Judge;

/// Everything but the model that makes an evaluation.
#[derive(Clone, Copy)]
pub struct Evaluator<'a> {
    /// Lays out prompts and finds the code in completions.
    pub formatter: &'a dyn PromptFormatter,
    /// Judges the code.
    pub judge: &'a Judge,
    /// What the formatter calls the specialist.
    pub specialist: &'a str,
    /// How many answers are drawn and which pass@k is estimated.
    pub config: &'a EvaluationConfig,
}

/// A model whose answers are measured.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// What progress calls it.
    pub subject: Subject,
    /// Completes its prompts.
    pub generator: &'a dyn Generator,
    /// The hash of its weights and of how they are loaded.
    pub content: ContentHash,
}

impl Evaluator<'_> {
    /// Draws and judges answers to every problem, and keeps nothing but the result. `None` if the watch ended it early.
    pub fn evaluate_once(
        &self,
        generator: &dyn Generator,
        problems: &[EvaluationProblem],
        watch: &Watch<'_>,
    ) -> Result<Option<Evaluation>, EvaluatorError> {
        let candidate = Candidate { subject: Subject::HeldOut, generator, content: ContentHash::of(b"") };
        self.evaluate(&candidate, problems, &mut SampleRecord::forgetful(), watch)
    }

    /// Draws and judges answers to every problem; what the sample record knows is neither drawn nor run. `None` if the watch
    /// ended it early.
    pub fn evaluate(
        &self,
        candidate: &Candidate<'_>,
        problems: &[EvaluationProblem],
        samples: &mut SampleRecord,
        watch: &Watch<'_>,
    ) -> Result<Option<Evaluation>, EvaluatorError> {
        check_problems(problems)?;
        let Some(completions) = self.draw(candidate, problems, samples, watch)? else { return Ok(None) };
        let per_problem = self.config.samples_per_problem as usize;
        let codes = self.extract(&completions)?;
        let answers: Vec<Answer<'_>> = codes
            .iter()
            .enumerate()
            .filter_map(|(index, code)| Some(Answer { problem: &problems[index / per_problem], code: code.text()? }))
            .collect();
        let work = Work::Judge(candidate.subject);
        let Some(judged) = judge_answers(self.judge, &answers, work, samples, watch)? else { return Ok(None) };
        let mut judged = judged.into_iter();
        let mut outcomes = Vec::with_capacity(problems.len());
        let mut drawn = completions.into_iter().zip(codes);
        for problem in problems {
            let mut outcome = ProblemOutcome {
                id: problem.text.id.clone(),
                title: problem.text.title.clone(),
                domain: problem.domain.clone(),
                samples: Vec::with_capacity(per_problem),
            };
            for (completion, code) in drawn.by_ref().take(per_problem) {
                let judgement = code.text().and_then(|_| judged.next());
                let (verdict, error, failed_test) = match (judgement, code) {
                    (Some(judged), _) => (Some(judged.verdict), judged.error, judged.failed_test),
                    (None, Code::Unknown) => (None, Some(FORMATTER_FAILED.to_owned()), None),
                    (None, _) if completion.end == CompletionEnd::PromptTooLong => {
                        (None, Some("prompt-too-long".to_owned()), None)
                    }
                    (None, _) => (None, Some("no-code".to_owned()), None),
                };
                let cut = completion.end == CompletionEnd::Cut;
                let Completion { text, tokens, .. } = completion;
                outcome.samples.push(SampleOutcome { completion: text, tokens, cut, verdict, error, failed_test });
            }
            outcomes.push(outcome);
        }
        bound_mismatches(&mut outcomes);
        Ok(Some(Evaluation::of_outcomes(outcomes, &self.config.every_k())?))
    }

    /// The code in each completion.
    fn extract(&self, completions: &[Completion]) -> Result<Vec<Code>, EvaluatorError> {
        let mut failures = Failures::of(completions.len());
        let mut codes = Vec::with_capacity(completions.len());
        for completion in completions {
            codes.push(match self.formatter.extract_solution(&completion.text) {
                Ok(Some(text)) => Code::Found(text),
                Ok(None) => Code::None,
                Err(error) if is_of_one_answer(&error) && failures.tolerates() => {
                    tracing::warn!("{error}; the completion counts as an error");
                    Code::Unknown
                }
                Err(error) => return Err(error.into()),
            });
        }
        Ok(codes)
    }

    /// Every problem's completions, problem by problem.
    fn draw(
        &self,
        candidate: &Candidate<'_>,
        problems: &[EvaluationProblem],
        samples: &mut SampleRecord,
        watch: &Watch<'_>,
    ) -> Result<Option<Vec<Completion>>, EvaluatorError> {
        let texts: Vec<ProblemText> = problems.iter().map(|problem| problem.text.clone()).collect();
        let prompts = prompts(self.formatter, self.specialist, &texts)?;
        let requests: Vec<SampleRequest<'_>> = prompts
            .iter()
            .zip(&texts)
            .flat_map(|(prompt, text)| {
                (0..self.config.samples_per_problem)
                    .map(|sample| SampleRequest { segments: &prompt.segments, stream: stream(&text.id, sample) })
            })
            .collect();
        let settings = candidate.generator.settings();
        let keys = requests.iter().map(|request| completion_key(candidate, settings, request, samples)).collect();
        let mut drawing = Drawing::new(keys, samples, watch);
        watch.observer.begin(Work::Draw(candidate.subject), requests.len() as u64);
        let drawn = drawing.missing_from(candidate.generator, &requests);
        watch.observer.end();
        drawn?;
        let completions: Vec<Completion> = drawing.completions.into_iter().flatten().collect();
        match completions.len() {
            whole if whole == requests.len() => Ok(Some(completions)),
            _ if watch.stops() => Ok(None),
            got => Err(EvaluatorError::Count { what: "completions", expected: requests.len(), got }),
        }
    }
}

/// What a formatter found in a completion.
enum Code {
    /// A program.
    Found(String),
    /// Nothing.
    None,
    /// It failed on it.
    Unknown,
}

impl Code {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Found(text) => Some(text),
            Self::None | Self::Unknown => None,
        }
    }
}

/// What decides a completion.
fn completion_key(
    candidate: &Candidate<'_>,
    settings: ContentHash,
    request: &SampleRequest<'_>,
    samples: &SampleRecord,
) -> ContentHash {
    let stream = request.stream.to_le_bytes();
    let decides = [&b"completion"[..], candidate.content.as_bytes(), settings.as_bytes(), &stream];
    let kind = |segment: &Segment| match segment.kind {
        SegmentKind::Control => &b"control"[..],
        SegmentKind::Content => b"content",
    };
    let prompt = request.segments.iter().flat_map(|segment| [kind(segment), segment.text.as_bytes()]);
    samples.key(decides.into_iter().chain(prompt))
}

/// Completions as they come: from the record, then from the generator and into the record.
struct Drawing<'a> {
    keys: Vec<ContentHash>,
    completions: Vec<Option<Completion>>,
    /// What the generator was asked for, by its place among all requests.
    asked: Vec<usize>,
    samples: &'a mut SampleRecord,
    watch: &'a Watch<'a>,
}

impl<'a> Drawing<'a> {
    fn new(keys: Vec<ContentHash>, samples: &'a mut SampleRecord, watch: &'a Watch<'a>) -> Self {
        let completions: Vec<Option<Completion>> = keys.iter().map(|key| samples.completion(*key)).collect();
        let asked = (0..keys.len()).filter(|request| completions[*request].is_none()).collect();
        Self { keys, completions, asked, samples, watch }
    }

    fn missing_from(
        &mut self,
        generator: &dyn Generator,
        requests: &[SampleRequest<'_>],
    ) -> Result<(), EvaluatorError> {
        self.watch.observer.advance((requests.len() - self.asked.len()) as u64);
        if self.asked.is_empty() {
            return Ok(());
        }
        let missing: Vec<SampleRequest<'_>> = self.asked.iter().map(|request| requests[*request]).collect();
        generator.generate(&missing, self)?;
        self.samples.sync()
    }
}

impl CompletionSink for Drawing<'_> {
    fn accept(&mut self, request: usize, completion: Completion) -> Result<(), EvaluatorError> {
        let request = self.asked[request];
        (self.watch.check_model)()?;
        self.samples.add_completion(self.keys[request], &completion)?;
        if self.completions[request].replace(completion).is_none() {
            self.watch.observer.advance(1);
        }
        Ok(())
    }

    fn wants_more(&mut self) -> bool {
        !self.watch.stops()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{FATAL_COMPLETION, FakeFormatter, FakeGenerator, doubling_problem, fake_judge};
    use crate::watch::Observer;
    use hilora_judge::Verdict;
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};

    const ANSWERS: [&str; 8] =
        ["CODE:double", "CODE:six", "CODE:raise", "CODE:loop", "CODE:unfinished", "CODE:numpy", "no idea", ""];

    /// Writes down every piece of work as `name done/total`.
    #[derive(Default)]
    struct Notes(Mutex<Vec<(String, u64, u64)>>);

    impl Notes {
        fn with<T>(&self, change: impl FnOnce(&mut Vec<(String, u64, u64)>) -> T) -> T {
            change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }

        fn lines(&self) -> Vec<String> {
            self.with(|notes| notes.iter().map(|(name, done, total)| format!("{name} {done}/{total}")).collect())
        }
    }

    impl Observer for Notes {
        fn begin(&self, work: Work, total: u64) {
            self.with(|notes| notes.push((work.to_string(), 0, total)));
        }

        fn advance(&self, more: u64) {
            self.with(|notes| notes.last_mut().expect("something began").1 += more);
        }

        fn end(&self) {}
    }

    fn evaluate(
        answer: impl Fn(&str, u64) -> String,
        problems: &[EvaluationProblem],
    ) -> Result<Evaluation, EvaluatorError> {
        let judge = fake_judge();
        let config = EvaluationConfig { samples_per_problem: 8, k: vec![2], ..EvaluationConfig::default() };
        let formatter = FakeFormatter::new();
        let evaluator = Evaluator { formatter: &formatter, judge: &judge, specialist: "python", config: &config };
        let notes = Notes::default();
        let watch = Watch { observer: &notes, ..Watch::SILENT };
        let evaluation = evaluator
            .evaluate_once(&FakeGenerator(answer), problems, &watch)?
            .expect("the watch does not end it early");
        let with_code: u64 = evaluation.verdicts.iter().filter(|(word, _)| *word != "no-code").map(|(_, n)| n).sum();
        let answers = 8 * problems.len();
        assert_eq!(
            notes.lines(),
            [format!("held out: draw {answers}/{answers}"), format!("held out: run {with_code}/{with_code}")]
        );
        Ok(evaluation)
    }

    #[test]
    fn every_answer_has_a_fate() -> Result<(), EvaluatorError> {
        let turn = std::cell::Cell::new(0);
        let evaluation = evaluate(
            |prompt, _| {
                assert_eq!(prompt, "python: print twice the number, in the way of p");
                turn.set(turn.get() + 1);
                // The fake begins with the last request.
                ANSWERS[ANSWERS.len() - turn.get()].to_owned()
            },
            &[doubling_problem("p")],
        )?;
        let counts =
            |counts: &BTreeMap<String, u64>| counts.iter().map(|(k, v)| format!("{k} {v}")).collect::<Vec<_>>();
        assert_eq!(
            counts(&evaluation.verdicts),
            ["accepted 1", "no-code 2", "runtime-error 2", "time-limit 1", "unsupported 1", "wrong-answer 1"]
        );
        assert_eq!(
            counts(&evaluation.errors),
            ["NameError 1", "SyntaxError 1", "no module `numpy` 1", "no-code 1", "prompt-too-long 1"]
        );
        assert_eq!(evaluation.pass_at_1().value, 0.125);
        assert_eq!(evaluation.pass_at[&2].value, 0.25);
        assert_eq!(evaluation.error_rate.value, 5.0 / 8.0);
        let verdicts: Vec<_> = evaluation.outcomes[0].samples.iter().map(|sample| sample.verdict).collect();
        assert_eq!(verdicts[..2], [Some(Verdict::Accepted), Some(Verdict::WrongAnswer)]);
        assert_eq!(verdicts[6..], [None, None]);
        Ok(())
    }

    #[test]
    fn one_answer_that_something_fails_on_is_counted_and_many_end_the_evaluation() -> Result<(), EvaluatorError> {
        let fatal_of_eight = |fatal: usize, answer: &'static str| {
            let turn = std::cell::Cell::new(0);
            let answer = move |_: &str, _| {
                turn.set(turn.get() + 1);
                if turn.get() <= fatal { answer.to_owned() } else { format!("CODE:other {}", turn.get()) }
            };
            evaluate(answer, &[doubling_problem("p")])
        };
        for (answer, cause) in [(FATAL_COMPLETION, FORMATTER_FAILED), ("CODE:crash", "not-judged")] {
            assert_eq!(fatal_of_eight(1, answer)?.errors.get(cause), Some(&1));
        }
        assert!(matches!(fatal_of_eight(2, FATAL_COMPLETION), Err(EvaluatorError::Plugin(_))));
        Ok(())
    }

    #[test]
    fn results_do_not_depend_on_the_order_of_problems() -> Result<(), EvaluatorError> {
        let answer = |_: &str, stream: u64| ANSWERS[(stream % 7) as usize].to_owned();
        let problems: Vec<_> = ["a", "b", "c"].map(doubling_problem).into();
        let turned: Vec<_> = ["c", "a", "b"].map(doubling_problem).into();
        let (one, mut other) = (evaluate(answer, &problems)?, evaluate(answer, &turned)?);
        other.outcomes.rotate_left(1);
        assert_eq!(one, other);
        assert_ne!(one.outcomes[0].samples, one.outcomes[1].samples);
        Ok(())
    }

    #[test]
    fn what_was_drawn_before_a_kill_is_not_drawn_again() -> Result<(), EvaluatorError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (judge, formatter) = (fake_judge(), FakeFormatter::new());
        let config = EvaluationConfig { samples_per_problem: 4, k: vec![1], ..EvaluationConfig::default() };
        let evaluator = Evaluator { formatter: &formatter, judge: &judge, specialist: "python", config: &config };
        let problems: Vec<_> = ["a", "b", "c"].map(doubling_problem).into();
        let drawn = std::cell::Cell::new(0);
        let generator = FakeGenerator(|_: &str, stream: u64| {
            drawn.set(drawn.get() + 1);
            ANSWERS[(stream % 7) as usize].to_owned()
        });
        let content = ContentHash::of(b"model");
        let candidate = Candidate { subject: Subject::Base, generator: &generator, content };
        let run = |candidate: &Candidate<'_>, watch: &Watch<'_>| {
            let mut samples = SampleRecord::open(folder.path(), ContentHash::of(b"program"))?;
            evaluator.evaluate(candidate, &problems, &mut samples, watch)
        };
        // It is stopped after five answers, one call of `wants_more` before each.
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let stop_at_five = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 5;
        assert_eq!(run(&candidate, &Watch { should_stop: &stop_at_five, ..Watch::SILENT })?, None);
        assert_eq!(drawn.replace(0), 5);
        let notes = Notes::default();
        let resumed = run(&candidate, &Watch { observer: &notes, ..Watch::SILENT })?;
        assert_eq!(drawn.replace(0), 7);
        assert_eq!(notes.lines()[0], "base: draw 12/12");
        let alone = evaluator.evaluate_once(&generator, &problems, &Watch::SILENT)?;
        assert!(resumed.is_some() && resumed == alone);
        drawn.set(0);
        // Whole, it draws nothing; another model draws everything.
        assert_eq!(run(&candidate, &Watch::SILENT)?, alone);
        assert_eq!(drawn.replace(0), 0);
        run(&Candidate { content: ContentHash::of(b"another model"), ..candidate }, &Watch::SILENT)?;
        assert_eq!(drawn.replace(0), 12);
        Ok(())
    }
}
