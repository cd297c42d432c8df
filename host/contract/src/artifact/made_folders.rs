//! The folders that are made for a file that is to stand in them: a command that is refused leaves none behind.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folders, outermost first. Those that are empty go again when it is dropped, unless they are kept.
#[derive(Debug)]
pub(super) struct MadeFolders(Vec<PathBuf>);

impl MadeFolders {
    /// Makes a folder and those above it that are missing.
    pub(super) fn make(folder: &Path) -> io::Result<Self> {
        let missing = folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let mut made: Vec<PathBuf> = missing.map(Path::to_path_buf).collect();
        made.reverse();
        let made = Self(made);
        fs::create_dir_all(folder)?;
        Ok(made)
    }

    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        // Best effort: one that holds something, or is gone, is left as it is.
        for folder in self.0.iter().rev() {
            let _kept = fs::remove_dir(folder);
        }
    }
}
