//! An atomic file: written under a temporary name in its own folder, synced, then renamed over its final name.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Bytes that are written to the file at once.
const BUFFER_BYTES: usize = 256 << 10;

/// How the temporary names begin.
const PARTIAL_PREFIX: &str = ".partial-";

/// A file that appears under its name only once it is whole. Dropped before `commit`, it leaves nothing.
pub struct AtomicFile {
    path: PathBuf,
    folder: PathBuf,
    writer: BufWriter<NamedTempFile>,
}

impl AtomicFile {
    /// Begins a file that is to stand at `path`; its folder is made where it is missing.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&folder)?;
        let writer =
            BufWriter::with_capacity(BUFFER_BYTES, Builder::new().prefix(PARTIAL_PREFIX).tempfile_in(&folder)?);
        Ok(Self { path, folder, writer })
    }

    /// Makes the file durable and visible under its name, replacing what stood there.
    pub fn commit(self) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let file = self.writer.into_inner().map_err(|e| e.into_error())?;
        // A temporary file is private to its owner; an artefact is as readable as any other file.
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|e| e.error)?;
        // The rename itself is durable only once the folder is.
        File::open(&self.folder)?.sync_all()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Writes `bytes` to `path` atomically.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)?;
    file.commit()
}

/// Removes what processes left in this folder, not below it, that were killed while they wrote. Nobody may be writing
/// there. A folder that is not there has nothing.
pub fn remove_partial_files(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name().to_string_lossy().starts_with(PARTIAL_PREFIX) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("data/train.jsonl");
        write_atomic(&path, b"whole")?;
        // A killed process drops nothing.
        std::mem::forget(AtomicFile::create(&path)?);
        let names = || fs::read_dir(folder.path().join("data")).map(Iterator::count);
        assert_eq!(names()?, 2);
        remove_partial_files(folder.path())?;
        assert_eq!(names()?, 2, "what lies below belongs to somebody else");
        remove_partial_files(&folder.path().join("data"))?;
        remove_partial_files(&folder.path().join("none"))?;
        assert_eq!(names()?, 1);
        assert_eq!(fs::read(&path)?, b"whole");
        Ok(())
    }

    #[test]
    fn an_abandoned_file_leaves_the_old_one() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("manifest.json");
        write_atomic(&path, b"old")?;
        let mut file = AtomicFile::create(&path)?;
        file.write_all(b"new")?;
        drop(file);
        assert_eq!(fs::read(&path)?, b"old");
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        write_atomic(&path, b"new")?;
        assert_eq!(fs::read(&path)?, b"new");
        Ok(())
    }
}
