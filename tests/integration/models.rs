//! Bases in 4 bits, and the tools that make, merge and describe models, against transformers, PEFT and bitsandbytes.
//!
//! The reference numbers under tests/data/oracle were made by tests/oracle/make_reference.py, which says how. With
//! `HILORA_PYTHON` set to a Python that has tests/oracle/requirements.txt, transformers and PEFT load what was written
//! here; without it those tests show as ignored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hilora_model::{Adapter, BasePrecision, Model};
use libtest_mimic::{Failed, Trial};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::parity::{Numbers, decoding_error, errors, fixture, probe_model, relative};
use crate::repository;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("models::a_bitsandbytes_base_gives_the_reference_numbers", || {
            quantized_base("llama", "bitsandbytes", "nf4.safetensors")
        }),
        Trial::test("models::a_base_with_plain_block_maxima_gives_the_reference_numbers", || {
            quantized_base("llama", "bitsandbytes_plain", "bitsandbytes_plain.safetensors")
        }),
        Trial::test("models::an_awq_base_gives_the_reference_numbers", || {
            quantized_base("qwen2", "awq", "awq.safetensors")
        }),
        Trial::test("models::damaged_bases_are_one_clear_error", damaged_bases),
        Trial::test("models::quantize_writes_what_bitsandbytes_writes", quantize),
        Trial::test("models::merge_equals_peft", merge),
        Trial::test("models::merge_of_a_bf16_base_equals_peft", merge_bf16),
        Trial::test("models::shards_stay_shards", shards),
        Trial::test("models::tools_refuse_what_they_cannot_do", refusals),
        Trial::test("models::inspect_tells_what_a_folder_holds", inspect),
        python_trial("models::peft_loads_our_adapter", peft_loads_our_adapter),
        python_trial("models::transformers_loads_our_quantized_base", transformers_loads_our_quantized_base),
        python_trial("models::transformers_loads_our_merged_model", transformers_loads_our_merged_model),
    ]
}

fn hilora(arguments: &[&str]) -> Result<Output, Failed> {
    Ok(Command::new(env!("CARGO_BIN_EXE_hilora-host")).args(arguments).output()?)
}

/// Standard output of a call that must succeed.
pub(crate) fn succeed(arguments: &[&str]) -> Result<String, Failed> {
    let output = hilora(arguments)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Checks that a call ends with 2 and says all of this.
pub(crate) fn refuse(arguments: &[&str], parts: &[&str]) -> Result<(), Failed> {
    let output = hilora(arguments)?;
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(2) {
        return Err(format!("{arguments:?}: expected exit code 2, got {}: {error}", output.status).into());
    }
    match parts.iter().find(|part| !error.contains(**part)) {
        None => Ok(()),
        Some(part) => Err(format!("{arguments:?}: expected `{part}` in: {error}").into()),
    }
}

pub(crate) fn text(path: &Path) -> Result<&str, Failed> {
    path.to_str().ok_or_else(|| "a path is not UTF-8".into())
}

fn quantized_base(architecture: &str, base: &str, reference: &str) -> Result<(), Failed> {
    let folder = fixture(architecture);
    let got = probe_model(architecture, &folder.join(base), "nf4")?;
    let expected = Numbers::load(folder.join(reference))?;
    for name in got.names()? {
        let error = relative(&got.floats(&name)?, &expected.floats(&name)?);
        if error > 2e-5 {
            return Err(format!("{name} is off by {error:e}; bound 2e-5").into());
        }
    }
    assert_eq!(got.names()?.len(), 2 + 2 * 2 * 7, "logits, loss and two factors of seven layers in two blocks");
    Ok(())
}

pub(crate) type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

pub(crate) fn read(path: &Path) -> Result<Tensors, Failed> {
    let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    Ok(tensors
        .iter()
        .map(|(name, tensor)| (name.to_owned(), (tensor.dtype(), tensor.shape().to_vec(), tensor.data().to_vec())))
        .collect())
}

fn write(path: &Path, tensors: &Tensors) -> Result<(), Failed> {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, Failed>>()?;
    fs::write(path, safetensors::serialize(views, None)?)?;
    Ok(())
}

/// A copy of a base with its tensors changed.
pub(crate) fn altered(base: &str, change: impl FnOnce(&mut Tensors)) -> Result<tempfile::TempDir, Failed> {
    let folder = tempfile::tempdir()?;
    fs::copy(fixture(base).join("config.json"), folder.path().join("config.json"))?;
    let mut tensors = read(&fixture(base).join("model.safetensors"))?;
    change(&mut tensors);
    write(&folder.path().join("model.safetensors"), &tensors)?;
    Ok(folder)
}

/// A copy of a base in two shards.
pub(crate) fn sharded(base: &str) -> Result<tempfile::TempDir, Failed> {
    let folder = tempfile::tempdir()?;
    fs::copy(fixture(base).join("config.json"), folder.path().join("config.json"))?;
    let tensors = read(&fixture(base).join("model.safetensors"))?;
    let mut weight_map = BTreeMap::new();
    for (number, second) in [(1, false), (2, true)] {
        let shard = format!("model-0000{number}-of-00002.safetensors");
        let part: Tensors =
            tensors.clone().into_iter().filter(|(name, _)| name.contains("layers.1.") == second).collect();
        write(&folder.path().join(&shard), &part)?;
        weight_map.extend(part.into_keys().map(|name| (name, shard.clone())));
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": weight_map});
    fs::write(folder.path().join("model.safetensors.index.json"), index.to_string())?;
    Ok(folder)
}

fn damaged_bases() -> Result<(), Failed> {
    let expect = |folder: &Path, parts: &[&str]| -> Result<(), Failed> {
        let error = crate::told(&Model::load(folder, BasePrecision::Nf4).err().ok_or("what is damaged was loaded")?);
        match parts.iter().find(|part| !error.contains(**part)) {
            None => Ok(()),
            Some(part) => Err(format!("expected `{part}` in: {error}").into()),
        }
    };
    let query = "model.layers.1.self_attn.q_proj.weight";
    let without =
        |part: &str| altered("llama/bitsandbytes", |tensors| drop(tensors.remove(&format!("{query}.{part}"))));
    let missing = ["model.safetensors", "q_proj.weight.nested_absmax` is missing", "hint:"];
    expect(without("nested_absmax")?.path(), &missing)?;
    let cut = altered("llama/bitsandbytes", |tensors| {
        if let Some((_, shape, bytes)) = tensors.get_mut(&format!("{query}.absmax")) {
            shape[0] -= 1;
            bytes.pop();
        }
    })?;
    expect(cut.path(), &["q_proj.weight.absmax`: expected shape [64], got [63]", "hint:"])?;
    let other = altered("llama/bitsandbytes", |tensors| {
        if let Some((_, shape, bytes)) = tensors.get_mut(&format!("{query}.quant_state.bitsandbytes__nf4")) {
            let text = String::from_utf8_lossy(bytes).replace("\"blocksize\": 64", "\"blocksize\": 65");
            *bytes = text.into_bytes();
            shape[0] = bytes.len();
        }
    })?;
    expect(
        other.path(),
        &["q_proj.weight.quant_state.bitsandbytes__nf4`: blocksize: expected a power of two from 32 to 4096, got 65"],
    )?;
    let integers = altered("llama/model", |tensors| {
        if let Some((dtype, _, _)) = tensors.get_mut(query) {
            *dtype = Dtype::I32;
        }
    })?;
    expect(integers.path(), &["q_proj.weight`: expected F32, BF16 or F16, got I32", "hint:"])?;
    let groups = altered("qwen2/awq", |tensors| {
        if let Some((_, shape, bytes)) = tensors.get_mut("model.layers.0.mlp.up_proj.scales") {
            shape[0] /= 2;
            bytes.truncate(bytes.len() / 2);
        }
    })?;
    expect(groups.path(), &["up_proj.scales`: expected shape [2, 128], got [1, 128]", "group_size", "hint:"])?;

    let folder = sharded("llama/model")?;
    let shard = folder.path().join("model-00002-of-00002.safetensors");
    let bytes = fs::read(&shard)?;
    fs::write(&shard, &bytes[..bytes.len() - 7])?;
    expect(folder.path(), &["model-00002-of-00002.safetensors", "not a readable safetensors file", "hint:"])?;
    fs::remove_file(&shard)?;
    expect(folder.path(), &["index.json: names the shard", "model-00002-of-00002.safetensors", "hint:"])
}

fn quantize() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("quantized");
    let said = succeed(&["model", "quantize", text(&fixture("llama/model"))?, "--output", text(&output)?, "--json"])?;
    let said: Value = serde_json::from_str(&said)?;
    assert_eq!((&said["tensors_replaced"], &said["written"]), (&Value::from(14), &Value::from(true)));

    let mut got = read(&output.join("model.safetensors"))?;
    let mut expected = read(&fixture("llama/bitsandbytes/model.safetensors"))?;
    let states = |tensors: &mut Tensors| -> Result<BTreeMap<String, Value>, Failed> {
        let names: Vec<String> = tensors.keys().filter(|name| name.contains("quant_state")).cloned().collect();
        let take = |name: String| {
            let (_, _, bytes) = tensors.remove(&name).ok_or("it was just there")?;
            Ok((name, serde_json::from_slice(&bytes)?))
        };
        names.into_iter().map(take).collect()
    };
    assert_eq!(states(&mut got)?, states(&mut expected)?);
    for (name, expected) in &expected {
        assert_eq!(got.get(name), Some(expected), "{name}");
    }
    assert_eq!(got.len(), expected.len());

    // What is mapped gives the bits of what is quantized on load.
    let (mapped, made) = (probe_model("llama", &output, "nf4")?, probe_model("llama", &fixture("llama/model"), "nf4")?);
    assert_eq!(errors(&mapped, &made)?, (0.0, 0.0));
    Ok(())
}

/// Merges an architecture's adapter into a base.
fn merged(base: &Path, architecture: &str) -> Result<(tempfile::TempDir, PathBuf), Failed> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("merged");
    let adapter = fixture(architecture).join("adapter");
    succeed(&["model", "merge", "--base", text(base)?, "--adapter", text(&adapter)?, "--output", text(&output)?])?;
    Ok((folder, output))
}

fn merge() -> Result<(), Failed> {
    let (_folder, output) = merged(&fixture("llama/model"), "llama")?;
    let (got, expected) =
        (Numbers::load(output.join("model.safetensors"))?, Numbers::load(fixture("llama/merged.safetensors"))?);
    let mut compared = 0;
    for name in expected.names()?.iter().filter(|name| name.starts_with("model.")) {
        let error = relative(&got.floats(name)?, &expected.floats(name)?);
        assert!(error < 1e-7, "{name} is off by {error:e}");
        compared += 1;
    }
    assert_eq!(compared, 7);
    assert!(output.join("config.json").exists());
    let model = Model::load(&output, BasePrecision::F32)?;
    let error = decoding_error("llama", &model, None, &expected.floats("logits")?)?;
    if error > 2e-5 { Err(format!("logits are off by {error:e}; bound 2e-5").into()) } else { Ok(()) }
}

fn halves(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16)).collect()
}

fn merge_bf16() -> Result<(), Failed> {
    let base = altered("llama/model", |tensors| {
        for (dtype, _, bytes) in tensors.values_mut() {
            *dtype = Dtype::BF16;
            // To nearest, ties to even; none of these numbers is near the end of the range.
            let round = |bytes: &[u8; 4]| {
                let bits = u32::from_le_bytes(*bytes);
                ((bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16).to_le_bytes()
            };
            *bytes = bytes.as_chunks().0.iter().flat_map(round).collect();
        }
    })?;
    let (_folder, output) = merged(base.path(), "llama")?;
    let (got, expected) = (read(&output.join("model.safetensors"))?, read(&fixture("llama/merged.safetensors"))?);
    let (mut compared, mut different) = (0, 0);
    for (name, (_, _, expected)) in expected.iter().filter(|(name, _)| name.starts_with("bf16.")) {
        let (dtype, _, got) = got.get(&name["bf16.".len()..]).ok_or_else(|| format!("{name} is missing"))?;
        assert_eq!(*dtype, Dtype::BF16);
        for (got, expected) in halves(got).into_iter().zip(halves(expected)) {
            compared += 1;
            different += usize::from(got != expected);
            // A sum in another order may round to the neighbour.
            assert!((got - expected).abs() <= expected.abs() / 127.0, "{name}: expected {expected}, got {got}");
        }
    }
    assert_eq!(compared, 36_864);
    assert!(different < compared / 1000, "{different} of {compared} are rounded to a neighbour");
    Ok(())
}

fn shards() -> Result<(), Failed> {
    let base = sharded("llama/model")?;
    let expected = probe_model("llama", &fixture("llama/model"), "nf4")?;
    assert_eq!(errors(&probe_model("llama", base.path(), "nf4")?, &expected)?, (0.0, 0.0));

    let folder = tempfile::tempdir()?;
    let quantized = folder.path().join("quantized");
    succeed(&["model", "quantize", text(base.path())?, "--output", text(&quantized)?])?;
    assert_eq!(errors(&probe_model("llama", &quantized, "nf4")?, &expected)?, (0.0, 0.0));
    let (_folder, merged_whole) = merged(&fixture("llama/model"), "llama")?;
    let (_other, merged_shards) = merged(base.path(), "llama")?;
    let mut parts = read(&merged_shards.join("model-00001-of-00002.safetensors"))?;
    parts.extend(read(&merged_shards.join("model-00002-of-00002.safetensors"))?);
    assert_eq!(parts, read(&merged_whole.join("model.safetensors"))?);
    for folder in [quantized, merged_shards] {
        let index: Value = serde_json::from_str(&fs::read_to_string(folder.join("model.safetensors.index.json"))?)?;
        let map = index["weight_map"].as_object().ok_or("weight_map")?;
        let named: Vec<&Value> =
            map.iter().filter(|(name, _)| name.contains("layers.1.")).map(|(_, file)| file).collect();
        assert!(named.iter().all(|file| *file == "model-00002-of-00002.safetensors") && named.len() >= 9);
    }
    Ok(())
}

fn refusals() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("output");
    let (output_text, adapter) = (text(&output)?, fixture("llama/adapter"));
    let adapter = text(&adapter)?;
    let (plain, quantized) = (fixture("llama/model"), fixture("llama/bitsandbytes"));
    let (plain, quantized) = (text(&plain)?, text(&quantized)?);
    let quantized_base = ["expected a checkpoint of floats, got bitsandbytes 4-bit", "hint:"];
    refuse(&["model", "quantize", quantized, "--output", output_text], &quantized_base)?;
    let batch = fixture("llama/batch.safetensors");
    let probe = ["model", "probe", "--model", quantized, "--adapter", adapter, "--batch", text(&batch)?];
    refuse(
        &[&probe[..], &["--output", output_text, "--base", "f32"]].concat(),
        &["in 32 bits", "hint: train it in mode qlora"],
    )?;
    let other = fixture("qwen3/adapter");
    let other = ["model", "merge", "--base", plain, "--adapter", text(&other)?, "--output", output_text];
    refuse(&other, &["lora_B.weight`: expected shape [64, 4], got [256, 4]", "hint:"])?;
    for command in [vec!["model", "merge", "--base", plain, "--adapter", adapter], vec!["model", "quantize", plain]] {
        let said = succeed(&[&command[..], &["--output", output_text, "--dry-run"]].concat())?;
        assert!(said.starts_with("would "), "{said}");
        assert_eq!(fs::read_dir(folder.path())?.count(), 0, "{command:?} wrote something");
    }
    fs::create_dir(&output)?;
    fs::write(output.join("mine"), "")?;
    refuse(&["model", "quantize", plain, "--output", output_text], &["output", "the folder is not empty"])?;
    assert_eq!(fs::read_dir(folder.path())?.count(), 1);
    Ok(())
}

fn inspect() -> Result<(), Failed> {
    let expect = |name: &str, arguments: &[&str], parts: &[&str]| -> Result<(), Failed> {
        let folder = fixture(name);
        let said = succeed(&[&["model", "inspect", text(&folder)?], arguments].concat())?;
        match parts.iter().find(|part| !said.contains(**part)) {
            None => Ok(()),
            Some(part) => Err(format!("expected `{part}` in:\n{said}").into()),
        }
    };
    expect(
        "llama/model",
        &[],
        &["architecture  llama", "parameters    84 288", "tied embeddings", "quantization  none"],
    )?;
    expect("qwen2/awq", &[], &["architecture  qwen2", "quantization  AWQ 4-bit", "28 I32"])?;
    expect("llama/bitsandbytes", &["--tensors"], &["bitsandbytes 4-bit", "mlp.down_proj.weight.absmax", "[128]"])?;
    let adapter = ["targets       q_proj k_proj", "of 2 blocks", "rsLoRA, rank 4, scale 4", "28 F32"];
    expect("qwen3/adapter", &[], &adapter)?;
    let folder = fixture("qwen3/model");
    let said: Value = serde_json::from_str(&succeed(&["model", "inspect", text(&folder)?, "--json"])?)?;
    let parameters: usize =
        read(&folder.join("model.safetensors"))?.values().map(|(_, shape, _)| shape.iter().product::<usize>()).sum();
    assert_eq!(said["parameters"], parameters);
    assert_eq!(said["kind"], "base");
    refuse(&["model", "inspect", text(&repository().join("configs"))?], &["config.json", "adapter_config.json"])
}

/// A test that needs the packages of tests/oracle/requirements.txt.
pub(crate) fn python_trial(name: &str, test: impl FnOnce(PathBuf) -> Result<(), Failed> + Send + 'static) -> Trial {
    let python = std::env::var_os("HILORA_PYTHON").map(PathBuf::from);
    let absent = python.is_none();
    Trial::test(name, move || test(python.expect("an ignored test runs only when asked for with HILORA_PYTHON set")))
        .with_ignored_flag(absent)
}

/// Logits of an architecture's batch by transformers.
pub(crate) fn python_logits(
    python: &Path,
    architecture: &str,
    model: &Path,
    adapter: Option<&Path>,
) -> Result<Vec<f32>, Failed> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("logits.safetensors");
    let run = Command::new(python)
        .arg(repository().join("tests/oracle/logits.py"))
        .arg(model)
        .arg(fixture(architecture).join("batch.safetensors"))
        .arg(&output)
        .args(adapter)
        .env("HF_HUB_OFFLINE", "1")
        .output()?;
    if !run.status.success() {
        return Err(format!("logits.py: {}", String::from_utf8_lossy(&run.stderr)).into());
    }
    Numbers::load(output)?.floats("logits")
}

pub(crate) fn close(got: &[f32], expected: &[f32]) -> Result<(), Failed> {
    let error = relative(got, expected);
    if error > 2e-5 { Err(format!("logits are off by {error:e}; bound 2e-5").into()) } else { Ok(()) }
}

fn peft_loads_our_adapter(python: PathBuf) -> Result<(), Failed> {
    for architecture in ["qwen2", "qwen3", "llama"] {
        let folder = tempfile::tempdir()?;
        Adapter::load(&fixture(architecture).join("adapter"))?.save(folder.path(), None)?;
        let model = fixture(architecture).join("model");
        let got = python_logits(&python, architecture, &model, Some(folder.path()))?;
        close(&got, &probe_model(architecture, &model, "f32")?.floats("logits")?)?;
    }
    Ok(())
}

fn transformers_loads_our_quantized_base(python: PathBuf) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("quantized");
    succeed(&["model", "quantize", text(&fixture("llama/model"))?, "--output", text(&output)?])?;
    let got = python_logits(&python, "llama", &output, Some(&fixture("llama/adapter")))?;
    close(&got, &probe_model("llama", &output, "nf4")?.floats("logits")?)
}

fn transformers_loads_our_merged_model(python: PathBuf) -> Result<(), Failed> {
    let (_folder, output) = merged(&fixture("llama/model"), "llama")?;
    let got = python_logits(&python, "llama", &output, None)?;
    close(&got, &Numbers::load(fixture("llama/merged.safetensors"))?.floats("logits")?)
}
