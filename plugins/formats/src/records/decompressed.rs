//! The bytes of a file of text, out of whatever it is compressed with. Its first bytes say which that is. Nothing is kept
//! of what went by: a small archive that unpacks to terabytes costs time, not memory, and a codec gets no more memory than
//! its window may have.

use std::io::{self, BufRead, BufReader};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use hilora_plugin_sdk::loader::{LoadError, MalformedFile, SourceFile};
use lzma_rust2::XzReader;
use zstd::stream::read::Decoder as ZstdDecoder;

use crate::watched::{Failure, Watched};

/// How many bytes are asked for at once.
pub(super) const READ_BYTES: usize = 1 << 18;

/// How many bytes the first look at a file shows, if it has as many: members of an archive may be as short as one byte.
const BEGINNING_BYTES: usize = 1 << 12;

/// The largest window of a zstd frame, as a power of two: what `zstd --long` writes, and what `zstd` itself reads unless it
/// is told otherwise.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// The most memory that xz may take, in KiB: `xz -9` needs 65 MiB to unpack.
const XZ_MEMORY_KIB_MAX: u32 = 192 << 10;

/// A file of text that is being read.
pub(super) struct Decompressed {
    name: String,
    failure: Failure,
    /// What the file is compressed with.
    compression: Option<&'static str>,
    reader: Box<dyn BufRead>,
    /// What was read ahead, how much of it went by, and what ended it.
    ahead: Vec<u8>,
    ahead_at: usize,
    ahead_error: Option<io::Error>,
}

/// The codec that a file begins with.
fn compression(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some("zstd"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, ..] => {
            Some("bzip2")
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
        _ => None,
    }
}

impl Decompressed {
    pub(super) fn open(file: SourceFile) -> Result<Self, LoadError> {
        let name = file.name().to_owned();
        let unreadable = |error: io::Error| LoadError::Unreadable(format!("{name}: {error}"));
        let compression = compression(&file.read_at(0, 6).map_err(unreadable)?);
        let failure = Failure::default();
        let plain = BufReader::with_capacity(READ_BYTES, Watched::new(file, failure.clone()));
        let reader: Box<dyn BufRead> = match compression {
            Some("gzip") => Box::new(BufReader::with_capacity(READ_BYTES, MultiGzDecoder::new(plain))),
            Some("bzip2") => Box::new(BufReader::with_capacity(READ_BYTES, MultiBzDecoder::new(plain))),
            Some("xz") => {
                let decoder = XzReader::new_mem_limit(plain, true, XZ_MEMORY_KIB_MAX);
                Box::new(BufReader::with_capacity(READ_BYTES, decoder))
            }
            Some(_) => {
                let mut decoder = ZstdDecoder::with_buffer(plain).map_err(unreadable)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(unreadable)?;
                Box::new(BufReader::with_capacity(READ_BYTES, decoder))
            }
            None => Box::new(plain),
        };
        let (ahead, ahead_at, ahead_error) = (Vec::new(), 0, None);
        let mut opened = Self { name, failure, compression, reader, ahead, ahead_at, ahead_error };
        opened.read_ahead();
        Ok(opened)
    }

    fn read_ahead(&mut self) {
        while self.ahead.len() < BEGINNING_BYTES {
            let length = match self.reader.fill_buf() {
                Ok([]) => break,
                Ok(piece) => {
                    self.ahead.extend_from_slice(piece);
                    piece.len()
                }
                Err(error) => {
                    self.ahead_error = Some(error);
                    break;
                }
            };
            self.reader.consume(length);
        }
    }

    pub(super) fn compression(&self) -> Option<&'static str> {
        self.compression
    }

    /// The bytes that come next; none at the end of the file. `line` and `row` are for messages.
    pub(super) fn peek(&mut self, line: u64, row: u64) -> Result<&[u8], LoadError> {
        if self.ahead_at < self.ahead.len() {
            return Ok(&self.ahead[self.ahead_at..]);
        }
        if let Some(error) = self.ahead_error.take() {
            return Err(self.error(line, row, &error));
        }
        // Asked twice, because what is borrowed from the reader in one arm of a match is borrowed in all.
        match self.reader.fill_buf() {
            Ok(_) => {}
            Err(error) => return Err(self.error(line, row, &error)),
        }
        self.reader.fill_buf().map_err(|error| LoadError::Unreadable(format!("{}: {error}", self.name)))
    }

    /// Goes on by so many bytes of those that were peeked at.
    pub(super) fn consume(&mut self, bytes: usize) {
        if self.ahead_at == self.ahead.len() {
            self.reader.consume(bytes);
            return;
        }
        self.ahead_at += bytes;
        if self.ahead_at == self.ahead.len() {
            (self.ahead, self.ahead_at) = (Vec::new(), 0);
        }
    }

    /// The file is not what it should be.
    pub(super) fn malformed(&self, line: u64, row: u64, what: &str) -> LoadError {
        let detail = format!("line {line}: {what}");
        LoadError::Malformed(MalformedFile { file: self.name.clone(), row: Some(row), detail })
    }

    /// What a failed read means: the host could not read, or the archive is damaged.
    fn error(&self, line: u64, row: u64, error: &io::Error) -> LoadError {
        match self.failure.take() {
            Some(words) => LoadError::Unreadable(format!("{}: {words}", self.name)),
            None => {
                self.malformed(line, row, &format!("the {} is damaged: {error}", self.compression.unwrap_or("file")))
            }
        }
    }
}
