//! The manifest of prepared data: what made it, what is in it, and the fate of every row.
//!
//! It holds no time and no worker count, so that the same inputs give the same bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::config::DataConfig;
use super::fate::{Fate, RowFate, Side};
use super::paraphrase::ParaphraseMeasure;
use hilora_contract::artifact::ContentHash;
use hilora_contract::dataset::Domain;
use hilora_contract::plugin::PluginIdentity;

/// A file of the dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Its path as the config names it.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The hash of its content.
    pub content: ContentHash,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Its path relative to the run.
    pub file: PathBuf,
    /// Its lines.
    pub rows: usize,
    /// Its size.
    pub bytes: u64,
    /// The hash of its content.
    pub content: ContentHash,
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows read.
    pub rows: u64,
    /// Rows whose problem is in the files.
    pub accepted: usize,
    /// Rows whose problem is not.
    pub skipped: usize,
    /// Problems trained on.
    pub train_problems: usize,
    /// Problems held out.
    pub eval_problems: usize,
    /// Examples trained on.
    pub train_examples: usize,
    /// Examples held out.
    pub eval_examples: usize,
    /// Programs that were run against tests.
    pub programs_judged: u64,
}

/// A domain among the problems that were left after deduplication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainCount {
    /// How many problems it has.
    pub problems: usize,
    /// Whether the specialist takes it.
    pub taken: bool,
}

/// Problems of which several domains had the best score, so that the classifier's order decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TieCount {
    /// The domain that was chosen.
    pub chosen: Domain,
    /// Those whose score was as high.
    pub tied_with: Vec<Domain>,
    /// How many problems, among those that were left after deduplication.
    pub problems: usize,
}

/// How many problems of each kind stand on one side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideCounts {
    /// By domain.
    pub domains: BTreeMap<Domain, usize>,
    /// By the dataset's word for difficulty; "" where it has none.
    pub difficulties: BTreeMap<String, usize>,
}

/// What was found to be there twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicates {
    /// Problems left out for the same statement, and lessons for the same question with the same answer.
    pub exact_statements: usize,
    /// The same where the one resembles the other.
    pub near_statements: usize,
    /// Problems left out because a program solves another problem too.
    pub exact_solutions: usize,
    /// Solutions left out because another one of the same problem resembles them.
    pub near_solutions: usize,
    /// Groups of several rows that ask the same; each is on one side.
    #[serde(default)]
    pub question_groups: usize,
    /// Groups that were made or joined because programs resemble each other.
    pub near_program_groups: usize,
    /// Problems in groups of several.
    pub problems_in_groups: usize,
}

/// What the tests are worth: those that accepted a program which other tests, or the dataset, refuse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeakTests {
    /// Tests of problems that a program solves.
    pub tests: u64,
    /// Those that accepted a wrong program.
    pub weak: u64,
    /// Programs that the dataset calls incorrect and that all tests accepted.
    pub incorrect_accepted: u64,
    /// Each problem with weak tests: their indices and how many wrong programs each accepted.
    pub problems: BTreeMap<String, BTreeMap<usize, u64>>,
}

impl WeakTests {
    /// Adds a problem's.
    pub(super) fn count(&mut self, id: &str, tests: usize, weak: &BTreeMap<usize, u64>, incorrect_accepted: u64) {
        self.tests += tests as u64;
        self.weak += weak.len() as u64;
        self.incorrect_accepted += incorrect_accepted;
        if !weak.is_empty() {
            self.problems.insert(id.to_owned(), weak.clone());
        }
    }
}

/// What the training problems were checked against, by which rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decontamination {
    /// A shared run of so many words removes a training problem,
    pub run_words: usize,
    /// unless the run stands in more different problems than these.
    pub problems_with_a_run_max: u32,
    /// So many percent of a measured problem's own words in shared runs remove a training problem all the same.
    #[serde(default)]
    pub own_words_percent: usize,
    /// A statement that resembles one that is measured on by this index of Jaccard's removes it too.
    pub jaccard_min: f64,
    /// How paraphrases are told, and how well.
    #[serde(default)]
    pub paraphrases: Option<ParaphraseMeasure>,
    /// The sets, the run's own held-out problems last.
    pub sets: Vec<DecontaminatedSet>,
}

/// One set that the model is measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecontaminatedSet {
    /// Its name.
    pub name: String,
    /// Its files; the run's own set is the file of held-out problems.
    pub files: Vec<InputFile>,
    /// Problems in it.
    pub problems: usize,
    /// Training problems that were left out for it.
    pub removed: usize,
    /// Those of them that say it in other words.
    #[serde(default)]
    pub paraphrased: usize,
    /// Training problems that share a run of 10 words with it and stay.
    pub kept_with_10_words: usize,
    /// Training problems that share a run of 8 words with it and stay.
    pub kept_with_8_words: usize,
}

impl DecontaminatedSet {
    pub(super) fn named(name: &str) -> Self {
        let (files, problems, removed) = (Vec::new(), 0, 0);
        let name = name.to_owned();
        Self { name, files, problems, removed, paraphrased: 0, kept_with_10_words: 0, kept_with_8_words: 0 }
    }
}

/// Rows skipped for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedReason {
    /// How many.
    pub count: usize,
    /// Which: identifiers, or `row <n>` where none could be read.
    pub ids: Vec<String>,
}

/// `manifest.json` of a run's data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrepareManifest {
    /// The version of the code that prepared it.
    pub code_version: String,
    /// The specialist.
    pub specialist: String,
    /// The seed of the split.
    pub seed: u64,
    /// The config's data section with its defaults filled in.
    pub config: DataConfig,
    /// The hash of that section.
    pub config_hash: ContentHash,
    /// The dataset's files.
    pub inputs: Vec<InputFile>,
    /// The loader, the classifier and the runner.
    pub plugins: Vec<PluginIdentity>,
    /// Each source, where there are several or files to be measured on, in reading order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceCounts>,
    /// How many of each there are.
    pub counts: Counts,
    /// Every domain that a verified problem had.
    pub domains: BTreeMap<Domain, DomainCount>,
    /// Choices between domains with the same score.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ties: Vec<TieCount>,
    /// Each side's problems by domain and difficulty.
    pub sides: BTreeMap<Side, SideCounts>,
    /// What was found to be there twice.
    pub duplicates: Duplicates,
    /// What the training problems were checked against.
    pub decontamination: Decontamination,
    /// What the tests are worth; without content where nothing was run.
    pub weak_tests: WeakTests,
    /// Skipped rows by reason.
    pub skipped: BTreeMap<String, SkippedReason>,
    /// The files written.
    pub outputs: Vec<OutputFile>,
    /// Every row's fate, in row order.
    pub fates: Vec<RowFate>,
}

impl PrepareManifest {
    /// Whether the training problems were checked against a set with this content.
    pub fn is_clean_of(&self, content: ContentHash) -> bool {
        self.decontamination.sets.iter().any(|set| set.files.iter().any(|file| file.content == content))
    }
}

/// One of several sources: what was read of it, and what its weight made of its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceCounts {
    /// Its name.
    pub name: String,
    /// Rows read.
    pub rows: u64,
    /// How often each of its training rows is to be trained on; nothing of what is measured on.
    pub weight: Option<f64>,
    /// Rows of it that are trained on, each counted once.
    pub train_rows: usize,
    /// Rows that are left out because the weight is below 1.
    pub left_out: usize,
    /// Repetitions of rows because the weight is above 1.
    pub repeated: usize,
    /// Examples that its training rows are in the file.
    pub train_examples: usize,
    /// Rows of it that are held out.
    pub eval_rows: usize,
}

/// Groups skipped rows by reason.
pub(super) fn skipped_by_reason(fates: &[RowFate]) -> BTreeMap<String, SkippedReason> {
    let mut reasons: BTreeMap<String, SkippedReason> = BTreeMap::new();
    for row in fates {
        if let Fate::Skipped { reason, .. } = &row.fate {
            let entry = reasons.entry(reason.clone()).or_default();
            entry.count += 1;
            entry.ids.push(row.id.clone().unwrap_or_else(|| format!("row {}", row.row)));
        }
    }
    reasons
}

/// Counts rows, problems and examples.
pub(super) fn counts(fates: &[RowFate], programs_judged: u64) -> Counts {
    let mut counts = Counts { rows: fates.len() as u64, programs_judged, ..Counts::default() };
    for row in fates {
        match &row.fate {
            Fate::Skipped { .. } => counts.skipped += 1,
            Fate::Accepted { side, solutions, copies, .. } => {
                counts.accepted += 1;
                let (problems, examples) = match side {
                    Side::Train => (&mut counts.train_problems, &mut counts.train_examples),
                    Side::Eval => (&mut counts.eval_problems, &mut counts.eval_examples),
                };
                *problems += 1;
                *examples += solutions * copies;
            }
        }
    }
    counts
}
