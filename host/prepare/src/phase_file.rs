//! Phase files: what a costly phase of preparing has made, one JSON object a line, kept under `stages/` in the run and
//! found again by the hash of everything that went in. Nothing of it is an artefact of the run; deleted or damaged, it is
//! made anew and gives the same bytes. Rows and receipt are sealed lines: what was whole when it was found and is no more
//! when it is read ends the run, and the next one makes the file anew.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::PrepareError;
use hilora_contract::artifact::{
    AtomicFile, AtomicFolder, ContentHash, HashedFile, JsonLinesError, JsonRow, Line, Lines, SealedLine, read_sealed,
    require_free_space, write_sealed,
};

/// The most rows that are read together.
const ROWS_PER_PART: usize = 512;
/// A part ends with the row that fills it to so many bytes, so that long rows do not fill the memory.
const BYTES_PER_PART: usize = 8 << 20;

/// Where phase files stand: in the run, or in a temporary folder that a dry run leaves nothing in.
pub(super) struct PhaseFolder {
    path: PathBuf,
    _temporary: Option<AtomicFolder>,
}

/// What stands beside a whole phase file.
#[derive(Serialize, Deserialize)]
struct Receipt<S> {
    /// The hash of everything that went in.
    key: ContentHash,
    /// The hash of the rows' file.
    content: ContentHash,
    summary: S,
}

impl PhaseFolder {
    pub(super) fn new(run_folder: Option<&Path>) -> Result<Self, PrepareError> {
        if let Some(run) = run_folder {
            return Ok(Self { path: run.join("stages"), _temporary: None });
        }
        // Never made visible, it goes when the dry run ends, or with the next one if that one was killed.
        // Named by the user: another one's is not in the way.
        let name = format!("hilora-host-dry-run-{}", rustix::process::geteuid().as_raw());
        let temporary = AtomicFolder::create_private(std::env::temp_dir().join(name))?;
        Ok(Self { path: temporary.partial().to_owned(), _temporary: Some(temporary) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The phase's file if it is whole and was made of exactly this.
    pub(super) fn find<R, S: DeserializeOwned>(&self, phase: &str, key: ContentHash) -> Option<PhaseFile<R, S>> {
        let receipt: Receipt<S> = read_sealed(&self.receipt(phase)).ok()??;
        let path = self.rows(phase);
        let whole = receipt.key == key && ContentHash::of_file(&path).ok()? == receipt.content;
        whole.then_some(PhaseFile { path, content: receipt.content, summary: receipt.summary, rows: PhantomData })
    }

    /// Begins the phase's file anew.
    pub(super) fn create<R: Serialize>(&self, phase: &str) -> Result<PhaseWriter<R>, PrepareError> {
        let path = self.rows(phase);
        let file = HashedFile::create(Some(&path))?;
        Ok(PhaseWriter { path, receipt: self.receipt(phase), file, rows: PhantomData })
    }

    fn rows(&self, phase: &str) -> PathBuf {
        self.path.join(format!("{phase}.jsonl"))
    }

    fn receipt(&self, phase: &str) -> PathBuf {
        self.path.join(format!("{phase}.json"))
    }
}

/// A phase file that is being written.
pub(super) struct PhaseWriter<R> {
    path: PathBuf,
    receipt: PathBuf,
    file: HashedFile,
    rows: PhantomData<R>,
}

/// A row as it stands in a file.
pub(super) fn line(row: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(row).expect("plain structs with text keys always serialize");
    line.push(b'\n');
    line
}

impl<R: Serialize + Sync> PhaseWriter<R> {
    /// Adds rows in their order.
    pub(super) fn push(&mut self, rows: &[R]) -> Result<(), PrepareError> {
        let lines: Vec<Vec<u8>> = rows.par_iter().map(|row| SealedLine::of(row).into_bytes()).collect();
        let bytes = lines.iter().map(|line| line.len() as u64).sum();
        require_free_space(self.path.parent().unwrap_or(Path::new(".")), bytes)?;
        Ok(self.file.push(lines)?)
    }

    /// Makes the file findable under `key`.
    pub(super) fn finish<S: Serialize>(self, key: ContentHash, summary: S) -> Result<PhaseFile<R, S>, PrepareError> {
        let (file, content) = self.file.finish()?;
        file.map_or(Ok(()), AtomicFile::commit)?;
        let receipt = Receipt { key, content, summary };
        write_sealed(&self.receipt, &receipt)?;
        Ok(PhaseFile { path: self.path, content, summary: receipt.summary, rows: PhantomData })
    }
}

impl<R, S> PhaseFile<R, S> {
    /// The hash of the rows.
    pub(super) fn content(&self) -> ContentHash {
        self.content
    }
}

/// A whole phase file: its rows, read one after another, and what was counted over them.
pub(super) struct PhaseFile<R, S> {
    path: PathBuf,
    content: ContentHash,
    pub(super) summary: S,
    rows: PhantomData<R>,
}

impl<R: JsonRow + Send + 'static, S> PhaseFile<R, S> {
    /// The rows from the first to the last, some at a time, read ahead while those before are used. Their number in a
    /// part says nothing.
    pub(super) fn parts(&self) -> Result<Parts<R>, PrepareError> {
        let path = self.path.clone();
        let mut lines = Lines::open(&path).map_err(|error| PrepareError::PhaseFile(error.into()))?;
        let mut next = move || -> Result<Vec<R>, PrepareError> {
            let part = part(&mut lines)?;
            let rows: Result<Vec<R>, JsonLinesError> =
                part.into_par_iter().map(|line| line.read_sealed(&path)).collect();
            Ok(rows?)
        };
        let (send, parts) = sync_channel(1);
        // The thread ends with the rows, an error, or the receiver.
        let reading = thread::spawn(move || {
            loop {
                let part = next();
                let last = part.is_err();
                if part.as_ref().is_ok_and(Vec::is_empty) || send.send(part).is_err() || last {
                    break;
                }
            }
        });
        Ok(Parts { parts, reading: Some(reading) })
    }
}

/// The rows of a phase file, some at a time.
pub(super) struct Parts<R> {
    parts: Receiver<Result<Vec<R>, PrepareError>>,
    /// The thread that reads ahead, until it has ended.
    reading: Option<JoinHandle<()>>,
}

impl<R> Iterator for Parts<R> {
    type Item = Result<Vec<R>, PrepareError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Ok(part) = self.parts.recv() {
            return Some(part);
        }
        // Nothing more comes because all was read, or because the thread panicked: rows must not end early unseen.
        if let Some(Err(panic)) = self.reading.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        None
    }
}

/// The lines of the next part; none at the end.
fn part(lines: &mut Lines) -> Result<Vec<Line>, JsonLinesError> {
    let mut part = Vec::new();
    let mut bytes = 0;
    while part.len() < ROWS_PER_PART && bytes < BYTES_PER_PART {
        let Some(line) = lines.next_line()? else { break };
        bytes += line.text.len();
        part.push(line);
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Number {
        number: u32,
    }

    impl JsonRow for Number {
        const EXPECTED: &'static str = "a number";
    }

    fn write(folder: &PhaseFolder, key: &[u8]) -> Result<(), PrepareError> {
        let mut writer = folder.create::<Number>("verified")?;
        writer.push(&[0, 1].map(|number| Number { number }))?;
        writer.push(&[Number { number: 2 }])?;
        writer.finish(ContentHash::of(key), "three".to_owned()).map(|_| ())
    }

    #[test]
    fn a_phase_is_found_by_what_went_in_and_only_whole() -> Result<(), Box<dyn std::error::Error>> {
        let run = tempfile::tempdir()?;
        let folder = PhaseFolder::new(Some(run.path()))?;
        let find = |key: &[u8]| folder.find::<Number, String>("verified", ContentHash::of(key));
        assert!(find(b"a").is_none());
        write(&folder, b"a")?;
        let phase = find(b"a").ok_or("it was just written")?;
        let numbers = [0, 1, 2].map(|number| Number { number });
        assert_eq!(phase.parts()?.collect::<Result<Vec<_>, _>>()?, [numbers]);
        assert_eq!(phase.summary, "three");
        assert!(find(b"b").is_none(), "something else went in");
        fs::write(folder.rows("verified"), b"{\"number\":0}\n")?;
        assert!(find(b"a").is_none(), "the file was cut");
        Ok(())
    }

    #[test]
    fn a_flipped_byte_of_rows_or_receipt_makes_the_phase_anew() -> Result<(), Box<dyn std::error::Error>> {
        let run = tempfile::tempdir()?;
        let folder = PhaseFolder::new(Some(run.path()))?;
        write(&folder, b"a")?;
        let find = || folder.find::<Number, String>("verified", ContentHash::of(b"a"));
        let found = find().ok_or("it was just written")?;
        for path in [folder.receipt("verified"), folder.rows("verified")] {
            let whole = fs::read(&path)?;
            for position in 0..whole.len() {
                let mut damaged = whole.clone();
                damaged[position] ^= [1, 0x80][position % 2];
                fs::write(&path, &damaged)?;
                assert!(find().is_none(), "{}, byte {position}", path.display());
                // Damaged after it was found: an error that names file and line, and never other rows.
                if path == folder.rows("verified") {
                    let read: Result<Vec<_>, _> = found.parts()?.collect();
                    let told = read.expect_err("a row is damaged").to_string();
                    assert!(told.starts_with(&format!("{}, line ", path.display())), "{told}");
                }
            }
            fs::write(&path, &whole)?;
        }
        assert!(find().is_some());
        Ok(())
    }

    /// A row that cannot be read because reading it panics.
    #[derive(Debug)]
    struct Broken;

    impl<'de> Deserialize<'de> for Broken {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("a defect while rows are read ahead")
        }
    }

    impl JsonRow for Broken {
        const EXPECTED: &'static str = "nothing";
    }

    #[test]
    #[should_panic(expected = "a defect while rows are read ahead")]
    fn rows_do_not_end_where_their_reader_panics() {
        let run = tempfile::tempdir().expect("a temporary folder");
        let folder = PhaseFolder::new(Some(run.path())).expect("a folder");
        write(&folder, b"a").expect("a phase");
        let phase = folder.find::<Broken, String>("verified", ContentHash::of(b"a")).expect("it was just written");
        let rows = phase.parts().expect("it can be opened").count();
        assert_eq!(rows, 0, "they ended as if all were read");
    }
}
