//! Hub files: what a config names of data sets of the hub (`hf://datasets/OWNER/NAME…`). An address becomes the addresses of
//! its files at a commit, which the resolved config lists, so that the same config is the same bytes; and these are
//! downloaded into the shared cache when they are first read.

use std::path::{Path, PathBuf};

use hilora_contract::fault::BadInput;
use hilora_hub::{DataSetAddress, DataSetFile, Hub};

use super::download_watch::watched_download;
use super::error::RunError;
use super::observer::RunObserver;
use super::row_files::is_of_rows;

/// Whether this names a file of the hub, right or wrong.
pub(crate) fn is_of_the_hub(entry: &Path) -> bool {
    entry.to_str().is_some_and(DataSetAddress::is_meant_by)
}

/// The files at a commit that an address stands for. With `is_kept` the cache is told of it.
pub(crate) fn hub_files(entry: &Path, is_kept: bool) -> Result<Vec<PathBuf>, RunError> {
    let text = entry.to_string_lossy();
    let address = DataSetAddress::parse(&text).map_err(|why| {
        let hint = "for example `hf://datasets/openai/gsm8k?config=main&split=train`";
        BadInput::with_hint(format!("`{text}`: {why}; expected {}", DataSetAddress::EXPECTED), hint)
    })?;
    let files = Hub::from_env().data_set_files(&address, &|name| is_of_rows(Path::new(name)), is_kept)?;
    Ok(files.iter().map(|file| PathBuf::from(file.to_string())).collect())
}

/// Where these files are, in their order; what is the hub's and not in the cache is downloaded.
pub fn local_files(files: &[PathBuf], observer: &dyn RunObserver) -> Result<Vec<PathBuf>, RunError> {
    let of_the_hub = of_the_hub(files);
    if of_the_hub.is_empty() {
        return Ok(files.to_vec());
    }
    let hub = Hub::from_env();
    let fetched = watched_download(observer, |on_bytes| hub.fetch(&of_the_hub, on_bytes))?;
    let mut fetched = fetched.into_iter();
    let place = |file: &PathBuf| match hub_file(file) {
        Some(_) => fetched.next().unwrap_or_else(|| file.clone()),
        None => file.clone(),
    };
    Ok(files.iter().map(place).collect())
}

/// What a download of these files would bring, in words; nothing where all are there.
pub(crate) fn download_words(files: &[PathBuf]) -> Result<Option<String>, RunError> {
    let of_the_hub = of_the_hub(files);
    let hub = Hub::from_env();
    let lacking = hub.to_fetch(&of_the_hub)?;
    let Some((first, _)) = lacking.first() else { return Ok(None) };
    let bytes: u64 = lacking.iter().map(|(_, bytes)| bytes).sum();
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    let (id, commit, cache) = (first.id().as_str(), first.commit(), hub.cache()?);
    let (count, name) = (lacking.len(), first.name());
    Ok(Some(format!(
        "would download {count} files, {mebibytes:.1} MiB, into {}; the first is {name} of `{id}` at {commit}",
        cache.display()
    )))
}

fn of_the_hub(files: &[PathBuf]) -> Vec<DataSetFile> {
    files.iter().filter_map(|file| hub_file(file)).collect()
}

fn hub_file(file: &Path) -> Option<DataSetFile> {
    DataSetFile::parse(file.to_str()?)
}
