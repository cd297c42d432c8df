//! Entries: what is kept of each row while rows are compared. In memory that is less than a kilobyte, however long the
//! row is; the words that are compared are in a file.

use rayon::prelude::*;

use super::boilerplate::Boilerplate;
use super::classify::ChosenDomain;
use super::contamination::Contamination;
use super::error::PrepareError;
use super::fate::{Side, Skip};
use super::fingerprint::{Bands, Words};
use super::material::Material;
use super::normal_form::{normalized_code, normalized_statement};
use super::phase_file::PhaseFolder;
use super::words_file::{Fingerprint, Stretch, WordsFile};
use hilora_contract::artifact::ContentHash;

/// With fewer shingles, a program says little of its task and is not compared.
pub(super) const PROGRAM_SHINGLES_MIN: usize = 50;
/// With fewer words, what a conversation begins with is a greeting.
const OPENING_WORDS_MIN: usize = 3;

/// One row as it is compared.
pub(super) struct Entry {
    pub(super) row: u64,
    /// Which of the sources it is of, in reading order.
    pub(super) source: usize,
    pub(super) id: String,
    pub(super) difficulty: Option<String>,
    pub(super) domain: ChosenDomain,
    pub(super) lessons: usize,
    pub(super) tests: usize,
    /// The hash of what is asked, without differences of case and white space.
    pub(super) statement: ContentHash,
    /// The hash of what the user of a conversation says first, if it is a question of its own.
    pub(super) opening: Option<ContentHash>,
    /// The hash of the policy that it is asked under.
    pub(super) policy: Option<ContentHash>,
    /// What is answered, where another answer makes another lesson.
    pub(super) answer: Option<Answer>,
    /// The hashes of its programs, normalised.
    pub(super) programs: Vec<ContentHash>,
    /// What is asked, as it stands.
    pub(super) text: Stretch,
    /// What is asked without the data set's boilerplate: what is compared.
    pub(super) own: Fingerprint,
    /// The stems of what is asked, one for each word.
    pub(super) stems: Stretch,
    /// The longest of its programs, where it is long enough to be compared.
    pub(super) program: Option<Fingerprint>,
    /// The words of all programs in its answers.
    pub(super) code: Vec<Stretch>,
    /// How often it is trained on, once that is decided.
    pub(super) copies: usize,
    /// What becomes of it.
    pub(super) decision: Decision,
}

/// An answer as it is compared.
pub(super) struct Answer {
    /// The hash of it, without differences of case and white space.
    pub(super) hash: ContentHash,
    pub(super) text: Fingerprint,
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
    /// How many of the rows have their domains.
    classified: usize,
}

impl Entries {
    /// None yet.
    pub(super) fn create(folder: &PhaseFolder) -> Result<Self, PrepareError> {
        Ok(Self { rows: Vec::new(), words: WordsFile::create(folder.path())?, classified: 0 })
    }

    /// Adds an entry for each row. Its domain is given afterwards.
    pub(super) fn enter(&mut self, rows: &[Material]) -> Result<(), PrepareError> {
        let prepared: Vec<Prepared> = rows.par_iter().map(Prepared::new).collect();
        for (material, prepared) in rows.iter().zip(prepared) {
            let Prepared { statement, opening, policy, answer, programs, text, stems, code, longest } = prepared;
            let code: Vec<Stretch> = code.iter().map(|words| self.words.add(words)).collect();
            let own = self.keep(&text);
            let entry = Entry {
                row: material.row,
                source: material.source,
                id: material.text.id.clone(),
                difficulty: material.text.difficulty.clone(),
                domain: ChosenDomain::pending(),
                lessons: material.lessons(),
                tests: material.tests(),
                statement,
                opening,
                policy,
                answer: answer.map(|(hash, answer)| Answer { hash, text: self.keep(&answer) }),
                programs,
                text: own.words,
                own,
                stems: self.words.add(&stems),
                program: longest.map(|(place, bands)| Fingerprint { bands, words: code[place] }),
                code,
                copies: 1,
                decision: Decision::Kept { group: self.rows.len() },
            };
            self.rows.push(entry);
        }
        self.words.flush()
    }

    /// Gives the next of all rows their domains.
    pub(super) fn give_domains(&mut self, domains: Vec<ChosenDomain>) {
        let first = self.classified;
        self.classified += domains.len();
        for (entry, domain) in self.rows[first..self.classified].iter_mut().zip(domains) {
            entry.domain = domain;
        }
    }

    /// Tells the data set's boilerplate from what each row asks, now that all rows are there.
    pub(super) fn find_boilerplate(&mut self) -> Result<Boilerplate, PrepareError> {
        let texts: Vec<Stretch> = self.rows.iter().map(|entry| entry.text).collect();
        let boilerplate = Boilerplate::of(&texts, &self.words)?;
        let own = boilerplate.fingerprints(&texts, &mut self.words)?;
        for (entry, own) in self.rows.iter_mut().zip(own) {
            entry.own = own.unwrap_or(entry.own);
        }
        Ok(boilerplate)
    }

    fn keep(&mut self, (bands, words): &(Bands, Words)) -> Fingerprint {
        Fingerprint { bands: *bands, words: self.words.add(words) }
    }
}

/// What is computed of a row before it is entered.
struct Prepared {
    statement: ContentHash,
    opening: Option<ContentHash>,
    policy: Option<ContentHash>,
    answer: Option<(ContentHash, (Bands, Words))>,
    programs: Vec<ContentHash>,
    text: (Bands, Words),
    stems: Words,
    code: Vec<Words>,
    /// Which of them is the longest, if it is long enough.
    longest: Option<(usize, Bands)>,
}

impl Prepared {
    fn new(material: &Material) -> Self {
        let hash = |text: &str| ContentHash::of(normalized_statement(text).as_bytes());
        let with_bands = |words: Words| (words.shingles().bands(), words);
        let asked = material.asked();
        let code: Vec<Words> = material.code().iter().map(|code| Words::of_code(&normalized_code(code))).collect();
        // The first of those of one length.
        let longest = code.iter().enumerate().rev().max_by_key(|(_, words)| words.hashes().len());
        let longest = longest.map(|(place, words)| (place, words.shingles()));
        let longest = longest.filter(|(_, shingles)| shingles.count() >= PROGRAM_SHINGLES_MIN);
        let hash_of_program = |code: &String| ContentHash::of(normalized_code(code).as_bytes());
        let opening = material.opening().filter(|text| Words::of_text(text).count() >= OPENING_WORDS_MIN);
        Self {
            statement: hash(&asked),
            opening: opening.map(hash),
            policy: material.policy_text().map(hash),
            answer: material.answered().map(|answer| (hash(&answer), with_bands(Words::of_text(&answer)))),
            programs: material.solutions().iter().map(hash_of_program).collect(),
            text: with_bands(Words::of_text(&asked)),
            stems: Words::stems(&asked),
            code,
            longest: longest.map(|(place, shingles)| (place, shingles.bands())),
        }
    }
}
