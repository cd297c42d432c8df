//! The hub: a model or a data set by its Hugging Face id, in the cache that Hugging Face's own tools share.
//!
//! Their environment variables mean here what they mean to them (`settings`). A download that stopped goes on where it
//! was. What came is held against the size and the hash that the hub announced: a model counts as there only when all of
//! it is, a data set's file when it is whole.
//!
//! Nothing that a server or the cache says is believed: what becomes a path or a URL is held to its form (`names`), a
//! server's answers are bounded in size and in time and get the token only where it belongs (`client`), and the cache is
//! entered without following links (`cache`).
//!
//! Only this crate names ureq. It knows files and ids, not what a model is and not what a file of rows holds.

mod settings;

mod names;

mod listing;

mod cache;

mod client;

mod retry;

mod download;

mod checksum;

mod address;

mod splits;

mod data_set;

mod error;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use address::{DataSetAddress, DataSetFile};
pub use error::HubError;
pub use names::{RepositoryId, RepositoryKind};

use cache::{CachedRepository, Snapshot};
use client::{Client, RequestError};
use download::{CARRIED_BYTES_MAX, Download, WEIGHTS_BYTES_MAX, failed};
use listing::{INDEX, INDEX_BYTES_MAX, LISTING_BYTES_MAX, Listing, SINGLE, shards};
use names::Revision;
use retry::again;
use settings::Environment;

const CONFIG: &str = "config.json";
/// How messages call what is asked for first.
const THE_LISTING: &str = "the listing";

/// Where models and data sets come from, and where they are kept.
pub struct Hub {
    environment: Environment,
    is_offline: bool,
}

/// Which of a model's files are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFiles {
    /// Everything that it is computed with.
    All,
    /// What describes it: configuration, tokenizer and chat template.
    WithoutWeights,
}

/// Told of a file's name, the bytes that are there, and all its bytes.
pub type OnBytes<'a> = dyn Fn(&str, u64, u64) + 'a;

impl Hub {
    /// The hub that the environment names.
    pub fn from_env() -> Self {
        Self { environment: Environment::of_process(), is_offline: false }
    }

    /// The same, asking nobody.
    pub fn offline(self) -> Self {
        Self { is_offline: true, ..self }
    }

    /// Whether only the cache is looked at.
    fn asks_nobody(&self) -> bool {
        self.is_offline || self.environment.is_offline()
    }

    /// The folder of a model; what the cache lacks of those files is downloaded.
    pub fn folder(&self, id: &RepositoryId, files: ModelFiles, on_bytes: &OnBytes<'_>) -> Result<PathBuf, HubError> {
        let cache = self.environment.cache()?;
        match self.asks_nobody() {
            true => cached(&cache, id, files),
            false => fetched(&cache, &Client::new(&self.environment.settings()?), id, files, on_bytes),
        }
    }
}

/// The folder in the cache, which must hold all those files.
fn cached(cache: &Path, id: &RepositoryId, files: ModelFiles) -> Result<PathBuf, HubError> {
    let missing = |file: &str| HubError::not_cached(id, cache, file);
    let model = CachedRepository::find(cache, id)?.ok_or_else(|| missing(CONFIG))?;
    let commit = model.commit_of(&Revision::main())?.ok_or_else(|| missing(CONFIG))?;
    let snapshot = model.snapshot(&commit)?.ok_or_else(|| missing(CONFIG))?;
    let mut wanted = BTreeSet::from([CONFIG.to_owned()]);
    if files == ModelFiles::All {
        match snapshot.read(INDEX, INDEX_BYTES_MAX)? {
            Some(index) => wanted.extend(shards(&index).map_err(|found| wrong_index(&snapshot, found))?),
            None => wanted.extend([SINGLE.to_owned()]),
        }
    }
    for file in &wanted {
        if !snapshot.has(file)? {
            return Err(missing(file));
        }
    }
    snapshot.check()?;
    Ok(snapshot.path().to_owned())
}

/// What stands in the cache as the index of weights is none.
fn wrong_index(snapshot: &Snapshot<'_>, found: String) -> HubError {
    HubError::Cache { path: snapshot.path().join(INDEX), expected: "an index of weights", found }
}

/// The folder in the cache, which gets what it lacks of those files.
fn fetched(
    cache: &Path,
    client: &Client,
    id: &RepositoryId,
    files: ModelFiles,
    on_bytes: &OnBytes<'_>,
) -> Result<PathBuf, HubError> {
    let json = listing_json(client, id, &Revision::main())?;
    let listing = Listing::parse_model(&json)
        .map_err(|message| failed(client, id, THE_LISTING, RequestError::Answer(message)))?;
    if files == ModelFiles::All && !listing.has(INDEX) && !listing.has(SINGLE) {
        return Err(HubError::NoWeights { id: id.as_str().to_owned() });
    }
    let model = CachedRepository::find_or_begin(cache, id)?;
    // All files come from one commit, whatever happens to the branch meanwhile.
    let snapshot = model.snapshot_or_new(&listing.commit)?;
    let download = Download { client, id, commit: &listing.commit, repository: &model, snapshot: &snapshot, on_bytes };
    let mut weights = BTreeSet::new();
    if files == ModelFiles::All && listing.has(INDEX) {
        let came = download.fetch([(INDEX, INDEX_BYTES_MAX)])?;
        let index = snapshot.read(INDEX, INDEX_BYTES_MAX)?;
        let index = index.ok_or_else(|| wrong_index(&snapshot, "nothing any more".to_owned()))?;
        // What was in the cache already is not what the hub says now.
        let wrong = |found| match came {
            0 => wrong_index(&snapshot, found),
            _ => failed(client, id, INDEX, RequestError::Answer(found)),
        };
        weights = shards(&index).map_err(wrong)?;
        if let Some(name) = weights.iter().find(|name| !listing.has(name)) {
            return Err(wrong(format!("weight_map: expected the names of files of the model, got `{name}`")));
        }
    } else if files == ModelFiles::All {
        weights.insert(SINGLE.to_owned());
    }
    let carried = listing.carried().map(|name| (name, CARRIED_BYTES_MAX));
    download.fetch(carried.chain(weights.iter().map(|name| (name.as_str(), WEIGHTS_BYTES_MAX))))?;
    snapshot.check()?;
    if files == ModelFiles::All {
        // Only now may anybody who is offline find it.
        model.set_commit_of(&Revision::main(), &listing.commit)?;
    }
    Ok(snapshot.path().to_owned())
}

/// What the hub says now that a revision consists of.
fn listing_json(client: &Client, id: &RepositoryId, revision: &Revision) -> Result<Vec<u8>, HubError> {
    let parts = ["api", id.kind().plural()].into_iter().chain(id.as_str().split('/'));
    let url = client.url(parts.chain(["revision", revision.as_str()]));
    again(THE_LISTING, || client.small(url.clone(), LISTING_BYTES_MAX)).map_err(|error| match error {
        RequestError::Status { status: 404, by_hub: true } => HubError::NotFound {
            kind: id.kind(),
            id: id.as_str().to_owned(),
            revision: Some(revision.as_str().to_owned()).filter(|_| *revision != Revision::main()),
            endpoint: client.endpoint(),
        },
        error => failed(client, id, THE_LISTING, error),
    })
}
