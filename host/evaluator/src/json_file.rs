//! A measurement's file: one JSON value, read whole and written atomically. A file that is something else is told by what
//! it is.

use std::path::Path;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::EvaluatorError;
use hilora_contract::artifact::{FileError, WrongRow, read_strictly, write_atomic};

/// The kinds of files, as messages call them.
pub(crate) const EVALUATION: &str = "the record of an evaluation";
pub(crate) const GIVEN_COMPLETIONS: &str = "the record of given completions";
pub(crate) const DECODE_TIMES: &str = "the decode times of an evaluation";

/// A type that a file holds.
pub(crate) trait JsonFile: DeserializeOwned {
    /// What the file must be, for messages: `EVALUATION`.
    const EXPECTED: &'static str;
    /// Where such a file comes from.
    const HINT: &'static str;
}

/// Reads a file.
pub(crate) fn read_json<T: JsonFile>(path: &Path) -> Result<T, EvaluatorError> {
    let bytes = std::fs::read(path).map_err(|error| FileError::reading(path, error))?;
    json_of(path, &bytes)
}

/// Reads the bytes of a file.
pub(crate) fn json_of<T: JsonFile>(path: &Path, bytes: &[u8]) -> Result<T, EvaluatorError> {
    serde_json::from_slice(bytes).map_err(|error| EvaluatorError::NotTheFile {
        path: path.to_owned(),
        wrong: wrong_file::<T>(bytes, &error),
        hint: T::HINT,
    })
}

/// Why these bytes are not what they must be.
fn wrong_file<T: JsonFile>(bytes: &[u8], error: &serde_json::Error) -> WrongRow {
    let wrong = |got: String| WrongRow { field: String::new(), expected: T::EXPECTED.to_owned(), got };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => return wrong("an empty file".to_owned()),
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            return wrong(format!("the byte 0x{:02x} as byte {} of the file, which is no UTF-8", bytes[at], at + 1));
        }
    };
    if error.is_eof() {
        return wrong(format!("JSON that is cut off in line {}, column {}", error.line(), error.column()));
    }
    // JSON lines are JSON up to the end of the first.
    let mut first = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    if matches!(first.next(), Some(Ok(_))) && matches!(first.next(), Some(Ok(_))) {
        return wrong("several JSON values, one after the other".to_owned());
    }
    if !error.is_data() {
        let said = error.to_string();
        let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
        return wrong(format!("what is no JSON, in line {}, column {}: {said}", error.line(), error.column()));
    }
    // One of the wanted kind is told by its wrong field.
    if let Some(kind) = known_kind(text).filter(|kind| *kind != T::EXPECTED) {
        return wrong(kind.to_owned());
    }
    // `error` says neither where nor what.
    match read_strictly::<T>(text, T::EXPECTED, false) {
        Err(wrong) => wrong,
        Ok(_) => wrong(error.to_string()),
    }
}

/// What a JSON object of another kind is, by its fields.
fn known_kind(text: &str) -> Option<&'static str> {
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let has = |names: &[&str]| names.iter().all(|name| fields.contains_key(*name));
    if has(&["comparison", "breakdowns"]) {
        Some(EVALUATION)
    } else if has(&["benchmark", "completions", "evaluation"]) {
        Some(GIVEN_COMPLETIONS)
    } else if has(&["decision", "thresholds", "read"]) {
        Some("the record of a gate's decision")
    } else if has(&["base_us", "adapter_us"]) {
        Some(DECODE_TIMES)
    } else {
        None
    }
}

/// Writes a file.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), EvaluatorError> {
    Ok(write_atomic(path, &json_bytes(value))?)
}

/// The bytes of a file.
pub(crate) fn json_bytes(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain structs with text keys always serialize");
    bytes.push(b'\n');
    bytes
}
