//! The cases of `tests/oracle/families.py`: families of models, what their configurations say, and adapters of every shape.
//! Each is held against the numbers of transformers and PEFT: logits, loss, the gradient of every tensor of the adapter,
//! decoding token by token, and the merged model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::checkpoint_files::CheckpointFiles;
use super::decoded::decoded;
use super::*;

/// |got − expected| / |expected| in the Euclidean norm.
const BOUND: f64 = 2e-5;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle/families")
}

fn relative(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let distance = norm(&mut got.iter().zip(expected).map(|(got, expected)| f64::from(*got) - f64::from(*expected)));
    distance / norm(&mut expected.iter().map(|x| f64::from(*x))).max(f64::MIN_POSITIVE)
}

/// Fails if something is off by more than the bound; NaN is.
fn hold(what: &str, got: &[f32], expected: &[f32]) -> Result<(), String> {
    let distance = relative(got, expected);
    if distance <= BOUND { Ok(()) } else { Err(format!("{what} is off by {distance:e}")) }
}

type NamedGradients = BTreeMap<String, Vec<f32>>;

fn hold_gradients(got: &NamedGradients, expected: &CheckpointFiles) -> Result<(), Box<dyn std::error::Error>> {
    let names: Vec<&str> = expected.names().filter_map(|name| name.strip_prefix("grad.")).collect();
    assert_eq!(got.keys().map(String::as_str).collect::<Vec<_>>(), names);
    for name in names {
        let key = format!("grad.{name}");
        hold(&format!("the gradient of {name}"), &got[name], &expected.floats(&key, &expected.shape(&key)?, "")?)?;
    }
    Ok(())
}

/// The numbers with masks of dropout, of blocks that are kept and of blocks that are computed again.
fn hold_with_dropout(
    model: &Model,
    adapter: &Adapter,
    batch: &ProbeBatch,
    expected: &CheckpointFiles,
) -> Result<(), Box<dyn std::error::Error>> {
    let documents = batch.documents()?;
    let targets = documents.targets.len() as f64;
    let dropout = Some(DropoutKey { seed: 3, micro_batch: 9 });
    for checkpointing in [None, Some(Checkpointing::default())] {
        let how = TrainingPass { scale: (1.0 / targets) as f32, dropout, noise: None, checkpointing };
        let gradients = Gradients::Adapter(Box::new(adapter.zeros_like()?));
        let loss = model.forward_backward(&documents, Some(adapter), how, &gradients)? / targets;
        hold("the loss with dropout", &[loss as f32], &expected.floats("loss", &[1], "")?)?;
        let Gradients::Adapter(gradients) = &gradients else { return Err("not an adapter's".into()) };
        let values = gradients.tensors().map(|(name, tensor)| Ok((name, tensor.flatten_all()?.to_vec1()?)));
        hold_gradients(&values.collect::<Result<_, ModelError>>()?, expected)?;
    }
    Ok(())
}

fn check(case: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let expected = CheckpointFiles::open_file(&case.join("expected.safetensors"))?;
    let floats = |name: &str| expected.floats(name, &expected.shape(name)?, "");
    let model = Model::load(&case.join("model"), BasePrecision::F32)?;
    let adapter = Adapter::load(&case.join("adapter"))?;
    let batch = ProbeBatch::load(&folder().join("batch.safetensors"))?;
    let got = probe(&model, &adapter, &batch)?;
    let logits = floats("logits")?;
    hold("the logits", &got.logits, &logits)?;
    hold("the loss", &[got.loss], &floats("loss")?)?;
    let gradients: BTreeMap<_, _> = got.gradients.into_iter().map(|(name, _, values)| (name, values)).collect();
    hold_gradients(&gradients, &expected)?;
    let dropout = case.join("dropout.safetensors");
    assert_eq!(dropout.exists(), adapter.config().lora_dropout > 0.0);
    if dropout.exists() {
        hold_with_dropout(&model, &adapter, &batch, &CheckpointFiles::open_file(&dropout)?)?;
    }

    let full: Vec<&str> = expected.names().filter_map(|name| name.strip_prefix("full.")).collect();
    if !full.is_empty() {
        let gradients = Gradients::Full(Box::new(Weights::zeros(model.config(), model.device())?));
        let documents = batch.documents()?;
        let scale = 1.0 / documents.targets.len() as f32;
        let how = TrainingPass { scale, dropout: None, noise: None, checkpointing: Some(Checkpointing::default()) };
        model.forward_backward(&documents, None, how, &gradients)?;
        let Gradients::Full(gradients) = gradients else { return Err("they are those of all weights".into()) };
        let gradients: BTreeMap<_, _> = gradients.tensors().into_iter().collect();
        for name in full {
            let got: Vec<f32> = gradients[name].flatten_all()?.to_vec1()?;
            hold(&format!("the gradient of {name}"), &got, &floats(&format!("full.{name}"))?)?;
        }
    }

    let tokens: Vec<u32> = batch.input_ids[..batch.length].iter().map(|id| *id as u32).collect();
    let vocabulary = model.config().vocab_size;
    let expected = &logits[(batch.length / 2 - 1) * vocabulary..batch.length * vocabulary];
    let halved = [(&tokens[..], tokens.len() / 2)];
    hold("decoding", &decoded(&model, Some(&adapter), &halved)?, expected)?;

    // Merged weights are rounded to the type of the checkpoint; here to 32 bits, of a copy that has them.
    let written = tempfile::tempdir()?;
    let (wide, merged) = (written.path().join("wide"), written.path().join("merged"));
    std::fs::create_dir(&wide)?;
    std::fs::copy(case.join("model/config.json"), wide.join("config.json"))?;
    model.save_weights(&wide, safetensors::Dtype::F32)?;
    let done = merge(&wide, &case.join("adapter"), &merged, false, &|_, _| std::ops::ControlFlow::Continue(()))?;
    assert!(done.is_some());
    hold("the merged model", &decoded(&Model::load(&merged, BasePrecision::F32)?, None, &halved)?, expected)?;

    if model.config().wrapper.is_some() {
        check_wrapper(case, &model, &adapter)?;
    }
    // An adapter that was written is read as the same.
    adapter.save(&merged, None)?;
    let again = Adapter::load(&merged)?;
    assert_eq!(again.config(), adapter.config());
    Ok(())
}

/// Of a wrapper the text model alone is adapted, merged and quantized; all else stays as it is.
fn check_wrapper(case: &Path, model: &Model, adapter: &Adapter) -> Result<(), Box<dyn std::error::Error>> {
    // Named as PEFT names it, and no layer of the other models is meant.
    let ends = ["down_proj", "q_proj", "up_proj", "v_proj"].map(str::to_owned);
    let lora = LoraConfig { target_modules: ModuleNames::Named(ends.to_vec()), ..adapter.config().clone() };
    let new = model.new_adapter(&lora, 1)?;
    let names = |adapter: &Adapter| adapter.tensors().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!((new.config(), names(&new)), (adapter.config(), names(adapter)));
    // The output layer, which stands outside of the text model, is meant where it is named, and trained on.
    let with_head = LoraConfig { target_modules: ModuleNames::Named(vec!["lm_head".to_owned()]), ..lora.clone() };
    let new = model.new_adapter(&with_head, 1)?;
    assert_eq!(names(&new), ["A", "B"].map(|part| format!("base_model.model.lm_head.lora_{part}.weight")));
    let saved = tempfile::tempdir()?;
    new.save(saved.path(), Some("base"))?;
    let loaded = Adapter::load(saved.path())?;
    loaded.check_against(model.config())?;
    loaded.continued_with(&with_head)?;
    let unknown = LoraConfig { target_modules: ModuleNames::Named(vec!["qkv_proj".to_owned()]), ..lora };
    assert!(model.new_adapter(&unknown, 1).is_err(), "no layer of the text model has that name");

    let (base, written) = (case.join("model"), tempfile::tempdir()?);
    let (merged, quantized) = (written.path().join("merged"), written.path().join("quantized"));
    let go_on = |_: usize, _: usize| std::ops::ControlFlow::Continue(());
    let done = merge(&base, &case.join("adapter"), &merged, false, &go_on)?.ok_or("it was not merged")?;
    assert_eq!(done.tensors_replaced, adapter.tensors().count() / 2);
    let blocks = model.config().num_hidden_layers * model.config().projections().len();
    let done = quantize_checkpoint(&base, &quantized, false, &go_on)?.ok_or("it was not quantized")?;
    assert_eq!(done.tensors_replaced, blocks);
    Model::load(&quantized, BasePrecision::Nf4)?;
    let config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(quantized.join("config.json"))?)?;
    let skipped = config["quantization_config"]["llm_int8_skip_modules"].as_array().ok_or("nothing is skipped")?;
    let base = CheckpointFiles::open_model(&base)?;
    let others: Vec<&str> = base.names().filter(|name| name.starts_with("vis") || name.starts_with("multi")).collect();
    assert!(others.len() > 5, "{others:?}");
    for folder in [merged, quantized] {
        let files = CheckpointFiles::open_model(&folder)?;
        for &name in &others {
            assert_eq!(files.tensor(name)?.bytes, base.tensor(name)?.bytes, "{name}");
            let model = format!("model.{}", name.split('.').next().unwrap_or(name));
            assert!(skipped.iter().any(|skipped| skipped.as_str() == Some(&model)), "{name}, {skipped:?}");
        }
    }
    Ok(())
}

#[test]
fn every_case_has_transformers_numbers() -> Result<(), Box<dyn std::error::Error>> {
    let (mut cases, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(folder())? {
        let case = entry?.path();
        if case.is_dir() {
            cases += 1;
            wrong.extend(check(&case).err().map(|error| format!("{}: {error}", case.display())));
        }
    }
    wrong.sort();
    assert!(cases >= 37 && wrong.is_empty(), "{cases} cases\n{}", wrong.join("\n"));
    Ok(())
}
