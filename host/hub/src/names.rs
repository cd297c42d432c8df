//! The names that become parts of paths and of URLs: of a repository, a revision, a commit, a blob and a file. Whoever says
//! them, they are held to their form here, and what is not of that form never reaches a path.

use std::fmt;

use hilora_contract::terminal::is_obeyed;

/// Characters of an owner or of a repository's name, as on the hub.
const ID_PART_MAX: usize = 96;
/// Names in a revision; `refs/convert/parquet` has three.
const REVISION_PARTS_MAX: usize = 5;
/// Bytes of a path inside a repository.
const PATH_BYTES_MAX: usize = 1024;
/// Bytes of a file's name; file systems allow 255.
const FILE_NAME_BYTES_MAX: usize = 200;

/// What a repository of the hub holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepositoryKind {
    /// A model.
    Model,
    /// A data set.
    DataSet,
}

impl RepositoryKind {
    /// What the hub's interface and the cache call many of them.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::DataSet => "datasets",
        }
    }
}

impl fmt::Display for RepositoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "model",
            Self::DataSet => "data set",
        })
    }
}

/// A repository of the hub: what it holds, and its id, `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepositoryId {
    kind: RepositoryKind,
    id: String,
}

impl RepositoryId {
    /// Reads the id of a model; a path that is not one gives `None`.
    pub fn model(text: &str) -> Option<Self> {
        Self::parse(RepositoryKind::Model, text)
    }

    /// Reads the id of a data set.
    pub fn data_set(text: &str) -> Option<Self> {
        Self::parse(RepositoryKind::DataSet, text)
    }

    fn parse(kind: RepositoryKind, text: &str) -> Option<Self> {
        let part = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            // Two dashes separate owner and name in the cache, and the hub has no such names.
            let is_plain = !part.starts_with('.') && !part.contains("--") && !part.contains("..");
            (1..=ID_PART_MAX).contains(&part.len()) && is_plain && part.chars().all(allowed)
        };
        let (owner, name) = text.split_once('/')?;
        (part(owner) && part(name)).then(|| Self { kind, id: text.to_owned() })
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// What it holds.
    pub fn kind(&self) -> RepositoryKind {
        self.kind
    }

    /// Its folder in the cache.
    pub(crate) fn folder(&self) -> String {
        format!("{}--{}", self.kind.plural(), self.id.replace('/', "--"))
    }

    /// How the URLs of its files begin.
    pub(crate) fn url_parts(&self) -> impl Iterator<Item = &str> {
        let prefix = match self.kind {
            RepositoryKind::Model => None,
            RepositoryKind::DataSet => Some("datasets"),
        };
        prefix.into_iter().chain(self.id.split('/'))
    }
}

/// A branch, a tag or a commit, as the user names it: plain names with slashes between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revision(String);

impl Revision {
    pub(crate) const EXPECTED: &str = "the name of a branch or a tag, or a commit";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
        let part = |part: &str| is_file_name(part) && !part.contains("..") && part.chars().all(plain);
        let is_short = text.split('/').count() <= REVISION_PARTS_MAX;
        (is_short && text.split('/').all(part)).then(|| Self(text.to_owned()))
    }

    /// The branch that a repository shows.
    pub(crate) fn main() -> Self {
        Self("main".to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A commit of a repository: 40 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Commit(String);

impl Commit {
    pub(crate) const EXPECTED: &str = "a commit of 40 hexadecimal digits";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        (text.len() == 40 && is_hexadecimal(text)).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The tag of a file, which names its blob in the cache and is a hash of its content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ETag {
    /// Of a large file: its SHA-256.
    Sha256(String),
    /// Of every other: the SHA-1 by which git knows it.
    Git(String),
}

impl ETag {
    pub(crate) const EXPECTED: &str = "an ETag of 40 or 64 hexadecimal digits";

    /// Reads a header, which may be quoted and marked as weak.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let text = header.trim();
        let text = text.strip_prefix("W/").unwrap_or(text);
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        match text.len() {
            64 if is_hexadecimal(text) => Some(Self::Sha256(text.to_owned())),
            40 if is_hexadecimal(text) => Some(Self::Git(text.to_owned())),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::Git(digits) => digits,
        }
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Lower case only, as the hub writes them: two spellings would be one file on some file systems.
fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a character has no place in a name: a terminal obeys it, or it ends a line or a column.
fn is_unfit(c: char) -> bool {
    is_obeyed(c) || matches!(c, '\n' | '\t')
}

/// Whether this can be the path of a file in a repository: below its root, by plain names.
pub(crate) fn is_repository_path(path: &str) -> bool {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    path.len() <= PATH_BYTES_MAX && !path.chars().any(is_unfit) && path.split('/').all(is_plain)
}

/// Whether this can be the name of a file in a folder of ours: no separator of any system, and not hidden.
pub(crate) fn is_file_name(name: &str) -> bool {
    let is_short = (1..=FILE_NAME_BYTES_MAX).contains(&name.len());
    is_short && !name.starts_with('.') && !name.chars().any(|c| is_unfit(c) || matches!(c, '/' | '\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_ids_from_paths() {
        for id in ["Qwen/QwQ-32B-Preview-AWQ", "a/b", "meta-llama/Llama-3.1_8B"] {
            assert_eq!(RepositoryId::model(id).as_ref().map(RepositoryId::as_str), Some(id));
        }
        let long = format!("a/{}", "b".repeat(97));
        let paths = ["models/a/b", "./model", "../model", "/model", "model", "a/", "/b", "a/.b", "a b/c", "a/b\0"];
        for path in paths.into_iter().chain(["a--b/c", "a/b--c", "a/b..c", &long]) {
            assert_eq!(RepositoryId::model(path), None, "{path}");
        }
    }

    #[test]
    fn revisions_are_plain_names() {
        for revision in ["main", "v1.0", "refs/convert/parquet", "refs/pr/12", &"a".repeat(40)] {
            assert_eq!(Revision::parse(revision).as_ref().map(Revision::as_str), Some(revision));
        }
        for revision in ["", "/", "a//b", "../main", "a/../b", ".git", "a b", "a?b", "a%2Fb", "a/b/c/d/e/f"] {
            assert_eq!(Revision::parse(revision), None, "{revision}");
        }
    }

    #[test]
    fn hashes_are_of_their_form_alone() {
        let digits = "0123456789abcdef".repeat(4);
        for header in [digits.clone(), format!("\"{digits}\""), format!("W/\"{digits}\"")] {
            assert_eq!(ETag::parse(&header), Some(ETag::Sha256(digits.clone())));
        }
        assert_eq!(ETag::parse(&digits[..40]), Some(ETag::Git(digits[..40].to_owned())));
        let upper = digits.to_uppercase();
        let slashes = format!("../../{}", &digits[..34]);
        for header in
            ["", "\"\"", "W/", "\"", "../../x", "/etc/passwd", &digits[..39], &upper, &slashes, &"a".repeat(1 << 20)]
        {
            assert_eq!(ETag::parse(header), None);
        }
        assert!(Commit::parse(&digits[..40]).is_some());
        for commit in ["main", "", &digits, &upper[..40], &slashes] {
            assert_eq!(Commit::parse(commit), None, "{commit}");
        }
    }

    #[test]
    fn file_names_lead_nowhere() {
        for name in ["config.json", "model-00001-of-00002.safetensors", "a b.txt", "模型.json"] {
            assert!(is_file_name(name) && is_repository_path(name), "{name}");
        }
        assert!(is_repository_path("original/params.json") && is_repository_path(".gitattributes"));
        let long = "a".repeat(2000);
        for path in
            ["", "..", "../x.json", "/etc/x.json", "a//b", "a/./b", "a/..", "a\0b", "a\nb", "a\tb", "a\u{61c}b", &long]
        {
            assert!(!is_repository_path(path) && !is_file_name(path), "{path:?}");
        }
        for name in [".x.json", "a/b.json", "a\\b.json", "..x.json", &long[..201]] {
            assert!(!is_file_name(name), "{name}");
        }
    }
}
