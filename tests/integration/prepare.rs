//! Preparing through the real components: Parquet in, a specialist's files out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{Domain, EvaluationProblem, Example};
use hilora_contract::plugin::{DatasetLoader, DomainClassifier, LoaderOptions, PluginError, SolutionRunner};
use hilora_prepare::{
    DataConfig, Fate, PrepareError, PrepareInputs, PrepareReport, Prepared, Side, input_files, prepare,
};
use libtest_mimic::{Failed, Trial};

use crate::{component, plugin_host, real_data_trial, repository};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("prepare::a_small_dataset_becomes_a_specialists_files", small_dataset),
        Trial::test("prepare::bad_input_is_one_clear_error_and_nothing_is_written_over", bad_input),
        real_data_trial(
            "prepare::three_hundred_real_problems_each_have_a_fate",
            "code_contests/train-300.parquet",
            real_problems,
        ),
    ]
}

/// The plugins of a preparation.
struct Plugins {
    loader: Box<dyn DatasetLoader>,
    classifier: Box<dyn DomainClassifier>,
    runner: Arc<dyn SolutionRunner>,
}

impl Plugins {
    fn open() -> Result<Self, Failed> {
        let host = plugin_host()?;
        Ok(Self {
            loader: host.loader(&component("codecontests"))?,
            classifier: host.classifier(&component("keyword-classifier"))?,
            runner: host.runner(&component("python-runner"))?,
        })
    }

    fn prepare(&self, config: &DataConfig, workers: usize, folder: &Path) -> Result<PrepareReport, PrepareError> {
        let inputs = PrepareInputs {
            config,
            files: &input_files(&config.files)?,
            specialist: "python",
            seed: 7,
            program: ContentHash::of(b"this build"),
            loader: &*self.loader,
            sets: &[],
            classifier: &*self.classifier,
            runner: Arc::clone(&self.runner),
            checkers: Arc::new(|_: &str| Ok(None)),
            train_tests: false,
            workers,
            run_folder: Some(folder),
        };
        match prepare(&inputs, &|| false, &|_| {})? {
            Prepared::Finished(report) => Ok(*report),
            Prepared::Interrupted => panic!("nobody stops it"),
        }
    }
}

fn config(file: &Path) -> DataConfig {
    DataConfig {
        source: "codecontests".to_owned(),
        files: vec![file.to_owned()],
        options: LoaderOptions::new(),
        verify: true,
        checker: None,
        max_incorrect_solutions_per_problem: 0,
        decontaminate: Vec::new(),
        domains: ["python", "data_structures", "math", "algorithms"].map(|name| Domain(name.to_owned())).to_vec(),
        eval_fraction: 0.25,
        max_solutions_per_problem: 1,
        min_examples: 1,
        rows_max: 1_000,
        bytes_max: None,
        train_file: None,
        eval_file: None,
    }
}

/// A Parquet file that `make_rows.py` wrote: eight good rows, and one for each way to be skipped.
fn sample(name: &str) -> PathBuf {
    repository().join("tests/data/prepare").join(name)
}

/// Every file below a folder with its bytes.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failed> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), fs::read(path)?);
            }
        }
    }
    Ok(found)
}

fn check(condition: bool, message: impl FnOnce() -> String) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(message().into()) }
}

fn small_dataset() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let file = sample("rows.parquet");
    let plugins = Plugins::open()?;
    let run = folder.path().join("run");
    let manifest = plugins.prepare(&config(&file), 1, &run)?.manifest;

    let reasons: BTreeMap<&str, usize> =
        manifest.skipped.iter().map(|(reason, rows)| (reason.as_str(), rows.count)).collect();
    let expected = [
        ("duplicate-statement", 1),
        ("no-python3-solution", 1),
        ("no-solution-passed", 1),
        ("no-tests", 1),
        ("solution-unsupported", 1),
    ];
    check(reasons == BTreeMap::from(expected), || format!("the reasons are {reasons:?}"))?;
    let sides = (manifest.counts.train_problems, manifest.counts.eval_problems);
    check(sides == (6, 2), || format!("expected 6 problems to train on and 2 held out, got {sides:?}"))?;

    let train = fs::read_to_string(run.join("data/python_train.jsonl"))?;
    for line in train.lines() {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)?;
        let fields: BTreeSet<&str> = row.keys().map(String::as_str).collect();
        let expected = BTreeSet::from(["problem", "reasoning", "solution", "domain", "difficulty"]);
        check(fields == expected, || format!("the fields are {fields:?}"))?;
    }
    let statements: BTreeSet<String> = train
        .lines()
        .map(|line| serde_json::from_str::<Example>(line).map(|example| example.problem))
        .collect::<Result<_, _>>()?;
    for line in fs::read_to_string(run.join("data/python_tests.jsonl"))?.lines() {
        let held_out: EvaluationProblem = serde_json::from_str(line)?;
        check(!statements.contains(&held_out.text.statement), || format!("`{}` is on both sides", held_out.text.id))?;
        check(held_out.tests.len() == 3, || format!("`{}` lost tests", held_out.text.id))?;
    }

    let other = folder.path().join("other");
    plugins.prepare(&config(&file), 2, &other)?;
    let relative = |run: &Path| -> Result<BTreeMap<PathBuf, Vec<u8>>, Failed> {
        let named = |(path, bytes): (PathBuf, Vec<u8>)| Ok((path.strip_prefix(run)?.to_owned(), bytes));
        files(run)?.into_iter().map(named).collect()
    };
    check(relative(&run)? == relative(&other)?, || "two workers give other bytes than one".to_owned())
}

fn bad_input() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let good = sample("rows.parquet");
    let plugins = Plugins::open()?;
    let run = folder.path().join("run");
    plugins.prepare(&config(&good), 2, &run)?;
    let before = files(&run)?;

    let truncated = folder.path().join("truncated.parquet");
    let bytes = fs::read(&good)?;
    fs::write(&truncated, &bytes[..bytes.len() / 2])?;
    let other = folder.path().join("other.parquet");
    fs::write(&other, "name,description\n")?;
    for (file, words) in [
        (folder.path().join("missing.parquet"), &["missing.parquet", "No such file"][..]),
        (
            sample("lacking.parquet"),
            &["lacking.parquet", "`solutions`", "struct<language: list<integer>, solution: list<string>>"],
        ),
        (truncated, &["truncated.parquet", "not a whole Parquet file"]),
        (other, &["other.parquet", "not a whole Parquet file"]),
    ] {
        let error = match plugins.prepare(&config(&file), 2, &run) {
            Err(error) => error.to_string(),
            Ok(_) => return Err(format!("{} was accepted", file.display()).into()),
        };
        check(words.iter().all(|word| error.contains(word)), || format!("expected {words:?} in: {error}"))?;
    }
    check(files(&run)? == before, || "an error has changed the run".to_owned())?;

    match plugin_host()?.loader(&component("keyword-classifier")) {
        Err(PluginError::WrongKind { .. }) => Ok(()),
        Err(error) => Err(format!("expected a component of the wrong kind, got: {error}").into()),
        Ok(_) => Err("a classifier was taken for a loader".into()),
    }
}

fn real_problems(file: PathBuf) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get());
    let report = Plugins::open()?.prepare(&config(&file), workers, folder.path())?;
    let manifest = &report.manifest;
    check(manifest.fates.len() == 300, || format!("expected 300 fates, got {}", manifest.fates.len()))?;
    let skipped: usize = manifest.skipped.values().map(|rows| rows.count).sum();
    check(manifest.counts.accepted + skipped == 300, || "the fates do not sum to the rows".to_owned())?;
    // Several statements accept more than one answer and carry no checker, some programs need what the runner lacks
    // or more time; the rest, by far the most, must pass. Some of those share words with a held-out problem.
    let contaminated = manifest.skipped.get("contaminated").map_or(0, |rows| rows.count);
    check(manifest.counts.accepted + contaminated >= 200, || {
        format!("only {} accepted: {:#?}", manifest.counts.accepted, manifest.skipped)
    })?;
    let own = manifest.decontamination.sets.last().ok_or("the held-out problems are no set")?;
    check(own.removed == contaminated, || format!("{} were removed, {contaminated} have that fate", own.removed))?;
    let tests = ContentHash::of_file(&folder.path().join("data/python_tests.jsonl"))?;
    check(manifest.is_clean_of(tests), || "the manifest does not name the held-out problems".to_owned())?;
    let held_out = manifest.fates.iter().filter(|row| matches!(row.fate, Fate::Accepted { side: Side::Eval, .. }));
    check(held_out.count() == manifest.counts.eval_problems, || "the counts differ from the fates".to_owned())
}
