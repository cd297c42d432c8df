//! A claim on an output: whoever writes a file that others may be asked to write at the same time holds one until it is
//! done, and every other process is refused. It is a lock on a file of its own beside the output, `.NAME.lock`, which goes
//! with the process however that ends; a killed one leaves an empty file that claims nothing.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::made_folders::MadeFolders;
use super::partial::folder_of;
use super::{FileError, open_in_place};

/// The right to write one output.
#[derive(Debug)]
pub struct OutputClaim {
    lock: PathBuf,
    _file: File,
    /// Go with the claim if nothing was written.
    _folders: MadeFolders,
}

impl OutputClaim {
    /// Claims an output, whose folder is made if it is missing; `None` if another process has claimed it.
    pub fn take(output: &Path) -> Result<Option<Self>, FileError> {
        let lock = lock_of(output);
        let take = || -> io::Result<Option<(File, MadeFolders)>> {
            let folders = MadeFolders::make(folder_of(output))?;
            loop {
                let file = open_in_place(&lock, OpenOptions::new().write(true).create(true).truncate(false))?;
                match file.try_lock() {
                    Ok(()) => {}
                    Err(TryLockError::WouldBlock) => return Ok(None),
                    Err(TryLockError::Error(error)) => return Err(error),
                }
                // Whoever held it has removed it if the name is another file's by now, or nobody's.
                let ours = file.metadata()?;
                match fs::symlink_metadata(&lock) {
                    Ok(found) if (found.dev(), found.ino()) == (ours.dev(), ours.ino()) => {
                        return Ok(Some((file, folders)));
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        };
        let claimed = take().map_err(|error| FileError::writing(output, error))?;
        Ok(claimed.map(|(file, folders)| Self { lock, _file: file, _folders: folders }))
    }
}

impl Drop for OutputClaim {
    /// The name goes before the lock: nobody else can hold it in between.
    fn drop(&mut self) {
        // An empty file that stays claims nothing.
        let _ = fs::remove_file(&self.lock);
    }
}

/// The file that is locked for an output.
fn lock_of(output: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(output.file_name().unwrap_or(output.as_os_str()));
    name.push(".lock");
    output.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn one_holds_it_at_a_time_and_nothing_is_left() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let output = folder.path().join("new/evaluation.json");
        let claim = OutputClaim::take(&output)?.ok_or("nobody has it")?;
        assert!(OutputClaim::take(&output)?.is_none());
        assert!(OutputClaim::take(&folder.path().join("new/other.json"))?.is_some());
        drop(claim);
        // Nor is the folder that was made for it.
        assert_eq!(fs::read_dir(folder.path())?.count(), 0);
        // What a killed process leaves is an empty file that nobody has locked.
        fs::create_dir(folder.path().join("new"))?;
        fs::write(lock_of(&output), "")?;
        assert!(OutputClaim::take(&output)?.is_some());
        Ok(())
    }

    #[test]
    fn many_that_ask_at_once_never_hold_it_together() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let output = folder.path().join("evaluation.json");
        let (holders, taken) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            let ask = || {
                for _ in 0..300 {
                    if let Some(claim) = OutputClaim::take(&output).expect("it can be claimed") {
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                        taken.fetch_add(1, Ordering::SeqCst);
                        holders.fetch_sub(1, Ordering::SeqCst);
                        drop(claim);
                    }
                }
            };
            for _ in 0..4 {
                scope.spawn(ask);
            }
        });
        assert!(taken.into_inner() > 0);
        Ok(())
    }
}
