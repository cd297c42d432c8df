//! Published benchmarks that a run measures its base and adapter on: drawn, judged, killed and gone on with, planned before,
//! refused before anything is trained, and found on the hub by their names.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::hub::Hub;
use crate::{real_data_trial, repository};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("benchmarks::a_run_draws_on_them_and_repeats_nothing_after_a_kill", drawn),
        Trial::test("benchmarks::each_is_on_the_hub_under_its_published_names", on_the_hub),
        Trial::test("benchmarks::math_in_folders_of_subjects", math_folders),
        real_data_trial("benchmarks::livecodebench_real", "livecodebench/full-3.jsonl", livecodebench),
    ]
}

const CONFIG: &str = "
adapter_name: python-lora
base_model: examples/tiny-base
seed: 3
lora: {r: 4, lora_alpha: 8, lora_dropout: 0.1}
training: {mode: qlora, num_epochs: 1, batch_size: 4, learning_rate: 1e-3, max_seq_length: 256}
data: {train_file: rows/train.jsonl, eval_file: rows/eval.jsonl, domains: [python]}
gate: {pass_at_1_min: 0, improvement_points_min: -100, latency_increase_max: 10, error_rate_max: 1}
";

/// What rows ask; the first is held out.
const QUESTIONS: [&str; 5] = [
    "Write a program that prints how many days a leap year has more than any ordinary one.",
    "Read two whole numbers from one line, and print the larger of them without its sign.",
    "Given a word, print its letters from the last to the first, each on a line of its own.",
    "A farmer has seven hens, and every hen lays three eggs in a week; how many eggs are laid in nine weeks?",
    "Print every third element of the list that stands in the input, with commas between them.",
];

/// A row of held-out problems.
fn held_out(statement: &str) -> String {
    let text = json!({"id": "a", "title": "", "statement": statement, "tags": [], "difficulty": null});
    let tests = [json!({"input": "", "output": "1"})];
    let row =
        json!({"text": text, "domain": "python", "tests": tests, "time_limit_ms": null, "memory_limit_bytes": null});
    format!("{row}\n")
}

/// A folder with a config, from which the repository's plugins and examples are seen.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Result<Self, Failed> {
        let bench = Self(tempfile::tempdir()?);
        for name in ["plugins", "examples", "tests"] {
            std::os::unix::fs::symlink(repository().join(name), bench.path(name))?;
        }
        Ok(bench)
    }

    /// The same with rows to learn from and a held-out problem.
    fn with_rows() -> Result<Self, Failed> {
        let bench = Self::new()?;
        let lesson = |(number, question): (usize, &&str)| {
            let solution = format!("print({number})");
            let row = json!({"problem": question, "reasoning": "", "solution": solution, "domain": "python",
                "difficulty": null});
            format!("{row}\n")
        };
        let lessons: Vec<String> = QUESTIONS.iter().enumerate().map(lesson).collect();
        fs::create_dir_all(bench.path("rows"))?;
        fs::create_dir_all(bench.path("data"))?;
        fs::write(bench.path("rows/train.jsonl"), lessons[1..].concat())?;
        fs::write(bench.path("rows/eval.jsonl"), &lessons[0])?;
        fs::write(bench.path("data/python_tests.jsonl"), held_out(QUESTIONS[0]))?;
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn measures(&self, benchmarks: &str) -> Result<(), Failed> {
        let evaluation = "{samples_per_problem: 2, temperature: 0.5, max_new_tokens: 24, k: [1, 2], benchmarks:";
        fs::write(self.path("small.yaml"), format!("{CONFIG}evaluation: {evaluation} [{benchmarks}]}}\n"))?;
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        command.current_dir(self.0.path()).args(arguments);
        if !arguments.contains(&"--completions") {
            command.args(["--config", "small.yaml"]);
        }
        command.env("HF_HUB_OFFLINE", "1").stderr(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    fn ends_with(&self, code: i32, arguments: &[&str]) -> Result<(Value, String), Failed> {
        let output = self.command(arguments).output()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(code) {
            return Ok((serde_json::from_slice(&output.stdout).unwrap_or_default(), told));
        }
        Err(format!("{arguments:?}: expected exit code {code}, got {output:?}").into())
    }
}

fn drawn() -> Result<(), Failed> {
    let bench = Bench::with_rows()?;
    // Before the first stage: a name, a file, and prompts that leave no room.
    for (benchmark, words) in [
        ("{name: humanevil}", "expected one of livecodebench, humaneval"),
        ("{name: humaneval, files: [none.jsonl]}", "none.jsonl"),
        ("{name: humaneval, files: [tests/data/benchmarks/gsm8k.jsonl]}", "hold no problem of humaneval"),
        (
            "{name: humaneval, files: [tests/data/benchmarks/humaneval.jsonl], max_new_tokens: 600}",
            "no prompt of humaneval leaves room for an answer",
        ),
    ] {
        bench.measures(benchmark)?;
        let (_, told) = bench.ends_with(2, &["--quiet"])?;
        assert!(told.contains(words), "{benchmark}: {told}");
        assert!(!bench.path("runs/small/adapter").exists(), "{benchmark}: nothing was trained");
    }

    // A problem of GSM8K's layout that is asked in a row to learn from.
    let known = json!({"question": QUESTIONS[3], "answer": "It is so.\n#### 7"});
    let published = fs::read_to_string(repository().join("tests/data/benchmarks/gsm8k.jsonl"))?;
    fs::write(bench.path("gsm8k.jsonl"), format!("{published}{known}\n"))?;
    bench.measures(
        "{name: humaneval, files: [tests/data/benchmarks/humaneval.jsonl]}, \
         {name: gsm8k, files: [gsm8k.jsonl], prompt: formatter, samples_per_problem: 1}",
    )?;
    let (_, told) = bench.ends_with(0, &["--dry-run"])?;
    assert!(told.contains("humaneval: 2 problems, 2 answers each of base and adapter: 8 answers"), "{told}");
    let (plan, _) = bench.ends_with(0, &["evaluate", "--plan", "--json"])?;
    assert_eq!((&plan["benchmarks"][0]["answers"], &plan["benchmarks"][1]["answers"]), (&json!(8), &json!(6)));
    assert_eq!(plan["benchmarks"][1]["tokens_max"], json!(6 * 24));
    bench.ends_with(0, &["train", "--quiet"])?;
    let copied = Command::new("cp").args(["-r", "small", "whole"]).current_dir(bench.path("runs")).status()?;
    assert!(copied.success());

    let arguments = ["evaluate", "--quiet", "--json"];
    let (whole, _) = bench.ends_with(0, &[&arguments[..], &["--run", "runs/whole"]].concat())?;
    killed_once(&bench, &arguments)?;
    bench.ends_with(0, &arguments)?;
    for name in ["evaluation.json", "stages/samples.jsonl"] {
        let read = |run: &str| fs::read(bench.path("runs").join(run).join(name));
        assert!(read("small")? == read("whole")?, "{name} is another after a kill");
    }
    sections(&whole["record"]["benchmarks"])?;

    // What was asked for by name is measured beside what the config names, and nothing else is drawn again.
    let more = ["--benchmark", "mbpp", "--problems", "tests/data/benchmarks/mbpp.jsonl", "--limit", "1", "--k", "2"];
    let (again, _) = bench.ends_with(0, &[&arguments[..], &more[..]].concat())?;
    let benchmarks = &again["record"]["benchmarks"];
    assert_eq!(benchmarks[0], whole["record"]["benchmarks"][0]);
    assert_eq!((&benchmarks[2]["name"], &benchmarks[2]["comparison"]["base"]["problems"]), (&json!("mbpp"), &json!(1)));
    assert_eq!(benchmarks[2]["skipped_problems"], json!({"beyond-the-limit": 1}));
    assert!(benchmarks[2]["comparison"]["base"]["pass_at"]["2"].is_object());
    // A record whose section was edited is believed by nobody.
    let file = bench.path("runs/whole/evaluation.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&file)?)?;
    record["benchmarks"][0]["comparison"]["adapter"]["pass_at"]["1"]["value"] = json!(1.0);
    fs::write(&file, record.to_string())?;
    let output = Command::new(env!("CARGO_BIN_EXE_hilora-host")).args(["gate", "--evaluation"]).arg(&file).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("benchmarks.0.comparison.adapter.pass_at.1.value"), "{told}");
    Ok(())
}

/// Starts a measurement and kills it while a benchmark's answers are drawn or judged.
fn killed_once(bench: &Bench, arguments: &[&str]) -> Result<(), Failed> {
    let samples = bench.path("runs/small/stages/samples.jsonl");
    let whole = fs::read_to_string(bench.path("runs/whole/stages/samples.jsonl"))?.lines().count();
    let mut child = bench.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(120);
    let lines = || fs::read_to_string(&samples).map_or(0, |text| text.lines().count());
    while lines() < whole * 2 / 3 && child.try_wait()?.is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    assert!(!child.wait()?.success(), "the kill came too late");
    assert!(!bench.path("runs/small/evaluation.json").exists() && lines() >= whole * 2 / 3);
    Ok(())
}

/// What the sections of both benchmarks say.
fn sections(benchmarks: &Value) -> Result<(), Failed> {
    let [humaneval, gsm8k] = benchmarks.as_array().ok_or("a list")?.as_slice() else { return Err("two".into()) };
    assert_eq!((&humaneval["name"], &humaneval["prompt"]["kind"]), (&json!("humaneval"), &json!("official")));
    assert_eq!(humaneval["comparison"]["adapter"]["samples_per_problem"], json!(2));
    assert_eq!(humaneval["contamination"]["problems"], json!({}));
    assert_eq!(humaneval["without_contaminated"], Value::Null);
    assert_eq!((&gsm8k["prompt"]["kind"], &gsm8k["config"]["samples_per_problem"]), (&json!("formatter"), &json!(1)));
    assert_eq!(gsm8k["comparison"]["base"]["problems"], json!(3));
    let shared = gsm8k["contamination"]["problems"].as_object().ok_or("an object")?;
    assert_eq!(shared.keys().collect::<Vec<_>>(), ["2"], "{shared:?}");
    assert_eq!(gsm8k["without_contaminated"]["problems"], json!(2));
    Ok(())
}

/// The names under which the hub has the files, as their publishers call them, and a problem's name in them.
fn on_the_hub() -> Result<(), Failed> {
    let data = |name: &str| fs::read(repository().join("tests/data/benchmarks").join(name));
    let configs = |names: &[&str]| {
        let config = |name: &&str| {
            format!(
                "- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/train-*\n  - split: test\n    path: {name}/test-*\n"
            )
        };
        format!("---\nconfigs:\n{}---\n", names.iter().map(config).collect::<String>()).into_bytes()
    };
    let livecodebench = json!({"question_id": "abc_a", "question_content": "Add.", "public_test_cases":
        "[{\"input\": \"1\", \"output\": \"1\", \"testtype\": \"stdin\"}]"});
    let math_500 = json!({"problem": "1 + 1?", "solution": "$\\boxed{2}$", "answer": "2", "subject": "Algebra", "level": 1,
        "unique_id": "test/algebra/1.json"});
    let hub = Hub::start(|mirror| {
        mirror.owners = vec!["openai", "google-research-datasets", "HuggingFaceH4", "livecodebench"]
    })?;
    for (name, readme, file, content, first) in [
        (
            "humaneval",
            configs(&["openai_humaneval"]),
            "openai_humaneval/test-00000-of-00001.parquet",
            data("humaneval.jsonl")?,
            "HumanEval/0",
        ),
        ("mbpp", configs(&["full", "sanitized"]), "full/test-00000-of-00001.parquet", data("mbpp.jsonl")?, "601"),
        ("gsm8k", configs(&["main", "socratic"]), "main/test-00000-of-00001.parquet", data("gsm8k.jsonl")?, "0"),
        ("math", b"# MATH-500\n".to_vec(), "test.jsonl", format!("{math_500}\n").into_bytes(), "test/algebra/1.json"),
        ("livecodebench", b"# Lite\n".to_vec(), "test.jsonl", format!("{livecodebench}\n").into_bytes(), "abc_a"),
    ] {
        let of_configs = ["full/train-00000-of-00001.parquet", "socratic/test-00000-of-00001.parquet", "loader.py"];
        let others = if readme.starts_with(b"---") { &of_configs[..] } else { &of_configs[2..] };
        let mut files = vec![("README.md".to_owned(), readme), (file.to_owned(), content)];
        files.extend(others.iter().map(|name| ((*name).to_owned(), b"nothing".to_vec())));
        hub.mirror().files = files;
        let folder = tempfile::tempdir()?;
        let completions = folder.path().join("completions.jsonl");
        fs::write(&completions, "{\"id\": \"of no problem\", \"code\": \"1\"}\n")?;
        let completions = completions.to_string_lossy().into_owned();
        let output: Output = hub.run(&["evaluate", "--benchmark", name, "--completions", &completions], &[])?;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(&format!("the first problem is `{first}`")), "{name}: {told}");
        let fetched: Vec<String> = hub.mirror().requests.iter().map(|request| request.file.clone()).collect();
        assert!(fetched.iter().any(|fetched| fetched == file), "{name}: {fetched:?}");
        assert!(!fetched.iter().any(|fetched| others.contains(&fetched.as_str())), "{name}: {fetched:?}");
        hub.mirror().requests.clear();
    }
    Ok(())
}

fn math_folders() -> Result<(), Failed> {
    let bench = Bench::new()?;
    for (name, kind, solution) in [
        ("algebra/9", "Algebra", "$\\boxed{9}$"),
        ("algebra/10", "Algebra", "$\\boxed{10}$"),
        ("geometry/1", "Geometry", "so $\\boxed{1}$"),
    ] {
        let file = bench.path("MATH").join(format!("{name}.json"));
        fs::create_dir_all(file.parent().ok_or("a folder")?)?;
        let row = json!({"problem": format!("What is it in {name}?"), "level": "Level 3", "type": kind, "solution": solution});
        fs::write(file, serde_json::to_string_pretty(&row)?)?;
    }
    let answers = [("algebra/9", "\\boxed{9}"), ("algebra/10", "\\boxed{9}"), ("geometry/1", "The answer is 1.")];
    let rows: String =
        answers.iter().map(|(id, text)| format!("{}\n", json!({"id": id, "completion": text}))).collect();
    fs::write(bench.path("completions.jsonl"), rows)?;
    // Of the rows to learn from, one asks what a problem asks.
    let asked =
        format!("Tell me, please: {}", "what is the sum of all the first nine odd numbers that are greater than two");
    let lesson =
        json!({"problem": asked, "reasoning": null, "solution": "print(1)", "domain": "math", "difficulty": null});
    fs::write(bench.path("trained.jsonl"), format!("{lesson}\n"))?;
    let file = bench.path("MATH/algebra/9.json");
    let mut row: Value = serde_json::from_slice(&fs::read(&file)?)?;
    row["problem"] = json!(asked);
    fs::write(&file, row.to_string())?;
    let arguments =
        ["evaluate", "--json", "--completions", "completions.jsonl", "--benchmark", "math", "--problems", "MATH"];
    let (record, _) = bench.ends_with(0, &arguments)?;
    let ids = |record: &Value| -> Vec<String> {
        let outcomes = record["evaluation"]["outcomes"].as_array().cloned().unwrap_or_default();
        outcomes.iter().map(|outcome| outcome["id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(ids(&record), ["algebra/9", "algebra/10", "geometry/1"]);
    assert_eq!(record["evaluation"]["verdicts"], json!({"accepted": 2, "wrong-answer": 1}));
    assert!(
        record["contamination"]["check"].as_str().is_some_and(|words| words.starts_with("not checked")),
        "{record}"
    );
    let (record, _) = bench.ends_with(0, &[&arguments[..], &["--trained-on", "trained.jsonl"]].concat())?;
    assert!(record["contamination"]["problems"]["algebra/9"].is_string(), "{record}");
    let clean = &record["without_contaminated"];
    assert_eq!((&clean["problems"], &clean["pass_at"]["1"]["value"]), (&json!(2), &json!(0.5)));
    Ok(())
}

/// Rows as LiveCodeBench publishes them, whose prompts are laid out for an endpoint that nobody asks.
fn livecodebench(problems: PathBuf) -> Result<(), Failed> {
    let bench = Bench::with_rows()?;
    let generator = "{base_url: \"http://127.0.0.1:1/v1\", base_model: a, adapter_model: b}";
    let benchmark = format!("{{name: livecodebench, files: ['{}'], from: 2023-05-01}}", problems.display());
    let evaluation = format!("evaluation: {{generator: {generator}, benchmarks: [{benchmark}]}}\n");
    fs::write(bench.path("small.yaml"), format!("{CONFIG}{evaluation}"))?;
    let (_, told) = bench.ends_with(0, &["evaluate", "--dry-run"])?;
    assert!(told.contains("livecodebench: 3 problems, 4 answers each of base and adapter: 24 answers"), "{told}");
    let (_, told) =
        bench.ends_with(0, &["evaluate", "--dry-run", "--benchmark", "livecodebench", "--from", "2023-08-01"])?;
    assert!(told.contains("livecodebench: 1 problems"), "{told}");
    Ok(())
}
