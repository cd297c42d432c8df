//! A version: one proven state of an adapter, numbered from 1 under its name.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use hilora_contract::artifact::{ContentHash, hash_of_artifact};

/// Everything about a version but its number and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionContent {
    /// The adapter's name.
    pub name: String,
    /// The hash of the adapter's files.
    pub adapter: ContentHash,
    /// The hash of the base model's files.
    pub base_model: ContentHash,
    /// The hash of the manifest of the data it learned from.
    pub dataset_manifest: ContentHash,
    /// The hash of the resolved config.
    pub config: ContentHash,
    /// The hash of the evaluation, which holds no timings.
    pub evaluation: ContentHash,
    /// The version of the code that made it.
    pub code_version: String,
    /// The evaluation's figures.
    pub summary: Value,
    /// The gate's decision, rule by rule.
    pub gate: Value,
    /// Whether the gate said yes.
    pub gate_passed: bool,
}

/// A registered version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Counts up from 1 for each name.
    pub version: u64,
    /// When it was registered, in seconds since 1970.
    pub created_unix_s: i64,
    /// Where its adapter's files are: the registry's own copy; of a version that was registered before there were copies,
    /// the folder that it was registered from.
    pub adapter_folder: PathBuf,
    /// What it is.
    #[serde(flatten)]
    pub content: VersionContent,
}

impl Version {
    /// When it was registered, as `2026-11-20 11:06:18 UTC`; the seconds since 1970 if no calendar has them.
    pub fn created(&self) -> String {
        match OffsetDateTime::from_unix_timestamp(self.created_unix_s) {
            Ok(at) => {
                let (date, (hour, minute, second)) = (at.date(), at.to_hms());
                format!("{date} {hour:02}:{minute:02}:{second:02} UTC")
            }
            Err(_) => format!("{} s after 1970", self.created_unix_s),
        }
    }

    /// Whether its adapter's folder is there with something in it. This costs no reading: what the files hold is not looked
    /// at.
    pub fn has_files(&self) -> bool {
        std::fs::read_dir(&self.adapter_folder).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Reads its adapter's files and holds them against the hash that it was registered with.
    pub fn check_files(&self) -> AdapterFiles {
        if !self.has_files() {
            return AdapterFiles::Missing;
        }
        match hash_of_artifact(&self.adapter_folder) {
            Ok(hash) if hash == self.content.adapter => AdapterFiles::Whole,
            Ok(hash) => AdapterFiles::Changed { hash },
            Err(error) => AdapterFiles::Unreadable { message: error.to_string() },
        }
    }
}

/// What has become of a version's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum AdapterFiles {
    /// They are what was registered.
    Whole,
    /// They are gone.
    Missing,
    /// They are others.
    Changed {
        /// Their hash.
        hash: ContentHash,
    },
    /// They cannot be read.
    Unreadable {
        /// The operating system's words.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected texts are `date --utc --date=@SECONDS`'s.
    #[test]
    fn dates_are_gregorian() {
        let content = VersionContent {
            name: "python-lora".to_owned(),
            adapter: ContentHash::of(b""),
            base_model: ContentHash::of(b""),
            dataset_manifest: ContentHash::of(b""),
            config: ContentHash::of(b""),
            evaluation: ContentHash::of(b""),
            code_version: String::new(),
            summary: Value::Null,
            gate: Value::Null,
            gate_passed: true,
        };
        for (created_unix_s, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_827_696, "2000-02-29 12:34:56 UTC"),
            (1_795_172_778, "2026-11-20 11:06:18 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (i64::MAX, "9223372036854775807 s after 1970"),
        ] {
            let adapter_folder = PathBuf::new();
            let version = Version { version: 1, created_unix_s, adapter_folder, content: content.clone() };
            assert_eq!(version.created(), expected);
        }
    }
}
