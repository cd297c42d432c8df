//! A sealed line: a row of JSON lines that carries a hash of its own text, so that a line which is trusted later is not
//! trusted once a bit of it is another one.
//!
//! The hash is the object's last key, `"line_hash"`, so that the line is still JSON: 16 hexadecimal digits, the first 64
//! bits of the SHA-256 of the line without that key. It is there for accidents (a flipped bit, a line that was cut or
//! joined), one of which passes once in 2⁶⁴ times. It has no key and stops nobody who computes it anew; against that, the
//! ledger and the registry name whole files by their content.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::json_lines::{JsonLinesError, JsonRow, Line, WrongRow};
use super::{ContentHash, FileError};

/// What stands before the digits.
const KEY: &str = ",\"line_hash\":\"";
/// What ends a line.
const END: &str = "\"}";
/// How many digits of the hash stand there.
const DIGITS: usize = 16;

/// The text of a row with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedLine(String);

/// A line as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsealed {
    /// The row's text, which has the hash that stands in the line.
    Whole(String),
    /// The line has no hash: a version of this program from before there were any wrote it, or nobody of us.
    WithoutHash(String),
}

impl SealedLine {
    /// Seals a row, which must be a JSON object with at least one key.
    pub fn of(row: &impl Serialize) -> Self {
        let text = serde_json::to_string(row).expect("plain structs with text keys always serialize");
        Self::of_text(text).expect("a sealed row is an object with a key")
    }

    /// Seals the text of a row; `None` if it is no object with a key.
    pub(super) fn of_text(mut text: String) -> Option<Self> {
        let digits = digits_of(text.as_bytes());
        if text.pop() != Some('}') || text.len() < 2 {
            return None;
        }
        for part in [KEY, &digits, END] {
            text.push_str(part);
        }
        Some(Self(text))
    }

    /// The line with its end, as it stands in a file.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.0.into_bytes();
        bytes.push(b'\n');
        bytes
    }

    /// Takes the hash off a line; an error if the text is not the one that was sealed.
    pub fn open(mut line: String) -> Result<Unsealed, WrongRow> {
        let digits_at = line.len().checked_sub(END.len() + DIGITS).filter(|at| line.is_char_boundary(*at));
        let key_at = digits_at.and_then(|at| at.checked_sub(KEY.len())).filter(|at| line.is_char_boundary(*at));
        let (Some(key_at), Some(digits_at)) = (key_at, digits_at) else { return Ok(Unsealed::WithoutHash(line)) };
        if line[key_at..digits_at] != *KEY || !line.ends_with(END) {
            return Ok(Unsealed::WithoutHash(line));
        }
        let got = line[digits_at..digits_at + DIGITS].to_owned();
        line.truncate(key_at);
        line.push('}');
        let expected = digits_of(line.as_bytes());
        if got == expected {
            return Ok(Unsealed::Whole(line));
        }
        let expected = format!("a line with the hash of its text, {expected}");
        Err(WrongRow { field: String::new(), expected, got: format!("`{got}`: the line is damaged") })
    }
}

fn digits_of(text: &[u8]) -> String {
    ContentHash::of(text).to_string()[..DIGITS].to_owned()
}

impl Line {
    /// The row of a line that must be sealed; `file` is what messages call the file.
    pub fn read_sealed<T: JsonRow>(self, file: &Path) -> Result<T, JsonLinesError> {
        let place = Self { text: String::new(), ..self };
        let wrong = |wrong: WrongRow| place.wrong(file, wrong, T::HINT);
        match SealedLine::open(self.text).map_err(wrong)? {
            Unsealed::Whole(text) => T::read(&text).map_err(wrong),
            Unsealed::WithoutHash(_) => Err(wrong(WrongRow {
                field: String::new(),
                expected: "a line with the hash of its text".to_owned(),
                got: "none: the line is damaged".to_owned(),
            })),
        }
    }
}

/// A JSON value in a file of its own, sealed.
pub fn write_sealed(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    super::write_atomic(path, &SealedLine::of(value).into_bytes())
}

/// Reads such a file; `None` if there is none or it is not what was written. A file that cannot be read is an error: what
/// stands in it may be whole.
pub fn read_sealed<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    Ok(sealed_value(bytes))
}

fn sealed_value<T: serde::de::DeserializeOwned>(bytes: Vec<u8>) -> Option<T> {
    let text = String::from_utf8(bytes).ok()?;
    match SealedLine::open(text.strip_suffix('\n')?.to_owned()) {
        Ok(Unsealed::Whole(text)) => serde_json::from_str(&text).ok(),
        Ok(Unsealed::WithoutHash(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_line_is_json_and_gives_its_row_back() {
        let row = serde_json::json!({"a": 1, "text": "ä, \"line_hash\":\"0\"}"});
        let text = row.to_string();
        let line = String::from_utf8(SealedLine::of(&row).into_bytes()).expect("it is text");
        let line = line.strip_suffix('\n').expect("it is a line");
        let parsed: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
        assert_eq!(parsed["line_hash"], *digits_of(text.as_bytes()));
        assert_eq!(SealedLine::open(line.to_owned()), Ok(Unsealed::Whole(text.clone())));
        assert_eq!(SealedLine::open(text.clone()), Ok(Unsealed::WithoutHash(text)));
        for short in ["", "{}", "x", "\"}", "ääääääääääääääääää"] {
            assert_eq!(SealedLine::open(short.to_owned()), Ok(Unsealed::WithoutHash(short.to_owned())));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_a_damaged_one() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("state.json");
        assert_eq!(read_sealed::<serde_json::Value>(&path)?, None);
        let value = serde_json::json!({"step": 7});
        write_sealed(&path, &value)?;
        assert_eq!(read_sealed(&path)?, Some(value));
        for damaged in [&b"{\"step\":7}\n"[..], b"\xff\n", b""] {
            std::fs::write(&path, damaged)?;
            assert_eq!(read_sealed::<serde_json::Value>(&path)?, None);
        }
        assert!(read_sealed::<serde_json::Value>(folder.path()).is_err(), "a folder cannot be read");
        Ok(())
    }

    /// Whatever a flipped byte makes of a line, it is no line that passes for another row.
    #[test]
    fn no_flipped_byte_passes() {
        let row = serde_json::json!({"key": "0123", "fuel": 7, "passed": [0, 1]});
        let line = SealedLine::of(&row).0.into_bytes();
        for position in 0..line.len() {
            for bits in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                let mut damaged = line.clone();
                damaged[position] ^= bits;
                let Ok(text) = String::from_utf8(damaged) else { continue };
                match SealedLine::open(text) {
                    Err(wrong) => assert!(wrong.got.ends_with("the line is damaged"), "{wrong:?}"),
                    // It is not JSON, or it has a key that no row has.
                    Ok(Unsealed::WithoutHash(text)) => {
                        let read: Result<serde_json::Value, _> = serde_json::from_str(&text);
                        let keys = read.ok().and_then(|value| value.as_object().map(|object| object.len()));
                        assert!(keys.is_none_or(|keys| keys == 4), "byte {position}: {text}");
                    }
                    Ok(Unsealed::Whole(text)) => panic!("byte {position}: {text}"),
                }
            }
        }
    }
}
