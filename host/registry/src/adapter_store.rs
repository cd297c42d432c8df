//! The adapter store: the files of registered adapters, each folder named by the hash of its content.
//!
//! A folder appears under its name only once it is whole, durable and has that hash. What is in the store is never
//! changed; a folder whose content no longer has its name's hash is replaced when the same adapter is registered again.
//! Nothing is ever removed but what a killed process left half-copied.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::RegistryError;
use hilora_contract::artifact::{AtomicFolder, ContentHash, FileError, hash_of_artifact};

/// The store's folder, beside the registry's database.
const FOLDER: &str = "adapters";
/// Held by whoever copies into the store.
const LOCK: &str = ".lock";

/// A store.
pub(crate) struct AdapterStore {
    folder: PathBuf,
}

impl AdapterStore {
    /// The store beside this database. Nothing is made until something is kept.
    pub(crate) fn beside(database: &Path) -> Self {
        Self { folder: database.with_file_name(FOLDER) }
    }

    /// Where an adapter is or would be, relative to the folder of the database.
    pub(crate) fn relative(adapter: ContentHash) -> String {
        format!("{FOLDER}/{adapter}")
    }

    /// Where an adapter is or would be.
    pub(crate) fn path(&self, adapter: ContentHash) -> PathBuf {
        self.folder.join(adapter.to_string())
    }

    /// Copies a folder whose content has this hash, unless the store has it.
    pub(crate) fn keep(&self, adapter: ContentHash, from: &Path) -> Result<(), RegistryError> {
        let place = self.path(adapter);
        let unwritten = |error| FileError::writing(&place, error);
        fs::create_dir_all(&self.folder).map_err(unwritten)?;
        // Whoever holds the lock is the only one that copies, so what is half-copied was left by a process that died.
        let lock = File::create(self.folder.join(LOCK)).and_then(|lock| lock.lock().map(|()| lock));
        let _lock = lock.map_err(unwritten)?;
        self.remove_hidden_folders().map_err(unwritten)?;
        if place.is_dir() {
            if hash_of_artifact(&place).map_err(|error| FileError::reading(&place, error))? == adapter {
                return Ok(());
            }
            // It is not what its name says, so no version has anything of it.
            fs::rename(&place, self.folder.join(format!(".damaged-{adapter}"))).map_err(unwritten)?;
        }
        let copy = AtomicFolder::create(&place)?;
        copy_folder(from, copy.partial())?;
        let got = hash_of_artifact(copy.partial()).map_err(|error| FileError::reading(&place, error))?;
        if got != adapter {
            return Err(RegistryError::OtherFiles { folder: from.to_owned(), expected: adapter, got });
        }
        copy.commit()?;
        Ok(self.remove_hidden_folders().map_err(unwritten)?)
    }

    /// What is in the store: folders that are named by a hash, and what has no such name.
    pub(crate) fn entries(&self) -> Result<(Vec<ContentHash>, Vec<PathBuf>), RegistryError> {
        let unread = |error| FileError::reading(&self.folder, error);
        let (mut adapters, mut others) = (Vec::new(), Vec::new());
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((adapters, others)),
            entries => entries.map_err(unread)?,
        };
        for entry in entries {
            let name = entry.map_err(unread)?.file_name();
            match name.to_str().map(str::parse::<ContentHash>) {
                Some(Ok(hash)) => adapters.push(hash),
                _ if name == LOCK => {}
                _ => others.push(self.folder.join(name)),
            }
        }
        adapters.sort();
        others.sort();
        Ok((adapters, others))
    }

    /// Removes the hidden folders: copies on their way and damaged ones. Only the holder of the lock makes them.
    fn remove_hidden_folders(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with('.') && entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Copies the files of a folder and of those below it, durably.
fn copy_folder(from: &Path, to: &Path) -> Result<(), FileError> {
    let unread = |error| FileError::reading(from, error);
    for entry in fs::read_dir(from).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        let unwritten = |error| FileError::writing(&target, error);
        if path.is_dir() {
            fs::create_dir(&target).map_err(unwritten)?;
            copy_folder(&path, &target)?;
        } else {
            let mut source = File::open(&path).map_err(|error| FileError::reading(&path, error))?;
            let mut file = File::create(&target).map_err(unwritten)?;
            io::copy(&mut source, &mut file).and_then(|_| file.sync_all()).map_err(unwritten)?;
        }
    }
    File::open(to).and_then(|folder| folder.sync_all()).map_err(|error| FileError::writing(to, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a file and one below it.
    fn adapter(folder: &Path, weights: &str) -> (PathBuf, ContentHash) {
        let adapter = folder.join("run/adapter");
        fs::create_dir_all(adapter.join("below")).expect("a folder can be made");
        fs::write(adapter.join("adapter_model.safetensors"), weights).expect("a file can be written");
        fs::write(adapter.join("below/tokenizer.json"), "{}").expect("a file can be written");
        let hash = hash_of_artifact(&adapter).expect("it can be read");
        (adapter, hash)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder is there");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn keeps_a_whole_copy_once() -> Result<(), RegistryError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, hash) = adapter(folder.path(), "weights");
        let store = AdapterStore::beside(&folder.path().join("registry.sqlite"));
        store.keep(hash, &from)?;
        let kept = fs::metadata(store.path(hash)).expect("it was kept").modified().expect("it has a time");
        assert_eq!(hash_of_artifact(&store.path(hash)).expect("it can be read"), hash);
        // The run's folder may go or change: the store has it, and does not copy it again.
        fs::remove_dir_all(&from).expect("it can be removed");
        store.keep(hash, &from)?;
        assert_eq!(fs::metadata(store.path(hash)).expect("it was kept").modified().expect("it has a time"), kept);
        assert_eq!(names(&folder.path().join("adapters")), [".lock".to_owned(), hash.to_string()]);
        Ok(())
    }

    #[test]
    fn refuses_other_files_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, hash) = adapter(folder.path(), "weights");
        fs::write(from.join("adapter_model.safetensors"), "other weights").expect("a file can be written");
        let store = AdapterStore::beside(&folder.path().join("registry.sqlite"));
        let refused = store.keep(hash, &from).expect_err("the hash is another").to_string();
        assert!(refused.contains("has changed") && refused.contains(&hash.to_string()), "{refused}");
        let absent = store.keep(hash, &folder.path().join("none"));
        assert!(matches!(absent, Err(RegistryError::File(_))), "{absent:?}");
        assert_eq!(names(&folder.path().join("adapters")), [".lock"]);
    }

    #[test]
    fn removes_what_a_kill_left_and_replaces_what_was_damaged() -> Result<(), RegistryError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, hash) = adapter(folder.path(), "weights");
        let store = AdapterStore::beside(&folder.path().join("registry.sqlite"));
        store.keep(hash, &from)?;
        fs::write(store.path(hash).join("adapter_model.safetensors"), "w").expect("a file can be written");
        // A killed process drops nothing.
        std::mem::forget(AtomicFolder::create(folder.path().join("adapters/another")).expect("it can be begun"));
        assert_eq!(names(&folder.path().join("adapters")).len(), 3);
        store.keep(hash, &from)?;
        assert_eq!(names(&folder.path().join("adapters")), [".lock".to_owned(), hash.to_string()]);
        assert_eq!(hash_of_artifact(&store.path(hash)).expect("it can be read"), hash);
        Ok(())
    }
}
