//! Adapters that are more than low-rank updates of the blocks' layers, against transformers and PEFT: updates of both
//! tables, magnitudes (DoRA), and biases of B. The unit test `reference_cases` of the model holds more of them.
//!
//! tests/oracle/adapter_kinds.py made the adapters and numbers, tests/oracle/pickles.py those as torch.save writes them.

use std::fs;
use std::path::PathBuf;

use hilora_model::{BasePrecision, LoraConfig, Model};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::models::{close, python_logits, python_trial, refuse, succeed, text};
use crate::parity::{Numbers, equal, fixture, run_probe, trajectory};
use crate::saved_modules::train;

/// Adapters of Qwen2, and how a run asks for one.
fn kinds() -> [(&'static str, Value); 3] {
    [
        ("updated_tables", json!({"r": 2, "lora_alpha": 6, "target_modules": ["v_proj", "embed_tokens", "lm_head"]})),
        (
            "dora",
            json!({"r": 2, "lora_alpha": 6, "target_modules": ["q_proj", "o_proj", "down_proj"], "use_dora": true}),
        ),
        ("lora_bias", json!({"r": 2, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"], "lora_bias": true})),
    ]
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (kind, _) in kinds() {
        let name = |of: &str| format!("adapter_kinds::{kind}_{of}");
        trials.push(Trial::test(name("has_pefts_numbers_over_an_nf4_base"), move || numbers(kind)));
        trials.push(Trial::test(name("takes_torchs_steps"), move || {
            trajectory(BasePrecision::F32, kind, &format!("{kind}_trajectory"))
        }));
    }
    trials.extend([
        Trial::test("adapter_kinds::magnitudes_begin_as_pefts", new_magnitudes),
        Trial::test("adapter_kinds::a_pickled_adapter_is_read_and_a_pickled_base_refused", pickles),
        python_trial("adapter_kinds::peft_loads_what_was_trained_here", peft_loads_what_was_trained),
    ]);
    trials
}

fn numbers(kind: &str) -> Result<(), Failed> {
    let folder = fixture("qwen2");
    let got = run_probe("qwen2", &folder.join("model"), &folder.join(kind), "nf4", "f32")?;
    equal(&got, &Numbers::load(folder.join(format!("{kind}_nf4.safetensors")))?)
}

fn new_magnitudes() -> Result<(), Failed> {
    let lora: LoraConfig = serde_json::from_value(kinds()[1].1.clone())?;
    let adapter = Model::load(&fixture("qwen2/model"), BasePrecision::F32)?.new_adapter(&lora, 1)?;
    let expected = Numbers::load(fixture("qwen2/dora_new.safetensors"))?;
    let mut names = expected.names()?;
    for (name, tensor) in adapter.tensors().filter(|(name, _)| name.ends_with("lora_magnitude_vector")) {
        close(&tensor.to_vec1::<f32>()?, &expected.floats(&name)?)?;
        names.retain(|expected| *expected != name);
    }
    assert!(names.is_empty(), "{names:?}");
    Ok(())
}

fn pickles() -> Result<(), Failed> {
    let said = succeed(&["model", "inspect", text(&fixture("pickles/adapter"))?])?;
    assert!(said.contains("DoRA, rank 2, scale 3") && said.contains("18 F32"), "{said}");
    let got = run_probe("qwen2", &fixture("qwen2/model"), &fixture("pickles/adapter"), "nf4", "f32")?;
    equal(&got, &Numbers::load(fixture("qwen2/dora_nf4.safetensors"))?)?;
    let base = tempfile::tempdir()?;
    fs::copy(fixture("qwen2/model/config.json"), base.path().join("config.json"))?;
    fs::copy(fixture("pickles/kinds.bin"), base.path().join("pytorch_model.bin"))?;
    refuse(&["model", "inspect", text(base.path())?], &["pytorch_model.bin", "got a pickle", "save_pretrained"])
}

fn peft_loads_what_was_trained(python: PathBuf) -> Result<(), Failed> {
    let model = fixture("qwen2/model");
    for (_, lora) in kinds() {
        let folder = tempfile::tempdir()?;
        train("qwen2", lora, folder.path())?;
        let got = python_logits(&python, "qwen2", &model, Some(folder.path()))?;
        close(&got, &run_probe("qwen2", &model, folder.path(), "f32", "f32")?.floats("logits")?)?;
    }
    Ok(())
}
