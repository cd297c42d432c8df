//! The built binary as a person meets it: results on standard output, one clear error on standard error, exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hilora_contract::artifact::{ContentHash, hash_of_artifact};
use hilora_contract::dataset::Domain;
use hilora_evaluator::{
    Comparison, Controls, Evaluation, EvaluationConfig, EvaluationRecord, Latency, ProblemOutcome, STATISTICS,
    SampleOutcome,
};
use hilora_judge::Verdict;
use hilora_registry::{Registry, VersionContent};
use libtest_mimic::{Failed, Trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("command_line::gate_exits_0_where_it_says_yes_and_3_where_no", gate_decides),
        Trial::test("command_line::gate_refuses_what_is_no_evaluation", gate_refuses_bad_input),
        Trial::test("command_line::gate_believes_no_figure_that_was_edited", gate_recomputes),
        Trial::test("command_line::report_writes_all_that_was_asked_for_or_nothing", report_writes),
        Trial::test("command_line::registry_lists_and_shows", registry_lists_and_shows),
        Trial::test("command_line::registry_says_whose_files_are_gone_or_changed", registry_checks_files),
    ]
}

fn hilora(folder: &Path, arguments: &[&str]) -> Result<Output, Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
    Ok(command.args(arguments).current_dir(folder).output()?)
}

/// Checks an exit code and gives standard output; in a failure standard error is told too.
fn expect_exit(output: &Output, code: i32) -> Result<String, Failed> {
    if output.status.code() == Some(code) {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("expected exit code {code}, got {output:?}").into())
}

fn expect_contains(text: &str, parts: &[&str]) -> Result<(), Failed> {
    match parts.iter().find(|part| !text.contains(**part)) {
        None => Ok(()),
        Some(part) => Err(format!("expected `{part}` in:\n{text}").into()),
    }
}

/// An evaluation of ten problems, of which the first so many have a right answer.
fn evaluation(correct: usize) -> Result<Evaluation, Failed> {
    let outcome = |index: usize| ProblemOutcome {
        id: format!("problem {index}"),
        title: String::new(),
        domain: Domain("python".to_owned()),
        samples: vec![SampleOutcome {
            completion: "an answer".to_owned(),
            tokens: 2,
            cut: false,
            verdict: Some(if index < correct { Verdict::Accepted } else { Verdict::WrongAnswer }),
            error: None,
            program: None,
            failed_test: None,
            log_probability: None,
        }],
    };
    Ok(Evaluation::of_outcomes((0..10).map(outcome).collect(), &[1])?)
}

/// Writes `evaluation.json` and `latency.json` of an adapter that is this much slower than its base.
pub(crate) fn write_run(folder: &Path, latency_increase: f64) -> Result<(), Failed> {
    let adapter = folder.join("adapter");
    let hash = adapter.exists().then(|| hash_of_artifact(&adapter)).transpose()?;
    let record = EvaluationRecord {
        benchmarks: Vec::new(),
        statistics: STATISTICS,
        adapter_name: "python-lora".to_owned(),
        made_from: hash.map(|hash| ("adapter".to_owned(), hash.to_string())).into_iter().collect(),
        seed: 1,
        config: EvaluationConfig { samples_per_problem: 1, k: vec![1], ..EvaluationConfig::default() },
        comparison: Comparison::of(evaluation(1)?, evaluation(6)?)?,
        breakdowns: Vec::new(),
        controls: Controls::default(),
    };
    record.write(&folder.join("evaluation.json"))?;
    let adapter_us = 100.0 * (1.0 + latency_increase);
    Latency { base_us: 100.0, adapter_us, increase: latency_increase, tokens: 100 }
        .write(&folder.join("latency.json"))?;
    Ok(())
}

fn gate_decides() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    write_run(folder.path(), 0.05)?;
    let yes = expect_exit(&hilora(folder.path(), &["gate", "--evaluation", "evaluation.json"])?, 0)?;
    expect_contains(
        &yes,
        &[
            "python-lora",
            "pass@1 above 0.350",
            "improvement, lower end above +5.0 points",
            "passed",
            "the gate says yes",
        ],
    )?;

    let decision: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.path().join("gate.json"))?)?;
    let read: Vec<&String> = decision["read"].as_object().ok_or("no hashes")?.keys().collect();
    if decision["decision"]["passed"] != true || read != ["evaluation.json", "latency.json"] {
        return Err(format!("expected the decision and what it stands on, got {decision}").into());
    }

    write_run(folder.path(), 0.25)?;
    let no = expect_exit(&hilora(folder.path(), &["gate", "--evaluation", "evaluation.json"])?, 3)?;
    expect_contains(&no, &["+25.0 %   FAILED", "the gate says no: decode time over the base"])?;
    let json = expect_exit(&hilora(folder.path(), &["gate", "--evaluation", "evaluation.json", "--json"])?, 3)?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    if json["passed"] != false || json["rules"][2]["rule"] != "latency-increase" || json["rules"][2]["passed"] != false
    {
        return Err(format!("expected a refusal for latency, got {json}").into());
    }
    Ok(())
}

fn gate_refuses_bad_input() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let absent = hilora(folder.path(), &["gate", "--evaluation", "evaluation.json"])?;
    expect_exit(&absent, 2)?;
    expect_contains(&String::from_utf8_lossy(&absent.stderr), &["error: cannot read evaluation.json"])?;

    write_run(folder.path(), 0.05)?;
    let whole = std::fs::read(folder.path().join("evaluation.json"))?;
    std::fs::write(folder.path().join("evaluation.json"), &whole[..whole.len() / 2])?;
    let truncated = hilora(folder.path(), &["gate", "--evaluation", "evaluation.json"])?;
    expect_exit(&truncated, 2)?;
    let told = "error: evaluation.json: expected the record of an evaluation, got JSON that is cut off in line";
    expect_contains(&String::from_utf8_lossy(&truncated.stderr), &[told])
}

fn report_writes() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    write_run(folder.path(), 0.05)?;
    let report =
        |outputs: &[&str]| hilora(folder.path(), &[&["report", "--evaluation", "evaluation.json"], outputs].concat());
    std::fs::write(folder.path().join("metrics.jsonl"), "{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":1.5}\n")?;
    expect_exit(&report(&["--page", "page.html", "--csv", "samples.csv", "--model", "base"])?, 0)?;
    let page = std::fs::read_to_string(folder.path().join("page.html"))?;
    expect_contains(&page, &["python-lora against its base", "training loss", "the gate says yes", "problem 1"])?;
    let csv = std::fs::read_to_string(folder.path().join("samples.csv"))?;
    expect_contains(&csv, &["base,problem 0,,python,1,accepted,", "adapter,problem 9,,python,1,wrong-answer,"])?;
    // The second output cannot be written, so the first is not there either.
    for (outputs, said) in [
        (vec!["--csv", "new.csv", "--page", "evaluation.json/page.html"], "evaluation.json"),
        (vec!["--csv", "new.csv", "--page", "evaluation.json"], "evaluation.json"),
        (vec!["--csv", "new.csv", "--lm-eval", "-", "--inspect", "-"], "expected one output on standard output"),
        (vec![], "required"),
    ] {
        let refused = report(&outputs)?;
        expect_exit(&refused, 2)?;
        expect_contains(&String::from_utf8_lossy(&refused.stderr), &[said])?;
        if folder.path().join("new.csv").exists() {
            return Err(format!("{outputs:?}: half of it was written").into());
        }
    }
    Ok(())
}

fn gate_recomputes() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let gate = || hilora(folder.path(), &["gate", "--evaluation", "evaluation.json"]);
    let edit = |file: &str, pointer: &str, value: f64| -> Result<(), Failed> {
        let path = folder.path().join(file);
        let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        *json.pointer_mut(pointer).ok_or(format!("{file} has no {pointer}"))? = value.into();
        Ok(std::fs::write(&path, json.to_string())?)
    };
    for (file, pointer, value, message) in [
        (
            "evaluation.json",
            "/comparison/adapter/pass_at/1/value",
            0.9,
            "evaluation.json: comparison.adapter.pass_at.1.value: expected 0.6, which follows from its samples, got 0.9",
        ),
        (
            "evaluation.json",
            "/comparison/improvement_points/value",
            80.0,
            "evaluation.json: comparison.improvement_points.value: expected 50.0, which follows from its samples, got 80.0",
        ),
        (
            "evaluation.json",
            "/comparison/adapter/error_rate/value",
            0.1,
            "evaluation.json: comparison.adapter.error_rate.value: expected 0.0, which follows from its samples, got 0.1",
        ),
        (
            "latency.json",
            "/increase",
            0.01,
            "latency.json: increase: expected 0.25, which follows from its times, got 0.01",
        ),
    ] {
        write_run(folder.path(), 0.25)?;
        expect_exit(&gate()?, 3)?;
        edit(file, pointer, value)?;
        let refused = gate()?;
        expect_exit(&refused, 2)?;
        expect_contains(&String::from_utf8_lossy(&refused.stderr), &[&format!("error: {message}\n"), "hint: "])?;
    }
    Ok(())
}

/// The folder of an adapter with these weights in the run of that name, and its hash.
fn adapter(folder: &Path, weights: &str) -> Result<(PathBuf, ContentHash), Failed> {
    let adapter = folder.join("runs").join(weights).join("adapter");
    std::fs::create_dir_all(&adapter)?;
    std::fs::write(adapter.join("adapter_model.safetensors"), weights)?;
    let hash = hash_of_artifact(&adapter)?;
    Ok((adapter, hash))
}

/// Registers an adapter for each of these weights in `runs/registry.sqlite`, and tells their hashes.
pub(crate) fn register(folder: &Path, every_weights: &[&str]) -> Result<Vec<ContentHash>, Failed> {
    let registry = Registry::open(&folder.join("runs/registry.sqlite"))?;
    let mut hashes = Vec::new();
    for weights in every_weights {
        let (from, hash) = adapter(folder, weights)?;
        let content = VersionContent {
            name: "python-lora".to_owned(),
            adapter: hash,
            base_model: ContentHash::of(b"base"),
            dataset_manifest: ContentHash::of(b"manifest"),
            config: ContentHash::of(b"config"),
            evaluation: ContentHash::of(b"evaluation"),
            code_version: "0.1.0".to_owned(),
            summary: serde_json::json!({"adapter": {"pass_at": {"1": {"value": 0.655}}}}),
            gate: serde_json::json!({"passed": true}),
            gate_passed: true,
        };
        registry.register(&content, &from)?;
        hashes.push(hash);
    }
    Ok(hashes)
}

fn registry_lists_and_shows() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let absent = hilora(folder.path(), &["registry", "list"])?;
    expect_exit(&absent, 2)?;
    expect_contains(&String::from_utf8_lossy(&absent.stderr), &["no registry at runs/registry.sqlite", "hint: "])?;
    if folder.path().join("runs").exists() {
        return Err("expected that looking makes no registry".into());
    }

    let hashes = register(folder.path(), &["first", "second"])?;
    let list = expect_exit(&hilora(folder.path(), &["registry", "list"])?, 0)?;
    expect_contains(&list, &["python-lora        1   0.655", "python-lora        2   0.655"])?;
    let shown = expect_exit(&hilora(folder.path(), &["registry", "show", "python-lora"])?, 0)?;
    let files = format!("files          runs/adapters/{}\n", hashes[1]);
    expect_contains(&shown, &["python-lora version 2", &hashes[1].to_string(), &files])?;
    let first = hilora(folder.path(), &["registry", "show", "python-lora", "1", "--json"])?;
    let first: serde_json::Value = serde_json::from_str(&expect_exit(&first, 0)?)?;
    if first["adapter"] != hashes[0].to_string() || first["version"] != 1 || first["files"]["state"] != "whole" {
        return Err(format!("expected version 1, got {first}").into());
    }
    let unknown = hilora(folder.path(), &["registry", "show", "math-lora"])?;
    expect_exit(&unknown, 2)?;
    expect_contains(&String::from_utf8_lossy(&unknown.stderr), &["the registry has no adapter `math-lora`", "hint: "])
}

fn registry_checks_files() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let hashes = register(folder.path(), &["first", "second", "third"])?;
    // What happens to the runs hurts no version.
    for run in ["first", "second", "third"] {
        std::fs::remove_dir_all(folder.path().join("runs").join(run))?;
    }
    let stored = |index: usize| folder.path().join("runs/adapters").join(hashes[index].to_string());
    std::fs::remove_dir_all(stored(0))?;
    std::fs::write(stored(1).join("adapter_model.safetensors"), "others")?;
    let changed = hash_of_artifact(&stored(1))?;

    let list = expect_exit(&hilora(folder.path(), &["registry", "list"])?, 0)?;
    let missing: Vec<bool> = list.lines().skip(1).map(|line| line.ends_with("its files are missing")).collect();
    if missing != [true, false, false] {
        return Err(format!("expected that the first version's files are missing, got:\n{list}").into());
    }
    for (version, said) in [
        ("1", "(missing)\n".to_owned()),
        ("2", format!("(changed: their hash is now {changed})\n")),
        ("3", format!("files          runs/adapters/{}\n", hashes[2])),
    ] {
        let shown = hilora(folder.path(), &["registry", "show", "python-lora", version])?;
        expect_contains(&expect_exit(&shown, 0)?, &[&said])?;
    }
    Ok(())
}
