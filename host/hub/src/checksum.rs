//! The checksum of a file, as its tag announces it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use hilora_contract::artifact::ContentHasher;
use sha1::{Digest, Sha1};

use super::names::ETag;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1 << 20;

enum Checksum {
    Sha256(ContentHasher),
    /// Of a header with the length, and the content. SHA-1 finds what broke on the way, not what was forged with care.
    Git(Sha1),
}

impl Checksum {
    fn new(etag: &ETag, bytes: u64) -> Self {
        match etag {
            ETag::Sha256(_) => Self::Sha256(ContentHasher::default()),
            ETag::Git(_) => Self::Git(Sha1::new_with_prefix(format!("blob {bytes}\0"))),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => hasher.finish().to_string(),
            Self::Git(hasher) => hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// The hash of a file of so many bytes, of the kind of this tag, in hexadecimal digits.
pub(crate) fn checksum(file: &mut File, bytes: u64, etag: &ETag) -> io::Result<String> {
    let (mut checksum, mut buffer) = (Checksum::new(etag, bytes), vec![0; BUFFER_BYTES]);
    file.seek(SeekFrom::Start(0))?;
    loop {
        match file.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(0) => return Ok(checksum.finish()),
            Ok(read) => checksum.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn equals_gits_and_sha256sums() -> io::Result<()> {
        let mut file = tempfile::tempfile()?;
        file.write_all(b"hello\n")?;
        // `printf 'hello\n' | git hash-object --stdin`, and `| sha256sum`.
        for digits in [
            "ce013625030ba8dba906f756967f9e9ca394464a",
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        ] {
            let etag = ETag::parse(digits).expect("a hash");
            assert_eq!(checksum(&mut file, 6, &etag)?, digits);
        }
        Ok(())
    }
}
