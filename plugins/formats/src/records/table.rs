//! The rows of a table in text: CSV and TSV, whose first row names the columns. Cells may stand in quotation marks as RFC
//! 4180 and Python's `csv` have it, line ends included. A row becomes a JSON object of texts; an empty cell has no value.

use hilora_plugin_sdk::loader::LoadError;

use super::byte_lines::KEPT_BYTES;
use super::decompressed::Decompressed;
use super::record::{Position, ROW_BYTES_MAX, Record, Records};
use crate::skip::Skip;

/// The most columns of a table, as of fields of a JSON object.
const COLUMNS_MAX: usize = 4096;

/// What stands between the cells of a file with this name and beginning; `None` if it is no table.
pub(super) fn separator(name: &str, beginning: &[u8]) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    if [".tsv", ".tab"].iter().any(|ending| name.ends_with(ending)) {
        return Some(b'\t');
    }
    if !name.ends_with(".csv") {
        return None;
    }
    // Some programs write what their country puts between cells, and still call it CSV.
    let mut inside = false;
    let unquoted = beginning.iter().copied().filter(|byte| {
        inside ^= *byte == b'"';
        !inside
    });
    let header: Vec<u8> = unquoted.take_while(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    Some([b',', b'\t', b';'].into_iter().find(|separator| header.contains(separator)).unwrap_or(b','))
}

/// The cells of one row, one after the other.
#[derive(Default)]
struct Cells {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// How many bytes the row has in the file.
    length: u64,
}

impl Cells {
    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.ends.clear();
        self.length = 0;
    }

    fn is_too_long(&self) -> bool {
        self.length > ROW_BYTES_MAX as u64
    }

    fn push(&mut self, byte: u8) {
        if !self.is_too_long() {
            self.bytes.push(byte);
        }
    }

    fn end_cell(&mut self) {
        // Of more cells than any table has columns only the number counts, and that there are too many.
        if self.ends.len() <= COLUMNS_MAX {
            self.ends.push(self.bytes.len());
        }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// Where the reader stands in a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Plain,
    Quoted,
    /// Behind a quotation mark within a quoted cell: the cell's end, or the first of two.
    Mark,
}

/// A table that is being read.
pub(super) struct Table {
    text: Decompressed,
    separator: u8,
    /// The columns' names as JSON texts.
    columns: Vec<String>,
    cells: Cells,
    /// The line of the byte that comes next, from 1.
    line: u64,
    object: Vec<u8>,
}

impl Table {
    /// Reads the names of the columns.
    pub(super) fn open(text: Decompressed, separator: u8) -> Result<Self, LoadError> {
        let columns = Vec::new();
        let mut table = Self { text, separator, columns, cells: Cells::default(), line: 1, object: Vec::new() };
        if table.text.peek(1, 0)?.starts_with(b"\xef\xbb\xbf") {
            table.text.consume(3);
        }
        if table.next_cells(0)?.is_none() {
            return Ok(table);
        }
        let wrong = |what: String| table.text.malformed(1, 0, &what);
        if table.cells.is_too_long() || table.cells.ends.len() > COLUMNS_MAX {
            return Err(wrong(format!("expected the names of at most {COLUMNS_MAX} columns")));
        }
        let mut columns: Vec<String> = Vec::new();
        for cell in table.cells.iter() {
            let name = std::str::from_utf8(cell)
                .map_err(|_| wrong("the names of the columns are not UTF-8 text".to_owned()))?
                .trim();
            let name = serde_json::Value::from(name).to_string();
            // What has no name, as an index that pandas writes, cannot be asked for.
            if name != "\"\"" && columns.contains(&name) {
                return Err(wrong(format!("two columns are named {name}")));
            }
            columns.push(name);
        }
        table.columns = columns;
        Ok(table)
    }

    /// Reads the cells of the next row that is not blank, and gives the line that it begins in; `None` at the end.
    fn next_cells(&mut self, row: u64) -> Result<Option<u64>, LoadError> {
        loop {
            let begins = self.line;
            if !self.read_cells(row)? {
                return Ok(None);
            }
            let is_blank = self.cells.ends.len() == 1 && self.cells.length == 0;
            if !is_blank {
                return Ok(Some(begins));
            }
        }
    }

    /// Reads one row, blank or not; false at the end of the file.
    fn read_cells(&mut self, row: u64) -> Result<bool, LoadError> {
        self.cells.clear();
        let (mut at, mut started, mut after_return) = (At::Start, false, false);
        loop {
            let begins = self.line;
            let piece = self.text.peek(begins, row)?;
            if piece.is_empty() {
                if at == At::Quoted {
                    return Err(self.text.malformed(begins, row, "the file ends inside a cell in quotation marks"));
                }
                if started && !after_return {
                    self.cells.end_cell();
                }
                return Ok(started);
            }
            if after_return {
                // The second half of a line end.
                if piece[0] == b'\n' {
                    self.text.consume(1);
                }
                return Ok(true);
            }
            let mut consumed = 0;
            let mut ended = false;
            for byte in piece {
                consumed += 1;
                started = true;
                let is_end = matches!(byte, b'\n' | b'\r') && at != At::Quoted;
                if is_end {
                    self.line += 1;
                    self.cells.end_cell();
                    after_return = *byte == b'\r';
                    ended = true;
                    break;
                }
                self.cells.length += 1;
                // A line end of two bytes within quotation marks is one line, and one of the first alone is rare.
                self.line += u64::from(*byte == b'\n');
                match (at, *byte) {
                    (At::Start, b'"') => at = At::Quoted,
                    (At::Quoted, b'"') => at = At::Mark,
                    (At::Mark, b'"') => {
                        self.cells.push(b'"');
                        at = At::Quoted;
                    }
                    (At::Start | At::Plain | At::Mark, byte) if byte == self.separator => {
                        self.cells.end_cell();
                        at = At::Start;
                    }
                    (At::Quoted, byte) => self.cells.push(byte),
                    (At::Start | At::Plain | At::Mark, byte) => {
                        self.cells.push(byte);
                        at = At::Plain;
                    }
                }
            }
            self.text.consume(consumed);
            if ended && !after_return {
                return Ok(true);
            }
        }
    }

    /// Writes the row that was read as a JSON object.
    fn write_object(&mut self) -> Result<(), Skip> {
        let Self { columns, cells, object, .. } = self;
        object.clear();
        object.shrink_to(KEPT_BYTES);
        if cells.is_too_long() {
            let detail = format!("the row has {} bytes, expected at most {ROW_BYTES_MAX}", cells.length);
            return Err(Skip::new("row-too-long", detail));
        }
        if cells.ends.len() != columns.len() {
            let (got, expected) = (cells.ends.len(), columns.len());
            return Err(Skip::new("wrong-cells", format!("expected {expected} cells, one a column, got {got}")));
        }
        object.push(b'{');
        for (column, cell) in columns.iter().zip(cells.iter()) {
            if cell.is_empty() || column == "\"\"" {
                continue;
            }
            let text = std::str::from_utf8(cell).map_err(|error| {
                let detail = format!("{column} is not UTF-8 from byte {} on", error.valid_up_to());
                Skip::new("invalid-utf8", detail)
            })?;
            if object.len() > 1 {
                object.push(b',');
            }
            object.extend_from_slice(column.as_bytes());
            object.push(b':');
            object.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
        }
        object.push(b'}');
        Ok(())
    }
}

impl Records for Table {
    fn next(&mut self, row: u64) -> Result<Option<(Position, Record<'_>)>, LoadError> {
        let Some(line) = self.next_cells(row)? else { return Ok(None) };
        let position = Position::Line(line);
        Ok(Some(match self.write_object() {
            Ok(()) => (position, Record::Text(&self.object)),
            Err(skip) => (position, Record::Skipped(skip)),
        }))
    }
}
