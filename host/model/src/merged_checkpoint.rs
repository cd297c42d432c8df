//! A base with an adapter merged into its weights.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use safetensors::Dtype;

use super::checkpoint::{Checkpoint, NOT_THIS_CONFIG};
use super::checkpoint_files::{CheckpointFiles, StoredTensor};
use super::derived_checkpoint::{Derivation, DerivedCheckpoint, config_of_tables, refuse_quantized};
use super::new_tensor::{Content, NewTensor};
use super::{Adapter, AdapterModule, ModelError, ModuleToSave};
use hilora_kernels::linear::{self, Weight};

/// Merges an adapter into an unquantized base: W + scale · B A, or the trained copy of a table, rounded to the type that
/// W has in the checkpoint. Tied embeddings of which a copy was trained are two tables afterwards.
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
    refuse_quantized(&checkpoint, base, "merge into the checkpoint of floats that it was made from")?;
    let adapter = Adapter::load(adapter)?;
    adapter.check_against(&checkpoint.config)?;
    let mut updates = BTreeMap::new();
    for layer in 0..checkpoint.config.num_hidden_layers {
        for &projection in checkpoint.config.projections() {
            let Some(module) = adapter.module(layer, projection) else { continue };
            let (outputs, inputs) = checkpoint.config.projection_dims(projection);
            let name = projection.weight_key(layer);
            let tensor = checkpoint.files.tensor(&name)?.of_shape(&[outputs, inputs], NOT_THIS_CONFIG)?;
            tensor.floats()?;
            updates.insert(tensor.name.to_owned(), module);
        }
    }
    let tables = MergedTables::new(&checkpoint, &adapter)?;
    let replace = |tensor: StoredTensor<'_>| -> Result<Option<Vec<(String, NewTensor<'_>)>>, ModelError> {
        if let Some(new) = tables.instead_of(tensor.name)? {
            return Ok(Some(new));
        }
        let Some(module) = updates.get(tensor.name).copied() else { return Ok(None) };
        let name = tensor.name.to_owned();
        let (dtype, shape, bytes) = (tensor.dtype, tensor.shape.to_vec(), tensor.bytes.len());
        drop(tensor);
        let (files, key) = (&checkpoint.files, name.clone());
        let content = Content::Computed(Box::new(move || merged(files.tensor(&key)?, module)));
        Ok(Some(vec![(name, NewTensor { dtype, shape, bytes, content })]))
    };
    let config = config_of_tables(base, checkpoint.config.tie_word_embeddings && !tables.untied)?;
    Derivation { checkpoint: &checkpoint, base, output, dry_run, config }.run(&replace, on_tensor)
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
        let Some(module) =
            ModuleToSave::ALL.into_iter().find(|module| self.files.stored_name(module.weight_key()) == name)
        else {
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
        let (files, name) = (self.files, self.files.stored_name(module.weight_key()).to_owned());
        let tensor = files.tensor(like)?;
        let Some(copy) = self.adapter.saved(module).and_then(Weight::dense) else {
            return Ok((name, NewTensor::copy_of(tensor)));
        };
        let (dtype, shape, bytes) = (tensor.dtype, tensor.shape.to_vec(), tensor.bytes.len());
        let run = Box::new(move || narrowed(&files.tensor(like)?, &copy.flatten_all()?.to_vec1()?));
        Ok((name, NewTensor { dtype, shape, bytes, content: Content::Computed(run) }))
    }
}

fn merged(tensor: StoredTensor<'_>, module: &AdapterModule) -> Result<Vec<u8>, ModelError> {
    let weight = Tensor::from_vec(tensor.floats()?.to_vec(), tensor.shape, &Device::Cpu)?;
    linear::backward_weight::<f32>(&module.b.t()?.contiguous()?, &module.a, module.scale, &weight)?;
    narrowed(&tensor, &weight.flatten_all()?.to_vec1()?)
}

/// The bytes of merged values in the type of the tensor that they replace.
fn narrowed(tensor: &StoredTensor<'_>, values: &[f32]) -> Result<Vec<u8>, ModelError> {
    let bytes: Vec<u8> = match tensor.dtype {
        Dtype::BF16 => values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
    };
    let range = if tensor.dtype == Dtype::F16 { f16::MAX.to_f32() } else { f32::MAX };
    match values.iter().find(|x| x.abs() > range || x.is_nan()) {
        None => Ok(bytes),
        Some(value) => Err(tensor.wrong(&format!("the merged weight {value} is not within {:?}", tensor.dtype))),
    }
}
