//! Mapped bytes: a range of a file as memory, which the kernel fills when it is read and takes back when it is short.
//!
//! Nothing is copied, and what two processes map is in memory once.

use std::fs::File;
use std::io;

use bytes::Bytes;
use memmap2::MmapOptions;

/// Maps `length` bytes of a file from `start` on. A range that the file does not hold is an error.
pub fn map_file(file: &File, start: u64, length: usize) -> io::Result<Bytes> {
    let held = file.metadata()?.len();
    if start.checked_add(length as u64).is_none_or(|end| end > held) {
        let message = format!("expected {length} bytes from byte {start} on, the file has {held}");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    if length == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is private to this value, read-only, and within the file, as was just checked; it is unmapped
    // when the last of its bytes is dropped. Memory would change under a reader only if somebody wrote into the file
    // or cut it in place: this program replaces files by renaming, which leaves a mapped one as it is, and so do the
    // tools that download checkpoints. Whoever makes something of mapped bytes that lasts holds the file's stamp
    // against the file before it lasts; bytes beyond a new end raise SIGBUS, which ends the program with a message.
    let map = unsafe { MmapOptions::new().offset(start).len(length).map(file) }?;
    Ok(Bytes::from_owner(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_a_range_and_refuses_one_beyond_the_end() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        std::fs::write(&path, (0..=255).collect::<Vec<u8>>())?;
        let file = File::open(&path)?;
        assert_eq!(map_file(&file, 100, 3)?, [100, 101, 102].as_slice());
        assert!(map_file(&file, 256, 0)?.is_empty());
        assert_eq!(map_file(&file, 250, 7).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(map_file(&file, u64::MAX, 1).is_err());
        // A file that is replaced by renaming leaves what is mapped.
        let bytes = map_file(&file, 0, 2)?;
        crate::artifact::write_atomic(&path, b"other")?;
        assert_eq!(bytes, [0, 1].as_slice());
        Ok(())
    }
}
