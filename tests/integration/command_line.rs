//! The built binary as a person meets it: results on standard output, one clear error on standard error, exit codes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::Domain;
use hilora_evaluator::{
    Comparison, Controls, Evaluation, EvaluationConfig, EvaluationRecord, Latency, ProblemOutcome, SampleOutcome,
};
use hilora_judge::Verdict;
use hilora_registry::{Registry, VersionContent};
use libtest_mimic::{Failed, Trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("command_line::gate_exits_0_where_it_says_yes_and_3_where_no", gate_decides),
        Trial::test("command_line::gate_refuses_what_is_no_evaluation", gate_refuses_bad_input),
        Trial::test("command_line::registry_lists_and_shows", registry_lists_and_shows),
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
        }],
    };
    Ok(Evaluation::of_outcomes((0..10).map(outcome).collect(), &[1])?)
}

/// Writes `evaluation.json` and `latency.json` of an adapter that is this much slower than its base.
fn write_run(folder: &Path, latency_increase: f64) -> Result<(), Failed> {
    let record = EvaluationRecord {
        adapter_name: "python-lora".to_owned(),
        made_from: BTreeMap::new(),
        seed: 1,
        config: EvaluationConfig::default(),
        comparison: Comparison::of(evaluation(1)?, evaluation(6)?, 1)?,
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
    expect_contains(&yes, &["python-lora", "pass@1 above 0.350", "+50.0 points   passed", "the gate says yes"])?;

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
    expect_contains(&String::from_utf8_lossy(&truncated.stderr), &["error: cannot read evaluation.json", "EOF"])
}

fn registry_lists_and_shows() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let absent = hilora(folder.path(), &["registry", "list"])?;
    expect_exit(&absent, 2)?;
    expect_contains(&String::from_utf8_lossy(&absent.stderr), &["no registry at runs/registry.sqlite", "hint: "])?;
    if folder.path().join("runs").exists() {
        return Err("expected that looking makes no registry".into());
    }

    let registry = Registry::open(&folder.path().join("runs/registry.sqlite"))?;
    for adapter in ["first", "second"] {
        registry.register(&VersionContent {
            name: "python-lora".to_owned(),
            adapter: ContentHash::of(adapter.as_bytes()),
            adapter_folder: "runs/quickstart/adapter".to_owned(),
            base_model: ContentHash::of(b"base"),
            dataset_manifest: ContentHash::of(b"manifest"),
            config: ContentHash::of(b"config"),
            evaluation: ContentHash::of(b"evaluation"),
            code_version: "0.1.0".to_owned(),
            summary: serde_json::json!({"adapter": {"pass_at": {"1": {"value": 0.655}}}}),
            gate: serde_json::json!({"passed": true}),
            gate_passed: true,
        })?;
    }
    drop(registry);
    let list = expect_exit(&hilora(folder.path(), &["registry", "list"])?, 0)?;
    expect_contains(&list, &["python-lora        1   0.655", "python-lora        2   0.655"])?;
    let shown = expect_exit(&hilora(folder.path(), &["registry", "show", "python-lora"])?, 0)?;
    expect_contains(&shown, &["python-lora version 2", &ContentHash::of(b"second").to_string()])?;
    let first = hilora(folder.path(), &["registry", "show", "python-lora", "1", "--json"])?;
    let first: serde_json::Value = serde_json::from_str(&expect_exit(&first, 0)?)?;
    if first["adapter"] != ContentHash::of(b"first").to_string() || first["version"] != 1 {
        return Err(format!("expected version 1, got {first}").into());
    }
    let unknown = hilora(folder.path(), &["registry", "show", "math-lora"])?;
    expect_exit(&unknown, 2)?;
    expect_contains(&String::from_utf8_lossy(&unknown.stderr), &["the registry has no adapter `math-lora`"])
}
