//! Why a model of the hub is not there.

use std::io;
use std::path::PathBuf;

/// An error of the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The hub knows no such model, or does not say so to this caller.
    #[error("{endpoint} has no model `{id}`")]
    NotFound {
        /// The model.
        id: String,
        /// The hub.
        endpoint: String,
    },
    /// The hub refuses this caller.
    #[error("{endpoint} refuses `{id}` (HTTP {status}), asked {how}")]
    Refused {
        /// The model.
        id: String,
        /// The hub.
        endpoint: String,
        /// 401 or 403.
        status: u16,
        /// With or without a token.
        how: &'static str,
    },
    /// Nothing may be downloaded, and the cache lacks a file.
    #[error("`{id}` is not whole in {cache}: {file} is missing, and nothing may be downloaded")]
    NotCached {
        /// The model.
        id: String,
        /// The cache.
        cache: PathBuf,
        /// The first file that is missing.
        file: String,
    },
    /// The model has no weights in the format that is read.
    #[error("`{id}` has neither model.safetensors nor model.safetensors.index.json")]
    NoWeights {
        /// The model.
        id: String,
    },
    /// The connection failed, at once or on the way.
    #[error("cannot fetch {file} of `{id}` from {endpoint}: {message}")]
    Connection {
        /// The model.
        id: String,
        /// The hub.
        endpoint: String,
        /// The file, or the model's listing.
        file: String,
        /// What the client said.
        message: String,
    },
    /// What came is not what the hub announced.
    #[error("{file} of `{id}`: expected {expected}, got {got}")]
    Damaged {
        /// The model.
        id: String,
        /// The file.
        file: String,
        /// The announced size or hash.
        expected: String,
        /// That of the file.
        got: String,
    },
    /// A file of the cache cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl HubError {
    /// What would mend it, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { .. } => "is the name right? A folder must exist where the model is not the hub's".into(),
            Self::Refused { .. } => {
                "set HF_TOKEN to a token that may read it; a gated model must first be asked for on its page".into()
            }
            Self::NotCached { id, .. } => format!(
                "without HF_HUB_OFFLINE and in no dry run it is downloaded; `hilora-host model inspect {id}` does it now"
            ),
            Self::NoWeights { .. } => "only safetensors are read; is there a converted copy of it?".into(),
            Self::Connection { .. } => {
                "the next call goes on where this one stopped; HF_ENDPOINT names another hub, HF_HUB_OFFLINE=1 asks none"
                    .into()
            }
            Self::Damaged { .. } => "it was removed; the next call fetches it again".into(),
            Self::File { .. } => return None,
        })
    }
}
