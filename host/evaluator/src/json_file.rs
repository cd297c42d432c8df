//! A measurement's file: one JSON value, read whole and written atomically.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::EvaluatorError;
use hilora_contract::artifact::{FileError, write_atomic};

/// Reads a file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, EvaluatorError> {
    let text = std::fs::read(path).map_err(|error| FileError::reading(path, error))?;
    serde_json::from_slice(&text).map_err(|source| EvaluatorError::Syntax { path: path.to_owned(), source })
}

/// Writes a file.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), EvaluatorError> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain structs with text keys always serialize");
    bytes.push(b'\n');
    Ok(write_atomic(path, &bytes)?)
}
