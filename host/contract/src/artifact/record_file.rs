//! A record file: an append-only file of sealed lines that a later run trusts: verdicts, answers, traces.
//!
//! A kill tears at most the last line, which is dropped: what it told is asked again. A whole line that is damaged is told
//! with file and line and dropped, too; the lines after it stand. A line that has its hash and cannot be read is another
//! version's: it is told and stays as it is. Lines without a hash, which versions from before there were hashes have left,
//! are read strictly and sealed when the file is opened.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::json_lines::{JsonLinesError, JsonRow, Line, Lines};
use super::sealed_line::{SealedLine, Unsealed};
use super::{FileError, open_in_place, write_atomic};

/// Bytes that are read at once while the end of the last whole line is looked for.
const PIECE_BYTES: usize = 64 << 10;

/// What a record holds.
#[derive(Debug)]
pub struct RecordRows<T> {
    /// Its rows, from the first to the last.
    pub rows: Vec<T>,
    /// What is wrong with each line that was passed over.
    pub damaged: Vec<JsonLinesError>,
    /// The lines among those that are whole, and that another version of this program can read.
    foreign: Vec<SealedLine>,
    /// Rows that stand there without a hash.
    without_hash: usize,
    /// Bytes up to the end of the last whole line.
    whole_bytes: u64,
}

/// An open record.
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    file: File,
}

impl RecordFile {
    /// The rows of a record, without touching it; none if there is no file.
    pub fn read<T: JsonRow>(path: &Path) -> Result<RecordRows<T>, FileError> {
        let (rows, damaged, foreign) = (Vec::new(), Vec::new(), Vec::new());
        let mut found = RecordRows { rows, damaged, foreign, without_hash: 0, whole_bytes: 0 };
        found.whole_bytes = match open_in_place(path, OpenOptions::new().read(true)).and_then(|file| whole_bytes(&file))
        {
            Ok(whole_bytes) => whole_bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(FileError::reading(path, error)),
        };
        let mut lines = Lines::open(path)?;
        while lines.bytes_read() < found.whole_bytes {
            match lines.next_line() {
                // What follows the last whole line, past blank ones, is torn.
                Ok(Some(line)) if line.begin < found.whole_bytes => found.take(line, path),
                Ok(_) => break,
                Err(JsonLinesError::File(error)) => return Err(error),
                Err(damaged) => found.damaged.push(damaged),
            }
        }
        Ok(found)
    }

    /// Opens a record to append to it; makes it and its folder if they are missing, and drops what is torn or damaged.
    pub fn open<T: JsonRow + Serialize>(path: &Path) -> Result<(Self, RecordRows<T>), FileError> {
        let failed = |error| FileError::writing(path, error);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let found = Self::read::<T>(path)?;
        if found.damaged.len() == found.foreign.len() && found.without_hash == 0 {
            let file = open_in_place(path, OpenOptions::new().append(true).create(true)).map_err(failed)?;
            file.set_len(found.whole_bytes).and_then(|()| file.sync_all()).map_err(failed)?;
            // A new file's name is durable only once its folder is.
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
            return Ok((Self { path: path.to_owned(), file }, found));
        }
        let mut lines = bytes_of(found.rows.iter());
        lines.extend(found.foreign.iter().cloned().flat_map(SealedLine::into_bytes));
        Ok((Self::replace(path, &lines)?, found))
    }

    /// Writes a record anew, atomically.
    pub fn write<'a, T: Serialize + 'a>(path: &Path, rows: impl Iterator<Item = &'a T>) -> Result<Self, FileError> {
        Self::replace(path, &bytes_of(rows))
    }

    fn replace(path: &Path, lines: &[u8]) -> Result<Self, FileError> {
        write_atomic(path, lines)?;
        let open = open_in_place(path, OpenOptions::new().append(true));
        let file = open.map_err(|error| FileError::writing(path, error))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Adds rows. They outlive the process when this returns, and a power cut after the next `sync`.
    pub fn append<'a, T: Serialize + 'a>(&mut self, rows: impl Iterator<Item = &'a T>) -> Result<(), FileError> {
        self.file.write_all(&bytes_of(rows)).map_err(|error| FileError::writing(&self.path, error))
    }

    /// Waits until everything that was added is on the disk.
    pub fn sync(&mut self) -> Result<(), FileError> {
        self.file.sync_data().map_err(|error| FileError::writing(&self.path, error))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl<T: JsonRow> RecordRows<T> {
    fn take(&mut self, line: Line, path: &Path) {
        let place = Line { text: String::new(), ..line };
        let opened = SealedLine::open(line.text).and_then(|opened| match opened {
            Unsealed::Whole(text) => T::read(&text).inspect_err(|_| self.foreign.extend(SealedLine::of_text(text))),
            // With a damaged key for its hash, a line has a key that nobody reads and is refused here.
            Unsealed::WithoutHash(text) => T::read(&text).inspect(|_| self.without_hash += 1),
        });
        match opened {
            Ok(row) => self.rows.push(row),
            Err(wrong) => self.damaged.push(place.wrong(path, wrong, None)),
        }
    }
}

fn bytes_of<'a, T: Serialize + 'a>(rows: impl Iterator<Item = &'a T>) -> Vec<u8> {
    rows.flat_map(|row| SealedLine::of(row).into_bytes()).collect()
}

/// How many bytes a file has up to the end of its last whole line.
fn whole_bytes(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut buffer = vec![0; PIECE_BYTES];
    while end > 0 {
        let piece = &mut buffer[..PIECE_BYTES.min(end as usize)];
        let begin = end - piece.len() as u64;
        file.read_exact_at(piece, begin)?;
        if let Some(last) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Answer {
        key: u32,
        text: String,
    }

    impl JsonRow for Answer {
        const EXPECTED: &'static str = "an answer";
    }

    fn answer(key: u32) -> Answer {
        Answer { key, text: format!("the text\nof ä {key}") }
    }

    #[test]
    fn a_flipped_byte_costs_its_line_or_two_and_is_told() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("stages/answers.jsonl");
        let (mut record, none) = RecordFile::open::<Answer>(&path)?;
        assert!(none.rows.is_empty() && none.damaged.is_empty());
        let answers = [1, 2, 3].map(answer);
        record.append(answers.iter())?;
        record.sync()?;
        let whole = fs::read(&path)?;
        // Every byte of the last line and of what ends the one before, and some of the others.
        for position in (0..whole.len()).filter(|at| at % 7 == 0 || at + 90 > whole.len()) {
            for bits in [[0x01, 0x80], [0x20, 0xff]][position % 2] {
                let mut damaged = whole.clone();
                damaged[position] ^= bits;
                fs::write(&path, &damaged)?;
                let (mut record, found) = RecordFile::open::<Answer>(&path)?;
                // What is read was written, in its order; a line that is lost was told or is the torn last one.
                assert!(found.rows.iter().all(|row| answers.contains(row)), "byte {position}: {:?}", found.rows);
                let is_torn = position + 1 == whole.len();
                assert!(found.rows.len() < 3 && (is_torn || !found.damaged.is_empty()), "byte {position}");
                for damage in &found.damaged {
                    let told = damage.to_string();
                    assert!(told.starts_with(&format!("{}, line ", path.display())), "{told}");
                }
                record.append([answer(4)].iter())?;
                let again = RecordFile::read::<Answer>(&path)?;
                assert!(again.damaged.is_empty() && again.rows.len() == found.rows.len() + 1, "byte {position}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_line_of_another_version_is_told_and_stays() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("answers.jsonl");
        let newer = SealedLine::of(&serde_json::json!({"key": 2, "text": "b", "cost": 0.5})).into_bytes();
        let mut lines = [SealedLine::of(&answer(1)).into_bytes(), newer.clone()].concat();
        fs::write(&path, &lines)?;
        // By itself it is no reason to write the file anew.
        let (mut record, found) = RecordFile::open::<Answer>(&path)?;
        assert_eq!((found.rows, found.damaged.len()), (vec![answer(1)], 1));
        record.append([answer(3)].iter())?;
        lines.extend(SealedLine::of(&answer(3)).into_bytes());
        assert_eq!(fs::read(&path)?, lines);
        // Beside a damaged one, which is dropped, it is written back.
        fs::write(&path, [b"nonsense\n", &lines[..]].concat())?;
        let (_, found) = RecordFile::open::<Answer>(&path)?;
        assert_eq!((found.rows.len(), found.damaged.len()), (2, 2));
        let rows = [1, 3].map(|key| SealedLine::of(&answer(key)).into_bytes()).concat();
        assert_eq!(fs::read(&path)?, [rows, newer].concat());
        Ok(())
    }

    #[test]
    fn a_link_and_a_pipe_in_its_place_are_refused() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let (theirs, link, pipe) =
            (folder.path().join("theirs"), folder.path().join("link"), folder.path().join("pipe"));
        fs::write(&theirs, "theirs, without an end of the line")?;
        std::os::unix::fs::symlink(&theirs, &link)?;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)?;
        for path in [&link, &pipe] {
            assert!(RecordFile::read::<Answer>(path).is_err());
            assert!(RecordFile::open::<Answer>(path).is_err());
        }
        assert_eq!(fs::read_to_string(&theirs)?, "theirs, without an end of the line");
        Ok(())
    }

    #[test]
    fn lines_from_before_there_were_hashes_are_sealed_and_strange_ones_told() -> Result<(), Box<dyn std::error::Error>>
    {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("answers.jsonl");
        let old =
            format!("{}\nnonsense\n{{\"key\":2,\"text\":\"b\",\"more\":0}}\n", serde_json::to_string(&answer(1))?);
        fs::write(&path, &old)?;
        assert_eq!(RecordFile::read::<Answer>(&path)?.rows, [answer(1)]);
        assert_eq!(fs::read_to_string(&path)?, old, "reading changes nothing");
        let (_, found) = RecordFile::open::<Answer>(&path)?;
        let told: Vec<String> = found.damaged.iter().map(ToString::to_string).collect();
        assert_eq!((found.rows.len(), told.len()), (1, 2));
        assert!(told[0].contains("line 2: expected an answer, a JSON object, got `nonsense`"), "{told:?}");
        assert_eq!(fs::read(&path)?, SealedLine::of(&answer(1)).into_bytes());
        Ok(())
    }
}
