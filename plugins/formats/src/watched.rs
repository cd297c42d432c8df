//! A file's own reads, and the host's words where one failed: decoders pass errors on as their own, so that a disk that
//! cannot be read would else look like a damaged file.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use hilora_plugin_sdk::loader::SourceFile;

/// The host's last words on a failed read. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    /// Keeps the words.
    pub(crate) fn note(&self, error: &io::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    /// The words, once; `None` where no read failed.
    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A file whose failed reads are noted.
pub(crate) struct Watched {
    file: SourceFile,
    failure: Failure,
}

impl Watched {
    pub(crate) fn new(file: SourceFile, failure: Failure) -> Self {
        Self { file, failure }
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).inspect_err(|error| self.failure.note(error))
    }
}
