//! An atomic folder: filled under a temporary name beside its place, then renamed into it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::FileError;
use super::partial::{FOLDER_MODE, PRIVATE_FOLDER_MODE, begin_folder, folder_of, remove_partials_of};

/// A folder that appears under its name only once it is whole. Dropped before `commit`, it leaves nothing.
pub struct AtomicFolder {
    path: PathBuf,
    partial: TempDir,
    /// Says to others that it is being written.
    held: File,
}

impl AtomicFolder {
    /// Begins a folder that is to stand at `path`, where nothing or an empty folder may be. What a killed process left
    /// of it is removed.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        Self::begin(path.into(), FOLDER_MODE)
    }

    /// The same, that nobody else may look into.
    pub fn create_private(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        Self::begin(path.into(), PRIVATE_FOLDER_MODE)
    }

    fn begin(path: PathBuf, mode: u32) -> Result<Self, FileError> {
        let begin = || -> io::Result<(TempDir, File)> {
            if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a symbolic link is there"));
            }
            match fs::read_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(mut entries) => {
                    if entries.next().is_some() {
                        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the folder is not empty"));
                    }
                }
            }
            fs::create_dir_all(folder_of(&path))?;
            remove_partials_of(&path)?;
            begin_folder(&path, mode)
        };
        let (partial, held) = begin().map_err(|error| FileError::writing(&path, error))?;
        Ok(Self { path, partial, held })
    }

    /// Where its files are written until then.
    pub fn partial(&self) -> &Path {
        self.partial.path()
    }

    /// Makes its files durable and the folder visible under its name.
    pub fn commit(self) -> Result<(), FileError> {
        let Self { path, partial, held } = self;
        let commit = || -> io::Result<()> {
            for entry in fs::read_dir(partial.path())? {
                File::open(entry?.path())?.sync_all()?;
            }
            held.sync_all()?;
            fs::rename(partial.path(), &path)?;
            // It has moved: there is nothing left to remove under its temporary name.
            let _moved = partial.keep();
            File::open(folder_of(&path))?.sync_all()
        };
        commit().map_err(|error| FileError::writing(&path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_folder_is_closed_from_its_beginning() -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir()?;
        let partial = AtomicFolder::create_private(folder.path().join("rows"))?;
        assert_eq!(fs::metadata(partial.partial())?.permissions().mode() & 0o077, 0);
        Ok(())
    }

    #[test]
    fn appears_whole_or_not_at_all() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("model");
        let partial = AtomicFolder::create(&path)?;
        fs::write(partial.partial().join("config.json"), "{}")?;
        drop(partial);
        assert_eq!(fs::read_dir(folder.path())?.count(), 0);

        fs::create_dir(&path)?;
        let partial = AtomicFolder::create(&path)?;
        fs::write(partial.partial().join("config.json"), "{}")?;
        partial.commit()?;
        assert_eq!(fs::read_to_string(path.join("config.json"))?, "{}");
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        let refused = AtomicFolder::create(&path).err().map(|error| error.error.kind());
        assert_eq!(refused, Some(io::ErrorKind::AlreadyExists));
        Ok(())
    }
}
