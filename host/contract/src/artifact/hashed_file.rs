//! A hashed file: an atomic file that is hashed while it is written, both on a thread of its own, so that whoever makes
//! the bytes need not wait for either.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::{AtomicFile, ContentHash, ContentHasher, FileError};

/// Lists of pieces that wait to be written; each is what a part of the rows becomes.
const LISTS_WAITING: usize = 2;

type Written = Result<(Option<AtomicFile>, ContentHash), FileError>;

/// A file on its way. Dropped before `finish`, it leaves nothing.
pub struct HashedFile {
    /// Where it is to stand, for messages.
    path: PathBuf,
    lists: Option<SyncSender<Vec<Vec<u8>>>>,
    writing: Option<JoinHandle<Written>>,
}

impl HashedFile {
    /// Begins a file that is to stand at `path`; with `None` the bytes are only hashed.
    pub fn create(path: Option<&Path>) -> Result<Self, FileError> {
        let file = path.map(AtomicFile::create).transpose()?;
        let (send, lists) = sync_channel(LISTS_WAITING);
        let path = path.map(Path::to_owned).unwrap_or_default();
        Ok(Self { path, lists: Some(send), writing: Some(thread::spawn(move || write_all(file, &lists))) })
    }

    /// Adds pieces in their order. That writing failed may show at a later call.
    pub fn push(&mut self, list: Vec<Vec<u8>>) -> Result<(), FileError> {
        let sent = self.lists.as_ref().is_some_and(|lists| lists.send(list).is_ok());
        if sent { Ok(()) } else { self.end().map(drop) }
    }

    /// The whole file, to be committed, and its hash.
    pub fn finish(mut self) -> Written {
        self.end()
    }

    /// Waits for the thread, which ends with the pieces or with an error.
    fn end(&mut self) -> Written {
        self.lists = None;
        match self.writing.take() {
            Some(writing) => writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => Err(FileError::writing(&self.path, io::Error::other("an earlier piece could not be written"))),
        }
    }
}

impl Drop for HashedFile {
    fn drop(&mut self) {
        self.lists = None;
        if let Some(writing) = self.writing.take() {
            // The thread holds the temporary file: it is gone when the thread is.
            drop(writing.join());
        }
    }
}

fn write_all(mut file: Option<AtomicFile>, lists: &Receiver<Vec<Vec<u8>>>) -> Written {
    let mut hasher = ContentHasher::default();
    for piece in lists.iter().flatten() {
        hasher.update(&piece);
        if let Some(file) = &mut file {
            file.append(&piece)?;
        }
    }
    Ok((file, hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_files_bytes() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("data/train.jsonl");
        for path in [Some(path.as_path()), None] {
            let mut file = HashedFile::create(path)?;
            for list in [&[&b"one\n"[..], b""][..], &[], &[b"two\n"]] {
                file.push(list.iter().map(|piece| piece.to_vec()).collect())?;
            }
            let (file, hash) = file.finish()?;
            assert_eq!((file.is_some(), hash), (path.is_some(), ContentHash::of(b"one\ntwo\n")));
            file.map_or(Ok(()), AtomicFile::commit)?;
        }
        assert_eq!(std::fs::read(&path)?, b"one\ntwo\n");
        Ok(())
    }

    #[test]
    fn dropped_early_it_leaves_nothing() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut file = HashedFile::create(Some(&folder.path().join("train.jsonl")))?;
        file.push(vec![b"one\n".to_vec()])?;
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
        Ok(())
    }
}
