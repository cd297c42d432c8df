//! The main job through the real binary, on a small part of the sample: it ends, an unchanged second run does no work,
//! a kill loses nothing, and bad input is one clear error that leaves the run as it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hilora_contract::artifact::hash_of_artifact;
use libtest_mimic::{Failed, Trial};
use rustix::process::Signal;
use serde_json::Value;

use crate::judge::{LONG, kill_workers_until_the_end, signal_workers};
use crate::repository;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("main_job::runs_to_its_end_then_does_no_work_and_a_kill_changes_no_byte", runs_and_resumes),
        Trial::test("main_job::rows_without_tests_are_trained_on_and_neither_measured_nor_registered", unmeasured),
        Trial::test("main_job::workers_that_are_killed_in_prepare_change_no_byte", dead_workers),
        Trial::test("main_job::twenty_kills_of_workers_a_second_end_in_the_same_bytes_or_say_so", killed_without_pause),
        Trial::test("main_job::files_have_the_mode_that_the_callers_umask_leaves", umask),
        Trial::test("main_job::bad_input_is_one_error_with_a_hint_and_exit_code_2", bad_input),
        Trial::test("main_job::every_shipped_config_is_valid", shipped_configs),
        // Minutes on all cores; the small job tells every change that would change it.
        Trial::test("main_job::the_quickstart_gives_its_row_of_the_table_of_seeds", quickstart)
            .with_ignored_flag(std::env::var_os("HILORA_TEST_QUICKSTART").is_none()),
    ]
}

/// One domain of the sample, two epochs: every stage is real and takes seconds.
const CONFIG: &str = include_str!("../data/small_job.yaml");

/// A folder for one test's config, run and registry; commands run in the repository, where the plugins are.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(config: &str) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("small.yaml"), config)?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The binary with this bench's config, run folder and registry.
    fn command(&self, subcommand: &[&str], run: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        command.current_dir(repository()).args(subcommand);
        command.arg("--config").arg(self.path("small.yaml"));
        command.arg("--run").arg(self.path(run));
        command.arg("--registry").arg(self.path("registry.sqlite"));
        command.stderr(Stdio::piped()).stdout(Stdio::piped());
        command
    }
}

fn stdout_json(output: &Output) -> Result<Value, Failed> {
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}").into())
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() { copy_folder(&path, &target)? } else { fs::copy(&path, &target).map(|_| ())? }
    }
    Ok(())
}

fn runs_and_resumes() -> Result<(), Failed> {
    let bench = Bench::new(CONFIG)?;
    let prepared = bench.command(&["prepare", "--json"], "run").output()?;
    if prepared.status.code() != Some(0) {
        return Err(format!("prepare failed: {prepared:?}").into());
    }
    // A second run of the same preparation, to be trained with a kill in between.
    copy_folder(&bench.path("run"), &bench.path("killed"))?;

    let first = bench.command(&["--plugin", "plugins/codecontests.wasm", "--json"], "run").output()?;
    let result = stdout_json(&first)?;
    let passed = result["gate"]["passed"].as_bool().ok_or("no decision")?;
    assert_eq!(first.status.code(), Some(if passed { 0 } else { 3 }), "{first:?}");
    assert_eq!(result["registered"].is_null(), !passed, "registered if and only if the gate said yes");
    assert_eq!(result["unchanged"], false);
    let evaluated = hash_of_artifact(&bench.path("run/evaluation.json"))?;
    is_as_the_table_was_made(&result, &hash_of_artifact(&bench.path("run/adapter"))?.to_string())?;

    let second = bench.command(&["--json"], "run").output()?;
    assert_eq!(stdout_json(&second)?["unchanged"], true, "{second:?}");
    assert_eq!(hash_of_artifact(&bench.path("run/evaluation.json"))?, evaluated);

    kill_while_training(&bench)?;
    let resumed = bench.command(&["train", "--json"], "killed").output()?;
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    assert!(stdout_json(&resumed)?["resumed_from"].is_u64(), "{resumed:?}");
    assert_eq!(hash_of_artifact(&bench.path("killed/adapter"))?, hash_of_artifact(&bench.path("run/adapter"))?);
    let steps = |run: &str| fs::read_to_string(bench.path(run).join("metrics.jsonl")).map(|text| text.lines().count());
    assert_eq!(steps("killed")?, steps("run")?, "one line for each step, killed or not");
    refuses_to_measure(&bench)
}

/// Fails where this job gives something else than it gave when the documentation's table of seeds was made: then the
/// table is older than the code.
fn is_as_the_table_was_made(result: &Value, adapter: &str) -> Result<(), Failed> {
    let figures: Value = serde_json::from_slice(&fs::read(repository().join("tests/data/seeds.json"))?)?;
    let pass_at_1 = |who: &str| result["evaluation"][who]["pass_at"]["1"]["value"].clone();
    let got = serde_json::json!({
        "adapter": adapter,
        "base_pass_at_1": pass_at_1("base"),
        "adapter_pass_at_1": pass_at_1("adapter"),
    });
    let expected = &figures["small_job"];
    if got == *expected {
        return Ok(());
    }
    Err(format!("the table of seeds was made by code that gave {expected}, and this gives {got}: `cargo xtask seeds`")
        .into())
}

/// The whole quickstart, whose seed is the table's first.
fn quickstart() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
    command.current_dir(repository()).args(["--json", "--plugin", "plugins/codecontests.wasm"]);
    command.arg("--run").arg(folder.path().join("run")).arg("--registry").arg(folder.path().join("registry.sqlite"));
    let output = command.output()?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let evaluation = &stdout_json(&output)?["evaluation"];
    let figures: Value = serde_json::from_slice(&fs::read(repository().join("tests/data/seeds.json"))?)?;
    let row = &figures["seeds"][0];
    assert_eq!(row["seed"], evaluation["seed"]);
    assert_eq!(row["problems"], evaluation["problems"]);
    for (figure, measured) in [
        ("base_pass_at_1", "/base/pass_at/1"),
        ("adapter_pass_at_1", "/adapter/pass_at/1"),
        ("improvement_points", "/improvement_points"),
    ] {
        assert_eq!(Some(&row[figure]), evaluation.pointer(measured), "{figure}");
    }
    assert_eq!(Some(&row["adapter_error_rate"]), evaluation.pointer("/adapter/error_rate/value"));
    Ok(())
}

/// Conversations, one of which is longer than a training row may be.
fn unmeasured() -> Result<(), Failed> {
    let config = CONFIG
        .replace("source: codecontests", "source: jsonl\n  options: {kind: completion}")
        .replace("domains: [data_structures]", "domains: [python]")
        .replace("max_seq_length: 256", "max_seq_length: 96")
        .replace("  nearest_copy: true", "")
        .replace("controls: {nearest_copy: true}", "")
        .replace("validation: {eval_steps: 12, metric: pass@1, early_stopping_patience: 9}", "");
    let bench = Bench::new("")?;
    let row = |i: usize| {
        let answer = if i == 3 { "print(1)\n".repeat(200) } else { format!("print({i})") };
        serde_json::json!({ "prompt": format!("Say what number {i} is."), "completion": answer }).to_string() + "\n"
    };
    fs::write(bench.path("rows.jsonl"), (0..16).map(row).collect::<String>())?;
    let file = bench.path("rows.jsonl").display().to_string();
    let config = config.replace("examples/sample-problems/sample_problems.parquet", &file);
    fs::write(bench.path("small.yaml"), config)?;

    let would_run = |expected: &[&str]| -> Result<(), Failed> {
        let dry = bench.command(&["--dry-run", "--json"], "run").output()?;
        assert_eq!(stdout_json(&dry)?["would_run"], serde_json::json!(expected));
        Ok(())
    };
    would_run(&["prepare", "train", "evaluate"])?;
    let prepared = bench.command(&["prepare"], "run").output()?;
    assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
    would_run(&["train"])?;
    let output = bench.command(&[], "run").output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("not measured and not registered"), "{said}");
    assert!(said.contains("1  rows cut to training.max_seq_length"), "{said}");
    assert!(!bench.path("run/evaluation.json").exists() && !bench.path("registry.sqlite").exists());
    would_run(&[])
}

/// A worker that is killed changes no byte, however often.
fn dead_workers() -> Result<(), Failed> {
    let config = CONFIG
        .replace("source: codecontests", "source: jsonl\n  options: {kind: problem}")
        .replace("domains: [data_structures]", "domains: [python]");
    let bench = Bench::new("")?;
    let problem = |id: String, statement: String, code: &str, output: &str| {
        let tests = [serde_json::json!({ "input": "", "output": output })];
        serde_json::json!({ "id": id, "problem": statement, "solution": code, "tests": tests }).to_string() + "\n"
    };
    let (long, sum) = LONG;
    let mut rows = problem("long".to_owned(), "Print the sum of the numbers below 3 * 10**7.".to_owned(), long, sum);
    for number in 0..16 {
        let code = format!("print({number})");
        let statement = format!("Say what number {number} is.");
        rows.push_str(&problem(format!("p{number}"), statement, &code, &number.to_string()));
    }
    fs::write(bench.path("rows.jsonl"), rows)?;
    let file = bench.path("rows.jsonl").display().to_string();
    let config = config.replace("examples/sample-problems/sample_problems.parquet", &file);
    fs::write(bench.path("small.yaml"), config)?;

    let prepare = |run: &str, disturb: &dyn Fn(&mut Child) -> Result<(), Failed>| -> Result<Value, Failed> {
        let mut command = bench.command(&["prepare", "--workers", "1"], run);
        let mut prepare = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        disturb(&mut prepare)?;
        let output = prepare.wait_with_output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&fs::read(bench.path(run).join("manifest.json"))?)?)
    };
    prepare("calm", &|_| Ok(()))?;
    let calm = hash_of_artifact(&bench.path("calm"))?;
    for kills in [1, 5] {
        let run = format!("killed{kills}");
        prepare(&run, &|process| signal_workers(process, Signal::KILL, kills))?;
        assert_eq!(hash_of_artifact(&bench.path(&run))?, calm);
    }
    // Where each of its workers dies of itself, nothing is known of the program. The row is counted apart, and asked for
    // again the next time.
    let manifest = prepare("died", &|process| signal_workers(process, Signal::ABORT, 3))?;
    assert_eq!(manifest["skipped"]["not-judged"], serde_json::json!({ "count": 1, "ids": ["rows-1"] }));
    assert_eq!(manifest["skipped"].as_object().map(serde_json::Map::len), Some(1), "{manifest}");
    let manifest = prepare("died", &|_| Ok(()))?;
    assert!(manifest["skipped"]["not-judged"].is_null(), "{manifest}");
    // The record of verdicts has them in the order in which they were found.
    for artefact in ["data", "manifest.json", "stages/verified.jsonl"] {
        let hashes = ["died", "calm"].map(|run| hash_of_artifact(&bench.path(run).join(artefact)));
        let [died, calm] = hashes;
        assert_eq!(died?, calm?, "{artefact}");
    }
    // A stage that is to be asked again is not done, even where it was before: the old hashes are not of what it wrote.
    let ledger = || -> Result<Value, Failed> {
        Ok(serde_json::from_slice(&fs::read(bench.path("killed1").join("stages.json"))?)?)
    };
    assert!(ledger()?["prepare"].is_object());
    fs::remove_dir_all(bench.path("killed1/stages"))?;
    fs::remove_file(bench.path("killed1/manifest.json"))?;
    let manifest = prepare("killed1", &|process| signal_workers(process, Signal::ABORT, 3))?;
    assert!(manifest["skipped"]["not-judged"].is_object(), "{manifest}");
    assert!(ledger()?["prepare"].is_null());
    Ok(())
}

fn umask() -> Result<(), Failed> {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(CONFIG)?;
    for (umask, file, folder) in [("027", 0o640, 0o750), ("077", 0o600, 0o700)] {
        let prepare = bench.command(&["prepare"], umask);
        let mut command = Command::new("bash");
        command.current_dir(repository()).args(["-c", &format!("umask {umask}; exec \"$@\""), "bash"]);
        let output = command.arg(prepare.get_program()).args(prepare.get_args()).output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mode = |path: &str| -> Result<u32, Failed> {
            Ok(fs::metadata(bench.path(umask).join(path))?.permissions().mode() & 0o777)
        };
        for path in ["manifest.json", "data/python_train.jsonl", "stages/verified.jsonl", "stages.json"] {
            assert_eq!(mode(path)?, file, "{path} under {umask}");
        }
        assert_eq!(mode("data")?, folder, "under {umask}");
    }
    Ok(())
}

/// Twenty kills of workers a second over a whole `prepare` end in the undisturbed bytes, or in exit code 1.
fn killed_without_pause() -> Result<(), Failed> {
    let bench = Bench::new(CONFIG)?;
    let prepare = |run: &str| {
        let mut command = bench.command(&["prepare", "--workers", "2"], run);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    };
    assert!(prepare("calm")?.wait()?.success());
    let mut process = prepare("killed")?;
    let kills = kill_workers_until_the_end(&mut process)?;
    let output = process.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(kills > 5, "only {kills} workers were killed: {said}");
    if output.status.code() == Some(0) {
        assert_eq!(hash_of_artifact(&bench.path("killed"))?, hash_of_artifact(&bench.path("calm"))?);
        return Ok(());
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("was killed 64 times in a row"), "{said}");
    // What it kept is nothing wrong: left alone, the next call ends as if nobody had killed anything.
    let again = prepare("killed")?.wait_with_output()?;
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    // The record of verdicts has them in the order in which they were found.
    for artefact in ["data", "manifest.json", "stages/verified.jsonl"] {
        let [killed, calm] = ["killed", "calm"].map(|run| hash_of_artifact(&bench.path(run).join(artefact)));
        assert_eq!(killed?, calm?, "{artefact}");
    }
    Ok(())
}

/// Trains until a checkpoint stands, then kills the process without a warning.
fn kill_while_training(bench: &Bench) -> Result<(), Failed> {
    let mut child = bench.command(&["train", "--json"], "killed").spawn()?;
    let deadline = Instant::now() + Duration::from_secs(120);
    // A checkpoint is whole once its `state.json` stands.
    let checkpoint_stands = || {
        let entries = fs::read_dir(bench.path("killed/checkpoints")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().join("state.json")).any(|state| state.exists())
    };
    while !checkpoint_stands() {
        if Instant::now() > deadline || child.try_wait()?.is_some() {
            child.kill().ok();
            return Err("no checkpoint stood while the training ran".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    child.wait()?;
    if bench.path("killed/adapter").exists() {
        return Err("the training ended before it could be killed".into());
    }
    Ok(())
}

fn bad_input() -> Result<(), Failed> {
    let cases: [(&str, String, &[&str], &str); 7] = [
        ("an unknown key", format!("{CONFIG}\nlearning_rate: 1"), &[], "learning_rate"),
        (
            "two bad values at once",
            CONFIG.replace("r: 4", "r: 0").replace("seed: 3", "seed: 3\nspecialist: {type: x}"),
            &[],
            "lora.r",
        ),
        (
            "a missing source file",
            CONFIG.replace("sample_problems.parquet", "absent.parquet"),
            &["prepare"],
            "absent.parquet",
        ),
        (
            "a source that is no Parquet",
            CONFIG.replace("sample_problems.parquet", "generate.py"),
            &["prepare"],
            "generate.py",
        ),
        (
            "a base that is not there",
            CONFIG.replace("examples/tiny-base", "examples/no-base"),
            &["train"],
            "training data",
        ),
        (
            "a component of another world",
            CONFIG.to_owned() + "plugins: {runner: plugins/keyword-classifier.wasm}",
            &["prepare"],
            "domain-classifier",
        ),
        (
            "a plugin that is missing",
            CONFIG.to_owned() + "plugins: {loader: plugins/absent.wasm}",
            &["prepare"],
            "absent.wasm",
        ),
    ];
    for (what, config, subcommand, names) in cases {
        let bench = Bench::new(&config)?;
        let output = bench.command(subcommand, "run").output()?;
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{what}: {message}");
        assert!(message.contains(names), "{what}: {message}");
        for word in ["error: ", "hint: "] {
            let lines = message.lines().filter(|line| line.starts_with(word)).count();
            assert_eq!(lines, 1, "{what}: expected one `{word}` line in {message}");
        }
        assert!(!bench.path("run/manifest.json").exists(), "{what} wrote a manifest");
    }
    Ok(())
}

/// What must not be measured: problems that the training data was not checked against, an adapter of another base.
/// The evaluation that stands there stays.
fn refuses_to_measure(bench: &Bench) -> Result<(), Failed> {
    let evaluated = hash_of_artifact(&bench.path("run/evaluation.json"))?;
    let refuses_with = |arguments: &[&str], words: &str| -> Result<(), Failed> {
        let output = bench.command(&["evaluate"], "run").args(arguments).output()?;
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(words) && message.contains("\nhint: "), "{message}");
        assert_eq!(hash_of_artifact(&bench.path("run/evaluation.json"))?, evaluated);
        Ok(())
    };
    let refuses = |words: &str| refuses_with(&[], words);
    for (file, words) in [
        ("run/data/python_tests.jsonl", "was not checked against"),
        ("run/manifest.json", "manifest.json is not what preparing has written"),
        ("run/data/python_train.jsonl", "trained on other data than the manifest says was checked"),
    ] {
        let path = bench.path(file);
        let whole = fs::read_to_string(&path)?;
        let repeated = format!("{whole}{}\n", whole.lines().next().ok_or("it has a row")?);
        fs::write(&path, repeated)?;
        refuses(words)?;
        fs::write(&path, whole)?;
    }
    fs::remove_dir_all(bench.path("run/adapter"))?;
    copy_folder(&repository().join("tests/data/oracle/qwen2/adapter"), &bench.path("run/adapter"))?;
    refuses("run/adapter is not the one that this run has trained: expected the hash ")?;
    let other = bench.path("run/adapter").display().to_string();
    refuses_with(&["--adapter", &other], "expected updates for the base's 4 layers, got 2")
}

fn shipped_configs() -> Result<(), Failed> {
    let mut seen = 0;
    for entry in fs::read_dir(repository().join("configs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            hilora_run::config::RunConfig::load(&path)?;
            seen += 1;
        }
    }
    hilora_run::config::PretrainingConfig::load(&repository().join("examples/tiny-base/pretrain.yaml"))?;
    if seen == 0 { Err("configs/ is empty".into()) } else { Ok(()) }
}
