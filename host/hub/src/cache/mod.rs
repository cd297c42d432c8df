//! The cache: models and data sets as Hugging Face's own tools lay them out, so that both use what either downloaded.
//!
//! ```text
//! models--<owner>--<name>/refs/<revision>            the commit that it was last; a model's is whole
//!                         blobs/<etag>               content; with `.incomplete` on its way
//!                         snapshots/<commit>/<file>  a link: ../../blobs/<etag>, below a folder one more ../
//!                         hilora-listings/<commit>   of a data set, what the hub said that it consists of
//! .locks/models--<owner>--<name>/<etag>.lock         held by who downloads that blob
//!                                hilora.lock         held by who puts a link or a commit there, for that moment
//! blobs/<2 digits>/<64 digits>                       content that models share, of which blobs/<etag> is a link:
//!                                                    ../../blobs/<2 digits>/<64 digits>
//! ```
//!
//! A data set's folder is `datasets--<owner>--<name>`. What models share is found, and never made here. The folder of the
//! cache itself is the user's and may be a link. Below it no link is followed: each is read, held to its form, and what it
//! names is looked up where that belongs.

mod folder;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hilora_contract::artifact::FileError;

use super::HubError;
use super::error::shown;
use super::listing::{LISTING_BYTES_MAX, is_of_a_model};
use super::names::{Commit, ETag, RepositoryId, Revision, is_file_name};
use folder::{Entry, Folder};

/// What stands before a blob's name in the link to it, both from a snapshot's root and to what models share.
const TO_BLOBS: &str = "../../blobs/";
/// What leads out of each folder below that root.
const OUT: &str = "../";
/// Where listings are kept, which is no name of Hugging Face's layout: its own tools pass it over.
const LISTINGS: &str = "hilora-listings";
/// How deep the folders of a snapshot are looked into.
const FOLDERS_MAX: usize = 32;
/// Bytes of a file that names a commit, with what an editor may have added.
const REF_BYTES_MAX: u64 = 256;
/// The lock under which the repository's folder has temporary names.
const PLACE_LOCK: &str = "hilora.lock";
/// How often a lock that somebody holds is asked for.
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// How long its holder may download nothing: longer than the hash of the largest file of weights takes.
const LOCK_PATIENCE: Duration = Duration::from_secs(3600);

/// One repository's part of the cache.
pub(crate) struct CachedRepository {
    cache: Folder,
    folder: Folder,
    blobs: Folder,
    /// Where the locks of its blobs are; `None` where nothing is to be written.
    locks: Option<Folder>,
}

/// The files of one commit.
pub(crate) struct Snapshot<'a> {
    repository: &'a CachedRepository,
    folder: Folder,
}

impl CachedRepository {
    /// What the cache has of a repository; nothing where it has none.
    pub(crate) fn find(cache: &Path, id: &RepositoryId) -> Result<Option<Self>, HubError> {
        let Some(cache) = Folder::open(cache)? else { return Ok(None) };
        let Some(folder) = cache.folder(&id.folder())? else { return Ok(None) };
        let Some(blobs) = folder.folder("blobs")? else { return Ok(None) };
        Ok(Some(Self { cache, folder, blobs, locks: None }))
    }

    /// The same, made if it is missing, to be filled.
    pub(crate) fn find_or_begin(cache: &Path, id: &RepositoryId) -> Result<Self, HubError> {
        let cache = Folder::open_or_make(cache)?;
        let folder = cache.folder_or_new(&id.folder())?;
        let blobs = folder.folder_or_new("blobs")?;
        let locks = cache.folder_or_new(".locks")?.folder_or_new(&id.folder())?;
        Ok(Self { cache, folder, blobs, locks: Some(locks) })
    }

    /// The commit that a revision was last: of a model, one that is whole.
    pub(crate) fn commit_of(&self, revision: &Revision) -> Result<Option<Commit>, HubError> {
        let Some(mut refs) = self.folder.folder("refs")? else { return Ok(None) };
        let (folders, name) = parts_of(revision.as_str());
        for folder in folders {
            let Some(below) = refs.folder(folder)? else { return Ok(None) };
            refs = below;
        }
        let Some(content) = refs.read(name, REF_BYTES_MAX)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&content);
        match Commit::parse(text.trim()) {
            Some(commit) => Ok(Some(commit)),
            None => Err(HubError::Cache {
                path: refs.path_of(name),
                expected: Commit::EXPECTED,
                found: format!("`{}`", shown(text.trim())),
            }),
        }
    }

    /// Says which commit a revision is.
    pub(crate) fn set_commit_of(&self, revision: &Revision, commit: &Commit) -> Result<(), HubError> {
        if matches!(self.commit_of(revision), Ok(Some(before)) if before == *commit) {
            return Ok(());
        }
        let mut refs = self.folder.folder_or_new("refs")?;
        let (folders, name) = parts_of(revision.as_str());
        for folder in folders {
            refs = refs.folder_or_new(folder)?;
        }
        self.place(name, &refs, |folder, temporary| folder.file(temporary, commit.as_str().as_bytes()))
    }

    /// What the hub said that a commit consists of, if it was kept.
    pub(crate) fn listing(&self, commit: &Commit) -> Result<Option<Vec<u8>>, HubError> {
        let Some(listings) = self.folder.folder(LISTINGS)? else { return Ok(None) };
        listings.read(commit.as_str(), LISTING_BYTES_MAX)
    }

    /// Keeps what the hub said that a commit consists of: which files of it are in the cache does not say that.
    pub(crate) fn keep_listing(&self, commit: &Commit, json: &[u8]) -> Result<(), HubError> {
        if matches!(self.listing(commit), Ok(Some(_))) {
            return Ok(());
        }
        let listings = self.folder.folder_or_new(LISTINGS)?;
        self.place(commit.as_str(), &listings, |folder, temporary| folder.file(temporary, json))
    }

    /// Puts something into one of the repository's folders, as the only one who does.
    fn place(
        &self,
        name: &str,
        within: &Folder,
        make: impl Fn(&Folder, &str) -> io::Result<()>,
    ) -> Result<(), HubError> {
        let _lock = hold(self.locks()?, PLACE_LOCK, LOCK_PATIENCE, || Ok(0), || ())?;
        self.folder.place(name, within, make)
    }

    /// The files of a commit; nothing where there are none.
    pub(crate) fn snapshot(&self, commit: &Commit) -> Result<Option<Snapshot<'_>>, HubError> {
        let Some(snapshots) = self.folder.folder("snapshots")? else { return Ok(None) };
        Ok(snapshots.folder(commit.as_str())?.map(|folder| Snapshot { repository: self, folder }))
    }

    /// The same, made if it is missing.
    pub(crate) fn snapshot_or_new(&self, commit: &Commit) -> Result<Snapshot<'_>, HubError> {
        let folder = self.folder.folder_or_new("snapshots")?.folder_or_new(commit.as_str())?;
        Ok(Snapshot { repository: self, folder })
    }

    /// The bytes of a blob, and of its beginning where it is not whole.
    pub(crate) fn bytes_of(&self, etag: &ETag) -> Result<(Option<u64>, u64), HubError> {
        let begun = match self.blobs.entry(&incomplete(etag))? {
            None => 0,
            Some(Entry::File(bytes)) => bytes,
            Some(Entry::Link(target)) => return Err(foreign_link(&self.blobs, &incomplete(etag), "a file", &target)),
        };
        Ok((self.blob(etag.as_str(), bytes_of)?, begun))
    }

    /// Looks at a blob, where it is: with the repository, or with what models share.
    fn blob<T>(
        &self,
        name: &str,
        look: impl Fn(&Folder, &str) -> Result<Option<T>, HubError>,
    ) -> Result<Option<T>, HubError> {
        let Some(Entry::Link(target)) = self.blobs.entry(name)? else { return look(&self.blobs, name) };
        let expected = "a file, or a link to a blob that models share";
        let (prefix, shared) =
            shared_blob(&target).ok_or_else(|| foreign_link(&self.blobs, name, expected, &target))?;
        let Some(store) = self.cache.folder("blobs")? else { return Ok(None) };
        let Some(folder) = store.folder(prefix)? else { return Ok(None) };
        look(&folder, shared)
    }

    /// Its folder, for messages.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Bytes that may still be downloaded.
    pub(crate) fn usable_bytes(&self) -> Result<u64, HubError> {
        self.blobs.usable_bytes()
    }

    /// Holds a blob as the one who downloads it. Whoever holds it already is waited for as long as he downloads; Hugging
    /// Face's own tools hold the same lock. It ends with what is returned, and with the process however that ends.
    pub(crate) fn lock(&self, etag: &ETag, on_wait: impl FnOnce()) -> Result<File, HubError> {
        let begun = || Ok(self.bytes_of(etag)?.1);
        hold(self.locks()?, &format!("{etag}.lock"), LOCK_PATIENCE, begun, on_wait)
    }

    fn locks(&self) -> Result<&Folder, HubError> {
        let read_only = || FileError::writing(self.blobs.path(), io::ErrorKind::ReadOnlyFilesystem.into()).into();
        self.locks.as_ref().ok_or_else(read_only)
    }

    /// The beginning of a blob, to go on with; its lock must be held.
    pub(crate) fn begin(&self, etag: &ETag) -> Result<File, HubError> {
        self.blobs.file_or_new(&incomplete(etag))
    }

    /// Where that is, for messages.
    pub(crate) fn path_of_beginning(&self, etag: &ETag) -> PathBuf {
        self.blobs.path_of(&incomplete(etag))
    }

    /// Throws a beginning away.
    pub(crate) fn abandon(&self, etag: &ETag) -> Result<(), HubError> {
        self.blobs.remove(&incomplete(etag))
    }

    /// Makes a blob of what was begun and is whole.
    pub(crate) fn finish(&self, etag: &ETag, file: &File) -> Result<(), HubError> {
        file.sync_all().map_err(|error| FileError::writing(self.path_of_beginning(etag), error))?;
        self.blobs.rename(&incomplete(etag), etag.as_str())
    }
}

/// Holds a lock. Its holder is waited for, until what he has done stays the same for so long.
fn hold(
    locks: &Folder,
    name: &str,
    patience: Duration,
    done: impl Fn() -> Result<u64, HubError>,
    on_wait: impl FnOnce(),
) -> Result<File, HubError> {
    let mut on_wait = Some(on_wait);
    let (mut since, mut before) = (Instant::now(), done()?);
    loop {
        // Opened each time: what stands there may have been replaced.
        if let Some(lock) = locks.try_lock(name)? {
            return Ok(lock);
        }
        if let Some(on_wait) = on_wait.take() {
            on_wait();
        }
        let now = done()?;
        if now != before {
            (since, before) = (Instant::now(), now);
        } else if since.elapsed() > patience {
            return Err(HubError::Held { path: locks.path_of(name), minutes: patience.as_secs() / 60 });
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// The bytes of a file, which is no link.
fn bytes_of(folder: &Folder, name: &str) -> Result<Option<u64>, HubError> {
    match folder.entry(name)? {
        None => Ok(None),
        Some(Entry::File(bytes)) => Ok(Some(bytes)),
        Some(Entry::Link(target)) => Err(foreign_link(folder, name, "a file", &target)),
    }
}

fn foreign_link(folder: &Folder, name: &str, expected: &'static str, target: &str) -> HubError {
    let found = format!("a symbolic link to `{}`", shown(target));
    HubError::Cache { path: folder.path_of(name), expected, found }
}

/// The folder and the name of the shared blob that a link names.
fn shared_blob(target: &str) -> Option<(&str, &str)> {
    let (prefix, name) = target.strip_prefix(TO_BLOBS)?.split_once('/')?;
    let is_blob = matches!(ETag::parse(name), Some(ETag::Sha256(digits)) if digits == name && digits[..2] == *prefix);
    is_blob.then_some((prefix, name))
}

/// The folders of a path, and the name at its end.
fn parts_of(path: &str) -> (Vec<&str>, &str) {
    let (folders, name) = path.rsplit_once('/').map_or(("", path), |(folders, name)| (folders, name));
    (folders.split('/').filter(|folder| !folder.is_empty()).collect(), name)
}

/// How a link to a blob begins that lies so many folders below the root of a snapshot.
fn to_blobs(depth: usize) -> String {
    format!("{}{TO_BLOBS}", OUT.repeat(depth))
}

/// The paths of files and links in a folder and below it.
fn paths_below(folder: &Folder, prefix: &str, depth: usize, paths: &mut Vec<String>) -> Result<(), HubError> {
    for name in folder.names()?.into_iter().filter(|name| is_file_name(name)) {
        let path = format!("{prefix}{name}");
        match folder.is_folder(&name)? {
            true if depth > 0 => {
                if let Some(below) = folder.folder(&name)? {
                    paths_below(&below, &format!("{path}/"), depth - 1, paths)?;
                }
            }
            true => {}
            false => paths.push(path),
        }
    }
    Ok(())
}

fn incomplete(etag: &ETag) -> String {
    format!("{etag}.incomplete")
}

impl Snapshot<'_> {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether a file is there, whole.
    pub(crate) fn has(&self, name: &str) -> Result<bool, HubError> {
        Ok(self.file(name, bytes_of)?.is_some())
    }

    /// A file's content, of at most so many bytes; nothing where it is not there.
    pub(crate) fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, HubError> {
        self.file(name, |folder, name| folder.read(name, bytes_max))
    }

    /// Looks at a file, where its content is. Folders on the way to it are no links.
    fn file<T>(
        &self,
        path: &str,
        look: impl Fn(&Folder, &str) -> Result<Option<T>, HubError>,
    ) -> Result<Option<T>, HubError> {
        let (folders, name) = parts_of(path);
        let mut below = None;
        for folder in &folders {
            match below.as_ref().unwrap_or(&self.folder).folder(folder)? {
                Some(found) => below = Some(found),
                None => return Ok(None),
            }
        }
        let folder = below.as_ref().unwrap_or(&self.folder);
        let Some(Entry::Link(target)) = folder.entry(name)? else { return look(folder, name) };
        match target.strip_prefix(&to_blobs(folders.len())).filter(|blob| is_file_name(blob)) {
            Some(blob) => self.repository.blob(blob, look),
            None => Err(foreign_link(folder, name, "a link to a blob of the repository", &target)),
        }
    }

    /// Puts a file there: a link to its blob, which is whole.
    pub(crate) fn put(&self, path: &str, etag: &ETag) -> Result<(), HubError> {
        let (folders, name) = parts_of(path);
        let mut below = None;
        for folder in &folders {
            below = Some(below.as_ref().unwrap_or(&self.folder).folder_or_new(folder)?);
        }
        let target = format!("{}{etag}", to_blobs(folders.len()));
        let within = below.as_ref().unwrap_or(&self.folder);
        self.repository.place(name, within, |folder, temporary| folder.link(temporary, &target))
    }

    /// The paths of what is there, in their order.
    pub(crate) fn paths(&self) -> Result<Vec<String>, HubError> {
        let mut paths = Vec::new();
        paths_below(&self.folder, "", FOLDERS_MAX, &mut paths)?;
        Ok(paths)
    }

    /// Looks at every file that a model may be computed with, whoever put it there: those who read the folder follow links.
    pub(crate) fn check(&self) -> Result<(), HubError> {
        for name in self.folder.names()?.iter().filter(|name| is_of_a_model(name)) {
            self.has(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::sync::mpsc;

    use super::*;

    const LOCK: &str = "x.lock";

    fn locks() -> Result<(tempfile::TempDir, Folder), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let locks = Folder::open(folder.path())?.ok_or("no folder")?;
        Ok((folder, locks))
    }

    #[test]
    fn a_lock_that_was_replaced_holds_nothing() -> Result<(), Box<dyn Error>> {
        let (folder, locks) = locks()?;
        let first = locks.try_lock(LOCK)?.ok_or("nobody holds it")?;
        let (waits, waiting) = mpsc::channel();
        let holder = std::thread::spawn(move || {
            let patience = Duration::from_secs(60);
            hold(&locks, LOCK, patience, || Ok(0), || waits.send(()).expect("it is heard")).map(|_| Instant::now())
        });
        waiting.recv()?;
        std::fs::remove_file(folder.path().join(LOCK))?;
        let second = File::create_new(folder.path().join(LOCK))?;
        second.lock()?;
        drop(first);
        std::thread::sleep(LOCK_PAUSE * 5);
        let released = Instant::now();
        drop(second);
        assert!(holder.join().map_err(|_| "it panicked")?? > released);
        Ok(())
    }

    #[test]
    fn a_holder_who_does_nothing_is_not_waited_for() -> Result<(), Box<dyn Error>> {
        let (_folder, locks) = locks()?;
        let held = locks.try_lock(LOCK)?.ok_or("nobody holds it")?;
        let began = Instant::now();
        let patience = LOCK_PAUSE * 3;
        // Goes on for longer than the patience, and then stands still.
        let done = || Ok(began.elapsed().min(patience * 3).as_millis() as u64);
        let error = hold(&locks, LOCK, patience, done, || ()).expect_err("somebody holds it");
        assert!(matches!(error, HubError::Held { .. }) && began.elapsed() > patience * 4, "{error}");
        drop(held);
        assert!(hold(&locks, LOCK, patience, || Ok(0), || ()).is_ok());
        Ok(())
    }

    #[test]
    fn a_shared_blob_is_named_by_its_hash_alone() {
        let digits = "0123456789abcdef".repeat(4);
        assert_eq!(shared_blob(&format!("../../blobs/01/{digits}")), Some(("01", digits.as_str())));
        let others = ["01/x", "../../blobs/01/../x", "../../blobs/01", "/etc/passwd"].map(str::to_owned);
        let wrong =
            [format!("../../blobs/02/{digits}"), format!("../../blobs/../{digits}"), format!("../../x/01/{digits}")];
        for target in others.into_iter().chain(wrong).chain([format!("../../blobs/01/\"{digits}\"")]) {
            assert_eq!(shared_blob(&target), None, "{target}");
        }
    }
}
