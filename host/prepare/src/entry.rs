//! Entries: what is kept of each row while rows are compared. In memory that is less than a kilobyte, however long the
//! row is; the words that are compared are in a file.

use rayon::prelude::*;

use super::classify::ChosenDomain;
use super::contamination::Contamination;
use super::error::PrepareError;
use super::fate::{Side, Skip};
use super::fingerprint::{Bands, Words};
use super::material::Material;
use super::normal_form::{normalized_code, normalized_statement};
use super::phase_file::PhaseFolder;
use super::words_file::{Stretch, WordsFile};
use hilora_contract::artifact::ContentHash;

/// With fewer shingles, a program says little of its task and is not compared.
const PROGRAM_SHINGLES_MIN: usize = 50;

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
    pub(super) text: Fingerprint,
    /// Its first program, where it is long enough to be compared.
    pub(super) program: Option<Fingerprint>,
    /// What becomes of it.
    pub(super) decision: Decision,
}

/// How a text is found and compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fingerprint {
    /// Under which keys it is looked for.
    pub(super) bands: Bands,
    /// Where its words are.
    pub(super) words: Stretch,
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
    Contaminated(Contamination),
}

/// The entries of all rows, with their words.
pub(super) struct Entries {
    pub(super) rows: Vec<Entry>,
    pub(super) words: WordsFile,
}

impl Entries {
    /// None yet.
    pub(super) fn create(folder: &PhaseFolder) -> Result<Self, PrepareError> {
        Ok(Self { rows: Vec::new(), words: WordsFile::create(folder.path())? })
    }

    /// Adds an entry for each row, with its domain.
    pub(super) fn enter(&mut self, rows: &[Material], domains: Vec<ChosenDomain>) -> Result<(), PrepareError> {
        let prepared: Vec<Prepared> = rows.par_iter().map(Prepared::new).collect();
        for ((material, domain), prepared) in rows.iter().zip(domains).zip(prepared) {
            let Prepared { statement, programs, text, program } = prepared;
            let entry = Entry {
                row: material.row,
                id: material.text.id.clone(),
                difficulty: material.text.difficulty.clone(),
                domain,
                lessons: material.lessons(),
                tests: material.tests(),
                statement,
                programs,
                text: self.keep(&text),
                program: program.map(|program| self.keep(&program)),
                decision: Decision::Kept { group: self.rows.len() },
            };
            self.rows.push(entry);
        }
        self.words.flush()
    }

    fn keep(&mut self, (bands, words): &(Bands, Words)) -> Fingerprint {
        Fingerprint { bands: *bands, words: self.words.add(words) }
    }
}

/// What is computed of a row before it is entered.
struct Prepared {
    statement: ContentHash,
    programs: Vec<ContentHash>,
    text: (Bands, Words),
    program: Option<(Bands, Words)>,
}

impl Prepared {
    fn new(material: &Material) -> Self {
        let compared = material.compared();
        let text = Words::of_text(&compared);
        let program = material.solutions().first().map(|code| Words::of_code(code));
        let program = program.map(|words| (words.shingles(), words));
        let program = program.filter(|(shingles, _)| shingles.count() >= PROGRAM_SHINGLES_MIN);
        let hash_of_program = |code: &String| ContentHash::of(normalized_code(code).as_bytes());
        Self {
            statement: ContentHash::of(normalized_statement(&compared).as_bytes()),
            programs: material.solutions().iter().map(hash_of_program).collect(),
            text: (text.shingles().bands(), text),
            program: program.map(|(shingles, words)| (shingles.bands(), words)),
        }
    }
}
