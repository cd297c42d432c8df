//! What a file is written in, told by its first bytes and, of text, by its name: Parquet, Arrow, a JSON list, CSV, TSV or
//! JSON lines.

use hilora_plugin_sdk::loader::{LoadError, MalformedFile, SourceFile};

use super::byte_lines::ByteLines;
use super::column_rows::ColumnRows;
use super::decompressed::Decompressed;
use super::json_list::{self, JsonList};
use super::record::Records;
use super::table::{self, Table};
use crate::arrow::{ArrowFile, is_arrow};
use crate::parquet::{ParquetFile, is_parquet};

/// The endings that say what a file is compressed with.
const COMPRESSED_ENDINGS: [&str; 6] = [".gz", ".zst", ".zstd", ".bz2", ".xz", ".gzip"];

/// The endings that say what rows are written in.
const FORMAT_ENDINGS: [&str; 10] =
    [".jsonl", ".json", ".ndjson", ".jsonlines", ".csv", ".tsv", ".tab", ".parquet", ".arrow", ".feather"];

/// A file that is being read, and what it is in words.
pub(super) struct Opened {
    pub(super) records: Box<dyn Records>,
    pub(super) format: String,
}

/// A file's name without the endings that say how it is written. What else stands between dots tells files apart.
pub fn stem(file: &str) -> &str {
    let file = uncompressed(file);
    let stem = FORMAT_ENDINGS.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file);
    if stem.is_empty() { "row" } else { stem }
}

fn uncompressed(file: &str) -> &str {
    COMPRESSED_ENDINGS.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file)
}

/// Begins to read a file.
pub(super) fn open(file: SourceFile) -> Result<Opened, LoadError> {
    let name = file.name().to_owned();
    let head = file.read_at(0, 8).map_err(|error| LoadError::Unreadable(format!("{name}: {error}")))?;
    if is_parquet(&head) {
        let file = ParquetFile::open_whole(file)?;
        let (total, format) = (file.rows(), columns_in_words("Parquet", file.left_out()));
        return Ok(Opened { records: Box::new(ColumnRows::new(file.into_rows()?, Some(total))), format });
    }
    if is_arrow(&head) {
        let file = ArrowFile::open_whole(file)?;
        let (total, format) = (file.rows(), columns_in_words("Arrow", file.left_out()));
        return Ok(Opened { records: Box::new(ColumnRows::new(file.into_rows(), total)), format });
    }
    let mut text = Decompressed::open(file)?;
    let compression = text.compression();
    let beginning = text.peek(1, 0)?;
    refuse_other_formats(&name, beginning, compression)?;
    let separator = table::separator(uncompressed(&name), beginning);
    let is_list = json_list::is_list(beginning);
    let (records, format): (Box<dyn Records>, &str) = match separator {
        Some(separator) => {
            let format = match separator {
                b'\t' => "a table with tabs",
                b';' => "a table with semicolons",
                _ => "CSV",
            };
            (Box::new(Table::open(text, separator)?), format)
        }
        None if is_list => (Box::new(JsonList::new(text)), "a JSON list"),
        None => (Box::new(ByteLines::new(text)), "JSON lines"),
    };
    let format = match compression {
        Some(codec) => format!("{format} compressed with {codec}"),
        None => format.to_owned(),
    };
    Ok(Opened { records, format })
}

/// A format of columns, and which of them are not read.
fn columns_in_words(format: &str, left_out: &[String]) -> String {
    match left_out {
        [] => format.to_owned(),
        [column] => format!("{format} without the column {column}"),
        columns => format!("{format} without the columns {}", columns.join(", ")),
    }
}

/// Names the mistake of passing a file of another format, which would else be thousands of skipped rows.
fn refuse_other_formats(name: &str, beginning: &[u8], compression: Option<&str>) -> Result<(), LoadError> {
    let format = match beginning {
        [b'P', b'A', b'R', b'1', ..] => "a Parquet file",
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => "an Arrow file",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [b'7', b'z', 0xbc, 0xaf, ..] => "a 7z archive",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "text in UTF-16",
        [0x04, 0x22, 0x4d, 0x18, ..] => "compressed with lz4",
        _ if beginning.get(257..262) == Some(b"ustar") => "a tar archive",
        _ => return Ok(()),
    };
    let inside = compression.map(|codec| format!(" inside {codec}")).unwrap_or_default();
    let detail = format!(
        "expected JSON lines, a JSON list, CSV or TSV in UTF-8 (plain, gzip, zstd, bzip2 or xz), Parquet or Arrow; this is \
         {format}{inside}"
    );
    Err(LoadError::Malformed(MalformedFile { file: name.to_owned(), row: None, detail }))
}
