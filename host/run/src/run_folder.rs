//! The run folder: everything that one run writes, held by one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use hilora_contract::artifact::{open_in_place, remove_partial_files, write_atomic};
use hilora_contract::fault::BadInput;

use super::error::RunError;

/// The folders that a run writes into, besides those of its data files; the first is the run itself.
const WRITTEN_FOLDERS: [&str; 9] = [
    "",
    "stages",
    "adapter",
    "checkpoints",
    "tensorboard",
    "control",
    "control/adapter",
    "control/checkpoints",
    "control/tensorboard",
];

/// A run's folder.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held until the run is dropped: two processes must not write one folder.
    _lock: Option<File>,
}

impl RunFolder {
    /// The folder, to be looked at: nothing is written and nobody is kept out.
    pub fn to_read(path: PathBuf) -> Self {
        Self { path, _lock: None }
    }

    /// The folder for this process alone; it is made if it is missing. The lock goes with the process, however it ends.
    pub fn take(path: PathBuf) -> Result<Self, RunError> {
        fs::create_dir_all(&path).map_err(|error| RunError::writing(&path, error))?;
        let lock = path.join(".lock");
        let open = open_in_place(&lock, OpenOptions::new().write(true).create(true).truncate(false));
        let file = open.map_err(|error| RunError::writing(&lock, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _lock: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(BadInput::with_hint(
                format!("the run folder {} is in use by another process", path.display()),
                "wait for it to end, or name another folder with `--run`",
            )
            .into()),
            Err(TryLockError::Error(error)) => Err(RunError::writing(&lock, error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    pub fn file(&self, relative: &str) -> PathBuf {
        self.path.join(relative)
    }

    /// A file by its name in the folder, as the ledger knows it.
    pub fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.path).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Writes a file of the folder.
    pub fn write(&self, relative: &str, bytes: &[u8]) -> Result<(), RunError> {
        let path = self.file(relative);
        Ok(write_atomic(&path, bytes)?)
    }

    /// Removes what a killed process left half-written in the folders that a run writes, and in no other: below a folder
    /// that somebody chose for a run may lie anything.
    pub fn remove_partial_files(&self, data_folders: Vec<PathBuf>) -> Result<(), RunError> {
        for folder in WRITTEN_FOLDERS.map(|name| self.file(name)).into_iter().chain(data_folders) {
            remove_partial_files(&folder).map_err(|error| RunError::writing(&folder, error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_follows_no_link() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let theirs = folder.path().join("theirs");
        fs::write(&theirs, "theirs")?;
        let run = folder.path().join("run");
        fs::create_dir(&run)?;
        std::os::unix::fs::symlink(&theirs, run.join(".lock"))?;
        assert!(RunFolder::take(run).is_err());
        assert_eq!(fs::read_to_string(&theirs)?, "theirs");
        Ok(())
    }
}
