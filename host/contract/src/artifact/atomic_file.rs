//! An atomic file: written under a temporary name in its own folder, synced, then renamed over its final name.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::FileError;
use super::made_folders::MadeFolders;
use super::partial::{begin_file, folder_of};

/// Bytes that are written to the file at once.
const BUFFER_BYTES: usize = 256 << 10;

/// A file that appears under its name only once it is whole. Dropped before `commit`, it leaves nothing.
pub struct AtomicFile {
    path: PathBuf,
    writer: BufWriter<NamedTempFile>,
    /// Dropped behind the file that lies in them.
    folders: MadeFolders,
}

impl AtomicFile {
    /// Begins a file that is to stand at `path`; its folder is made if it is missing. What stands there may be a file
    /// only: a device, a pipe, a socket and a folder are never replaced.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = path.into();
        let begin = || -> io::Result<(NamedTempFile, MadeFolders)> {
            if let Some(found) = NotAFile::at(&path)?.filter(|found| *found != NotAFile::Link) {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{found} is there")));
            }
            let folders = MadeFolders::make(folder_of(&path))?;
            Ok((begin_file(&path)?, folders))
        };
        let (file, folders) = begin().map_err(|error| FileError::writing(&path, error))?;
        Ok(Self { path, writer: BufWriter::with_capacity(BUFFER_BYTES, file), folders })
    }

    /// Adds these bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.writer.write_all(bytes).map_err(|error| FileError::writing(&self.path, error))
    }

    /// Where it is to stand.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file durable and visible under its name, replacing what stood there.
    pub fn commit(self) -> Result<(), FileError> {
        let Self { path, writer, folders } = self;
        let commit = || -> io::Result<()> {
            let file = writer.into_inner().map_err(|error| error.into_error())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            folders.keep();
            // The rename itself is durable only once the folder is.
            File::open(folder_of(&path))?.sync_all()
        };
        commit().map_err(|error| FileError::writing(&path, error))
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

/// What stands where a file is to stand and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAFile {
    Folder,
    Link,
    Device,
    Pipe,
    Socket,
}

impl NotAFile {
    /// What stands at this path, which is not followed; `None` if that is a file or nothing.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        use std::os::unix::fs::FileTypeExt;
        let kind = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata?.file_type(),
        };
        Ok(if kind.is_dir() {
            Some(Self::Folder)
        } else if kind.is_symlink() {
            Some(Self::Link)
        } else if kind.is_block_device() || kind.is_char_device() {
            Some(Self::Device)
        } else if kind.is_fifo() {
            Some(Self::Pipe)
        } else if kind.is_socket() {
            Some(Self::Socket)
        } else {
            None
        })
    }
}

impl fmt::Display for NotAFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder",
            Self::Link => "a symbolic link",
            Self::Device => "a device",
            Self::Pipe => "a named pipe",
            Self::Socket => "a socket",
        })
    }
}

/// Writes `bytes` to `path` atomically.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = AtomicFile::create(path)?;
    file.append(bytes)?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn only_a_file_is_replaced() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let error = write_atomic(folder.path(), b"x").expect_err("a folder is there");
        assert_eq!(error.to_string(), format!("cannot write {}: a folder is there", folder.path().display()));
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket)?;
        let error = write_atomic(&socket, b"x").expect_err("a socket is there");
        assert_eq!(error.to_string(), format!("cannot write {}: a socket is there", socket.display()));
        let error = write_atomic(Path::new("/dev/null"), b"x").expect_err("a device is there");
        assert_eq!(error.to_string(), "cannot write /dev/null: a device is there");
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }
}
