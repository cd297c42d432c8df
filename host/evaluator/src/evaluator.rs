//! The evaluator: draws answers to held-out problems, has them judged, and makes an evaluation of it.
//!
//! An answer is judged while others are drawn. Both drawing and judging look into the sample record first and add to it what
//! they find as they find it; the record, and what is made of it, do not depend on which was faster.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};
use std::{panic, thread};

use super::completion::{Completion, CompletionEnd};
use super::config::EvaluationConfig;
use super::error::EvaluatorError;
use super::evaluation::{Evaluation, ProblemOutcome, SampleOutcome, check_problems};
use super::extraction::{Extraction, Extractor};
use super::failures::FORMATTER_FAILED;
use super::generator::{CompletionSink, Generator, SampleRequest};
use super::judged_answer::JudgedAnswer;
use super::judging::{Answer, Judging, lock};
use super::kept_outputs::bound_mismatches;
use super::lost_answer::LostAnswer;
use super::sample_record::SampleRecord;
use super::sampling::{prompts, stream};
use super::watch::{Subject, Watch, Work};
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{AnswerForm, EvaluationProblem, ProblemText, Segment, SegmentKind};
use hilora_contract::plugin::{PromptFormatter, Sequence};
use hilora_judge::{Judge, UNDECIDED_MAX, Verdict};

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
        let texts: Vec<ProblemText> = problems.iter().map(|problem| problem.text.clone()).collect();
        let prompts = prompts(self.formatter, self.specialist, &texts)?;
        let per_problem = self.config.samples_per_problem;
        let requests: Vec<SampleRequest<'_>> = prompts
            .iter()
            .zip(&texts)
            .flat_map(|(Sequence { messages, segments }, text)| {
                let stream = |sample| stream(&text.id, sample);
                (0..per_problem).map(move |sample| SampleRequest { segments, messages, stream: stream(sample) })
            })
            .collect();
        let settings = candidate.generator.settings();
        let keys: Vec<ContentHash> =
            requests.iter().map(|request| completion_key(candidate, settings, request, samples)).collect();
        let codes: Vec<OnceLock<Extraction>> = requests.iter().map(|_| OnceLock::new()).collect();

        let samples = Mutex::new(samples);
        let judging = Judging::new(self.judge, &samples, watch);
        let drawing = Drawing {
            extractor: Extractor::new(self.formatter, requests.len()),
            problems,
            per_problem: per_problem as usize,
            keys,
            drawn: requests.iter().map(|_| None).collect(),
            codes: &codes,
            asked: Vec::new(),
            lost: Vec::new(),
            samples: &samples,
            judging: &judging,
            watch,
        };
        let drawn = thread::scope(|scope| {
            let worker = scope.spawn(|| judging.run());
            // However drawing ends, judging does not wait for more.
            let _abandons = Abandons(&judging);
            let drawn = drawing.draw(candidate, &requests);
            if matches!(drawn, Ok(Some(_))) {
                judging.announce(Work::Judge(candidate.subject));
                let judged = worker.join();
                watch.observer.end();
                if let Err(panicked) = judged {
                    panic::resume_unwind(panicked);
                }
            }
            drawn
        })?;
        let judged = judging.finish()?;
        let (Some(drawn), Some(judged)) = (drawn, judged) else { return Ok(None) };
        self.outcomes(problems, drawn, &codes, judged)
    }

    /// What became of every answer.
    fn outcomes(
        &self,
        problems: &[EvaluationProblem],
        drawn: Vec<Drawn>,
        codes: &[OnceLock<Extraction>],
        mut judged: BTreeMap<usize, JudgedAnswer>,
    ) -> Result<Option<Evaluation>, EvaluatorError> {
        let per_problem = self.config.samples_per_problem as usize;
        let mut outcomes = Vec::with_capacity(problems.len());
        let mut drawn = drawn.into_iter().zip(codes).enumerate();
        for problem in problems {
            let mut outcome = ProblemOutcome {
                id: problem.text.id.clone(),
                title: problem.text.title.clone(),
                domain: problem.domain.clone(),
                samples: Vec::with_capacity(per_problem),
            };
            for (index, (drawn, code)) in drawn.by_ref().take(per_problem) {
                outcome.samples.push(match drawn {
                    Drawn::Completion(completion) => sample(problem, completion, code.get(), judged.remove(&index)),
                    Drawn::Lost(cause) => SampleOutcome {
                        completion: String::new(),
                        tokens: 0,
                        cut: false,
                        verdict: Some(Verdict::InternalError),
                        error: Some(cause.to_owned()),
                        program: None,
                        failed_test: None,
                        log_probability: None,
                    },
                });
            }
            outcomes.push(outcome);
        }
        bound_mismatches(&mut outcomes);
        Ok(Some(Evaluation::of_outcomes(outcomes, &self.config.every_k())?))
    }
}

/// What became of one completion.
fn sample(
    problem: &EvaluationProblem,
    completion: Completion,
    code: Option<&Extraction>,
    judged: Option<JudgedAnswer>,
) -> SampleOutcome {
    let Completion { text, tokens, end, log_probabilities } = completion;
    let (verdict, error, failed_test) = match (judged, code) {
        (Some(JudgedAnswer { verdict, error, failed_test }), _) => {
            (Some(verdict), error, failed_test.map(|failed| failed.of_problem(problem)))
        }
        (None, Some(Extraction::Failed)) => (None, Some(FORMATTER_FAILED.to_owned()), None),
        (None, _) => {
            let cause = match end {
                CompletionEnd::PromptTooLong => "prompt-too-long",
                CompletionEnd::Refused => "refused",
                CompletionEnd::Stopped | CompletionEnd::Cut => "no-code",
            };
            (None, Some(cause.to_owned()), None)
        }
    };
    let program = code.and_then(|code| SampleOutcome::program_of(code, problem.answer_form));
    SampleOutcome {
        completion: text,
        tokens,
        cut: end == CompletionEnd::Cut,
        verdict,
        error,
        program,
        failed_test,
        log_probability: log_probabilities.map(|tokens| tokens.iter().sum()),
    }
}

/// Ends judging when drawing is left, however it is left.
struct Abandons<'a>(&'a Judging<'a>);

impl Drop for Abandons<'_> {
    fn drop(&mut self) {
        self.0.abandon();
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
    let messages = serde_json::to_vec(request.messages).expect("plain structs with text keys always serialize");
    let prompt = request.segments.iter().flat_map(|segment| [kind(segment), segment.text.as_bytes()]);
    samples.key(decides.into_iter().chain([&messages[..]]).chain(prompt))
}

/// What came of a request.
enum Drawn {
    Completion(Completion),
    /// Nothing is known of the answer, for this cause.
    Lost(&'static str),
}

/// Completions as they come: from the record, then from the generator and into the record; each is handed on to be judged.
struct Drawing<'a> {
    extractor: Extractor<'a>,
    problems: &'a [EvaluationProblem],
    per_problem: usize,
    keys: Vec<ContentHash>,
    drawn: Vec<Option<Drawn>>,
    /// The code in each completion.
    codes: &'a [OnceLock<Extraction>],
    /// What the generator was asked for, by its place among all requests.
    asked: Vec<usize>,
    /// What was lost, by its place, and how.
    lost: Vec<(usize, LostAnswer)>,
    samples: &'a Mutex<&'a mut SampleRecord>,
    judging: &'a Judging<'a>,
    watch: &'a Watch<'a>,
}

impl<'a> Drawing<'a> {
    /// Draws what the record does not know. `None` if the watch, or a failure to judge, ended it early.
    fn draw(
        mut self,
        candidate: &Candidate<'_>,
        requests: &[SampleRequest<'_>],
    ) -> Result<Option<Vec<Drawn>>, EvaluatorError> {
        let observer = self.watch.observer;
        observer.begin(Work::Draw(candidate.subject), requests.len() as u64);
        let drawn = self.draw_missing(candidate.generator, requests);
        observer.end();
        drawn?;
        let drawn: Vec<Drawn> = self.drawn.into_iter().flatten().collect();
        match drawn.len() {
            whole if whole == requests.len() => Ok(Some(drawn)),
            _ if self.watch.stops() || self.judging.has_failed() => Ok(None),
            got => Err(EvaluatorError::Count { what: "completions", expected: requests.len(), got }),
        }
    }

    fn draw_missing(
        &mut self,
        generator: &dyn Generator,
        requests: &[SampleRequest<'_>],
    ) -> Result<(), EvaluatorError> {
        for request in 0..requests.len() {
            let known = lock(self.samples).completion(self.keys[request]);
            match known {
                Some(completion) => self.hand_on(request, completion)?,
                None => self.asked.push(request),
            }
        }
        self.watch.observer.advance((requests.len() - self.asked.len()) as u64);
        if self.asked.is_empty() {
            return Ok(());
        }
        let missing: Vec<SampleRequest<'_>> = self.asked.iter().map(|request| requests[*request]).collect();
        generator.generate(&missing, self)?;
        lock(self.samples).sync()
    }

    /// Looks for the code in a completion, and has it judged.
    fn hand_on(&mut self, request: usize, completion: Completion) -> Result<(), EvaluatorError> {
        let problem = &self.problems[request / self.per_problem];
        let code = match (completion.end, problem.answer_form) {
            (CompletionEnd::Refused, _) => Extraction::None,
            (_, AnswerForm::Program) => self.extractor.extract(&completion.text)?,
            (_, AnswerForm::Text) => Extraction::Found(completion.text.clone()),
        };
        self.drawn[request] = Some(Drawn::Completion(completion));
        match self.codes[request].get_or_init(|| code).text() {
            Some(code) => self.judging.take(request, Answer { problem, code }),
            None => Ok(()),
        }
    }
}

impl CompletionSink for Drawing<'_> {
    fn accept(&mut self, request: usize, completion: Completion) -> Result<(), EvaluatorError> {
        self.accept_all(vec![(request, completion)])
    }

    fn accept_all(&mut self, completions: Vec<(usize, Completion)>) -> Result<(), EvaluatorError> {
        (self.watch.check_model)()?;
        let keyed = completions.iter().map(|(request, completion)| (self.keys[self.asked[*request]], completion));
        lock(self.samples).add_completions(keyed)?;
        for (request, completion) in completions {
            let request = self.asked[request];
            if self.drawn[request].is_none() {
                self.watch.observer.advance(1);
                self.hand_on(request, completion)?;
            }
        }
        Ok(())
    }

    fn lose(&mut self, request: usize, lost: LostAnswer) -> Result<(), EvaluatorError> {
        let request = self.asked[request];
        let id = |request: usize| self.problems[request / self.per_problem].text.id.clone();
        tracing::warn!("an answer to `{}` is lost: {lost}", id(request));
        self.drawn[request] = Some(Drawn::Lost(lost.cause()));
        self.lost.push((request, lost));
        let answers = self.lost.len();
        if answers > UNDECIDED_MAX {
            let (first, lost) = self.lost.swap_remove(0);
            return Err(EvaluatorError::NotAnswered { answers, id: id(first), lost: Box::new(lost) });
        }
        self.watch.observer.advance(1);
        Ok(())
    }

    fn wants_more(&mut self) -> bool {
        !self.watch.stops() && !self.judging.has_failed()
    }

    fn has_any(&self) -> bool {
        self.drawn.iter().any(|drawn| matches!(drawn, Some(Drawn::Completion(_))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{FATAL_COMPLETION, FakeFormatter, FakeGenerator, doubling_problem, fake_judge};
    use crate::watch::Observer;
    use std::sync::PoisonError;

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
