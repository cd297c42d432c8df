//! Adapters that hold trained copies of tables (`modules_to_save`), against transformers and PEFT.
//!
//! tests/oracle/saved_modules.py made the adapters and numbers: Qwen2 with copies of both tables, and Llama, whose
//! embeddings are tied, with a copy of one of them each.

use std::fs;
use std::path::{Path, PathBuf};

use hilora_model::{Adapter, BasePrecision, LoraConfig, Model};
use hilora_trainer::{Learner, LearnerOptions, StepOptions};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::models::{close, python_logits, python_trial, read, sharded, succeed, text};
use crate::parity::{Numbers, altered, decoding_error, equal, fixture, run_probe, samples, trajectory};

/// (architecture, adapter, its modules).
const ADAPTERS: [(&str, &str, &[&str]); 3] = [
    ("qwen2", "saved_both", &["embed_tokens", "lm_head"]),
    ("llama", "saved_head", &["lm_head"]),
    ("llama", "saved_embedding", &["embed_tokens"]),
];

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (architecture, adapter, _) in ADAPTERS {
        let mut add = |name: &str, test: fn(&str, &str) -> Result<(), Failed>| {
            let name = format!("saved_modules::{architecture}_{adapter}_{name}");
            trials.push(Trial::test(name, move || test(architecture, adapter)));
        };
        add("gives_pefts_logits_loss_and_gradients", |architecture, adapter| numbers(architecture, adapter, "f32"));
        add("decodes_to_pefts_logits", decoding);
        add("is_merged_into_the_tables", merged);
    }
    trials.extend([
        Trial::test("saved_modules::an_nf4_base_gives_pefts_numbers", || numbers("qwen2", "saved_both", "nf4")),
        Trial::test("saved_modules::every_step_equals_torchs", || {
            trajectory(BasePrecision::F32, "saved_both", "saved_both_trajectory")
        }),
        Trial::test("saved_modules::a_merged_table_stays_in_its_shard", merged_shards),
        Trial::test("saved_modules::inspect_names_them", inspect),
        Trial::test("saved_modules::wrong_adapters_are_one_clear_error", wrong_adapters),
        python_trial("saved_modules::peft_loads_what_was_trained_here", peft_loads_what_was_trained),
        python_trial("saved_modules::transformers_loads_an_untied_merge", transformers_loads_an_untied_merge),
    ]);
    trials
}

fn base(architecture: &str) -> PathBuf {
    fixture(architecture).join("model")
}

fn numbers(architecture: &str, adapter: &str, precision: &str) -> Result<(), Failed> {
    let folder = fixture(architecture);
    let got = run_probe(architecture, &base(architecture), &folder.join(adapter), precision, "f32")?;
    let suffix = if precision == "f32" { String::new() } else { format!("_{precision}") };
    equal(&got, &Numbers::load(folder.join(format!("{adapter}{suffix}.safetensors")))?)
}

/// The logits of an adapter's reference.
fn reference_logits(architecture: &str, adapter: &str) -> Result<Vec<f32>, Failed> {
    Numbers::load(fixture(architecture).join(format!("{adapter}.safetensors")))?.floats("logits")
}

fn decoding(architecture: &str, adapter: &str) -> Result<(), Failed> {
    let model = Model::load(&base(architecture), BasePrecision::F32)?;
    let expected = reference_logits(architecture, adapter)?;
    let adapter = Adapter::load(&fixture(architecture).join(adapter))?;
    let error = decoding_error(architecture, &model, Some(&adapter), &expected)?;
    if error > 2e-5 { Err(format!("decoded logits are off by {error:e}; bound 2e-5").into()) } else { Ok(()) }
}

fn merge(base: &Path, adapter: &Path) -> Result<(tempfile::TempDir, PathBuf), Failed> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("merged");
    succeed(&["model", "merge", "--base", text(base)?, "--adapter", text(adapter)?, "--output", text(&output)?])?;
    Ok((folder, output))
}

fn tied(model: &Path) -> Result<Value, Failed> {
    let config: Value = serde_json::from_str(&fs::read_to_string(model.join("config.json"))?)?;
    Ok(config["tie_word_embeddings"].clone())
}

fn merged(architecture: &str, adapter: &str) -> Result<(), Failed> {
    let folder = fixture(architecture).join(adapter);
    let (_folder, output) = merge(&base(architecture), &folder)?;
    let got = read(&output.join("model.safetensors"))?;
    let original = read(&base(architecture).join("model.safetensors"))?;
    let trained = read(&folder.join("adapter_model.safetensors"))?;
    // A table that was not trained is the base's, where it was tied the embedding.
    for name in [EMBEDDING, HEAD] {
        let frozen = || original.get(name).or(original.get(EMBEDDING));
        let expected = trained.get(&format!("base_model.model.{name}")).or_else(frozen);
        assert!(got.contains_key(name) && got.get(name) == expected, "{name}");
    }
    assert_eq!(tied(&output)?, json!(false));
    let model = Model::load(&output, BasePrecision::F32)?;
    let error = decoding_error(architecture, &model, None, &reference_logits(architecture, adapter)?)?;
    if error > 2e-5 { Err(format!("logits are off by {error:e}; bound 2e-5").into()) } else { Ok(()) }
}

fn merged_shards() -> Result<(), Failed> {
    let adapter = fixture("llama/saved_head");
    let (base_folder, whole) = (sharded("llama/model")?, merge(&base("llama"), &adapter)?);
    let (_folder, output) = merge(base_folder.path(), &adapter)?;
    let index: Value = serde_json::from_str(&fs::read_to_string(output.join("model.safetensors.index.json"))?)?;
    assert_eq!(index["weight_map"][HEAD], index["weight_map"][EMBEDDING]);
    let mut parts = read(&output.join("model-00001-of-00002.safetensors"))?;
    parts.extend(read(&output.join("model-00002-of-00002.safetensors"))?);
    assert_eq!(parts, read(&whole.1.join("model.safetensors"))?);
    Ok(())
}

fn inspect() -> Result<(), Failed> {
    for (architecture, adapter, modules) in ADAPTERS {
        let folder = fixture(architecture).join(adapter);
        let said = succeed(&["model", "inspect", text(&folder)?])?;
        assert!(said.contains(&format!("saved         {}\n", modules.join(" "))), "{said}");
        let said: Value = serde_json::from_str(&succeed(&["model", "inspect", text(&folder)?, "--json"])?)?;
        assert_eq!(said["modules_to_save"], json!(modules));
    }
    Ok(())
}

fn wrong_adapters() -> Result<(), Failed> {
    let refuse = |from: &str, to: &str, expected: &[&str]| -> Result<(), Failed> {
        let folder = altered("llama/saved_head", "adapter_config.json", from, to)?;
        let error = crate::told(&Adapter::load(folder.path()).err().ok_or("what is wrong was loaded")?);
        match expected.iter().find(|part| !error.contains(**part)) {
            None => Ok(()),
            Some(part) => Err(format!("expected `{part}` in: {error}").into()),
        }
    };
    refuse("\"lm_head\"", "\"embed_tokens\"", &["the tensor `base_model.model.model.embed_tokens.weight` is missing"])?;
    refuse("\"lm_head\"", "", &["unexpected tensor `base_model.model.lm_head.weight`", "hint:"])?;
    refuse("\"lm_head\"", "\"norm\"", &["modules_to_save: expected a list of embed_tokens, lm_head, got [\"norm\"]"])?;
    let tying = ["ensure_weight_tying: expected false beside modules_to_save, got true"];
    refuse("\"ensure_weight_tying\": false", "\"ensure_weight_tying\": true", &tying)
}

/// Takes steps from a new adapter of this configuration and saves it.
pub(crate) fn train(architecture: &str, lora: Value, output: &Path) -> Result<(), Failed> {
    let lora: LoraConfig = serde_json::from_value(lora)?;
    let model = Model::load(&base(architecture), BasePrecision::F32)?;
    let mut learner = Learner::new_adapter(model, &lora, 5, &LearnerOptions::default())?;
    let options =
        StepOptions { learning_rate: 1e-2, weight_decay: 0.01, max_grad_norm: 1.0, gradient_checkpointing: false };
    let batches = Numbers::load(fixture("qwen2/trajectory_batches.safetensors"))?;
    for step in 1..5 {
        learner.step(&[samples(&batches, step)?], &options)?;
    }
    Ok(learner.adapter().ok_or("no adapter")?.save(output, None)?)
}

fn peft_loads_what_was_trained(python: PathBuf) -> Result<(), Failed> {
    for (architecture, _, modules) in ADAPTERS {
        let folder = tempfile::tempdir()?;
        train(architecture, json!({"r": 4, "lora_alpha": 8, "modules_to_save": modules}), folder.path())?;
        let model = base(architecture);
        let got = python_logits(&python, architecture, &model, Some(folder.path()))?;
        close(&got, &run_probe(architecture, &model, folder.path(), "f32", "f32")?.floats("logits")?)?;
    }
    Ok(())
}

fn transformers_loads_an_untied_merge(python: PathBuf) -> Result<(), Failed> {
    for adapter in ["saved_head", "saved_embedding"] {
        let (_folder, output) = merge(&base("llama"), &fixture("llama").join(adapter))?;
        close(&python_logits(&python, "llama", &output, None)?, &reference_logits("llama", adapter)?)?;
    }
    Ok(())
}
