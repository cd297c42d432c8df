//! Documents packed one after another without padding: a document's positions start at 0, and attention never crosses
//! into another document, so the numbers of a packed document are those it gets alone.

use hilora_kernels::attention::Document;

/// Documents packed for one pass, and what is predicted in them.
#[derive(Debug, Clone, Default)]
pub struct PackedDocuments {
    /// The tokens of all rows.
    pub tokens: Vec<u32>,
    /// Each row's position in its document.
    pub positions: Vec<u32>,
    /// Which rows belong together.
    pub documents: Vec<Document>,
    /// Rows whose next token is a target.
    pub predicting: Vec<usize>,
    /// The targets of those rows.
    pub targets: Vec<u32>,
}

impl PackedDocuments {
    /// Appends a document; `trained[i]` says whether token i is a target.
    pub fn push(&mut self, tokens: &[u32], trained: impl Fn(usize) -> bool) {
        self.push_padded(tokens, tokens.len(), trained);
    }

    /// Appends a document of which only the first `seen` tokens are real.
    pub(crate) fn push_padded(&mut self, tokens: &[u32], seen: usize, trained: impl Fn(usize) -> bool) {
        let start = self.tokens.len();
        self.tokens.extend_from_slice(tokens);
        self.positions.extend(0..tokens.len() as u32);
        self.documents.push(Document { rows: start..start + tokens.len(), seen });
        for i in (1..tokens.len()).filter(|i| trained(*i)) {
            self.predicting.push(start + i - 1);
            self.targets.push(tokens[i]);
        }
    }
}
