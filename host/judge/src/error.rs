//! What can go wrong with a batch. A program that is wrong is none of it: that is a verdict.

use std::path::PathBuf;

use super::judge::JudgeError;
use super::judgement_record::RecordError;
use super::program::ProgramError;
use hilora_contract::artifact::{FileError, JsonLinesError, OutputError};
use hilora_contract::fault::{Blame, Fault};
use hilora_contract::plugin::PluginError;

/// Why a batch was not judged.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// A file of programs or of judgements cannot be read.
    #[error(transparent)]
    Rows(#[from] JsonLinesError),
    /// A program cannot be judged as it stands.
    #[error("{path}, line {line}: {error}", path = path.display())]
    Program {
        /// The file of programs, as messages call it.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        error: ProgramError,
    },
    /// A checker cannot be opened.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The runner failed.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// Nothing is known of a reference solution because the machine failed.
    #[error("cannot measure the reference solution of `{id}`, test {test}: {detail}")]
    Reference {
        /// The program's.
        id: String,
        /// The test, from 1.
        test: usize,
        /// How the run ended.
        detail: String,
    },
    /// The machine or a checker kept too many programs from being judged.
    #[error("{programs} programs could not be judged; the first, `{id}`: {detail}")]
    NotJudged {
        /// Programs of which nothing is known.
        programs: usize,
        /// The first of them.
        id: String,
        /// How that failed.
        detail: String,
        /// Who failed.
        failed: Blame,
        /// Whether what was judged is kept.
        is_kept: bool,
    },
    /// The record cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The judgements cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The programs or earlier judgements cannot be opened.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Fault for BatchError {
    fn blame(&self) -> Blame {
        match self {
            Self::Rows(error) => error.blame(),
            Self::Program { error, .. } => error.blame(),
            Self::Plugin(error) => error.blame(),
            Self::Judge(error) => error.blame(),
            Self::Reference { .. } => Blame::Machine,
            Self::NotJudged { failed, .. } => *failed,
            Self::Record(error) => error.blame(),
            Self::Output(error) => error.blame(),
            Self::File(error) => error.blame(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Rows(error) => error.hints(),
            Self::Program { error, .. } => error.hints(),
            Self::Plugin(error) => error.hints(),
            Self::Judge(error) => error.hints(),
            Self::Reference { .. } => vec!["everything else is judged; run it again to ask for this alone".to_owned()],
            Self::NotJudged { is_kept: true, .. } => {
                vec!["all others are judged and kept; run it again to ask for these alone".to_owned()]
            }
            Self::NotJudged { is_kept: false, .. } => Vec::new(),
            Self::Record(error) => error.hints(),
            Self::Output(error) => error.hints(),
            Self::File(error) => error.hints(),
        }
    }
}
