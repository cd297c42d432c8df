//! A description: what a folder holds, from its configuration and the headers of its files; no tensor is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::checkpoint::Checkpoint;
use super::checkpoint_files::CheckpointFiles;
use super::tensor_names::BLOCKS;
use super::{Adapter, ModelConfig, ModelError, ModuleToSave, Quantization};

/// What a folder holds.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Description {
    /// A language model.
    Base(Box<BaseDescription>),
    /// A LoRA adapter.
    Adapter(AdapterDescription),
}

/// A language model as a folder holds it.
#[derive(Debug, Serialize)]
pub struct BaseDescription {
    /// The folder.
    pub folder: PathBuf,
    /// The model's shape.
    pub config: ModelConfig,
    /// Number of parameters, tied ones counted once.
    pub parameters: usize,
    /// Bytes that the weights take in memory, by how they are held.
    pub memory_bytes: BTreeMap<&'static str, usize>,
    /// What its files hold.
    pub tensors: Tensors,
}

/// A LoRA adapter as a folder holds it.
#[derive(Debug, Serialize)]
pub struct AdapterDescription {
    /// The folder.
    pub folder: PathBuf,
    /// Rank of the updates for which no pattern says otherwise.
    pub rank: usize,
    /// Their factor.
    pub scale: f32,
    /// Whether the factor is alpha / sqrt(r).
    pub use_rslora: bool,
    /// Whether magnitudes are trained apart from directions.
    pub use_dora: bool,
    /// Whether B has a bias.
    pub lora_bias: bool,
    /// The linear layers and tables that it changes.
    pub target_modules: Vec<String>,
    /// The tables of which it holds a trained copy.
    pub modules_to_save: Vec<ModuleToSave>,
    /// Number of decoder blocks.
    pub layers: usize,
    /// Number of parameters.
    pub parameters: usize,
    /// What its file holds.
    pub tensors: Tensors,
}

/// The tensors of some files.
#[derive(Debug, Serialize)]
pub struct Tensors {
    /// Number of tensors and bytes by type.
    pub by_type: BTreeMap<String, TypeTotal>,
    /// Each tensor, by name.
    pub listing: Vec<TensorLine>,
}

/// All tensors of a type together.
#[derive(Debug, Default, Serialize)]
pub struct TypeTotal {
    /// Their number.
    pub tensors: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// One tensor.
#[derive(Debug, Serialize)]
pub struct TensorLine {
    /// Its name.
    pub name: String,
    /// Its type, in safetensors' words.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The file it is in.
    pub file: String,
}

impl Description {
    /// Describes a base or an adapter.
    pub fn of(folder: &Path) -> Result<Self, ModelError> {
        if folder.join("adapter_config.json").exists() {
            return Ok(Self::Adapter(AdapterDescription::of(folder)?));
        }
        if !folder.join("config.json").exists() {
            return Err(ModelError::input(format!(
                "{}: expected a folder with config.json (a model) or adapter_config.json (an adapter)",
                folder.display()
            )));
        }
        Ok(Self::Base(Box::new(BaseDescription::of(folder)?)))
    }
}

impl BaseDescription {
    fn of(folder: &Path) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::open(folder)?;
        let parameters = checkpoint.config.parameter_count();
        let tensors = Tensors::of(&checkpoint.files)?;
        let stored: usize = tensors.by_type.values().map(|total| total.bytes).sum();
        let memory_bytes = match checkpoint.config.quantization {
            Quantization::None => {
                let linears: usize = checkpoint
                    .config
                    .projections()
                    .iter()
                    .map(|projection| checkpoint.config.projection_dims(*projection))
                    .map(|(outputs, inputs)| outputs * inputs * checkpoint.config.num_hidden_layers)
                    .sum();
                // Two elements a byte, a byte per 64 and four per 16,384; the rest as it is stored.
                let rest = stored - (stored as u128 * linears as u128 / parameters.max(1) as u128) as usize;
                let nf4 = linears / 2 + linears / 64 + linears / 4096 + rest;
                BTreeMap::from([("f32", 4 * parameters), ("bf16", 2 * parameters), ("nf4", nf4)])
            }
            _ => BTreeMap::from([("as stored", stored)]),
        };
        Ok(Self { folder: folder.to_owned(), config: checkpoint.config, parameters, memory_bytes, tensors })
    }
}

/// Bytes of the blocks' weights in a folder whose checkpoint is quantized, which they take in memory, too: what was left as
/// floats is counted as it is. `None` if it is not quantized, or its files are not there.
pub fn stored_block_bytes(folder: &Path, config: &ModelConfig) -> Option<u64> {
    let quantized = config.quantization != Quantization::None;
    let files = quantized.then(|| CheckpointFiles::open_model(folder).ok()).flatten()?;
    let files = if config.modules().wrapped { files.of_wrapper() } else { files };
    let of_blocks = files.names().filter(|name| files.own_name(name).starts_with(BLOCKS));
    of_blocks.map(|name| files.byte_count(name)).sum::<Result<u64, ModelError>>().ok()
}

impl AdapterDescription {
    fn of(folder: &Path) -> Result<Self, ModelError> {
        let adapter = Adapter::load(folder)?;
        let config = adapter.config();
        Ok(Self {
            folder: folder.to_owned(),
            rank: config.r,
            scale: config.scale(),
            use_rslora: config.use_rslora,
            use_dora: config.use_dora,
            lora_bias: config.lora_bias,
            target_modules: adapter.targets(),
            modules_to_save: config.modules_to_save.clone(),
            layers: adapter.layer_count(),
            parameters: adapter.tensors().map(|(_, tensor)| tensor.elem_count()).sum(),
            tensors: Tensors::of(&CheckpointFiles::open_file(&Adapter::weights_path(folder))?)?,
        })
    }
}

impl Tensors {
    fn of(files: &CheckpointFiles) -> Result<Self, ModelError> {
        let mut tensors = Self { by_type: BTreeMap::new(), listing: Vec::new() };
        for (path, names) in files.shards() {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for name in names {
                let tensor = files.tensor(name)?;
                let dtype = format!("{:?}", tensor.dtype);
                let total = tensors.by_type.entry(dtype.clone()).or_default();
                total.tensors += 1;
                total.bytes += tensor.bytes.len();
                let (name, shape, file) = (name.to_owned(), tensor.shape.to_vec(), file.clone());
                tensors.listing.push(TensorLine { name, dtype, shape, file });
            }
        }
        tensors.listing.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tensors)
    }
}
