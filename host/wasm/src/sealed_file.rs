//! A sealed file: bytes in memory under a descriptor, which nobody can change any more. What was checked once stays so,
//! for this process and for those that it hands the descriptor to.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::io::Errno;

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
        seal(&file)?;
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

/// How long a file's pages may be held by somebody else.
const HELD_AT_MOST: Duration = Duration::from_secs(10);

/// Seals a file of memory for good. The kernel refuses to while anybody holds one of its pages, and that may be the kernel
/// itself, which moves pages or looks at them under load: it is asked again.
pub(super) fn seal(file: &File) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match fcntl_add_seals(file, SEALS) {
            Err(Errno::BUSY) if begun.elapsed() < HELD_AT_MOST => thread::sleep(Duration::from_millis(5)),
            sealed => return Ok(sealed?),
        }
    }
}

fn path_of(descriptor: RawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{descriptor}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    use std::ffi::c_void;
    use std::os::fd::AsRawFd;
    use std::ptr;

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

    /// A mapping that can be written holds the file's pages, too.
    #[test]
    fn who_holds_a_page_for_a_while_is_waited_for() -> io::Result<()> {
        let mut file = File::from(memfd_create("held", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        file.write_all(&[1; 4096])?;
        // SAFETY: a new mapping at a place of the kernel's choice, which is unmapped below and never used.
        let held = unsafe { mmap(ptr::null_mut(), 4096, ProtFlags::WRITE, MapFlags::SHARED, &file, 0) }? as usize;
        assert!(fcntl_add_seals(&file, SEALS).is_err_and(|error| error == Errno::BUSY));
        thread::scope(|scope| {
            let releases = scope.spawn(move || {
                thread::sleep(Duration::from_millis(50));
                // SAFETY: the mapping from above, of which there is no reference.
                unsafe { munmap(held as *mut c_void, 4096) }
            });
            seal(&file)?;
            releases.join().expect("no panic").map_err(io::Error::from)
        })
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
