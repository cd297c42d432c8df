//! The sizes that the header of a page claims, held against what its codec can give before the decoder reserves them.

use std::io::{Error, Read, Result};

use ::parquet::basic::Compression;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{ChunkReader, Length};
use bytes::Bytes;

/// The most that one page may hold, in bytes. Writers end a page after about a mebibyte, but a value is never split.
const PAGE_BYTES_MAX: u64 = 512 << 20;

/// How many times its compressed bytes a page may hold: what the codecs' formats allow at most (snappy copies 64 bytes by
/// 3, lz4 adds 255 to a length by a byte, deflate copies 258 bytes by 2 bits, zstd makes a block of 128 KiB of 4 bytes).
fn ratio_max(codec: Compression) -> u64 {
    match codec {
        Compression::SNAPPY => 22,
        Compression::LZ4 | Compression::LZ4_RAW => 256,
        Compression::GZIP(_) => 1032,
        Compression::ZSTD(_) => 1 << 15,
        _ => PAGE_BYTES_MAX,
    }
}

/// The file as the reader of one column's pages sees it.
pub(super) struct PageSource<R> {
    pub(super) source: R,
    pub(super) codec: Compression,
}

impl<R: ChunkReader> Length for PageSource<R> {
    fn len(&self) -> u64 {
        self.source.len()
    }
}

impl<R: ChunkReader> ChunkReader for PageSource<R> {
    type T = HeaderRead<R::T>;

    /// The page reader asks for this where a header begins, and reads no further than the header.
    fn get_read(&self, start: u64) -> std::result::Result<Self::T, ParquetError> {
        Ok(HeaderRead { bytes: self.source.get_read(start)?, codec: self.codec, begun: Vec::new(), checked: false })
    }

    fn get_bytes(&self, start: u64, length: usize) -> std::result::Result<Bytes, ParquetError> {
        self.source.get_bytes(start, length)
    }
}

/// The bytes of a header, refused once they claim a size that cannot be.
pub(super) struct HeaderRead<R> {
    bytes: R,
    codec: Compression,
    /// What has been read so far, until the sizes are known.
    begun: Vec<u8>,
    checked: bool,
}

impl<R: Read> Read for HeaderRead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.bytes.read(buffer)?;
        if !self.checked {
            self.begun.extend_from_slice(&buffer[..read]);
            if let Some((uncompressed, compressed)) = sizes(&self.begun)? {
                self.checked = true;
                check(uncompressed, compressed, self.codec)?;
            }
        }
        Ok(read)
    }
}

fn check(uncompressed: u64, compressed: u64, codec: Compression) -> Result<()> {
    // Headers, levels and the smallest of blocks are allowed for by the constant.
    let can_hold = compressed.saturating_mul(ratio_max(codec)).saturating_add(64);
    if uncompressed > PAGE_BYTES_MAX || compressed > PAGE_BYTES_MAX {
        let claims = uncompressed.max(compressed);
        return Err(Error::other(format!("a page claims {claims} bytes, expected at most {PAGE_BYTES_MAX}")));
    }
    if uncompressed > can_hold {
        return Err(Error::other(format!(
            "a page of {compressed} bytes claims to hold {uncompressed}, more than its compression can give"
        )));
    }
    Ok(())
}

/// The uncompressed and the compressed size of the page that a header in Thrift's compact protocol begins with, in
/// bytes; none where more of it must be read first.
///
/// A header begins with three 32-bit integers, its fields 1 to 3: the page's type and the two sizes. Writers generated
/// from Parquet's Thrift definition write fields in the order of their numbers; other orders are refused.
fn sizes(header: &[u8]) -> Result<Option<(u64, u64)>> {
    /// An integer of 32 bits whose field number is one more than the last one's.
    const NEXT_FIELD_I32: u8 = 0x15;
    let mut rest = header;
    let mut values = [0; 3];
    for value in &mut values {
        match rest.split_first() {
            None => return Ok(None),
            Some((&NEXT_FIELD_I32, after)) => rest = after,
            Some(_) => return Err(Error::other("a page's header does not begin with its type and sizes")),
        }
        // An integer of 32 bits takes at most five bytes.
        let Some(length) = rest.iter().take(5).position(|byte| byte & 0x80 == 0) else {
            return match rest.len() >= 5 {
                true => Err(Error::other("a page's header holds a number of more than 32 bits")),
                false => Ok(None),
            };
        };
        let (digits, after) = rest.split_at(length + 1);
        *value = digits.iter().rev().fold(0_u64, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
        rest = after;
    }
    let [_, uncompressed, compressed] = values;
    // Zigzag: odd numbers are negative ones, which the reader refuses with words of its own.
    Ok(Some((uncompressed >> 1, compressed >> 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header's beginning with sizes below 64, which take one byte each.
    fn header(uncompressed: u8, compressed: u8) -> Vec<u8> {
        vec![0x15, 0x00, 0x15, uncompressed << 1, 0x15, compressed << 1]
    }

    #[test]
    fn sizes_are_read_once_they_are_whole() {
        let whole = header(40, 20);
        for cut in 0..whole.len() {
            assert_eq!(sizes(&whole[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(sizes(&whole).unwrap(), Some((40, 20)));
        assert_eq!(
            sizes(&[0x15, 0x04, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x15, 0x02]).unwrap(),
            Some((0x7fff_ffff, 1))
        );
    }

    #[test]
    fn a_header_in_another_order_is_refused() {
        assert!(sizes(&[0x25, 0x00]).is_err());
        assert!(sizes(&[0x15, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]).is_err());
    }

    #[test]
    fn a_page_may_hold_what_its_codec_can_give() {
        assert!(check(1 << 20, 60_000, Compression::SNAPPY).is_ok());
        assert!(check(1 << 20, 6_000, Compression::SNAPPY).is_err());
        assert!(check(1 << 20, 6_000, Compression::LZ4_RAW).is_ok());
        assert!(check(1 << 20, 1_200, Compression::GZIP(Default::default())).is_ok());
        assert!(check(1 << 30, 1 << 20, Compression::ZSTD(Default::default())).is_err());
        assert!(check(1 << 20, 100, Compression::ZSTD(Default::default())).is_ok());
        // Four bytes of zstd are one block of at most 128 KiB.
        assert!(check(1 << 20, 32, Compression::ZSTD(Default::default())).is_ok());
        assert!(check(1 << 20, 31, Compression::ZSTD(Default::default())).is_err());
    }

    #[test]
    fn a_lie_is_an_error_while_the_header_is_read() {
        let mut lie: &[u8] = &[0x15, 0x00, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x15, 0x02, 0x2c];
        let mut read = HeaderRead { bytes: &mut lie, codec: Compression::SNAPPY, begun: Vec::new(), checked: false };
        let error = std::io::copy(&mut read, &mut std::io::sink()).unwrap_err();
        assert!(error.to_string().contains("2147483647"), "{error}");
    }
}
