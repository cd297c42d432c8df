//! The lines of a file as bytes, plain or out of a gzip. It keeps one line at a time, and of a line that is too long
//! nothing: a small gzip that inflates to gigabytes costs time, not memory.

use std::io::{self, BufRead, BufReader};

use flate2::bufread::MultiGzDecoder;
use hilora_plugin_sdk::loader::{LoadError, MalformedFile, SourceFile};

use crate::watched::{Failure, Watched};

/// How many bytes are asked for at once.
const READ_BYTES: usize = 1 << 18;

/// The line buffer's size that is kept from one line to the next.
const KEPT_BYTES: usize = 1 << 20;

/// One line without its end.
pub(super) enum ByteLine<'a> {
    Whole(&'a [u8]),
    /// It had this many bytes, and none is kept.
    TooLong {
        bytes: u64,
    },
}

/// A file cut into lines.
pub(super) struct ByteLines {
    name: String,
    failure: Failure,
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    lines_read: u64,
}

impl ByteLines {
    pub(super) fn open(file: SourceFile) -> Result<Self, LoadError> {
        let name = file.name().to_owned();
        let head = file.read_at(0, 2).map_err(|error| LoadError::Unreadable(format!("{name}: {error}")))?;
        let failure = Failure::default();
        let plain = BufReader::with_capacity(READ_BYTES, Watched::new(file, failure.clone()));
        let reader: Box<dyn BufRead> = match &head[..] {
            [0x1f, 0x8b] => Box::new(BufReader::with_capacity(READ_BYTES, MultiGzDecoder::new(plain))),
            _ => Box::new(plain),
        };
        Ok(Self { name, failure, reader, line: Vec::new(), lines_read: 0 })
    }

    /// How many lines were read: the number of the last one, from 1.
    pub(super) fn lines_read(&self) -> u64 {
        self.lines_read
    }

    /// The next line of at most `bytes_max` bytes; `None` at the end of the file. `row` is for messages.
    pub(super) fn next(&mut self, bytes_max: usize, row: u64) -> Result<Option<ByteLine<'_>>, LoadError> {
        self.line.clear();
        self.line.shrink_to(KEPT_BYTES);
        let mut bytes = 0_u64;
        let mut ended = false;
        while !ended {
            let piece = match self.reader.fill_buf() {
                Ok([]) => break,
                Ok(piece) => piece,
                Err(error) => return Err(self.error(row, &error)),
            };
            let end = memchr::memchr(b'\n', piece);
            let piece = &piece[..end.unwrap_or(piece.len())];
            if bytes + piece.len() as u64 <= bytes_max as u64 {
                append(&mut self.line, piece, bytes_max);
            } else {
                self.line.clear();
            }
            bytes += piece.len() as u64;
            ended = end.is_some();
            let consumed = piece.len() + usize::from(ended);
            self.reader.consume(consumed);
        }
        if bytes == 0 && !ended {
            return Ok(None);
        }
        self.lines_read += 1;
        if bytes > bytes_max as u64 {
            return Ok(Some(ByteLine::TooLong { bytes }));
        }
        let mark: &[u8] = if self.lines_read == 1 { b"\xef\xbb\xbf" } else { b"" };
        Ok(Some(ByteLine::Whole(self.line.strip_prefix(mark).unwrap_or(&self.line))))
    }

    /// What a failed read means: the host could not read, or the gzip is damaged.
    fn error(&self, row: u64, error: &io::Error) -> LoadError {
        match self.failure.take() {
            Some(words) => LoadError::Unreadable(format!("{}: {words}", self.name)),
            None => LoadError::Malformed(MalformedFile {
                file: self.name.clone(),
                row: Some(row),
                detail: format!("line {}: the gzip is damaged: {error}", self.lines_read + 1),
            }),
        }
    }
}

/// Appends and never reserves more than the longest line may need.
fn append(line: &mut Vec<u8>, piece: &[u8], bytes_max: usize) {
    let needed = line.len() + piece.len();
    if needed > line.capacity() {
        let wanted = needed.max((line.capacity() * 2).min(bytes_max));
        line.reserve_exact(wanted - line.len());
    }
    line.extend_from_slice(piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], bytes_max: usize) -> Vec<String> {
        let mut lines = ByteLines::open(SourceFile::from_bytes("a.jsonl", bytes.to_vec())).expect("memory is readable");
        let mut found = Vec::new();
        while let Some(line) = lines.next(bytes_max, 0).expect("it is whole") {
            found.push(match line {
                ByteLine::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                ByteLine::TooLong { bytes } => format!("<{bytes}>"),
            });
        }
        assert_eq!(lines.lines_read(), found.len() as u64);
        found
    }

    #[test]
    fn the_last_line_needs_no_end() {
        assert_eq!(lines(b"one\n\ntwo", 9), ["one", "", "two"]);
        assert_eq!(lines(b"one\n", 9), ["one"]);
        assert_eq!(lines(b"\n", 9), [""]);
        assert!(lines(b"", 9).is_empty());
    }

    #[test]
    fn a_long_line_is_passed_over_to_its_end() {
        assert_eq!(lines(b"123\n1234\n12345\nab", 4), ["123", "1234", "<5>", "ab"]);
        let long = "x".repeat(3 * READ_BYTES);
        assert_eq!(lines(format!("a\n{long}\nb").as_bytes(), READ_BYTES + 1), ["a", "<786432>", "b"]);
        assert_eq!(lines(format!("a\n{long}\nb").as_bytes(), 3 * READ_BYTES), ["a", &long, "b"]);
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        assert_eq!(lines(b"\xef\xbb\xbfone\n\xef\xbb\xbftwo", 9), ["one", "\u{feff}two"]);
    }
}
