//! A failure as a person sees it: the error chain, the hints, and the exit code. It knows no module's errors: each says
//! whose fault it is and what would mend it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use hilora_contract::artifact::is_closed_output;
use hilora_contract::fault::{BadInput, Blame, Fault};
use hilora_contract::terminal::visible_paragraph;

use super::signal::Signal;

/// What a subcommand gives.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Everything asked for is done: 0.
    Done,
    /// The machine or the host failed, which is not the user's doing: 1.
    InternalError,
    /// What was verified is not what was kept: 1.
    Damaged,
    /// An input or the usage is wrong: 2.
    BadInput,
    /// The gate says no: 3.
    GateRefused,
    /// A replay differs from what was judged before: 3.
    Differs,
    /// Stopped by a signal after saving: 128 and the signal's number.
    Interrupted(Signal),
}

impl ExitStatus {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::InternalError | Self::Damaged => 1,
            Self::BadInput => 2,
            Self::GateRefused | Self::Differs => 3,
            Self::Interrupted(signal) => signal.exit_code(),
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        status.code().into()
    }
}

/// What only the command line meets: its own files and streams.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// Standard input cannot be read.
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    /// A file cannot be read.
    #[error("cannot read {path}: {error}", path = path.display())]
    Reading {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        error: io::Error,
    },
    /// A worker process lost the process that it works for.
    #[error("the worker's pipe: {0}")]
    Worker(io::Error),
    /// Signals cannot be taken over.
    #[error("cannot watch for signals: {0}")]
    Signals(io::Error),
    /// A result cannot be written as JSON: a defect of this program.
    #[error("cannot write the result: {0}")]
    Json(serde_json::Error),
}

impl Fault for StreamError {
    fn blame(&self) -> Blame {
        match self {
            Self::Input(error) | Self::Reading { error, .. } => Blame::of_reading(error),
            Self::Signals(_) | Self::Worker(_) => Blame::Machine,
            Self::Json(_) => Blame::Ours,
        }
    }
}

/// An error, ready to be shown.
#[derive(Debug)]
pub struct Failure {
    blame: Blame,
    chain: Vec<String>,
    hints: Vec<String>,
    /// Whether nobody is there to be told: the reader of standard output has gone.
    is_silent: bool,
}

impl Failure {
    /// The process's exit status.
    pub fn status(&self) -> ExitStatus {
        match self.blame {
            Blame::User | Blame::Plugin => ExitStatus::BadInput,
            Blame::Machine | Blame::Ours => ExitStatus::InternalError,
        }
    }

    /// Whether nothing is to be said.
    pub fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// An input that is wrong, and what would mend it.
    pub fn bad_input(message: impl Into<String>, hint: impl Into<String>) -> Self {
        BadInput::with_hint(message, hint).into()
    }

    /// A file that the command line itself reads.
    pub fn reading(path: impl Into<PathBuf>, error: io::Error) -> Self {
        StreamError::Reading { path: path.into(), error }.into()
    }
}

impl<E: Fault + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut chain: Vec<String> = Vec::new();
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            let text = error.to_string();
            // A transparent wrapper says what its source says; a person needs to read it once.
            if chain.last().is_none_or(|last| !last.ends_with(&text)) {
                chain.push(text);
            }
            cause = error.source();
        }
        // A closed pipe ends the program quietly: `hilora-host … | head` is no mistake.
        let is_silent = is_closed_output(&error);
        Self { blame: error.blame(), chain, hints: error.hints(), is_silent }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", visible_paragraph(&self.chain.join(": ")))?;
        for hint in &self.hints {
            write!(f, "\nhint: {}", visible_paragraph(hint))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hilora_contract::artifact::{FileError, OutputError};

    use super::*;

    #[test]
    fn a_fault_decides_the_exit_code_and_a_closed_pipe_is_silent() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let full = Failure::from(FileError::writing(Path::new("out.jsonl"), full));
        assert_eq!((full.status().code(), full.is_silent()), (1, false));
        let closed = Failure::from(OutputError::Closed);
        assert_eq!((closed.status().code(), closed.is_silent()), (1, true));
        let wrong = Failure::bad_input("row 3: expected a number", "see the README");
        assert_eq!(wrong.status().code(), 2);
        assert_eq!(wrong.to_string(), "error: row 3: expected a number\nhint: see the README");
    }
}
