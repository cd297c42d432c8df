//! A data set of the hub: which files an address stands for, at which commit, and these files in the cache.
//!
//! What the hub says that a commit consists of is kept beside its files: offline, an address stands for the same files as
//! before, and one that is not there is missed by its name. A data set that Hugging Face's own tools have downloaded has no
//! such record; there, what is in the cache counts, and shards must be all there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::address::{DataSetAddress, DataSetFile};
use super::cache::{CachedRepository, Snapshot};
use super::client::{Client, RequestError};
use super::download::{CARRIED_BYTES_MAX, Download, WEIGHTS_BYTES_MAX, failed};
use super::listing::Listing;
use super::names::{Commit, RepositoryId};
use super::retry::again;
use super::splits::{Card, Unfound, files_of_path, files_of_split};
use super::{Hub, HubError, OnBytes, THE_LISTING, listing_json};

/// The card of a data set.
const CARD: &str = "README.md";
const CARD_BYTES_MAX: u64 = 8 << 20;
/// How programs end.
const SCRIPT_ENDING: &str = ".py";

impl Hub {
    /// The files that an address stands for now, at the commit that its revision is now. `is_of_rows` tells files of rows by
    /// their names. With `is_kept` the cache is told of it, so that offline it is the same.
    pub fn data_set_files(
        &self,
        address: &DataSetAddress,
        is_of_rows: &dyn Fn(&str) -> bool,
        is_kept: bool,
    ) -> Result<Vec<DataSetFile>, HubError> {
        let cache = self.environment.cache()?;
        let id = &address.id;
        if let Some(file) = address.file().filter(|file| is_of_rows(&file.name) && !file.name.contains(['*', '?', '[']))
        {
            // It is plainly a file, and always the same: whoever reads it says if it is not there.
            return Ok(vec![file]);
        }
        if let Some(file) = address.file()
            && kept_listing(&cache, id, &file.commit)?.is_some_and(|listing| listing.has(&file.name))
        {
            return Ok(vec![file]);
        }
        let found = match self.asks_nobody() {
            true => Contents::cached(&cache, address)?,
            false => Contents::asked(&cache, &Client::new(&self.environment.settings()?), address, is_kept)?,
        };
        let names: Vec<&str> = found.listing.names().filter(|name| is_visible(name)).collect();
        let files = match &address.files {
            Some(path) => files_of_path(&names, is_of_rows, path),
            None => {
                let (config, split) = (address.config.as_deref(), address.split.as_deref());
                files_of_split(&found.card, &names, is_of_rows, config, split)
            }
        };
        let commit = found.listing.commit.clone();
        let file = |name| DataSetFile { id: id.clone(), commit: commit.clone(), name };
        let files = files.map_err(|Unfound { message, hint }| {
            let script = names.iter().find(|name| name.ends_with(SCRIPT_ENDING) && !name.contains('/'));
            match script.filter(|_| !names.iter().any(|name| is_of_rows(name))) {
                Some(script) => HubError::OnlyScript { id: id.as_str().to_owned(), script: (*script).to_owned() },
                None => HubError::NoDataFiles { id: id.as_str().to_owned(), message, hint },
            }
        })?;
        let files: Vec<DataSetFile> = files.into_iter().map(file).collect();
        // Who names one file wants no other.
        let is_one = files.iter().map(|file| Some(&file.name)).eq([address.files.as_ref()]);
        match found.is_whole || is_one {
            true => Ok(files),
            false => all_shards(&cache, &names, files),
        }
    }

    /// Where these files are in the cache, in their order; what it lacks is downloaded.
    pub fn fetch(&self, files: &[DataSetFile], on_bytes: &OnBytes<'_>) -> Result<Vec<PathBuf>, HubError> {
        let cache = self.environment.cache()?;
        let lacking = |error: &HubError| matches!(error, HubError::NotCached { .. });
        match self.cached_files(files) {
            Err(error) if lacking(&error) && !self.asks_nobody() => {}
            found => return found,
        }
        let client = Client::new(&self.environment.settings()?);
        for ((id, commit), names) in by_commit(files) {
            let repository = CachedRepository::find_or_begin(&cache, id)?;
            let snapshot = repository.snapshot_or_new(commit)?;
            let download =
                Download { client: &client, id, commit, repository: &repository, snapshot: &snapshot, on_bytes };
            download.fetch(names.into_iter().map(|name| (name, WEIGHTS_BYTES_MAX)))?;
        }
        self.cached_files(files)
    }

    /// Where these files are in the cache, in their order; one that is not there is an error.
    pub fn cached_files(&self, files: &[DataSetFile]) -> Result<Vec<PathBuf>, HubError> {
        let cache = self.environment.cache()?;
        files.iter().map(|file| cached_file(&cache, file)?.ok_or_else(|| missing(&cache, file))).collect()
    }

    /// What a download would bring: the files that the cache lacks, with their bytes.
    pub fn to_fetch<'f>(&self, files: &'f [DataSetFile]) -> Result<Vec<(&'f DataSetFile, u64)>, HubError> {
        let cache = self.environment.cache()?;
        let mut lacking = Vec::new();
        for file in files {
            if cached_file(&cache, file)?.is_none() {
                lacking.push(file);
            }
        }
        match lacking.first() {
            None => Ok(Vec::new()),
            Some(file) if self.asks_nobody() => Err(missing(&cache, file)),
            Some(_) => {
                let client = Client::new(&self.environment.settings()?);
                let bytes = |file: &DataSetFile| -> Result<u64, HubError> {
                    let DataSetFile { id, commit, name } = file;
                    Ok(super::download::announced(&client, id, commit, name, WEIGHTS_BYTES_MAX)?.bytes())
                };
                lacking.into_iter().map(|file| Ok((file, bytes(file)?))).collect()
            }
        }
    }

    /// The folder of the cache, for messages.
    pub fn cache(&self) -> Result<PathBuf, HubError> {
        self.environment.cache()
    }
}

/// What a commit consists of, and what its card says.
struct Contents {
    listing: Listing,
    card: Card,
    /// Whether the listing is the hub's own word.
    is_whole: bool,
}

impl Contents {
    /// By the cache alone.
    fn cached(cache: &Path, address: &DataSetAddress) -> Result<Self, HubError> {
        let missing = |file: &str| HubError::not_cached(&address.id, cache, file);
        let repository = CachedRepository::find(cache, &address.id)?.ok_or_else(|| missing(THE_LISTING))?;
        let commit = match Commit::parse(address.revision.as_str()) {
            Some(commit) => commit,
            None => repository.commit_of(&address.revision)?.ok_or_else(|| missing(THE_LISTING))?,
        };
        let snapshot = repository.snapshot(&commit)?.ok_or_else(|| missing(THE_LISTING))?;
        let kept = kept_listing(cache, &address.id, &commit)?;
        let is_whole = kept.is_some();
        let listing = match kept {
            Some(listing) => listing,
            None => Listing::of_names(commit, snapshot.paths()?),
        };
        let card = match (address.files.is_none() && listing.has(CARD), snapshot.read(CARD, CARD_BYTES_MAX)?) {
            (false, _) => Card::default(),
            (true, Some(text)) => card_of(&text).map_err(|message| wrong_card(&address.id, message))?,
            (true, None) => return Err(missing(CARD)),
        };
        Ok(Self { listing, card, is_whole })
    }

    /// By the hub's word.
    fn asked(cache: &Path, client: &Client, address: &DataSetAddress, is_kept: bool) -> Result<Self, HubError> {
        let id = &address.id;
        let json = listing_json(client, id, &address.revision)?;
        let listing =
            Listing::parse(&json).map_err(|message| failed(client, id, THE_LISTING, RequestError::Answer(message)))?;
        let commit = &listing.commit;
        let needs_card = address.files.is_none() && listing.has(CARD);
        let mut text = None;
        if is_kept {
            let repository = CachedRepository::find_or_begin(cache, id)?;
            let snapshot = repository.snapshot_or_new(commit)?;
            if needs_card {
                let on_bytes = &|_: &str, _, _| ();
                let download = Download { client, id, commit, repository: &repository, snapshot: &snapshot, on_bytes };
                download.fetch([(CARD, CARD_BYTES_MAX)])?;
                text = snapshot.read(CARD, CARD_BYTES_MAX)?;
            }
            repository.keep_listing(commit, &json)?;
            if Commit::parse(address.revision.as_str()).is_none() {
                repository.set_commit_of(&address.revision, commit)?;
            }
        } else if needs_card {
            let parts = id.url_parts().chain(["resolve", commit.as_str(), CARD]);
            let url = client.url(parts);
            let read = again(CARD, || client.small(url.clone(), CARD_BYTES_MAX.min(CARRIED_BYTES_MAX)));
            text = Some(read.map_err(|error| failed(client, id, CARD, error))?);
        }
        let card = match text {
            Some(text) => card_of(&text).map_err(|message| wrong_card(id, message))?,
            None => Card::default(),
        };
        Ok(Self { listing, card, is_whole: true })
    }
}

fn card_of(text: &[u8]) -> Result<Card, String> {
    Card::parse(&String::from_utf8_lossy(text))
}

fn wrong_card(id: &RepositoryId, message: String) -> HubError {
    let message = format!("{CARD} lists its configurations in another form than `datasets` reads: {message}");
    let hint = "`/FILES` behind the name names files, whatever that says".to_owned();
    HubError::NoDataFiles { id: id.as_str().to_owned(), message, hint }
}

/// Whether no part of a name is hidden, here or on any system.
fn is_visible(name: &str) -> bool {
    name.split('/').all(super::names::is_file_name)
}

/// What the hub said of a commit, if that is kept.
fn kept_listing(cache: &Path, id: &RepositoryId, commit: &Commit) -> Result<Option<Listing>, HubError> {
    let Some(repository) = CachedRepository::find(cache, id)? else { return Ok(None) };
    let Some(json) = repository.listing(commit)? else { return Ok(None) };
    // What was damaged since is asked for again.
    Ok(Listing::parse(&json).ok().filter(|listing| listing.commit == *commit))
}

fn missing(cache: &Path, file: &DataSetFile) -> HubError {
    HubError::not_cached(&file.id, cache, &file.name)
}

fn cached_file(cache: &Path, file: &DataSetFile) -> Result<Option<PathBuf>, HubError> {
    let Some(repository) = CachedRepository::find(cache, &file.id)? else { return Ok(None) };
    let Some(snapshot) = repository.snapshot(&file.commit)? else { return Ok(None) };
    let is_there = snapshot.has(&file.name)?;
    Ok(is_there.then(|| path_in(&snapshot, &file.name)))
}

fn path_in(snapshot: &Snapshot<'_>, name: &str) -> PathBuf {
    snapshot.path().join(name)
}

/// Files by their commit, each once.
fn by_commit(files: &[DataSetFile]) -> BTreeMap<(&RepositoryId, &Commit), Vec<&str>> {
    let mut commits: BTreeMap<(&RepositoryId, &Commit), Vec<&str>> = BTreeMap::new();
    for DataSetFile { id, commit, name } in files {
        let names = commits.entry((id, commit)).or_default();
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    commits
}

/// Refuses shards of which the cache lacks some, where nobody has kept how many there are but the names of those that it
/// has. Which of them are wanted is another matter.
fn all_shards(cache: &Path, cached: &[&str], files: Vec<DataSetFile>) -> Result<Vec<DataSetFile>, HubError> {
    for file in &files {
        let Some((begin, rest)) = file.name.split_once("-of-") else { continue };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let (Some((begin, _)), Ok(shards)) = (begin.rsplit_once('-'), digits.parse::<usize>()) else { continue };
        let (end, begin) = (format!("-of-{rest}"), format!("{begin}-"));
        let is_shard = |other: &&&str| other.starts_with(&begin) && other.ends_with(&end);
        if cached.iter().filter(is_shard).count() != shards {
            return Err(HubError::not_cached(&file.id, cache, &format!("one of the {shards} shards {begin}*{end}")));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_must_be_all_there() -> Result<(), Box<dyn std::error::Error>> {
        let file =
            |name: &str| DataSetFile::parse(&format!("hf://datasets/a/b@{}/{name}", "0".repeat(40))).ok_or("no file");
        let both = vec![file("data/train-00000-of-00002.parquet")?, file("data/train-00001-of-00002.parquet")?];
        let names: Vec<&str> = both.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(all_shards(Path::new("c"), &names, both.clone())?.len(), 2);
        assert_eq!(all_shards(Path::new("c"), &names, both[..1].to_vec())?.len(), 1, "one may be wanted alone");
        let error =
            all_shards(Path::new("c"), &names[..1], both[..1].to_vec()).expect_err("one is missing").to_string();
        assert!(error.contains("one of the 2 shards data/train-*-of-00002.parquet"), "{error}");
        assert_eq!(
            all_shards(Path::new("c"), &["state-of-the-art.jsonl"], vec![file("state-of-the-art.jsonl")?])?.len(),
            1
        );
        Ok(())
    }
}
