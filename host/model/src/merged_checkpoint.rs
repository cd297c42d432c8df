//! A base with an adapter merged into its weights.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::Value;

use super::adapter::widened;
use super::adapter_module::{Part, Target};
use super::checkpoint::Checkpoint;
use super::checkpoint_files::{CheckpointFiles, NOT_THIS_CONFIG, StoredTensor};
use super::derived_checkpoint::{Derivation, DerivedCheckpoint, Instead, config_of_tables, read_config};
use super::new_tensor::{Content, NewTensor};
use super::quantized_layers::QuantizedLayers;
use super::tensor_names::layer_key;
use super::{Adapter, AdapterModule, ModelError, ModuleToSave, Quantization};
use hilora_kernels::linear::{self, Weight};
use hilora_kernels::{dora, residual};

/// Merges an adapter into a base: W + scale · B A, with the magnitudes of a DoRA as the norms of its rows, or the trained
/// copy of a table, rounded to the type that W has in the checkpoint. Tied embeddings of which one was trained are two
/// tables afterwards. Quantized layers, adapted or not, are dequantized and rounded to bf16: what is written is a base of
/// floats.
///
/// Nothing is written with `dry_run`. `on_tensor` is told how many of the base's tensors are done, of how many, and may end
/// the work; then nothing is left, and the result is `None`.
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
    for (target, module) in adapter.modules() {
        let Target::Layer(layer, projection) = target else { continue };
        let (outputs, inputs) = target.dims(&checkpoint.config);
        let floats = |name: &str, shape: &[usize]| {
            checkpoint.files.tensor(name)?.of_shape(shape, NOT_THIS_CONFIG)?.floats().map(|_| ())
        };
        let name = projection.weight_key(layer);
        if !checkpoint.is_quantized(&name)? {
            floats(&name, &[outputs, inputs])?;
        }
        updates.insert(checkpoint.files.stored_name(&name).to_owned(), (module, Part::A));
        if module.bias.is_some() {
            let name = layer_key(layer, &format!("{}.bias", projection.path()));
            if !checkpoint.config.has_bias(projection) {
                return Err(ModelError::input_with_hint(
                    format!("lora_bias: expected a base with the bias {name} to merge into, got one without it"),
                    "use the adapter beside its base",
                ));
            }
            floats(&name, &[outputs])?;
            updates.insert(checkpoint.files.stored_name(&name).to_owned(), (module, Part::Bias));
        }
    }
    let tables = MergedTables::new(&checkpoint, &adapter)?;
    let replace = |tensor: StoredTensor<'_>| -> Result<Instead<'_>, ModelError> {
        if let Some(instead) = dequantized(&quantized, tensor.name, &updates, &adapter) {
            return Ok(instead);
        }
        if let Some(new) = tables.instead_of(tensor.name)? {
            return Ok(Instead::New(new));
        }
        let Some((module, part)) = updates.get(tensor.name).copied() else { return Ok(Instead::Copy) };
        let name = tensor.name.to_owned();
        let (dtype, shape) = (merged_type(tensor.dtype), tensor.shape.to_vec());
        drop(tensor);
        let (files, key) = (&checkpoint.files, name.clone());
        let content = Content::Computed(Box::new(move || merged(files.tensor(&key)?, module, part)));
        Ok(Instead::New(vec![(name, computed(dtype, shape, content))]))
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

/// The type of a merged weight: that of the base's, or bf16 where that is one of 8 bits.
fn merged_type(dtype: Dtype) -> Dtype {
    if matches!(dtype, Dtype::F32 | Dtype::F16) { dtype } else { Dtype::BF16 }
}

fn computed(dtype: Dtype, shape: Vec<usize>, content: Content<'_>) -> NewTensor<'_> {
    let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
    NewTensor { dtype, shape, bytes, content }
}

/// What stands in the place of a tensor of the base, if it is a quantized layer's. An output layer may have its own table in
/// the adapter.
fn dequantized<'a>(
    quantized: &'a QuantizedLayers<'a>,
    tensor: &str,
    updates: &BTreeMap<String, (&'a AdapterModule, Part)>,
    adapter: &'a Adapter,
) -> Option<Instead<'a>> {
    let Some(layer) = quantized.of(tensor)? else { return Some(Instead::Nothing) };
    let head = ModuleToSave::LmHead;
    let (table, module) = if layer.key == head.weight_key() {
        (adapter.saved(head).or(adapter.base_table(head)), adapter.table_update(head))
    } else {
        (None, updates.get(quantized.stored_weight(layer)).map(|(module, _)| *module))
    };
    let content = Content::Computed(Box::new(move || {
        let mut values = table.map_or_else(|| quantized.values(layer), |table| Ok(table.widened()?))?;
        if let Some(module) = module {
            values = updated(values, &layer.shape, module)?;
        }
        narrowed(Dtype::BF16, &values, &|message| ModelError::input(format!("tensor `{}`: {message}", layer.name)))
    }));
    Some(Instead::New(vec![(layer.name.clone(), computed(Dtype::BF16, layer.shape.to_vec(), content))]))
}

/// The tables of a merged model: those that an adapter changes, its trained copies and the base's own.
struct MergedTables<'a> {
    files: &'a CheckpointFiles,
    adapter: &'a Adapter,
    /// Whether one table becomes two.
    untied: bool,
    /// Under whose name the file holds tied embeddings.
    tied: ModuleToSave,
}

impl<'a> MergedTables<'a> {
    /// Checks the tables that are copied or replaced.
    fn new(checkpoint: &'a Checkpoint, adapter: &'a Adapter) -> Result<Self, ModelError> {
        let (config, files) = (&checkpoint.config, &checkpoint.files);
        let is_there = |module: &ModuleToSave| files.contains(module.weight_key());
        let tied = ModuleToSave::ALL.into_iter().find(is_there).unwrap_or(ModuleToSave::EmbedTokens);
        let changed = ModuleToSave::ALL.into_iter().filter(|module| changes(adapter, *module));
        for module in changed {
            let like = if config.tie_word_embeddings { tied } else { module };
            if like == ModuleToSave::LmHead && checkpoint.is_quantized(like.weight_key())? {
                continue;
            }
            let tensor = files.tensor(like.weight_key())?;
            tensor.of_shape(&[config.vocab_size, config.hidden_size], NOT_THIS_CONFIG)?.floats()?;
        }
        let untied = config.tie_word_embeddings && ModuleToSave::ALL.into_iter().any(|module| changes(adapter, module));
        Ok(Self { files, adapter, untied, tied })
    }

    /// What stands in the place of a tensor of the base; `None` if it is no table, or one that stays.
    fn instead_of(&self, name: &str) -> Result<Option<Vec<(String, NewTensor<'a>)>>, ModelError> {
        let Some(module) =
            ModuleToSave::ALL.into_iter().find(|module| self.files.stored_name(module.weight_key()) == name)
        else {
            return Ok(None);
        };
        let modules: &[ModuleToSave] = match (self.untied, module) {
            (true, module) if module == self.tied => &ModuleToSave::ALL,
            // If the embeddings were tied, nobody read what stands here.
            (true, _) => &[],
            (false, module) if changes(self.adapter, module) => &[module],
            (false, _) => return Ok(None),
        };
        let like = module.weight_key();
        modules.iter().map(|module| self.table(*module, like)).collect::<Result<_, _>>().map(Some)
    }

    /// A table in the type of the base's table `like`: the trained copy, that table with its update, or that table itself.
    fn table(&self, module: ModuleToSave, like: &'static str) -> Result<(String, NewTensor<'a>), ModelError> {
        let (files, adapter, name) = (self.files, self.adapter, self.files.stored_name(module.weight_key()).to_owned());
        let tensor = files.tensor(like)?;
        // Of tied tables the file may hold the one under either name.
        let other = ModuleToSave::ALL.into_iter().find_map(|other| adapter.base_table(other).filter(|_| self.untied));
        let base = adapter.base_table(module).or(other);
        if !changes(adapter, module) && base.is_none() {
            return Ok((name, NewTensor::copy_of(tensor)));
        }
        let (dtype, shape) = (merged_type(tensor.dtype), tensor.shape.to_vec());
        let run = Box::new(move || {
            let tensor = files.tensor(like)?;
            if let Some(copy) = adapter.saved(module).and_then(Weight::dense) {
                return narrowed(dtype, &copy.flatten_all()?.to_vec1()?, &|message| tensor.wrong(message));
            }
            let values = match base {
                Some(base) => widened(base)?,
                None => Tensor::from_vec(tensor.floats()?.to_vec(), tensor.shape, &Device::Cpu)?,
            };
            if let Some(update) = adapter.table_update(module) {
                let (a, b) = (&update.a, update.b.t()?.contiguous()?);
                let (rows, columns) = if module == ModuleToSave::EmbedTokens { (a, &b) } else { (&b, a) };
                linear::backward_weight::<f32>(rows, columns, update.scale, &values)?;
            }
            narrowed(dtype, &values.flatten_all()?.to_vec1()?, &|message| tensor.wrong(message))
        });
        Ok((name, computed(dtype, shape, Content::Computed(run))))
    }
}

/// Whether an adapter changes a table.
fn changes(adapter: &Adapter, module: ModuleToSave) -> bool {
    adapter.saved(module).is_some() || adapter.table_update(module).is_some() || adapter.base_table(module).is_some()
}

/// The weight of a layer with its update, or its bias.
fn merged(tensor: StoredTensor<'_>, module: &AdapterModule, part: Part) -> Result<Vec<u8>, ModelError> {
    let values = tensor.floats()?.to_vec();
    let values = match (part, &module.bias) {
        (Part::Bias, Some(bias)) => {
            let values = Tensor::from_vec(values, tensor.shape, &Device::Cpu)?;
            residual::forward::<f32>(bias, module.scale, &values)?;
            values.to_vec1()?
        }
        _ => updated(values, tensor.shape, module)?,
    };
    narrowed(merged_type(tensor.dtype), &values, &|message| tensor.wrong(message))
}

/// W + scale · B A, with the magnitudes of a DoRA as the norms of its rows.
fn updated(values: Vec<f32>, shape: &[usize], module: &AdapterModule) -> Result<Vec<f32>, ModelError> {
    let weight = Tensor::from_vec(values, shape, &Device::Cpu)?;
    // The norms are those of the base and the update together.
    let norms = module.magnitude.as_ref().map(|_| dora::norms(&Weight::F32(weight.clone()), module.factors()));
    let norms = norms.transpose()?;
    linear::backward_weight::<f32>(&module.b.t()?.contiguous()?, &module.a, module.scale, &weight)?;
    let weight = match module.magnitude.as_ref().zip(norms) {
        Some((magnitude, norms)) => weight.broadcast_mul(&(magnitude / &*norms)?.unsqueeze(1)?)?,
        None => weight,
    };
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
