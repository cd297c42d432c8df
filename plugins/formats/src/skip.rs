//! Why a row yields nothing: a word to count by and, for a person, what exactly was found.

use hilora_plugin_sdk::loader::LoadedRow;
use hilora_plugin_sdk::types::SkippedRow;

/// Why a row is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// A short kebab-case word ("no-tests").
    pub reason: &'static str,
    /// What was found: the field, expected and got.
    pub detail: String,
}

impl Skip {
    /// A skip with these words.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// A field's value is of another type than it must be (`wrong-type`).
    pub fn wrong_type(field: &str, expected: &str, got: &str) -> Self {
        Self::new("wrong-type", format!("`{field}`: expected {expected}, got {got}"))
    }

    /// A field that the row must have is not there, or is null (`missing-field`).
    pub fn missing_field(field: &str, expected: &str) -> Self {
        Self::new("missing-field", format!("`{field}`: expected {expected}, got nothing"))
    }

    /// The skip as the loader's answer for the row.
    pub fn into_row(self, id: Option<String>) -> LoadedRow {
        LoadedRow::Skipped(SkippedRow { id, reason: self.reason.to_owned(), detail: self.detail })
    }
}
