//! Inputs: what is prepared, with which plugins, and where the files go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::config::DataConfig;
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
    /// The config's files with their hashes, in their order, as [`input_files`] gives them.
    pub files: &'a [InputFile],
    /// Reads the files.
    pub loader: &'a dyn DatasetLoader,
    /// The config's evaluation sets, in their order.
    pub sets: &'a [SetInputs],
    /// Names each problem's domain.
    pub classifier: &'a dyn DomainClassifier,
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

/// What an evaluation set is read from, and with which loader.
pub struct SetInputs {
    /// Its files with their hashes, as [`input_files`] gives them.
    pub files: Vec<InputFile>,
    /// Reads them.
    pub loader: Box<dyn DatasetLoader>,
}

/// The files with their sizes and hashes.
pub fn input_files(paths: &[PathBuf]) -> Result<Vec<InputFile>, PrepareError> {
    paths.par_iter().map(|path| input_file(path)).collect()
}

fn input_file(path: &Path) -> Result<InputFile, PrepareError> {
    let read = || -> io::Result<InputFile> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a file, found a folder"));
        }
        Ok(InputFile { file: path.to_owned(), bytes: metadata.len(), content: ContentHash::of_file(path)? })
    };
    read().map_err(|error| PrepareError::SourceFile { path: path.to_owned(), error })
}
