//! Why a row yields nothing: a word to count by and, for a person, what exactly was found.

use hilora_plugin_sdk::loader::LoadedRow;
use hilora_plugin_sdk::types::SkippedRow;

/// How many characters of a row's own text a detail shows.
const CHARACTERS_SHOWN: usize = 40;

/// The beginning of a text that stands in a row: it may be as long as the row, and details stand in every report.
pub fn shown(text: &str) -> String {
    text.chars().take(CHARACTERS_SHOWN).collect()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_up_to_its_fortieth_character() {
        assert_eq!(shown(&"ä".repeat(40)), "ä".repeat(40));
        assert_eq!(shown(&"ä".repeat(41)), "ä".repeat(40));
        assert_eq!(shown(""), "");
    }
}
