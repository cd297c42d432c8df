//! The trainer against transformers, PEFT and bitsandbytes, and the forward pass against candle-transformers.
//!
//! The reference numbers under tests/data/oracle were made by tests/oracle/make_reference.py, which says how.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use hilora_model::{Adapter, BasePrecision, Model, ModelError};
use hilora_trainer::{Learner, LearnerOptions, StepOptions, TrainingSample};
use libtest_mimic::{Failed, Trial};
use safetensors::SafeTensors;

use crate::decoded::decoded;
use crate::repository;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for architecture in ["qwen2", "qwen3", "llama"] {
        let mut add = |name: &str, test: fn(&str) -> Result<(), Failed>| {
            trials.push(Trial::test(format!("parity::{architecture}_{name}"), move || test(architecture)));
        };
        add("f32_logits_loss_and_gradients", |architecture| exact(architecture, "f32"));
        add("nf4_logits_loss_and_gradients", |architecture| exact(architecture, "nf4"));
        add("bf16_is_no_worse_than_torchs_bf16", |architecture| bf16(architecture, "f32"));
        add("bf16_arithmetic_is_no_worse_than_torchs", |architecture| bf16(architecture, "bf16"));
        add("decoding_gives_the_reference_logits", decoding);
    }
    trials.extend([
        Trial::test("parity::nf4_trajectory", || trajectory(BasePrecision::Nf4, "adapter", "trajectory")),
        Trial::test("parity::logits_equal_candle_transformers", candle_transformers_logits),
        Trial::test("parity::adapter_survives_saving", adapter_survives_saving),
        Trial::test("parity::wrong_checkpoints_are_one_clear_error", wrong_checkpoints),
    ]);
    trials
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    repository().join("tests/data/oracle").join(name)
}

/// All f32 tensors of a file, by name.
pub(crate) struct Numbers(Vec<u8>);

impl Numbers {
    pub(crate) fn load(path: PathBuf) -> Result<Self, Failed> {
        Ok(Self(fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?))
    }

    pub(crate) fn names(&self) -> Result<Vec<String>, Failed> {
        let mut names: Vec<String> =
            SafeTensors::deserialize(&self.0)?.names().into_iter().map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    pub(crate) fn floats(&self, name: &str) -> Result<Vec<f32>, Failed> {
        let tensors = SafeTensors::deserialize(&self.0)?;
        Ok(tensors.tensor(name)?.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    pub(crate) fn integers(&self, name: &str) -> Result<(usize, Vec<i64>), Failed> {
        let tensors = SafeTensors::deserialize(&self.0)?;
        let tensor = tensors.tensor(name)?;
        let values = tensor.data().as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
        Ok((tensor.shape()[1], values))
    }
}

/// |got − expected| / |expected| in the Euclidean norm.
pub(crate) fn relative(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut got.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)))
        / norm(&mut expected.iter().map(|x| f64::from(*x)))
}

/// The numbers that `hilora-host model probe` writes.
fn probe(architecture: &str, base: &str, compute: &str) -> Result<Numbers, Failed> {
    run_probe(architecture, &fixture(&format!("{architecture}/model")), &own_adapter(architecture), base, compute)
}

/// The same of another base with an architecture's adapter and batch, in f32.
pub(crate) fn probe_model(architecture: &str, model: &Path, base: &str) -> Result<Numbers, Failed> {
    run_probe(architecture, model, &own_adapter(architecture), base, "f32")
}

fn own_adapter(architecture: &str) -> PathBuf {
    fixture(&format!("{architecture}/adapter"))
}

/// The same with another adapter, too.
pub(crate) fn run_probe(
    architecture: &str,
    model: &Path,
    adapter: &Path,
    base: &str,
    compute: &str,
) -> Result<Numbers, Failed> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("probe.safetensors");
    let run = Command::new(env!("CARGO_BIN_EXE_hilora-host"))
        .args(["model", "probe", "--base", base, "--compute", compute, "--model"])
        .arg(model)
        .arg("--adapter")
        .arg(adapter)
        .arg("--batch")
        .arg(fixture(&format!("{architecture}/batch.safetensors")))
        .arg("--output")
        .arg(&output)
        .output()?;
    if !run.status.success() {
        return Err(format!("model probe: {}: {}", run.status, String::from_utf8_lossy(&run.stderr)).into());
    }
    Numbers::load(output)
}

/// The largest error of logits and loss, and of the gradients.
pub(crate) fn errors(got: &Numbers, expected: &Numbers) -> Result<(f64, f64), Failed> {
    assert_eq!(got.names()?, expected.names()?);
    let (mut values, mut gradients) = (0.0f64, 0.0f64);
    for name in expected.names()? {
        let error = relative(&got.floats(&name)?, &expected.floats(&name)?);
        let worst = if name.starts_with("grad.") { &mut gradients } else { &mut values };
        *worst = worst.max(error);
    }
    Ok((values, gradients))
}

fn exact(architecture: &str, base: &str) -> Result<(), Failed> {
    let expected = Numbers::load(fixture(&format!("{architecture}/{base}.safetensors")))?;
    equal(&probe(architecture, base, "f32")?, &expected)
}

/// Fails unless two files hold the same numbers, within the bound of f32.
pub(crate) fn equal(got: &Numbers, expected: &Numbers) -> Result<(), Failed> {
    let (values, gradients) = errors(got, expected)?;
    if values > 2e-5 || gradients > 2e-5 {
        return Err(format!("logits and loss are off by {values:e}, gradients by {gradients:e}; bound 2e-5").into());
    }
    Ok(())
}

/// A base in bf16, with arithmetic in f32 or in bf16 too: no farther from f32 than torch's bf16 is.
fn bf16(architecture: &str, compute: &str) -> Result<(), Failed> {
    let reference = |base: &str| Numbers::load(fixture(&format!("{architecture}/{base}.safetensors")));
    let exact = reference("f32")?;
    let ours = errors(&probe(architecture, "bf16", compute)?, &exact)?;
    let torchs = errors(&reference("bf16")?, &exact)?;
    if ours.0 > torchs.0 || ours.1 > torchs.1 {
        return Err(format!("against f32: ours {ours:?}, torch's {torchs:?}").into());
    }
    Ok(())
}

fn decoding(architecture: &str) -> Result<(), Failed> {
    let folder = fixture(architecture);
    let model = Model::load(&folder.join("model"), BasePrecision::F32)?;
    let adapter = Adapter::load(&folder.join("adapter"))?;
    let expected = Numbers::load(folder.join("f32.safetensors"))?.floats("logits")?;
    let error = decoding_error(architecture, &model, Some(&adapter), &expected)?;
    if error > 2e-5 { Err(format!("decoded logits are off by {error:e}; bound 2e-5").into()) } else { Ok(()) }
}

/// How far decoded logits are from the expected ones of an architecture's batch: half of each row is a prompt, the other
/// half goes token by token, all rows in one batch.
pub(crate) fn decoding_error(
    architecture: &str,
    model: &Model,
    adapter: Option<&Adapter>,
    expected: &[f32],
) -> Result<f64, Failed> {
    let folder = fixture(architecture);
    let (length, ids) = Numbers::load(folder.join("batch.safetensors"))?.integers("input_ids")?;
    let tokens: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
    let rows: Vec<&[u32]> = tokens.chunks(length).collect();
    let vocabulary = expected.len() / ids.len();
    let sequences: Vec<(&[u32], usize)> = rows.iter().map(|row| (&row[..length - 1], length / 2)).collect();
    let got = decoded(model, adapter, &sequences)?;
    let mask = Numbers::load(folder.join("batch.safetensors"))?.integers("attention_mask")?.1;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (step, logits) in got.chunks(vocabulary * rows.len()).enumerate() {
        for (row, logits) in logits.chunks(vocabulary).enumerate() {
            let place = row * length + length / 2 - 1 + step;
            if mask[place] == 1 {
                ours.extend_from_slice(logits);
                theirs.extend_from_slice(&expected[place * vocabulary..(place + 1) * vocabulary]);
            }
        }
    }
    assert!(ours.len() > 20 * vocabulary);
    Ok(relative(&ours, &theirs))
}

/// Optimizer steps of Qwen2 against torch's: every loss and norm, and what they end in.
pub(crate) fn trajectory(base: BasePrecision, adapter: &str, reference: &str) -> Result<(), Failed> {
    let text = fs::read_to_string(fixture(&format!("qwen2/{reference}.json")))?;
    let value: serde_json::Value = serde_json::from_str(&text)?;
    let batches = Numbers::load(fixture("qwen2/trajectory_batches.safetensors"))?;
    let micro_batches = value["micro_batches"].as_u64().ok_or("micro_batches")?;
    let model = Model::load(&fixture("qwen2/model"), base)?;
    let mut learner =
        Learner::of_adapter(model, Adapter::load(&fixture("qwen2").join(adapter))?, 0, &LearnerOptions::default())?;
    let number = |value: &serde_json::Value, key: &str| value[key].as_f64().ok_or(format!("{key} is missing"));
    for (step, expected) in value["steps"].as_array().ok_or("steps")?.iter().enumerate() {
        let numbers = (0..micro_batches).map(|i| 1 + step as u64 * micro_batches + i);
        let packed = numbers.map(|number| samples(&batches, number)).collect::<Result<Vec<_>, _>>()?;
        let options = StepOptions {
            learning_rate: number(expected, "learning_rate")?,
            weight_decay: number(&value, "weight_decay")?,
            max_grad_norm: 1.0,
            gradient_checkpointing: step % 2 == 1,
        };
        let got = learner.step(&packed, &options)?;
        let (loss, norm) = (number(expected, "loss")?, number(expected, "gradient_norm")?);
        if (got.loss - loss).abs() > 1e-4 || (got.gradient_norm - norm).abs() > 1e-3 * norm {
            return Err(format!("step {step}: expected loss {loss} and norm {norm}, got {got:?}").into());
        }
    }
    let folder = tempfile::tempdir()?;
    learner.adapter().ok_or("no adapter")?.save(folder.path(), None)?;
    let got = Numbers::load(folder.path().join("adapter_model.safetensors"))?;
    let expected = Numbers::load(fixture(&format!("qwen2/{reference}.safetensors")))?;
    let is_trained = |name: &String| !name.ends_with(".base_layer.weight");
    assert_eq!(got.names()?.into_iter().filter(is_trained).collect::<Vec<_>>(), expected.names()?);
    for name in expected.names()? {
        let error = relative(&got.floats(&name)?, &expected.floats(&name)?);
        if error > 1e-3 {
            return Err(format!("`{name}` is off by {error:e} after the last step").into());
        }
    }
    Ok(())
}

/// The rows of a padded batch as samples.
pub(crate) fn samples(batches: &Numbers, number: u64) -> Result<Vec<TrainingSample>, Failed> {
    let (length, ids) = batches.integers(&format!("{number}.input_ids"))?;
    let labels = batches.integers(&format!("{number}.labels"))?.1;
    let mask = batches.integers(&format!("{number}.attention_mask"))?.1;
    let rows = ids.chunks(length).zip(labels.chunks(length)).zip(mask.chunks(length));
    Ok(rows
        .map(|((ids, labels), mask)| {
            let real = mask.iter().filter(|mask| **mask == 1).count();
            TrainingSample {
                tokens: ids[..real].iter().map(|id| *id as u32).collect(),
                trained: labels[..real].iter().map(|label| *label != -100).collect(),
            }
        })
        .collect())
}

fn candle_transformers_logits() -> Result<(), Failed> {
    use candle_transformers::models::qwen2::{Config, ModelForCausalLM};
    let config = Model::load(&fixture("qwen2/model"), BasePrecision::F32)?.config().clone();
    let theirs = Config {
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.num_hidden_layers,
        num_attention_heads: config.num_attention_heads,
        num_key_value_heads: config.num_key_value_heads,
        max_position_embeddings: config.max_position_embeddings,
        sliding_window: config.max_position_embeddings,
        max_window_layers: config.num_hidden_layers,
        tie_word_embeddings: config.tie_word_embeddings,
        rope_theta: config.rope_parameters.rope_theta,
        rms_norm_eps: config.rms_norm_eps,
        use_sliding_window: false,
        hidden_act: candle_nn::Activation::Silu,
    };
    let tensors = candle_core::safetensors::load(fixture("qwen2/model/model.safetensors"), &Device::Cpu)?;
    let weights = candle_nn::VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let mut reference = ModelForCausalLM::new(&theirs, weights)?;
    let model = Model::load(&fixture("qwen2/model"), BasePrecision::F32)?;
    let tokens: Vec<u32> = (0..90).map(|i| (i * i * 3 + 7) % 160).collect();
    let got = decoded(&model, None, &[(&tokens, 60)])?;
    for (length, got) in (60..=tokens.len()).zip(got.chunks(model.config().vocab_size)) {
        reference.clear_kv_cache();
        let input = Tensor::new(&tokens[..length], &Device::Cpu)?.unsqueeze(0)?;
        let expected: Vec<f32> = reference.forward(&input, 0)?.flatten_all()?.to_vec1()?;
        let error = relative(got, &expected);
        if error > 2e-5 {
            return Err(format!("logits after {length} tokens are off by {error:e}").into());
        }
    }
    Ok(())
}

fn adapter_survives_saving() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let adapter = Adapter::load(&fixture("qwen2/adapter"))?;
    adapter.save(folder.path(), None)?;
    let again = Adapter::load(folder.path())?;
    assert_eq!(again.config(), adapter.config());
    let (got, expected) = (
        Numbers::load(folder.path().join("adapter_model.safetensors"))?,
        Numbers::load(fixture("qwen2/adapter/adapter_model.safetensors"))?,
    );
    assert_eq!(got.names()?, expected.names()?);
    for name in expected.names()? {
        assert_eq!(got.floats(&name)?, expected.floats(&name)?);
    }
    Ok(())
}

/// A copy of a fixture folder with one JSON field replaced.
pub(crate) fn altered(name: &str, file: &str, from: &str, to: &str) -> Result<tempfile::TempDir, Failed> {
    let folder = tempfile::tempdir()?;
    for entry in fs::read_dir(fixture(name))? {
        let entry = entry?;
        fs::copy(entry.path(), folder.path().join(entry.file_name()))?;
    }
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path)?;
    assert!(text.contains(from), "{} lacks {from}", path.display());
    fs::write(&path, text.replace(from, to))?;
    Ok(folder)
}

fn wrong_checkpoints() -> Result<(), Failed> {
    fn expect<T>(result: Result<T, ModelError>, parts: &[&str]) -> Result<(), Failed> {
        let error = crate::told(&result.err().ok_or("what is wrong was loaded")?);
        match parts.iter().find(|part| !error.contains(**part)) {
            None => Ok(()),
            Some(part) => Err(format!("expected `{part}` in: {error}").into()),
        }
    }
    let load = |folder: &tempfile::TempDir| Model::load(folder.path(), BasePrecision::F32);
    let folder = altered("qwen2/model", "config.json", "\"intermediate_size\": 128", "\"intermediate_size\": 192")?;
    expect(load(&folder), &["mlp.gate_proj.weight", "expected shape [192, 64], got [128, 64]", "hint:"])?;
    let folder = altered("qwen2/model", "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3")?;
    expect(load(&folder), &["layer_types: expected a kind for each of 3 layers"])?;
    let config = folder.path().join("config.json");
    let text = fs::read_to_string(&config)?.replace("\"layer_types\": [", "\"layer_types\": [\"full_attention\",");
    fs::write(&config, text)?;
    expect(load(&folder), &["the tensor `model.layers.2.", "is missing", "hint:"])?;
    let folder = altered("qwen2/model", "config.json", "qwen2\"", "mamba\"")?;
    expect(load(&folder), &["model_type: expected one of \"qwen2\", ", "got \"mamba\""])?;
    let weights = fs::read(fixture("qwen2/model/model.safetensors"))?;
    fs::write(folder.path().join("config.json"), fs::read(fixture("qwen2/model/config.json"))?)?;
    fs::write(folder.path().join("model.safetensors"), &weights[..weights.len() / 2])?;
    expect(load(&folder), &["not a readable safetensors file", "hint:"])?;

    let folder = altered("qwen2/adapter", "adapter_config.json", "\"r\": 4", "\"r\": 8")?;
    expect(Adapter::load(folder.path()), &["lora_A.weight", "expected shape [8, 64], got [4, 64]"])?;
    let folder = altered("qwen2/adapter", "adapter_config.json", "\"down_proj\",", "")?;
    expect(Adapter::load(folder.path()), &["unexpected tensor", "down_proj"])?;
    let folder = altered("qwen2/adapter", "adapter_config.json", "\"use_dora\": false", "\"use_dora\": true")?;
    expect(Adapter::load(folder.path()), &["self_attn.q_proj.lora_magnitude_vector` is missing"])?;
    let folder = altered("qwen2/model", "config.json", "\"num_attention_heads\": 4", "\"num_attention_heads\": 4")?;
    let model = load(&folder)?;
    let other = altered("qwen2/adapter", "adapter_config.json", "\"r\": 4", "\"r\": 4")?;
    let path = other.path().join("adapter_model.safetensors");
    let kept: Vec<(String, Tensor)> = candle_core::safetensors::load(&path, &Device::Cpu)?
        .into_iter()
        .filter(|(name, _)| !name.contains("layers.1."))
        .collect();
    candle_core::safetensors::save(&kept.into_iter().collect(), &path)?;
    expect(
        Adapter::load(other.path())?.check_against(model.config()),
        &["expected updates for the base's 2 layers, got 1", "hint:"],
    )
}
