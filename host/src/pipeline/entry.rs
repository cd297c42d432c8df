//! Entries: what is kept in memory of each row while rows are compared, a few kilobytes however long its tests are.

use rayon::prelude::*;

use super::Side;
use super::classify::ChosenDomain;
use super::deduplicate::{PROGRAM_SHINGLES_MIN, normalized_code, normalized_statement};
use super::fate::Skip;
use super::fingerprint::{Bands, Shingles, Words};
use super::material::Material;
use crate::artifact::ContentHash;

/// One row as it is compared.
pub(super) struct Entry {
    pub(super) row: u64,
    pub(super) id: String,
    pub(super) difficulty: Option<String>,
    pub(super) domain: ChosenDomain,
    pub(super) lessons: usize,
    pub(super) tests: usize,
    /// The hash of what is compared, without differences of case and white space.
    pub(super) statement: ContentHash,
    /// The hashes of its programs, normalised.
    pub(super) programs: Vec<ContentHash>,
    pub(super) words: Words,
    pub(super) shingles: Shingles,
    pub(super) bands: Bands,
    /// Its first program, where it is long enough to be compared.
    pub(super) program: Option<(Shingles, Bands)>,
    /// What becomes of it.
    pub(super) decision: Decision,
}

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is decided against it yet.
    Kept {
        /// Rows with one number resemble each other and stay on one side.
        group: usize,
    },
    /// It is on a side.
    Accepted(Side),
    /// It is left out.
    Skipped(Skip),
    /// It is left out because it shares words with a problem that the model is measured on; the text of the shared
    /// words is looked up when the row is read again.
    Contaminated(super::decontaminate::Contamination),
}

/// Adds an entry for each row, with its domain.
pub(super) fn enter(entries: &mut Vec<Entry>, rows: &[Material], domains: Vec<ChosenDomain>) {
    let first = entries.len();
    entries.par_extend(rows.par_iter().zip(domains).map(|(row, domain)| entry(row, domain)));
    for (group, entry) in entries.iter_mut().enumerate().skip(first) {
        entry.decision = Decision::Kept { group };
    }
}

fn entry(material: &Material, domain: ChosenDomain) -> Entry {
    let compared = material.compared();
    let words = Words::of_text(&compared);
    let shingles = words.shingles();
    let program = material.solutions().first().map(|code| Words::of_code(code).shingles());
    let program = program.filter(|shingles| shingles.count() >= PROGRAM_SHINGLES_MIN);
    let program = program.map(|shingles| {
        let bands = shingles.bands();
        (shingles, bands)
    });
    let hash_of_program = |code: &String| ContentHash::of(normalized_code(code).as_bytes());
    Entry {
        row: material.row,
        id: material.text.id.clone(),
        difficulty: material.text.difficulty.clone(),
        domain,
        lessons: material.lessons(),
        tests: material.tests(),
        statement: ContentHash::of(normalized_statement(&compared).as_bytes()),
        programs: material.solutions().iter().map(hash_of_program).collect(),
        bands: shingles.bands(),
        words,
        shingles,
        program,
        decision: Decision::Kept { group: 0 },
    }
}
