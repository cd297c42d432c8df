//! Inspection: the prepared data as a person looks at it. Rows are shown as the model reads them, with the text that is
//! trained on told apart; lengths are counted in the model's own tokens.
//!
//! It is handed laid-out rows and token counts and shows them: on a terminal, as a page, or as plain values to be
//! serialized. It reads no file, calls no plugin and tokenizes nothing.

mod html;
mod lengths;
mod statistics;
mod terminal;

pub use html::{rows_page, statistics_page};
pub use lengths::{Histogram, Lengths};
pub use statistics::{GroupStatistics, InspectedRow, SideStatistics};
pub use terminal::{Colours, rows_text, statistics_text};

use serde::Serialize;

use hilora_contract::dataset::{Segment, SegmentKind};

/// A row as the model reads it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LaidOutRow {
    /// What it is called: its place in the file, or the problem's own identifier.
    pub name: String,
    /// The domain a classifier gave it.
    pub domain: String,
    /// The dataset's own word for how hard it is.
    pub difficulty: Option<String>,
    /// Its text, piece by piece.
    pub pieces: Vec<Piece>,
    /// How many tokens it has.
    pub tokens: usize,
    /// How many of them are trained on.
    pub trained_tokens: usize,
    /// How many tests judge an answer; only held-out problems have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<usize>,
}

/// A piece of a row's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether special tokens are recognised in it.
    pub control: bool,
    /// Whether its tokens are targets of the loss.
    pub trained: bool,
}

impl From<&Segment> for Piece {
    fn from(segment: &Segment) -> Self {
        let control = segment.kind == SegmentKind::Control;
        Self { text: segment.text.clone(), control, trained: segment.trained }
    }
}

impl LaidOutRow {
    /// What a heading says beside the name.
    fn note(&self) -> String {
        let difficulty = self.difficulty.as_deref().unwrap_or("no difficulty");
        let mut note = format!("{}, {difficulty}, {} tokens", self.domain, self.tokens);
        match self.tests {
            Some(tests) => note.push_str(&format!(", {tests} tests")),
            None => note.push_str(&format!(", {} trained on", self.trained_tokens)),
        }
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> LaidOutRow {
        let piece = |text: &str, control, trained| Piece { text: text.to_owned(), control, trained };
        LaidOutRow {
            name: "row 3".to_owned(),
            domain: "math".to_owned(),
            difficulty: None,
            pieces: vec![
                piece("<|im_start|>user\n", true, false),
                piece("Add <b>\u{1b}[31m & go.", false, false),
                piece("1 + 1", false, true),
                piece("<|im_end|>", true, true),
                piece("\n", true, false),
            ],
            tokens: 12,
            trained_tokens: 4,
            tests: None,
        }
    }

    #[test]
    fn trained_text_is_marked_with_and_without_colours() {
        let plain = rows_text(&[row()], Colours::Off);
        assert!(plain.starts_with("row 3: math, no difficulty, 12 tokens, 4 trained on\n"), "{plain}");
        assert!(plain.contains("go.⟪1 + 1<|im_end|>⟫\n"), "{plain}");
        let coloured = rows_text(&[row()], Colours::On);
        assert!(coloured.contains("\u{1b}[32m1 + 1\u{1b}[0m"), "{coloured:?}");
        // What a dataset wrote must not steer the terminal.
        assert!(plain.contains("␛[31m") && !plain.contains('\u{1b}') && !coloured.contains("\u{1b}[31m"), "{plain}");
    }

    #[test]
    fn the_page_escapes_what_a_dataset_wrote() {
        let page = rows_page("train", &[row()]);
        assert!(page.contains("Add &lt;b&gt;") && !page.contains("<b>") && !page.contains("<script"), "{page}");
        assert!(page.contains(r#"<span class="trained control">&lt;|im_end|&gt;</span>"#), "{page}");
    }
}
