//! The adapter store: the files of registered adapters, each folder named by the hash of its content.
//!
//! A folder appears under its name only once it is whole, durable and has that hash. What is in the store is never
//! changed; a folder whose content no longer has its name's hash is replaced when the same adapter is registered again.
//! Nothing is ever removed but what a killed process left half-copied.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind as Kind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::RegistryError;
use hilora_contract::artifact::{AtomicFolder, ContentHash, FileError, hash_of_artifact, open_in_place};

/// The store's folder, beside the registry's database.
const FOLDER: &str = "adapters";
/// Held by whoever copies into the store.
const LOCK: &str = ".lock";
/// How long a process waits for the one that holds the store, which may copy a large adapter.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);
/// How often it is looked whether the store is free.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// A store.
pub(crate) struct AdapterStore {
    folder: PathBuf,
    /// How long to wait for another process.
    lock_timeout: Duration,
}

/// What is in a store.
#[derive(Default)]
pub(crate) struct Entries {
    /// The hashes that name folders.
    pub(crate) adapters: Vec<ContentHash>,
    /// What has no such name.
    pub(crate) others: Vec<PathBuf>,
}

/// The store while no other process copies into it.
pub(crate) struct HeldStore<'a> {
    store: &'a AdapterStore,
    _lock: File,
}

impl AdapterStore {
    /// The store beside this database. Nothing is made until something is kept.
    pub(crate) fn beside(database: &Path) -> Self {
        Self { folder: database.with_file_name(FOLDER), lock_timeout: LOCK_TIMEOUT }
    }

    /// Where an adapter is or would be, relative to the folder of the database.
    pub(crate) fn relative(adapter: ContentHash) -> String {
        format!("{FOLDER}/{adapter}")
    }

    /// Where an adapter is or would be.
    pub(crate) fn path(&self, adapter: ContentHash) -> PathBuf {
        self.folder.join(adapter.to_string())
    }

    /// Takes the store for this process alone, which waits for another one up to a limit.
    pub(crate) fn hold(&self) -> Result<HeldStore<'_>, RegistryError> {
        let path = self.folder.join(LOCK);
        let unwritten = |error| FileError::writing(&path, error);
        fs::create_dir_all(&self.folder).map_err(unwritten)?;
        let open = open_in_place(&path, OpenOptions::new().write(true).create(true).truncate(false));
        let lock = open.map_err(unwritten)?;
        self.wait_for(|| lock.try_lock())?;
        Ok(HeldStore { store: self, _lock: lock })
    }

    /// What is in the store, and the store held against whoever copies into it. Nothing is made: a store that is not there
    /// has nothing, and where no lock can be made, nobody can copy.
    pub(crate) fn hold_to_list(&self) -> Result<(Entries, Option<File>), RegistryError> {
        if !self.folder.is_dir() {
            return Ok((Entries::default(), None));
        }
        let path = self.folder.join(LOCK);
        let open = open_in_place(&path, OpenOptions::new().read(true));
        let lock = match open {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut options = OpenOptions::new();
                match open_in_place(&path, options.write(true).create(true).truncate(false)) {
                    Err(error) if matches!(error.kind(), Kind::PermissionDenied | Kind::ReadOnlyFilesystem) => None,
                    lock => Some(lock.map_err(|error| FileError::writing(&path, error))?),
                }
            }
            lock => Some(lock.map_err(|error| FileError::reading(&path, error))?),
        };
        if let Some(lock) = &lock {
            self.wait_for(|| lock.try_lock_shared())?;
        }
        Ok((self.entries()?, lock))
    }

    /// Tries until the lock is there or the limit is reached.
    fn wait_for(&self, try_lock: impl Fn() -> Result<(), TryLockError>) -> Result<(), RegistryError> {
        let begun = Instant::now();
        loop {
            match try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if begun.elapsed() < self.lock_timeout => {
                    std::thread::sleep(LOCK_POLL);
                }
                Err(TryLockError::WouldBlock) => {
                    let seconds = self.lock_timeout.as_secs();
                    return Err(RegistryError::StoreHeld { folder: self.folder.clone(), seconds });
                }
                Err(TryLockError::Error(error)) => {
                    return Err(FileError::writing(self.folder.join(LOCK), error).into());
                }
            }
        }
    }

    fn entries(&self) -> Result<Entries, RegistryError> {
        let unread = |error| FileError::reading(&self.folder, error);
        let Entries { mut adapters, mut others } = Entries::default();
        for entry in fs::read_dir(&self.folder).map_err(unread)? {
            let name = entry.map_err(unread)?.file_name();
            match name.to_str().map(str::parse::<ContentHash>) {
                Some(Ok(hash)) => adapters.push(hash),
                _ if name == LOCK => {}
                _ => others.push(self.folder.join(name)),
            }
        }
        adapters.sort();
        others.sort();
        Ok(Entries { adapters, others })
    }

    /// Removes the hidden folders: copies on their way and damaged ones. Only the holder of the store makes them.
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

impl HeldStore<'_> {
    /// Copies a folder whose content has this hash, unless the store has it.
    pub(crate) fn keep(&self, adapter: ContentHash, from: &Path) -> Result<(), RegistryError> {
        let store = self.store;
        let place = store.path(adapter);
        let unwritten = |error| FileError::writing(&place, error);
        // Whoever holds the store is the only one that copies, so what is half-copied was left by a process that died.
        store.remove_hidden_folders().map_err(unwritten)?;
        if place.is_dir() {
            if hash_of_artifact(&place).map_err(|error| FileError::reading(&place, error))? == adapter {
                return Ok(());
            }
            // It is not what its name says, so no version has anything of it.
            fs::rename(&place, store.folder.join(format!(".damaged-{adapter}"))).map_err(unwritten)?;
        }
        let copy = AtomicFolder::create(&place)?;
        copy_folder(from, copy.partial())?;
        let got = hash_of_artifact(copy.partial()).map_err(|error| FileError::reading(&place, error))?;
        if got != adapter {
            return Err(RegistryError::OtherFiles { folder: from.to_owned(), expected: adapter, got });
        }
        copy.commit()?;
        Ok(store.remove_hidden_folders().map_err(unwritten)?)
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
        store.hold()?.keep(hash, &from)?;
        let kept = fs::metadata(store.path(hash)).expect("it was kept").modified().expect("it has a time");
        assert_eq!(hash_of_artifact(&store.path(hash)).expect("it can be read"), hash);
        // The run's folder may go or change: the store has it, and does not copy it again.
        fs::remove_dir_all(&from).expect("it can be removed");
        store.hold()?.keep(hash, &from)?;
        assert_eq!(fs::metadata(store.path(hash)).expect("it was kept").modified().expect("it has a time"), kept);
        assert_eq!(names(&folder.path().join("adapters")), [".lock".to_owned(), hash.to_string()]);
        Ok(())
    }

    #[test]
    fn refuses_other_files_and_leaves_nothing() -> Result<(), RegistryError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, hash) = adapter(folder.path(), "weights");
        fs::write(from.join("adapter_model.safetensors"), "other weights").expect("a file can be written");
        let store = AdapterStore::beside(&folder.path().join("registry.sqlite"));
        let refused = store.hold()?.keep(hash, &from).expect_err("the hash is another").to_string();
        assert!(refused.contains("has changed") && refused.contains(&hash.to_string()), "{refused}");
        let absent = store.hold()?.keep(hash, &folder.path().join("none"));
        assert!(matches!(absent, Err(RegistryError::File(_))), "{absent:?}");
        assert_eq!(names(&folder.path().join("adapters")), [".lock"]);
        Ok(())
    }

    #[test]
    fn a_store_that_another_one_holds_is_waited_for_up_to_a_limit() -> Result<(), RegistryError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut store = AdapterStore::beside(&folder.path().join("registry.sqlite"));
        store.lock_timeout = Duration::from_millis(100);
        let held = store.hold()?;
        let refused = store.hold().err().expect("it is held");
        assert!(matches!(refused, RegistryError::StoreHeld { seconds: 0, .. }), "{refused:?}");
        drop(held);
        store.hold().map(drop)
    }

    /// A link would have its target emptied, and nobody is at the other end of the pipe.
    #[test]
    fn a_link_and_a_pipe_in_the_locks_place_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = AdapterStore::beside(&folder.path().join("registry.sqlite"));
        let (lock, theirs) = (folder.path().join("adapters/.lock"), folder.path().join("theirs"));
        fs::create_dir(folder.path().join("adapters")).expect("a folder can be made");
        fs::write(&theirs, "theirs").expect("a file can be written");
        std::os::unix::fs::symlink(&theirs, &lock).expect("a link can be made");
        assert!(matches!(store.hold(), Err(RegistryError::File(_))));
        assert_eq!(fs::read_to_string(&theirs).expect("it can be read"), "theirs");
        fs::remove_file(&lock).expect("it can be removed");
        let made = std::process::Command::new("mkfifo").arg(&lock).status().expect("mkfifo is there");
        assert!(made.success() && matches!(store.hold(), Err(RegistryError::File(_))));
    }

    #[test]
    fn removes_what_a_kill_left_and_replaces_what_was_damaged() -> Result<(), RegistryError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, hash) = adapter(folder.path(), "weights");
        let store = AdapterStore::beside(&folder.path().join("registry.sqlite"));
        store.hold()?.keep(hash, &from)?;
        fs::write(store.path(hash).join("adapter_model.safetensors"), "w").expect("a file can be written");
        // A killed process drops nothing.
        std::mem::forget(AtomicFolder::create(folder.path().join("adapters/another")).expect("it can be begun"));
        assert_eq!(names(&folder.path().join("adapters")).len(), 3);
        store.hold()?.keep(hash, &from)?;
        assert_eq!(names(&folder.path().join("adapters")), [".lock".to_owned(), hash.to_string()]);
        assert_eq!(hash_of_artifact(&store.path(hash)).expect("it can be read"), hash);
        Ok(())
    }
}
