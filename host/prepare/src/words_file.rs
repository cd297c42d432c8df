//! A words file: the words of every text that is compared, out of memory, so that how much memory preparing takes does
//! not grow with how long its texts are. It has no name, and is gone with the process however that ends.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::PrepareError;
use super::fingerprint::{Bands, Shingles, Words};
use hilora_contract::artifact::FileError;

/// The bytes of one word.
const WORD_BYTES: u64 = size_of::<u32>() as u64;

/// Where the words of a text stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The first word's index in the file.
    start: u64,
    count: u32,
}

impl Stretch {
    /// How many hashes it has.
    pub(super) fn hashes(self) -> usize {
        self.count as usize
    }
}

/// How a text is found and compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fingerprint {
    /// Under which keys it is looked for.
    pub(super) bands: Bands,
    /// Where its words are.
    pub(super) words: Stretch,
}

/// The file.
pub(super) struct WordsFile {
    file: File,
    /// Where it stands, for messages.
    folder: PathBuf,
    /// How many words it has.
    words: u64,
    /// The last of them, which are still to be written.
    pending: Vec<u8>,
}

impl WordsFile {
    /// Makes an empty one in this folder, which is made where it is missing.
    pub(super) fn create(folder: &Path) -> Result<Self, PrepareError> {
        let file = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
        let file = file.map_err(|error| FileError::writing(folder, error))?;
        Ok(Self { file, folder: folder.to_owned(), words: 0, pending: Vec::new() })
    }

    /// Adds a text; it can be read once the file is flushed.
    pub(super) fn add(&mut self, text: &Words) -> Stretch {
        let hashes = text.hashes();
        let count = u32::try_from(hashes.len()).expect("a text of four billion words does not fit in memory");
        let stretch = Stretch { start: self.words, count };
        self.words += u64::from(count);
        self.pending.extend(hashes.iter().flat_map(|hash| hash.to_ne_bytes()));
        stretch
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self) -> Result<(), PrepareError> {
        let end = self.words * WORD_BYTES;
        let written = self.file.write_all_at(&self.pending, end - self.pending.len() as u64);
        written.map_err(|error| FileError::writing(&self.folder, error))?;
        self.pending.clear();
        Ok(())
    }

    /// Reads a text.
    pub(super) fn read(&self, stretch: Stretch) -> Result<Words, PrepareError> {
        let mut bytes = vec![0; stretch.count as usize * size_of::<u32>()];
        let read = self.file.read_exact_at(&mut bytes, stretch.start * WORD_BYTES);
        read.map_err(|error| PrepareError::PhaseFile(FileError::reading(&self.folder, error).into()))?;
        Ok(Words::from_hashes(bytes.as_chunks().0.iter().map(|hash| u32::from_ne_bytes(*hash)).collect()))
    }
}

/// A text that is compared with others; it is read when the first of them comes.
pub(super) struct Comparison<'a> {
    file: &'a WordsFile,
    text: Stretch,
    shingles: Option<Shingles>,
}

impl<'a> Comparison<'a> {
    pub(super) fn of(text: Stretch, file: &'a WordsFile) -> Self {
        Self { file, text, shingles: None }
    }

    /// The name of the first of these texts that resembles this one.
    pub(super) fn first_near(
        &mut self,
        texts: impl IntoIterator<Item = (usize, Stretch)>,
    ) -> Result<Option<usize>, PrepareError> {
        for (name, text) in texts {
            if self.near(text)? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Whether the other text resembles this one.
    pub(super) fn near(&mut self, other: Stretch) -> Result<bool, PrepareError> {
        let shingles = match self.shingles.take() {
            Some(shingles) => shingles,
            None => self.file.read(self.text)?.shingles(),
        };
        let shingles = self.shingles.insert(shingles);
        Ok(self.file.read(other)?.shingles().near(shingles))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_no_file_is_left() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("stages");
        let mut file = WordsFile::create(&path)?;
        let texts = ["one two three", "", "four"].map(Words::of_text);
        let mut stretches = vec![file.add(&texts[0]), file.add(&texts[1])];
        file.flush()?;
        stretches.push(file.add(&texts[2]));
        file.flush()?;
        let read = stretches.iter().map(|stretch| file.read(*stretch)).collect::<Result<Vec<_>, _>>()?;
        assert_eq!(read, texts);
        let mut comparison = Comparison::of(stretches[0], &file);
        assert!(comparison.near(stretches[0])? && !comparison.near(stretches[2])?);
        assert_eq!(fs::read_dir(&path)?.count(), 0);
        Ok(())
    }
}
