//! A file error: a file that cannot be read or written, with its path and whose fault that is.

use std::io;
use std::path::{Path, PathBuf};

use crate::fault::{Blame, Fault};

/// What was being done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAction {
    /// Opening it to read, or reading.
    Read,
    /// Making, writing, syncing, renaming or removing it.
    Write,
}

/// A file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {} {}: {error}", match .action { FileAction::Read => "read", FileAction::Write => "write" }, .path.display())]
pub struct FileError {
    /// What was being done.
    pub action: FileAction,
    /// The file or folder, as it was named.
    pub path: PathBuf,
    /// What the operating system said.
    pub error: io::Error,
}

impl FileError {
    /// A file that cannot be read.
    pub fn reading(path: impl Into<PathBuf>, error: io::Error) -> Self {
        Self { action: FileAction::Read, path: path.into(), error: plain(error) }
    }

    /// A file that cannot be written.
    pub fn writing(path: impl Into<PathBuf>, error: io::Error) -> Self {
        Self { action: FileAction::Write, path: path.into(), error: plain(error) }
    }

    /// The path as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Fault for FileError {
    fn blame(&self) -> Blame {
        match self.action {
            FileAction::Read => Blame::of_reading(&self.error),
            FileAction::Write => Blame::of_writing(&self.error),
        }
    }
}

/// For callers that name the file themselves.
impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        error.error
    }
}

/// The operating system's own words where a temporary file's name was added to them, which tells a person nothing.
fn plain(error: io::Error) -> io::Error {
    match error.to_string().split_once(" at path \"") {
        Some((words, _)) => io::Error::new(error.kind(), words.to_owned()),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_told_once_and_as_it_was_named() {
        let no_folder = Path::new("/nowhere/at/all");
        let error = tempfile::Builder::new().tempfile_in(no_folder).expect_err("there is no such folder");
        let told = FileError::writing("report.json", error).to_string();
        assert_eq!(told, "cannot write report.json: No such file or directory (os error 2)");
    }

    #[test]
    fn reading_and_writing_are_blamed_by_their_own_rules() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(FileError::reading("a", denied()).blame(), Blame::User);
        assert_eq!(FileError::writing("a", denied()).blame(), Blame::Machine);
    }
}
