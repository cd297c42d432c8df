//! What can be wrong with a model, an adapter or a tokenizer: each error names the file and the tensor or field.

use std::io;
use std::path::{Path, PathBuf};

use hilora_contract::artifact::{FileChange, FileStamp};
use hilora_contract::fault::{BadInput, Blame, Fault};

/// An error of the model layer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder of a base could not be read.
    #[error("cannot read the base model {folder}: {source}")]
    Base {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a base is no longer the one that was hashed.
    #[error("{path}: has changed while it was in use: {change}")]
    Changed {
        /// The file.
        path: PathBuf,
        /// What has changed.
        change: String,
    },
    /// A file does not say what it must.
    #[error("{path}: {problem}")]
    Config {
        /// The file.
        path: PathBuf,
        /// The field or tensor, what was expected and what was found.
        problem: BadInput,
    },
    /// A safetensors file is truncated or not one.
    #[error("{path}: not a readable safetensors file: {message}")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What its header or length says.
        message: String,
    },
    /// A file is not what torch.save writes of tensors, or says more than that.
    #[error("{path}: not weights that torch.save wrote: {message}")]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Tensors cannot be put into a safetensors file.
    #[error("{path}: cannot be made a safetensors file: {message}")]
    Unserializable {
        /// The file.
        path: PathBuf,
        /// Why not.
        message: String,
    },
    /// The index of a sharded checkpoint names a file that is not there.
    #[error("{path}: names the shard {shard}, which is not there")]
    MissingShard {
        /// The index.
        path: PathBuf,
        /// The shard.
        shard: PathBuf,
    },
    /// A tensor that the configuration asks for is not there.
    #[error("{path}: the tensor `{tensor}` is missing")]
    MissingTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{path}: tensor `{tensor}`: expected shape {expected:?}, got {got:?}")]
    Shape {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What the configuration asks for.
        expected: Vec<usize>,
        /// What the file holds.
        got: Vec<usize>,
        /// What may have gone wrong.
        hint: &'static str,
    },
    /// A tensor has a type that cannot be used in its place.
    #[error("{path}: tensor `{tensor}`: expected {expected}, got {got}")]
    Type {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The types that can be used.
        expected: &'static str,
        /// The type in the file.
        got: String,
    },
    /// An adapter holds a tensor that no module of this model asks for.
    #[error("{path}: unexpected tensor `{tensor}`")]
    UnexpectedTensor {
        /// The adapter.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tokenizer could not be loaded or used.
    #[error("{path}: {message}")]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What the tokenizer said.
        message: String,
    },
    /// A chat template cannot be read, refuses messages, or does with them what cannot be followed.
    #[error("{path}: {message}")]
    ChatTemplate {
        /// The file that holds the template.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// An input to the model is out of its range.
    #[error(transparent)]
    Input(#[from] BadInput),
    /// Something that this crate makes is not as it must be.
    #[error("{0}")]
    Defect(String),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl ModelError {
    /// A file that cannot be read.
    pub fn reading(path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::Read { path: path.into(), source: source.into() }
    }

    /// A file that cannot be written.
    pub fn writing(path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::Write { path: path.into(), source: source.into() }
    }

    /// An error if a file is no longer what its stamp says.
    pub(crate) fn of_change(stamp: &FileStamp) -> Result<(), Self> {
        let path = || stamp.path().to_owned();
        match stamp.change().map_err(|error| Self::reading(path(), error))? {
            Some(change) => Err(Self::changed(&path(), &change)),
            None => Ok(()),
        }
    }

    /// A file that is no longer what it was.
    pub(crate) fn changed(path: &Path, change: &FileChange) -> Self {
        Self::Changed { path: path.to_owned(), change: change.to_string() }
    }

    /// A file that does not say what it must.
    pub fn config(path: &Path, message: impl Into<String>) -> Self {
        Self::Config { path: path.to_owned(), problem: BadInput::new(message) }
    }

    /// The same, if it is known what would mend it.
    pub(crate) fn config_with_hint(path: &Path, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Config { path: path.to_owned(), problem: BadInput::with_hint(message, hint) }
    }

    /// An input that is out of the model's range.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::Input(BadInput::new(message))
    }

    /// The same, if it is known what would mend it.
    pub(crate) fn input_with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input(BadInput::with_hint(message, hint))
    }
}

/// Whose fault it is that a tensor operation failed: a device that is out of memory is the machine's, everything else a
/// defect here, since shapes and types are checked before.
pub fn blame_of_operation(error: &candle_core::Error) -> Blame {
    let text = error.to_string().to_ascii_lowercase();
    let is_full = ["out of memory", "out_of_memory"].iter().any(|words| text.contains(words));
    if is_full { Blame::Machine } else { Blame::Ours }
}

impl Fault for ModelError {
    fn blame(&self) -> Blame {
        match self {
            Self::Read { source, .. } | Self::Base { source, .. } => Blame::of_reading(source),
            Self::Write { source, .. } => Blame::of_writing(source),
            // Whoever it was, it was not what this call was given.
            Self::Changed { .. } => Blame::Machine,
            Self::Config { problem, .. } => problem.blame(),
            Self::Input(problem) => problem.blame(),
            Self::Safetensors { .. }
            | Self::Pickle { .. }
            | Self::MissingShard { .. }
            | Self::MissingTensor { .. }
            | Self::Shape { .. }
            | Self::Type { .. }
            | Self::UnexpectedTensor { .. }
            | Self::Tokenizer { .. }
            | Self::ChatTemplate { .. } => Blame::User,
            Self::Unserializable { .. } | Self::Defect(_) => Blame::Ours,
            Self::Tensor(error) => blame_of_operation(error),
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Config { problem, .. } => return problem.hints(),
            Self::Input(problem) => return problem.hints(),
            Self::Base { .. } => {
                "`base_model` names a folder with config.json, tokenizer.json and safetensors, or a model of the hub as \
                 owner/name"
            }
            Self::Changed { .. } => {
                "nothing was made of it; leave a base as it is while it is used, or replace its files by renaming, and run \
                 this again"
            }
            Self::Safetensors { .. } => "the file may be truncated; copy it again",
            Self::Pickle { .. } => {
                "nothing of a pickle is run here; load the adapter with PEFT and write it with `save_pretrained`, which makes \
                 safetensors of it"
            }
            Self::MissingShard { .. } => "the download may be incomplete; fetch the checkpoint again",
            Self::MissingTensor { .. } => "does config.json belong to this checkpoint?",
            Self::Shape { hint, .. } => hint,
            Self::Type { .. } => "was the checkpoint converted or quantized by another tool?",
            Self::UnexpectedTensor { .. } => "was the adapter made for another base?",
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Unserializable { .. }
            | Self::Tokenizer { .. }
            | Self::ChatTemplate { .. }
            | Self::Defect(_)
            | Self::Tensor(_) => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_out_of_memory_is_the_machines_and_another_failed_operation_ours() {
        let blame = |message: &str| ModelError::Tensor(candle_core::Error::Msg(message.to_owned())).blame();
        assert_eq!(blame("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"), Blame::Machine);
        assert_eq!(blame("shape mismatch in matmul"), Blame::Ours);
    }

    #[test]
    fn a_full_disk_is_the_machines_and_a_missing_file_the_users() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(ModelError::writing("adapter", full()).blame(), Blame::Machine);
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(ModelError::reading("config.json", missing()).blame(), Blame::User);
        let base = ModelError::Base { folder: "base".into(), source: missing() };
        assert_eq!(base.blame(), Blame::User);
        assert!(base.hints()[0].starts_with("`base_model` names a folder"), "{:?}", base.hints());
        assert!(!base.to_string().contains("hint"), "{base}");
    }
}
