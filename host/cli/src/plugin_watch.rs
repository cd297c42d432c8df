//! `hilora-host plugin watch`: builds and tests a project anew whenever one of its files changes, until it is interrupted.
//!
//! Files are looked at a few times a second. There are few of them, and no file system keeps that from working.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::console::Console;
use super::failure::{ExitStatus, Failure, Result};
use super::interrupt::InterruptGuard;
use super::plugin_build::build;
use super::plugin_test::{table, test, verdict};

/// How long it waits between two looks.
const INTERVAL: Duration = Duration::from_millis(300);
/// Folders that tools write, and that are not looked into.
const MADE_FOLDERS: [&str; 4] = ["target", "node_modules", "__pycache__", "build"];
/// The most files of a project; a folder with more is none.
const FILES_MAX: usize = 10_000;

/// Arguments of `plugin watch`.
#[derive(Debug, Args)]
pub(super) struct WatchArguments {
    /// The project's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
}

/// A project's files, and when each was written and how long it is.
type Files = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

impl WatchArguments {
    pub(super) fn execute(&self, console: &Console) -> Result<ExitStatus> {
        let guard = InterruptGuard::arm()?;
        let mut seen = None;
        loop {
            let files = files_of(&self.folder)?;
            if seen.as_ref() != Some(&files) {
                // What is written while it builds is built next.
                seen = Some(files);
                if let Err(failure) = self.build_and_test(console) {
                    console.progress().say(&failure.to_string());
                }
                console.note(&format!("watching {}", self.folder.display()));
            }
            if guard.requested() {
                return Ok(guard.signal().map_or(ExitStatus::Done, ExitStatus::Interrupted));
            }
            thread::sleep(INTERVAL);
        }
    }

    fn build_and_test(&self, console: &Console) -> Result<()> {
        let built = build(&self.folder, console)?;
        let golden = self.folder.join("golden.jsonl");
        let report = test(&built.file, golden.is_file().then_some(golden.as_path()))?;
        console.result(&report, &format!("{}\n\n{}\n", built.summary(), table(&report)))?;
        verdict(&report)
    }
}

/// The files that a project is made of: none that is made of them, and none that is hidden.
fn files_of(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| Failure::reading(&folder, error))?;
        for entry in entries.filter_map(std::io::Result::ok) {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            // What has gone meanwhile is not there.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let is_made = MADE_FOLDERS.contains(&name.as_str()) || name.ends_with(".wasm") || name == "Cargo.lock";
            if is_made || name.starts_with('.') {
                continue;
            } else if metadata.is_dir() {
                folders.push(path);
            } else {
                files.insert(path, (metadata.modified().ok(), metadata.len()));
            }
            if files.len() > FILES_MAX {
                return Err(Failure::bad_input(
                    format!("{}: expected a plugin's project, got more than {FILES_MAX} files", folder.display()),
                    "name the project's own folder",
                ));
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_does_not_count_and_what_is_written_does() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::create_dir_all(folder.path().join("target"))?;
        fs::create_dir_all(folder.path().join("src"))?;
        let source = folder.path().join("src/lib.rs");
        fs::write(&source, "a")?;
        let before = files_of(folder.path()).expect("it can be read");
        fs::write(folder.path().join("target/x"), "made")?;
        fs::write(folder.path().join("a.wasm"), "made")?;
        assert_eq!(files_of(folder.path()).expect("it can be read"), before);
        fs::write(&source, "ab")?;
        assert_ne!(files_of(folder.path()).expect("it can be read"), before);
        Ok(())
    }
}
