//! An output: the destination that somebody names for a command's result, `--output FILE`, or `-` for standard output.
//!
//! It is checked and opened before the work begins, so that hours of it are not lost for a place that cannot be written.
//! A file appears under its name only once it is whole, and while one process is about to write it no other may. Only a
//! file is ever replaced, never one that the command reads, and a symbolic link is not followed.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::atomic_file::NotAFile;
use super::partial::remove_partials_of;
use super::{AtomicFile, FileError, OutputClaim};
use crate::fault::{Blame, Fault};
use crate::terminal::visible;

/// What standard output is called in messages.
const STANDARD_OUTPUT: &str = "standard output";

/// Where a result goes. Dropped before `commit`, a file leaves nothing.
pub enum Output {
    /// A file on its way, and the right to write it.
    File(AtomicFile, OutputClaim),
    /// Standard output, which others read while it is written.
    Standard,
}

/// Why a result cannot be written where it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Something is there that is never replaced.
    #[error("cannot write {}: {found} is there, expected a file or nothing", path.display())]
    Occupied {
        /// The path.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
    /// The file is one that the command reads.
    #[error("cannot write {}: it is the same file as the input {}", path.display(), input.display())]
    IsInput {
        /// The path.
        path: PathBuf,
        /// The input.
        input: PathBuf,
    },
    /// Another process is about to write it.
    #[error("cannot write {}: another process is writing it", path.display())]
    Claimed {
        /// The path.
        path: PathBuf,
    },
    /// The file or standard output cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nobody reads standard output any more. A command ends at that without a word: see [`is_closed_output`].
    #[error("nobody reads standard output any more")]
    Closed,
}

impl Fault for OutputError {
    fn blame(&self) -> Blame {
        match self {
            Self::Occupied { .. } | Self::IsInput { .. } | Self::Claimed { .. } => Blame::User,
            Self::File(error) => error.blame(),
            Self::Closed => Blame::Machine,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Occupied { .. } => vec!["name a file; `-` writes to standard output".to_owned()],
            Self::IsInput { .. } => vec!["name another file".to_owned()],
            Self::Claimed { .. } => vec!["wait for it to end, or name another file".to_owned()],
            Self::File(error) => error.hints(),
            Self::Closed => Vec::new(),
        }
    }
}

impl Output {
    /// Checks the destination and opens it; folders above it that are missing are made. What a killed process left of
    /// this output is removed.
    pub fn create(path: &Path, inputs: &[&Path]) -> Result<Self, OutputError> {
        Self::check(path, inputs)?;
        if path == Path::new("-") {
            return Ok(Self::Standard);
        }
        let claim = OutputClaim::take(path)?.ok_or_else(|| OutputError::Claimed { path: path.to_owned() })?;
        let file = AtomicFile::create(path)?;
        remove_partials_of(path).map_err(|error| FileError::writing(path, error))?;
        Ok(Self::File(file, claim))
    }

    /// Refuses a destination that may not be replaced. `inputs` are what the command reads, of which it may be none: files,
    /// components, and folders, which stand for the files in them.
    pub fn check(path: &Path, inputs: &[&Path]) -> Result<(), OutputError> {
        if path == Path::new("-") {
            return Ok(());
        }
        if let Some(found) = NotAFile::at(path).map_err(|error| FileError::writing(path, error))? {
            return Err(OutputError::Occupied { path: path.to_owned(), found: found.to_string() });
        }
        let is_input = |input: &Path| is_same_file(path, input).then(|| input.to_owned());
        let among = |input: &&Path| match fs::read_dir(input) {
            Ok(files) => files.flatten().find_map(|file| is_input(&file.path())),
            Err(_) => is_input(input),
        };
        match inputs.iter().find_map(among) {
            Some(input) => Err(OutputError::IsInput { path: path.to_owned(), input }),
            None => Ok(()),
        }
    }

    /// Adds these bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        match self {
            Self::File(file, _) => Ok(file.append(bytes)?),
            // A file or another program gets every byte; a terminal none that it would obey.
            Self::Standard if io::stdout().is_terminal() => {
                standard(|output| output.write_all(visible(&String::from_utf8_lossy(bytes)).as_bytes()))
            }
            Self::Standard => standard(|output| output.write_all(bytes)),
        }
    }

    /// Makes a file durable and visible under its name; sends on what standard output holds back.
    pub fn commit(self) -> Result<(), OutputError> {
        match self {
            Self::File(file, _claim) => Ok(file.commit()?),
            Self::Standard => standard(Write::flush),
        }
    }

    /// Whether it is standard output, on which nothing else may be printed then.
    pub fn is_standard(&self) -> bool {
        matches!(self, Self::Standard)
    }
}

/// Writes a command's result to standard output.
pub fn write_standard_output(bytes: &[u8]) -> Result<(), OutputError> {
    standard(|output| output.write_all(bytes).and_then(|()| output.flush()))
}

/// Whether an error says that nobody reads standard output any more (`hilora-host … | head`). The command then ends, and
/// says nothing.
pub fn is_closed_output(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(OutputError::Closed)) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn standard(write: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>) -> Result<(), OutputError> {
    write(&mut io::stdout().lock()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => OutputError::Closed,
        _ => FileError::writing(STANDARD_OUTPUT, error).into(),
    })
}

/// Whether a file that stands at `path` is the one that `input` leads to, whatever they are called.
fn is_same_file(path: &Path, input: &Path) -> bool {
    let found = if input == Path::new("-") {
        io::stdin().as_fd().try_clone_to_owned().map(File::from).and_then(|file| file.metadata())
    } else {
        fs::metadata(input)
    };
    let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (fs::metadata(path), found) {
        (Ok(output), Ok(input)) => place(output) == place(input),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_file_is_replaced() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("target");
        fs::write(&target, b"theirs")?;
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&target, &link)?;
        let dangling = folder.path().join("dangling");
        std::os::unix::fs::symlink("nowhere", &dangling)?;
        for (path, found) in [
            (folder.path(), "a folder"),
            (&link, "a symbolic link"),
            (&dangling, "a symbolic link"),
            (Path::new("/dev/null"), "a device"),
        ] {
            let error = Output::create(path, &[]).err().expect("it is refused");
            let told = format!("cannot write {}: {found} is there, expected a file or nothing", path.display());
            assert_eq!((error.to_string(), error.blame()), (told, Blame::User));
        }
        assert_eq!(fs::read(&target)?, b"theirs");
        assert_eq!(fs::read_dir(folder.path())?.count(), 3, "nothing was begun");
        Ok(())
    }

    #[test]
    fn an_input_is_not_replaced_under_any_name() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let input = folder.path().join("in.jsonl");
        fs::write(&input, b"{}")?;
        let (link, hard_link) = (folder.path().join("link"), folder.path().join("hard"));
        std::os::unix::fs::symlink(&input, &link)?;
        fs::hard_link(&input, &hard_link)?;
        let within = folder.path().to_owned();
        for (output, input) in [(&input, &input), (&hard_link, &input), (&input, &link), (&input, &within)] {
            let error = Output::create(output, &[Path::new("elsewhere"), input]).err().expect("it is refused");
            assert!(matches!(error, OutputError::IsInput { .. }), "{error}");
        }
        Ok(())
    }

    #[test]
    fn a_file_appears_when_it_is_whole_and_what_a_kill_left_of_it_goes() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("new/out.jsonl");
        let mut output = Output::create(&path, &[])?;
        output.append(b"a\n")?;
        drop(output);
        fs::create_dir(folder.path().join("new"))?;
        let left = path.with_file_name(".hilora-partial-out.jsonl-a1B2c3");
        fs::write(&left, b"half")?;
        let mut output = Output::create(&path, &[])?;
        assert!(!left.exists() && !path.exists());
        output.append(b"b\n")?;
        output.commit()?;
        assert_eq!(fs::read(&path)?, b"b\n");
        assert_eq!(fs::read_dir(folder.path().join("new"))?.count(), 1);
        Ok(())
    }

    #[test]
    fn folders_are_made_for_a_file_and_go_with_one_that_is_dropped() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("new/newer/out.jsonl");
        drop(Output::create(&path, &[])?);
        assert_eq!(fs::read_dir(folder.path())?.count(), 0);
        let (one, other) = (Output::create(&path, &[])?, Output::create(&path.with_file_name("other"), &[])?);
        other.commit()?;
        drop(one);
        assert!(path.with_file_name("other").is_file(), "what somebody else wrote there stays");
        Ok(())
    }

    #[test]
    fn a_closed_output_is_known_among_the_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot tell the result")]
        struct Outer(#[source] OutputError);
        assert!(is_closed_output(&Outer(OutputError::Closed)));
        let full = FileError::writing(STANDARD_OUTPUT, io::ErrorKind::StorageFull.into());
        assert_eq!(full.blame(), Blame::Machine);
        assert!(!is_closed_output(&Outer(full.into())));
    }
}
