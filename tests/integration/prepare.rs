//! Preparing through the real components: Parquet in, a specialist's files out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::{Domain, EvaluationProblem, Example};
use hilora_contract::plugin::{DatasetLoader, DomainClassifier, LoaderOptions, PluginError, SolutionRunner};
use hilora_prepare::{
    DataConfig, EvaluationSetConfig, Fate, PrepareError, PrepareInputs, PrepareReport, Prepared, SetInputs, Side,
    SourceInputs, input_files, prepare,
};
use libtest_mimic::{Failed, Trial};
use random::Random;
use serde_json::{Value, json};

use crate::{component, plugin_host, real_data_trial, repository};

#[path = "../support/random.rs"]
mod random;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("prepare::a_small_dataset_becomes_a_specialists_files", small_dataset),
        Trial::test("prepare::bad_input_is_one_clear_error_and_nothing_is_written_over", bad_input),
        Trial::test("prepare::the_documentation_alone_decides_the_same", documented).with_ignored_flag(!has_python()),
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
            specialist: "python",
            seed: 7,
            program: ContentHash::of(b"this build"),
            sources: &[SourceInputs {
                files: &input_files(&config.files)?,
                loader: &*self.loader,
                classifier: &*self.classifier,
            }],
            evaluation: None,
            sets: &[],
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
        sources: Vec::new(),
        evaluation_files: Vec::new(),
        evaluation_source: None,
        evaluation_options: None,
        eval_fraction: Some(0.25),
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
        let row: serde_json::Map<String, Value> = serde_json::from_str(line)?;
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

fn has_python() -> bool {
    Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Texts of a script.
struct Script {
    random: Random,
    /// The letters that stand alone; words where there are none.
    letters: Option<std::ops::RangeInclusive<u32>>,
    /// How many of them make four words.
    per_four_words: usize,
}

impl Script {
    fn text(&mut self, words: usize) -> Vec<String> {
        let count = words * self.per_four_words / 4;
        let letter = |random: &mut Random| match &self.letters {
            Some(letters) => {
                let at = random.below((letters.end() - letters.start()) as usize) as u32;
                char::from_u32(letters.start() + at).map_or(String::new(), String::from)
            }
            None => format!("w{}", random.below(2000)),
        };
        (0..count).map(|_| letter(&mut self.random)).collect()
    }

    fn join(&self, texts: &[&[String]]) -> String {
        let between = if self.letters.is_some() { "" } else { " " };
        texts.concat().join(between)
    }
}

/// Rows of every kind of likeness, and a set of problems to decontaminate against.
fn likenesses(kind: &str, mut script: Script) -> (Vec<Value>, Vec<Value>) {
    let template = script.text(26);
    let benchmark: Vec<Vec<String>> = (0..24).map(|i| script.text(if i % 4 == 3 { 9 } else { 20 + i })).collect();
    let code = |name: usize, last: usize| {
        let lines: String = (0..30).map(|i| format!("value_{name}_{i} = input_{i} + {i}\n")).collect();
        format!("{lines}print({last})\n")
    };
    let solution = |i: usize| {
        format!("def f{i}(a, b):\n    c = a + b\n    while c % {i}:\n        c += {i} * b\n    return c - {i}\n")
    };
    let set = benchmark.iter().enumerate().map(
        |(i, problem)| json!({"id": format!("b{i}"), "problem": script.join(&[problem]), "solution": solution(i)}),
    );
    let set: Vec<Value> = set.collect();
    let mut asked: Vec<Vec<String>> = Vec::new();
    let mut rows = Vec::new();
    for i in 0..330_usize {
        let earlier = script.random.below(i.max(1)).min(i.saturating_sub(1));
        let length = 3 + script.random.below(45);
        let own = script.text(length);
        let chosen = benchmark[script.random.below(benchmark.len())].clone();
        let mut answer = format!("answer {i}");
        let mut program = code(i, i);
        let question = match i % 11 {
            0 => [template.clone(), own].concat(),
            1 => [own, chosen].concat(),
            2 if i > 11 => asked[earlier].clone(),
            3 => script.text(60),
            4 if i > 11 => {
                let mut near = asked[i - 1].clone();
                near.pop();
                answer = format!("answer {}", i - 1);
                near
            }
            5 => [own, benchmark[0].clone()].concat(),
            6 => [own, benchmark[1][..benchmark[1].len() * 6 / 10].to_vec()].concat(),
            7 => [own, benchmark[5][..benchmark[5].len() * 8 / 10].to_vec()].concat(),
            8 => {
                program = code(script.random.below(8), i);
                own
            }
            9 => {
                program = format!("import math\n# by me\n{}", solution(script.random.below(24)));
                own
            }
            10 if i > 11 => {
                answer = format!("ANSWER  {}", i - 9);
                asked[i - 9].clone()
            }
            _ => own,
        };
        let text = script.join(&[&question]);
        let fenced = format!("{answer}\n```python\n{program}```");
        rows.push(match kind {
            "chat" => {
                let mut messages = vec![
                    json!({"role": "system", "content": script.join(&[&template, &template])}),
                    json!({"role": "user", "content": text}),
                    json!({"role": "assistant", "content": if i % 3 == 0 { fenced } else { answer }}),
                ];
                if i % 7 == 0 {
                    messages.push(json!({"role": "user", "content": format!("And {i}?")}));
                    messages.push(json!({"role": "assistant", "content": "Yes."}));
                }
                json!({"messages": messages})
            }
            "completion" => json!({"prompt": text, "completion": if i % 3 == 0 { fenced } else { answer }}),
            "policy" => {
                let policy = if i / 22 % 2 == 0 { "One may." } else { "None may." };
                json!({"instruction": text, "policy": policy, "actions": [], "outputs": [answer]})
            }
            _ => json!({"problem": text, "solution": program}),
        });
        asked.push(question);
    }
    (rows, set)
}

/// A program that knows only the documentation decides every row as `prepare` does.
fn documented() -> Result<(), Failed> {
    let host = plugin_host()?;
    for (seed, kind, letters, per_four_words) in [
        (1, "chat", None, 4),
        (2, "completion", Some(0x4e00..=0x5600), 8),
        (3, "policy", None, 4),
        (4, "problem", None, 4),
        (5, "completion", Some(0x0e01..=0x0e2e), 16),
    ] {
        let folder = tempfile::tempdir()?;
        let (rows, set) = likenesses(kind, Script { random: Random::new(seed), letters, per_four_words });
        let write = |name: &str, rows: Vec<Value>| -> Result<PathBuf, Failed> {
            let path = folder.path().join(name);
            fs::write(&path, rows.iter().map(|row| format!("{row}\n")).collect::<String>())?;
            Ok(path)
        };
        let (file, set_file) = (write("rows.jsonl", rows)?, write("set.jsonl", set)?);
        let options = |kind: &str| serde_json::from_value(json!({"kind": kind}));
        let set = EvaluationSetConfig {
            name: "set".to_owned(),
            source: "jsonl".to_owned(),
            files: vec![set_file],
            options: serde_json::from_value(json!({"kind": "problem", "id": "id"}))?,
        };
        let config = DataConfig {
            source: "jsonl".to_owned(),
            options: options(kind)?,
            verify: false,
            decontaminate: vec![set.clone()],
            domains: ["python", "data_structures", "math", "algorithms", "policy"]
                .map(|name| Domain(name.to_owned()))
                .to_vec(),
            ..config(&file)
        };
        let run = folder.path().join("run");
        let inputs = PrepareInputs {
            config: &config,
            specialist: "python",
            seed,
            program: ContentHash::of(b"this build"),
            sources: &[SourceInputs {
                files: &input_files(&config.files)?,
                loader: &*host.loader(&component("jsonl"))?,
                classifier: &*host.classifier(&component("keyword-classifier"))?,
            }],
            evaluation: None,
            sets: &[SetInputs { files: input_files(&set.files)?, loader: host.loader(&component("jsonl"))? }],
            runner: host.runner(&component("python-runner"))?,
            checkers: Arc::new(|_: &str| Ok(None)),
            train_tests: false,
            workers: 2,
            run_folder: Some(&run),
        };
        let Prepared::Finished(report) = prepare(&inputs, &|| false, &|_| {})? else { panic!("nobody stops it") };
        let manifest = report.manifest;
        let expected = ["contaminated", "duplicate-statement", "near-duplicate-statement"];
        let lacks: Vec<&&str> = expected.iter().filter(|reason| !manifest.skipped.contains_key(**reason)).collect();
        check(lacks.is_empty() && manifest.counts.eval_problems > 20, || {
            format!("{kind}: none is {lacks:?}: {:?}", manifest.counts)
        })?;
        let compared =
            Command::new("python3").arg(repository().join("tests/oracle/compare_rows.py")).arg(&run).output()?;
        check(compared.status.success(), || {
            let (said, differs) =
                (String::from_utf8_lossy(&compared.stdout), String::from_utf8_lossy(&compared.stderr));
            format!("{kind}: {said}{differs}")
        })?;
        eprintln!("{kind}: {}", String::from_utf8_lossy(&compared.stdout).trim_end());
    }
    Ok(())
}
