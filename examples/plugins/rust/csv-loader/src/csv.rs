//! CSV as RFC 4180 has it: cells between separators, in quotes where they hold separators, quotes or line breaks.

use std::io::{BufReader, Read};

use hilora_plugin_sdk::loader::SourceFile;

/// The longest row, in bytes: a quote that is never closed would take the rest of the file.
const ROW_BYTES_MAX: usize = 16 << 20;

/// A file whose header has been read.
pub(crate) struct CsvFile {
    name: String,
    bytes: std::io::Bytes<BufReader<SourceFile>>,
    peeked: Option<u8>,
    separator: char,
    columns: Vec<String>,
    rows: u64,
}

impl CsvFile {
    /// Reads the header.
    pub(crate) fn open(file: SourceFile, separator: char) -> Result<Self, String> {
        if !separator.is_ascii() || matches!(separator, '"' | '\n' | '\r') {
            return Err(format!("expected an ASCII character as separator, got {separator:?}"));
        }
        let name = file.name().to_owned();
        let bytes = BufReader::with_capacity(1 << 16, file).bytes();
        let mut file = Self { name, bytes, peeked: None, separator, columns: Vec::new(), rows: 0 };
        file.columns = file.record()?.ok_or("the file is empty")?;
        Ok(file)
    }

    /// The file's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many rows have been read.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether there is such a column.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    /// The cell of a row in this column; empty if the row is too short.
    pub(crate) fn cell(&self, cells: &[String], column: &str) -> String {
        let index = self.columns.iter().position(|name| name == column);
        index.and_then(|index| cells.get(index)).cloned().unwrap_or_default()
    }

    /// The next row that is not an empty line.
    pub(crate) fn next_row(&mut self) -> Result<Option<Vec<String>>, String> {
        loop {
            match self.record()? {
                Some(cells) if cells.len() == 1 && cells[0].is_empty() => {}
                Some(cells) => {
                    self.rows += 1;
                    return Ok(Some(cells));
                }
                None => return Ok(None),
            }
        }
    }

    fn next(&mut self) -> Result<Option<u8>, String> {
        match self.peeked.take() {
            Some(byte) => Ok(Some(byte)),
            None => self.bytes.next().transpose().map_err(|error| error.to_string()),
        }
    }

    fn record(&mut self) -> Result<Option<Vec<String>>, String> {
        let Some(first) = self.next()? else { return Ok(None) };
        self.peeked = Some(first);
        let (mut cells, mut cell, mut length) = (Vec::new(), Vec::new(), 0_usize);
        let mut in_quotes = false;
        while let Some(byte) = self.next()? {
            length += 1;
            if length > ROW_BYTES_MAX {
                return Err(format!("a row of more than {ROW_BYTES_MAX} bytes; a quote may not be closed"));
            }
            match byte {
                b'"' if in_quotes => match self.next()? {
                    Some(b'"') => cell.push(b'"'),
                    other => {
                        in_quotes = false;
                        self.peeked = other;
                    }
                },
                b'"' if cell.is_empty() => in_quotes = true,
                byte if in_quotes => cell.push(byte),
                byte if char::from(byte) == self.separator => cells.push(text(std::mem::take(&mut cell))?),
                b'\n' => break,
                b'\r' => {}
                byte => cell.push(byte),
            }
        }
        if in_quotes {
            return Err("a quote is not closed".to_owned());
        }
        cells.push(text(cell)?);
        Ok(Some(cells))
    }
}

fn text(cell: Vec<u8>) -> Result<String, String> {
    String::from_utf8(cell).map_err(|_| "a cell is not UTF-8".to_owned())
}
