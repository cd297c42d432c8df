//! The download of one commit's files into the cache: what is missing, whether there is room for it, and then file by
//! file, from where the last download stopped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use hilora_contract::artifact::FileError;
use ureq::http::HeaderMap;

use super::cache::{CachedRepository, Snapshot};
use super::checksum::checksum;
use super::client::{Client, RequestError, number};
use super::error::shown;
use super::names::{Commit, ETag, RepositoryId, RepositoryKind};
use super::retry::{Passing, again};
use super::{HubError, OnBytes};

/// Bytes that are asked of the connection at once.
const BUFFER_BYTES: usize = 64 << 10;
/// Bytes of a file that describes a model; the largest tokenizers have a tenth of it.
pub(crate) const CARRIED_BYTES_MAX: u64 = 256 << 20;
/// Bytes of a file with weights.
pub(crate) const WEIGHTS_BYTES_MAX: u64 = 1 << 40;

/// What the hub says of a file before it is fetched.
#[derive(Debug)]
pub(crate) struct Announced {
    name: String,
    etag: ETag,
    bytes: u64,
}

/// A file that is wanted, and the bytes that it may have.
pub(crate) type Wanted<'a> = (&'a str, u64);

/// The download of one commit's files.
pub(crate) struct Download<'a> {
    pub(crate) client: &'a Client,
    pub(crate) id: &'a RepositoryId,
    pub(crate) commit: &'a Commit,
    pub(crate) repository: &'a CachedRepository,
    pub(crate) snapshot: &'a Snapshot<'a>,
    pub(crate) on_bytes: &'a OnBytes<'a>,
}

/// Why an attempt ended before the file did.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server does not go on where it was asked to.
    #[error("expected all of it, got a part")]
    NotThere,
    /// The file has another length than was announced.
    #[error("got {0} bytes")]
    Length(u64),
    #[error(transparent)]
    Here(HubError),
}

impl Passing for Stopped {
    fn is_passing(&self) -> bool {
        match self {
            Self::Request(error) => error.is_passing(),
            Self::NotThere | Self::Length(_) | Self::Here(_) => false,
        }
    }
}

impl Download<'_> {
    /// Puts those of these files into the snapshot that it lacks. Gives how many of them came from the hub; the others were
    /// in the cache.
    pub(crate) fn fetch<'n>(&self, wanted: impl IntoIterator<Item = Wanted<'n>>) -> Result<usize, HubError> {
        let mut missing = Vec::new();
        for (name, bytes_max) in wanted {
            if !self.snapshot.has(name)? {
                missing.push(announced(self.client, self.id, self.commit, name, bytes_max)?);
            }
        }
        self.demand_room(&missing)?;
        let mut came = 0;
        for announced in &missing {
            came += usize::from(self.blob(announced)?);
            self.snapshot.put(&announced.name, &announced.etag)?;
        }
        Ok(came)
    }

    fn url(&self, name: &str) -> url::Url {
        url_of(self.client, self.id, self.commit, name)
    }

    fn failed(&self, name: &str, error: RequestError) -> HubError {
        failed(self.client, self.id, name, error)
    }

    /// Whether all that is missing fits onto the disk.
    fn demand_room(&self, missing: &[Announced]) -> Result<(), HubError> {
        let needed_bytes = needed_bytes(self.repository, missing)?;
        let free_bytes = self.repository.usable_bytes()?;
        if needed_bytes <= free_bytes {
            return Ok(());
        }
        let cache = self.repository.path().to_owned();
        Err(HubError::NoRoom { id: self.id.as_str().to_owned(), cache, needed_bytes, free_bytes })
    }

    /// Downloads a blob, unless it is there; says whether it came now.
    fn blob(&self, announced: &Announced) -> Result<bool, HubError> {
        let Announced { name, etag, bytes } = announced;
        let _lock =
            self.repository.lock(etag, || tracing::warn!("{name}: another process downloads it; waiting for that"))?;
        // Somebody else may have been faster; what has another length than its hash says is no blob.
        if self.repository.bytes_of(etag)?.0 == Some(*bytes) {
            return Ok(false);
        }
        let mut file = self.repository.begin(etag)?;
        let unwritable = |error| FileError::writing(self.repository.path_of_beginning(etag), error);
        let was_begun = file.metadata().map_err(unwritable)?.len() > 0;
        let mut got = self.content(announced, &mut file)?;
        if got != etag.as_str() && was_begun {
            tracing::warn!("{name}: what was there is not its beginning; fetching all of it");
            file.set_len(0).map_err(unwritable)?;
            got = self.content(announced, &mut file)?;
        }
        if got != etag.as_str() {
            self.repository.abandon(etag)?;
            return Err(self.damaged(name, etag.to_string(), got));
        }
        self.repository.finish(etag, &file)?;
        Ok(true)
    }

    /// Fills a file up, and gives the hash of what it is then.
    fn content(&self, announced: &Announced, file: &mut File) -> Result<String, HubError> {
        let Announced { name, etag, bytes } = announced;
        match self.receive(announced, file) {
            Ok(()) => checksum(file, *bytes, etag)
                .map_err(|error| FileError::reading(self.repository.path_of_beginning(etag), error).into()),
            Err(Stopped::Length(length)) => {
                self.repository.abandon(etag)?;
                Err(self.damaged(name, format!("{bytes} bytes"), length.to_string()))
            }
            Err(Stopped::Here(error)) => Err(error),
            Err(Stopped::Request(error)) => Err(self.failed(name, error)),
            Err(error @ Stopped::NotThere) => Err(self.failed(name, RequestError::Answer(error.to_string()))),
        }
    }

    fn damaged(&self, name: &str, expected: String, got: String) -> HubError {
        HubError::Damaged { id: self.id.as_str().to_owned(), file: name.to_owned(), expected, got }
    }

    /// Fills a file up, and takes a broken connection up again.
    fn receive(&self, announced: &Announced, file: &mut File) -> Result<(), Stopped> {
        let name = &announced.name;
        let mut from_start = false;
        again(name, || match self.attempt(announced, file, from_start) {
            Err(Stopped::NotThere) if !from_start => {
                tracing::warn!("{name}: the server does not go on where it stopped; fetching all of it");
                from_start = true;
                self.attempt(announced, file, from_start)
            }
            result => result,
        })
    }

    /// One request, for all that the file lacks.
    fn attempt(&self, announced: &Announced, file: &mut File, from_start: bool) -> Result<(), Stopped> {
        let Announced { name, etag, bytes } = announced;
        let unwritable =
            |error| Stopped::Here(FileError::writing(self.repository.path_of_beginning(etag), error).into());
        let mut done = file.metadata().map_err(unwritable)?.len();
        if from_start || done > *bytes {
            file.set_len(0).map_err(unwritable)?;
            done = 0;
        }
        (self.on_bytes)(name, done, *bytes);
        if done == *bytes {
            return Ok(());
        }
        let mut content = match self.client.file(self.url(name), done) {
            Err(RequestError::Status { status: 416, .. }) if done > 0 => return Err(Stopped::NotThere),
            content => content?,
        };
        if content.from > 0 {
            if content.range() != Some((done, Some(*bytes))) && content.range() != Some((done, None)) {
                return Err(Stopped::NotThere);
            }
        } else if done > 0 {
            // All of it, although a part was asked for.
            file.set_len(0).map_err(unwritable)?;
            done = 0;
        }
        if let Some(length) = content.length() {
            let is_part = content.from > 0;
            if length > bytes - done || (!is_part && length < *bytes) {
                return Err(Stopped::Length(done.saturating_add(length)));
            }
        }
        file.seek(SeekFrom::Start(done)).map_err(unwritable)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        while done < *bytes {
            let room = usize::try_from(bytes - done).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
            let read = content.read(&mut buffer[..room])?;
            if read == 0 {
                let message = format!("it ended after {done} of {bytes} bytes");
                return Err(RequestError::Broken(message).into());
            }
            file.write_all(&buffer[..read]).map_err(unwritable)?;
            done += read as u64;
            (self.on_bytes)(name, done, *bytes);
        }
        // Whether it would go on; what comes then is not kept. A connection that breaks now has said all it had to.
        match content.read(&mut buffer[..1]) {
            Ok(1..) => Err(Stopped::Length(done + 1)),
            _ => Ok(()),
        }
    }
}

impl Announced {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn url_of(client: &Client, id: &RepositoryId, commit: &Commit, name: &str) -> url::Url {
    client.url(id.url_parts().chain(["resolve", commit.as_str()]).chain(name.split('/')))
}

/// Asks what a file is.
pub(crate) fn announced(
    client: &Client,
    id: &RepositoryId,
    commit: &Commit,
    name: &str,
    bytes_max: u64,
) -> Result<Announced, HubError> {
    // The hub says of a large file what it is, and then sends on to where it is.
    let is_enough =
        |headers: &HeaderMap| headers.contains_key("x-linked-etag") && headers.contains_key("x-linked-size");
    let url = url_of(client, id, commit, name);
    let headers = again(name, || client.headers(url.clone(), is_enough));
    let headers = headers.map_err(|error| failed(client, id, name, error))?;
    read_announcement(commit, name, bytes_max, &headers)
        .map_err(|message| failed(client, id, name, RequestError::Answer(message)))
}

fn read_announcement(commit: &Commit, name: &str, bytes_max: u64, headers: &HeaderMap) -> Result<Announced, String> {
    let text = |header: &str| Some(String::from_utf8_lossy(headers.get(header)?.as_bytes()).into_owned());
    if let Some(other) = text("x-repo-commit").filter(|other| other != commit.as_str()) {
        return Err(format!("expected the commit {}, got `{}`", commit.as_str(), shown(&other)));
    }
    let etag = text("x-linked-etag").or_else(|| text("etag")).unwrap_or_default();
    let etag = ETag::parse(&etag).ok_or_else(|| format!("expected {}, got `{}`", ETag::EXPECTED, shown(&etag)))?;
    match number(headers, "x-linked-size").or_else(|| number(headers, "content-length")) {
        Some(bytes) if bytes <= bytes_max => Ok(Announced { name: name.to_owned(), etag, bytes }),
        Some(bytes) => Err(format!("expected a size of at most {bytes_max} bytes, got {bytes}")),
        None => Err("expected its size, got none".to_owned()),
    }
}

/// Bytes that are still to be downloaded; files with one content are one blob.
fn needed_bytes(repository: &CachedRepository, missing: &[Announced]) -> Result<u64, HubError> {
    let mut blobs: BTreeMap<&ETag, u64> = BTreeMap::new();
    for Announced { etag, bytes, .. } in missing {
        let announced = blobs.entry(etag).or_default();
        *announced = (*announced).max(*bytes);
    }
    let mut needed_bytes: u64 = 0;
    for (etag, bytes) in blobs {
        let (whole, begun) = repository.bytes_of(etag)?;
        if whole != Some(bytes) {
            needed_bytes = needed_bytes.saturating_add(bytes.saturating_sub(begun));
        }
    }
    Ok(needed_bytes)
}

/// What a failed request means to who wanted that file of a repository.
pub(crate) fn failed(client: &Client, repository: &RepositoryId, file: &str, error: RequestError) -> HubError {
    let (id, endpoint, file) = (repository.as_str().to_owned(), client.endpoint(), file.to_owned());
    match error {
        RequestError::Status { status: status @ (401 | 403), by_hub: true } => {
            let how = if client.has_token() { "with a token" } else { "without a token" };
            HubError::Refused { id, endpoint, status, how }
        }
        RequestError::Status { status: 404, by_hub: true } if repository.kind() == RepositoryKind::DataSet => {
            let (message, hint) = (format!("it has no file `{file}` at that commit"), "is the name right?".to_owned());
            HubError::NoDataFiles { id, message, hint }
        }
        RequestError::Answer(message) => HubError::Answer { id, endpoint, file, message },
        error @ (RequestError::Status { .. } | RequestError::Broken(_)) => {
            HubError::Connection { id, endpoint, file, message: error.to_string() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_one_content_need_the_room_of_one() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let repository = CachedRepository::find_or_begin(folder.path(), &RepositoryId::model("a/b").ok_or("no id")?)?;
        let announced = |name: &str, digit: &str, bytes| {
            Some(Announced { name: name.to_owned(), etag: ETag::parse(&digit.repeat(64))?, bytes })
        };
        let missing = [announced("a", "1", 100), announced("b", "1", 100), announced("c", "2", 10)];
        let missing = missing.into_iter().collect::<Option<Vec<_>>>().ok_or("no tag")?;
        assert_eq!(needed_bytes(&repository, &missing)?, 110);
        // A server that says of one blob two sizes gets no room by the smaller.
        let two = [announced("a", "1", 1 << 40), announced("b", "1", 1)].into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(needed_bytes(&repository, &two)?, 1 << 40);
        repository.begin(&missing[0].etag)?.write_all(b"begun")?;
        assert_eq!(needed_bytes(&repository, &missing)?, 105);
        Ok(())
    }
}
