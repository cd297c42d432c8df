//! The files of a base: every file in its folder that decides what is computed with it, their hash by name and content,
//! and whether they are still what was hashed.
//!
//! Weights are mapped, not read: what somebody writes into a base while it is used changes the numbers under way. So
//! nothing that lasts is made of a base whose files have changed since they were hashed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::ModelError;
use hilora_contract::artifact::{ContentHash, FileChange, FileStamp};

/// Endings of the files that decide: weights, configuration, tokenizer and chat template.
const HASHED_ENDINGS: [&str; 3] = ["json", "safetensors", "jinja"];

/// The files of a base as they were hashed. Its clones look at the same stamps.
#[derive(Debug, Clone)]
pub struct BaseFiles {
    hash: ContentHash,
    files: Arc<Mutex<Vec<HashedFile>>>,
}

/// A file with the stamp that it had before it was hashed.
#[derive(Debug)]
struct HashedFile {
    stamp: FileStamp,
    hash: ContentHash,
}

impl BaseFiles {
    /// Hashes the files of a base's folder. `on_bytes` is told how many bytes are read, of how many.
    pub fn hashed(folder: &Path, on_bytes: &mut dyn FnMut(u64, u64)) -> Result<Self, ModelError> {
        let unreadable = |source| ModelError::Base { folder: folder.to_owned(), source };
        // The stamps come first: what changes while it is hashed shows later.
        let stamps = stamps(folder).map_err(unreadable)?;
        let total: u64 = stamps.iter().map(FileStamp::bytes).sum();
        let mut done = 0;
        let mut listing = Vec::with_capacity(stamps.len());
        let mut files = Vec::with_capacity(stamps.len());
        for stamp in stamps {
            let path = stamp.path();
            let mut on_piece = |bytes: usize| {
                done += bytes as u64;
                on_bytes(done, total);
            };
            let hash = ContentHash::of_file_watched(path, &mut on_piece).map_err(unreadable)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            listing.push(format!("{name}\0{hash}"));
            files.push(HashedFile { stamp, hash });
        }
        listing.sort();
        let hash = ContentHash::of_parts(listing.iter().map(String::as_bytes));
        Ok(Self { hash, files: Arc::new(Mutex::new(files)) })
    }

    /// Their hash.
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// Refuses to go on if one of them was changed since. Where its rights, names or times alone were, its bytes are hashed
    /// again.
    pub fn check(&self) -> Result<(), ModelError> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().try_for_each(HashedFile::check)
    }
}

impl HashedFile {
    fn check(&mut self) -> Result<(), ModelError> {
        let path = self.stamp.path();
        let unreadable = |error| ModelError::reading(path, error);
        let Some(change) = self.stamp.change().map_err(unreadable)? else { return Ok(()) };
        match change {
            // The new stamp is from before the bytes are read: what changes while they are shows later.
            FileChange::Attributes(now) if ContentHash::of_file(path).map_err(unreadable)? == self.hash => {
                self.stamp = now;
                Ok(())
            }
            change => Err(ModelError::changed(path, &change)),
        }
    }
}

/// The stamps of the files that decide, in the order of their names.
fn stamps(folder: &Path) -> io::Result<Vec<FileStamp>> {
    let entries: io::Result<Vec<PathBuf>> = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
    let mut files = entries?;
    files.retain(|path| path.extension().is_some_and(|ending| HASHED_ENDINGS.iter().any(|hashed| ending == *hashed)));
    files.sort();
    files.iter().map(|path| FileStamp::of(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_decide_and_other_files_do_not() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        let hash = || BaseFiles::hashed(folder.path(), &mut |_, _| ()).map(|files| files.hash());
        write("config.json", "{}")?;
        write("model.safetensors", "weights")?;
        let first = hash()?;
        write("README.md", "a text")?;
        assert_eq!(hash()?, first);
        write("tokenizer.json", "{}")?;
        let with_tokenizer = hash()?;
        assert_ne!(with_tokenizer, first);
        std::fs::rename(folder.path().join("tokenizer.json"), folder.path().join("vocabulary.json"))?;
        assert_ne!(hash()?, with_tokenizer);
        let mut last = (0, 0);
        BaseFiles::hashed(folder.path(), &mut |done, total| last = (done, total))?;
        assert_eq!(last, (11, 11));
        let missing =
            BaseFiles::hashed(&folder.path().join("none"), &mut |_, _| ()).expect_err("there is no such folder");
        assert!(missing.to_string().starts_with("cannot read the base model "), "{missing}");
        Ok(())
    }

    #[test]
    fn a_base_that_was_written_into_is_refused_and_one_that_was_read_is_not() -> Result<(), Box<dyn std::error::Error>>
    {
        use hilora_contract::fault::{Blame, Fault};
        let folder = tempfile::tempdir()?;
        let weights = folder.path().join("model.safetensors");
        std::fs::write(&weights, "weights")?;
        let files = BaseFiles::hashed(folder.path(), &mut |_, _| ())?;
        std::fs::read(&weights)?;
        std::fs::write(folder.path().join("README.md"), "a text")?;
        files.check()?;
        std::thread::sleep(std::time::Duration::from_millis(30));
        std::fs::write(&weights, "others!")?;
        let error = files.check().expect_err("it was written into");
        let told = format!("{}: has changed while it was in use: it was written into", weights.display());
        assert_eq!((error.to_string(), error.blame(), error.hints().len()), (told, Blame::Machine, 1));
        Ok(())
    }

    #[test]
    fn a_base_whose_rights_or_names_alone_were_changed_is_hashed_again() -> Result<(), Box<dyn std::error::Error>> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir()?;
        let weights = folder.path().join("model.safetensors");
        std::fs::write(&weights, "weights")?;
        let files = BaseFiles::hashed(folder.path(), &mut |_, _| ())?;
        let pause = || std::thread::sleep(std::time::Duration::from_millis(30));
        pause();
        std::fs::hard_link(&weights, folder.path().join("backup"))?;
        files.check()?;
        pause();
        std::fs::set_permissions(&weights, std::fs::Permissions::from_mode(0o600))?;
        files.clone().check()?;
        let is_renewed = |file: &HashedFile| file.stamp.change().is_ok_and(|change| change.is_none());
        assert!(
            files.files.lock().expect("nobody panicked").iter().all(is_renewed),
            "it is hashed once for each change"
        );
        // Others' bytes under the old time are noticed.
        let modified = std::fs::metadata(&weights)?.modified()?;
        pause();
        std::fs::write(&weights, "others!")?;
        std::fs::File::options().write(true).open(&weights)?.set_modified(modified)?;
        let refused = files.check().expect_err("its bytes are others").to_string();
        assert!(refused.ends_with("its rights, names or times were changed"), "{refused}");
        Ok(())
    }
}
