//! The base model as a config names it: a folder, or an id of the hub whose folder is downloaded if it is not there.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hilora_contract::artifact::ContentHash;
use hilora_hub::{Hub, ModelFiles, RepositoryId};
use hilora_model::{BaseFiles, Model, ModelError};

use super::download_watch::watched_download;
use super::error::RunError;
use super::observer::{RunObserver, Task};

const MEBIBYTE: u64 = 1 << 20;

/// A base model: where it is and the hash of its files, each found out once.
#[derive(Debug)]
pub struct BaseModel {
    named: PathBuf,
    /// Whether nothing may be downloaded.
    is_offline: bool,
    folder: OnceLock<PathBuf>,
    files: OnceLock<BaseFiles>,
}

impl BaseModel {
    /// The model that a config names. A dry run downloads nothing.
    pub fn new(named: &Path, is_dry: bool) -> Self {
        Self { named: named.to_owned(), is_offline: is_dry, folder: OnceLock::new(), files: OnceLock::new() }
    }

    fn hub(&self) -> Hub {
        if self.is_offline { Hub::from_env().offline() } else { Hub::from_env() }
    }

    /// The folder, with the weights; a model of the hub is downloaded when it is first asked for.
    pub fn folder(&self, observer: &dyn RunObserver) -> Result<&Path, RunError> {
        if let Some(folder) = self.folder.get() {
            return Ok(folder);
        }
        let folder = model_folder(&self.named, ModelFiles::All, &self.hub(), observer)?;
        Ok(self.folder.get_or_init(|| folder))
    }

    /// The folder, in which the weights may be missing: what a check before the first stage needs.
    pub fn description(&self, observer: &dyn RunObserver) -> Result<PathBuf, RunError> {
        match self.folder.get() {
            Some(folder) => Ok(folder.clone()),
            None => model_folder(&self.named, ModelFiles::WithoutWeights, &self.hub(), observer),
        }
    }

    /// The hash of the files that make the model; what else lies in its folder (a README) changes no number.
    pub fn hash(&self, observer: &dyn RunObserver) -> Result<ContentHash, RunError> {
        Ok(self.files(observer)?.hash())
    }

    /// Those files as they were hashed, to be held against what they are later.
    pub fn files(&self, observer: &dyn RunObserver) -> Result<&BaseFiles, RunError> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let folder = self.folder(observer)?;
        let task = observer.begin(Task::brief("hash the base", "MiB"));
        let files = BaseFiles::hashed(folder, &mut |done, total| {
            task.set_total(total / MEBIBYTE);
            task.set_done(done / MEBIBYTE);
        })?;
        task.finish();
        Ok(self.files.get_or_init(|| files))
    }
}

/// Loads a base and tells how far that is.
pub fn load_base(
    observer: &dyn RunObserver,
    load: impl FnOnce(&mut dyn FnMut(usize, usize)) -> Result<Model, ModelError>,
) -> Result<Model, ModelError> {
    let task = observer.begin(Task::brief("load the base", "matrices"));
    let model = load(&mut |done, total| {
        task.set_total(total as u64);
        task.set_done(done as u64);
    })?;
    task.finish();
    Ok(model)
}

/// The folder of a model that is named by a path or by an id of the hub. A folder that exists goes before an id of the same
/// spelling; what is wrong with a folder is told by those who read it.
pub fn model_folder(
    named: &Path,
    files: ModelFiles,
    hub: &Hub,
    observer: &dyn RunObserver,
) -> Result<PathBuf, RunError> {
    let id = match named.to_str().and_then(RepositoryId::model) {
        Some(id) if !named.exists() => id,
        _ => return Ok(named.to_owned()),
    };
    Ok(watched_download(observer, |on_bytes| hub.folder(&id, files, on_bytes))?)
}
