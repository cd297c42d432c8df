//! The lists that a file's footer claims, held against the bytes that are there before the decoder counts through them.
//!
//! The footer is a structure in Thrift's compact protocol. A decoder that passes over a field that it does not know
//! takes no bytes for an element that is a boolean, so a list of two thousand million of them costs five bytes and
//! minutes. Parquet's definition has neither lists of booleans nor maps in a footer; both are refused.

use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::reader::ChunkReader;

/// A file ends with the footer's length, as 32 bits, and this.
const MAGIC: &[u8] = b"PAR1";
/// The length and the magic.
const TAIL_BYTES: u64 = 8;
/// Structures and lists in each other; Parquet's own go a dozen deep.
const DEPTH_MAX: u32 = 32;

/// Refuses a footer with lists that cannot be. What else may be wrong with it is left to the decoder.
pub(super) fn check(file: &impl ChunkReader) -> Result<()> {
    let Some(tail_at) = file.len().checked_sub(TAIL_BYTES) else { return Ok(()) };
    let tail = file.get_bytes(tail_at, TAIL_BYTES as usize)?;
    let (length, magic) = tail.split_at(tail.len() - MAGIC.len());
    let Ok(length) = length.try_into().map(u32::from_le_bytes) else { return Ok(()) };
    let Some(footer_at) = tail_at.checked_sub(u64::from(length)).filter(|_| magic == MAGIC) else { return Ok(()) };
    let footer = file.get_bytes(footer_at, length as usize)?;
    Walk { rest: &footer }.structure(0)
}

/// Goes through a structure; what ends too early is left to the decoder.
struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    fn structure(&mut self, depth: u32) -> Result<()> {
        while let Some(header) = self.byte().filter(|header| header & 0x0f != 0) {
            // A field number that is no small step on follows as a number of its own.
            if header & 0xf0 == 0 {
                self.number();
            }
            self.value(header & 0x0f, depth)?;
        }
        Ok(())
    }

    fn value(&mut self, kind: u8, depth: u32) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(ParquetError::General("the footer nests too deeply".to_owned()));
        }
        match kind {
            // A boolean field is its kind.
            1 | 2 => {}
            3 => self.skip(1),
            4..=6 => _ = self.number(),
            7 => self.skip(8),
            8 => {
                let length = self.number();
                self.skip(usize::try_from(length).unwrap_or(usize::MAX));
            }
            9 | 10 => self.list(depth)?,
            12 => self.structure(depth + 1)?,
            other => {
                return Err(ParquetError::General(format!("a field of the kind {other} in the footer, expected none")));
            }
        }
        Ok(())
    }

    fn list(&mut self, depth: u32) -> Result<()> {
        let Some(header) = self.byte() else { return Ok(()) };
        let elements = match header >> 4 {
            15 => self.number(),
            elements => u64::from(elements),
        };
        let kind = header & 0x0f;
        if elements > 0 && matches!(kind, 1 | 2) {
            return Err(ParquetError::General("a list of booleans in the footer, expected none".to_owned()));
        }
        // Every other element takes a byte at least.
        if elements > self.rest.len() as u64 {
            let there = self.rest.len();
            let message = format!("a list of {elements} elements in the footer, where {there} bytes are left");
            return Err(ParquetError::General(message));
        }
        for _ in 0..elements {
            self.value(kind, depth + 1)?;
        }
        Ok(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.byte() else { break };
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn file(footer: &[u8]) -> Bytes {
        let length = u32::try_from(footer.len()).expect("it is short");
        [b"PAR1", footer, &length.to_le_bytes(), b"PAR1"].concat().into()
    }

    #[test]
    fn what_is_as_it_should_be_passes() {
        // Field 1 an integer, field 2 a list of two texts, field 3 a structure with a boolean.
        let footer = [0x15, 0x04, 0x19, 0x28, 0x01, b'a', 0x01, b'b', 0x1c, 0x11, 0x00, 0x00];
        assert!(check(&file(&footer)).is_ok());
        // The decoder has its own words for these.
        for other in [&b"PAR1"[..], b"", b"no parquet at all", b"\xff\xff\xff\x7fPAR1"] {
            assert!(check(&Bytes::copy_from_slice(other)).is_ok());
        }
    }

    #[test]
    fn a_list_that_cannot_be_is_refused() {
        let booleans = [0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00];
        let integers = [0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00];
        let map = [0x1b, 0x01, 0x11, 0x00];
        for (footer, said) in [(&booleans[..], "booleans"), (&integers, "2147483647 elements"), (&map, "kind 11")] {
            let error = check(&file(footer)).expect_err("it must be refused").to_string();
            assert!(error.contains(said), "{error}");
        }
        // Lists in lists without end.
        let deep = vec![0x19; 1000];
        assert!(check(&file(&deep)).is_err());
    }
}
