//! A run as a library: stages as values under an observer that prints nothing, every check before the first stage, rows
//! that were prepared elsewhere, and what a signal does to the binary.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hilora_contract::artifact::hash_of_artifact;
use hilora_contract::fault::{Blame, Fault};
use hilora_judge::workers::WorkerCommand;
use hilora_run::{
    AnyStage, EvaluateStage, PrepareStage, Run, RunObserver, RunOptions, Stage, StageName, StageReport, StageResult,
    StageState, Task, TaskProgress, Unwatched, drive, main_job,
};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::plugins::altered;
use crate::repository;
use crate::sandbox::built;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("run::one_stage_runs_under_an_observer_and_then_has_nothing_to_do", one_stage),
        Trial::test("run::every_check_comes_before_the_first_stage", checks_come_first),
        Trial::test("run::rows_prepared_elsewhere_are_checked_and_measured", given_rows),
        Trial::test("run::a_program_whose_file_is_gone_knows_itself", program_without_a_file),
        Trial::test("run::a_signal_saves_and_the_exit_code_names_it", signals),
    ]
}

const TRAINING: &str = "
adapter_name: python-lora
base_model: examples/tiny-base
seed: 3
lora: {r: 4, lora_alpha: 8, lora_dropout: 0.1}
training: {mode: qlora, num_epochs: 2, batch_size: 4, learning_rate: 1e-3, max_seq_length: 256}
evaluation: {samples_per_problem: 1, temperature: 0.5, max_new_tokens: 16, k: [1]}
gate: {pass_at_1_min: 0, improvement_points_min: -100, latency_increase_max: 10, error_rate_max: 1}
";
const SOURCE: &str = "
data:
  source: codecontests
  files: [examples/sample-problems/sample_problems.parquet]
  domains: [data_structures]
  eval_fraction: 0.1
";
const GIVEN: &str = "
data: {train_file: rows/train.jsonl, eval_file: rows/eval.jsonl, domains: [data_structures]}
";

/// A folder to work in, from which the repository's plugins and examples are seen.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(data: &str) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        for name in ["plugins", "examples", "configs"] {
            symlink(repository().join(name), folder.path().join(name))?;
        }
        fs::write(folder.path().join("small.yaml"), format!("{TRAINING}{data}"))?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        command.current_dir(self.folder.path()).args(arguments).args(["--config", "small.yaml"]);
        command.stderr(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    fn ends_with(&self, code: i32, arguments: &[&str]) -> Result<Output, Failed> {
        let output = self.command(arguments).output()?;
        if output.status.code() == Some(code) {
            return Ok(output);
        }
        Err(format!("{arguments:?}: expected exit code {code}, got {output:?}").into())
    }

    /// The sample's rows as if somebody else had prepared them.
    fn with_given_rows() -> Result<Self, Failed> {
        let bench = Self::new(SOURCE)?;
        bench.ends_with(0, &["prepare"])?;
        fs::create_dir_all(bench.path("rows"))?;
        for side in ["train", "eval"] {
            let from = bench.path("runs/small/data").join(format!("python_{side}.jsonl"));
            fs::copy(from, bench.path("rows").join(format!("{side}.jsonl")))?;
        }
        fs::create_dir_all(bench.path("data"))?;
        fs::copy(bench.path("runs/small/data/python_tests.jsonl"), bench.path("data/python_tests.jsonl"))?;
        fs::remove_dir_all(bench.path("runs"))?;
        fs::write(bench.path("small.yaml"), format!("{TRAINING}{GIVEN}"))?;
        Ok(bench)
    }
}

/// The options of a run over absolute paths, for use in this process, whose current folder is not the bench's.
fn options(bench: &Bench, data: &str) -> Result<RunOptions, Failed> {
    let root = repository().canonicalize()?.display().to_string();
    let config = format!("{TRAINING}{data}").replace("examples/", &format!("{root}/examples/"));
    let plugins = format!(
        "plugins: {{loader: {root}/plugins/codecontests.wasm, classifier: {root}/plugins/keyword-classifier.wasm, \
         formatter: {root}/plugins/chatml-formatter.wasm, runner: {root}/plugins/python-runner.wasm}}"
    );
    let path = bench.path("library.yaml");
    fs::write(&path, format!("{config}\n{plugins}\n"))?;
    let worker = WorkerCommand::new(env!("CARGO_BIN_EXE_hilora-host"), ["judge", "worker"]);
    Ok(RunOptions { folder: Some(bench.path("library")), ..RunOptions::new(path, worker) })
}

/// Keeps what it is told.
#[derive(Default)]
struct Witness {
    tasks: Mutex<Vec<String>>,
    stages: Mutex<Vec<StageName>>,
}

impl RunObserver for Witness {
    fn begin(&self, task: Task<'_>) -> Box<dyn TaskProgress> {
        self.tasks.lock().expect("no thread panicked").push(task.name.to_owned());
        Box::new(Unwatched)
    }

    fn stage_ended(&self, result: &StageResult) {
        self.stages.lock().expect("no thread panicked").push(result.name);
    }
}

fn one_stage() -> Result<(), Failed> {
    let bench = Bench::new(SOURCE)?;
    let stages: [Box<dyn AnyStage>; 1] = [Box::new(PrepareStage)];
    let options = options(&bench, SOURCE)?;
    let witness = Witness::default();
    {
        let run = Run::open(&options)?;
        let results = drive(&run, &stages, &witness)?;
        let [StageResult { state: StageState::Ran(StageReport::Prepare { manifest }), .. }] = &results[..] else {
            return Err(format!("{results:?}").into());
        };
        assert!(manifest.counts.train_problems > 0, "{:?}", manifest.counts);
    }
    let tasks = witness.tasks.into_inner()?;
    assert!(tasks.contains(&"load".to_owned()) && tasks.contains(&"verify".to_owned()), "{tasks:?}");
    let run = Run::open(&options)?;
    let again = drive(&run, &stages, &Unwatched)?;
    assert!(matches!(again[0].state, StageState::Unchanged), "{again:?}");
    Ok(())
}

/// As an upgrade leaves it that comes while the program runs.
fn program_without_a_file() -> Result<(), Failed> {
    let bench = Bench::new(SOURCE)?;
    let (program, copy) = (env!("CARGO_BIN_EXE_hilora-host"), bench.path("hilora-host"));
    assert!(Command::new("cp").arg(program).arg(&copy).status()?.success());
    let open = fs::File::open(&copy)?;
    fs::remove_file(&copy)?;
    let mut prepare = Command::new(format!("/proc/{}/fd/{}", std::process::id(), open.as_raw_fd()));
    let output = prepare.current_dir(bench.folder.path()).args(["prepare", "--config", "small.yaml"]).output()?;
    assert!(output.status.success(), "{output:?}");
    let ledger: Value = serde_json::from_slice(&fs::read(bench.path("runs/small/stages.json"))?)?;
    assert_eq!(ledger["prepare"]["inputs"]["program"], hash_of_artifact(Path::new(program))?.to_string());
    Ok(())
}

fn checks_come_first() -> Result<(), Failed> {
    let bench = Bench::with_given_rows()?;
    fs::remove_file(bench.path("data/python_tests.jsonl"))?;
    for arguments in [&[][..], &["--dry-run"][..]] {
        let output = bench.ends_with(2, arguments)?;
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("python_tests.jsonl is missing"), "{message}");
        assert!(!message.contains("steps"), "nothing was trained: {message}");
    }
    assert!(!bench.path("runs/small/adapter").exists() && !bench.path("runs/small/checkpoints").exists());

    // The same through the library: the observer is told of no stage.
    let given = GIVEN.replace("rows/", &format!("{}/rows/", bench.folder.path().display()));
    let run = Run::open(&options(&bench, &given)?)?;
    let witness = Witness::default();
    let Err(error) = drive(&run, &main_job(&run.config), &witness) else { return Err("nothing was missing".into()) };
    assert_eq!(error.blame(), Blame::User);
    assert!(error.to_string().contains("python_tests.jsonl") && !error.hints().is_empty(), "{error}");
    assert!(witness.stages.into_inner()?.is_empty());
    Ok(())
}

fn given_rows() -> Result<(), Failed> {
    // Nine problems, sixteen tokens an answer: no answer is right, and the gate says no.
    const GATE_SAYS_NO: i32 = 3;
    let bench = Bench::with_given_rows()?;
    bench.ends_with(GATE_SAYS_NO, &["--json"])?;
    let record = |name: &str| -> Result<Value, Failed> {
        Ok(serde_json::from_slice(&fs::read(bench.path("runs/small").join(name))?)?)
    };
    let check = &record("evaluation.json")?["made_from"]["training data check"];
    assert!(check.as_str().is_some_and(|check| check.starts_with("checked")), "{check}");
    assert_eq!(record("data_check.json")?["check"], "given");
    let second: Value = serde_json::from_slice(&bench.ends_with(GATE_SAYS_NO, &["--json"])?.stdout)?;
    assert_eq!(second["unchanged"], true);

    // A row that holds a held-out problem: refused before anything is trained, unless the user says so, which is kept.
    let tests = fs::read_to_string(bench.path("data/python_tests.jsonl"))?;
    let problem: Value = serde_json::from_str(tests.lines().next().ok_or("a held-out problem")?)?;
    let row = serde_json::json!({
        "problem": problem["text"]["statement"], "reasoning": "", "solution": "print(1)", "domain": "data_structures",
        "difficulty": null,
    });
    let rows = fs::read_to_string(bench.path("rows/train.jsonl"))?;
    fs::write(bench.path("rows/train.jsonl"), format!("{rows}{row}\n"))?;
    let adapter = hash_of_artifact(&bench.path("runs/small/adapter"))?;
    let refused = bench.ends_with(2, &[])?;
    let message = String::from_utf8_lossy(&refused.stderr);
    let number = rows.lines().count();
    assert!(message.contains(&format!("the first is row {number}")) && message.contains("--unchecked"), "{message}");
    assert_eq!(hash_of_artifact(&bench.path("runs/small/adapter"))?, adapter, "nothing was trained");
    bench.ends_with(GATE_SAYS_NO, &["--unchecked", "--json"])?;
    assert_eq!(record("evaluation.json")?["made_from"]["training data check"], "unchecked");
    only_the_trained_adapter(&bench)?;
    only_as_it_was_taught(&bench)
}

/// The files of a run and what is in them, without its lock and its working records.
pub(crate) fn files_of_run(run: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failed> {
    let mut files = BTreeMap::new();
    let mut folders = vec![run.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some(".lock" | "stages") => {}
                _ if path.is_dir() => folders.push(path),
                _ => _ = files.insert(path.clone(), fs::read(path)?),
            }
        }
    }
    Ok(files)
}

/// An adapter is asked in the layout that it learned, unless the user wants another, which is kept. What is refused writes
/// nothing.
fn only_as_it_was_taught(bench: &Bench) -> Result<(), Failed> {
    const TRAINED: &str = "prompt-formatter of the training, which is another";
    let formatter = "plugins/chatml-formatter.wasm";
    let other = altered(&bench.folder, formatter, "version = \"0.1.0\"", "version = \"0.1.1\"")?;
    let (other, run) = (other.display().to_string(), bench.path("runs/small"));
    let hostile = built("target/guests/hostile-formatter.wasm")?.display().to_string();
    let before = files_of_run(&run)?;
    let cases: [(&[&str], &[&str]); 3] = [
        (
            &["evaluate", "--unchecked", "--plugin", &other],
            &[
                "was trained with another formatter",
                "expected the prompt-formatter with the hash",
                "`--other-formatter`",
            ],
        ),
        (
            &["evaluate", "--plugin", &other, "--plugin", formatter],
            &["expected one prompt-formatter, got chatml-formatter 0.1.1 (", "and chatml-formatter 0.1.0 (plugins/"],
        ),
        (&["train", "--plugin", &hostile], &["hostile-formatter 0.0.1 broke its contract in `stop-sequences`"]),
    ];
    for (arguments, parts) in cases {
        let said = String::from_utf8(bench.ends_with(2, arguments)?.stderr)?;
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        assert!(files_of_run(&run)? == before, "{arguments:?} changed a file: {said}");
    }
    bench.ends_with(0, &["evaluate", "--unchecked", "--other-formatter", "--plugin", &other])?;
    let record: Value = serde_json::from_slice(&fs::read(run.join("evaluation.json"))?)?;
    assert!(record["made_from"][TRAINED].is_string(), "{}", record["made_from"]);
    Ok(())
}

/// What this run has not trained is measured only if it is named, and then the evaluation says so.
fn only_the_trained_adapter(bench: &Bench) -> Result<(), Failed> {
    const NAMED: &str = "adapter named by the user";
    let made_from = || -> Result<Value, Failed> {
        let record: Value = serde_json::from_slice(&fs::read(bench.path("runs/small/evaluation.json"))?)?;
        Ok(record["made_from"].clone())
    };
    let refused = |told: &str| -> Result<(), Failed> {
        let before = fs::read(bench.path("runs/small/evaluation.json"))?;
        let output = bench.ends_with(2, &["evaluate", "--unchecked"])?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(told) && said.contains("evaluate --adapter FOLDER"), "{said}");
        assert_eq!(fs::read(bench.path("runs/small/evaluation.json"))?, before);
        Ok(())
    };
    let weights = bench.path("runs/small/adapter/adapter_model.safetensors");
    let trained = fs::read(&weights)?;
    let mut others = trained.clone();
    *others.last_mut().ok_or("weights")? ^= 1;
    fs::write(&weights, &others)?;
    refused("is not the one that this run has trained: expected the hash")?;
    bench.ends_with(0, &["evaluate", "--adapter", "runs/small/adapter"])?;
    let made = made_from()?;
    assert_eq!(made[NAMED], "runs/small/adapter");
    let check = &made["training data check"];
    assert!(check.as_str().is_some_and(|check| check.starts_with("unchecked: nothing here says")), "{check}");
    fs::write(&weights, &trained)?;
    bench.ends_with(0, &["evaluate", "--unchecked"])?;
    assert_eq!(made_from()?[NAMED], Value::Null);
    // A ledger that does not know the training vouches for nothing.
    let ledger = fs::read(bench.path("runs/small/stages.json"))?;
    fs::remove_file(bench.path("runs/small/stages.json"))?;
    refused("was not trained by this run: its ledger knows of no training")?;
    fs::write(bench.path("runs/small/stages.json"), ledger)?;
    bench.ends_with(0, &["evaluate", "--unchecked"])?;
    changed_after_it_was_named(bench, &weights)
}

/// What the key names is what is measured: an adapter that is changed after it was hashed for the key is refused.
fn changed_after_it_was_named(bench: &Bench, weights: &Path) -> Result<(), Failed> {
    // As a run that prepares its own rows, whose files are all in its folder.
    fs::create_dir_all(bench.path("runs/small/data"))?;
    for (from, to) in [("rows/train", "train"), ("rows/eval", "eval"), ("data/python_tests", "tests")] {
        fs::copy(bench.path(&format!("{from}.jsonl")), bench.path(&format!("runs/small/data/python_{to}.jsonl")))?;
    }
    let named = RunOptions { adapter: Some(bench.path("runs/small/adapter")), ..options(bench, SOURCE)? };
    let run = Run::open(&RunOptions { folder: Some(bench.path("runs/small")), ..named })?;
    let key = EvaluateStage.key(&run, &Unwatched)?;
    let trained = fs::read(weights)?;
    let mut others = trained.clone();
    *others.last_mut().ok_or("weights")? ^= 1;
    fs::write(weights, &others)?;
    let work = EvaluateStage.inputs(&run, key.as_ref(), &Unwatched)?;
    let error = EvaluateStage.run(work, &Unwatched).err().ok_or("another adapter than the key's was measured")?;
    assert!(error.to_string().contains("has changed while it was read: expected the hash"), "{error}");
    fs::write(weights, trained)?;
    Ok(())
}

/// Waits until this many steps are kept.
fn wait_for_steps(metrics: &Path, steps: usize, child: &mut Child) -> Result<(), Failed> {
    let deadline = Instant::now() + Duration::from_secs(120);
    while fs::read_to_string(metrics).map_or(0, |text| text.lines().count()) < steps {
        if Instant::now() > deadline || child.try_wait()?.is_some() {
            child.kill().ok();
            return Err("the training did not begin, or ended before it could be stopped".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn signals() -> Result<(), Failed> {
    let bench = Bench::new(SOURCE)?;
    bench.ends_with(0, &["prepare"])?;
    Command::new("cp").arg("-r").args([bench.path("runs/small"), bench.path("runs/whole")]).status()?;
    let metrics = bench.path("runs/small/metrics.jsonl");
    for (signal, code, steps) in [("TERM", 143, 2), ("HUP", 129, 4), ("INT", 130, 6)] {
        let mut child = bench.command(&["train"]).spawn()?;
        wait_for_steps(&metrics, steps, &mut child)?;
        let asked = Instant::now();
        Command::new("kill").args(["-s", signal, &child.id().to_string()]).status()?;
        let output = child.wait_with_output()?;
        let took = asked.elapsed();
        assert_eq!(output.status.code(), Some(code), "SIG{signal}: {output:?}");
        assert!(took < Duration::from_secs(5), "SIG{signal}: {took:?}");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("interrupted, saved") && said.contains("steps of"), "{said}");
    }
    bench.ends_with(0, &["train"])?;
    bench.ends_with(0, &["train", "--run", "runs/whole"])?;
    let adapter = |run: &str| hash_of_artifact(&bench.path("runs").join(run).join("adapter"));
    assert_eq!(adapter("small")?, adapter("whole")?);
    Ok(())
}
