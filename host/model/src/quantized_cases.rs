//! The cases of `tests/oracle/quantized.py`: a base as each tool stores it. Each is held against the numbers of transformers
//! and PEFT with the dequantized weights: one of those weights, logits, loss, the gradient of every tensor of the adapter.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use safetensors::Dtype;

use super::checkpoint::Checkpoint;
use super::checkpoint_files::CheckpointFiles;
use super::new_tensor::{Content, NewTensor, write_tensors};
use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// |got − expected| / |expected| in the Euclidean norm.
const BOUND: f64 = 2e-5;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oracle/quantized")
}

fn relative(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let distance = norm(&mut got.iter().zip(expected).map(|(got, expected)| f64::from(*got) - f64::from(*expected)));
    distance / norm(&mut expected.iter().map(|x| f64::from(*x))).max(f64::MIN_POSITIVE)
}

/// Holds a case; returns the greatest distance.
fn check(case: &Path) -> Result<f64, Box<dyn std::error::Error>> {
    let expected = CheckpointFiles::open_file(&case.join("expected.safetensors"))?;
    let floats = |name: &str| expected.floats(name, &expected.shape(name)?, "");
    let model = Model::load(&case.join("model"), BasePrecision::Nf4)?;
    let weight = model.weights.blocks[0].linear(Projection::UpProj)?.weight.widened()?;
    let rows = floats("dequantized")?;
    assert_eq!(weight[..rows.len()], rows, "{}: the weights differ", case.display());
    // No form is wider in memory than it is stored; norms and biases, of 1 % here, are in f32.
    let stored: u64 = std::fs::metadata(case.join("model/model.safetensors"))?.len();
    let held = model.weights.block_bytes() + model.weights.embedding.bytes() + model.weights.output().bytes();
    assert!(held as u64 <= stored, "{}: {held} bytes in memory, {stored} in the file", case.display());

    let adapter = Adapter::load(&folder().join("adapter"))?;
    let got = probe(&model, &adapter, &ProbeBatch::load(&folder().join("batch.safetensors"))?)?;
    let mut worst = relative(&got.logits, &floats("logits")?).max(relative(&[got.loss], &floats("loss")?));
    let gradients: BTreeMap<_, _> = got.gradients.into_iter().map(|(name, _, values)| (name, values)).collect();
    let names: Vec<&str> = expected.names().filter_map(|name| name.strip_prefix("grad.")).collect();
    assert_eq!(gradients.keys().map(String::as_str).collect::<Vec<_>>(), names);
    for name in names {
        worst = worst.max(relative(&gradients[name], &floats(&format!("grad.{name}"))?));
    }
    Ok(worst)
}

#[test]
fn every_case_has_transformers_numbers() -> Outcome {
    let (mut cases, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(folder())? {
        let case = entry?.path();
        if !case.join("model").is_dir() {
            continue;
        }
        cases += 1;
        match check(&case) {
            Ok(distance) if distance <= BOUND => eprintln!("{}: {distance:.1e}", case.display()),
            Ok(distance) => wrong.push(format!("{}: off by {distance:e}", case.display())),
            Err(error) => wrong.push(format!("{}: {error}", case.display())),
        }
    }
    assert!(cases >= 13 && wrong.is_empty(), "{cases} cases\n{}", wrong.join("\n"));
    Ok(())
}

/// Merging makes a base of floats: dequantized weights, adapted or not, rounded to bf16.
#[test]
fn merging_dequantizes() -> Outcome {
    for case in ["gptq", "compressed_channel", "bitsandbytes_32", "fp8"] {
        let (model, folder_of_adapter, written) =
            (folder().join(case).join("model"), folder().join("adapter"), tempfile::tempdir()?);
        let output = written.path().join("merged");
        let go_on = |_: usize, _: usize| std::ops::ControlFlow::Continue(());
        merge(&model, &folder_of_adapter, &output, false, &go_on)?.ok_or("it was ended")?;
        let files = CheckpointFiles::open_model(&output)?;
        assert!(files.names().all(|name| name.ends_with("weight") || name.ends_with("bias")), "{case}");
        let merged = Model::load(&output, BasePrecision::F32)?;
        assert_eq!(merged.config().quantization, Quantization::None);

        let expected = CheckpointFiles::open_file(&folder().join(case).join("expected.safetensors"))?;
        let dequantized = expected.floats("dequantized", &[8, 64], "")?;
        let up = files.floats("model.layers.0.mlp.up_proj.weight", &[64, 64], "")?;
        let rounded: Vec<f32> = dequantized.iter().map(|x| half::bf16::from_f32(*x).to_f32()).collect();
        assert_eq!(up[..8 * 64], rounded, "{case}");
        // The first row of the batch is not padded.
        let batch = ProbeBatch::load(&folder().join("batch.safetensors"))?;
        let tokens: Vec<u32> = batch.input_ids[..batch.length].iter().map(|id| *id as u32).collect();
        let (mut documents, rows) = (PackedDocuments::default(), Vec::from_iter(0..batch.length));
        documents.push(&tokens, |_| true);
        let got = merged.logits(&*merged.hidden(&documents, None)?, &rows, None)?;
        let logits = expected.floats("logits", &expected.shape("logits")?, "")?;
        let distance = relative(&got, &logits[..got.len()]);
        assert!(distance < 1e-2, "{case}: the merged model's logits are off by {distance:e}");
    }
    Ok(())
}

/// An update of an output layer that is quantized itself is merged into what that stands for.
#[test]
fn a_quantized_output_layer_is_merged_with_its_update() -> Outcome {
    let heads = std::fs::read_dir(folder())?.filter_map(|entry| Some(entry.ok()?.path().join("model")));
    let heads: Vec<PathBuf> = heads
        .filter(|model| Checkpoint::open(model).is_ok_and(|base| base.is_quantized("lm_head.weight").unwrap_or(false)))
        .collect();
    assert!(!heads.is_empty());
    for folder in heads {
        let model = Model::load(&folder, BasePrecision::Nf4)?;
        let lora = r#"{"r":2,"lora_alpha":4,"target_modules":["lm_head"]}"#;
        let adapter = model.new_adapter(&serde_json::from_str(lora)?, 1)?;
        // B is not zero.
        for (_, tensor) in adapter.tensors().filter(|(name, _)| name.contains("lora_B")) {
            let values: Vec<f32> = (0..tensor.elem_count()).map(|i| (i % 7) as f32 / 64.0 - 0.04).collect();
            tensor.slice_set(&Tensor::from_vec(values, tensor.shape(), tensor.device())?, 0, 0)?;
        }
        let written = tempfile::tempdir()?;
        let (saved, output) = (written.path().join("adapter"), written.path().join("merged"));
        std::fs::create_dir(&saved)?;
        adapter.save(&saved, Some("base"))?;
        merge(&folder, &saved, &output, false, &|_, _| std::ops::ControlFlow::Continue(()))?.ok_or("it was ended")?;
        let merged = Model::load(&output, BasePrecision::F32)?;
        let mut documents = PackedDocuments::default();
        documents.push(&[3, 1, 4, 1, 5], |_| true);
        let logits = |model: &Model, adapter: Option<&Adapter>| -> Result<Vec<f32>, ModelError> {
            model.logits(&*model.hidden(&documents, adapter)?, &[0, 4], adapter)
        };
        let (got, expected) = (logits(&merged, None)?, logits(&model, Some(&adapter))?);
        let plain = logits(&model, None)?;
        assert!(relative(&expected, &plain) > 0.05, "the update is felt");
        let distance = relative(&got, &expected);
        assert!(distance < 1e-2, "{}: off by {distance:e}", folder.display());
    }
    Ok(())
}

/// A base of float8 without scales is one of floats.
#[test]
fn float8_without_scales_is_read_as_floats() -> Outcome {
    let written = tempfile::tempdir()?;
    let model = small_model::small_model(4)?;
    model.save_weights(written.path(), Dtype::F32)?;
    std::fs::write(written.path().join("config.json"), small_model::SMALL_CONFIG)?;
    let files = CheckpointFiles::open_model(written.path())?;
    let (mut coded, mut widened) = (BTreeMap::new(), BTreeMap::new());
    for name in files.names() {
        let tensor = files.tensor(name)?;
        let (shape, count) = (tensor.shape.to_vec(), tensor.shape.iter().product::<usize>());
        // Numbers below 2 of both signs.
        let codes: Vec<u8> = (0..count).map(|i| (i * 37 % 251) as u8 & 0xbf).collect();
        let format = hilora_kernels::float8::Float8::E4m3;
        let floats = codes.iter().flat_map(|code| format.widen(*code).to_le_bytes()).collect();
        widened.insert(name.to_owned(), made(Dtype::F32, &shape, floats));
        coded.insert(name.to_owned(), made(Dtype::F8_E4M3, &shape, codes));
    }
    let logits = |tensors| -> Result<Vec<f32>, ModelError> {
        let other = tempfile::tempdir().map_err(|e| ModelError::Defect(e.to_string()))?;
        let path = other.path().join("model.safetensors");
        write_tensors(&path, &path, tensors)?;
        std::fs::copy(written.path().join("config.json"), other.path().join("config.json"))
            .map_err(|e| ModelError::Defect(e.to_string()))?;
        let mut documents = PackedDocuments::default();
        documents.push(&[3, 1, 4, 1, 5], |_| true);
        let model = Model::load(other.path(), BasePrecision::Nf4)?;
        model.logits(&*model.hidden(&documents, None)?, &[0, 4], None)
    };
    let (got, expected) = (logits(coded)?, logits(widened)?);
    assert!(got.iter().all(|value| value.is_finite()));
    assert_eq!(got, expected);
    Ok(())
}

/// What is said of a copy of a case with one tensor changed, or without it.
fn refusal(case: &str, name: &str, change: impl Fn(NewTensor<'_>) -> Option<NewTensor<'_>>) -> Result<String, String> {
    let read = |e: &dyn std::fmt::Display| e.to_string();
    let (from, to) = (folder().join(case).join("model"), tempfile::tempdir().map_err(|e| read(&e))?);
    let files = CheckpointFiles::open_model(&from).map_err(|e| read(&e))?;
    assert!(files.contains(name), "{case} has no {name}");
    let mut tensors = BTreeMap::new();
    for key in files.names() {
        let tensor = NewTensor::copy_of(files.tensor(key).map_err(|e| read(&e))?);
        tensors.extend(if key == name { change(tensor) } else { Some(tensor) }.map(|tensor| (key.to_owned(), tensor)));
    }
    let path = to.path().join("model.safetensors");
    write_tensors(&path, &path, tensors).map_err(|e| read(&e))?;
    std::fs::copy(from.join("config.json"), to.path().join("config.json")).map_err(|e| read(&e))?;
    match Model::load(to.path(), BasePrecision::Nf4) {
        Ok(_) => Err(format!("{case} was loaded without a right {name}")),
        Err(error) => Ok(error.to_string().rsplit("model.safetensors: ").next().unwrap_or_default().to_owned()),
    }
}

fn made(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> NewTensor<'static> {
    NewTensor { dtype, shape: shape.to_vec(), bytes: bytes.len(), content: Content::Made(bytes) }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() -> Outcome {
    const UP: &str = "model.layers.0.mlp.up_proj";
    let missing = |case: &str, part: &str| refusal(case, &format!("{UP}.{part}"), |_| None);
    for (case, part) in [
        ("gptq", "qweight"),
        ("gptq", "qzeros"),
        ("gptq", "scales"),
        ("awq_gemv", "qzeros"),
        ("compressed_group", "weight_scale"),
        ("compressed_g_idx", "weight_zero_point"),
        ("fp8", "weight"),
        ("compressed_fp8", "weight_scale"),
    ] {
        let told = missing(case, part)?;
        assert_eq!(told, format!("the tensor `{UP}.{part}` is missing"), "{case}");
    }
    let short = |case: &str, part: &str, shape: &'static [usize]| {
        refusal(case, &format!("{UP}.{part}"), move |tensor| {
            let bytes = shape.iter().product::<usize>() * tensor.dtype.bitsize() / 8;
            Some(made(tensor.dtype, shape, vec![0; bytes]))
        })
    };
    for (case, part, expected, got) in [
        ("gptq", "qweight", "[8, 64]", &[7, 64][..]),
        ("gptq", "qzeros", "[2, 8]", &[1, 8]),
        ("gptq", "scales", "[2, 64]", &[2, 32]),
        ("gptq", "g_idx", "[64]", &[63]),
        ("awq_gemv", "qzeros", "[64, 4]", &[64, 1]),
        ("compressed_group", "weight_packed", "[64, 8]", &[64, 4]),
        ("compressed_channel", "weight_scale", "[64, 1]", &[32, 1]),
        ("fp8", "weight_scale_inv", "[2, 4]", &[4, 2]),
        ("bitsandbytes_32", "weight.absmax", "[128]", &[64]),
    ] {
        let told = short(case, part, got)?;
        assert_eq!(told, format!("tensor `{UP}.{part}`: expected shape {expected}, got {got:?}"), "{case}");
    }

    let group = |value: i32| {
        let bytes = std::iter::repeat_n(value.to_le_bytes(), 64).flatten().collect();
        refusal("gptq", &format!("{UP}.g_idx"), move |_| Some(made(Dtype::I32, &[64], Clone::clone(&bytes))))
    };
    let named = format!("tensor `{UP}.g_idx`: input 0: expected a group from 0 to 1");
    assert_eq!((group(2)?, group(-7)?), (format!("{named}, got 2"), format!("{named}, got -7")));
    let nan = refusal("gptq", &format!("{UP}.scales"), |_| Some(made(Dtype::F16, &[2, 64], vec![0xff; 256])))?;
    assert_eq!(nan, format!("tensor `{UP}.scales`: element 0: expected a finite scale, got another number"));
    let shape: Vec<u8> = [64i64, 65].iter().flat_map(|size| size.to_le_bytes()).collect();
    let other =
        refusal("compressed_group", &format!("{UP}.weight_shape"), |_| Some(made(Dtype::I64, &[2], shape.clone())))?;
    assert_eq!(other, format!("tensor `{UP}.weight_shape`: expected [64, 64], got [64, 65]"));
    Ok(())
}
