//! A file stamp: what the file system says of a file and changes when somebody writes into it, cuts it or puts another in
//! its place. Looking at it costs microseconds, where hashing a base costs seconds.
//!
//! It is there for what happens by accident. Somebody who sets the clock back can make a change that no stamp shows, and
//! two writes within one tick of the kernel's clock (some milliseconds) may look like one.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The stamp of one file. A link is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStamp {
    path: PathBuf,
    bytes: u64,
    /// Device and inode.
    identity: (u64, u64),
    /// When its content changed last, in seconds since 1970 and nanoseconds.
    modified: (i64, i64),
    /// When its content, its rights or its names changed last.
    changed: (i64, i64),
}

impl FileStamp {
    /// The file's stamp now.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            bytes: found.len(),
            identity: (found.dev(), found.ino()),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes it had.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What has changed since; `None` if nothing has.
    pub fn change(&self) -> io::Result<Option<FileChange>> {
        let now = match Self::of(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(FileChange::Gone)),
            now => now?,
        };
        Ok(if now.bytes != self.bytes {
            Some(FileChange::Length { before: self.bytes, now: now.bytes })
        } else if now.identity != self.identity {
            Some(FileChange::Replaced)
        } else if now.modified != self.modified {
            Some(FileChange::Written)
        } else if now.changed != self.changed {
            Some(FileChange::Attributes(now))
        } else {
            None
        })
    }
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    /// It is shorter or longer.
    Length {
        /// Bytes that it had.
        before: u64,
        /// Bytes that it has.
        now: u64,
    },
    /// Another file is in its place.
    Replaced,
    /// It was written into.
    Written,
    /// Its rights, names or times were changed, by a hard link or a backup for example; the stamp is the one that it has
    /// now. Only its bytes can say whether somebody wrote into it and set its time back.
    Attributes(FileStamp),
    /// It is gone.
    Gone,
}

impl fmt::Display for FileChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length { before, now } => return write!(f, "it had {before} bytes and has {now}"),
            Self::Replaced => "another file is in its place",
            Self::Written => "it was written into",
            Self::Attributes(_) => "its rights, names or times were changed",
            Self::Gone => "it is gone",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    #[test]
    fn every_change_is_seen_and_reading_is_none() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("model.safetensors");
        let same_size = |path: &Path| fs::write(path, b"others!");
        let cut = |path: &Path| fs::OpenOptions::new().write(true).open(path)?.set_len(3);
        let replaced = |path: &Path| crate::artifact::write_atomic(path, b"weights").map_err(io::Error::from);
        let rights = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o600));
        let gone = |path: &Path| fs::remove_file(path);
        type Change<'a> = &'a dyn Fn(&Path) -> io::Result<()>;
        let changes: [(&str, Change<'_>); 5] = [
            ("it was written into", &same_size),
            ("it had 7 bytes and has 3", &cut),
            ("another file is in its place", &replaced),
            ("its rights, names or times were changed", &rights),
            ("it is gone", &gone),
        ];
        for (told, change) in changes {
            fs::write(&path, b"weights")?;
            let stamp = FileStamp::of(&path)?;
            // More than a tick of the kernel's clock.
            std::thread::sleep(Duration::from_millis(30));
            fs::read(&path)?;
            assert_eq!(stamp.change()?, None, "{told}");
            change(&path)?;
            assert_eq!(stamp.change()?.map(|change| change.to_string()).as_deref(), Some(told));
        }
        Ok(())
    }
}
