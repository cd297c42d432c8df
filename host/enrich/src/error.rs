//! What stops an enrichment.

use std::path::PathBuf;

use hilora_contract::artifact::FileError;
use hilora_contract::fault::{Blame, Fault};

/// Why traces cannot be collected. What had been answered until then is in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line of a file is not what it must be.
    #[error("{path}, line {line}: expected {expected}, got {got}", path = path.display())]
    BadLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
        /// The parser's words.
        got: String,
    },
    /// Nothing tells the tests of a problem, so a leak could not be seen.
    #[error("{path} has no tests of the problem in row {row} of the training data", path = path.display())]
    NoTests {
        /// The file of tests.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
    },
    /// The endpoint wants a key and none is known.
    #[error("the environment variable {variable} is not set, expected the API key for {host}")]
    NoKey {
        /// `enrich.api_key_env`.
        variable: String,
        /// The endpoint's host.
        host: String,
    },
    /// The key cannot be sent.
    #[error("the environment variable {variable} holds a line break or another character that no key may have")]
    BadKey {
        /// `enrich.api_key_env`.
        variable: String,
    },
    /// The address is none that can be asked.
    #[error("enrich.base_url is no address that can be asked, expected {0}")]
    BadAddress(&'static str),
    /// The client cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
    /// The endpoint refuses a request, and would refuse it again.
    #[error("{url} refuses the request with status {status}: {message}")]
    Refused {
        /// Where the request went.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's own words.
        message: String,
    },
    /// The endpoint failed as often as a call may be made.
    #[error("{url} gave no answer in {attempts} attempts, the last time: {message}")]
    NoAnswer {
        /// Where the request went.
        url: String,
        /// How often it was asked.
        attempts: u32,
        /// The last failure.
        message: String,
    },
    /// The task of a call ended without an outcome.
    #[error("a call ended without an outcome: {0}")]
    LostCall(String),
}

impl Fault for TracesError {
    fn blame(&self) -> Blame {
        match self {
            Self::File(error) => error.blame(),
            Self::BadLine { .. }
            | Self::NoTests { .. }
            | Self::NoKey { .. }
            | Self::BadKey { .. }
            | Self::BadAddress(_)
            | Self::Refused { .. } => Blame::User,
            // The config may name a wrong server, but as a rule it is down, busy or out of reach, and the same command
            // succeeds later: a script should try again, which exit code 2 would tell it not to.
            Self::NoAnswer { .. } => Blame::Machine,
            // Sockets, threads, certificates.
            Self::Client(_) => Blame::Machine,
            Self::LostCall(_) => Blame::Ours,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::File(error) => return error.hints(),
            Self::NoKey { .. } => "a server on this machine is asked without a key if none is set",
            Self::Refused { .. } | Self::NoAnswer { .. } => {
                "every answer so far is recorded; run `hilora-host enrich` again to go on"
            }
            Self::NoTests { .. } => "`hilora-host prepare` writes data and tests together",
            Self::BadLine { .. } | Self::BadKey { .. } | Self::BadAddress(_) | Self::Client(_) | Self::LostCall(_) => {
                return Vec::new();
            }
        };
        vec![hint.to_owned()]
    }
}
