//! What can stop a run. Every part's own error is kept as it is, with whose fault it is.

use std::io;
use std::path::{Path, PathBuf};

use hilora_contract::artifact::{FileError, JsonLinesError, OutputError};
use hilora_contract::fault::{BadInput, Blame, Fault};
use hilora_contract::plugin::PluginError;
use hilora_enrich::EnrichError;
use hilora_evaluator::EvaluatorError;
use hilora_hub::HubError;
use hilora_model::ModelError;
use hilora_prepare::PrepareError;
use hilora_registry::RegistryError;
use hilora_trainer::TrainingError;

use super::config::ConfigError;
use super::metrics::MetricsError;

/// An error of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something that the run was given.
    #[error(transparent)]
    Input(#[from] BadInput),
    /// A plugin.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// Preparing the data.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// Asking for traces.
    #[error(transparent)]
    Enrich(#[from] EnrichError),
    /// The model, the adapter or the tokenizer.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A base model of the hub.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// Training.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// Measuring.
    #[error(transparent)]
    Evaluator(#[from] EvaluatorError),
    /// The files of measurements.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A file of the run.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of rows.
    #[error(transparent)]
    Rows(#[from] JsonLinesError),
    /// A result cannot be written where it was asked for.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A file cannot be read.
    #[error("cannot read {path}: {error}", path = path.display())]
    Reading {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        error: io::Error,
        /// What would make it.
        hint: Option<String>,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {error}", path = path.display())]
    Writing {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's words.
        error: io::Error,
    },
    /// Answers of which nothing is known, because the machine kept them from being judged: a rate that counts them as wrong
    /// is not the model's.
    #[error("{answers} answers could not be judged")]
    NotJudged {
        /// How many.
        answers: u64,
        /// What asks for them again.
        hint: &'static str,
    },
    /// This program itself cannot be found or read.
    #[error("cannot read this program: {0}")]
    Program(io::Error),
    /// A record cannot be written as text: a defect of this crate.
    #[error("cannot write the record of {what}: {message}")]
    Record {
        /// Which record.
        what: &'static str,
        /// The serializer's words.
        message: String,
    },
}

impl RunError {
    /// A file that cannot be read, and what makes it.
    pub(crate) fn reading_what_is_made(path: &Path, error: io::Error, hint: &str) -> Self {
        Self::Reading { path: path.to_owned(), error, hint: Some(hint.to_owned()) }
    }

    /// A file that cannot be written.
    pub(crate) fn writing(path: &Path, error: io::Error) -> Self {
        Self::Writing { path: path.to_owned(), error }
    }

    /// A record that cannot be written as text.
    pub(crate) fn record(what: &'static str, error: impl ToString) -> Self {
        Self::Record { what, message: error.to_string() }
    }
}

impl Fault for RunError {
    fn blame(&self) -> Blame {
        match self {
            Self::Config(error) => error.blame(),
            Self::Input(error) => error.blame(),
            Self::Plugin(error) => error.blame(),
            Self::Prepare(error) => error.blame(),
            Self::Enrich(error) => error.blame(),
            Self::Model(error) => error.blame(),
            Self::Hub(error) => error.blame(),
            Self::Training(error) => error.blame(),
            Self::Evaluator(error) => error.blame(),
            Self::Metrics(error) => error.blame(),
            Self::Registry(error) => error.blame(),
            Self::File(error) => error.blame(),
            Self::Rows(error) => error.blame(),
            Self::Output(error) => error.blame(),
            Self::Reading { error, .. } => Blame::of_reading(error),
            Self::Writing { error, .. } => Blame::of_writing(error),
            Self::NotJudged { .. } | Self::Program(_) => Blame::Machine,
            Self::Record { .. } => Blame::Ours,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Config(error) => error.hints(),
            Self::Input(error) => error.hints(),
            Self::Plugin(error) => error.hints(),
            Self::Prepare(error) => error.hints(),
            Self::Enrich(error) => error.hints(),
            Self::Model(error) => error.hints(),
            Self::Hub(error) => error.hints(),
            Self::Training(error) => error.hints(),
            Self::Evaluator(error) => error.hints(),
            Self::Metrics(error) => error.hints(),
            Self::Registry(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Rows(error) => error.hints(),
            Self::Output(error) => error.hints(),
            Self::Reading { hint, .. } => hint.iter().cloned().collect(),
            Self::NotJudged { hint, .. } => vec![(*hint).to_owned()],
            Self::Writing { .. } | Self::Program(_) | Self::Record { .. } => Vec::new(),
        }
    }
}
