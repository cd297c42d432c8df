//! A source file: bytes that the host opened for this run, read at any offset. It cannot be listed, opened anew or
//! written.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::bindings::dataset_loader::hilora::plugin::source::File;

/// The most bytes asked of the host in one call, so that no single answer is large on either side.
const BYTES_PER_CALL_MAX: u64 = 1 << 20;

/// What answers the reads: the host, or bytes in a test.
trait Backing: Send + Sync {
    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>, String>;
}

impl Backing for File {
    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>, String> {
        File::read_at(self, offset, length)
    }
}

/// A file in memory, for native tests of a loader.
struct Memory(Vec<u8>);

impl Backing for Memory {
    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>, String> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let end = start.saturating_add(length as usize).min(self.0.len());
        Ok(self.0[start..end].to_vec())
    }
}

/// What a test answers reads with.
struct Answers<F>(F);

impl<F: Fn(u64, u32) -> Result<Vec<u8>, String> + Send + Sync> Backing for Answers<F> {
    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>, String> {
        self.0(offset, length)
    }
}

/// A file on this machine, for native programs that run a loader.
#[cfg(unix)]
struct Native(std::fs::File);

#[cfg(unix)]
impl Backing for Native {
    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>, String> {
        use std::os::unix::fs::FileExt;
        let mut piece = vec![0; length as usize];
        let read = self.0.read_at(&mut piece, offset).map_err(|error| error.to_string())?;
        piece.truncate(read);
        Ok(piece)
    }
}

/// One file of the run. Clones share the file and each keep a position of their own.
#[derive(Clone)]
pub struct SourceFile {
    name: Arc<str>,
    size: u64,
    position: u64,
    backing: Arc<dyn Backing>,
}

impl SourceFile {
    /// A file over these bytes, for native tests of a loader.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), size: bytes.len() as u64, position: 0, backing: Arc::new(Memory(bytes)) }
    }

    /// A file whose reads `read_at` answers, for native tests of what a loader does where the host cannot read.
    pub fn from_reads(
        name: &str,
        size: u64,
        read_at: impl Fn(u64, u32) -> Result<Vec<u8>, String> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), size, position: 0, backing: Arc::new(Answers(read_at)) }
    }

    /// The file at `path`, for native programs that run a loader; a component has no paths.
    #[cfg(unix)]
    pub fn open(path: &std::path::Path) -> io::Result<Self> {
        let file = std::fs::File::open(path)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let size = file.metadata()?.len();
        Ok(Self { name: name.into(), size, position: 0, backing: Arc::new(Native(file)) })
    }

    pub(crate) fn from_host(file: File) -> Self {
        Self { name: file.name().into(), size: file.size(), position: 0, backing: Arc::new(file) }
    }

    /// The file's name without its folders, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// At most `length` bytes from `offset`, asked of the host in pieces; fewer only at the end of the file. The
    /// position stays.
    pub fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        // The file's size bounds what is reserved: `length` may come from a damaged file.
        let wanted = (length as u64).min(self.size.saturating_sub(offset));
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < wanted {
            let at = offset + bytes.len() as u64;
            let ask = (wanted - bytes.len() as u64).min(BYTES_PER_CALL_MAX) as u32;
            let piece = self.backing.read_at(at, ask).map_err(io::Error::other)?;
            if piece.is_empty() {
                break;
            }
            if bytes.is_empty() && piece.len() as u64 == wanted {
                return Ok(piece);
            }
            bytes.reserve_exact(piece.len());
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.size)
    }
}

impl Read for SourceFile {
    /// Every call asks the host: wrap the file in a `BufReader` for small reads.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ask = buffer.len().min(BYTES_PER_CALL_MAX as usize);
        let piece = self.read_at(self.position, ask)?;
        buffer[..piece.len()].copy_from_slice(&piece);
        self.position += piece.len() as u64;
        Ok(piece.len())
    }
}

impl Seek for SourceFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{}: cannot seek before the file's start", self.name))
        })?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    #[test]
    fn reads_pieces_that_end_with_the_file() -> io::Result<()> {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let file = SourceFile::from_bytes("a.bin", bytes.clone());
        assert_eq!(file.read_at(0, usize::MAX)?, bytes);
        assert_eq!(file.read_at(1_500_000, 2_000_000)?, bytes[1_500_000..]);
        assert_eq!(file.read_at(5, 3)?, bytes[5..8]);
        assert_eq!(file.read_at(3_000_000, 1)?, [0; 0]);
        assert_eq!(file.read_at(u64::MAX, 1)?, [0; 0]);
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_file_on_this_machine_is_read_like_one_of_the_host() -> io::Result<()> {
        let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let file = SourceFile::open(path)?;
        let bytes = std::fs::read(path)?;
        assert_eq!((file.name(), file.size()), ("Cargo.toml", bytes.len() as u64));
        assert_eq!(file.read_at(5, usize::MAX)?, bytes[5..]);
        Ok(())
    }

    #[test]
    fn reads_lines_and_seeks() -> io::Result<()> {
        let mut file = SourceFile::from_bytes("a.jsonl", b"one\ntwo\nthree".to_vec());
        let lines: Vec<String> = BufReader::new(file.clone()).lines().collect::<io::Result<_>>()?;
        assert_eq!(lines, ["one", "two", "three"]);
        file.seek(SeekFrom::End(-5))?;
        let mut rest = String::new();
        file.read_to_string(&mut rest)?;
        assert_eq!(rest, "three");
        assert!(file.seek(SeekFrom::Current(-14)).is_err());
        Ok(())
    }

    #[test]
    fn passes_on_what_the_host_says() {
        let file = SourceFile::from_reads("a", 10, |_, _| Err("Input/output error (os error 5)".to_owned()));
        let error = file.read_at(0, 1).expect_err("the backing refuses").to_string();
        assert_eq!(error, "Input/output error (os error 5)");
    }
}
