//! Why a model or a data set of the hub is not there.

use std::path::{Path, PathBuf};

use hilora_contract::artifact::FileError;
use hilora_contract::fault::{Blame, Fault};
use hilora_contract::terminal::visible_line;

use super::names::{RepositoryId, RepositoryKind};

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
    /// The hub knows no such repository or revision, or does not say so to this caller.
    #[error("{endpoint} has no {kind} `{id}`{at}", at = at(revision.as_deref()))]
    NotFound {
        /// What it would hold.
        kind: RepositoryKind,
        /// The repository.
        id: String,
        /// The revision, where one was named.
        revision: Option<String>,
        /// The hub.
        endpoint: String,
    },
    /// The hub refuses this caller.
    #[error("{endpoint} refuses `{id}` (HTTP {status}), asked {how}")]
    Refused {
        /// The repository.
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
        /// What it holds.
        kind: RepositoryKind,
        /// The repository.
        id: String,
        /// The cache.
        cache: PathBuf,
        /// The first file that is missing.
        file: String,
    },
    /// The model has no weights in the format that is read.
    #[error("`{id}` has neither model.safetensors nor model.safetensors.index.json")]
    NoWeights {
        /// The repository.
        id: String,
    },
    /// The data set has nothing but a program that would load it.
    #[error(
        "the data set `{id}` has no data files, only the loading script {script}, which is a program and is not run"
    )]
    OnlyScript {
        /// The data set.
        id: String,
        /// Its program.
        script: String,
    },
    /// The data set has no such files.
    #[error("the data set `{id}`: {message}")]
    NoDataFiles {
        /// The data set.
        id: String,
        /// What was looked for, and what there is.
        message: String,
        /// What would name them.
        hint: String,
    },
    /// The connection failed, at once or on the way.
    #[error("cannot fetch {file} of `{id}` from {endpoint}: {message}")]
    Connection {
        /// The repository.
        id: String,
        /// The hub.
        endpoint: String,
        /// The file, or the listing.
        file: String,
        /// What the client said.
        message: String,
    },
    /// The hub answers with what it must not say, or with more than it may.
    #[error("the answer of {endpoint} about {file} of `{id}`: {message}")]
    Answer {
        /// The repository.
        id: String,
        /// The hub.
        endpoint: String,
        /// The file, or the listing.
        file: String,
        /// What was expected, and what came.
        message: String,
    },
    /// What came is not what the hub announced.
    #[error("{file} of `{id}`: expected {expected}, got {got}")]
    Damaged {
        /// The repository.
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
        /// The repository.
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

impl HubError {
    /// A file of a repository that is not in the cache.
    pub(crate) fn not_cached(id: &RepositoryId, cache: &Path, file: &str) -> Self {
        let (kind, id) = (id.kind(), id.as_str().to_owned());
        Self::NotCached { kind, id, cache: cache.to_owned(), file: file.to_owned() }
    }
}

impl Fault for HubError {
    fn blame(&self) -> Blame {
        match self {
            Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::NotCached { .. }
            | Self::NoWeights { .. }
            | Self::OnlyScript { .. }
            | Self::NoDataFiles { .. } => Blame::User,
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
            Self::NotFound { revision: Some(_), .. } => {
                "are the name and the revision right? Without `@` the branch `main` is taken".to_owned()
            }
            Self::NotFound { kind: RepositoryKind::DataSet, .. } => "is the name right? It is `owner/name`".to_owned(),
            Self::NotFound { .. } => "is the name right? A folder must exist if the model is not the hub's".to_owned(),
            Self::Refused { .. } => {
                "set HF_TOKEN to a token that may read it, and do not set HF_HUB_DISABLE_IMPLICIT_TOKEN; what is gated \
                 must first be asked for on its page"
                    .to_owned()
            }
            Self::NotCached { kind: RepositoryKind::DataSet, .. } => {
                "without HF_HUB_OFFLINE and in no dry run it is downloaded".to_owned()
            }
            Self::OnlyScript { id, .. } => format!(
                "the hub keeps a conversion of many such data sets: `hf://datasets/{id}@refs/convert/parquet?config=NAME`"
            ),
            Self::NoDataFiles { hint, .. } => hint.clone(),
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

/// A revision that was named, in words.
fn at(revision: Option<&str>) -> String {
    revision.map(|revision| format!(" at `{}`", shown(revision))).unwrap_or_default()
}

/// Words of a server or of a file as a message may have them.
pub(crate) fn shown(text: &str) -> String {
    visible_line(text, CHARACTERS_MAX)
}
