//! Native fakes for the evaluator's own tests: no model, no component, no interpreter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::completion::{Completion, CompletionEnd};
use super::error::EvaluatorError;
use super::evaluation::{ProblemOutcome, SampleOutcome};
use super::generator::{CompletionSink, Generator, SampleRequest, TimedDecoder, TimedGenerator};
use super::lost_answer::LostAnswer;
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{
    AnswerForm, Domain, EvaluationProblem, Language, ProblemChecker, ProblemText, Segment, SegmentKind, TestCase,
};
use hilora_contract::plugin::{
    FUEL_PER_SECOND, FormatterLesson, LimitKind, PluginError, PluginIdentity, PluginKind, PromptFormatter, RunLimits,
    RunReport, RunnerInfo, Sequence, SolutionRunner, Termination,
};
use hilora_judge::{Judge, Verdict};

/// A problem of which the first `correct` of `samples` answers were right and the rest wrong.
pub(super) fn outcome(id: &str, correct: usize, samples: usize) -> ProblemOutcome {
    let sample = |index| SampleOutcome {
        completion: format!("answer {index} to {id}"),
        tokens: 5,
        cut: false,
        verdict: Some(if index < correct { Verdict::Accepted } else { Verdict::WrongAnswer }),
        error: None,
        program: None,
        failed_test: None,
        log_probability: None,
    };
    ProblemOutcome {
        id: id.to_owned(),
        title: id.to_owned(),
        domain: Domain("python".to_owned()),
        samples: (0..samples).map(sample).collect(),
    }
}

/// The keys of a config that decide what is drawn, each with a value that is not the default's.
pub(super) fn every_way_to_draw() -> Vec<serde_json::Value> {
    let keys = serde_json::json!({
        "temperature": 0.3, "top_p": 0.9, "top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1, "stop": ["x"],
        "max_new_tokens": 511, "log_probabilities": true,
    });
    let keys = keys.as_object().expect("an object").clone();
    keys.into_iter().map(|(key, value)| serde_json::Value::from_iter([(key, value)])).collect()
}

/// A problem whose answer is twice its input.
pub(super) fn doubling_problem(id: &str) -> EvaluationProblem {
    let test = |input: i64| TestCase { input: input.to_string(), output: (2 * input).to_string() };
    EvaluationProblem {
        text: ProblemText {
            id: id.to_owned(),
            title: format!("double {id}"),
            statement: format!("print twice the number, in the way of {id}"),
            tags: Vec::new(),
            difficulty: None,
        },
        domain: Domain("python".to_owned()),
        tests: [test(3), test(0)].into(),
        entry_point: None,
        test_code: None,
        checker: ProblemChecker::default(),
        answer_form: AnswerForm::Program,
        attributes: Vec::new(),
        time_limit_ms: None,
        memory_limit_bytes: None,
        reference_fuel: None,
    }
}

fn identity(kind: PluginKind) -> PluginIdentity {
    PluginIdentity { name: "fake".to_owned(), version: "0".to_owned(), kind, content: ContentHash::of(b"fake") }
}

/// A completion that the fake formatter traps on.
pub(super) const FATAL_COMPLETION: &str = "((((((((";

/// A formatter whose prompt is the statement and whose code is what follows `CODE:`.
pub(super) struct FakeFormatter(PluginIdentity);

impl FakeFormatter {
    pub(super) fn new() -> Self {
        Self(identity(PluginKind::PromptFormatter))
    }
}

impl PromptFormatter for FakeFormatter {
    fn identity(&self) -> &PluginIdentity {
        &self.0
    }

    fn stop_sequences(&self) -> Result<Vec<String>, PluginError> {
        Ok(vec!["<end>".to_owned()])
    }

    fn format_lessons(&self, _: &str, _: &[FormatterLesson]) -> Result<Vec<Sequence>, PluginError> {
        Ok(Vec::new())
    }

    fn format_prompts(&self, specialist: &str, problems: &[ProblemText]) -> Result<Vec<Sequence>, PluginError> {
        let segment = |problem: &ProblemText| Segment {
            text: format!("{specialist}: {}", problem.statement),
            kind: SegmentKind::Content,
            trained: false,
        };
        Ok(problems.iter().map(|problem| Sequence { messages: Vec::new(), segments: vec![segment(problem)] }).collect())
    }

    fn extract_solution(&self, completion: &str) -> Result<Option<String>, PluginError> {
        if completion == FATAL_COMPLETION {
            let (plugin, message) = (self.0.clone(), "the stack is exhausted".to_owned());
            return Err(PluginError::Trap { plugin, call: "extract-solution", row: None, message });
        }
        Ok(completion.split_once("CODE:").map(|(_, code)| code.to_owned()))
    }
}

/// The fuel that the program `work` needs.
pub(super) const WORK_FUEL: u64 = 2 * FUEL_PER_SECOND;

/// A runner of a language with a few one-word programs. It counts its runs.
struct FakeRunner(PluginIdentity, Arc<AtomicU64>);

impl SolutionRunner for FakeRunner {
    fn identity(&self) -> &PluginIdentity {
        &self.0
    }

    fn describe(&self) -> Result<RunnerInfo, PluginError> {
        Ok(RunnerInfo {
            language: Language::PYTHON3,
            file_extension: "py".to_owned(),
            interpreter: "fake".to_owned(),
            calls_functions: true,
        })
    }

    fn run(&self, code: &str, _: Option<&str>, stdin: &[u8], limits: &RunLimits) -> Result<RunReport, PluginError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let number: i64 = String::from_utf8_lossy(stdin).trim().parse().unwrap_or(0);
        let raised =
            |exception: &str| Termination::Raised { exception: exception.to_owned(), message: "words".to_owned() };
        let (termination, stdout) = match code {
            "double" => (Termination::Exited(0), (2 * number).to_string()),
            "work" if limits.fuel < WORK_FUEL => (Termination::LimitExceeded(LimitKind::Fuel), String::new()),
            "work" => (Termination::Exited(0), (2 * number).to_string()),
            "six" => (Termination::Exited(0), "6".to_owned()),
            "raise" => (raised("NameError"), String::new()),
            "unfinished" => (raised("SyntaxError"), String::new()),
            "loop" => (Termination::LimitExceeded(LimitKind::Fuel), String::new()),
            "crash" => (Termination::Unfinished { message: "signal 9".to_owned() }, String::new()),
            "numpy" => (Termination::Unsupported { module: "numpy".to_owned() }, String::new()),
            other => (raised(other), String::new()),
        };
        Ok(RunReport {
            termination,
            stdout: stdout.into_bytes(),
            stderr: Vec::new(),
            fuel: 1,
            cpu_time_us: 1,
            wall_time_us: 1,
            memory_bytes: 1,
        })
    }
}

/// A judge over the fake runner.
pub(super) fn fake_judge() -> Judge {
    counting_judge(&Arc::default())
}

/// The same; it counts what it runs.
pub(super) fn counting_judge(runs: &Arc<AtomicU64>) -> Judge {
    Judge::new(Arc::new(FakeRunner(identity(PluginKind::SolutionRunner), Arc::clone(runs))), 2)
}

/// A generator whose answer follows from the prompt and the stream alone. It decodes a token in a microsecond.
pub(super) struct FakeGenerator<F>(pub(super) F);

impl<F: Fn(&str, u64) -> String> Generator for FakeGenerator<F> {
    fn settings(&self) -> ContentHash {
        ContentHash::of(b"fake")
    }

    fn generate(&self, requests: &[SampleRequest<'_>], sink: &mut dyn CompletionSink) -> Result<(), EvaluatorError> {
        // The last first: completions come in no order.
        for (index, request) in requests.iter().enumerate().rev() {
            if !sink.wants_more() {
                break;
            }
            let text = (self.0)(&request.segments[0].text, request.stream);
            let end = if text.is_empty() { CompletionEnd::PromptTooLong } else { CompletionEnd::Stopped };
            sink.accept(index, Completion { tokens: text.len() as u64, text, end, log_probabilities: None })?;
        }
        Ok(())
    }
}

impl<F: Fn(&str, u64) -> String> TimedGenerator for FakeGenerator<F> {
    fn decoder(&self) -> Result<Box<dyn TimedDecoder + '_>, EvaluatorError> {
        Ok(Box::new(FakeDecoder))
    }

    fn prompt_tokens(&self, prompt: &[Segment], _room: usize) -> Result<Option<Vec<u32>>, EvaluatorError> {
        Ok(Some(vec![prompt.len() as u32]))
    }
}

struct FakeDecoder;

impl TimedDecoder for FakeDecoder {
    fn start(&mut self, _prompt: &[u32]) -> Result<(), EvaluatorError> {
        Ok(())
    }

    fn step(&mut self, _token: u32) -> Result<Duration, EvaluatorError> {
        Ok(Duration::from_micros(1))
    }
}

/// Completions in the order of the requests.
pub(super) struct Collected(pub(super) Vec<Option<Completion>>);

impl Collected {
    /// None yet of this many.
    pub(super) fn of(requests: usize) -> Self {
        Self(vec![None; requests])
    }
}

impl CompletionSink for Collected {
    fn accept(&mut self, request: usize, completion: Completion) -> Result<(), EvaluatorError> {
        self.0[request] = Some(completion);
        Ok(())
    }

    fn lose(&mut self, request: usize, lost: LostAnswer) -> Result<(), EvaluatorError> {
        panic!("request {request} is lost: {lost}")
    }

    fn wants_more(&mut self) -> bool {
        true
    }

    fn has_any(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }
}
