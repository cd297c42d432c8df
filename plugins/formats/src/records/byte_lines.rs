//! The lines of a text as bytes. It keeps one line at a time, and of a line that is too long nothing.

use hilora_plugin_sdk::loader::LoadError;

use super::decompressed::Decompressed;
use super::record::{Position, ROW_BYTES_MAX, Record, Records};
use crate::skip::Skip;

/// The line buffer's size that is kept from one line to the next.
pub(super) const KEPT_BYTES: usize = 1 << 20;

/// One line without its end.
enum ByteLine<'a> {
    Whole(&'a [u8]),
    /// It had this many bytes, and none is kept.
    TooLong {
        bytes: u64,
    },
}

/// A text cut into lines.
pub(super) struct ByteLines {
    text: Decompressed,
    line: Vec<u8>,
    lines_read: u64,
}

impl ByteLines {
    pub(super) fn new(text: Decompressed) -> Self {
        Self { text, line: Vec::new(), lines_read: 0 }
    }

    /// The next line of at most `bytes_max` bytes; `None` at the end of the file. `row` is for messages.
    fn next_line(&mut self, bytes_max: usize, row: u64) -> Result<Option<ByteLine<'_>>, LoadError> {
        self.line.clear();
        self.line.shrink_to(KEPT_BYTES);
        let mut bytes = 0_u64;
        let mut ended = false;
        while !ended {
            let piece = self.text.peek(self.lines_read + 1, row)?;
            if piece.is_empty() {
                break;
            }
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
            self.text.consume(consumed);
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
}

impl Records for ByteLines {
    /// The next line that is not blank.
    fn next(&mut self, row: u64) -> Result<Option<(Position, Record<'_>)>, LoadError> {
        loop {
            let position = Position::Line(self.lines_read + 1);
            // Whether it is blank is seen before it is handed out: what is handed out stays borrowed.
            let too_long = match self.next_line(ROW_BYTES_MAX, row)? {
                None => return Ok(None),
                Some(ByteLine::Whole(bytes)) if bytes.trim_ascii().is_empty() => continue,
                Some(ByteLine::Whole(_)) => None,
                Some(ByteLine::TooLong { bytes }) => Some(bytes),
            };
            return Ok(Some(match too_long {
                Some(bytes) => {
                    let detail = format!("the line has {bytes} bytes, expected at most {ROW_BYTES_MAX}");
                    (position, Record::Skipped(Skip::new("line-too-long", detail)))
                }
                None => {
                    let mark: &[u8] = if self.lines_read == 1 { b"\xef\xbb\xbf" } else { b"" };
                    (position, Record::Text(self.line.strip_prefix(mark).unwrap_or(&self.line)))
                }
            }));
        }
    }
}

/// Appends and never reserves more than the longest row may need.
pub(super) fn append(line: &mut Vec<u8>, piece: &[u8], bytes_max: usize) {
    let needed = line.len() + piece.len();
    if needed > line.capacity() {
        let wanted = needed.max((line.capacity() * 2).min(bytes_max));
        line.reserve_exact(wanted - line.len());
    }
    line.extend_from_slice(piece);
}

#[cfg(test)]
mod tests {
    use hilora_plugin_sdk::loader::SourceFile;

    use super::super::decompressed::READ_BYTES;
    use super::*;

    fn lines(bytes: &[u8], bytes_max: usize) -> Vec<String> {
        let file = SourceFile::from_bytes("a.jsonl", bytes.to_vec());
        let mut lines = ByteLines::new(Decompressed::open(file).expect("memory is readable"));
        let mut found = Vec::new();
        while let Some(line) = lines.next_line(bytes_max, 0).expect("it is whole") {
            found.push(match line {
                ByteLine::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                ByteLine::TooLong { bytes } => format!("<{bytes}>"),
            });
        }
        assert_eq!(lines.lines_read, found.len() as u64);
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
