//! A file in place: a lock or a record, opened where it stands instead of being replaced. What is locked, cut or appended
//! to must be this program's own file, so nothing else is opened in its place: no link is followed, and a pipe or a
//! device is refused without waiting for whoever is at its other end.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::atomic_file::NotAFile;

/// Opens a file with these options, whose custom flags are set here. An error if a link, or anything else that is no
/// regular file, stands there.
pub fn open_in_place(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let refused = |found: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{found} is there"));
    if let Some(found) = NotAFile::at(path)? {
        return Err(refused(&found.to_string()));
    }
    // Another one may have come in between, so what is opened is looked at, too.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = options.custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(refused("something that is no file")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_a_file_is_opened_and_nothing_is_waited_for() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let place = |name: &str| folder.path().join(name);
        fs::write(place("file"), "text")?;
        symlink(place("file"), place("link"))?;
        symlink(place("nothing"), place("loose-link"))?;
        fs::create_dir(place("folder"))?;
        rustix::fs::mknodat(rustix::fs::CWD, place("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)?;
        let _socket = UnixListener::bind(place("socket"))?;
        let ways: [fn(&mut OpenOptions) -> &mut OpenOptions; 3] = [
            |options| options.read(true),
            |options| options.append(true).create(true),
            |options| options.read(true).write(true).create(true).truncate(true),
        ];
        for way in ways {
            for name in ["link", "loose-link", "folder", "pipe", "socket"] {
                let refused = open_in_place(&place(name), way(&mut OpenOptions::new()));
                let error = refused.err().ok_or(name)?;
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}: {error}");
                assert!(error.to_string().ends_with(" is there"), "{name}: {error}");
            }
            assert!(!place("nothing").exists());
        }
        assert_eq!(fs::read_to_string(place("file"))?, "text", "what a link names is not touched");
        for (way, expected) in ways.iter().zip(["text", "text", ""]) {
            open_in_place(&place("file"), way(&mut OpenOptions::new()))?;
            assert_eq!(fs::read_to_string(place("file"))?, expected);
        }
        assert_eq!(
            open_in_place(&place("none"), ways[0](&mut OpenOptions::new())).map_err(|e| e.kind()).err(),
            Some(io::ErrorKind::NotFound)
        );
        Ok(())
    }
}
