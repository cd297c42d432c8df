//! `hilora-host enrich` against a real HTTP server that counts what it is asked: what is filled and what is rejected,
//! what is asked again and what is not, and that a kill at any moment repeats no call whose answer was recorded.
//!
//! The server counts an answer as given once it hands it to the connection. A client that is killed before it has
//! recorded the answer may ask again; whatever stands in a whole line of the record is never asked for again.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{Domain, Example, ProblemTests, TestCase};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::repository;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("enrich::fills_rows_without_reasoning_and_rejects_by_reason", fills_and_rejects),
        Trial::test("enrich::asks_again_after_failures_that_pass", asks_again),
        Trial::test("enrich::stops_at_a_refusal_with_the_servers_words_and_no_key", stops_at_a_refusal),
        Trial::test(
            "enrich::a_refused_request_costs_its_row_and_a_refusing_server_the_run",
            a_refused_request_costs_its_row,
        ),
        Trial::test("enrich::a_server_that_asks_for_a_long_pause_stops_the_run", a_long_pause_stops_the_run),
        Trial::test("enrich::a_server_that_never_answers_stops_the_run_and_loses_nothing", gives_up),
        Trial::test("enrich::an_interruption_records_the_calls_in_flight", interrupted),
        Trial::test("enrich::twenty_kills_change_no_byte_and_repeat_no_recorded_call", killed),
        Trial::test("enrich::bad_input_is_one_error_with_a_hint", bad_input),
    ]
}

/// What the stub does with a request.
enum Reply {
    /// A trace after a moment.
    Trace(String),
    /// A status with a body.
    Status(u16, &'static str),
    /// Nothing, for longer than the client waits.
    Hang,
    /// Status 429 with the seconds to wait.
    Busy(u32),
}

/// Decides by the request's text and by how often it came (from 1).
type Script = dyn Fn(&str, u32) -> Reply + Send + Sync;

#[derive(Default)]
struct Counts {
    /// Requests by the hash of their bodies.
    requests: BTreeMap<ContentHash, u32>,
    /// Answers with status 200 that carried a trace.
    answers: BTreeMap<ContentHash, u32>,
    open: usize,
    open_max: usize,
    /// Keys that must not be asked for any more.
    recorded: HashSet<ContentHash>,
    /// Requests for them.
    repeated: Vec<ContentHash>,
    authorization: Option<String>,
}

struct Stub {
    script: Box<Script>,
    delay: Duration,
    counts: Mutex<Counts>,
}

/// A server on a port of its own; it ends with its runtime.
struct Server {
    url: String,
    stub: Arc<Stub>,
    _runtime: tokio::runtime::Runtime,
}

impl Stub {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("no handler panics")
    }
}

/// A request that is answered or abandoned is no longer open.
struct OpenCall(Arc<Stub>);

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.counts().open -= 1;
    }
}

async fn answer(State(stub): State<Arc<Stub>>, headers: HeaderMap, body: String) -> Response<Body> {
    let key = ContentHash::of(body.as_bytes());
    let attempt = {
        let mut counts = stub.counts();
        counts.open += 1;
        counts.open_max = counts.open_max.max(counts.open);
        if counts.recorded.contains(&key) {
            counts.repeated.push(key);
        }
        counts.authorization =
            headers.get("authorization").map(|value| String::from_utf8_lossy(value.as_bytes()).into());
        let attempt = counts.requests.entry(key).or_default();
        *attempt += 1;
        *attempt
    };
    let _open = OpenCall(stub.clone());
    let request: Value = serde_json::from_str(&body).unwrap_or_default();
    let prompt = request["messages"][0]["content"].as_str().unwrap_or_default();
    tokio::time::sleep(stub.delay).await;
    let reply = (stub.script)(prompt, attempt);
    let wait = if let Reply::Busy(seconds) = reply { seconds } else { 0 };
    let (status, body) = match reply {
        Reply::Trace(text) => {
            *stub.counts().answers.entry(key).or_default() += 1;
            let message = json!({"role": "assistant", "content": text});
            let usage = json!({"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110});
            let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
            (200, json!({"id": "x", "choices": [choice], "usage": usage}).to_string())
        }
        Reply::Status(status, body) => (status, body.to_owned()),
        Reply::Hang => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            (200, String::new())
        }
        Reply::Busy(_) => (429, String::new()),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    if status == 429 {
        response.headers_mut().insert("retry-after", wait.to_string().parse().expect("a header"));
    }
    response
}

impl Server {
    fn start(delay_ms: u64, script: impl Fn(&str, u32) -> Reply + Send + Sync + 'static) -> Result<Self, Failed> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let delay = Duration::from_millis(delay_ms);
        let stub = Arc::new(Stub { script: Box::new(script), delay, counts: Mutex::default() });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let router =
            axum::Router::new().route("/v1/chat/completions", axum::routing::post(answer)).with_state(stub.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, stub, _runtime: runtime })
    }

    fn requests(&self) -> u32 {
        self.stub.counts().requests.values().sum()
    }
}

/// A trace that names its request, so that two requests get different traces and one always gets the same.
fn trace(prompt: &str) -> String {
    format!(
        "We are asked for the number of the problem, and nothing else matters for it. One pass over the input is \
         enough, which is linear. Mark {}.",
        ContentHash::of(prompt.as_bytes()).short()
    )
}

/// A run folder with training rows and the tests of their problems.
struct Bench {
    folder: tempfile::TempDir,
}

fn example(problem: &str, reasoning: Option<&str>) -> Example {
    Example {
        problem: problem.to_owned(),
        reasoning: reasoning.map(str::to_owned),
        solution: format!("print({:?})", problem.len()),
        domain: Domain("python".to_owned()),
        difficulty: None,
    }
}

impl Bench {
    fn new(url: &str, settings: &str, rows: &[String]) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("run/data");
        fs::create_dir_all(&data)?;
        fs::write(data.join("python_train.jsonl"), rows.iter().map(|row| format!("{row}\n")).collect::<String>())?;
        let mut tests = String::new();
        for row in rows {
            let Ok(example) = serde_json::from_str::<Example>(row) else { continue };
            let hidden = TestCase { input: "71 82 93 104 115 126 137".to_owned(), output: "3".to_owned() };
            let problem = ContentHash::of(example.problem.as_bytes());
            tests.push_str(&serde_json::to_string(&ProblemTests { problem, tests: [hidden].into() })?);
            tests.push('\n');
        }
        fs::write(data.join("python_train_tests.jsonl"), tests)?;
        let bench = Self { folder };
        bench.point_at(url, settings)?;
        Ok(bench)
    }

    fn point_at(&self, url: &str, settings: &str) -> Result<(), Failed> {
        let config = format!(
            "
adapter_name: python-lora
base_model: examples/tiny-base
lora: {{r: 4, lora_alpha: 8}}
training: {{mode: qlora, num_epochs: 1, batch_size: 4, learning_rate: 1e-3, max_seq_length: 256}}
data: {{source: codecontests, files: [a.parquet], domains: [python]}}
enrich: {{base_url: \"{url}\", model: stub{settings}}}
"
        );
        Ok(fs::write(self.path("enrich.yaml"), config)?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        command.current_dir(repository()).args(arguments).arg("--config").arg(self.path("enrich.yaml"));
        command.arg("--run").arg(self.path("run")).arg("--registry").arg(self.path("registry.sqlite"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("OPENAI_API_KEY");
        command
    }

    fn enrich(&self) -> Result<Value, Failed> {
        let output = self.command(&["enrich", "--json"]).output()?;
        expect_exit(&output, 0)?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn enriched(&self) -> Result<String, Failed> {
        Ok(fs::read_to_string(self.path("run/data/python_train_enriched.jsonl"))?)
    }

    /// The keys in the record's whole lines.
    fn recorded(&self) -> Result<Vec<ContentHash>, Failed> {
        let text = match fs::read_to_string(self.path("run/data/python_traces.jsonl")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        };
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| Ok(serde_json::from_value(serde_json::from_str::<Value>(line)?["key"].clone())?)).collect()
    }
}

fn expect_exit(output: &Output, code: i32) -> Result<String, Failed> {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(code) {
        Ok(message)
    } else {
        Err(format!("expected exit code {code}, got {:?}: {message}", output.status.code()).into())
    }
}

fn rows(count: usize) -> Result<Vec<String>, Failed> {
    (0..count).map(|i| Ok(serde_json::to_string(&example(&format!("Print number {i}."), None))?)).collect()
}

fn fills_and_rejects() -> Result<(), Failed> {
    let server = Server::start(5, |prompt, _| {
        let text = match () {
            () if prompt.contains("refuse") => "I'm sorry, but I can't help with that.".to_owned(),
            () if prompt.contains("only code") => format!("```python\n{}```", "x = 1\n".repeat(40)),
            () if prompt.contains("leak") => format!("{} On 71 82 93 104 115 126 137 it prints 3.", trace(prompt)),
            () => trace(prompt),
        };
        Reply::Trace(text)
    })?;
    let conversation = r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"domain":"python","difficulty":null}"#;
    let mut lines: Vec<String> = Vec::new();
    for (problem, reasoning) in [
        ("Plain one.", None),
        ("Has one.", Some("It has a reasoning already.")),
        ("Please refuse.", None),
        ("Answer with only code.", None),
        ("Please leak.", None),
        ("Blank reasoning.", Some(" \n")),
        ("Plain one.", None),
    ] {
        lines.push(serde_json::to_string(&example(problem, reasoning))?);
    }
    lines.insert(2, conversation.to_owned());
    let settings = ", concurrency: 3, price_per_million_input_tokens: 2, price_per_million_output_tokens: 10";
    let bench = Bench::new(&server.url, settings, &lines)?;

    let dry = bench.command(&["enrich", "--json", "--dry-run"]).output()?;
    expect_exit(&dry, 0)?;
    assert_eq!(serde_json::from_slice::<Value>(&dry.stdout)?["calls"], 5);
    assert_eq!((server.requests(), bench.path("run/data/python_traces.jsonl").exists()), (0, false));
    // Without the enriched rows there is nothing to train on.
    let train = expect_exit(&bench.command(&["train"]).output()?, 2)?;
    assert!(train.contains("python_train_enriched.jsonl is missing\nhint: `hilora-host enrich`"), "{train}");

    let report = bench.enrich()?;
    assert_eq!(report["rejected"], json!({"leaks-test-data": 1, "no-reasoning": 1, "refused": 1}), "{report}");
    let counts = ["rows", "other_rows", "had_reasoning", "accepted", "calls", "calls_answered", "prompt_tokens"];
    assert_eq!(counts.map(|name| report[name].as_u64().unwrap_or(999)), [8, 1, 1, 3, 5, 5, 500], "{report}");
    assert_eq!(report["cost"], json!(0.0015), "{report}");
    assert!(server.stub.counts().open_max <= 3);

    let enriched = bench.enriched()?;
    let written: Vec<&str> = enriched.lines().collect();
    assert_eq!(written.len(), lines.len());
    for (row, (before, after)) in lines.iter().zip(&written).enumerate() {
        if [0, 6, 7].contains(&row) {
            let (before, after): (Example, Example) = (serde_json::from_str(before)?, serde_json::from_str(after)?);
            assert!(after.reasoning.as_deref().is_some_and(|text| text.contains("Mark ")), "{after:?}");
            assert_eq!(before, Example { reasoning: before.reasoning.clone(), ..after });
        } else {
            assert_eq!(before, after, "row {row} keeps its bytes");
        }
    }

    assert_eq!(bench.enrich()?["state"], "unchanged");
    // What no enrichment is known to have written is not trained on.
    let stages = fs::read(bench.path("run/stages.json"))?;
    fs::remove_file(bench.path("run/stages.json"))?;
    let train = expect_exit(&bench.command(&["train"]).output()?, 2)?;
    assert!(train.contains("is not what an enrichment of this run has written\nhint: `hilora-host enrich`"), "{train}");
    fs::write(bench.path("run/stages.json"), stages)?;
    fs::write(bench.path("run/data/python_train_enriched.jsonl"), enriched.replace("Mark ", "Sign "))?;
    let train = expect_exit(&bench.command(&["train"]).output()?, 2)?;
    assert!(train.contains("is not what an enrichment of this run has written"), "{train}");
    fs::remove_file(bench.path("run/stages.json"))?;
    assert_eq!(bench.enrich()?["answers_reused"], 5);
    assert_eq!((server.requests(), bench.enriched()?), (5, enriched));

    // New training rows: the enriched file is of other data, and only the new row is asked for.
    lines.push(serde_json::to_string(&example("A new one.", None))?);
    let other = Bench::new(&server.url, settings, &lines)?;
    for name in ["python_train.jsonl", "python_train_tests.jsonl"] {
        fs::copy(other.path("run/data").join(name), bench.path("run/data").join(name))?;
    }
    let train = expect_exit(&bench.command(&["train"]).output()?, 2)?;
    assert!(train.contains("made from something else than stands there now: training data"), "{train}");
    assert_eq!(bench.enrich()?["calls"], 1);
    assert_eq!(server.requests(), 6);
    Ok(())
}

fn asks_again() -> Result<(), Failed> {
    let server = Server::start(0, |prompt, attempt| match attempt {
        1 if prompt.contains("number 0.") => Reply::Status(429, r#"{"error":{"message":"slow down"}}"#),
        1 | 2 if prompt.contains("number 1.") => Reply::Status(500, "oops"),
        1 if prompt.contains("number 2.") => Reply::Hang,
        1 if prompt.contains("number 3.") => Reply::Status(200, "<html>not what you think</html>"),
        1 if prompt.contains("number 4.") => Reply::Status(200, r#"{"choices":[]}"#),
        1 if prompt.contains("number 5.") => Reply::Status(503, ""),
        // What some servers send: a count that is null, a refusal that is empty.
        _ if prompt.contains("number 6.") => Reply::Status(
            200,
            r#"{"choices":[{"message":{"content":"One pass over the input is enough, because the number that is asked for stands in the statement, and nothing else is read.","refusal":""}}],"usage":{"prompt_tokens":7,"completion_tokens":null}}"#,
        ),
        _ => Reply::Trace(trace(prompt)),
    })?;
    let bench = Bench::new(&server.url, ", timeout_seconds: 1, retries: 3", &rows(8)?)?;
    let report = bench.enrich()?;
    assert_eq!((&report["accepted"], &report["calls_answered"]), (&json!(8), &json!(8)), "{report}");
    assert_eq!((&report["prompt_tokens"], &report["completion_tokens"]), (&json!(707), &json!(70)), "{report}");
    let mut attempts: Vec<u32> = server.stub.counts().requests.values().copied().collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 1, 2, 2, 2, 2, 2, 3]);
    assert!(server.stub.counts().answers.values().all(|answers| *answers == 1));
    assert_eq!(server.stub.counts().authorization, None, "a server on this machine is asked without a key");
    Ok(())
}

fn stops_at_a_refusal() -> Result<(), Failed> {
    let server = Server::start(0, |prompt, _| match prompt {
        prompt if prompt.contains("number 5.") => {
            Reply::Status(401, r#"{"error":{"message":"Incorrect API key provided: sk-very-secret."}}"#)
        }
        prompt => Reply::Trace(trace(prompt)),
    })?;
    let bench = Bench::new(&server.url, ", concurrency: 1, api_key_env: STUB_KEY", &rows(20)?)?;
    let output = bench.command(&["enrich"]).env("STUB_KEY", "sk-very-secret").env("RUST_LOG", "trace").output()?;
    let message = expect_exit(&output, 2)?;
    assert!(message.contains("with status 401: Incorrect API key provided: [API key]."), "{message}");
    assert!(message.contains("\nhint: every answer so far is recorded"), "{message}");
    assert_eq!(server.stub.counts().authorization.as_deref(), Some("Bearer sk-very-secret"));
    assert_eq!((server.requests(), bench.recorded()?.len()), (6, 5), "a refusal is not asked again");
    assert!(!bench.path("run/data/python_train_enriched.jsonl").exists());
    // Neither the log nor any file knows the key.
    assert!(!message.contains("very-secret") && !String::from_utf8_lossy(&output.stdout).contains("very-secret"));
    let mut files = Vec::new();
    files_below(&bench.path("run"), &mut files)?;
    for file in files {
        assert!(!String::from_utf8_lossy(&fs::read(&file)?).contains("very-secret"), "{}", file.display());
    }
    Ok(())
}

fn a_refused_request_costs_its_row() -> Result<(), Failed> {
    let server = Server::start(20, |prompt, _| match prompt {
        prompt if prompt.contains("number 0.") || prompt.contains("number 7.") => {
            Reply::Status(400, r#"{"error":{"message":"maximum context length is 4096 tokens"}}"#)
        }
        prompt => Reply::Trace(trace(prompt)),
    })?;
    let bench = Bench::new(&server.url, ", concurrency: 2", &rows(9)?)?;
    let report = bench.enrich()?;
    assert_eq!((&report["accepted"], &report["rejected"]), (&json!(7), &json!({"refused": 2})), "{report}");
    assert_eq!((server.requests(), bench.recorded()?.len()), (9, 9), "nothing is asked twice");

    // Where the last rows of a run that was killed are of this kind, the rest of it ends all the same.
    let record = bench.path("run/data/python_traces.jsonl");
    let kept: Vec<String> = fs::read_to_string(&record)?
        .lines()
        .filter(|line| !line.contains("maximum context length"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(kept.len(), 7);
    fs::write(&record, kept.concat())?;
    fs::remove_file(bench.path("run/stages.json"))?;
    let report = bench.enrich()?;
    assert_eq!((&report["accepted"], &report["rejected"]), (&json!(7), &json!({"refused": 2})), "{report}");

    // Another endpoint that answers nothing at all refuses no row for good, whatever the first one answered.
    let broken = Server::start(0, |_, _| Reply::Status(400, r#"{"error":"no such model"}"#))?;
    let bench = Bench::new(&server.url, ", concurrency: 2", &rows(9)?)?;
    bench.enrich()?;
    let more = Bench::new(&broken.url, ", concurrency: 2", &rows(40)?)?;
    fs::copy(bench.path("run/data/python_traces.jsonl"), more.path("run/data/python_traces.jsonl"))?;
    expect_exit(&more.command(&["enrich"]).output()?, 2)?;
    assert_eq!(more.recorded()?.len(), 9);

    // An endpoint that answers nothing at all is a mistake in the config, which costs no row.
    let server = Server::start(0, |_, _| Reply::Status(400, r#"{"error":"no such model"}"#))?;
    let bench = Bench::new(&server.url, ", concurrency: 2", &rows(40)?)?;
    let message = expect_exit(&bench.command(&["enrich"]).output()?, 2)?;
    assert!(message.contains("refuses the request with status 400: no such model"), "{message}");
    assert!(server.requests() < 20, "{}", server.requests());
    assert_eq!(bench.recorded()?.len(), 0);
    Ok(())
}

fn a_long_pause_stops_the_run() -> Result<(), Failed> {
    let server = Server::start(0, |_, _| Reply::Busy(3_600))?;
    let bench = Bench::new(&server.url, "", &rows(1)?)?;
    let message = expect_exit(&bench.command(&["enrich"]).output()?, 1)?;
    assert!(message.contains("in 1 attempts") && message.contains("it asks for a pause of 3600 s"), "{message}");
    Ok(())
}

fn files_below(folder: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { files_below(&path, into)? } else { into.push(path) }
    }
    Ok(())
}

fn gives_up() -> Result<(), Failed> {
    let server = Server::start(0, |prompt, _| match prompt {
        prompt if prompt.contains("number 3.") => Reply::Status(502, "bad gateway"),
        prompt => Reply::Trace(trace(prompt)),
    })?;
    let bench = Bench::new(&server.url, ", concurrency: 2, retries: 1", &rows(6)?)?;
    let message = expect_exit(&bench.command(&["enrich"]).output()?, 1)?;
    assert!(
        message.contains("no answer in 2 attempts, the last time: status 502 Bad Gateway: bad gateway"),
        "{message}"
    );
    assert_eq!(bench.recorded()?.len(), 5);
    // Another server takes over where the first one stopped.
    let other = Server::start(0, |prompt, _| Reply::Trace(trace(prompt)))?;
    bench.point_at(&other.url, "")?;
    let report = bench.enrich()?;
    assert_eq!((&report["accepted"], other.requests()), (&json!(6), 1), "{report}");
    Ok(())
}

fn interrupted() -> Result<(), Failed> {
    let server = Server::start(150, |prompt, _| Reply::Trace(trace(prompt)))?;
    let bench = Bench::new(&server.url, ", concurrency: 4", &rows(200)?)?;
    let mut child = bench.command(&["enrich", "--json"]).spawn()?;
    wait_for_requests(&server, &mut child, 10)?;
    let process = rustix::process::Pid::from_raw(child.id().try_into()?).ok_or("a process has an id")?;
    rustix::process::kill_process(process, rustix::process::Signal::INT)?;
    let output = child.wait_with_output()?;
    expect_exit(&output, 130)?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let recorded = bench.recorded()?;
    assert_eq!(report["finished"], false);
    assert_eq!(report["calls_answered"], recorded.len(), "{report}");
    // No call that was open when the signal came was lost, and none was begun afterwards.
    assert_eq!(server.requests() as usize, recorded.len());
    assert!(recorded.len() < 100, "{}", recorded.len());
    assert_eq!(server.stub.counts().open_max, 4);
    Ok(())
}

/// Waits until the server was asked so often, or the child has ended.
fn wait_for_requests(server: &Server, child: &mut Child, requests: u32) -> Result<(), Failed> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.requests() < requests && child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            return Err(format!("expected {requests} requests within a minute, got {}", server.requests()).into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn killed() -> Result<(), Failed> {
    const ROWS: usize = 480;
    const CONCURRENCY: u32 = 4;
    const KILLS: u32 = 20;
    let script = |prompt: &str, attempt: u32| match attempt {
        1 if prompt.contains("3.\n") => Reply::Status(429, ""),
        _ => Reply::Trace(trace(prompt)),
    };
    let settings = format!(", concurrency: {CONCURRENCY}");
    let undisturbed = Bench::new(&Server::start(0, script)?.url, &settings, &rows(ROWS)?)?;
    let calm = Server::start(0, script)?;
    undisturbed.point_at(&calm.url, &settings)?;
    undisturbed.enrich()?;
    assert!(calm.stub.counts().answers.values().all(|answers| *answers == 1));

    let server = Server::start(3, script)?;
    let bench = Bench::new(&server.url, &settings, &rows(ROWS)?)?;
    let mut random = 20_261_121_u64;
    let mut next = |below: u64| {
        // Knuth's MMIX generator; its upper half is random enough for moments.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut kills = 0;
    let mut kept = 0;
    while kills < KILLS {
        let mut child = bench.command(&["enrich", "--quiet"]).spawn()?;
        wait_for_requests(&server, &mut child, server.requests() + next(34) as u32)?;
        std::thread::sleep(Duration::from_micros(next(12_000)));
        child.kill()?;
        let status = child.wait()?;
        kills += 1;
        assert!(!status.success(), "kill {kills} came too late, after {kept} answers");
        let recorded = bench.recorded()?;
        assert!(recorded.len() >= kept, "the record lost lines");
        kept = recorded.len();
        server.stub.counts().recorded = recorded.into_iter().collect();
    }
    bench.enrich()?;
    let counts = server.stub.counts();
    assert_eq!(counts.repeated, [], "calls were repeated although their answers were recorded");
    let recorded = bench.recorded()?;
    assert_eq!(recorded.len(), ROWS);
    assert_eq!(recorded.iter().collect::<HashSet<_>>().len(), ROWS, "no answer is recorded twice");
    let answers: u32 = counts.answers.values().sum();
    let lost = answers - ROWS as u32;
    assert!(lost <= KILLS * CONCURRENCY, "{lost} answers were lost in {KILLS} kills of {CONCURRENCY} open calls each");
    assert!(counts.open_max <= 2 * CONCURRENCY as usize, "a killed client's calls end with its connections");
    assert_eq!(bench.enriched()?, undisturbed.enriched()?);
    Ok(())
}

fn bad_input() -> Result<(), Failed> {
    let bench = Bench::new("https://api.example.invalid/v1", ", api_key_env: HILORA_NO_SUCH_KEY", &rows(1)?)?;
    let train = bench.path("run/data/python_train.jsonl");
    let tests = bench.path("run/data/python_train_tests.jsonl");
    let refused = |expected: &str| -> Result<(), Failed> {
        let message = expect_exit(&bench.command(&["enrich"]).output()?, 2)?;
        assert!(message.contains(expected), "expected `{expected}` in {message}");
        assert_eq!(message.matches("error: ").count(), 1, "{message}");
        Ok(())
    };
    refused("HILORA_NO_SUCH_KEY is not set, expected the API key for api.example.invalid\nhint: ")?;
    let rows = fs::read(&train)?;
    fs::write(&train, [&rows[..], b"{\"problem\": 1}\n"].concat())?;
    refused("python_train.jsonl, line 2, problem: expected a string, got integer `1`\nhint: ")?;
    fs::write(&train, [&rows[..], serde_json::to_string(&example("Unknown.", None))?.as_bytes()].concat())?;
    refused("python_train.jsonl, line 2\nhint: ")?;
    fs::write(&train, &rows)?;
    // A damaged line of the record is told, and its call counts as not made.
    fs::write(bench.path("run/data/python_traces.jsonl"), "nonsense\n")?;
    let told = expect_exit(&bench.command(&["enrich", "--dry-run"]).output()?, 0)?;
    let expected = "python_traces.jsonl, line 1: expected an answer with its key, a JSON object, got `nonsense`";
    assert!(told.contains(expected) && told.contains("its call is made again"), "{told}");
    fs::remove_file(&tests)?;
    refused("python_train_tests.jsonl")?;
    fs::remove_file(&train)?;
    refused("is missing\nhint: `hilora-host prepare` makes it")?;
    bench.point_at("ftp://somewhere", ", temperature: 9")?;
    refused("enrich.base_url is `ftp://somewhere`, expected an http or https address\n  - enrich.temperature is 9")?;
    Ok(())
}
