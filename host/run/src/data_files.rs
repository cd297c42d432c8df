//! Data files: the rows of a specialist, by what they are for, and where each kind stands.

use std::path::{Path, PathBuf};

use hilora_prepare::DataConfig;

use super::config::RunConfig;

/// What rows are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataFile {
    /// Rows to learn from.
    Train,
    /// Rows that are held out; validation measures their loss.
    Eval,
    /// The held-out problems with their tests.
    Tests,
    /// The tests of the problems to learn from, which traces are held against.
    TrainTests,
    /// The answers of the model that was asked for traces.
    Traces,
    /// The rows to learn from, with their traces.
    TrainEnriched,
}

impl DataFile {
    /// The end of the file's name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Eval => "eval",
            Self::Tests => "tests",
            Self::TrainTests => "train_tests",
            Self::Traces => "traces",
            Self::TrainEnriched => "train_enriched",
        }
    }
}

/// Where a run's data files stand.
#[derive(Debug, Clone)]
pub struct DataFiles {
    folder: PathBuf,
    specialist: String,
    train: Option<PathBuf>,
    eval: Option<PathBuf>,
    /// Where the held-out problems are, if the rows were prepared elsewhere and the config says it.
    tests: Option<PathBuf>,
    /// Whether the rows were prepared elsewhere: they are only read.
    are_given: bool,
}

impl DataFiles {
    /// The files of a run in this folder.
    pub fn of(config: &RunConfig, folder: &Path) -> Self {
        let DataConfig { train_file, eval_file, evaluation_files, .. } = &config.data;
        Self {
            folder: folder.to_owned(),
            specialist: config.specialist_name().to_owned(),
            train: train_file.clone(),
            eval: eval_file.clone(),
            tests: evaluation_files.first().filter(|_| config.data.is_prepared()).cloned(),
            are_given: config.data.is_prepared(),
        }
    }

    /// Whether the rows were prepared elsewhere.
    pub fn are_given(&self) -> bool {
        self.are_given
    }

    /// Where the file of this kind stands.
    pub fn path(&self, file: DataFile) -> PathBuf {
        let named = match file {
            DataFile::Train => self.train.as_ref(),
            DataFile::Eval => self.eval.as_ref(),
            DataFile::Tests => self.tests.as_ref(),
            DataFile::TrainTests | DataFile::Traces | DataFile::TrainEnriched => None,
        };
        let usual = || PathBuf::from(format!("data/{}_{}.jsonl", self.specialist, file.word()));
        let path = named.cloned().unwrap_or_else(usual);
        let is_given = self.are_given && matches!(file, DataFile::Train | DataFile::Eval | DataFile::Tests);
        if is_given { path } else { self.folder.join(path) }
    }

    /// The folders that preparing and enriching write into.
    pub fn written_folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.folder.join("data")];
        if !self.are_given {
            let named = self
                .train
                .iter()
                .chain(&self.eval)
                .filter_map(|file| self.folder.join(file).parent().map(Path::to_owned));
            folders.extend(named);
        }
        folders
    }
}
