//! What can be wrong with a model, an adapter or a tokenizer: each error names the file and the tensor or field.

use std::path::{Path, PathBuf};

/// An error of the model layer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A JSON file does not say what it must.
    #[error("{path}: {message}")]
    Config {
        /// The file.
        path: PathBuf,
        /// The field, what was expected and what was found.
        message: String,
    },
    /// A safetensors file is truncated or not one.
    #[error("{path}: not a readable safetensors file: {message}\nhint: the file may be truncated; copy it again")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What its header or length says.
        message: String,
    },
    /// The index of a sharded checkpoint names a file that is not there.
    #[error(
        "{path}: names the shard {shard}, which is not there\nhint: the download may be incomplete; fetch the checkpoint again"
    )]
    MissingShard {
        /// The index.
        path: PathBuf,
        /// The shard.
        shard: PathBuf,
    },
    /// A tensor that the configuration asks for is not there.
    #[error("{path}: the tensor `{tensor}` is missing\nhint: does config.json belong to this checkpoint?")]
    MissingTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{path}: tensor `{tensor}`: expected shape {expected:?}, got {got:?}\nhint: {hint}")]
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
    #[error(
        "{path}: tensor `{tensor}`: expected {expected}, got {got}\nhint: was the checkpoint converted or quantized by another tool?"
    )]
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
    #[error("{path}: unexpected tensor `{tensor}`\nhint: was the adapter made for another base?")]
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
    #[error("{0}")]
    Input(String),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl ModelError {
    /// A file that cannot be read or written.
    pub fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }

    /// A configuration that no model is described by.
    pub fn config(path: &Path, message: impl Into<String>) -> Self {
        Self::Config { path: path.to_owned(), message: message.into() }
    }
}
