//! The address of a data set's files, as a config names them:
//!
//! ```text
//! hf://datasets/OWNER/NAME[@REVISION][/FILES]
//! hf://datasets/OWNER/NAME[@REVISION][?config=NAME][&split=NAME]
//! ```
//!
//! The first form is that of Hugging Face's own file system; FILES is a file, a folder or a pattern. The second leaves to
//! the data set which files a split has. No path begins so. An address that names a commit and a file is a `DataSetFile`.

use std::fmt;

use super::names::{Commit, RepositoryId, Revision, is_repository_path};

/// How every address begins.
const SCHEME: &str = "hf://";
const DATA_SETS: &str = "hf://datasets/";
/// Revisions whose names have slashes, and how many names they have.
const DEEP_REVISIONS: [&str; 2] = ["refs/convert/", "refs/pr/"];
const DEEP_REVISION_PARTS: usize = 3;
/// The keys behind a question mark.
const CONFIG: &str = "config";
const SPLIT: &str = "split";

/// Files of a data set, of which nobody has said yet which they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSetAddress {
    pub(crate) id: RepositoryId,
    pub(crate) revision: Revision,
    /// A file, a folder or a pattern.
    pub(crate) files: Option<String>,
    /// What the data set calls a part of it.
    pub(crate) config: Option<String>,
    pub(crate) split: Option<String>,
}

/// A file of a data set at a commit: the same bytes always.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataSetFile {
    pub(crate) id: RepositoryId,
    pub(crate) commit: Commit,
    pub(crate) name: String,
}

impl DataSetAddress {
    /// What an address looks like.
    pub const EXPECTED: &str =
        "hf://datasets/OWNER/NAME, then perhaps @REVISION, and /FILES or ?config=NAME&split=NAME";

    /// Whether this is meant as an address, right or wrong.
    pub fn is_meant_by(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Reads an address; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix(DATA_SETS).ok_or("it does not begin with `hf://datasets/`")?;
        // A question mark may stand in a pattern, too.
        let query = [CONFIG, SPLIT].iter().filter_map(|key| rest.find(&format!("?{key}="))).min();
        let (place, query) = query.map_or((rest, ""), |at| (&rest[..at], &rest[at + 1..]));
        let (mut config, mut split) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` has no `=`"))?;
            let named = match key {
                CONFIG => &mut config,
                SPLIT => &mut split,
                _ => return Err(format!("`{key}` is neither `{CONFIG}` nor `{SPLIT}`")),
            };
            if value.is_empty() || named.replace(value.to_owned()).is_some() {
                return Err(format!("`{key}` is named twice, or without a value"));
            }
        }
        let (owner, rest) = place.split_once('/').ok_or("it names no `OWNER/NAME`")?;
        let end = rest.find(['/', '@']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let id = format!("{owner}/{name}");
        let id = RepositoryId::data_set(&id).ok_or_else(|| format!("`{id}` is no id of a data set"))?;
        let (revision, files) = match rest.strip_prefix('@') {
            Some(rest) => {
                let (revision, files) = split_revision(rest);
                let revision = revision.replace("%2F", "/").replace("%2f", "/");
                let parsed = Revision::parse(&revision);
                (parsed.ok_or_else(|| format!("`{revision}` is not {}", Revision::EXPECTED))?, files)
            }
            None => (Revision::main(), rest),
        };
        let files = Some(files.trim_matches('/').to_owned()).filter(|files| !files.is_empty());
        match &files {
            Some(files) if !is_repository_path(files) => Err(format!("`{files}` is no path in a data set")),
            Some(_) if config.is_some() || split.is_some() => {
                Err(format!("it names files, and `{CONFIG}` or `{SPLIT}` as well"))
            }
            _ => Ok(Self { id, revision, files, config, split }),
        }
    }

    /// The same as one file, if it names a commit and no pattern.
    pub(crate) fn file(&self) -> Option<DataSetFile> {
        let (commit, name) = (Commit::parse(self.revision.as_str())?, self.files.clone()?);
        Some(DataSetFile { id: self.id.clone(), commit, name })
    }
}

impl DataSetFile {
    /// Reads the address of a file at a commit; `None` for everything else.
    pub fn parse(text: &str) -> Option<Self> {
        DataSetAddress::parse(text).ok()?.file()
    }

    /// The data set.
    pub fn id(&self) -> &RepositoryId {
        &self.id
    }

    /// The commit that it comes from.
    pub fn commit(&self) -> &str {
        self.commit.as_str()
    }

    /// Its path in the data set.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for DataSetFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DATA_SETS}{}@{}/{}", self.id.as_str(), self.commit.as_str(), self.name)
    }
}

/// The revision at the beginning of what follows `@`, and what follows it.
fn split_revision(text: &str) -> (&str, &str) {
    let parts = if DEEP_REVISIONS.iter().any(|begin| text.starts_with(begin)) { DEEP_REVISION_PARTS } else { 1 };
    let end = text.match_indices('/').nth(parts - 1).map_or(text.len(), |(at, _)| at);
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_files_revisions_and_parts() -> Result<(), String> {
        let read = |text: &str| -> Result<_, String> {
            let found = DataSetAddress::parse(text)?;
            let DataSetAddress { id, revision, files, config, split } = found;
            Ok((id.as_str().to_owned(), revision.as_str().to_owned(), files, config, split))
        };
        let whole = |id: &str, revision: &str| (id.to_owned(), revision.to_owned(), None, None, None);
        assert_eq!(read("hf://datasets/a/b")?, whole("a/b", "main"));
        assert_eq!(read("hf://datasets/a/b/")?, whole("a/b", "main"));
        assert_eq!(read("hf://datasets/a/b@v1.0")?, whole("a/b", "v1.0"));
        for text in ["hf://datasets/a/b@refs/convert/parquet", "hf://datasets/a/b@refs%2Fconvert%2Fparquet"] {
            assert_eq!(read(text)?, whole("a/b", "refs/convert/parquet"));
        }
        let (_, revision, files, ..) = read("hf://datasets/a/b@refs/pr/1/data/part-?.jsonl")?;
        assert_eq!((revision.as_str(), files.as_deref()), ("refs/pr/1", Some("data/part-?.jsonl")));
        let (_, _, files, config, split) = read("hf://datasets/a/b?split=test&config=main")?;
        assert_eq!((files, config.as_deref(), split.as_deref()), (None, Some("main"), Some("test")));
        let file = format!("hf://datasets/a/b@{}/x/y.jsonl", "0".repeat(40));
        assert_eq!(DataSetFile::parse(&file).map(|file| file.to_string()), Some(file));
        assert_eq!(DataSetFile::parse("hf://datasets/a/b@main/x.jsonl"), None);
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, words) in [
            ("hf://a/b", "does not begin with"),
            ("hf://datasets/a", "no `OWNER/NAME`"),
            ("hf://datasets/a/..", "is no id"),
            ("hf://datasets/a/b@", "is not the name"),
            ("hf://datasets/a/b@x%2F..%2Fy", "is not the name"),
            ("hf://datasets/a/b/../c", "is no path"),
            ("hf://datasets/a/b/x.jsonl?split=train", "names files"),
            ("hf://datasets/a/b?split=", "without a value"),
            ("hf://datasets/a/b?split=a&split=b", "twice"),
            ("hf://datasets/a/b?split=a&rows=3", "neither"),
        ] {
            let error = DataSetAddress::parse(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
