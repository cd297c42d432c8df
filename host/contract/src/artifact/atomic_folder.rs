//! An atomic folder: filled under a temporary name beside its place, then renamed into it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

/// A folder that appears under its name only once it is whole. Dropped before `commit`, it leaves nothing.
pub struct AtomicFolder {
    path: PathBuf,
    parent: PathBuf,
    partial: TempDir,
}

impl AtomicFolder {
    /// Begins a folder that is to stand at `path`, where nothing or an empty folder may be.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the folder is not empty"));
                }
            }
        }
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&parent)?;
        let partial = Builder::new().prefix(".partial-").tempdir_in(&parent)?;
        Ok(Self { path, parent, partial })
    }

    /// Where its files are written until then.
    pub fn partial(&self) -> &Path {
        self.partial.path()
    }

    /// Makes its files durable and the folder visible under its name.
    pub fn commit(self) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        for entry in fs::read_dir(self.partial())? {
            File::open(entry?.path())?.sync_all()?;
        }
        // A temporary folder is private to its owner; an artefact is as readable as any other.
        fs::set_permissions(self.partial(), fs::Permissions::from_mode(0o755))?;
        File::open(self.partial())?.sync_all()?;
        fs::rename(self.partial(), &self.path)?;
        // It has moved: there is nothing left to remove under its temporary name.
        let _moved = self.partial.keep();
        File::open(&self.parent)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let refused = AtomicFolder::create(&path).err().map(|error| error.kind());
        assert_eq!(refused, Some(io::ErrorKind::AlreadyExists));
        Ok(())
    }
}
