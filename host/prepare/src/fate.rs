//! A fate: what became of one row of the dataset. Every row has exactly one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::PrepareError;
use hilora_contract::dataset::Domain;
use hilora_contract::fault::Blame;

/// Which side of the split a problem is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// It is trained on.
    Train,
    /// It is held out.
    Eval,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// Its problem is in the specialist's files.
    Accepted {
        /// On which side.
        side: Side,
        /// Under which domain.
        domain: Domain,
        /// Domains whose score was as high.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tied_with: Vec<Domain>,
        /// Solutions that became examples.
        solutions: usize,
        /// How often each of them stands among the rows to train on, by the weight of its source.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        copies: usize,
        /// Tests that each of them passed.
        tests: usize,
    },
    /// It is in none of them.
    Skipped {
        /// A short kebab-case word that can be counted.
        reason: String,
        /// What exactly was found.
        detail: String,
    },
}

fn once() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_once(copies: &usize) -> bool {
    *copies == 1
}

/// A row and its fate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFate {
    /// Index of the row in reading order, from 0, over all files.
    pub row: u64,
    /// Its identifier where it could be read.
    pub id: Option<String>,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// The most characters of what was found. A row may be as long as a file, and details stand in every manifest.
const DETAIL_CHARACTERS_MAX: usize = 1_000;

impl Fate {
    /// Skipped, with as much of the detail as a manifest holds.
    pub(super) fn skipped(reason: String, mut detail: String) -> Self {
        if let Some((end, _)) = detail.char_indices().nth(DETAIL_CHARACTERS_MAX) {
            detail.truncate(end);
            detail.push('…');
        }
        Self::Skipped { reason, detail }
    }
}

/// A reason for skipping a problem: a word to count by, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Skip {
    pub(super) reason: &'static str,
    pub(super) detail: String,
    /// Who kept the row's programs from being judged, if nothing is known of it.
    pub(super) not_judged: Option<Blame>,
}

impl Skip {
    pub(super) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), not_judged: None }
    }

    /// Of a row of which nothing is known, because somebody kept a program of its from being judged.
    pub(super) fn not_judged(failed: Blame, how: String) -> Self {
        Self { reason: "not-judged", detail: how, not_judged: Some(failed) }
    }
}

/// Collects fates and refuses to close over a row without one.
#[derive(Default)]
pub(super) struct Fates {
    fates: BTreeMap<u64, RowFate>,
    entries: usize,
}

impl Fates {
    pub(super) fn enter(&mut self, row: u64, id: Option<String>, fate: Fate) {
        self.entries += 1;
        self.fates.insert(row, RowFate { row, id, fate });
    }

    pub(super) fn skip(&mut self, row: u64, id: &str, skip: Skip) {
        let fate = Fate::skipped(skip.reason.to_owned(), skip.detail);
        self.enter(row, Some(id.to_owned()), fate);
    }

    /// Enters what was decided before.
    pub(super) fn decided(&mut self, row: RowFate) {
        self.enter(row.row, row.id, row.fate);
    }

    /// The fates in row order, one for each of `rows` rows.
    pub(super) fn close(self, rows: u64) -> Result<Vec<RowFate>, PrepareError> {
        let whole = self.entries == self.fates.len() && self.fates.keys().copied().eq(0..rows);
        if !whole {
            return Err(PrepareError::Fates { rows, fates: self.entries });
        }
        Ok(self.fates.into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(rows: &[u64]) -> Fates {
        let mut fates = Fates::default();
        rows.iter().for_each(|&row| fates.skip(row, "p", Skip::new("no-tests", "none")));
        fates
    }

    #[test]
    fn every_row_has_exactly_one_fate() {
        assert_eq!(fates(&[2, 0, 1]).close(3).map(|fates| fates.len()).ok(), Some(3));
        for rows in [&[0, 1][..], &[0, 1, 1, 2], &[0, 1, 3], &[0, 1, 2, 3]] {
            assert!(matches!(fates(rows).close(3), Err(PrepareError::Fates { rows: 3, .. })), "{rows:?}");
        }
    }

    #[test]
    fn a_detail_is_cut_where_it_would_fill_a_manifest() {
        let detail = |found: &str| match Fate::skipped("wrong-type".to_owned(), found.to_owned()) {
            Fate::Skipped { detail, .. } => detail,
            Fate::Accepted { .. } => String::new(),
        };
        assert_eq!(detail(&"ä".repeat(1_000)), "ä".repeat(1_000));
        assert_eq!(detail(&"ä".repeat(1_001)), format!("{}…", "ä".repeat(1_000)));
    }

    #[test]
    fn a_fate_is_flat_json() -> Result<(), serde_json::Error> {
        let fates = fates(&[0]).close(1).unwrap_or_default();
        let json = serde_json::to_string(&fates[0])?;
        assert_eq!(json, r#"{"row":0,"id":"p","fate":"skipped","reason":"no-tests","detail":"none"}"#);
        assert_eq!(serde_json::from_str::<RowFate>(&json)?, fates[0]);
        Ok(())
    }
}
