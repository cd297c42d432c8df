//! A partial: a file or a folder on its way, under a temporary name beside its place.
//!
//! Its name says that it is ours and what it is to become. Its maker holds a lock on it, which ends with the process
//! however that ends, so that what a killed process left can be told from what somebody is writing.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::{Builder, NamedTempFile, TempDir};

use super::ContentHash;

/// How the temporary names begin.
const PREFIX: &str = ".hilora-partial-";

/// The longest name that is repeated in a temporary one; file systems allow 255 bytes in all.
const NAME_BYTES_MAX: usize = 150;

/// What a file and a folder permit, less what the caller's umask forbids: an artefact is as readable as any other file.
const FILE_MODE: u32 = 0o666;
pub(super) const FOLDER_MODE: u32 = 0o777;
/// What a folder permits that is its user's alone.
pub(super) const PRIVATE_FOLDER_MODE: u32 = 0o700;

/// Random letters that end a temporary name, after a dash.
const RANDOM_LETTERS: usize = 6;

/// The folder that a path stands in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How the temporary names of what is to stand at `path` begin.
fn prefix_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    match name.to_str().filter(|name| name.len() <= NAME_BYTES_MAX) {
        Some(name) => format!("{PREFIX}{name}-"),
        None => format!("{PREFIX}{}-", ContentHash::of(name.as_encoded_bytes())),
    }
}

/// Begins a file that is to stand at `path`, in the same folder.
pub(super) fn begin_file(path: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = Builder::new()
            .prefix(&prefix_of(path))
            .rand_bytes(RANDOM_LETTERS)
            .permissions(Permissions::from_mode(FILE_MODE))
            .tempfile_in(folder_of(path))?;
        if is_held(file.as_file(), file.path()) {
            return Ok(file);
        }
    }
}

/// Begins a folder that is to stand at `path`, beside it; the file is the lock.
pub(super) fn begin_folder(path: &Path, mode: u32) -> io::Result<(TempDir, File)> {
    loop {
        let folder = Builder::new()
            .prefix(&prefix_of(path))
            .rand_bytes(RANDOM_LETTERS)
            .permissions(Permissions::from_mode(mode))
            .tempdir_in(folder_of(path))?;
        match File::open(folder.path()) {
            Ok(held) if is_held(&held, folder.path()) => return Ok((folder, held)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Holds a partial as long as it is open. `false` if another process, which found it before it was held, took it for
/// what a killed one left. On a file system without locks this does nothing, and what a kill leaves there stays, because
/// it cannot be told from what is being written.
fn is_held(file: &File, path: &Path) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && fs::symlink_metadata(path).is_ok()
}

/// Removes what killed processes left in this folder, not below it: files and folders that were on their way. What
/// somebody is still writing stays. A folder that is not there has nothing.
pub fn remove_partial_files(folder: &Path) -> io::Result<()> {
    // The final name, whatever it is, and random letters.
    let is_ours = |name: &str| {
        name.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('-')).is_some_and(|(_, end)| is_random(end))
    };
    remove_partials(folder, is_ours)
}

/// Removes what killed processes left of this very file or folder.
pub(super) fn remove_partials_of(path: &Path) -> io::Result<()> {
    let prefix = prefix_of(path);
    remove_partials(folder_of(path), |name| name.strip_prefix(&prefix).is_some_and(is_random))
}

fn remove_partials(folder: &Path, is_ours: impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if !entry.file_name().to_str().is_some_and(&is_ours) || !(kind.is_file() || kind.is_dir()) {
            continue;
        }
        // Another process may have removed it by now.
        let Ok(left) = File::open(entry.path()) else { continue };
        if left.try_lock().is_err() {
            continue;
        }
        let removed = if kind.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        match removed {
            // What another user put into a shared folder under such a name is his.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
            removed => removed?,
        }
    }
    Ok(())
}

fn is_random(end: &str) -> bool {
    end.len() == RANDOM_LETTERS && end.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::super::{AtomicFile, AtomicFolder, write_atomic};
    use super::*;

    /// Leaves what a killed process leaves: nothing is dropped, and its locks are gone.
    fn kill(path: &Path) -> io::Result<()> {
        let (_, file) = begin_file(path)?.keep().map(|(file, path)| (path, file))?;
        drop(file);
        let (folder, held) = begin_folder(path, FOLDER_MODE)?;
        fs::write(folder.path().join("weights"), b"half")?;
        drop(held);
        let _left = folder.keep();
        Ok(())
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let path = data.join("train.jsonl");
        write_atomic(&path, b"whole")?;
        kill(&path)?;
        let writing = (AtomicFile::create(&path)?, AtomicFolder::create(data.join("model"))?);
        let theirs = [".hilora-partial-notes", ".partial-abcdef", ".hilora-partial-of mine-abc"];
        theirs.iter().try_for_each(|name| fs::write(data.join(name), b"theirs"))?;
        std::os::unix::fs::symlink(&path, data.join(".hilora-partial-link-abcdef"))?;
        let names = || fs::read_dir(&data).map(Iterator::count);
        assert_eq!(names()?, 9);
        remove_partial_files(folder.path())?;
        assert_eq!(names()?, 9, "what lies below belongs to somebody else");
        remove_partial_files(&data)?;
        remove_partial_files(&folder.path().join("none"))?;
        assert_eq!(names()?, 7, "only what nobody is writing goes");
        drop(writing);
        assert_eq!(names()?, 5);
        assert_eq!(fs::read(&path)?, b"whole");
        Ok(())
    }

    #[test]
    fn what_is_left_of_one_output_is_removed_by_its_name() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let long = "ä".repeat(120);
        let paths = ["a.jsonl", "a.jsonl-b", &long].map(|name| folder.path().join(name));
        paths.iter().try_for_each(|path| kill(path))?;
        for (index, path) in paths.iter().enumerate() {
            remove_partials_of(path)?;
            assert_eq!(fs::read_dir(folder.path())?.count(), 4 - 2 * index, "{}", path.display());
        }
        Ok(())
    }

    /// Processes come and go beside each other: one that begins removes what was left, and never what another has only
    /// just made and does not hold yet.
    #[test]
    fn what_was_only_just_made_is_not_lost_to_another_process() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let removers = [(); 2].map(|()| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        remove_partial_files(folder.path())?;
                    }
                    Ok(())
                })
            });
            let path = folder.path().join("train.jsonl");
            let written = (0..500).try_for_each(|_| {
                let (file, (folder, _held)) = (begin_file(&path)?, begin_folder(&path, FOLDER_MODE)?);
                fs::metadata(file.path()).and(fs::metadata(folder.path())).map(drop)
            });
            is_over.store(true, Ordering::Relaxed);
            let removed: io::Result<()> =
                removers.into_iter().try_for_each(|remover| remover.join().expect("no panic"));
            written.and(removed)
        })
    }
}
