//! An evaluation end to end with the shipped formatter and the shipped Python runner. Only the model is a fake: it
//! knows its answers by heart.

use std::collections::BTreeMap;
use std::process::Command;

use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{AnswerForm, Domain, EvaluationProblem, Example, ProblemChecker, ProblemText, TestCase};
use hilora_evaluator::{
    Comparison, Completion, CompletionEnd, CompletionSink, Controls, Evaluation, EvaluationConfig, EvaluationRecord,
    Evaluator, EvaluatorError, GateConfig, GateMeasurements, Generator, Latency, NearestCopy, Report, STATISTICS,
    SampleRecord, SampleRequest, Watch,
};
use hilora_judge::{Judge, Verdict};
use libtest_mimic::{Failed, Trial};

use crate::{component, plugin_host};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("evaluate::answers_are_extracted_run_and_counted", answers_are_counted),
        Trial::test("evaluate::the_gate_decides_nothing_by_answers_that_were_not_judged", gate_of_undecided),
        Trial::test("evaluate::a_record_is_the_same_bytes_with_any_number_of_workers", records_repeat),
    ]
}

/// What the fake model answers to each problem, sample by sample.
const ANSWERS: [(&str, [&str; 4]); 3] = [
    (
        "add",
        [
            "Add them.\n\n```python\na, b = map(int, input().split())\nprint(a + b)\n```",
            "```python\nprint(sum(map(int, input().split())))\n```",
            "```python\na, b = map(int, input().split())\nprint(a - b)\n```",
            "I would add them.",
        ],
    ),
    (
        "reverse",
        [
            "```python\nprint(input()[::-1])\n```",
            "```python\nprint(inptu())\n```",
            "```python\nprint(input()[::-1]\n```",
            "```python\nwhile True:\n    pass\n```",
        ],
    ),
    (
        "steal",
        [
            "```python\nprint(open('/etc/passwd').read())\n```",
            "```python\nimport sys\nsys.exit(3)\n```",
            "```python\nimport numpy\n```",
            "```python\nprint(input().upper())\n```",
        ],
    ),
];

/// A model that knows its answers by heart: it finds the problem's id in the prompt and gives its samples in turn.
struct FakeModel {
    right_only: bool,
}

impl Generator for FakeModel {
    fn settings(&self) -> ContentHash {
        ContentHash::of(&[u8::from(self.right_only)])
    }

    fn generate(&self, requests: &[SampleRequest<'_>], sink: &mut dyn CompletionSink) -> Result<(), EvaluatorError> {
        let mut given: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, request) in requests.iter().enumerate() {
            let prompt: String = request.segments.iter().map(|segment| segment.text.as_str()).collect();
            assert!(prompt.contains("You are a Python programming specialist."), "{prompt}");
            let (id, answers) =
                ANSWERS.iter().find(|(id, _)| prompt.contains(&format!("Problem {id}."))).expect("a known problem");
            let turn = given.entry(id).or_default();
            let text = if self.right_only { answers[0] } else { answers[*turn] };
            *turn += 1;
            let end = CompletionEnd::Stopped;
            let (text, tokens) = (text.to_owned(), text.len() as u64 / 4);
            sink.accept(index, Completion { text, tokens, end, log_probabilities: None })?;
        }
        Ok(())
    }
}

fn problem(id: &str, tests: &[(&str, &str)]) -> EvaluationProblem {
    EvaluationProblem {
        text: ProblemText {
            id: id.to_owned(),
            title: id.to_owned(),
            statement: format!("Problem {id}. Read a line and answer."),
            tags: Vec::new(),
            difficulty: None,
        },
        domain: Domain("python".to_owned()),
        tests: tests
            .iter()
            .map(|(input, output)| TestCase { input: (*input).to_owned(), output: (*output).to_owned() })
            .collect(),
        entry_point: None,
        test_code: None,
        checker: ProblemChecker::default(),
        answer_form: AnswerForm::Program,
        attributes: Vec::new(),
        time_limit_ms: Some(1_000),
        memory_limit_bytes: None,
        reference_fuel: None,
    }
}

fn problems() -> Vec<EvaluationProblem> {
    vec![
        problem("add", &[("1 2\n", "3\n"), ("-4 4\n", "0\n")]),
        problem("reverse", &[("abc\n", "cba\n"), ("x\n", "x\n")]),
        problem("steal", &[("abc\n", "ABC\n")]),
    ]
}

/// Compares the fake model with itself where it only gives its first answers.
fn record(workers: usize) -> Result<EvaluationRecord, Failed> {
    let plugins = plugin_host()?;
    let formatter = plugins.formatter(&component("chatml-formatter"))?;
    let judge = Judge::new(plugins.runner(&component("python-runner"))?, workers);
    let config = EvaluationConfig { samples_per_problem: 4, k: vec![4], ..EvaluationConfig::default() };
    let evaluator = Evaluator { formatter: &*formatter, judge: &judge, specialist: "python", config: &config };
    let problems = problems();
    let evaluate = |right_only| -> Result<Evaluation, Failed> {
        let evaluation = evaluator.evaluate_once(&FakeModel { right_only }, &problems, &Watch::SILENT)?;
        evaluation.ok_or_else(|| "a silent watch ends nothing early".into())
    };
    let (base, adapter) = (evaluate(false)?, evaluate(true)?);
    let example = Example {
        problem: "Problem reverse. Read a line and give it back.".to_owned(),
        reasoning: None,
        solution: "print(input()[::-1])".to_owned(),
        domain: Domain("python".to_owned()),
        difficulty: None,
    };
    let mut samples = SampleRecord::forgetful();
    let nearest_copy = NearestCopy::measure(&problems, &[example], &judge, &mut samples, &Watch::SILENT)?;
    Ok(EvaluationRecord {
        benchmarks: Vec::new(),
        statistics: STATISTICS,
        adapter_name: "python-lora".to_owned(),
        made_from: BTreeMap::new(),
        seed: 7,
        config: config.clone(),
        comparison: Comparison::of(base, adapter)?,
        breakdowns: Vec::new(),
        controls: Controls { shuffled_answers: None, nearest_copy },
    })
}

fn counted(evaluation: &Evaluation) -> Vec<String> {
    let words = |counts: &BTreeMap<String, u64>| counts.iter().map(|(k, v)| format!("{k} {v}")).collect::<Vec<_>>();
    [words(&evaluation.verdicts), words(&evaluation.errors)].concat()
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, got: T) -> Result<(), Failed> {
    if expected == got { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {got:?}").into()) }
}

fn answers_are_counted() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let record = record(2)?;
    let Comparison { base, adapter, improvement_points, .. } = &record.comparison;
    let expected = [
        "accepted 4",
        "no-code 1",
        "runtime-error 4",
        "time-limit 1",
        "unsupported 1",
        "wrong-answer 1",
        "FileNotFoundError 1",
        "NameError 1",
        "SyntaxError 1",
        "exit code 3 1",
        "no module `numpy` 1",
        "no-code 1",
    ];
    expect("the base's answers", expected.map(str::to_owned).to_vec(), counted(base))?;
    expect("the base's pass@1", 4.0 / 12.0, base.pass_at_1().value)?;
    expect("the base's pass@4", 1.0, base.pass_at[&4].value)?;
    // The adapter's first answers: two right ones, and one that finds no file to read.
    expect(
        "the adapter's answers",
        vec!["accepted 8".into(), "runtime-error 4".into(), "FileNotFoundError 4".into()],
        counted(adapter),
    )?;
    expect("the improvement", 100.0 * 4.0 / 12.0, improvement_points.value)?;
    expect("what copying solves", Some(1), record.controls.nearest_copy.as_ref().map(|copy| copy.correct))?;

    let latency = Latency { base_us: 100.0, adapter_us: 105.0, increase: 0.05, tokens: 10 };
    let decision = GateConfig::default().decide(&GateMeasurements::of(&record.comparison, &latency));
    expect(
        "the gate's summary",
        "the gate says no: improvement, lower end, answers that do not run".to_owned(),
        decision.summary(),
    )?;
    let report =
        Report { record: &record, latency: &latency, decision: Some(&decision), problems: &problems(), training: None };
    let page = folder.path().join("report.html");
    report.write_html(&page)?;
    let page = std::fs::read_to_string(page)?;
    expect(
        "the page shows what the model wrote, escaped",
        true,
        page.contains("open(&#39;/etc/passwd&#39;)") || page.contains("open('/etc/passwd')"),
    )
}

/// Counted as wrong, unknown answers of the base would carry an adapter through the gate.
fn gate_of_undecided() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let mut record = record(2)?;
    let Comparison { base, adapter, .. } = record.comparison;
    let mut outcomes = base.outcomes;
    for sample in outcomes.iter_mut().flat_map(|outcome| &mut outcome.samples) {
        (sample.verdict, sample.error) = (Some(Verdict::InternalError), Some("not-judged".to_owned()));
    }
    record.comparison = Comparison::of(Evaluation::of_outcomes(outcomes, &[1, 4])?, adapter)?;
    let path = folder.path().join("evaluation.json");
    record.write(&path)?;
    Latency { base_us: 100.0, adapter_us: 100.0, increase: 0.0, tokens: 10 }
        .write(&folder.path().join("latency.json"))?;
    let gate = Command::new(env!("CARGO_BIN_EXE_hilora-host")).args(["gate", "--evaluation"]).arg(&path).output()?;
    let said = String::from_utf8_lossy(&gate.stderr);
    expect("the exit code", Some(1), gate.status.code())?;
    expect("nothing is decided", true, gate.stdout.is_empty())?;
    let told = "error: 12 answers could not be judged\nhint: `hilora-host evaluate` asks for them again\n";
    expect("what is said", told, &*said)
}

fn records_repeat() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let bytes = |workers: usize| -> Result<Vec<u8>, Failed> {
        let path = folder.path().join(format!("evaluation-{workers}.json"));
        record(workers)?.write(&path)?;
        expect("what was written is read back", EvaluationRecord::read(&path)?.seed, 7)?;
        Ok(std::fs::read(&path)?)
    };
    expect("the record's bytes", true, bytes(1)? == bytes(3)?)
}
