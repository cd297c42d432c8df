//! What stops an enrichment.

use std::path::PathBuf;

use hilora_contract::artifact::{FileError, JsonLinesError};
use hilora_contract::fault::{Blame, Fault};
use hilora_endpoint::EndpointError;

/// Why traces cannot be collected. What had been answered until then is recorded.
#[derive(Debug, thiserror::Error)]
pub enum EnrichError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of rows is not what it must be.
    #[error(transparent)]
    Rows(#[from] JsonLinesError),
    /// Nothing tells the tests of a problem, so a leak could not be seen.
    #[error("{tests} has no tests of the problem in {train}, line {line}", tests = tests.display(), train = train.display())]
    NoTests {
        /// The file of tests.
        tests: PathBuf,
        /// The training rows.
        train: PathBuf,
        /// The line, from 1.
        line: u64,
    },
    /// The endpoint gives no answer.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl Fault for EnrichError {
    fn blame(&self) -> Blame {
        match self {
            Self::File(error) => error.blame(),
            Self::Rows(error) => error.blame(),
            Self::NoTests { .. } => Blame::User,
            Self::Endpoint(error) => error.blame(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Rows(error) => error.hints(),
            Self::NoTests { .. } => vec!["`hilora-host prepare` writes data and tests together".to_owned()],
            Self::Endpoint(error @ (EndpointError::Refused { .. } | EndpointError::NoAnswer { .. })) => {
                let recorded = "every answer so far is recorded; run `hilora-host enrich` again to go on".to_owned();
                error.hints().into_iter().chain([recorded]).collect()
            }
            Self::Endpoint(error) => error.hints(),
        }
    }
}
