//! A folder of the cache, held open: what is in it is named by one plain name at a time and never found through a link, so
//! that nothing planted in the cache leads out of it. This needs no more than POSIX has.

use std::ffi::CStr;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use hilora_contract::artifact::{FileError, usable_bytes};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::super::HubError;

/// What the umask leaves of these is what a new folder and a new file may be used for.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
/// Not waited for, in case it is a pipe.
const PLAINLY: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// How temporary names begin.
const PREFIX: &str = ".hilora-partial-";
/// Random digits that end them.
const RANDOM_DIGITS: usize = 16;
/// Temporary names that are tried; as a rule nothing has the first.
const NAMES_TRIED_MAX: usize = 100;

const A_FOLDER: &str = "a folder";
const A_FILE: &str = "a file";

/// A folder that is held open.
#[derive(Debug)]
pub(super) struct Folder {
    handle: OwnedFd,
    /// For messages and for who reads the model.
    path: PathBuf,
}

/// What stands under a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A file of so many bytes.
    File(u64),
    /// A link, and what is written in it.
    Link(String),
}

impl Folder {
    /// Opens the folder that the user named, wherever that leads; nothing where there is none.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, HubError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(handle) => Ok(Some(Self { handle, path: path.to_owned() })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(FileError::reading(path, error.into()).into()),
        }
    }

    /// The same, made if it is missing.
    pub(super) fn open_or_make(path: &Path) -> Result<Self, HubError> {
        fs::create_dir_all(path).map_err(|error| FileError::writing(path, error))?;
        Self::open(path)?.ok_or_else(|| FileError::reading(path, Errno::NOENT.into()).into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder of that name; nothing where there is none.
    pub(super) fn folder(&self, name: &str) -> Result<Option<Self>, HubError> {
        match rustix::fs::openat(&self.handle, name, OFlags::RDONLY | OFlags::DIRECTORY | PLAINLY, Mode::empty()) {
            Ok(handle) => Ok(Some(Self { handle, path: self.path_of(name) })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(self.foreign(name, A_FOLDER)),
            Err(error) => Err(FileError::reading(self.path_of(name), error.into()).into()),
        }
    }

    /// The same, made if it is missing.
    pub(super) fn folder_or_new(&self, name: &str) -> Result<Self, HubError> {
        match rustix::fs::mkdirat(&self.handle, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(FileError::writing(self.path_of(name), error.into()).into()),
        }
        self.folder(name)?.ok_or_else(|| FileError::reading(self.path_of(name), Errno::NOENT.into()).into())
    }

    /// What stands under that name; nothing where there is nothing, and an error for all but files and links.
    pub(super) fn entry(&self, name: &str) -> Result<Option<Entry>, HubError> {
        let Some(stat) = self.stat(name)? else { return Ok(None) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Some(Entry::File(u64::try_from(stat.st_size).unwrap_or(0)))),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&self.handle, name, Vec::new())
                    .map_err(|error| FileError::reading(self.path_of(name), error.into()))?;
                Ok(Some(Entry::Link(target.to_string_lossy().into_owned())))
            }
            _ => Err(self.foreign(name, A_FILE)),
        }
    }

    /// Whether a folder has that name, and no link to one.
    pub(super) fn is_folder(&self, name: &str) -> Result<bool, HubError> {
        Ok(self.stat(name)?.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
    }

    /// A file's content, of at most so many bytes; nothing where there is no such file.
    pub(super) fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, HubError> {
        let file = match rustix::fs::openat(&self.handle, name, OFlags::RDONLY | PLAINLY, Mode::empty()) {
            Ok(handle) => self.plain(name, handle)?,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(self.foreign(name, A_FILE)),
            Err(error) => return Err(FileError::reading(self.path_of(name), error.into()).into()),
        };
        let mut content = Vec::new();
        file.take(bytes_max + 1)
            .read_to_end(&mut content)
            .map_err(|error| FileError::reading(self.path_of(name), error))?;
        if content.len() as u64 > bytes_max {
            let found = format!("more than {bytes_max} bytes");
            return Err(HubError::Cache { path: self.path_of(name), expected: "a smaller file", found });
        }
        Ok(Some(content))
    }

    /// A file to read and to write, as it is or new. One that has a second name somewhere else is refused: what is written
    /// to it would stand there, too.
    pub(super) fn file_or_new(&self, name: &str) -> Result<File, HubError> {
        match rustix::fs::openat(&self.handle, name, OFlags::RDWR | OFlags::CREATE | PLAINLY, FILE_MODE) {
            Ok(handle) => {
                let file = self.plain(name, handle)?;
                match self.stat_of(name, &file)?.st_nlink {
                    0..=1 => Ok(file),
                    _ => {
                        let found = "one with a second name".to_owned();
                        Err(HubError::Cache { path: self.path_of(name), expected: "a file of its own", found })
                    }
                }
            }
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => Err(self.foreign(name, A_FILE)),
            Err(error) => Err(FileError::writing(self.path_of(name), error.into()).into()),
        }
    }

    /// Holds the file of that name, which is made if it is missing, as a lock; nothing where somebody else holds it. It
    /// ends with what is returned, and with the process however that ends.
    pub(super) fn try_lock(&self, name: &str) -> Result<Option<File>, HubError> {
        let file = self.file_or_new(name)?;
        if !try_hold(&file).map_err(|error| FileError::writing(self.path_of(name), error))? {
            return Ok(None);
        }
        // Its last holder may have removed it in between, and then the next one locks another file.
        let held = self.stat_of(name, &file)?;
        let stands = self.stat(name)?.is_some_and(|stat| (stat.st_dev, stat.st_ino) == (held.st_dev, held.st_ino));
        Ok(stands.then_some(file))
    }

    /// Holds what was opened to be a plain file.
    fn plain(&self, name: &str, handle: OwnedFd) -> Result<File, HubError> {
        let file = File::from(handle);
        match FileType::from_raw_mode(self.stat_of(name, &file)?.st_mode) {
            FileType::RegularFile => Ok(file),
            _ => Err(self.foreign(name, A_FILE)),
        }
    }

    fn stat_of(&self, name: &str, file: &File) -> Result<Stat, HubError> {
        rustix::fs::fstat(file).map_err(|error| FileError::reading(self.path_of(name), error.into()).into())
    }

    /// Puts under that name, in one step, what `make` makes under a temporary name in this folder, unless something has
    /// that name. Who calls this is the only one to do so now, and what a killed process left is removed first.
    pub(super) fn place(
        &self,
        name: &str,
        within: &Self,
        make: impl Fn(&Self, &str) -> io::Result<()>,
    ) -> Result<(), HubError> {
        self.remove_partials()?;
        let temporary = self
            .begin(std::iter::repeat_with(temporary_name).take(NAMES_TRIED_MAX), make)
            .map_err(|error| FileError::writing(within.path_of(name), error))?;
        let renamed = rustix::fs::renameat(&self.handle, temporary.as_str(), &within.handle, name);
        if let Err(error) = renamed {
            self.remove(&temporary)?;
            return Err(FileError::writing(within.path_of(name), error.into()).into());
        }
        within.sync()
    }

    /// Makes something under the first of these names that nothing has. What has one is somebody else's, and stays.
    fn begin(
        &self,
        names: impl Iterator<Item = String>,
        make: impl Fn(&Self, &str) -> io::Result<()>,
    ) -> io::Result<String> {
        for name in names {
            match make(self, &name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| name),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes what killed processes left under temporary names.
    fn remove_partials(&self) -> Result<(), HubError> {
        for name in self.names()?.iter().filter(|name| is_temporary_name(name)) {
            let kind = self.stat(name)?.map(|stat| FileType::from_raw_mode(stat.st_mode));
            if matches!(kind, Some(FileType::RegularFile | FileType::Symlink)) {
                self.remove(name)?;
            }
        }
        Ok(())
    }

    /// Makes a link with this text, where nothing is yet.
    pub(super) fn link(&self, name: &str, target: &str) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.handle, name)?)
    }

    /// Makes a file with this content, where nothing is yet.
    pub(super) fn file(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | PLAINLY;
        let mut file = File::from(rustix::fs::openat(&self.handle, name, flags, FILE_MODE)?);
        let written = file.write_all(content).and_then(|()| file.sync_all());
        if written.is_err() {
            // What failed is what is told.
            let _ = rustix::fs::unlinkat(&self.handle, name, AtFlags::empty());
        }
        written
    }

    /// Gives a file another name here, over what stands there.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), HubError> {
        rustix::fs::renameat(&self.handle, from, &self.handle, to)
            .map_err(|error| FileError::writing(self.path_of(to), error.into()))?;
        self.sync()
    }

    /// Removes a file or a link, if there is one.
    pub(super) fn remove(&self, name: &str) -> Result<(), HubError> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(FileError::writing(self.path_of(name), error.into()).into()),
        }
    }

    /// The names of what is in it.
    pub(super) fn names(&self) -> Result<Vec<String>, HubError> {
        let unreadable = |error: Errno| FileError::reading(&self.path, error.into());
        let text = |name: &CStr| name.to_string_lossy().into_owned();
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle).map_err(unreadable)? {
            names.push(text(entry.map_err(unreadable)?.file_name()));
        }
        names.sort();
        Ok(names)
    }

    /// Bytes that this user may still write on its disk.
    pub(super) fn usable_bytes(&self) -> Result<u64, HubError> {
        usable_bytes(&self.handle).map_err(|error| FileError::reading(&self.path, error).into())
    }

    /// Makes the names in it durable.
    fn sync(&self) -> Result<(), HubError> {
        rustix::fs::fsync(&self.handle).map_err(|error| FileError::writing(&self.path, error.into()).into())
    }

    fn stat(&self, name: &str) -> Result<Option<Stat>, HubError> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(FileError::reading(self.path_of(name), error.into()).into()),
        }
    }

    /// What is under that name is not what belongs there.
    fn foreign(&self, name: &str, expected: &'static str) -> HubError {
        let found = match self.stat(name) {
            Ok(Some(stat)) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => "a file",
                FileType::Directory => "a folder",
                FileType::Symlink => "a symbolic link",
                FileType::Fifo => "a named pipe",
                FileType::Socket => "a socket",
                FileType::CharacterDevice | FileType::BlockDevice => "a device",
                FileType::Unknown => "something else",
            },
            Ok(None) => "nothing any more",
            Err(error) => return error,
        };
        HubError::Cache { path: self.path_of(name), expected, found: found.to_owned() }
    }
}

/// A name that no process has, in whatever container it runs.
fn temporary_name() -> String {
    // Its keys are random.
    let digits = RandomState::new().build_hasher().finish();
    format!("{PREFIX}{digits:0RANDOM_DIGITS$x}")
}

fn is_temporary_name(name: &str) -> bool {
    let is_random = |end: &str| end.len() == RANDOM_DIGITS && end.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.strip_prefix(PREFIX).is_some_and(is_random)
}

/// Takes a lock on a file, and says whether that succeeded. The words of the operating system for a file that somebody
/// else holds are not those of a failure.
fn try_hold(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn what_has_a_temporary_name_already_stays() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let opened = Folder::open(folder.path())?.ok_or("no folder")?;
        let names = || ["taken", "free"].map(str::to_owned).into_iter();
        opened.file("taken", b"theirs")?;
        assert_eq!(opened.begin(names(), |folder, name| folder.link(name, "target"))?, "free");
        opened.remove("free")?;
        assert_eq!(opened.begin(names(), |folder, name| folder.file(name, b"ours"))?, "free");
        assert_eq!(fs::read(folder.path().join("taken"))?, b"theirs");
        assert!(opened.begin(names(), |folder, name| folder.file(name, b"ours")).is_err(), "both are taken");
        assert!(is_temporary_name(&temporary_name()) && temporary_name() != temporary_name());
        Ok(())
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let opened = Folder::open(folder.path())?.ok_or("no folder")?;
        opened.link(&temporary_name(), "../../blobs/x")?;
        opened.file(&temporary_name(), b"half a commit")?;
        // A process in another container may have the same id, and names of its own.
        let foreign = format!(".hilora-{}-0", std::process::id());
        let (notes, kept) = (format!("{PREFIX}notes"), temporary_name());
        opened.link(&foreign, "theirs")?;
        opened.file(&notes, b"theirs")?;
        fs::create_dir(folder.path().join(&kept))?;
        opened.place("main", &opened, |folder, name| folder.file(name, b"commit"))?;
        let mut expected = [".", "..", "main", &foreign, &notes, &kept];
        expected.sort_unstable();
        assert_eq!(opened.names()?, expected);
        Ok(())
    }
}
