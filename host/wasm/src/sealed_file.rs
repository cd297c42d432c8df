//! A sealed file: bytes in memory under a descriptor, which nobody can change any more. What was checked once stays so,
//! for this process and for those that it hands the descriptor to.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

/// Everything that would let somebody change it.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE).union(SealFlags::SEAL);

/// Bytes that cannot change.
#[derive(Debug, Clone)]
pub(super) struct SealedFile(Arc<File>);

impl SealedFile {
    /// Seals what `write` puts into a file. The name is seen in `/proc` alone.
    pub(super) fn of(name: &str, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Self> {
        let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        write(&mut file)?;
        fcntl_add_seals(&file, SEALS)?;
        Ok(Self(Arc::new(file)))
    }

    /// Seals these bytes.
    pub(super) fn of_bytes(name: &str, bytes: &[u8]) -> io::Result<Self> {
        Self::of(name, |file| file.write_all(bytes))
    }

    /// The sealed file that this process was started with under this number.
    pub(super) fn inherited(descriptor: RawFd) -> io::Result<Self> {
        let file = File::open(path_of(descriptor))?;
        // A file of a disk has no seals, and says so.
        if !fcntl_get_seals(&file)?.contains(SEALS) {
            return Err(io::Error::other("expected a sealed file, got one that may still change"));
        }
        Ok(Self(Arc::new(file)))
    }

    /// A name under which this process can open it.
    pub(super) fn path(&self) -> PathBuf {
        path_of(self.0.as_raw_fd())
    }

    /// The open file, to be handed on.
    pub(super) fn file(&self) -> &Arc<File> {
        &self.0
    }

    /// Its bytes.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        // Opened anew: the place in the file is shared by all who have the descriptor.
        let mut bytes = Vec::new();
        File::open(self.path())?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn path_of(descriptor: RawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{descriptor}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_sealed_file_is_read_and_never_written() -> io::Result<()> {
        let sealed = SealedFile::of_bytes("test", b"bytes")?;
        assert_eq!((sealed.read()?, sealed.read()?), (b"bytes".to_vec(), b"bytes".to_vec()));
        assert!(File::options().write(true).open(sealed.path())?.write_all(b"other").is_err());
        assert!(sealed.file().set_len(0).is_err());
        let again = SealedFile::inherited(sealed.file().as_raw_fd())?;
        assert_eq!(again.read()?, b"bytes");
        Ok(())
    }

    #[test]
    fn what_may_change_is_not_taken_for_sealed() -> io::Result<()> {
        let file = tempfile::tempfile()?;
        assert!(SealedFile::inherited(file.as_raw_fd()).is_err());
        let open = memfd_create("open", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        assert!(SealedFile::inherited(open.as_raw_fd()).is_err());
        Ok(())
    }
}
