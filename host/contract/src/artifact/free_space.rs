//! Free space: whether a file system has room for what is about to be written, so that a long job ends with one clear
//! error before the disk is full, and not with everything else on the machine.

use std::io;
use std::path::Path;

use rustix::fs::statvfs;

use super::FileError;

/// What is left to everybody else, in bytes.
const KEPT_FREE_BYTES: u64 = 64 << 20;

/// Refuses to write so many bytes to a folder's file system unless they fit, and some are left.
pub fn require_free_space(folder: &Path, bytes: u64) -> Result<(), FileError> {
    let failed = |error| FileError::writing(folder, error);
    let system = statvfs(folder).map_err(|error| failed(error.into()))?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let needed = bytes.saturating_add(KEPT_FREE_BYTES);
    if free >= needed {
        return Ok(());
    }
    let message = format!("expected {needed} bytes of free space on its disk, got {free}");
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
}
