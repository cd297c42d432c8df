//! The private tests: a JSON list, or the base64 text of a zlib stream of a pickled string that holds one.

use std::error::Error;
use std::io::{self, Read};

use base64::DecodeError;
use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use flate2::read::ZlibDecoder;
use hilora_dataset_formats::skip::Skip;

use crate::pickle::{self, PickleError};

/// The most bytes that a row's tests may inflate to.
const INFLATED_BYTES_MAX: u64 = 128 << 20;

/// Hands the JSON list to `read`.
pub(crate) fn with_list<T>(document: &str, read: impl FnOnce(&str) -> Result<T, Skip>) -> Result<T, Skip> {
    let document = document.trim();
    // No base64 text begins with a bracket.
    if document.starts_with(['[', '{']) {
        return read(document);
    }
    let pickled = inflate(document)?;
    let list = pickle::read_text(&pickled).map_err(|error| {
        let reason = match error {
            PickleError::ForbiddenOpcode { .. } => "forbidden-pickle-opcode",
            _ => "malformed-pickle",
        };
        Skip::new(reason, format!("`private_test_cases`: {error}"))
    })?;
    read(list)
}

fn inflate(document: &str) -> Result<Vec<u8>, Skip> {
    let mut inflated = Vec::new();
    let decoder = ZlibDecoder::new(DecoderReader::new(document.as_bytes(), &STANDARD));
    decoder.take(INFLATED_BYTES_MAX + 1).read_to_end(&mut inflated).map_err(|error| refusal(&error))?;
    if inflated.len() as u64 > INFLATED_BYTES_MAX {
        let detail = format!("`private_test_cases` inflates to more than {INFLATED_BYTES_MAX} bytes");
        return Err(Skip::new("tests-too-large", detail));
    }
    Ok(inflated)
}

fn refusal(error: &io::Error) -> Skip {
    let inner: Option<&(dyn Error + 'static)> = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    match inner.is_some_and(|inner| inner.is::<DecodeError>()) {
        true => {
            Skip::new("malformed-base64", format!("`private_test_cases` is neither a JSON list nor base64: {error}"))
        }
        false => Skip::new("malformed-zlib", format!("`private_test_cases` is not a whole zlib stream: {error}")),
    }
}
