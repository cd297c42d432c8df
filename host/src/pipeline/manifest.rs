//! The manifest of prepared data: what made it, what is in it, and the fate of every row.
//!
//! It holds no time and no worker count, so that the same inputs give the same bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{DataConfig, Fate, RowFate, Side};
use crate::artifact::ContentHash;
use crate::dataset::Domain;
use crate::plugin::PluginIdentity;

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
    /// How many of each there are.
    pub counts: Counts,
    /// Every domain that a verified problem had.
    pub domains: BTreeMap<Domain, DomainCount>,
    /// Skipped rows by reason.
    pub skipped: BTreeMap<String, SkippedReason>,
    /// The files written.
    pub outputs: Vec<OutputFile>,
    /// Every row's fate, in row order.
    pub fates: Vec<RowFate>,
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
            Fate::Accepted { side, solutions, .. } => {
                counts.accepted += 1;
                let (problems, examples) = match side {
                    Side::Train => (&mut counts.train_problems, &mut counts.train_examples),
                    Side::Eval => (&mut counts.eval_problems, &mut counts.eval_examples),
                };
                *problems += 1;
                *examples += solutions;
            }
        }
    }
    counts
}
