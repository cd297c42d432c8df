//! Inputs: what is prepared, with which plugins, and where the files go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::config::{DataConfig, SourceConfig};
use super::error::PrepareError;
use super::manifest::InputFile;
use hilora_contract::artifact::ContentHash;
use hilora_contract::plugin::{DatasetLoader, DomainClassifier, OutputCheckers, SolutionRunner};

/// What is prepared, with which plugins, and where the files go.
pub struct PrepareInputs<'a> {
    /// The config's data section.
    pub config: &'a DataConfig,
    /// The specialist whose files are written ("python").
    pub specialist: &'a str,
    /// The seed of the split.
    pub seed: u64,
    /// The hash of the program that prepares; what another build left is not taken for its own.
    pub program: ContentHash,
    /// The config's training sources, in their order.
    pub sources: &'a [SourceInputs<'a>],
    /// What the config's `evaluation_files` are read with, if it names any.
    pub evaluation: Option<SourceInputs<'a>>,
    /// The config's evaluation sets, in their order.
    pub sets: &'a [SetInputs],
    /// Runs the programs.
    pub runner: Arc<dyn SolutionRunner>,
    /// Where the output checkers that problems name are found.
    pub checkers: Arc<dyn OutputCheckers>,
    /// Whether the tests of the training problems are written, too: traces are held against them.
    pub train_tests: bool,
    /// How many programs run at once; it changes nothing but the time.
    pub workers: usize,
    /// The run's folder; with `None` nothing is written (a dry run).
    pub run_folder: Option<&'a Path>,
}

/// What a source of rows is read from, and with which plugins.
#[derive(Clone, Copy)]
pub struct SourceInputs<'a> {
    /// Its files with their hashes, in their order, as [`input_files`] gives them.
    pub files: &'a [SourceFile],
    /// Reads the files.
    pub loader: &'a dyn DatasetLoader,
    /// Names each row's domain.
    pub classifier: &'a dyn DomainClassifier,
}

/// A file of a source: what the config calls it, and where it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name as the manifest has it, with its size and its hash.
    pub input: InputFile,
    /// Where it is.
    pub path: PathBuf,
}

/// A source as rows are read from it.
pub(super) struct OrderedSource<'a> {
    pub(super) config: SourceConfig,
    pub(super) inputs: SourceInputs<'a>,
    /// Whether its rows are what is measured on.
    pub(super) is_measured: bool,
}

impl<'a> PrepareInputs<'a> {
    /// All sources in the order in which their rows are read and numbered: what is measured on comes first, so that of
    /// two rows that ask the same it is the other one that is left out.
    pub(super) fn in_order(&self) -> Vec<OrderedSource<'a>> {
        let evaluation = self.config.evaluation_set().zip(self.evaluation);
        let evaluation = evaluation.map(|(config, inputs)| OrderedSource { config, inputs, is_measured: true });
        let training = self.config.training_sources().into_iter().zip(self.sources);
        let training = training.map(|(config, inputs)| OrderedSource { config, inputs: *inputs, is_measured: false });
        evaluation.into_iter().chain(training).collect()
    }
}

/// Where these files are.
pub(super) fn paths_of(files: &[SourceFile]) -> Vec<PathBuf> {
    files.iter().map(|file| file.path.clone()).collect()
}

/// What an evaluation set is read from, and with which loader.
pub struct SetInputs {
    /// Its files with their hashes, as [`input_files`] gives them.
    pub files: Vec<SourceFile>,
    /// Reads them.
    pub loader: Box<dyn DatasetLoader>,
}

/// The files with their sizes and hashes, under the names by which they are read.
pub fn input_files(paths: &[PathBuf]) -> Result<Vec<SourceFile>, PrepareError> {
    named_input_files(paths, paths)
}

/// The same under other names, of which there must be as many.
pub fn named_input_files(names: &[PathBuf], paths: &[PathBuf]) -> Result<Vec<SourceFile>, PrepareError> {
    assert_eq!(names.len(), paths.len(), "each file has a name");
    names.par_iter().zip(paths).map(|(name, path)| input_file(name, path)).collect()
}

fn input_file(name: &Path, path: &Path) -> Result<SourceFile, PrepareError> {
    let read = || -> io::Result<InputFile> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a file, found a folder"));
        }
        Ok(InputFile { file: name.to_owned(), bytes: metadata.len(), content: ContentHash::of_file(path)? })
    };
    read()
        .map(|input| SourceFile { input, path: path.to_owned() })
        .map_err(|error| PrepareError::SourceFile { path: path.to_owned(), error })
}
