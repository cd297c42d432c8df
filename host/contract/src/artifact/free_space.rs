//! Free space: whether a file system has room for what is about to be written, so that a long job ends with one clear
//! error before the disk is full, and not with everything else on the machine.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::fstatvfs;

use super::FileError;

/// What is left to everybody else, in bytes.
const KEPT_FREE_BYTES: u64 = 64 << 20;

/// Bytes that this user may write to the file system of an open folder: what is free, less what is left to everybody else.
pub fn usable_bytes(folder: impl AsFd) -> io::Result<u64> {
    let system = fstatvfs(folder)?;
    Ok(system.f_bavail.saturating_mul(system.f_frsize).saturating_sub(KEPT_FREE_BYTES))
}

/// Refuses to write so many bytes to a folder's file system unless they fit, and some are left.
pub fn require_free_space(folder: &Path, bytes: u64) -> Result<(), FileError> {
    let failed = |error| FileError::writing(folder, error);
    let usable = File::open(folder).and_then(usable_bytes).map_err(failed)?;
    if bytes <= usable {
        return Ok(());
    }
    let message = format!(
        "expected {bytes} bytes of free space on its disk beyond {KEPT_FREE_BYTES} that are left to others, got {usable}"
    );
    Err(failed(io::Error::new(io::ErrorKind::StorageFull, message)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Blame, Fault};

    #[test]
    fn what_does_not_fit_is_refused_before_it_is_written() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        require_free_space(folder.path(), 0)?;
        let error = require_free_space(folder.path(), u64::MAX).expect_err("no disk is so large");
        assert_eq!(error.blame(), Blame::Machine);
        assert!(error.to_string().contains("expected 18446744073709551615 bytes of free space"), "{error}");
        Ok(())
    }

    #[test]
    fn some_is_left_to_everybody_else() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let opened = File::open(folder.path())?;
        let system = fstatvfs(&opened)?;
        // Other programs write at the same time.
        let left = (system.f_bavail * system.f_frsize).saturating_sub(usable_bytes(&opened)?);
        assert!(left >= KEPT_FREE_BYTES / 2, "{left}");
        Ok(())
    }
}
