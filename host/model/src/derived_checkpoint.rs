//! A checkpoint derived from another: the same shards with some tensors replaced, and the files beside them carried
//! over. It appears whole or not at all.
//!
//! Two kinds: a base with an adapter merged into its weights, and a base quantized as bitsandbytes stores it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use candle_core::{Device, Tensor};
use half::{bf16, f16};
use safetensors::{Dtype, View};
use serde::Serialize;
use serde_json::{Value, json};

use super::checkpoint::{Checkpoint, NOT_THIS_CONFIG, quantize};
use super::checkpoint_files::{CheckpointFiles, INDEX, StoredTensor};
use super::{Adapter, AdapterModule, ModelError, ModuleToSave, Projection, Quantization, bitsandbytes};
use hilora_contract::artifact::AtomicFolder;
use hilora_kernels::linear::{self, Weight};

/// What was derived, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DerivedCheckpoint {
    /// The base's folder.
    pub base: PathBuf,
    /// The new folder.
    pub output: PathBuf,
    /// Whether it was written.
    pub written: bool,
    /// Number of safetensors files.
    pub shards: usize,
    /// Number of tensors that are not the base's.
    pub tensors_replaced: usize,
    /// Number of tensors that are.
    pub tensors_copied: usize,
}

/// Endings of the files that are carried over: configuration, tokenizer and chat template.
const CARRIED_ENDINGS: [&str; 4] = ["json", "jinja", "txt", "model"];

/// A tensor of the new checkpoint.
struct NewTensor<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: usize,
    content: Content<'a>,
}

enum Content<'a> {
    Mapped(Bytes),
    Made(Vec<u8>),
    /// Computed when it is written, so that only one such tensor is in memory.
    Computed(Computation<'a>),
}

struct Computation<'a> {
    run: Box<dyn Fn() -> Result<Vec<u8>, ModelError> + 'a>,
    /// Where an error goes, which the writer cannot take.
    failure: &'a RefCell<Option<ModelError>>,
}

impl View for &NewTensor<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.content {
            Content::Mapped(bytes) => Cow::Borrowed(bytes),
            Content::Made(bytes) => Cow::Borrowed(bytes),
            Content::Computed(computation) => Cow::Owned((computation.run)().unwrap_or_else(|error| {
                computation.failure.borrow_mut().get_or_insert(error);
                vec![0; self.bytes]
            })),
        }
    }

    fn data_len(&self) -> usize {
        self.bytes
    }
}

impl<'a> NewTensor<'a> {
    fn copy_of(tensor: StoredTensor<'_>) -> Self {
        let (dtype, shape) = (tensor.dtype, tensor.shape.to_vec());
        Self { dtype, shape, bytes: tensor.bytes.len(), content: Content::Mapped(tensor.bytes) }
    }
}

/// Merges an adapter into an unquantized base: W + scale · B A, or the trained copy of a table, rounded to the type that
/// W has in the checkpoint. Tied embeddings of which a copy was trained are two tables afterwards.
///
/// Nothing is written with `dry_run`. `on_tensor` is told how many of the base's tensors are done, of how many.
pub fn merge(
    base: &Path,
    adapter: &Path,
    output: &Path,
    dry_run: bool,
    on_tensor: &dyn Fn(usize, usize),
) -> Result<DerivedCheckpoint, ModelError> {
    let checkpoint = Checkpoint::open(base)?;
    refuse_quantized(&checkpoint, base, "merge into the checkpoint of floats that it was made from")?;
    let adapter = Adapter::load(adapter)?;
    adapter.check_against(&checkpoint.config)?;
    let mut updates = BTreeMap::new();
    for layer in 0..checkpoint.config.num_hidden_layers {
        for projection in Projection::ALL {
            let Some(module) = adapter.module(layer, projection) else { continue };
            let (outputs, inputs) = checkpoint.config.projection_dims(projection);
            let name = projection.weight_key(layer);
            let tensor = checkpoint.files.tensor(&name)?.of_shape(&[outputs, inputs], NOT_THIS_CONFIG)?;
            tensor.floats()?;
            updates.insert(name, module);
        }
    }
    let tables = MergedTables::new(&checkpoint, &adapter)?;
    let scale = adapter.config().scale();
    let failure = RefCell::new(None);
    let replace = |tensor: StoredTensor<'_>| -> Result<Option<Vec<(String, NewTensor<'_>)>>, ModelError> {
        if let Some(new) = tables.instead_of(tensor.name, &failure)? {
            return Ok(Some(new));
        }
        let Some(module) = updates.get(tensor.name).copied() else { return Ok(None) };
        let name = tensor.name.to_owned();
        let (dtype, shape, bytes) = (tensor.dtype, tensor.shape.to_vec(), tensor.bytes.len());
        drop(tensor);
        let (files, key) = (&checkpoint.files, name.clone());
        let run = Box::new(move || merged(files.tensor(&key)?, module, scale));
        let content = Content::Computed(Computation { run, failure: &failure });
        Ok(Some(vec![(name, NewTensor { dtype, shape, bytes, content })]))
    };
    let config = tables.untied.then(|| untied_config(base)).transpose()?;
    derive(&checkpoint, base, output, dry_run, config.as_ref(), &replace, &failure, on_tensor)
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

    /// What stands in the place of a tensor of the base; `None` where it is no table, or one that stays.
    fn instead_of(
        &self,
        name: &str,
        failure: &'a RefCell<Option<ModelError>>,
    ) -> Result<Option<Vec<(String, NewTensor<'a>)>>, ModelError> {
        let Some(module) = ModuleToSave::ALL.into_iter().find(|module| module.weight_key() == name) else {
            return Ok(None);
        };
        let modules: &[ModuleToSave] = match (self.untied, module) {
            (true, ModuleToSave::EmbedTokens) => &ModuleToSave::ALL,
            // Where the embeddings were tied nobody read what stands here.
            (true, ModuleToSave::LmHead) => &[],
            (false, module) if self.adapter.config().saves(module) => &[module],
            (false, _) => return Ok(None),
        };
        let like = module.weight_key();
        modules.iter().map(|module| self.table(*module, like, failure)).collect::<Result<_, _>>().map(Some)
    }

    /// A table in the type of the base's table `like`: the trained copy, or that table itself.
    fn table(
        &self,
        module: ModuleToSave,
        like: &'static str,
        failure: &'a RefCell<Option<ModelError>>,
    ) -> Result<(String, NewTensor<'a>), ModelError> {
        let (files, name) = (self.files, module.weight_key().to_owned());
        let tensor = files.tensor(like)?;
        let Some(copy) = self.adapter.saved(module).and_then(Weight::dense) else {
            return Ok((name, NewTensor::copy_of(tensor)));
        };
        let (dtype, shape, bytes) = (tensor.dtype, tensor.shape.to_vec(), tensor.bytes.len());
        let run = Box::new(move || narrowed(&files.tensor(like)?, &copy.flatten_all()?.to_vec1()?));
        Ok((name, NewTensor { dtype, shape, bytes, content: Content::Computed(Computation { run, failure }) }))
    }
}

/// The base's config.json, a JSON object.
fn read_config(base: &Path) -> Result<Value, ModelError> {
    let path = base.join("config.json");
    let text = fs::read_to_string(&path).map_err(|e| ModelError::file(&path, e))?;
    serde_json::from_str(&text).map_err(|e| ModelError::config(&path, e.to_string()))
}

/// The base's config.json for a model whose output layer is a table of its own.
fn untied_config(base: &Path) -> Result<Value, ModelError> {
    let mut config = read_config(base)?;
    config["tie_word_embeddings"] = false.into();
    Ok(config)
}

fn merged(tensor: StoredTensor<'_>, module: &AdapterModule, scale: f32) -> Result<Vec<u8>, ModelError> {
    let weight = Tensor::from_vec(tensor.floats()?.to_vec(), tensor.shape, &Device::Cpu)?;
    linear::backward_weight::<f32>(&module.b.t()?.contiguous()?, &module.a, scale, &weight)?;
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

/// Quantizes a base as bitsandbytes does it and stores it: the blocks' linear layers in NF4 with double quantization, all
/// else as it is. What is written can be mapped, and transformers loads it too.
///
/// Nothing is written with `dry_run`. `on_tensor` is told how many of the base's tensors are done, of how many.
pub fn quantize_checkpoint(
    base: &Path,
    output: &Path,
    dry_run: bool,
    on_tensor: &dyn Fn(usize, usize),
) -> Result<DerivedCheckpoint, ModelError> {
    let checkpoint = Checkpoint::open(base)?;
    refuse_quantized(&checkpoint, base, "a base in 4 bits is used as it is")?;
    let mut quantized = BTreeMap::new();
    for layer in 0..checkpoint.config.num_hidden_layers {
        for projection in Projection::ALL {
            let (outputs, inputs) = checkpoint.config.projection_dims(projection);
            let name = projection.weight_key(layer);
            checkpoint.files.tensor(&name)?.of_shape(&[outputs, inputs], NOT_THIS_CONFIG)?;
            quantized.insert(name, ());
        }
    }
    let replace = |tensor: StoredTensor<'_>| -> Result<Option<Vec<(String, NewTensor<'_>)>>, ModelError> {
        if !quantized.contains_key(tensor.name) {
            return Ok(None);
        }
        if dry_run {
            return Ok(Some(Vec::new()));
        }
        let tensors = bitsandbytes::tensors(&tensor, quantize(&tensor)?)?;
        let made = |(name, dtype, shape, bytes): bitsandbytes::OwnedTensor| {
            (name, NewTensor { dtype, shape, bytes: bytes.len(), content: Content::Made(bytes) })
        };
        Ok(Some(tensors.into_iter().map(made).collect()))
    };
    let config = &quantized_config(base)?;
    derive(&checkpoint, base, output, dry_run, Some(config), &replace, &RefCell::new(None), on_tensor)
}

/// The base's config.json with what transformers needs to load bitsandbytes' layers.
fn quantized_config(base: &Path) -> Result<Value, ModelError> {
    let mut config = read_config(base)?;
    let dtype = config.get("dtype").or_else(|| config.get("torch_dtype")).and_then(Value::as_str);
    let section = json!({
        "quant_method": "bitsandbytes",
        "load_in_4bit": true,
        "load_in_8bit": false,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": true,
        "bnb_4bit_quant_storage": "uint8",
        "bnb_4bit_compute_dtype": dtype.unwrap_or("float32"),
    });
    config["quantization_config"] = section;
    Ok(config)
}

fn refuse_quantized(checkpoint: &Checkpoint, base: &Path, hint: &str) -> Result<(), ModelError> {
    match checkpoint.config.quantization {
        Quantization::None => Ok(()),
        other => Err(ModelError::config(
            &base.join("config.json"),
            format!("quantization_config: expected a checkpoint of floats, got {}\nhint: {hint}", other.name()),
        )),
    }
}

/// What stands in the place of a tensor of the base; `None` where it is copied.
type Replace<'a> = dyn Fn(StoredTensor<'a>) -> Result<Option<Vec<(String, NewTensor<'a>)>>, ModelError> + 'a;

#[expect(clippy::too_many_arguments, reason = "the two callers above name every one of them")]
fn derive<'a>(
    checkpoint: &'a Checkpoint,
    base: &Path,
    output: &Path,
    dry_run: bool,
    config: Option<&Value>,
    replace: &Replace<'a>,
    failure: &RefCell<Option<ModelError>>,
    on_tensor: &dyn Fn(usize, usize),
) -> Result<DerivedCheckpoint, ModelError> {
    let folder =
        if dry_run { None } else { Some(AtomicFolder::create(output).map_err(|e| ModelError::file(output, e))?) };
    let total = checkpoint.files.names().count();
    let (mut replaced, mut copied, mut shards) = (0, 0, 0);
    let mut weight_map = BTreeMap::new();
    let mut total_size = 0;
    for (path, names) in checkpoint.files.shards() {
        shards += 1;
        let shard = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut tensors = BTreeMap::new();
        for name in names {
            match replace(checkpoint.files.tensor(name)?)? {
                Some(new) => {
                    replaced += 1;
                    tensors.extend(new);
                }
                None => {
                    copied += 1;
                    tensors.insert(name.to_owned(), NewTensor::copy_of(checkpoint.files.tensor(name)?));
                }
            }
            on_tensor(replaced + copied, total);
        }
        total_size += tensors.values().map(|tensor| tensor.bytes).sum::<usize>();
        weight_map.extend(tensors.keys().map(|name| (name.clone(), shard.clone())));
        if let Some(folder) = &folder {
            let path = folder.partial().join(&shard);
            let metadata = [("format".to_owned(), "pt".to_owned())].into();
            safetensors::serialize_to_file(tensors.iter(), Some(metadata), &path)
                .map_err(|e| ModelError::Safetensors { path: output.join(&shard), message: e.to_string() })?;
            if let Some(error) = failure.borrow_mut().take() {
                return Err(error);
            }
        }
    }
    if let Some(folder) = folder {
        carry_files(base, folder.partial())?;
        let write = |name: &str, value: &Value| {
            let path = folder.partial().join(name);
            fs::write(&path, format!("{value:#}\n")).map_err(|e| ModelError::file(output.join(name), e))
        };
        if CheckpointFiles::is_sharded(base) {
            write(INDEX, &json!({"metadata": {"total_size": total_size}, "weight_map": weight_map}))?;
        }
        if let Some(config) = config {
            write("config.json", config)?;
        }
        folder.commit().map_err(|e| ModelError::file(output, e))?;
    }
    Ok(DerivedCheckpoint {
        base: base.to_owned(),
        output: output.to_owned(),
        written: !dry_run,
        shards,
        tensors_replaced: replaced,
        tensors_copied: copied,
    })
}

/// Copies the configuration, the tokenizer and the chat template.
fn carry_files(from: &Path, to: &Path) -> Result<(), ModelError> {
    let entries = fs::read_dir(from).map_err(|e| ModelError::file(from, e))?;
    for entry in entries {
        let path = entry.map_err(|e| ModelError::file(from, e))?.path();
        let Some(name) = path.file_name() else { continue };
        let ending = path.extension().map(|ending| ending.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_file() && CARRIED_ENDINGS.contains(&ending.as_str()) && name != INDEX {
            fs::copy(&path, to.join(name)).map_err(|e| ModelError::file(&path, e))?;
        }
    }
    Ok(())
}
