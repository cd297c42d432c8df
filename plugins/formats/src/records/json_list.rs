//! The items of a file that is one JSON list. An item is cut out by its brackets and quotation marks and read by itself, so
//! that one that is no JSON costs that item only. It keeps one item at a time, and of one that is too long nothing.

use hilora_plugin_sdk::loader::LoadError;

use super::byte_lines::{KEPT_BYTES, append};
use super::decompressed::Decompressed;
use super::record::{Position, ROW_BYTES_MAX, Record, Records};
use crate::skip::Skip;

/// Whether a text begins like a list of objects, or an empty one. A byte order mark and white space may stand before it. What
/// is listed is looked at, too: a line of which one byte is damaged is no list.
pub(super) fn is_list(beginning: &[u8]) -> bool {
    let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning);
    let items = text.trim_ascii_start().strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    items.is_some_and(|items| items.starts_with(b"{") || items.starts_with(b"]"))
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The opening bracket.
    List,
    /// An item or the closing bracket.
    FirstItem,
    /// A comma or the closing bracket.
    Comma,
    /// Nothing.
    End,
}

/// A list that is being read.
pub(super) struct JsonList {
    text: Decompressed,
    next: Next,
    item: Vec<u8>,
    /// The line of the byte that comes next, from 1.
    line: u64,
    index: u64,
}

impl JsonList {
    pub(super) fn new(text: Decompressed) -> Self {
        Self { text, next: Next::List, item: Vec::new(), line: 1, index: 0 }
    }

    /// The next byte that is no white space, which stays where it is; `None` at the end of the file.
    fn look(&mut self, row: u64) -> Result<Option<u8>, LoadError> {
        loop {
            let piece = self.text.peek(self.line, row)?;
            if piece.is_empty() {
                return Ok(None);
            }
            let blank = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
            let at = piece.iter().position(|byte| !blank(byte));
            let passed = &piece[..at.unwrap_or(piece.len())];
            let (length, found) = (passed.len(), at.map(|at| piece[at]));
            self.line += lines_in(passed);
            self.text.consume(length);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Reads an item up to the comma or bracket behind it, and gives its length.
    fn read_item(&mut self, row: u64) -> Result<u64, LoadError> {
        self.item.clear();
        self.item.shrink_to(KEPT_BYTES);
        let (mut inside, mut escaped, mut depth, mut bytes) = (false, false, 0_u64, 0_u64);
        loop {
            let piece = self.text.peek(self.line, row)?;
            if piece.is_empty() {
                let what = format!("the file ends inside the item {} of its list", self.index);
                return Err(self.text.malformed(self.line, row, &what));
            }
            let mut end = None;
            for (at, byte) in piece.iter().enumerate() {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if inside => escaped = true,
                    b'"' => inside = !inside,
                    _ if inside => {}
                    b',' | b']' if depth == 0 => {
                        end = Some(at);
                        break;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            let piece = &piece[..end.unwrap_or(piece.len())];
            if bytes + piece.len() as u64 <= ROW_BYTES_MAX as u64 {
                append(&mut self.item, piece, ROW_BYTES_MAX);
            } else {
                self.item.clear();
            }
            bytes += piece.len() as u64;
            self.line += lines_in(piece);
            let consumed = piece.len();
            self.text.consume(consumed);
            if end.is_some() {
                return Ok(bytes);
            }
        }
    }
}

impl Records for JsonList {
    fn next(&mut self, row: u64) -> Result<Option<(Position, Record<'_>)>, LoadError> {
        if self.next == Next::List {
            if self.text.peek(1, row)?.starts_with(b"\xef\xbb\xbf") {
                self.text.consume(3);
            }
            match self.look(row)? {
                Some(b'[') => self.text.consume(1),
                _ => return Err(self.text.malformed(self.line, row, "expected a JSON list")),
            }
            self.next = Next::FirstItem;
        }
        if self.next == Next::End {
            return Ok(None);
        }
        let found = self.look(row)?;
        if found == Some(b']') {
            self.text.consume(1);
            self.next = Next::End;
            return match self.look(row)? {
                None => Ok(None),
                Some(_) => Err(self.text.malformed(self.line, row, "expected nothing after the end of the list")),
            };
        }
        if self.next == Next::Comma {
            match found {
                Some(b',') => self.text.consume(1),
                _ => return Err(self.text.malformed(self.line, row, "expected `,` or `]` after an item of the list")),
            }
            self.look(row)?;
        }
        let position = Position::Item { index: self.index, line: self.line };
        let bytes = self.read_item(row)?;
        self.next = Next::Comma;
        self.index += 1;
        Ok(Some(match bytes > ROW_BYTES_MAX as u64 {
            true => {
                let detail = format!("the item has {bytes} bytes, expected at most {ROW_BYTES_MAX}");
                (position, Record::Skipped(Skip::new("row-too-long", detail)))
            }
            false => (position, Record::Text(self.item.trim_ascii_end())),
        }))
    }
}

fn lines_in(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
