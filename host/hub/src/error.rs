//! Why a model of the hub is not there.

use std::path::PathBuf;

use hilora_contract::artifact::FileError;
use hilora_contract::fault::{Blame, Fault};
use hilora_contract::terminal::visible_line;

/// Characters of what a server or a file said that a message has at most.
const CHARACTERS_MAX: usize = 200;

/// An error of the hub. What a server or a file said is in it only as `shown` shows it.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// An environment variable has a value that means nothing.
    #[error("{name}: expected {expected}, got {got}")]
    Setting {
        /// The variable, or the file that it names.
        name: String,
        /// What it may hold.
        expected: &'static str,
        /// What it holds; of a secret only what is wrong with it.
        got: String,
    },
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
    /// The hub answers with what it must not say, or with more than it may.
    #[error("the answer of {endpoint} about {file} of `{id}`: {message}")]
    Answer {
        /// The model.
        id: String,
        /// The hub.
        endpoint: String,
        /// The file, or the model's listing.
        file: String,
        /// What was expected, and what came.
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
    /// The disk has no room for what is missing.
    #[error("`{id}` needs {needed_bytes} bytes more in {cache}, and {free_bytes} are free for it")]
    NoRoom {
        /// The model.
        id: String,
        /// The cache.
        cache: PathBuf,
        /// Bytes that are still to be downloaded.
        needed_bytes: u64,
        /// Bytes that this user may still write there, less what is left to everybody else.
        free_bytes: u64,
    },
    /// Somebody holds a blob and does not go on with it.
    #[error("another process holds {path}, and has downloaded nothing for {minutes} minutes")]
    Held {
        /// The lock.
        path: PathBuf,
        /// How long it was waited for.
        minutes: u64,
    },
    /// Something in the cache is not what Hugging Face's layout has at that place.
    #[error("{path}: expected {expected}, found {found}")]
    Cache {
        /// The file, the folder or the link.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A file of the cache cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Fault for HubError {
    fn blame(&self) -> Blame {
        match self {
            Self::NotFound { .. } | Self::Refused { .. } | Self::NotCached { .. } | Self::NoWeights { .. } => {
                Blame::User
            }
            // What the environment names: its values, its server, its folder.
            Self::Setting { .. } | Self::Answer { .. } | Self::Cache { .. } => Blame::User,
            // A wrong HF_ENDPOINT looks the same from here, but as a rule it is the network, and the same command
            // succeeds later; what was damaged on the way does, too.
            Self::Connection { .. } | Self::Damaged { .. } | Self::NoRoom { .. } | Self::Held { .. } => Blame::Machine,
            Self::File(error) => error.blame(),
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Setting { .. } => return Vec::new(),
            Self::NotFound { .. } => "is the name right? A folder must exist if the model is not the hub's".to_owned(),
            Self::Refused { .. } => {
                "set HF_TOKEN to a token that may read it, and do not set HF_HUB_DISABLE_IMPLICIT_TOKEN; a gated model must \
                 first be asked for on its page"
                    .to_owned()
            }
            Self::NotCached { id, .. } => format!(
                "without HF_HUB_OFFLINE and in no dry run it is downloaded; `hilora-host model inspect {id}` does it now"
            ),
            Self::NoWeights { .. } => "only safetensors are read; is there a converted copy of it?".to_owned(),
            Self::Connection { .. } => {
                "the next call goes on where this one stopped; HF_ENDPOINT names another hub, HF_HUB_OFFLINE=1 asks none"
                    .to_owned()
            }
            Self::Answer { .. } => "HF_ENDPOINT names the hub that is asked; is it the right one?".to_owned(),
            Self::Damaged { .. } => "it was removed; the next call fetches it again".to_owned(),
            Self::NoRoom { .. } => {
                "HF_HUB_CACHE names a cache on another disk; what is there already is not fetched again".to_owned()
            }
            Self::Held { .. } => "end that process; the next call goes on where it stopped".to_owned(),
            Self::Cache { .. } => {
                "nothing was read through it; remove it, and what is missing is downloaded anew; HF_HUB_CACHE names \
                 another cache"
                    .to_owned()
            }
            Self::File(error) => return error.hints(),
        };
        vec![hint]
    }
}

/// Words of a server or of a file as a message may have them.
pub(crate) fn shown(text: &str) -> String {
    visible_line(text, CHARACTERS_MAX)
}
