//! A base with an adapter merged into its weights.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;
use serde_json::Value;

use super::checkpoint::{Checkpoint, NOT_THIS_CONFIG};
use super::checkpoint_files::{CheckpointFiles, StoredTensor};
use super::derived_checkpoint::{Derivation, DerivedCheckpoint, Instead, config_of_tables, read_config};
use super::new_tensor::{Content, NewTensor};
use super::{Adapter, AdapterModule, BasePrecision, ModelError, ModuleToSave, Projection, Quantization};
use hilora_kernels::linear::{self, Weight};

/// Merges an adapter into a base: W + scale · B A, or the trained copy of a table, rounded to the type that W has in the
/// checkpoint. Tied embeddings of which a copy was trained are two tables afterwards. Quantized layers, adapted or not, are
/// dequantized and rounded to bf16: what is written is a base of floats.
///
/// Nothing is written with `dry_run`. `on_tensor` is told how many of the base's tensors are done, of how many, and may end the
/// work; then nothing is left, and the result is `None`.
pub fn merge(
    base: &Path,
    adapter: &Path,
    output: &Path,
    dry_run: bool,
    on_tensor: &dyn Fn(usize, usize) -> ControlFlow<()>,
) -> Result<Option<DerivedCheckpoint>, ModelError> {
    let checkpoint = Checkpoint::open(base)?;
    let adapter = Adapter::load(adapter)?;
    adapter.check_against(&checkpoint.config)?;
    let quantized = QuantizedLayers::new(&checkpoint)?;
    let mut updates = BTreeMap::new();
    for layer in 0..checkpoint.config.num_hidden_layers {
        for projection in Projection::ALL {
            let Some(module) = adapter.module(layer, projection) else { continue };
            let (outputs, inputs) = checkpoint.config.projection_dims(projection);
            let name = projection.weight_key(layer);
            if !checkpoint.is_quantized(&name)? {
                let tensor = checkpoint.files.tensor(&name)?.of_shape(&[outputs, inputs], NOT_THIS_CONFIG)?;
                tensor.floats()?;
            }
            updates.insert(name, module);
        }
    }
    let tables = MergedTables::new(&checkpoint, &adapter)?;
    let replace = |tensor: StoredTensor<'_>| -> Result<Instead<'_>, ModelError> {
        if let Some(new) = tables.instead_of(tensor.name)? {
            return Ok(Instead::New(new));
        }
        if let Some(instead) = quantized.instead_of(tensor.name, &updates) {
            return Ok(instead);
        }
        let Some(module) = updates.get(tensor.name).copied() else { return Ok(Instead::Copy) };
        let name = tensor.name.to_owned();
        let (dtype, shape, bytes) = (tensor.dtype, tensor.shape.to_vec(), tensor.bytes.len());
        drop(tensor);
        let (files, key) = (&checkpoint.files, name.clone());
        let content = Content::Computed(Box::new(move || merged(files.tensor(&key)?, module)));
        Ok(Instead::New(vec![(name, NewTensor { dtype, shape, bytes, content })]))
    };
    let mut config = config_of_tables(base, checkpoint.config.tie_word_embeddings && !tables.untied)?;
    if checkpoint.config.quantization != Quantization::None {
        config = Some(config_of_floats(config.map_or_else(|| read_config(base), Ok)?));
    }
    Derivation { checkpoint: &checkpoint, base, output, dry_run, config }.run(&replace, on_tensor)
}

/// A quantized base's config.json for a base of floats.
fn config_of_floats(mut config: Value) -> Value {
    if let Some(fields) = config.as_object_mut() {
        fields.remove("quantization_config");
        let name = if fields.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
        fields.insert(name.to_owned(), "bfloat16".into());
    }
    config
}

/// A layer that a base holds quantized.
struct QuantizedLayer {
    /// The name of its weight.
    name: String,
    shape: [usize; 2],
}

/// The quantized layers of a base.
struct QuantizedLayers<'a> {
    checkpoint: &'a Checkpoint,
    /// By the name of each of their tensors. The first of a layer makes way for its weight, the others for nothing.
    tensors: BTreeMap<String, Option<QuantizedLayer>>,
}

impl<'a> QuantizedLayers<'a> {
    fn new(checkpoint: &'a Checkpoint) -> Result<Self, ModelError> {
        let (config, files) = (&checkpoint.config, &checkpoint.files);
        let mut layers: Vec<(String, [usize; 2])> = (0..config.num_hidden_layers)
            .flat_map(|layer| Projection::ALL.map(|projection| (layer, projection)))
            .map(|(layer, projection)| (projection.weight_key(layer), config.projection_dims(projection).into()))
            .collect();
        if !config.tie_word_embeddings {
            layers.push((ModuleToSave::LmHead.weight_key().to_owned(), [config.vocab_size, config.hidden_size]));
        }
        let mut tensors = BTreeMap::new();
        for (name, shape) in layers {
            if !checkpoint.is_quantized(&name)? {
                continue;
            }
            let stem = name.strip_suffix("weight").unwrap_or(&name).to_owned();
            let bias = format!("{stem}bias");
            let mut parts = files.names().filter(|part| part.starts_with(&stem) && **part != bias);
            // Without any the error is that the weight is missing.
            let first = match parts.next() {
                Some(first) => first,
                None => return Err(files.tensor(&name).err().unwrap_or_else(|| defect(&name))),
            };
            tensors.extend(parts.map(|part| (part.to_owned(), None)));
            tensors.insert(first.to_owned(), Some(QuantizedLayer { name, shape }));
        }
        Ok(Self { checkpoint, tensors })
    }

    /// What stands in the place of a tensor of the base, if it is a quantized layer's.
    fn instead_of(&'a self, tensor: &str, updates: &BTreeMap<String, &'a AdapterModule>) -> Option<Instead<'a>> {
        let Some(layer) = self.tensors.get(tensor)? else { return Some(Instead::Nothing) };
        let module = updates.get(&layer.name).copied();
        let content = Content::Computed(Box::new(move || dequantized(self.checkpoint, layer, module)));
        let shape = layer.shape.to_vec();
        let new = NewTensor { dtype: Dtype::BF16, bytes: shape.iter().product::<usize>() * 2, shape, content };
        Some(Instead::New(vec![(layer.name.clone(), new)]))
    }
}

fn defect(name: &str) -> ModelError {
    ModelError::Defect(format!("`{name}` is there and has no tensors"))
}

/// The bytes of a quantized layer's weight in bf16, with its update.
fn dequantized(
    checkpoint: &Checkpoint,
    layer: &QuantizedLayer,
    module: Option<&AdapterModule>,
) -> Result<Vec<u8>, ModelError> {
    let QuantizedLayer { name, shape } = layer;
    let weight = checkpoint.matrix(name, *shape, true, BasePrecision::Nf4)?;
    let mut values = weight.with_rows(|rows| {
        let mut values = vec![0.0; shape[0] * shape[1]];
        values.par_chunks_mut(shape[1]).enumerate().for_each(|(row, values)| rows.read(row, 0, values));
        values
    })?;
    if let Some(module) = module {
        values = updated(values, shape, module)?;
    }
    narrowed(Dtype::BF16, &values, &|message| ModelError::input(format!("tensor `{name}`: {message}")))
}

/// The tables of a merged model: an adapter's trained copies and the base's own.
struct MergedTables<'a> {
    files: &'a CheckpointFiles,
    adapter: &'a Adapter,
    /// Whether one table becomes two.
    untied: bool,
}

impl<'a> MergedTables<'a> {
    /// Checks the tables that are copied or replaced.
    fn new(checkpoint: &'a Checkpoint, adapter: &'a Adapter) -> Result<Self, ModelError> {
        let (config, files) = (&checkpoint.config, &checkpoint.files);
        for module in &adapter.config().modules_to_save {
            let like = if config.tie_word_embeddings { ModuleToSave::EmbedTokens } else { *module };
            let tensor = files.tensor(like.weight_key())?;
            tensor.of_shape(&[config.vocab_size, config.hidden_size], NOT_THIS_CONFIG)?.floats()?;
        }
        let untied = config.tie_word_embeddings && !adapter.config().modules_to_save.is_empty();
        Ok(Self { files, adapter, untied })
    }

    /// What stands in the place of a tensor of the base; `None` if it is no table, or one that stays.
    fn instead_of(&self, name: &str) -> Result<Option<Vec<(String, NewTensor<'a>)>>, ModelError> {
        let Some(module) = ModuleToSave::ALL.into_iter().find(|module| module.weight_key() == name) else {
            return Ok(None);
        };
        let modules: &[ModuleToSave] = match (self.untied, module) {
            (true, ModuleToSave::EmbedTokens) => &ModuleToSave::ALL,
            // If the embeddings were tied, nobody read what stands here.
            (true, ModuleToSave::LmHead) => &[],
            (false, module) if self.adapter.config().saves(module) => &[module],
            (false, _) => return Ok(None),
        };
        let like = module.weight_key();
        modules.iter().map(|module| self.table(*module, like)).collect::<Result<_, _>>().map(Some)
    }

    /// A table in the type of the base's table `like`: the trained copy, or that table itself.
    fn table(&self, module: ModuleToSave, like: &'static str) -> Result<(String, NewTensor<'a>), ModelError> {
        let (files, name) = (self.files, module.weight_key().to_owned());
        let tensor = files.tensor(like)?;
        let Some(copy) = self.adapter.saved(module).and_then(Weight::dense) else {
            return Ok((name, NewTensor::copy_of(tensor)));
        };
        let (dtype, shape, bytes) = (tensor.dtype, tensor.shape.to_vec(), tensor.bytes.len());
        let run = Box::new(move || {
            let tensor = files.tensor(like)?;
            narrowed(tensor.dtype, &copy.flatten_all()?.to_vec1::<f32>()?, &|message| tensor.wrong(message))
        });
        Ok((name, NewTensor { dtype, shape, bytes, content: Content::Computed(run) }))
    }
}

fn merged(tensor: StoredTensor<'_>, module: &AdapterModule) -> Result<Vec<u8>, ModelError> {
    let values = updated(tensor.floats()?.to_vec(), tensor.shape, module)?;
    narrowed(tensor.dtype, &values, &|message| tensor.wrong(message))
}

/// W + scale · B A.
fn updated(values: Vec<f32>, shape: &[usize], module: &AdapterModule) -> Result<Vec<f32>, ModelError> {
    let weight = Tensor::from_vec(values, shape, &Device::Cpu)?;
    linear::backward_weight::<f32>(&module.b.t()?.contiguous()?, &module.a, module.scale, &weight)?;
    Ok(weight.flatten_all()?.to_vec1()?)
}

/// The bytes of merged values in the type of what they replace.
fn narrowed(dtype: Dtype, values: &[f32], wrong: &dyn Fn(&str) -> ModelError) -> Result<Vec<u8>, ModelError> {
    let bytes: Vec<u8> = match dtype {
        Dtype::BF16 => values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
    };
    let range = if dtype == Dtype::F16 { f16::MAX.to_f32() } else { f32::MAX };
    match values.iter().find(|x| x.abs() > range || x.is_nan()) {
        None => Ok(bytes),
        Some(value) => Err(wrong(&format!("the merged weight {value} is not within {dtype:?}"))),
    }
}
