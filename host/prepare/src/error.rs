//! Why a specialist's data cannot be prepared. A single bad row is a fate, not an error.

use std::io;
use std::path::PathBuf;

use hilora_contract::artifact::{FileError, JsonLinesError};
use hilora_contract::fault::{Blame, Fault};
use hilora_contract::plugin::{PluginError, PluginIdentity};
use hilora_judge::JudgeError;

/// Why preparing stopped. Nothing has been written.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The config's values are wrong.
    #[error("the config's data section is not valid: {}", .0.join("; "))]
    Config(Vec<String>),
    /// The loader reads another format.
    #[error("{loader} reads the source `{served}`, but data.source is `{wanted}`")]
    SourceMismatch {
        /// The loader.
        loader: PluginIdentity,
        /// What it serves.
        served: String,
        /// What the config names.
        wanted: String,
    },
    /// A file of the dataset cannot be read.
    #[error("cannot read the dataset's file {}: {error}", path.display())]
    SourceFile {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        error: io::Error,
    },
    /// A plugin failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// Judging failed.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// The machine or a checker kept too many rows from being judged.
    #[error("{rows} of {of} rows could not be judged; the first, `{}`: {}", first.id, first.detail)]
    NotJudged {
        /// Rows of which nothing is known.
        rows: u64,
        /// Rows read.
        of: u64,
        /// The first of them.
        first: NotJudged,
    },
    /// Too few examples are left.
    #[error(
        "the specialist `{specialist}` has {found} training examples, expected at least {expected} (of {rows} rows, \
         skipped: {skipped}){}",
        listed(first)
    )]
    TooFewExamples {
        /// The specialist.
        specialist: String,
        /// Training examples left.
        found: usize,
        /// `data.min_examples`.
        expected: usize,
        /// Rows read.
        rows: u64,
        /// Reasons with their counts, most frequent first.
        skipped: String,
        /// The first rows that were skipped, each with its reason and what was found.
        first: Vec<String>,
        /// Whether no row was left to train on or to hold out.
        all_skipped: bool,
    },
    /// A row has no fate, or two: a defect of this module.
    #[error("{rows} rows were read, but {fates} have a fate")]
    Fates {
        /// Rows read.
        rows: u64,
        /// Rows with a fate.
        fates: usize,
    },
    /// What an earlier phase kept cannot be read back.
    #[error(transparent)]
    PhaseFile(#[from] JsonLinesError),
    /// A loader of an evaluation set yields what has no statement.
    #[error("the evaluation set `{set}` has no problem to compare with ({rows} rows: {skipped}){}", listed(first))]
    EmptyEvaluationSet {
        /// The set's name.
        set: String,
        /// Rows read.
        rows: u64,
        /// Reasons with their counts.
        skipped: String,
        /// The first rows that were skipped, each with its reason and what was found.
        first: Vec<String>,
    },
    /// The evaluation files have nothing to measure on.
    #[error("data.evaluation_files have no row to measure on ({rows} rows: {skipped}){}", listed(first))]
    NothingToMeasure {
        /// Rows read.
        rows: u64,
        /// Reasons with their counts.
        skipped: String,
        /// The first rows that were skipped, each with its reason and what was found.
        first: Vec<String>,
    },
    /// The rows are more than the config allows.
    #[error("{files}: expected at most {limit} {what} (data.{key}), got {got}")]
    TooLarge {
        /// The files, as the config names them.
        files: String,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// What was read until then, or what the file says of itself.
        got: u64,
        /// The config's key.
        key: &'static str,
    },
    /// An artefact cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
}

/// How many skipped rows an error shows.
pub(super) const SHOWN_MAX: usize = 3;

/// Rows below a message.
fn listed(rows: &[String]) -> String {
    rows.iter().map(|row| format!("\n  - {row}")).collect()
}

/// A row of which nothing is known.
#[derive(Debug)]
pub struct NotJudged {
    /// The row's identifier.
    pub id: String,
    /// Who failed.
    pub failed: Blame,
    /// How.
    pub detail: String,
}

impl Fault for PrepareError {
    fn blame(&self) -> Blame {
        match self {
            Self::Config(_)
            | Self::SourceMismatch { .. }
            | Self::TooFewExamples { .. }
            | Self::EmptyEvaluationSet { .. }
            | Self::NothingToMeasure { .. }
            | Self::TooLarge { .. } => Blame::User,
            Self::SourceFile { error, .. } => Blame::of_reading(error),
            Self::PhaseFile(error) => error.blame(),
            Self::Plugin(error) => error.blame(),
            Self::Judge(error) => error.blame(),
            Self::Write(error) => error.blame(),
            Self::NotJudged { first, .. } => first.failed,
            Self::Fates { .. } => Blame::Ours,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Plugin(error) => return error.hints(),
            Self::Judge(error) => return error.hints(),
            Self::Write(error) => return error.hints(),
            Self::SourceMismatch { served, .. } => format!(
                "set `data.source: {served}` with files of that format, or give a loader that reads the config's source"
            ),
            Self::SourceFile { error, .. } if Blame::of_reading(error) == Blame::User => {
                "check the files in the config; their paths are relative to the current folder".to_owned()
            }
            Self::EmptyEvaluationSet { .. } => {
                "a check against nothing would say that everything is clean: correct its files and options, or leave \
                 it out of `data.decontaminate`"
                    .to_owned()
            }
            Self::NothingToMeasure { .. } => {
                "mend the rows, or say by `data.evaluation_source` and `data.evaluation_options` how they are read"
                    .to_owned()
            }
            Self::TooLarge { key, .. } => format!("raise `data.{key}` if the files are meant to be so large"),
            Self::PhaseFile(error) if error.blame() == Blame::User => {
                "delete the run's `stages` folder; it is made anew".to_owned()
            }
            Self::NotJudged { first, .. } if first.failed == Blame::Machine => {
                "all others are judged and kept: the next call asks for these alone; fewer `--workers` need less memory"
                    .to_owned()
            }
            Self::NotJudged { .. } => {
                "mend the checker, or leave out the problems that name it; all other rows are judged and kept"
                    .to_owned()
            }
            Self::TooFewExamples { all_skipped: true, first, .. } if !first.is_empty() => {
                "mend the rows, or name the fields that they have under `data.options`".to_owned()
            }
            Self::TooFewExamples { .. } => {
                "add files to `data.files`, add domains to `data.domains` or lower `data.min_examples`".to_owned()
            }
            Self::Config(_) | Self::SourceFile { .. } | Self::PhaseFile(_) | Self::Fates { .. } => {
                return Vec::new();
            }
        };
        vec![hint]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_skipped_rows_stand_below_the_message() {
        let too_few = |first: &[&str], all_skipped| PrepareError::TooFewExamples {
            specialist: "python".to_owned(),
            found: 0,
            expected: 1,
            rows: 2,
            skipped: "2 missing-field".to_owned(),
            first: first.iter().map(|row| (*row).to_owned()).collect(),
            all_skipped,
        };
        let error = too_few(&["missing-field: a.jsonl line 1: `prompt`: expected a string, got nothing (`a-1`)"], true);
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].ends_with("(of 2 rows, skipped: 2 missing-field)") && lines[1].starts_with("  - missing-field")
        );
        assert!(error.hints()[0].contains("data.options"), "{:?}", error.hints());
        assert!(too_few(&[], false).hints()[0].contains("data.files"));
    }
}
