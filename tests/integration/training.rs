//! Training through the real binary on rows that are prepared already: killed at any moment it ends in the same bytes,
//! what it writes is read by others' programs, and what cannot be trained on is refused before the first step.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use hilora_model::{ComputeType, ModelConfig, StoredType};
use hilora_run::config::RunConfig;
use hilora_trainer::{PlanRequest, TrainingSample, plan as plan_training};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::models::python_trial;
use crate::repository;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("training::killed_at_random_moments_it_ends_in_the_same_bytes", killed),
        Trial::test("training::ctrl_c_finishes_the_step_saves_and_exits_with_130", interrupted),
        Trial::test("training::too_few_rows_and_foreign_rows_are_refused_before_anything_is_loaded", refused_rows),
        Trial::test("training::all_wrong_keys_are_named_at_once", wrong_keys),
        Trial::test("training::the_schema_is_the_committed_one_and_takes_every_shipped_config", schema),
        Trial::test("training::the_specifications_configs_have_its_keys_and_values", specification),
        Trial::test("training::a_plan_writes_nothing_and_knows_the_runs_steps", plan),
        Trial::test("training::a_base_of_32_b_parameters_is_planned_from_its_config_json", plan_of_32b),
        Trial::test("training::a_base_that_is_cut_while_it_is_mapped_ends_in_one_message", cut_base),
        python_trial("training::tensorboard_reads_its_events", tensorboard),
    ]
}

/// Every part that has a state: packing, dropout, order, optimizer in 8 bits, copies of tables, best step, patience.
const CONFIG: &str = "
adapter_name: python-lora
base_model: examples/tiny-base
seed: 5
lora: {r: 32, lora_alpha: 64, lora_dropout: 0.1, modules_to_save: [embed_tokens, lm_head]}
training:
  num_epochs: 3
  batch_size: 2
  gradient_accumulation_steps: 2
  learning_rate: 2e-3
  warmup_ratio: 0.1
  weight_decay: 0.01
  max_seq_length: 192
  packing: true
  optim: adamw_8bit
  save_steps: 1
data:
  train_file: TRAIN
  eval_file: EVAL
  domains: [python]
validation: {eval_steps: 3, early_stopping_patience: 4}
";

/// A folder with rows and a config over them.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Result<Self, Failed> {
        let bench = Self { folder: tempfile::tempdir()? };
        let row = |i: usize, domain: &str| {
            let problem = format!("Read {i} numbers and print their sum plus {}.", i * 7 % 13);
            let solution = format!("print(sum(int(input()) for _ in range({i})) + {})\n", i * 7 % 13).repeat(1 + i % 3);
            json!({"problem": problem, "reasoning": null, "solution": solution, "domain": domain, "difficulty": null})
        };
        let lines = |rows: std::ops::Range<usize>, domain: &str| -> String {
            rows.map(|i| format!("{}\n", row(i, domain))).collect()
        };
        fs::write(bench.path("train.jsonl"), lines(0..40, "python"))?;
        fs::write(bench.path("eval.jsonl"), lines(40..48, "python"))?;
        fs::write(bench.path("foreign.jsonl"), lines(0..3, "python") + &lines(3..5, "math"))?;
        bench.write_config(CONFIG)?;
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_config(&self, text: &str) -> Result<(), Failed> {
        let named = |name: &str| self.path(name).display().to_string();
        Ok(fs::write(
            self.path("run.yaml"),
            text.replace("TRAIN", &named("train.jsonl")).replace("EVAL", &named("eval.jsonl")),
        )?)
    }

    fn train(&self, run: &str, threads: usize) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
        command.current_dir(repository()).args(["train", "--json", "--config"]).arg(self.path("run.yaml"));
        command.arg("--run").arg(self.path(run)).env("RAYON_NUM_THREADS", threads.to_string());
        command.stderr(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    fn result(&self, run: &str) -> Result<[Vec<u8>; 2], Failed> {
        let read = |name: &str| fs::read(self.path(run).join(name));
        Ok([read("adapter/adapter_model.safetensors")?, read("metrics.jsonl")?])
    }
}

fn succeeded(output: &Output) -> Result<Value, Failed> {
    if output.status.code() != Some(0) {
        return Err(format!("{output:?}").into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A number below `bound`, by a small generator of a fixed seed.
fn below(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

fn plan() -> Result<(), Failed> {
    let bench = Bench::new()?;
    let plan = succeeded(&bench.train("run", 2).arg("--plan").output()?)?;
    assert!(!bench.path("run").exists(), "a plan makes no run folder");
    let outcome = succeeded(&bench.train("run", 2).output()?)?;
    for (planned, done) in [("rows", "rows"), ("steps", "steps_total"), ("trained_parameters", "trained_parameters")] {
        assert_eq!(plan[planned], outcome[done], "{plan}");
    }
    assert_eq!(plan["rows_assumed"], false);
    let parts = ["process", "blocks", "tables", "adapter", "optimizer", "activations"];
    let sum: u64 = parts.iter().filter_map(|part| plan["memory"][part].as_u64()).sum();
    assert!(parts.iter().all(|part| plan["memory"][part].as_u64() > Some(0)), "{plan}");
    assert_eq!(plan["memory"]["total"], sum);
    let weights = fs::metadata(repository().join("examples/tiny-base/model.safetensors"))?.len();
    // The blocks are in 4 bits of the checkpoint's 16; the tables stay.
    let planned = plan["memory"]["blocks"].as_u64().unwrap_or(0) + plan["memory"]["tables"].as_u64().unwrap_or(0);
    assert!(planned < weights && planned > weights / 4, "{planned} of {weights}");
    assert!(plan["time"]["step"].as_f64() > Some(0.0) && plan["time"]["evaluation"].as_f64() > Some(0.0), "{plan}");
    Ok(())
}

/// The shape of QwQ-32B-Preview-AWQ.
fn config_of_32b() -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 5120,
        "intermediate_size": 27648, "num_hidden_layers": 64, "num_attention_heads": 40, "num_key_value_heads": 8,
        "vocab_size": 152064, "max_position_embeddings": 32768, "rms_norm_eps": 1e-5, "rope_theta": 1e6,
        "tie_word_embeddings": false, "torch_dtype": "float16", "use_sliding_window": false,
        "quantization_config": {
            "quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": true
        }
    })
}

/// The specification's own config over a row of 4,096 tokens and a short one, in bf16 on whatever machine this is.
fn plan_of_32b() -> Result<(), Failed> {
    let base = tempfile::tempdir()?;
    fs::write(base.path().join("config.json"), config_of_32b().to_string())?;
    let config = RunConfig::load(&repository().join("configs/python_lora.yaml"))?;
    let request = PlanRequest {
        block_bytes: None,
        model: &ModelConfig::load(base.path())?,
        stored: StoredType::load(base.path())?,
        training: &config.training,
        compute: ComputeType::Bf16,
        lora: &config.lora,
        seed: 1,
        samples: &[4096, 64].map(|tokens| TrainingSample::plain(vec![7; tokens])),
        validation: None,
        process_bytes: 100_000_000,
    };
    let plan = plan_training(&request, &mut || ())?;
    assert_eq!((plan.rows, plan.steps, plan.largest_micro_batch), (2, 3, 4096));
    assert_eq!(plan.trained_parameters, 268_435_456);
    let total = plan.memory.total;
    assert!(total > 20_000_000_000 && total < 26_000_000_000, "{plan:?}");
    Ok(())
}

fn killed() -> Result<(), Failed> {
    let bench = Bench::new()?;
    let began = Instant::now();
    let outcome = succeeded(&bench.train("whole", 2).output()?)?;
    let whole = began.elapsed().as_millis() as u64;
    let steps = outcome["steps"].as_u64().ok_or("steps")?;
    assert!(outcome["finished"] == true && steps >= 12, "{outcome}");
    assert!(outcome["rows"].as_u64() < Some(40), "rows are packed: {outcome}");
    let expected = bench.result("whole")?;
    let environment: Value = serde_json::from_slice(&fs::read(bench.path("whole/environment.json"))?)?;
    assert_eq!((&environment["seed"], &environment["device"]), (&json!(5), &json!("cpu")), "{environment}");
    assert!(environment["libraries"]["candle-core"].is_string(), "{environment}");
    let mut state = 11;
    for threads in [1, 2] {
        // A quiet moment may let it finish before it was killed twice; then it is tried again, and killed sooner.
        let mut tries = (1..).map(|halvings| (format!("killed-{threads}-{halvings}"), whole >> halvings));
        let run = tries
            .find_map(|(run, moments)| kill_at_random(&bench, &run, threads, moments.max(1), &mut state).transpose())
            .ok_or("it was never killed twice")??;
        if bench.result(&run)? != expected {
            return Err(format!("{run}: with {threads} threads another result").into());
        }
    }
    Ok(())
}

/// Kills a training up to eight times, each time within so many milliseconds, then lets it finish. Returns the run
/// where it was killed at least twice.
fn kill_at_random(
    bench: &Bench,
    run: &str,
    threads: usize,
    milliseconds: u64,
    state: &mut u64,
) -> Result<Option<String>, Failed> {
    let mut kills = 0;
    while kills < 8 {
        let mut child = bench.train(run, threads).spawn()?;
        std::thread::sleep(Duration::from_millis(below(state, milliseconds)));
        if child.try_wait()?.is_some() {
            break;
        }
        child.kill()?;
        child.wait()?;
        kills += 1;
    }
    succeeded(&bench.train(run, threads).output()?)?;
    Ok((kills > 1).then(|| run.to_owned()))
}

fn interrupted() -> Result<(), Failed> {
    let bench = Bench::new()?;
    let child = bench.train("run", 2).spawn()?;
    let metrics = bench.path("run/metrics.jsonl");
    wait_for_lines(&metrics, 3)?;
    let process = rustix::process::Pid::from_raw(child.id() as i32).ok_or("a process has an id")?;
    rustix::process::kill_process(process, rustix::process::Signal::INT)?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let outcome: Value = serde_json::from_slice(&output.stdout)?;
    let saved = format!("run/checkpoints/step-{:06}/state.json", outcome["steps"].as_u64().ok_or("steps")?);
    assert!(outcome["finished"] == false && bench.path(&saved).is_file(), "{outcome}");
    let resumed = succeeded(&bench.train("run", 2).output()?)?;
    assert_eq!((&resumed["resumed_from"], &resumed["finished"]), (&outcome["steps"], &json!(true)));
    Ok(())
}

/// Waits until a file has so many lines.
fn wait_for_lines(path: &Path, lines: usize) -> Result<(), Failed> {
    let deadline = Instant::now() + Duration::from_secs(120);
    while fs::read_to_string(path).unwrap_or_default().lines().count() < lines {
        if Instant::now() > deadline {
            return Err(format!("{} has not {lines} lines within two minutes", path.display()).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn refused(bench: &Bench, expected: &[&str]) -> Result<(), Failed> {
    let output = bench.train("refused", 1).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    match expected.iter().find(|part| !text.contains(**part)) {
        None if output.status.code() == Some(2) => Ok(()),
        _ => Err(format!("expected {expected:?} and exit code 2, got {output:?}").into()),
    }
}

fn refused_rows() -> Result<(), Failed> {
    let bench = Bench::new()?;
    bench.write_config(&CONFIG.replace("domains: [python]", "domains: [python]\n  min_examples: 5000"))?;
    refused(&bench, &["data.min_examples: expected at least 5000 rows in", "got 40"])?;
    bench.write_config(&CONFIG.replace("TRAIN", &bench.path("foreign.jsonl").display().to_string()))?;
    refused(&bench, &["2 rows of", "are of other domains (math), the first is row 3"])
}

fn wrong_keys() -> Result<(), Failed> {
    let bench = Bench::new()?;
    bench.write_config(&CONFIG.replace("seed: 5", "sed: 5").replace("  packing: true", "  packed: true"))?;
    refused(&bench, &["  - sed: nobody reads this key", "  - training.packed: nobody reads this key"])
}

fn yaml(path: &PathBuf) -> Result<Value, Failed> {
    Ok(serde_saphyr::from_str(&fs::read_to_string(path)?).map_err(|e| format!("{}: {e}", path.display()))?)
}

fn configs() -> Result<Vec<PathBuf>, Failed> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(repository().join("configs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            paths.push(path);
        }
    }
    if paths.len() < 4 { Err(format!("expected the shipped configs, found {paths:?}").into()) } else { Ok(paths) }
}

fn schema() -> Result<(), Failed> {
    let path = repository().join("configs/run.schema.json");
    let printed = Command::new(env!("CARGO_BIN_EXE_hilora-host")).args(["config", "schema"]).output()?;
    if fs::read(&path)? != printed.stdout {
        return Err(format!("{} is not what `hilora-host config schema` prints", path.display()).into());
    }
    let validator = jsonschema::validator_for(&serde_json::from_slice(&printed.stdout)?)?;
    for path in configs()? {
        let text = fs::read_to_string(&path)?;
        if !text.contains("# yaml-language-server: $schema=run.schema.json") {
            return Err(format!("{} does not name its schema", path.display()).into());
        }
        let problems: Vec<String> = validator.iter_errors(&yaml(&path)?).map(|error| error.to_string()).collect();
        if !problems.is_empty() {
            return Err(format!("{}: {problems:?}", path.display()).into());
        }
    }
    let wrong = json!({"adapter_name": "a", "base_model": "b", "lora": {"r": "four", "lora_alpha": 1}, "data": {}});
    assert!(!validator.is_valid(&wrong), "the schema takes everything");
    Ok(())
}

/// The two configs of the specification, key by key.
fn specification() -> Result<(), Failed> {
    let modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
    let python = json!({
        "adapter_name": "python-lora", "base_model": "Qwen/QwQ-32B-Preview-AWQ",
        "lora": {"r": 32, "lora_alpha": 64, "lora_dropout": 0.05, "target_modules": modules, "bias": "none",
            "task_type": "CAUSAL_LM"},
        "training": {"num_epochs": 3, "batch_size": 4, "gradient_accumulation_steps": 8, "learning_rate": 2e-4,
            "lr_scheduler": "cosine", "warmup_ratio": 0.03, "weight_decay": 0.01, "max_seq_length": 4096,
            "gradient_checkpointing": true, "optim": "adamw_8bit", "bf16": true},
        "data": {"train_file": "data/python_train.jsonl", "eval_file": "data/python_eval.jsonl",
            "domains": ["python", "debugging", "testing"], "min_examples": 5000},
        "validation": {"eval_steps": 500, "metric": "pass@1", "early_stopping_patience": 3},
    });
    let mut math = python.clone();
    for (pointer, value) in [
        ("/adapter_name", json!("math-lora")),
        ("/lora/r", json!(64)),
        ("/lora/lora_alpha", json!(128)),
        ("/training/num_epochs", json!(5)),
        ("/training/batch_size", json!(2)),
        ("/training/gradient_accumulation_steps", json!(16)),
        ("/training/learning_rate", json!(1e-4)),
        ("/training/warmup_ratio", json!(0.05)),
        ("/training/max_seq_length", json!(8192)),
        ("/data/train_file", json!("data/math_train.jsonl")),
        ("/data/eval_file", json!("data/math_eval.jsonl")),
        ("/data/domains", json!(["math", "algorithms", "proofs"])),
        ("/data/min_examples", json!(3000)),
        ("/validation/eval_steps", json!(300)),
        ("/validation/early_stopping_patience", json!(5)),
    ] {
        *math.pointer_mut(pointer).ok_or(pointer)? = value;
    }
    for (file, expected) in [("python_lora.yaml", python), ("math_lora.yaml", math)] {
        let path = repository().join("configs").join(file);
        assert_eq!(yaml(&path)?, expected, "{file}");
        let config = RunConfig::load(&path)?;
        assert_eq!(config.training.mode, hilora_trainer::TrainingMode::Qlora);
    }
    Ok(())
}

/// A base in 4 bits is mapped as it is stored: every step reads its pages.
fn cut_base() -> Result<(), Failed> {
    let bench = Bench::new()?;
    let base = bench.path("base-nf4");
    let quantized = Command::new(env!("CARGO_BIN_EXE_hilora-host"))
        .current_dir(repository())
        .args(["model", "quantize", "examples/tiny-base", "--json", "--output"])
        .arg(&base)
        .output()?;
    succeeded(&quantized)?;
    // Nothing is saved before the next step reads what is gone.
    let config =
        CONFIG.replace("examples/tiny-base", &base.display().to_string()).replace("save_steps: 1", "save_steps: 900");
    bench.write_config(config.split("validation:").next().ok_or("a config")?)?;
    let child = bench.train("run", 2).spawn()?;
    wait_for_lines(&bench.path("run/metrics.jsonl"), 2)?;
    fs::OpenOptions::new().write(true).open(base.join("model.safetensors"))?.set_len(4096)?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: a file that is in use was cut") && said.contains("\nhint: "), "{said}");
    assert!(!bench.path("run/adapter").exists(), "nothing was made of it");
    Ok(())
}

/// Prints every scalar that the tensorboard package finds, as [tag, step, value].
const READ_EVENTS: &str = "
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
print(json.dumps([[tag, e.step, e.value] for tag in events.Tags()['scalars'] for e in events.Scalars(tag)]))
";

fn tensorboard(python: PathBuf) -> Result<(), Failed> {
    let bench = Bench::new()?;
    // Killed in the middle: what a resumed run writes again must stand there once.
    let mut child = bench.train("run", 2).spawn()?;
    let metrics = bench.path("run").join("metrics.jsonl");
    wait_for_lines(&metrics, 7)?;
    child.kill()?;
    child.wait()?;
    succeeded(&bench.train("run", 2).output()?)?;
    let read = Command::new(python).args(["-c", READ_EVENTS]).arg(bench.path("run/tensorboard")).output()?;
    let scalars = succeeded(&read)?;
    let of = |tag: &str| -> Vec<(u64, f64)> {
        let rows = scalars.as_array().into_iter().flatten().filter(|row| row[0] == tag);
        rows.filter_map(|row| Some((row[1].as_u64()?, row[2].as_f64()?))).collect()
    };
    let lines: Vec<Value> =
        fs::read_to_string(&metrics)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for (tag, key) in [("train/loss", "loss"), ("train/learning_rate", "learning_rate"), ("eval/loss", "eval_loss")] {
        let expected: Vec<(u64, f64)> =
            lines.iter().filter_map(|line| Some((line["step"].as_u64()?, line[key].as_f64()?))).collect();
        let got = of(tag);
        assert!(expected.len() > 3, "{tag}: {expected:?}");
        assert_eq!(
            got.iter().map(|row| row.0).collect::<Vec<_>>(),
            expected.iter().map(|row| row.0).collect::<Vec<_>>(),
            "{tag}"
        );
        let close = got.iter().zip(&expected).all(|((_, got), (_, expected))| (got - expected).abs() < 1e-6);
        assert!(close, "{tag}: expected {expected:?}, got {got:?}");
    }
    Ok(())
}
