//! Plugins as their authors meet them: the conformance kit over every shipped plugin and over hostile ones, the walk of
//! `docs/plugins.md` as it is written, and the example classifiers of three languages, which answer alike.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hilora_conformance::{Meter, Plugin, Report, Usage, examine};
use hilora_contract::dataset::ProblemText;
use hilora_contract::plugin::{LoadedRow, LoaderOptions, PluginKind};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::sandbox::built;
use crate::{component, documents, plugin_host, repository};

/// What guests are built for.
const TARGET: &str = "wasm32-wasip2";
/// How many problems of the sample the classifiers are asked about.
const PROBLEMS: usize = 300;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = shipped()
        .into_iter()
        .map(|name| Trial::test(format!("plugin_projects::{name}_holds"), move || holds(&name)))
        .collect();
    trials.extend([
        Trial::test("plugin_projects::a_hostile_plugin_fails_by_name", hostile_plugin),
        Trial::test("plugin_projects::the_walk_of_the_document", walk).with_ignored_flag(!has_target()),
        Trial::test("plugin_projects::example_classifiers_answer_alike", examples_answer_alike)
            .with_ignored_flag(!has("node") || !has("python3")),
        Trial::test("plugin_projects::example_projects_pass_their_own_tests", examples_pass)
            .with_ignored_flag(!has("node") || !has("python3")),
    ]);
    trials
}

fn has(program: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Whether Rust can build components here.
fn has_target() -> bool {
    let library = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    library.is_ok_and(|it| Path::new(String::from_utf8_lossy(&it.stdout).trim()).is_dir())
}

/// The plugins whose sources lie under `plugins/`, by their manifests.
fn shipped() -> Vec<String> {
    let Ok(entries) = fs::read_dir(repository().join("plugins")) else { return Vec::new() };
    let folders = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut names: Vec<String> = folders
        .filter(|folder| folder.join("plugin.toml").is_file())
        .filter_map(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

struct Unmeasured;

impl Meter for Unmeasured {
    fn take(&self) -> Usage {
        Usage::default()
    }
}

fn examined(file: &Path) -> Result<Report, Failed> {
    let host = plugin_host()?;
    let plugin = match host.inspect(file)?.identity.kind {
        PluginKind::DatasetLoader => Plugin::Loader(host.loader(file)?),
        PluginKind::DomainClassifier => Plugin::Classifier(host.classifier(file)?),
        PluginKind::PromptFormatter => Plugin::Formatter(host.formatter(file)?),
        PluginKind::OutputChecker => Plugin::Checker(host.checker(file)?),
        PluginKind::SolutionRunner => Plugin::Runner(host.runner(file)?),
    };
    Ok(examine(&plugin, &[], &Unmeasured)?)
}

fn holds(name: &str) -> Result<(), Failed> {
    let report = examined(&component(name))?;
    let failures: Vec<String> = report.failures().map(|check| format!("{check:?}")).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}

/// It takes every statement that it does not know, but its refusals name strangers and its stops are empty.
fn hostile_plugin() -> Result<(), Failed> {
    let names = |file: &str| -> Result<Vec<&'static str>, Failed> {
        Ok(examined(&built(&format!("target/guests/{file}.wasm"))?)?.failures().map(|check| check.name).collect())
    };
    assert_eq!(names("hostile-classifier")?, [""; 0], "it is hostile only to statements that it knows");
    let formatter = names("hostile-formatter")?;
    assert!(formatter.contains(&"it tells where a completion stops"), "{formatter:?}");
    assert!(formatter.contains(&"a lesson ends with the assistant's message and a stop, and is trained on"));
    assert!(formatter.contains(&"the program of a lesson is found again in its answer"), "{formatter:?}");
    assert_eq!(names("hostile-loader")?, ["unknown options are refused"]);
    Ok(())
}

/// The commands that a reader of the document gives, one after another, on a data set that is quickly prepared.
fn walk() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    for name in ["plugins", "examples"] {
        std::os::unix::fs::symlink(repository().join(name).canonicalize()?, folder.path().join(name))?;
    }
    let rows = repository().join("tests/data/prepare/rows.parquet").canonicalize()?;
    let config = fs::read_to_string(repository().join("configs/quickstart.yaml"))?;
    let sample = "examples/sample-problems/sample_problems.parquet";
    assert!(config.contains(sample), "the quickstart prepares the sample");
    fs::create_dir(folder.path().join("configs"))?;
    let config = config.replace(sample, &rows.display().to_string());
    let config = config.replace("  eval_fraction: 0.2\n", "  eval_fraction: 0.25\n  min_examples: 1\n");
    fs::write(folder.path().join("configs/quickstart.yaml"), config)?;
    let commands = documents::commands_of(&repository().join("docs/plugins.md"))?;
    let mut last = None;
    for command in commands.iter().filter(|command| command.contains("words")) {
        // What this repository was built with is there, so nothing is asked of the network; what was compiled is kept.
        let kept = repository().join("target/plugin-projects");
        let command = format!("CARGO_NET_OFFLINE=true CARGO_TARGET_DIR='{}' {command}", kept.display());
        let output = documents::run(&command, folder.path())?;
        if !output.status.success() {
            return Err(format!("`{command}`: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        last = Some(command);
    }
    assert!(last.is_some_and(|command| command.contains(" hilora-host prepare ")), "the walk ends with prepare");
    let manifest: Value = serde_json::from_slice(&fs::read(folder.path().join("runs/words/manifest.json"))?)?;
    let text = manifest.to_string();
    if text.contains("\"words\"") { Ok(()) } else { Err(format!("expected the plugin `words` in {text}").into()) }
}

/// Runs a program in a folder of the examples with these lines on standard input, and gives its lines.
fn lines_of(mut command: Command, folder: &Path, input: &str) -> Result<Vec<Value>, Failed> {
    let mut child = command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("the input is piped")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    assert!(output.status.success(), "{command:?}");
    Ok(String::from_utf8(output.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn examples(language: &str) -> PathBuf {
    repository().join("examples/plugins").join(language)
}

fn examples_answer_alike() -> Result<(), Failed> {
    let host = plugin_host()?;
    let loader = host.loader(&component("codecontests"))?;
    let sample = repository().join("examples/sample-problems/sample_problems.parquet");
    let mut reader = loader.open(&[sample], &LoaderOptions::new())?;
    let mut problems: Vec<ProblemText> = Vec::new();
    while problems.len() < PROBLEMS {
        let batch = reader.next_batch(100)?;
        if batch.is_empty() {
            break;
        }
        problems.extend(batch.into_iter().filter_map(|row| match row {
            LoadedRow::Problem(problem) => Some(problem.text),
            _ => None,
        }));
    }
    let rust = host.classifier(&built("target/guests/custom-classifier.wasm")?)?.classify(&problems)?;
    let expected: Vec<Value> = rust
        .iter()
        .map(|answer| {
            let score = answer.scores.first();
            // Scores of these classifiers are whole numbers, which languages write in two ways.
            json!([answer.domain, score.map(|it| it.score as u64), score.map(|it| &it.signals)])
        })
        .collect();
    assert!(["strings", "numbers"].iter().all(|name| expected.iter().any(|answer| answer[0] == *name)), "both domains");
    let input: String = problems.iter().map(|problem| format!("{}\n", json!(problem))).collect();

    let mut python = Command::new("python3");
    python.env("PYTHONDONTWRITEBYTECODE", "1").args(["-c", PYTHON_ANSWERS]);
    let answers = lines_of(python, &examples("python").join("custom-classifier"), &input)?;
    assert!(answers == expected, "Python answers otherwise than Rust");
    let mut node = Command::new("node");
    node.args(["--input-type=module", "-e", JAVASCRIPT_ANSWERS]);
    let answers = lines_of(node, &examples("javascript").join("custom-classifier"), &input)?;
    assert!(answers == expected, "JavaScript answers otherwise than Rust");
    Ok(())
}

const PYTHON_ANSWERS: &str = "
import json, sys
from hilora_plugin import ProblemText
from plugin import CustomClassifier
for line in sys.stdin:
    row = json.loads(line)
    row['tags'] = tuple(row['tags'])
    answer = CustomClassifier().classify(ProblemText(**row))
    score = answer.scores[0] if answer.scores else None
    print(json.dumps([answer.domain, score and int(score.score), score and score.signals]))
";

const JAVASCRIPT_ANSWERS: &str = r#"
import { readFileSync } from "node:fs";
import { classifier } from "./plugin.js";
const problems = readFileSync(0, "utf8").trim().split("\n").map((line) => JSON.parse(line));
for (const { domain, scores } of classifier.classify(problems)) {
  console.log(JSON.stringify([domain, scores[0]?.score ?? null, scores[0]?.signals ?? null]));
}
"#;

/// The native tests of the examples, and that the same case has the same answer in every language.
fn examples_pass() -> Result<(), Failed> {
    for (language, program, arguments) in
        [("python", "python3", &["-m", "unittest", "-q"][..]), ("javascript", "node", &["--test"][..])]
    {
        for entry in fs::read_dir(examples(language))? {
            let folder = entry?.path();
            let mut command = Command::new(program);
            command.env("PYTHONDONTWRITEBYTECODE", "1").args(arguments).current_dir(&folder).stdin(Stdio::null());
            let output = command.output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{}: {said}", folder.display());
            let name = folder.file_name().ok_or("an example has a name")?;
            let golden = |language: &str| fs::read(examples(language).join(name).join("golden.jsonl"));
            assert!(golden(language)? == golden("rust")?, "{}: other cases than in Rust", folder.display());
        }
    }
    Ok(())
}
