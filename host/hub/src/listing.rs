//! The listing: what a repository consists of, by the hub's word and by that of its own index. Both are read within bounds,
//! and every name in them is held to its form.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::error::shown;
use super::names::{Commit, is_file_name, is_repository_path};

pub(crate) const INDEX: &str = "model.safetensors.index.json";
pub(crate) const SINGLE: &str = "model.safetensors";
/// Endings of what else is fetched: configuration, tokenizer and chat template.
const CARRIED_ENDINGS: [&str; 4] = [".json", ".jinja", ".txt", ".model"];
const WEIGHTS_ENDING: &str = ".safetensors";

/// Bytes of a listing: about ten thousand files' names, as the hub tells them, for each of its megabytes.
pub(crate) const LISTING_BYTES_MAX: u64 = 16 << 20;
/// Bytes of an index, which names every tensor.
pub(crate) const INDEX_BYTES_MAX: u64 = 64 << 20;
/// Files of a repository.
const FILES_MAX: usize = 100_000;
/// Files of it that are fetched.
const FETCHED_MAX: usize = 4096;

/// What the hub says of a repository.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The commit that all files come from.
    pub(crate) commit: Commit,
    /// Its files.
    names: BTreeSet<String>,
}

#[derive(Deserialize)]
struct ListingBody {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

#[derive(Deserialize)]
struct IndexBody {
    weight_map: BTreeMap<String, String>,
}

impl Listing {
    /// Reads the hub's answer; the error says what was expected and what came.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        let body: ListingBody = serde_json::from_slice(json).map_err(|error| shown(&error.to_string()))?;
        let commit = Commit::parse(&body.sha)
            .ok_or_else(|| format!("expected {}, got `{}`", Commit::EXPECTED, shown(&body.sha)))?;
        if body.siblings.len() > FILES_MAX {
            return Err(format!("expected at most {FILES_MAX} files, got {}", body.siblings.len()));
        }
        let names: BTreeSet<String> = body.siblings.into_iter().map(|file| file.rfilename).collect();
        // One such name, and nothing of it is believed: whoever wrote it meant harm.
        if let Some(name) = names.iter().find(|name| !is_repository_path(name)) {
            return Err(format!("expected the names of files, got `{}`", shown(name)));
        }
        Ok(Self { commit, names })
    }

    /// The same of a model, whose files must not be too many.
    pub(crate) fn parse_model(json: &[u8]) -> Result<Self, String> {
        let listing = Self::parse(json)?;
        match listing.carried().count() {
            0..=FETCHED_MAX => Ok(listing),
            count => Err(format!("expected at most {FETCHED_MAX} files that describe a model, got {count}")),
        }
    }

    /// What stands in the cache of a commit, where the hub's own word is not kept.
    pub(crate) fn of_names(commit: Commit, names: impl IntoIterator<Item = String>) -> Self {
        Self { commit, names: names.into_iter().collect() }
    }

    /// All files, by name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Configuration, tokenizer and chat template, which lie in the root.
    pub(crate) fn carried(&self) -> impl Iterator<Item = &str> {
        let is_carried =
            |name: &&str| is_file_name(name) && CARRIED_ENDINGS.iter().any(|ending| name.ends_with(ending));
        self.names.iter().map(String::as_str).filter(is_carried)
    }
}

/// The files that an index names; the error says what was expected and what came.
pub(crate) fn shards(json: &[u8]) -> Result<BTreeSet<String>, String> {
    let body: IndexBody = serde_json::from_slice(json).map_err(|error| shown(&error.to_string()))?;
    let names: BTreeSet<String> = body.weight_map.into_values().collect();
    if let Some(name) = names.iter().find(|name| !is_weights(name)) {
        return Err(format!("weight_map: expected the names of files with safetensors, got `{}`", shown(name)));
    }
    match names.len() {
        1..=FETCHED_MAX => Ok(names),
        count => Err(format!("weight_map: expected at most {FETCHED_MAX} files and at least one, got {count}")),
    }
}

fn is_weights(name: &str) -> bool {
    is_file_name(name) && name.ends_with(WEIGHTS_ENDING)
}

/// Whether a model may be computed with a file that is called so, hidden or not.
pub(crate) fn is_of_a_model(name: &str) -> bool {
    CARRIED_ENDINGS.iter().chain([&WEIGHTS_ENDING]).any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn listing(names: &[&str]) -> Result<Listing, String> {
        let siblings: Vec<_> = names.iter().map(|name| json!({"rfilename": name, "blobId": null})).collect();
        Listing::parse_model(json!({"sha": "0".repeat(40), "siblings": siblings, "tags": []}).to_string().as_bytes())
    }

    #[test]
    fn only_what_lies_in_the_root_is_carried() -> Result<(), String> {
        let listing = listing(&["config.json", "a.md", "x/y.json", ".hidden.json", "merges.txt", "a\\b.json"])?;
        assert_eq!(listing.carried().collect::<Vec<_>>(), ["config.json", "merges.txt"]);
        Ok(())
    }

    #[test]
    fn one_name_that_leads_away_condemns_the_listing() {
        for name in ["../x.json", "/etc/x.json", "a/../../x", "", "a\0", "a\u{1b}[2J", &"a".repeat(2000)] {
            let error = listing(&["config.json", name]).expect_err(name);
            assert!(error.starts_with("expected the names of files, got `") && error.len() < 700, "{error}");
        }
        let many: Vec<String> = (0..=FETCHED_MAX).map(|number| format!("{number}.json")).collect();
        assert!(listing(&many.iter().map(String::as_str).collect::<Vec<_>>()).is_err());
        for sha in ["main", "../../../../x", ""] {
            assert!(Listing::parse(json!({"sha": sha, "siblings": []}).to_string().as_bytes()).is_err(), "{sha}");
        }
        assert!(Listing::parse(b"<html>").is_err());
    }

    #[test]
    fn shards_are_files_beside_the_index() {
        let index = |name: &str| shards(json!({"metadata": {}, "weight_map": {"a": name}}).to_string().as_bytes());
        assert_eq!(index("model-1.safetensors").map(|names| names.len()), Ok(1));
        for name in
            ["../x.safetensors", "a/b.safetensors", "/x.safetensors", "x.bin", ".safetensors", "a\0.safetensors"]
        {
            assert!(index(name).is_err(), "{name}");
        }
        assert!(shards(br#"{"weight_map": {}}"#).is_err() && shards(br#"{"weight_map": [1]}"#).is_err());
    }
}
