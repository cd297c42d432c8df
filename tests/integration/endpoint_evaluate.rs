//! Measuring models behind an endpoint, against a real HTTP server that counts what it is asked: that pass@k is what
//! arithmetic says, that no fault of an endpoint becomes a wrong answer, and that a kill at any moment repeats no completion
//! that was recorded.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Response, StatusCode};
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{AnswerForm, Domain, EvaluationProblem, ProblemChecker, ProblemText, TestCase};
use hilora_contract::fault::{Blame, Fault};
use hilora_contract::plugin::PromptFormatter;
use hilora_evaluator::{
    Candidate, EndpointGenerator, Evaluation, EvaluationConfig, Evaluator, EvaluatorError, Generator, SampleRecord,
    Side, Subject, Watch,
};
use hilora_judge::{Judge, Verdict};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::{component, plugin_host, repository};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("endpoint_evaluate::pass_at_k_is_what_arithmetic_says", pass_at_k_is_exact),
        Trial::test("endpoint_evaluate::several_samples_share_a_request_where_the_server_takes_it", shared_requests),
        Trial::test("endpoint_evaluate::faults_are_asked_again_then_counted_and_never_a_zero", faults_are_counted),
        Trial::test("endpoint_evaluate::a_refused_prompt_is_counted_and_a_refusing_server_ends_it", refusals),
        Trial::test("endpoint_evaluate::a_changed_checker_judges_again_and_draws_nothing", changed_checker),
        Trial::test("endpoint_evaluate::thirty_kills_leave_the_same_samples_and_repeat_none", killed),
    ]
}

/// What the stub does with a request.
enum Reply {
    /// A choice of each text, with the reason that it ended.
    Choices(Vec<(String, &'static str)>),
    Status(u16, &'static str),
    /// Status 429 with the seconds to wait.
    Busy(u32),
    /// Nothing, for longer than the client waits.
    Hang,
    /// The first half of an answer, and then the end of the connection.
    Cut,
}

/// Decides by the request and by how often it came (from 1).
type Script = dyn Fn(&Value, u32) -> Reply + Send + Sync;

#[derive(Default)]
struct Counts {
    /// Requests by the hash of their bodies.
    requests: BTreeMap<ContentHash, u32>,
    /// Texts that were given.
    texts: BTreeMap<String, u32>,
    /// Texts that are recorded and must not be given any more.
    recorded: HashSet<String>,
    repeated: Vec<String>,
    /// Requests after this one wait.
    held_after: Option<u32>,
}

struct Stub {
    script: Box<Script>,
    delay: Duration,
    counts: Mutex<Counts>,
}

impl Stub {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("no handler panics")
    }
}

/// A server on a port of its own; it ends with its runtime.
struct Server {
    url: String,
    stub: Arc<Stub>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(delay_ms: u64, script: impl Fn(&Value, u32) -> Reply + Send + Sync + 'static) -> Result<Self, Failed> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let delay = Duration::from_millis(delay_ms);
        let stub = Arc::new(Stub { script: Box::new(script), delay, counts: Mutex::default() });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let post = || axum::routing::post(answer);
        let router = axum::Router::new().route("/v1/chat/completions", post()).route("/v1/completions", post());
        let router = router.with_state(stub.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, stub, _runtime: runtime })
    }

    fn requests(&self) -> u32 {
        self.stub.counts().requests.values().sum()
    }
}

/// A body that breaks after its first piece.
struct Broken(Option<Bytes>);

impl futures_core::Stream for Broken {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(self.0.take().ok_or_else(|| std::io::Error::other("cut"))))
    }
}

async fn answer(State(stub): State<Arc<Stub>>, body: String) -> Response<Body> {
    let request: Value = serde_json::from_str(&body).unwrap_or_default();
    let (attempt, number) = {
        let mut counts = stub.counts();
        let attempt = counts.requests.entry(ContentHash::of(body.as_bytes())).or_default();
        *attempt += 1;
        (*attempt, counts.requests.values().sum::<u32>())
    };
    tokio::time::sleep(stub.delay).await;
    // A client that is killed meanwhile takes this handler with it.
    while stub.counts().held_after.is_some_and(|last| number > last) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let reply = (stub.script)(&request, attempt);
    let wait = if let Reply::Busy(seconds) = reply { seconds } else { 0 };
    let (status, body) = match reply {
        Reply::Choices(choices) => (200, Body::from(choices_body(&stub, &request, &choices))),
        Reply::Status(status, body) => (status, Body::from(body)),
        Reply::Busy(_) => (429, Body::empty()),
        Reply::Hang => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            (200, Body::empty())
        }
        Reply::Cut => (200, Body::from_stream(Broken(Some(Bytes::from_static(b"{\"choices\": [{"))))),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    if status == 429 {
        response.headers_mut().insert("retry-after", wait.to_string().parse().expect("a header"));
    }
    response
}

/// The answer's JSON in the form of the API that was asked, its choices in no order.
fn choices_body(stub: &Stub, request: &Value, choices: &[(String, &'static str)]) -> String {
    let mut counts = stub.counts();
    let choice = |(index, (text, finish_reason)): (usize, &(String, &'static str))| {
        *counts.texts.entry(text.clone()).or_default() += 1;
        if counts.recorded.contains(text) {
            counts.repeated.push(text.clone());
        }
        if request["messages"].is_array() {
            json!({"index": index, "message": {"content": text}, "finish_reason": finish_reason})
        } else {
            json!({"index": index, "text": text, "finish_reason": finish_reason})
        }
    };
    let choices: Vec<Value> = choices.iter().enumerate().map(choice).rev().collect();
    json!({"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 8 * choices.len()}}).to_string()
}

/// A program that prints a number, as a model would write it. No two marks give the same text.
fn program(prints: usize, mark: u64) -> String {
    format!("```python\n# {mark}\nprint({prints})\n```")
}

/// Problem `number` asks for its own number.
fn problem(number: usize) -> EvaluationProblem {
    EvaluationProblem {
        text: ProblemText {
            id: format!("p{number}"),
            title: format!("p{number}"),
            statement: format!("Print the number <{number}>."),
            tags: Vec::new(),
            difficulty: None,
        },
        domain: Domain("python".to_owned()),
        tests: [TestCase { input: String::new(), output: format!("{number}\n") }].into(),
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

/// The number that a request's prompt asks for, of either API.
fn asked(request: &Value) -> usize {
    let prompt = format!("{}{}", request["messages"], request["prompt"]);
    let number = prompt.split("number <").nth(1).and_then(|rest| rest.split('>').next());
    number.and_then(|number| number.parse().ok()).expect("every prompt asks for a number")
}

fn seed(request: &Value) -> u64 {
    request["seed"].as_u64().expect("every request has a seed")
}

/// Formatter and judge, opened once for a test.
struct Bench {
    formatter: Box<dyn PromptFormatter>,
    judge: Judge,
}

impl Bench {
    fn open() -> Result<Self, Failed> {
        let plugins = plugin_host()?;
        let formatter = plugins.formatter(&component("chatml-formatter"))?;
        Ok(Self { formatter, judge: Judge::new(plugins.runner(&component("python-runner"))?, 2) })
    }

    /// Measures one side's model of a server.
    fn evaluate(
        &self,
        url: &str,
        settings: Value,
        problems: &[EvaluationProblem],
        (samples, k): (u32, &[u32]),
        record: &mut SampleRecord,
    ) -> Result<Evaluation, EvaluatorError> {
        let mut generator = json!({"base_url": url, "base_model": "base", "adapter_model": "adapter"});
        generator.as_object_mut().expect("an object").extend(settings.as_object().expect("an object").clone());
        let endpoint = serde_json::from_value(generator).expect("a config");
        let config = EvaluationConfig { samples_per_problem: samples, k: k.to_vec(), ..EvaluationConfig::default() };
        let formatter = &*self.formatter;
        let evaluator = Evaluator { formatter, judge: &self.judge, specialist: "python", config: &config };
        let generator = EndpointGenerator::new(&endpoint, Side::Base, &config, formatter, 7)?;
        let candidate = Candidate { subject: Subject::Base, generator: &generator, content: generator.content() };
        assert_eq!(generator.settings(), generator.settings());
        let evaluation = evaluator.evaluate(&candidate, problems, record, &Watch::SILENT)?;
        Ok(evaluation.expect("a silent watch ends nothing early"))
    }

    fn once(&self, url: &str, settings: Value, problems: usize, samples: u32) -> Result<Evaluation, EvaluatorError> {
        let problems: Vec<EvaluationProblem> = (0..problems).map(problem).collect();
        self.evaluate(url, settings, &problems, (samples, &[]), &mut SampleRecord::forgetful())
    }
}

/// C(n, k), exactly.
fn binomial(n: u64, k: u64) -> u64 {
    (0..k).fold(1, |product, i| product * (n - i) / (i + 1))
}

fn pass_at_k_is_exact() -> Result<(), Failed> {
    let bench = Bench::open()?;
    // How many of n answers to each problem are right.
    for (n, right, k, settings) in [
        (4, vec![0, 1, 2, 4], vec![2, 3, 4], json!({})),
        (10, vec![1, 5, 9], vec![2, 5, 10], json!({"api": "completions", "concurrency": 3})),
        (6, vec![3, 0, 6, 1, 2], vec![4, 6], json!({"samples_per_request": 4})),
    ] {
        let given: Mutex<BTreeMap<usize, usize>> = Mutex::default();
        let of_problem = right.clone();
        let server = Server::start(0, move |request, _| {
            let number = asked(request);
            let choice = |index| {
                let mut given = given.lock().expect("no handler panics");
                let given = given.entry(number).or_default();
                *given += 1;
                // The right ones are spread over the requests.
                let is_right = *given * of_problem[number] / n > (*given - 1) * of_problem[number] / n;
                let text = program(if is_right { number } else { 1_000 }, seed(request) + index);
                (text, "stop")
            };
            Reply::Choices((0..request["n"].as_u64().unwrap_or(1)).map(choice).collect())
        })?;
        let problems: Vec<EvaluationProblem> = (0..right.len()).map(problem).collect();
        let mut record = SampleRecord::forgetful();
        let measured = bench.evaluate(&server.url, settings, &problems, (n as u32, &k), &mut record)?;
        let c: Vec<u64> = measured.outcomes.iter().map(|outcome| outcome.correct()).collect();
        assert_eq!(c, right.iter().map(|c| *c as u64).collect::<Vec<_>>());
        for k in k.iter().map(|k| u64::from(*k)).chain([1]) {
            let n = n as u64;
            let misses: Vec<f64> = c.iter().map(|c| binomial(n - c, k) as f64 / binomial(n, k) as f64).collect();
            let expected = 1.0 - misses.iter().sum::<f64>() / c.len() as f64;
            let got = measured.pass_at[&(k as u32)].value;
            assert!((got - expected).abs() < 1e-12, "pass@{k} of {n}: expected {expected}, got {got}");
        }
        // Read as "try up to n times and stop at the first success", n answers say how often that succeeds.
        let tries = |samples: &[hilora_evaluator::SampleOutcome]| {
            samples.iter().any(|sample| sample.verdict == Some(Verdict::Accepted))
        };
        let succeed = measured.outcomes.iter().filter(|outcome| tries(&outcome.samples)).count();
        let stopping = succeed as f64 / measured.outcomes.len() as f64;
        assert!((measured.pass_at[&(n as u32)].value - stopping).abs() < 1e-12);
    }
    Ok(())
}

fn shared_requests() -> Result<(), Failed> {
    let bench = Bench::open()?;
    let right = |request: &Value, mark: u64| (program(asked(request), seed(request) + mark), "stop");
    let taken = Server::start(0, move |request, _| {
        Reply::Choices((0..request["n"].as_u64().unwrap_or(1)).map(|mark| right(request, mark)).collect())
    })?;
    let refused = Server::start(0, move |request, _| match request["n"].as_u64() {
        Some(_) => Reply::Status(400, r#"{"error": "n must be 1"}"#),
        None => Reply::Choices(vec![right(request, 0)]),
    })?;
    let ignored = Server::start(0, move |request, _| Reply::Choices(vec![right(request, 0)]))?;
    // Three problems, five samples each: two requests a problem; one that is refused, and every sample; every sample.
    for (server, requests) in [(&taken, 6), (&refused, 16), (&ignored, 15)] {
        let measured = bench.once(&server.url, json!({"samples_per_request": 4, "concurrency": 1}), 3, 5)?;
        assert_eq!((measured.correct, measured.cut, server.requests()), (15, 0, requests));
    }
    Ok(())
}

fn faults_are_counted() -> Result<(), Failed> {
    let bench = Bench::open()?;
    let right = |request: &Value| Reply::Choices(vec![(program(asked(request), seed(request)), "stop")]);
    let fault = |number: usize| match number {
        0 => Reply::Hang,
        1 => Reply::Busy(1),
        2 => Reply::Status(500, "oops"),
        3 => Reply::Cut,
        4 => Reply::Status(200, "<html>not what you think</html>"),
        5 => Reply::Status(200, r#"{"choices": []}"#),
        6 => Reply::Status(200, r#"{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}"#),
        _ => Reply::Status(200, r#"{"choices": [{"finish_reason": "stop"}]}"#),
    };
    let settings = json!({"timeout_seconds": 1, "retries": 1});
    let passing = Server::start(0, move |request, attempt| match attempt {
        1 => fault(asked(request)),
        _ => right(request),
    })?;
    let measured = bench.once(&passing.url, settings.clone(), 8, 1)?;
    assert_eq!((measured.correct, measured.errors.len(), passing.requests()), (8, 0, 16));

    // What stays is the machine's: five answers are counted apart by their name.
    for (faults, offset) in [(5, 0), (3, 5)] {
        let staying = Server::start(0, move |request, _| match asked(request) {
            number if number < faults => fault(number + offset),
            _ => right(request),
        })?;
        let measured = bench.once(&staying.url, settings.clone(), 9, 1)?;
        assert_eq!(measured.errors, BTreeMap::from([("not-answered".to_owned(), faults as u64)]));
        assert_eq!((measured.undecided().count(), measured.correct), (faults, 9 - faults as u64));
    }
    let down = Server::start(0, |_, _| Reply::Status(503, ""))?;
    let error = bench.once(&down.url, json!({"retries": 0}), 9, 1).expect_err("six are too many");
    assert_eq!((error.blame(), error.hints().len()), (Blame::Machine, 1));
    let told = error.to_string();
    assert!(told.starts_with("6 answers did not come; the first, to `p"), "{told}");
    assert!(
        told.ends_with("gave no answer in 1 attempts, the last time: status 503 Service Unavailable: no words"),
        "{told}"
    );

    // An answer that was cut is the model's, also if it has no content yet.
    let cut = Server::start(0, |request, _| match asked(request) {
        0 => Reply::Choices(vec![("```python\nprint(".to_owned(), "length")]),
        _ => Reply::Status(200, r#"{"choices": [{"message": {"content": null}, "finish_reason": "length"}]}"#),
    })?;
    let measured = bench.once(&cut.url, json!({}), 2, 1)?;
    assert_eq!((measured.cut, measured.undecided().count(), cut.requests()), (2, 0, 2));
    Ok(())
}

fn refusals() -> Result<(), Failed> {
    let bench = Bench::open()?;
    let too_long = r#"{"error": {"message": "maximum context length is 4096 tokens"}}"#;
    let server = Server::start(0, move |request, _| match asked(request) {
        0 => Reply::Status(400, too_long),
        number => Reply::Choices(vec![(program(number, seed(request)), "stop")]),
    })?;
    let folder = tempfile::tempdir()?;
    let problems: Vec<EvaluationProblem> = (0..3).map(problem).collect();
    let evaluate = || -> Result<Evaluation, Failed> {
        let mut record = SampleRecord::open(folder.path(), ContentHash::of(b"program"))?;
        Ok(bench.evaluate(&server.url, json!({}), &problems, (1, &[]), &mut record)?)
    };
    let measured = evaluate()?;
    assert_eq!((measured.correct, measured.errors.get("refused")), (2, Some(&1)));
    assert_eq!((evaluate()?, server.requests()), (measured.clone(), 3), "it is not asked again");
    // Where a kill left only such prompts, they are asked again, and it ends all the same.
    let samples = folder.path().join("samples.jsonl");
    let text = fs::read_to_string(&samples)?;
    let kept: String = text.split_inclusive('\n').filter(|line| !line.contains("maximum context")).collect();
    fs::write(&samples, kept)?;
    assert_eq!((evaluate()?, server.requests()), (measured, 4));
    // A server that refuses everything, or the key, says nothing of a model.
    for (status, body) in [(400, r#"{"error": "no such model"}"#), (401, r#"{"error": "who are you?"}"#)] {
        let server = Server::start(0, move |_, _| Reply::Status(status, body))?;
        let error = bench.once(&server.url, json!({"concurrency": 2}), 3, 1).expect_err("it is the config's");
        assert_eq!(error.blame(), Blame::User);
        assert!(error.to_string().contains(&format!("refuses the request with status {status}: ")), "{error}");
    }
    Ok(())
}

fn changed_checker() -> Result<(), Failed> {
    let bench = Bench::open()?;
    let server = Server::start(0, |request, _| {
        Reply::Choices(vec![(format!("```python\nprint('{}.0')\n```", asked(request)), "stop")])
    })?;
    let folder = tempfile::tempdir()?;
    let correct = |checker: &str| -> Result<u64, Failed> {
        let problems: Vec<EvaluationProblem> = (0..4)
            .map(|number| EvaluationProblem {
                checker: ProblemChecker::named(checker).expect("it is built in"),
                ..problem(number)
            })
            .collect();
        let mut record = SampleRecord::open(folder.path(), ContentHash::of(b"program"))?;
        Ok(bench.evaluate(&server.url, json!({}), &problems, (2, &[]), &mut record)?.correct)
    };
    assert_eq!((correct("lines")?, server.requests()), (0, 8));
    assert_eq!((correct("float")?, server.requests()), (8, 8));
    Ok(())
}

/// A run folder with problems, and a config that asks a server.
struct RunFolder(tempfile::TempDir);

impl RunFolder {
    fn new(url: &str, problems: usize) -> Result<Self, Failed> {
        let folder = Self(tempfile::tempdir()?);
        let data = folder.path("run/data");
        fs::create_dir_all(&data)?;
        fs::write(data.join("python_train.jsonl"), "")?;
        let rows: Result<String, serde_json::Error> =
            (0..problems).map(|number| Ok(serde_json::to_string(&problem(number))? + "\n")).collect();
        fs::write(data.join("python_tests.jsonl"), rows?)?;
        let config = format!(
            "
adapter_name: python-lora
base_model: examples/tiny-base
lora: {{r: 4, lora_alpha: 8}}
training: {{mode: qlora, num_epochs: 1, batch_size: 4, learning_rate: 1e-3, max_seq_length: 256}}
data: {{source: codecontests, files: [a.parquet], domains: [python]}}
evaluation:
  samples_per_problem: 4
  generator: {{base_url: \"{url}\", base_model: base, adapter_model: tuned, concurrency: 4}}
"
        );
        fs::write(folder.path("endpoint.yaml"), config)?;
        Ok(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn evaluate(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        command.current_dir(repository()).args(["evaluate", "--quiet", "--json", "--config"]);
        command.arg(self.path("endpoint.yaml")).arg("--run").arg(self.path("run"));
        command.arg("--registry").arg(self.path("registry.sqlite")).env_remove("OPENAI_API_KEY");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The texts of the completions in the record's whole lines.
    fn recorded(&self) -> Result<Vec<String>, Failed> {
        let text = match fs::read_to_string(self.path("run/stages/samples.jsonl")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        };
        let mut texts = Vec::new();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let line: Value = serde_json::from_str(line)?;
            texts.extend(line["entry"]["completion"]["text"].as_str().map(str::to_owned));
        }
        Ok(texts)
    }
}

fn expect_exit(output: &Output, code: i32) -> Result<String, Failed> {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(code) {
        return Ok(message);
    }
    Err(format!("expected exit code {code}, got {:?}: {message}", output.status.code()).into())
}

fn killed() -> Result<(), Failed> {
    const PROBLEMS: usize = 50;
    const COMPLETIONS: usize = 2 * 4 * PROBLEMS;
    const CONCURRENCY: usize = 4;
    const KILLS: u32 = 30;
    // The tuned model is right, the base is right now and then; each answer follows from its request alone.
    let script = |request: &Value, attempt: u32| {
        let (number, seed) = (asked(request), seed(request));
        if attempt == 1 && seed.is_multiple_of(61) {
            return Reply::Busy(0);
        }
        let is_right = request["model"] == "tuned" || seed.is_multiple_of(3);
        let mark = seed + if request["model"] == "tuned" { 1 << 40 } else { 0 };
        Reply::Choices(vec![(program(if is_right { number } else { 1_000 }, mark), "stop")])
    };
    let server = Server::start(2, script)?;
    let folder = RunFolder::new(&server.url, PROBLEMS)?;
    let mut random = 20_261_130_u64;
    let mut next = |below: u64| {
        // Knuth's MMIX generator; its upper half is random enough for moments.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut kept = 0;
    for kill in 1..=KILLS {
        // At most 13 answers a kill, so that no run gets to its end.
        let last = server.requests() + next(14) as u32;
        server.stub.counts().held_after = Some(last);
        let mut child = folder.evaluate().spawn()?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while server.requests() <= last && child.try_wait()?.is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(next(4_000)));
        child.kill()?;
        let status = child.wait()?;
        assert!(!status.success(), "kill {kill} came too late, after {kept} completions");
        let recorded = folder.recorded()?;
        assert!(recorded.len() >= kept, "the record lost lines");
        kept = recorded.len();
        server.stub.counts().recorded = recorded.into_iter().collect();
    }
    assert!(kept > 0, "no kill came while answers were drawn");
    server.stub.counts().held_after = None;
    expect_exit(&folder.evaluate().output()?, 0)?;
    let samples = fs::read(folder.path("run/stages/samples.jsonl"))?;
    let evaluation = fs::read(folder.path("run/evaluation.json"))?;
    {
        let counts = server.stub.counts();
        assert_eq!(counts.repeated, [""; 0], "completions were drawn again although they were recorded");
        let given: u32 = counts.texts.values().sum();
        let lost = given as usize - COMPLETIONS;
        assert!(lost <= KILLS as usize * CONCURRENCY, "{lost} answers were lost in {KILLS} kills");
    }
    let recorded = folder.recorded()?;
    assert_eq!((recorded.len(), recorded.iter().collect::<HashSet<_>>().len()), (COMPLETIONS, COMPLETIONS));

    // Undisturbed, at the same address: the same files, and every completion once.
    for name in ["run/stages", "run/stages.json", "run/evaluation.json", "run/latency.json"] {
        let path = folder.path(name);
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    *server.stub.counts() = Counts::default();
    expect_exit(&folder.evaluate().output()?, 0)?;
    assert!(fs::read(folder.path("run/stages/samples.jsonl"))? == samples, "the samples differ");
    assert!(fs::read(folder.path("run/evaluation.json"))? == evaluation, "the evaluations differ");
    assert!(server.stub.counts().texts.values().all(|given| *given == 1));

    // What was not timed passes no gate.
    let gate = Command::new(env!("CARGO_BIN_EXE_hilora-host"))
        .args(["gate", "--evaluation"])
        .arg(folder.path("run/evaluation.json"))
        .output()?;
    expect_exit(&gate, 3)?;
    let said = String::from_utf8_lossy(&gate.stdout);
    assert!(said.contains("not measured   FAILED") && said.contains("no: decode time over the base"), "{said}");
    Ok(())
}
