//! Datasets of every shipped format through their real components, and what preparing keeps from run to run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hilora_contract::artifact::{ContentHash, hash_of_artifact};
use hilora_contract::dataset::{Domain, EvaluationProblem, Lesson, ProblemText};
use hilora_contract::plugin::{Classification, DomainClassifier, DomainInfo, LoadedRow, PluginError, PluginIdentity};
use hilora_prepare::{
    DataConfig, EvaluationSetConfig, PrepareInputs, PreparePhase, PrepareReport, Prepared, SetInputs, SourceInputs,
    input_files, prepare,
};
use hilora_wasm::{CheckerFolder, HostOptions, PluginHost};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::{component, plugin_host, real_data_trial, repository};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test("datasets::a_function_that_tests_call_is_verified_and_measured", functional),
        Trial::test("datasets::what_stands_in_an_evaluation_set_is_left_out_and_named", decontaminated),
        Trial::test("datasets::arguments_of_policy_actions_keep_their_order_and_digits", policy_arguments),
        Trial::test("datasets::a_changed_classifier_verifies_nothing_again", incremental),
        Trial::test("datasets::twenty_kills_change_no_byte_of_prepared_data", killed),
    ];
    for expected in REAL {
        let name = format!("datasets::every_row_of_{}_has_its_fate", expected.files[0].replace(['/', '.'], "_"));
        trials.push(real_data_trial(&name, expected.files[0], move |path| real_rows(&path, expected)));
    }
    trials
}

/// What a loader makes of real files.
struct Expected {
    loader: &'static str,
    /// Relative to the real data.
    files: &'static [&'static str],
    options: &'static str,
    /// How many rows are problems, conversations, policy examples.
    kinds: [usize; 3],
    /// How many rows are skipped for which reason.
    skipped: &'static [(&'static str, usize)],
}

const REAL: &[Expected] = &[
    Expected {
        loader: "codecontests",
        files: &["code_contests/train-300.parquet"],
        options: "{}",
        kinds: [300, 0, 0],
        skipped: &[],
    },
    Expected { loader: "apps", files: &["apps/train-5.jsonl"], options: "{}", kinds: [5, 0, 0], skipped: &[] },
    Expected {
        loader: "jsonl",
        files: &["apps/mapcoder-60.jsonl"],
        options: r#"{"kind":"problem","statement":"description","tests":"test_list","id":"id","title":"name"}"#,
        kinds: [39, 0, 0],
        skipped: &[("wrong-type", 21)],
    },
    Expected {
        loader: "taco",
        files: &["taco/test-300-reconstructed.jsonl"],
        options: "{}",
        kinds: [300, 0, 0],
        skipped: &[],
    },
    Expected {
        loader: "livecodebench",
        files: &["livecodebench/full-3.jsonl"],
        options: "{}",
        kinds: [3, 0, 0],
        skipped: &[],
    },
    Expected {
        loader: "livecodebench",
        files: &["livecodebench/public-200.jsonl"],
        options: "{}",
        kinds: [200, 0, 0],
        skipped: &[],
    },
    Expected {
        loader: "jsonl",
        files: &["policy/retail_tasks_dev.jsonl", "policy/wiki.md"],
        options: r#"{"kind":"policy","policy":{"file":"wiki.md"}}"#,
        kinds: [0, 0, 20],
        skipped: &[],
    },
];

fn real_rows(first: &Path, expected: &Expected) -> Result<(), Failed> {
    let real_data = first.ancestors().nth(Path::new(expected.files[0]).components().count()).ok_or("no folder")?;
    let files: Vec<PathBuf> = expected.files.iter().map(|file| real_data.join(file)).collect();
    let loader = plugin_host()?.loader(&component(expected.loader))?;
    let mut reader = loader.open(&files, &serde_json::from_str(expected.options)?)?;
    let (mut kinds, mut skipped) = ([0; 3], BTreeMap::new());
    loop {
        let rows = reader.next_batch(64)?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            match row {
                LoadedRow::Problem(_) => kinds[0] += 1,
                LoadedRow::Conversation(_) => kinds[1] += 1,
                LoadedRow::Policy(_) => kinds[2] += 1,
                LoadedRow::Skipped(row) => *skipped.entry(row.reason).or_insert(0) += 1,
            }
        }
    }
    let wanted: BTreeMap<String, usize> =
        expected.skipped.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    if kinds != expected.kinds || skipped != wanted {
        return Err(format!("expected {:?} and {wanted:?}, got {kinds:?} and {skipped:?}", expected.kinds).into());
    }
    Ok(())
}

/// A dataset of JSON lines and the run that is prepared from it.
struct Bench {
    folder: tempfile::TempDir,
    config: DataConfig,
}

impl Bench {
    fn new(rows: &[Value], options: Value) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("rows.jsonl");
        write_rows(&file, rows)?;
        let config = json!({
            "source": "jsonl", "files": [file], "options": options,
            "domains": ["python", "data_structures", "math", "algorithms"], "eval_fraction": 0.25
        });
        Ok(Self { folder, config: serde_json::from_value(config)? })
    }

    fn prepare(
        &self,
        classifier: &dyn DomainClassifier,
        seen: &Mutex<Vec<PreparePhase>>,
    ) -> Result<PrepareReport, Failed> {
        let host = plugin_host()?;
        let loader = host.loader(&component("jsonl"))?;
        let set = |set: &EvaluationSetConfig| -> Result<SetInputs, Failed> {
            Ok(SetInputs { files: input_files(&set.files)?, loader: host.loader(&component(&set.source))? })
        };
        let sets: Vec<SetInputs> = self.config.decontaminate.iter().map(set).collect::<Result<_, _>>()?;
        let run = self.folder.path().join("run");
        let inputs = PrepareInputs {
            config: &self.config,
            specialist: "python",
            seed: 7,
            program: ContentHash::of(b"this build"),
            sources: &[SourceInputs { files: &input_files(&self.config.files)?, loader: &*loader, classifier }],
            evaluation: None,
            sets: &sets,
            runner: host.runner(&component("python-runner"))?,
            checkers: Arc::new(CheckerFolder::new(
                PluginHost::new(&HostOptions::default())?,
                repository().join("plugins"),
            )),
            train_tests: false,
            workers: 2,
            run_folder: Some(&run),
        };
        let prepared = prepare(&inputs, &|| false, &|progress| {
            if let Ok(mut seen) = seen.lock() {
                seen.push(progress.phase);
            }
        })?;
        match prepared {
            Prepared::Finished(report) => Ok(*report),
            Prepared::Interrupted => Err("nobody stops it".into()),
        }
    }
}

fn write_rows(path: &Path, rows: &[Value]) -> Result<(), Failed> {
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    Ok(fs::write(path, lines.join("\n") + "\n")?)
}

fn keyword_classifier() -> Result<Box<dyn DomainClassifier>, PluginError> {
    plugin_host()?.classifier(&component("keyword-classifier"))
}

fn functional() -> Result<(), Failed> {
    let tests = json!([{"input": "[1, 2]\n3\n", "output": "6"}, {"input": "[]\n0\n", "output": "0.0"}]);
    let method = "class Solution:\n    def total(self, xs: List[int], y: int) -> int:\n        print('working')\n        \
                  return sum(xs) + y\n\n\nif __name__ == '__main__':\n    raise SystemExit(input())";
    let row = |id: &str, statement: &str, solutions: &[&str]| json!({"id": id, "problem": statement, "solutions": solutions, "tests": tests, "entry_point": "total"});
    let rows = [
        row("method", "Add up everything and one more.", &["def total(xs, y): return 0", method]),
        row("function", "Give back the sum of all of it.", &["def total(xs, y):\n    return sum(xs, y)"]),
        row("tuple", "What is the sum here?", &["def total(xs, y):\n    return (sum(xs, y),)"]),
        row("missing", "Nobody defines the function of this one.", &["def other(): pass"]),
    ];
    let bench = Bench::new(&rows, json!({"kind": "problem", "id": "id"}))?;
    let report = bench.prepare(&*keyword_classifier()?, &Mutex::default())?;
    let reasons: BTreeMap<String, Vec<String>> =
        report.manifest.skipped.into_iter().map(|(reason, rows)| (reason, rows.ids)).collect();
    let expected = BTreeMap::from([("no-solution-passed".to_owned(), vec!["tuple".to_owned(), "missing".to_owned()])]);
    assert_eq!(reasons, expected);
    // The wrong first program of `method` returns 0, which is right for the second test.
    assert_eq!(report.manifest.weak_tests.problems["method"], BTreeMap::from([(1, 1)]));
    let held_out = fs::read_to_string(bench.folder.path().join("run/data/python_tests.jsonl"))?;
    let held_out: EvaluationProblem = serde_json::from_str(held_out.trim())?;
    assert_eq!(held_out.entry_point.as_deref(), Some("total"));
    Ok(())
}

/// A problem that prints a number, with a statement of its own words.
fn printing(number: usize) -> Value {
    let words: Vec<String> = (0..20).map(|i| format!("word{number}x{i}")).collect();
    json!({
        "id": format!("p{number}"), "problem": format!("Print {number}. {}", words.join(" ")),
        "solution": format!("print({number})"), "tests": [{"input": "", "output": number.to_string()}]
    })
}

fn policy_arguments() -> Result<(), Failed> {
    // Numbers that no float holds, a half of a surrogate pair, and keys out of order.
    let arguments = r#"{"order":"W1","amount":2.50,"id":12345678901234567890123,"far":1e999,"note":"\ud800"}"#;
    let mut bench = Bench::new(&[], json!({"kind": "policy"}))?;
    let row = |i: usize| {
        format!(
            r#"{{"instruction": "Cancel order {i} please.", "policy": "Cancel what is asked.", "outputs": [],
                "actions": [{{"name": "cancel", "arguments": {arguments}}}]}}"#
        )
        .replace('\n', "")
    };
    let rows: Vec<String> = (0..4).map(row).collect();
    fs::write(bench.folder.path().join("rows.jsonl"), rows.join("\n"))?;
    bench.config.eval_fraction = Some(0.0);
    bench.config.domains = vec![Domain("policy".to_owned())];
    let report = bench.prepare(&*keyword_classifier()?, &Mutex::default())?;
    assert_eq!(report.manifest.counts.train_examples, 4, "{:?}", report.manifest.skipped);
    let train = fs::read_to_string(bench.folder.path().join("run/data/python_train.jsonl"))?;
    for line in train.lines() {
        let Lesson::Policy(lesson) = serde_json::from_str(line)? else { return Err(line.to_owned().into()) };
        assert_eq!(lesson.actions[0].arguments, arguments);
    }
    Ok(())
}

fn decontaminated() -> Result<(), Failed> {
    let rows: Vec<Value> = (0..12).map(printing).collect();
    let mut bench = Bench::new(&rows, json!({"kind": "problem", "id": "id"}))?;
    let clean = bench.prepare(&*keyword_classifier()?, &Mutex::default())?.manifest;
    let trained: Vec<&str> = clean
        .fates
        .iter()
        .filter(|row| serde_json::to_value(row).is_ok_and(|row| row["side"] == "train"))
        .filter_map(|row| row.id.as_deref())
        .collect();
    let leaked = trained.first().ok_or("nothing is trained on")?;
    let number: usize = leaked[1..].parse()?;

    let set = bench.folder.path().join("measured.jsonl");
    let mut measured = printing(number);
    measured["problem"] = json!(format!("Another beginning. {}", measured["problem"].as_str().unwrap_or_default()));
    write_rows(&set, &[measured, printing(99)])?;
    bench.config.decontaminate = serde_json::from_value(json!([
        {"name": "measured", "source": "jsonl", "files": [set], "options": {"kind": "problem", "id": "id"}}
    ]))?;
    let manifest = bench.prepare(&*keyword_classifier()?, &Mutex::default())?.manifest;
    assert_eq!(manifest.skipped["contaminated"].ids, [*leaked]);
    let sets: Vec<(&str, usize, usize)> =
        manifest.decontamination.sets.iter().map(|set| (set.name.as_str(), set.problems, set.removed)).collect();
    assert_eq!(sets, [("measured", 2, 1), ("held-out problems", 3, 0)]);
    assert!(manifest.is_clean_of(ContentHash::of_file(&set)?));
    assert!(!clean.is_clean_of(ContentHash::of_file(&set)?));

    fs::write(&set, "")?;
    match bench.prepare(&*keyword_classifier()?, &Mutex::default()) {
        Err(error) => {
            let message = error.message().unwrap_or_default();
            assert!(message.contains("`measured` has no problem to compare with"), "{message}");
            Ok(())
        }
        Ok(_) => Err("a check against nothing was taken for a check".into()),
    }
}

/// The shipped classifier under another name: another plugin, as far as anybody can tell.
struct Renamed(Box<dyn DomainClassifier>, PluginIdentity);

impl DomainClassifier for Renamed {
    fn identity(&self) -> &PluginIdentity {
        &self.1
    }

    fn domains(&self) -> Result<Vec<DomainInfo>, PluginError> {
        self.0.domains()
    }

    fn classify(&self, problems: &[ProblemText]) -> Result<Vec<Classification>, PluginError> {
        let mut answers = self.0.classify(problems)?;
        answers.iter_mut().for_each(|answer| answer.domain = Domain("math".to_owned()));
        Ok(answers)
    }
}

fn incremental() -> Result<(), Failed> {
    let rows: Vec<Value> = (0..8).map(printing).collect();
    let bench = Bench::new(&rows, json!({"kind": "problem", "id": "id"}))?;
    let classifier = keyword_classifier()?;
    let stages = |classifier: &dyn DomainClassifier| -> Result<(Vec<PreparePhase>, PrepareReport), Failed> {
        let seen = Mutex::default();
        let report = bench.prepare(classifier, &seen)?;
        let mut seen = seen.into_inner().unwrap_or_default();
        seen.dedup();
        Ok((seen, report))
    };
    let (all, first) = stages(&*classifier)?;
    for stage in PreparePhase::ALL {
        assert!(all.contains(&stage), "{stage:?} did not run: {all:?}");
    }
    let (again, second) = stages(&*classifier)?;
    assert_eq!(again, [PreparePhase::Compare, PreparePhase::Write]);
    assert_eq!(first.manifest, second.manifest);

    let identity = PluginIdentity { content: ContentHash::of(b"another classifier"), ..classifier.identity().clone() };
    let (changed, third) = stages(&Renamed(classifier, identity))?;
    assert_eq!(changed, [PreparePhase::Classify, PreparePhase::Compare, PreparePhase::Write]);
    assert_eq!(third.manifest.sides.values().map(|side| side.domains.len()).max(), Some(1));
    assert_eq!(third.manifest.counts.programs_judged, first.manifest.counts.programs_judged);
    Ok(())
}

const KILLED_CONFIG: &str = "
adapter_name: python-lora
base_model: examples/tiny-base
seed: 3
lora: {r: 4, lora_alpha: 8}
training: {mode: qlora, num_epochs: 1, batch_size: 4, learning_rate: 1e-3, max_seq_length: 256}
data:
  source: codecontests
  files: [examples/sample-problems/sample_problems.parquet]
  domains: [python, math]
";

fn killed() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("killed.yaml");
    fs::write(&config, KILLED_CONFIG)?;
    let command = |run: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        command.current_dir(repository()).args(["prepare", "--quiet", "--config"]).arg(&config);
        command.arg("--run").arg(folder.path().join(run)).stdout(Stdio::null());
        command
    };
    let said = folder.path().join("said");
    let words = || fs::read_to_string(&said).unwrap_or_default();
    let started = Instant::now();
    assert!(command("undisturbed").status()?.success());
    let whole = started.elapsed();
    let check = |kills: usize| -> Result<(), Failed> {
        for artefact in ["data", "manifest.json"] {
            let hash = |run: &str| hash_of_artifact(&folder.path().join(run).join(artefact));
            assert_eq!(hash("killed")?, hash("undisturbed")?, "{artefact} differs after {kills} kills");
        }
        Ok(())
    };
    // SplitMix64: the moments differ from kill to kill and are the same in every run of this test.
    let mut state = 7_u64;
    let mut kills = 0;
    while kills < 20 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let moment = whole.mul_f64((mixed >> 40) as f64 / (1_u64 << 24) as f64 * 0.25);
        let mut child = command("killed").stderr(fs::File::create(&said)?).spawn()?;
        let deadline = Instant::now() + moment;
        while Instant::now() < deadline && child.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        match child.try_wait()? {
            None => {
                kills += 1;
                child.kill()?;
                child.wait()?;
            }
            // Each run goes on where the killed one stopped, until one gets to the end: then all begins anew.
            Some(status) => {
                assert!(status.success(), "a run after {kills} kills ended with {status}: {}", words());
                check(kills)?;
                fs::remove_dir_all(folder.path().join("killed"))?;
            }
        }
    }
    assert!(command("killed").status()?.success());
    check(kills)
}
