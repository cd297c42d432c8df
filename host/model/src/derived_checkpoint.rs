//! A checkpoint derived from another: the same shards with some tensors replaced, and the files beside them carried
//! over. It appears whole or not at all.
//!
//! There are two kinds: a base with an adapter merged into its weights (`merged_checkpoint`), and a base quantized as
//! bitsandbytes stores it (`quantized_checkpoint`).

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::checkpoint::Checkpoint;
use super::checkpoint_files::{CheckpointFiles, INDEX, StoredTensor};
use super::new_tensor::{NewTensor, write_tensors};
use super::{ModelConfig, ModelError, Quantization};
use hilora_contract::artifact::AtomicFolder;

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

/// The base's config.json, a JSON object.
pub(crate) fn read_config(base: &Path) -> Result<Value, ModelError> {
    let path = base.join("config.json");
    let text = fs::read_to_string(&path).map_err(|e| ModelError::reading(&path, e))?;
    serde_json::from_str(&text).map_err(|e| ModelError::config(&path, e.to_string()))
}

/// The base's config.json for a model with these tables: what says that embeddings are tied which are not is set right, so
/// that every version of transformers reads two tables. `None` if it can stay as it is.
pub(crate) fn config_of_tables(base: &Path, tied: bool) -> Result<Option<Value>, ModelError> {
    if tied || !ModelConfig::load(base)?.tie_word_embeddings {
        return Ok(None);
    }
    let mut config = read_config(base)?;
    config["tie_word_embeddings"] = false.into();
    if let Some(text) = config.get_mut("text_config").and_then(Value::as_object_mut) {
        text.insert("tie_word_embeddings".to_owned(), false.into());
    }
    Ok(Some(config))
}

/// Refuses a quantized base.
pub(crate) fn refuse_quantized(checkpoint: &Checkpoint, base: &Path, hint: &str) -> Result<(), ModelError> {
    match checkpoint.config.quantization {
        Quantization::None => Ok(()),
        other => Err(ModelError::config_with_hint(
            &base.join("config.json"),
            format!("quantization_config: expected a checkpoint of floats, got {}", other.name()),
            hint,
        )),
    }
}

/// What stands in the place of a tensor of the base.
pub(crate) enum Instead<'a> {
    /// The tensor itself.
    Copy,
    /// Others.
    New(Vec<(String, NewTensor<'a>)>),
    /// Nothing: it was a part of what another tensor made way for.
    Nothing,
}

/// Says what stands in the place of a tensor of the base.
pub(crate) type Replace<'a> = dyn Fn(StoredTensor<'a>) -> Result<Instead<'a>, ModelError> + 'a;

/// A checkpoint that is to be derived.
pub(crate) struct Derivation<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    /// The base's folder.
    pub(crate) base: &'a Path,
    /// The new folder.
    pub(crate) output: &'a Path,
    /// Whether nothing is written.
    pub(crate) dry_run: bool,
    /// Its config.json; the base's if there is none.
    pub(crate) config: Option<Value>,
}

impl<'a> Derivation<'a> {
    /// Derives it, tensor by tensor. `on_tensor` is told how many of the base's tensors are done, of how many, and may end
    /// the work; then nothing is left, and the result is `None`.
    pub(crate) fn run(
        self,
        replace: &Replace<'a>,
        on_tensor: &dyn Fn(usize, usize) -> ControlFlow<()>,
    ) -> Result<Option<DerivedCheckpoint>, ModelError> {
        let Self { checkpoint, base, output, dry_run, config } = self;
        let created = if dry_run { None } else { Some(AtomicFolder::create(output)) };
        let folder = created.transpose().map_err(|e| ModelError::writing(output, e))?;
        let total = checkpoint.files.names().count();
        let (mut done, mut replaced, mut copied, mut shards) = (0, 0, 0, 0);
        let mut weight_map = BTreeMap::new();
        let mut total_size = 0;
        for (path, names) in checkpoint.files.shards() {
            shards += 1;
            let shard = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut tensors = BTreeMap::new();
            for name in names {
                match replace(checkpoint.files.tensor(name)?)? {
                    Instead::New(new) => {
                        replaced += 1;
                        tensors.extend(new);
                    }
                    Instead::Nothing => {}
                    Instead::Copy => {
                        copied += 1;
                        tensors.insert(name.to_owned(), NewTensor::copy_of(checkpoint.files.tensor(name)?));
                    }
                }
                done += 1;
                if on_tensor(done, total).is_break() {
                    return Ok(None);
                }
            }
            total_size += tensors.values().map(|tensor| tensor.bytes).sum::<usize>();
            weight_map.extend(tensors.keys().map(|name| (name.clone(), shard.clone())));
            if let Some(folder) = &folder {
                write_tensors(&folder.partial().join(&shard), &output.join(&shard), tensors)?;
            }
        }
        checkpoint.files.check()?;
        if let Some(folder) = folder {
            carry_files(base, folder.partial(), output)?;
            let write = |name: &str, value: &Value| {
                let path = folder.partial().join(name);
                fs::write(&path, format!("{value:#}\n")).map_err(|e| ModelError::writing(output.join(name), e))
            };
            if CheckpointFiles::is_sharded(base) {
                write(INDEX, &json!({"metadata": {"total_size": total_size}, "weight_map": weight_map}))?;
            }
            if let Some(config) = &config {
                write("config.json", config)?;
            }
            folder.commit().map_err(|e| ModelError::writing(output, e))?;
        }
        Ok(Some(DerivedCheckpoint {
            base: base.to_owned(),
            output: output.to_owned(),
            written: !dry_run,
            shards,
            tensors_replaced: replaced,
            tensors_copied: copied,
        }))
    }
}

/// Copies the configuration, the tokenizer and the chat template; `shown` is the folder that errors name.
fn carry_files(from: &Path, to: &Path, shown: &Path) -> Result<(), ModelError> {
    let entries = fs::read_dir(from).map_err(|e| ModelError::reading(from, e))?;
    for entry in entries {
        let path = entry.map_err(|e| ModelError::reading(from, e))?.path();
        let Some(name) = path.file_name() else { continue };
        let ending = path.extension().map(|ending| ending.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_file() && CARRIED_ENDINGS.contains(&ending.as_str()) && name != INDEX {
            let bytes = fs::read(&path).map_err(|e| ModelError::reading(&path, e))?;
            fs::write(to.join(name), bytes).map_err(|e| ModelError::writing(shown.join(name), e))?;
        }
    }
    Ok(())
}
