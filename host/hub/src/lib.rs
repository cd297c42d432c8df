//! The hub: a model by its Hugging Face id, as a folder of the cache that Hugging Face's own tools share.
//!
//! `HF_ENDPOINT` names the hub, `HF_HOME` the folder of the cache and of a stored token, `HF_TOKEN` the token, and
//! `HF_HUB_OFFLINE` forbids any request. A download that stopped goes on where it was. What came is held against the size
//! and, for weights, the SHA-256 that the hub announced: a model counts as there only when all of it is.
//!
//! Only this module names hf-hub. It knows files and ids, not what a model is.

mod error;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

pub use error::HubError;

use hilora_contract::artifact::{ContentHash, FileError};

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
/// Endings of what else is fetched: configuration, tokenizer and chat template.
const CARRIED_ENDINGS: [&str; 4] = [".json", ".jinja", ".txt", ".model"];
/// How often a broken connection is taken up again before the call fails.
const RETRIES: usize = 3;
/// Waited before the first of them; twice this before the second, and so on.
const PAUSE: Duration = Duration::from_millis(300);

/// The id of a model: `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelId(String);

impl ModelId {
    /// Reads an id; a path that is not one gives `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let part = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
        };
        let (owner, name) = text.split_once('/')?;
        (part(owner) && part(name)).then(|| Self(text.to_owned()))
    }
}

/// Where models come from, and where they are kept.
pub struct Hub {
    endpoint: String,
    cache: Cache,
    token: Option<String>,
    offline: bool,
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
        let set = |name: &str| std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|v| !v.is_empty());
        let cache = Cache::from_env();
        let yes = |value: String| ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: set("HF_TOKEN").or_else(|| cache.token()),
            cache,
            offline: set("HF_HUB_OFFLINE").is_some_and(yes),
        }
    }

    /// The same, asking nobody.
    pub fn offline(self) -> Self {
        Self { offline: true, ..self }
    }

    /// The folder of a model; what the cache lacks of those files is downloaded.
    pub fn folder(&self, id: &ModelId, files: ModelFiles, on_bytes: &OnBytes<'_>) -> Result<PathBuf, HubError> {
        if self.offline { self.cached(id, files) } else { self.fetched(id, files, on_bytes) }
    }

    /// The folder in the cache, which must hold all those files.
    fn cached(&self, id: &ModelId, files: ModelFiles) -> Result<PathBuf, HubError> {
        let missing = |file: &str| HubError::NotCached {
            id: id.0.clone(),
            cache: self.cache.path().clone(),
            file: file.to_owned(),
        };
        let config = self.cache.model(id.0.clone()).get("config.json").ok_or_else(|| missing("config.json"))?;
        let folder = config.parent().map(Path::to_owned).unwrap_or_default();
        if files == ModelFiles::WithoutWeights {
            return Ok(folder);
        }
        let weights = if folder.join(INDEX).exists() {
            shards(&folder.join(INDEX)).map_err(|_| missing(INDEX))?
        } else {
            BTreeSet::from([SINGLE.to_owned()])
        };
        match weights.iter().find(|file| !folder.join(file).exists()) {
            None => Ok(folder),
            Some(file) => Err(missing(file)),
        }
    }

    fn fetched(&self, id: &ModelId, files: ModelFiles, on_bytes: &OnBytes<'_>) -> Result<PathBuf, HubError> {
        let api = ApiBuilder::from_cache(self.cache.clone())
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_progress(false)
            .with_user_agent("hilora-host", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| self.failed(id, "the listing", error))?;
        let info = api.model(id.0.clone()).info().map_err(|error| self.failed(id, "the listing", error))?;
        // All files come from one commit, whatever happens to the branch meanwhile.
        let repo = Repo::with_revision(id.0.clone(), RepoType::Model, info.sha.clone());
        let cache = self.cache.repo(repo.clone());
        let fetch = Fetch { hub: self, id, repo: &api.repo(repo), cache: &cache, api: &api, on_bytes };
        let folder = cache.pointer_path(&info.sha);

        let names: BTreeSet<&str> = info.siblings.iter().map(|file| file.rfilename.as_str()).collect();
        let weights = if files == ModelFiles::WithoutWeights {
            BTreeSet::new()
        } else if names.contains(INDEX) {
            fetch.file(&folder, INDEX)?;
            let path = folder.join(INDEX);
            shards(&path).map_err(|error| FileError::reading(path, error))?
        } else if names.contains(SINGLE) {
            BTreeSet::from([SINGLE.to_owned()])
        } else {
            return Err(HubError::NoWeights { id: id.0.clone() });
        };
        let carried = |name: &&str| !name.contains('/') && CARRIED_ENDINGS.iter().any(|ending| name.ends_with(ending));
        for name in names.iter().copied().filter(carried).chain(weights.iter().map(String::as_str)) {
            fetch.file(&folder, name)?;
        }
        if files == ModelFiles::WithoutWeights {
            return Ok(folder);
        }
        // Only now may anybody who is offline find it.
        let main = self.cache.model(id.0.clone());
        main.create_ref(&info.sha).map_err(|error| FileError::writing(&folder, error))?;
        Ok(folder)
    }

    fn failed(&self, id: &ModelId, file: &str, error: ApiError) -> HubError {
        let (id, endpoint) = (id.0.clone(), self.endpoint.clone());
        match status(&error) {
            Some(status @ (401 | 403)) => {
                let how = if self.token.is_some() { "with a token" } else { "without a token" };
                HubError::Refused { id, endpoint, status, how }
            }
            Some(404) if file == "the listing" => HubError::NotFound { id, endpoint },
            _ => HubError::Connection { id, endpoint, file: file.to_owned(), message: error.to_string() },
        }
    }
}

/// The HTTP status that ended a request.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => Some(status),
            _ => None,
        },
        _ => None,
    }
}

/// The files that an index names, none of them in another folder.
fn shards(index: &Path) -> std::io::Result<BTreeSet<String>> {
    let wrong = || std::io::Error::new(std::io::ErrorKind::InvalidData, "weight_map: expected the names of files");
    let value: serde_json::Value = serde_json::from_str(&fs::read_to_string(index)?)?;
    let map = value.get("weight_map").and_then(|map| map.as_object()).ok_or_else(wrong)?;
    let name = |value: &serde_json::Value| value.as_str().filter(|name| !name.contains('/')).map(str::to_owned);
    map.values().map(|value| name(value).ok_or_else(wrong)).collect()
}

/// The download of one commit's files.
struct Fetch<'a> {
    hub: &'a Hub,
    id: &'a ModelId,
    repo: &'a ApiRepo,
    cache: &'a CacheRepo,
    api: &'a Api,
    on_bytes: &'a OnBytes<'a>,
}

impl Fetch<'_> {
    /// Puts a file into the folder where it is not there yet.
    fn file(&self, folder: &Path, name: &str) -> Result<(), HubError> {
        if folder.join(name).exists() {
            return Ok(());
        }
        let failed = |error| self.hub.failed(self.id, name, error);
        let announced = self.api.metadata(&self.repo.url(name)).map_err(failed)?;
        let blob = self.cache.blob_path(announced.etag());
        let partial = blob.with_extension("part");
        // All that is left to ask for would be nothing, which a server refuses.
        if fs::metadata(&partial).is_ok_and(|partial| partial.len() >= announced.size() as u64) {
            fs::remove_file(&partial).map_err(|error| FileError::writing(partial, error))?;
        }
        let path = self.download(name).map_err(failed)?;
        self.check(&path, &blob, name, announced.size() as u64, announced.etag())
    }

    /// Downloads a file from where its last download stopped, and takes a broken connection up again. hf-hub's own
    /// retries begin from the start where no byte came, and append that to what was there.
    fn download(&self, name: &str) -> Result<PathBuf, ApiError> {
        let mut attempt = 0;
        loop {
            let progress = Counted { name, done: 0, total: 0, on_bytes: self.on_bytes };
            match self.repo.download_with_progress(name, progress) {
                Err(error) if attempt < RETRIES && status(&error).is_none_or(|status| status >= 500) => {
                    tracing::warn!("{name}: {error}; trying again");
                    attempt += 1;
                    std::thread::sleep(PAUSE * attempt as u32);
                }
                result => return result,
            }
        }
    }

    /// Holds a file against what was announced, and removes it where it is something else.
    fn check(&self, path: &Path, blob: &Path, name: &str, size: u64, etag: &str) -> Result<(), HubError> {
        let unreadable = |error| FileError::reading(path, error);
        let length = fs::metadata(path).map_err(unreadable)?.len();
        // The tag of a large file is its hash.
        let is_hash = etag.len() == 64 && etag.bytes().all(|digit| digit.is_ascii_hexdigit());
        let (expected, got) = if length != size {
            (format!("{size} bytes"), format!("{length}"))
        } else if is_hash {
            (etag.to_owned(), ContentHash::of_file(path).map_err(unreadable)?.to_string())
        } else {
            return Ok(());
        };
        if expected == got {
            return Ok(());
        }
        for file in [path, blob] {
            fs::remove_file(file).map_err(|error| FileError::writing(file, error))?;
        }
        Err(HubError::Damaged { id: self.id.0.clone(), file: name.to_owned(), expected, got })
    }
}

/// Counts the bytes of one file.
struct Counted<'a> {
    name: &'a str,
    done: u64,
    total: u64,
    on_bytes: &'a OnBytes<'a>,
}

impl Progress for Counted<'_> {
    fn init(&mut self, size: usize, _name: &str) {
        (self.done, self.total) = (0, size as u64);
        (self.on_bytes)(self.name, self.done, self.total);
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        (self.on_bytes)(self.name, self.done, self.total);
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_ids_from_paths() {
        for id in ["Qwen/QwQ-32B-Preview-AWQ", "a/b", "meta-llama/Llama-3.1_8B"] {
            assert_eq!(ModelId::parse(id), Some(ModelId(id.to_owned())));
        }
        for path in ["models/a/b", "./model", "../model", "/model", "model", "a/", "/b", "a/.b", "a b/c"] {
            assert_eq!(ModelId::parse(path), None, "{path}");
        }
    }
}
