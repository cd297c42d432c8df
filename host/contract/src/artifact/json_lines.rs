//! JSON lines: a file of one JSON object a line, read as a stream. This is the one reader of such files in the host.
//!
//! Lines are counted from 1 as an editor counts them: a blank line is passed over and counted. A byte order mark at the
//! beginning and a carriage return at the end of a line are no part of it. `-` is standard input.
//!
//! A key that nobody reads is refused at every depth, because a misspelt one would be ignored without a word. An error
//! names the file, the line, the field, what was expected and what was found.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::FileError;
use crate::fault::{Blame, Fault};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// The most characters of a line in a message.
const SHOWN_MAX: usize = 40;

/// What some editors put before the first line.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What standard input is called in messages.
const STANDARD_INPUT: &str = "standard input";

/// A type that a line is read into.
///
/// A type that serde reads by way of a buffer (`untagged`, `flatten`, an inner tag) must refuse unknown keys itself: what
/// it passes over is not seen from outside.
pub trait JsonRow: DeserializeOwned {
    /// What a line must be, for messages: "a program with its tests".
    const EXPECTED: &'static str;

    /// What would mend a wrong line, if that is known.
    const HINT: Option<&'static str> = None;

    /// Whether the format allows keys that are not read.
    const ALLOWS_OTHER_KEYS: bool = false;

    /// Reads the text of one line. A type of several kinds finds out which one it is and reads that.
    fn read(text: &str) -> Result<Self, WrongRow> {
        read_strictly::<Self>(text, Self::EXPECTED, Self::ALLOWS_OTHER_KEYS)
    }
}

/// Why a text is not the row that it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongRow {
    /// Where in the row, for example `tests[0].input`; empty for the row itself.
    pub field: String,
    /// What should stand there.
    pub expected: String,
    /// What stands there.
    pub got: String,
}

/// Why a file of JSON lines cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JsonLinesError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is not what it must be.
    #[error("{}, line {line}{}: expected {expected}, got {got}", .file.display(), Field(.field))]
    Line {
        /// The file, as it was named.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The field, for example `tests[0].input`; empty for the row itself.
        field: String,
        /// What should stand there.
        expected: String,
        /// What stands there.
        got: String,
        /// What would mend it, if that is known.
        hint: Option<&'static str>,
    },
}

struct Field<'a>(&'a str);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ", {}", self.0) }
    }
}

impl Fault for JsonLinesError {
    fn blame(&self) -> Blame {
        match self {
            Self::File(error) => error.blame(),
            Self::Line { .. } => Blame::User,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Line { hint, .. } => hint.iter().map(|hint| (*hint).to_owned()).collect(),
        }
    }
}

/// A line that is not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// Where its text begins, in bytes from the beginning of the file.
    pub begin: u64,
    /// Its text without the line's end.
    pub text: String,
}

impl Line {
    /// The row that it holds; `file` is what messages call the file.
    pub fn read<T: JsonRow>(&self, file: &Path) -> Result<T, JsonLinesError> {
        T::read(&self.text).map_err(|wrong| self.wrong(file, wrong, T::HINT))
    }

    /// An error of this line.
    pub fn wrong(&self, file: &Path, wrong: WrongRow, hint: Option<&'static str>) -> JsonLinesError {
        let WrongRow { field, expected, got } = wrong;
        JsonLinesError::Line { file: file.to_owned(), line: self.number, field, expected, got, hint }
    }
}

/// The lines of a file, from the first to the last, without the blank ones.
pub struct Lines {
    name: PathBuf,
    reader: BufReader<File>,
    /// Where the reading began, in bytes.
    start: u64,
    /// All its bytes, if it is a file that has an end.
    bytes_total: Option<u64>,
    bytes_read: u64,
    number: u64,
}

impl Lines {
    /// Opens a file, or standard input if the path is `-`.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let (name, file) = if path == Path::new("-") {
            (PathBuf::from(STANDARD_INPUT), io::stdin().as_fd().try_clone_to_owned().map(File::from))
        } else {
            (path.to_owned(), File::open(path))
        };
        let open = || -> io::Result<(File, u64, Option<u64>)> {
            let mut file = file?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            if !metadata.is_file() {
                return Ok((file, 0, None));
            }
            // Somebody may have read the beginning of a standard input that is a file.
            let start = file.stream_position()?;
            Ok((file, start, Some(metadata.len().saturating_sub(start))))
        };
        let (file, start, bytes_total) = open().map_err(|error| FileError::reading(&name, error))?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        Ok(Self { name, reader, start, bytes_total, bytes_read: 0, number: 0 })
    }

    /// The same, to be read more than once: what can be read only once (a pipe, standard input) is first copied whole
    /// into a file without a name.
    pub fn open_to_read_again(path: &Path) -> Result<Self, FileError> {
        let mut lines = Self::open(path)?;
        if lines.bytes_total.is_none() {
            let mut copy = tempfile::tempfile().map_err(|error| FileError::writing(std::env::temp_dir(), error))?;
            let bytes = lines.copy_to(&mut copy)?;
            copy.rewind().map_err(|error| FileError::writing(std::env::temp_dir(), error))?;
            lines.reader = BufReader::with_capacity(BUFFER_BYTES, copy);
            lines.bytes_total = Some(bytes);
        }
        Ok(lines)
    }

    /// Copies all that comes; an error tells the side that failed.
    fn copy_to(&mut self, copy: &mut File) -> Result<u64, FileError> {
        use std::io::Write;
        let mut bytes = 0;
        loop {
            let piece = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                piece => piece.map_err(|error| FileError::reading(&self.name, error))?,
            };
            if piece.is_empty() {
                return Ok(bytes);
            }
            copy.write_all(piece).map_err(|error| FileError::writing(std::env::temp_dir(), error))?;
            let length = piece.len();
            self.reader.consume(length);
            bytes += length as u64;
        }
    }

    /// Begins again at the first line.
    pub fn rewind(&mut self) -> Result<(), FileError> {
        if self.bytes_total.is_none() {
            return Err(FileError::reading(&self.name, io::Error::other("it can be read only once")));
        }
        self.reader.seek(SeekFrom::Start(self.start)).map_err(|error| FileError::reading(&self.name, error))?;
        (self.bytes_read, self.number) = (0, 0);
        Ok(())
    }

    /// What messages call the file.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// How many bytes are read.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// How many bytes there are in all; `None` if only the end tells, as with a pipe.
    pub fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// The next line that is not blank; `None` at the end.
    pub fn next_line(&mut self) -> Result<Option<Line>, JsonLinesError> {
        loop {
            let mut bytes = Vec::new();
            let read = self.reader.read_until(b'\n', &mut bytes);
            let length = read.map_err(|error| FileError::reading(&self.name, error))?;
            if length == 0 {
                return Ok(None);
            }
            let mut begin = self.bytes_read;
            self.bytes_read += length as u64;
            self.number += 1;
            for end in [b'\n', b'\r'] {
                if bytes.last() == Some(&end) {
                    bytes.pop();
                }
            }
            if self.number == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
                begin += bytes.drain(..BYTE_ORDER_MARK.len()).len() as u64;
            }
            if self.number == 1
                && let Some((kind, hint)) = compression(&bytes)
            {
                return Err(JsonLinesError::Line {
                    file: self.name.clone(),
                    line: self.number,
                    field: String::new(),
                    expected: "text in UTF-8".to_owned(),
                    got: format!("a file that {kind} has packed"),
                    hint: Some(hint),
                });
            }
            match String::from_utf8(bytes) {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => return Ok(Some(Line { number: self.number, begin, text })),
                Err(error) => {
                    let at = error.utf8_error().valid_up_to();
                    let got = format!("the byte 0x{:02x} as byte {} of the line", error.as_bytes()[at], at + 1);
                    return Err(JsonLinesError::Line {
                        file: self.name.clone(),
                        line: self.number,
                        field: String::new(),
                        expected: "text in UTF-8".to_owned(),
                        got: format!("{got} (byte {} of the file)", begin + at as u64 + 1),
                        hint: None,
                    });
                }
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<Line, JsonLinesError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().transpose()
    }
}

/// A row and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T> {
    /// The number of its line, from 1.
    pub line: u64,
    /// The row.
    pub value: T,
}

/// The rows of a file, from the first to the last.
pub struct JsonLines<T> {
    lines: Lines,
    row: PhantomData<fn() -> T>,
}

impl<T: JsonRow> JsonLines<T> {
    /// Opens a file, or standard input if the path is `-`.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        Ok(Self { lines: Lines::open(path)?, row: PhantomData })
    }

    /// The same, to be read more than once; see [`Lines::open_to_read_again`].
    pub fn open_to_read_again(path: &Path) -> Result<Self, FileError> {
        Ok(Self { lines: Lines::open_to_read_again(path)?, row: PhantomData })
    }

    /// Begins again at the first row.
    pub fn rewind(&mut self) -> Result<(), FileError> {
        self.lines.rewind()
    }

    /// What messages call the file.
    pub fn name(&self) -> &Path {
        self.lines.name()
    }

    /// How many bytes are read.
    pub fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }

    /// How many bytes there are in all; `None` if only the end tells, as with a pipe.
    pub fn bytes_total(&self) -> Option<u64> {
        self.lines.bytes_total()
    }
}

impl<T: JsonRow> Iterator for JsonLines<T> {
    type Item = Result<Row<T>, JsonLinesError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = |line: Line, file: &Path| Ok(Row { line: line.number, value: line.read(file)? });
        match self.lines.next_line() {
            Ok(line) => line.map(|line| read(line, self.lines.name())),
            Err(error) => Some(Err(error)),
        }
    }
}

/// All rows of a file, or of standard input if the path is `-`.
pub fn read_json_lines<T: JsonRow>(path: &Path) -> Result<Vec<T>, JsonLinesError> {
    read_json_lines_watched(path, &mut |_, _| ())
}

/// The same; `on_bytes` is told after each row of the bytes read, and of all there are where that is known.
pub fn read_json_lines_watched<T: JsonRow>(
    path: &Path,
    on_bytes: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Vec<T>, JsonLinesError> {
    let mut rows = JsonLines::<T>::open(path)?;
    let mut values = Vec::new();
    while let Some(row) = rows.next() {
        values.push(row?.value);
        on_bytes(rows.bytes_read(), rows.bytes_total());
    }
    Ok(values)
}

/// Reads a JSON object, refusing keys that are passed over unless they are allowed. `expected` is what the whole must be.
pub fn read_strictly<T: DeserializeOwned>(text: &str, expected: &str, allows_other_keys: bool) -> Result<T, WrongRow> {
    // An array of a struct's values would pass as the struct.
    let first = text.trim_start_matches([' ', '\t', '\r', '\n']);
    if !first.starts_with('{') {
        let expected = format!("{expected}, a JSON object");
        return Err(WrongRow { field: String::new(), expected, got: shown(first) });
    }
    let mut unknown = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = serde_ignored::deserialize(&mut json, |path| {
        unknown.get_or_insert_with(|| place(&path));
    });
    let read = read.and_then(|value| json.end().map(|()| value));
    match (read, unknown) {
        (Ok(value), Some(_)) if allows_other_keys => Ok(value),
        (Ok(_), Some((field, key))) => {
            Err(WrongRow { field, expected: format!("only keys of {expected}"), got: format!("the key `{key}`") })
        }
        (Ok(value), None) => Ok(value),
        (Err(error), _) => Err(explained::<T>(text, expected, &error)),
    }
}

/// What packed a file, by its first bytes, and how it is unpacked.
fn compression(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const BY_MAGIC: [(&[u8], &str, &str); 5] = [
        (
            b"\x1f\x8b",
            "gzip",
            "unpack it: `gunzip --keep FILE`, or `zcat FILE |` before the command and `-` for its name",
        ),
        (
            b"\x28\xb5\x2f\xfd",
            "zstd",
            "unpack it: `unzstd FILE`, or `zstdcat FILE |` before the command and `-` for its name",
        ),
        (b"\xfd7zXZ", "xz", "unpack it: `unxz --keep FILE`, or `xzcat FILE |` before the command and `-` for its name"),
        (
            b"BZh",
            "bzip2",
            "unpack it: `bunzip2 --keep FILE`, or `bzcat FILE |` before the command and `-` for its name",
        ),
        (b"PK\x03\x04", "zip", "unpack it: `unzip FILE`"),
    ];
    let found = BY_MAGIC.iter().find(|(magic, ..)| bytes.starts_with(magic));
    found.map(|(_, kind, hint)| (*kind, *hint))
}

/// Where an ignored key stands: the field around it, and the key.
fn place(path: &serde_ignored::Path<'_>) -> (String, String) {
    fn field(path: &serde_ignored::Path<'_>) -> String {
        use serde_ignored::Path;
        match path {
            Path::Root => String::new(),
            Path::Seq { parent, index } => format!("{}[{index}]", field(parent)),
            Path::Map { parent, key } => {
                let parent = field(parent);
                if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") }
            }
            Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => field(parent),
        }
    }
    match path {
        serde_ignored::Path::Map { parent, key } => (field(parent), key.clone()),
        other => (String::new(), field(other)),
    }
}

/// Reads once more, now keeping track of the field, and puts the error's words into expected and got.
fn explained<T: DeserializeOwned>(text: &str, expected: &str, error: &serde_json::Error) -> WrongRow {
    let column = error.column();
    let mut json = serde_json::Deserializer::from_str(text);
    let (mut field, said) = match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(error) => (error.path().to_string(), error.inner().to_string()),
        // What follows the row is wrong.
        Ok(_) => (String::new(), error.to_string()),
    };
    // What is no JSON has no path.
    if field == "." || field == "?" {
        field.clear();
    }
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    if !error.is_data()
        && let Some(escape) = lone_surrogate(text)
    {
        let got = format!("the escape `{escape}`, half of a character (a lone surrogate)");
        return WrongRow { field, expected: "text".to_owned(), got };
    }
    if !error.is_data() {
        let beginning = shown(text);
        return WrongRow {
            field,
            expected: format!("{expected}, a JSON object"),
            got: format!("{beginning} ({said}, column {column})"),
        };
    }
    let quoted = |rest: &str| rest.split('`').nth(1).unwrap_or_default().to_owned();
    if let Some(rest) = said.strip_prefix("missing field ") {
        let of = if field.is_empty() { format!(" of {expected}") } else { String::new() };
        return WrongRow { field, expected: format!("the key {rest}{of}"), got: "none of that name".to_owned() };
    }
    if let Some(rest) = said.strip_prefix("duplicate field ") {
        return WrongRow { field, expected: format!("the key {rest} once"), got: "it twice".to_owned() };
    }
    if let Some(rest) = said.strip_prefix("unknown field ") {
        let key = quoted(rest);
        // The field is that of the key itself.
        let around = field.strip_suffix(key.as_str()).unwrap_or(&field);
        let field = around.strip_suffix('.').unwrap_or(around).to_owned();
        let known = rest.split_once(", expected ").map_or("no key at all", |(_, known)| known);
        return WrongRow { field, expected: known.to_owned(), got: format!("the key `{key}`") };
    }
    match said.split_once(", expected ") {
        Some((got, expected)) => {
            let got = got.strip_prefix("invalid type: ").or(got.strip_prefix("invalid value: ")).unwrap_or(got);
            WrongRow { field, expected: expected.to_owned(), got: got.to_owned() }
        }
        // The words of a type of its own, which may say what was expected or what is wrong: the value stands beside them.
        None => {
            let found = value_at(text, &field).map_or_else(|| "a value".to_owned(), |value| shown(&value.to_string()));
            WrongRow { field, expected: expected.to_owned(), got: format!("{found} ({said})") }
        }
    }
}

/// The value at a path such as `tests[0].input`.
fn value_at(text: &str, field: &str) -> Option<serde_json::Value> {
    let whole: serde_json::Value = serde_json::from_str(text).ok()?;
    let mut steps = field.split(['.', '[']).filter(|step| !step.is_empty());
    let found = steps.try_fold(&whole, |value, step| match step.strip_suffix(']') {
        Some(index) => value.get(index.parse::<usize>().ok()?),
        None => value.get(step),
    });
    found.cloned()
}

/// The first `\u` escape of half a surrogate pair without its other half, as it is written.
fn lone_surrogate(text: &str) -> Option<&str> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut at = 0;
    while let Some(found) = text.get(at..)?.find('\\') {
        at += found;
        at += match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => return text.get(at..at + 6),
            Some(_) => 6,
            // An escape of one character, which may be a backslash.
            None => 1 + text.get(at + 1..)?.chars().next()?.len_utf8(),
        };
    }
    None
}

/// The beginning of a text, quoted.
fn shown(text: &str) -> String {
    let text = text.trim();
    let beginning: String = text.chars().take(SHOWN_MAX).collect();
    if beginning.len() < text.len() { format!("`{beginning}…`") } else { format!("`{beginning}`") }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair {
        name: String,
        #[serde(default)]
        parts: Vec<Part>,
        deep: Option<Part>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Part {
        size: u32,
    }

    impl JsonRow for Pair {
        const EXPECTED: &'static str = "a pair";
        const HINT: Option<&'static str> = Some("the sample has some");
    }

    /// A row that is only looked into.
    #[derive(Debug, PartialEq, Deserialize)]
    struct Name {
        name: String,
    }

    impl JsonRow for Name {
        const EXPECTED: &'static str = "a name";
        const ALLOWS_OTHER_KEYS: bool = true;
    }

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("pairs.jsonl");
        fs::write(&path, bytes).expect("it can be written");
        (folder, path)
    }

    #[test]
    fn blank_lines_a_byte_order_mark_and_carriage_returns_are_no_rows() -> Result<(), JsonLinesError> {
        let text = "\u{feff}{\"name\":\"a\"}\r\n\r\n \t\n{\"name\":\"b\"}\n\n{\"name\":\"c\"}";
        let (_folder, path) = file(text.as_bytes());
        let mut rows = JsonLines::<Pair>::open(&path)?;
        let read: Vec<(u64, String)> =
            rows.by_ref().map(|row| row.map(|row| (row.line, row.value.name))).collect::<Result<_, _>>()?;
        assert_eq!(read, [(1, "a".to_owned()), (4, "b".to_owned()), (6, "c".to_owned())]);
        assert_eq!((rows.bytes_read(), rows.bytes_total()), (text.len() as u64, Some(text.len() as u64)));
        rows.rewind()?;
        assert_eq!(rows.next().transpose()?.map(|row| row.value.name).as_deref(), Some("a"));
        let mut lines = Lines::open(&path)?;
        let begins: Vec<u64> = lines.by_ref().map(|line| line.map(|line| line.begin)).collect::<Result<_, _>>()?;
        assert!(begins.iter().all(|begin| text[*begin as usize..].starts_with("{\"name\"")), "{begins:?}");
        Ok(())
    }

    #[test]
    fn every_wrong_line_is_told_with_its_place_and_both_sides() {
        for (line, told) in [
            (r#"{"name":"a","parts":[{"size":1},{"size":"x"}]}"#, r#", parts[1].size: expected u32, got string "x""#),
            (r#"{"name":3}"#, ", name: expected a string, got integer `3`"),
            (r#"{"parts":[]}"#, ": expected the key `name` of a pair, got none of that name"),
            (r#"{"name":"a","parts":[{}]}"#, ", parts[0]: expected the key `size`, got none of that name"),
            (r#"{"name":"a","name":"b"}"#, ": expected the key `name` once, got it twice"),
            (r#"{"name":"a","nmae":"b"}"#, ": expected only keys of a pair, got the key `nmae`"),
            (
                r#"{"name":"a","parts":[{"size":1,"x":{}}]}"#,
                ", parts[0]: expected only keys of a pair, got the key `x`",
            ),
            (r#"{"name":"a","deep":{"size":1,"x":0}}"#, ", deep: expected only keys of a pair, got the key `x`"),
            (r#"["a"]"#, r#": expected a pair, a JSON object, got `["a"]`"#),
            ("nonsense", ": expected a pair, a JSON object, got `nonsense`"),
            (r#"{"name":"a""#, r#"got `{"name":"a"` (EOF while parsing an object, column 11)"#),
            (r#"{"name":"a"} {}"#, r#"got `{"name":"a"} {}` (trailing characters, column 14)"#),
            (
                r#"{"name":"\ud800"}"#,
                ": expected text, got the escape `\\ud800`, half of a character (a lone surrogate)",
            ),
            (r#"{"name":"\\\udc00x"}"#, "the escape `\\udc00`"),
        ] {
            let (_folder, path) = file(format!("{{\"name\":\"fine\"}}\n\n{line}\n").as_bytes());
            let error = read_json_lines::<Pair>(&path).expect_err(line);
            let message = error.to_string();
            let rest =
                message.strip_prefix(&format!("{}, line 3", path.display())).unwrap_or_else(|| panic!("{message}"));
            assert!(rest.contains(told), "{line}: {rest}");
            assert_eq!((error.blame(), error.hints()), (Blame::User, vec!["the sample has some".to_owned()]));
        }
    }

    #[test]
    fn a_key_that_a_type_refuses_itself_is_told_at_its_place() {
        #[derive(Debug, Deserialize)]
        struct Outer {
            #[expect(dead_code, reason = "it is only read")]
            inner: Inner,
        }
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Inner {
            #[expect(dead_code, reason = "it is only read")]
            size: u32,
        }
        let wrong =
            read_strictly::<Outer>(r#"{"inner":{"size":1,"sise":2}}"#, "one", false).expect_err("it is unknown");
        let told = (wrong.field.as_str(), wrong.expected.as_str(), wrong.got.as_str());
        assert_eq!(told, ("inner", "`size`", "the key `sise`"));
    }

    #[test]
    fn a_type_that_says_what_is_wrong_in_its_own_words_has_the_value_beside_them() {
        #[derive(Debug, Deserialize)]
        struct Outer {
            #[expect(dead_code, reason = "it is only read")]
            items: Vec<Item>,
        }
        #[derive(Debug, Deserialize)]
        struct Item {
            #[expect(dead_code, reason = "it is only read")]
            size: Size,
        }
        #[derive(Debug, Deserialize)]
        #[serde(try_from = "u32")]
        struct Size;
        impl TryFrom<u32> for Size {
            type Error = String;
            fn try_from(_: u32) -> Result<Self, String> {
                Err("no size is right".to_owned())
            }
        }
        let wrong = read_strictly::<Outer>(r#"{"items":[{"size":7}]}"#, "one", false).expect_err("it is wrong");
        assert_eq!((wrong.field.as_str(), wrong.got.as_str()), ("items[0].size", "`7` (no size is right)"));
    }

    #[test]
    fn a_packed_file_is_told_by_what_packed_it() {
        for (bytes, packer) in [
            (&b"\x1f\x8b\x08\x00"[..], "gzip"),
            (b"\x28\xb5\x2f\xfd\x04", "zstd"),
            (b"\xfd7zXZ\x00", "xz"),
            (b"BZh91AY", "bzip2"),
            (b"PK\x03\x04{}", "zip"),
        ] {
            let (_folder, path) = file(bytes);
            let error = read_json_lines::<Pair>(&path).expect_err(packer);
            let told = format!("line 1: expected text in UTF-8, got a file that {packer} has packed");
            assert!(error.to_string().ends_with(&told) && error.hints()[0].contains("unpack"), "{error}");
        }
    }

    #[test]
    fn a_format_may_allow_other_keys() -> Result<(), JsonLinesError> {
        let (_folder, path) = file(br#"{"name":"a","parts":[{"size":"\u00fc"}],"more":{}}"#);
        assert_eq!(read_json_lines::<Name>(&path)?, [Name { name: "a".to_owned() }]);
        Ok(())
    }

    #[test]
    fn pairs_of_surrogates_and_escaped_backslashes_are_text() {
        for text in [r#""\ud83d\ude00""#, r#""\\ud800""#, r#""\\\\ud800\n""#, "\"ü\\ü\"", "\\", "\\u12"] {
            assert_eq!(lone_surrogate(text), None, "{text}");
        }
        assert_eq!(lone_surrogate(r"\ud83d\ud83d\ude00"), Some(r"\ud83d"));
    }

    #[test]
    fn a_byte_that_is_no_utf_8_is_told_with_its_place() {
        let (_folder, path) = file(b"{\"name\":\"a\"}\n{\"name\":\"\xff\"}\n");
        let message = read_json_lines::<Pair>(&path).expect_err("it is no text").to_string();
        let told = "line 2: expected text in UTF-8, got the byte 0xff as byte 10 of the line (byte 23 of the file)";
        assert!(message.ends_with(told), "{message}");
    }

    #[test]
    fn a_folder_and_a_missing_file_are_the_users() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for path in [folder.path().to_owned(), folder.path().join("none")] {
            let error = read_json_lines::<Pair>(&path).expect_err("there is no file");
            assert_eq!(error.blame(), Blame::User, "{error}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_pipe_is_read_once_and_can_be_kept() -> Result<(), Box<dyn std::error::Error>> {
        let (reader, mut writer) = io::pipe()?;
        let path = PathBuf::from(format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader)));
        std::thread::scope(|scope| {
            scope.spawn(move || io::Write::write_all(&mut writer, b"{\"name\":\"a\"}\n{\"name\":\"b\"}\n"));
            let mut rows = JsonLines::<Pair>::open_to_read_again(&path)?;
            assert_eq!(rows.bytes_total(), Some(26));
            for _ in 0..2 {
                assert_eq!(rows.by_ref().collect::<Result<Vec<_>, _>>()?.len(), 2);
                rows.rewind()?;
            }
            Ok(())
        })
    }
}
